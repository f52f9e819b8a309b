//! Which plugins there are, and which a default profile has, in upstream's order: adding one is a file and a line here.

use crate::args::PluginArgs;
use muster_framework::plugin::Plugin;
use muster_framework::rules::KubeMinor;

use crate::dynamic_resources::DynamicResources;
use crate::image_locality::ImageLocality;
use crate::inter_pod_affinity::InterPodAffinity;
use crate::node_affinity::NodeAffinity;
use crate::node_declared_features::NodeDeclaredFeatures;
use crate::node_name::NodeName;
use crate::node_ports::NodePorts;
use crate::node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
use crate::node_resources_fit::NodeResourcesFit;
use crate::node_unschedulable::NodeUnschedulable;
use crate::node_volume_limits::NodeVolumeLimits;
use crate::pod_topology_spread::PodTopologySpread;
use crate::scheduling_gates::SchedulingGates;
use crate::taint_toleration::TaintToleration;
use crate::volume_binding::VolumeBinding;
use crate::volume_restrictions::VolumeRestrictions;
use crate::volume_zone::VolumeZone;

/// What a plugin is made from.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// The arguments of its profile.
    pub args: &'a PluginArgs,
    /// Whose rules and words it follows.
    pub minor: KubeMinor,
}

type Make = fn(Recipe<'_>) -> Box<dyn Plugin>;

/// Every plugin that has code. PrioritySort and DefaultBinder are the queue's order and the `Bind` effect of the engine.
const PLUGINS: [(&str, Make); 17] = [
    ("SchedulingGates", |_| Box::new(SchedulingGates)),
    ("NodeUnschedulable", |_| Box::new(NodeUnschedulable)),
    ("NodeName", |recipe| Box::new(NodeName::new(recipe))),
    ("TaintToleration", |_| Box::new(TaintToleration)),
    ("NodeAffinity", |recipe| Box::new(NodeAffinity::new(recipe))),
    ("NodePorts", |_| Box::new(NodePorts)),
    ("NodeResourcesFit", |recipe| Box::new(NodeResourcesFit::new(recipe))),
    ("VolumeRestrictions", |_| Box::new(VolumeRestrictions)),
    ("NodeVolumeLimits", |recipe| Box::new(NodeVolumeLimits::new(recipe))),
    ("VolumeBinding", |recipe| Box::new(VolumeBinding::new(recipe))),
    ("VolumeZone", |_| Box::new(VolumeZone)),
    ("PodTopologySpread", |recipe| Box::new(PodTopologySpread::new(recipe))),
    ("InterPodAffinity", |recipe| Box::new(InterPodAffinity::new(recipe))),
    ("DynamicResources", |_| Box::new(DynamicResources)),
    ("NodeResourcesBalancedAllocation", |recipe| {
        Box::new(NodeResourcesBalancedAllocation::new(recipe))
    }),
    ("ImageLocality", |recipe| Box::new(ImageLocality::new(recipe))),
    ("NodeDeclaredFeatures", |recipe| {
        Box::new(NodeDeclaredFeatures::new(recipe))
    }),
];

/// Makes a plugin. None: no plugin of this name has code.
pub fn make(name: &str, recipe: Recipe<'_>) -> Option<Box<dyn Plugin>> {
    let (_, make) = PLUGINS.iter().find(|(known, _)| *known == name)?;
    Some(make(recipe))
}

/// The plugins that a default profile enables at `multiPoint`, in their order, with their weights (0: no score).
///
/// Source: `pkg/scheduler/apis/config/v1/default_plugins.go` of each minor, with that minor's default feature gates.
pub fn default_plugins(minor: KubeMinor) -> Vec<(&'static str, i64)> {
    let first: &[(&str, i64)] = if minor < KubeMinor::V1_37 {
        &[("NodeUnschedulable", 0), ("NodeName", 0)]
    } else {
        &[("NodeName", 0), ("NodeUnschedulable", 0)]
    };
    let mut plugins = vec![("SchedulingGates", 0), ("PrioritySort", 0)];
    plugins.extend(first);
    plugins.extend([
        ("TaintToleration", 3),
        ("NodeAffinity", 2),
        ("NodePorts", 0),
        ("NodeResourcesFit", 1),
        ("VolumeRestrictions", 0),
        ("NodeVolumeLimits", 0),
        ("VolumeBinding", 0),
        ("VolumeZone", 0),
        ("PodTopologySpread", 2),
        ("InterPodAffinity", 2),
        ("DynamicResources", 2),
        ("DefaultPreemption", 0),
        ("NodeResourcesBalancedAllocation", 1),
        ("ImageLocality", 1),
        ("DefaultBinder", 0),
    ]);
    if minor >= KubeMinor::V1_36 {
        plugins.push(("NodeDeclaredFeatures", 0));
    }
    plugins
}
