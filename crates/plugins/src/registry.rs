//! Which plugins there are, in upstream's order, with their default weights: adding one is a file and a line here.

use muster_framework::plugin::{Filter, Plugin, PreEnqueue, Score};

use crate::inter_pod_affinity::InterPodAffinity;
use crate::node_affinity::NodeAffinity;
use crate::node_name::NodeName;
use crate::node_ports::NodePorts;
use crate::node_resources_fit::NodeResourcesFit;
use crate::node_unschedulable::NodeUnschedulable;
use crate::scheduling_gates::SchedulingGates;
use crate::taint_toleration::TaintToleration;

/// A plugin and the weight of its score.
pub struct Weighted {
    /// The plugin.
    pub plugin: Box<dyn Plugin>,
    /// How much its score counts; 0 for plugins without one.
    pub weight: i64,
}

/// The plugins of the default profile in upstream's order: the order decides which plugin gets the blame for a node.
///
/// PrioritySort and DefaultBinder are the queue's order and the `Bind` effect of the engine, and have no code here.
pub fn default_plugins() -> Vec<Weighted> {
    fn entry(plugin: impl Plugin + 'static, weight: i64) -> Weighted {
        Weighted {
            plugin: Box::new(plugin),
            weight,
        }
    }
    vec![
        entry(SchedulingGates, 0),
        entry(NodeUnschedulable, 0),
        entry(NodeName, 0),
        entry(TaintToleration, 3),
        entry(NodeAffinity, 2),
        entry(NodePorts, 0),
        entry(NodeResourcesFit, 1),
        entry(InterPodAffinity, 0),
    ]
}

/// The plugins of one profile, by extension point.
pub struct Profile {
    plugins: Vec<Weighted>,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            plugins: default_plugins(),
        }
    }
}

impl Profile {
    /// A profile of these plugins, in this order.
    pub fn new(plugins: Vec<Weighted>) -> Profile {
        Profile { plugins }
    }

    /// The plugins that keep pods out of the queue.
    pub fn pre_enqueue(&self) -> impl Iterator<Item = (&'static str, &dyn PreEnqueue)> {
        self.plugins
            .iter()
            .filter_map(|w| Some((w.plugin.name(), w.plugin.pre_enqueue()?)))
    }

    /// The filters.
    pub fn filters(&self) -> impl Iterator<Item = (&'static str, &dyn Filter)> {
        self.plugins
            .iter()
            .filter_map(|w| Some((w.plugin.name(), w.plugin.filter()?)))
    }

    /// The scores with their weights.
    pub fn scores(&self) -> impl Iterator<Item = (&'static str, i64, &dyn Score)> {
        self.plugins
            .iter()
            .filter_map(|w| Some((w.plugin.name(), w.weight, w.plugin.score()?)))
    }
}
