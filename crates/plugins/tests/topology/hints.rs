//! What events can mean for pods that the two plugins rejected.

use crate::scene::{hard, soft, term};
use muster_framework::compiled::CompiledSpec;
use muster_framework::event::{ClusterEvent, Hint, NodeChanges};
use muster_framework::labels::Labels;
use muster_framework::plugin::PodToPlace;
use muster_framework::record::{PodSpec, SpreadConstraint};
use muster_framework::rules::KubeMinor;
use muster_framework::table::{NodeOrd, NodeTable};
use muster_plugins::args::PluginArgs;
use muster_plugins::registry::{Recipe, make};

const NODE: NodeOrd = NodeOrd(0);

fn hint(plugin: &str, spec: &PodSpec, event: ClusterEvent) -> Hint {
    let recipe = Recipe {
        args: &PluginArgs::default(),
        minor: KubeMinor::V1_37,
    };
    let plugin = make(plugin, recipe).expect("the plugin");
    let pod = PodToPlace {
        uid: "uid",
        namespace: "default",
        name: "new",
        namespace_labels: None,
        labels: &Labels::default(),
        terminating: false,
        spec,
        compiled: &CompiledSpec::compile(spec, &mut NodeTable::new()),
        default_selection: None,
    };
    plugin.filter().expect("a filter").hint(&pod, event)
}

fn changed(set: impl Fn(&mut NodeChanges)) -> ClusterEvent {
    let mut changes = NodeChanges::default();
    set(&mut changes);
    ClusterEvent::NodeUpdate(NODE, changes)
}

fn gone(had_anti_affinity: bool) -> ClusterEvent {
    ClusterEvent::AssignedPodDelete {
        node: NODE,
        had_anti_affinity,
    }
}

#[test]
fn for_pods_that_are_to_be_spread() {
    let spread = |constraint| PodSpec {
        spread: Box::new([constraint]),
        ..PodSpec::default()
    };
    let own = spread(hard("zone", "app=web", 1));
    let by_taints = spread(SpreadConstraint {
        honor_node_taints: true,
        ..soft("zone", "app=web", 1)
    });
    let by_default = PodSpec::default();
    use Hint::{Queue, Skip};
    for (event, expected) in [
        (ClusterEvent::NodeAdd(NODE), [Queue, Queue, Queue]),
        (
            ClusterEvent::NodeDelete {
                had_anti_affinity: false,
            },
            [Queue, Queue, Queue],
        ),
        (ClusterEvent::AssignedPodAdd(NODE), [Queue, Queue, Queue]),
        (ClusterEvent::AssignedPodUpdate(NODE), [Queue, Queue, Queue]),
        (gone(false), [Queue, Queue, Queue]),
        (changed(|changes| changes.labels = true), [Queue, Queue, Queue]),
        (changed(|changes| changes.taints = true), [Skip, Queue, Skip]),
        (changed(|changes| changes.allocatable = true), [Skip, Skip, Skip]),
        (ClusterEvent::AssignedPodScaleDown(NODE), [Skip, Skip, Skip]),
        (ClusterEvent::NamespaceUpdate, [Skip, Skip, Skip]),
        (ClusterEvent::SelectorOwnerUpdate, [Skip, Skip, Queue]),
    ] {
        let told = [&own, &by_taints, &by_default].map(|spec| hint("PodTopologySpread", spec, event));
        assert_eq!(told, expected, "{event:?}");
    }
}

#[test]
fn for_pods_with_company() {
    let needs = PodSpec {
        affinity: Box::new([term("zone", "app=db")]),
        ..PodSpec::default()
    };
    let avoids = PodSpec {
        anti_affinity: Box::new([term("zone", "app=db")]),
        ..PodSpec::default()
    };
    let barred = PodSpec::default();
    use Hint::{OnEventNode, Queue, Skip};
    for (event, expected) in [
        (ClusterEvent::NodeAdd(NODE), [Queue, OnEventNode, OnEventNode]),
        (
            ClusterEvent::NodeDelete {
                had_anti_affinity: false,
            },
            [Queue, Queue, Skip],
        ),
        (
            ClusterEvent::NodeDelete {
                had_anti_affinity: true,
            },
            [Queue, Queue, Queue],
        ),
        (ClusterEvent::AssignedPodAdd(NODE), [Queue, Skip, Skip]),
        (ClusterEvent::AssignedPodUpdate(NODE), [Queue, Queue, Skip]),
        (gone(false), [Queue, Queue, Skip]),
        (gone(true), [Queue, Queue, Queue]),
        (changed(|changes| changes.labels = true), [Queue, Queue, Queue]),
        (changed(|changes| changes.taints = true), [Skip, Skip, Skip]),
        (ClusterEvent::AssignedPodScaleDown(NODE), [Skip, Skip, Skip]),
        (ClusterEvent::NamespaceUpdate, [Queue, Queue, Queue]),
        (ClusterEvent::SelectorOwnerUpdate, [Skip, Skip, Skip]),
    ] {
        let told = [&needs, &avoids, &barred].map(|spec| hint("InterPodAffinity", spec, event));
        assert_eq!(told, expected, "{event:?}");
    }
}
