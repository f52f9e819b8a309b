//! What events can mean for pods that the two plugins rejected.

use crate::scene::{hard, term};
use muster_framework::compiled::CompiledSpec;
use muster_framework::event::{ClusterEvent, EventPod, Hint, NodeChanges};
use muster_framework::labels::Labels;
use muster_framework::plugin::PodToPlace;
use muster_framework::record::NodeRecord;
use muster_framework::record::{PodSpec, SpreadConstraint};
use muster_framework::resource::ResourceList;
use muster_framework::rules::KubeMinor;
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::view::{Delta, View};
use muster_plugins::args::PluginArgs;
use muster_plugins::registry::{Recipe, make};
use std::sync::Arc;

const NODE: NodeOrd = NodeOrd(0);

fn node(labels: &[(&str, &str)]) -> NodeRecord {
    NodeRecord {
        name: "n".into(),
        resource_version: 0,
        labels: labels.iter().copied().collect(),
        taints: vec![],
        unschedulable: false,
        allocatable: ResourceList::default(),
        allowed_pods: 10,
        images: Box::default(),
        declared_features: Box::default(),
    }
}

/// What a plugin says of an event to a pod with the label `app=web`; the event's node is in a zone, and has a disk.
fn hint(plugin: &str, spec: &PodSpec, event: &ClusterEvent) -> Hint {
    let recipe = Recipe {
        args: &PluginArgs::default(),
        minor: KubeMinor::V1_37,
    };
    let plugin = make(plugin, recipe).expect("the plugin");
    let mut table = NodeTable::new();
    assert_eq!(table.apply(&node(&[("zone", "a"), ("disk", "ssd")])).node, NODE);
    let compiled = CompiledSpec::compile(spec, &mut table);
    let pod = PodToPlace {
        uid: "uid",
        namespace: "default",
        name: "new",
        namespace_labels: None,
        labels: &labels("web"),
        terminating: false,
        spec,
        compiled: &compiled,
        default_selection: None,
    };
    let filter = plugin.filter().expect("a filter");
    let hint = filter.hint(&pod, event, &View::new(&table, &Delta::default()));
    assert!(
        hint == Hint::Skip || filter.moved_by().meets(event.kinds()),
        "{event:?}"
    );
    hint
}

fn labels(app: &str) -> Labels {
    [("app", app)].into_iter().collect()
}

fn changed(set: impl Fn(&mut NodeChanges), old_labels: &[(&str, &str)]) -> ClusterEvent {
    let mut changes = NodeChanges::default();
    set(&mut changes);
    ClusterEvent::NodeUpdate {
        node: NODE,
        changes,
        old_labels: old_labels.iter().copied().collect(),
    }
}

fn other(app: &str, spec: &PodSpec) -> EventPod {
    EventPod {
        namespace: "default".into(),
        namespace_labels: None,
        labels: labels(app),
        terminating: false,
        spec: Arc::new(spec.clone()),
    }
}

fn came(app: &str) -> ClusterEvent {
    ClusterEvent::AssignedPodAdd {
        node: NODE,
        pod: other(app, &PodSpec::default()),
    }
}

fn gone(app: &str, spec: &PodSpec) -> ClusterEvent {
    ClusterEvent::AssignedPodDelete {
        node: NODE,
        pod: other(app, spec),
    }
}

fn became(old: &str, new: &str) -> ClusterEvent {
    ClusterEvent::AssignedPodUpdate {
        node: NODE,
        old: other(old, &PodSpec::default()),
        new: other(new, &PodSpec::default()),
    }
}

fn node_gone(labels: &[(&str, &str)], had_anti_affinity: bool) -> ClusterEvent {
    ClusterEvent::NodeDelete {
        labels: labels.iter().copied().collect(),
        had_anti_affinity,
    }
}

const IN_ZONE: &[(&str, &str)] = &[("zone", "a"), ("disk", "ssd")];

#[test]
fn for_pods_that_are_to_be_spread() {
    let spread = |constraint| PodSpec {
        spread: Box::new([constraint]),
        ..PodSpec::default()
    };
    let own = spread(hard("zone", "app=web", 1));
    let with_disk = PodSpec {
        node_selector: [("disk", "ssd")].into_iter().collect(),
        ..own.clone()
    };
    let by_taints = spread(SpreadConstraint {
        honor_node_taints: true,
        ..hard("zone", "app=web", 1)
    });
    let elsewhere = spread(hard("rack", "app=web", 1));
    let nothing = PodSpec::default();
    use Hint::{Queue, Skip};
    let labels_were = |old| changed(|changes| changes.labels = true, old);
    for (event, expected) in [
        (ClusterEvent::NodeAdd(NODE), [Queue, Queue, Queue, Skip]),
        (node_gone(IN_ZONE, false), [Queue, Queue, Queue, Skip]),
        (node_gone(&[], true), [Skip, Skip, Skip, Skip]),
        (came("web"), [Queue; 4]),
        (came("db"), [Skip; 4]),
        (gone("web", &nothing), [Queue; 4]),
        (gone("db", &nothing), [Skip; 4]),
        (became("web", "db"), [Queue; 4]),
        (became("db", "web"), [Queue; 4]),
        (became("db", "cache"), [Skip; 4]),
        (
            labels_were(&[("zone", "b"), ("disk", "ssd")]),
            [Queue, Queue, Queue, Skip],
        ),
        (
            labels_were(&[("zone", "a"), ("disk", "hdd")]),
            [Skip, Queue, Skip, Skip],
        ),
        (labels_were(&[("zone", "a"), ("disk", "ssd"), ("x", "y")]), [Skip; 4]),
        (
            changed(|changes| changes.taints = true, IN_ZONE),
            [Skip, Skip, Queue, Skip],
        ),
        (changed(|changes| changes.allocatable = true, IN_ZONE), [Skip; 4]),
        (ClusterEvent::AssignedPodScaleDown(NODE), [Skip; 4]),
        (ClusterEvent::NamespaceUpdate, [Skip; 4]),
        (ClusterEvent::SelectorOwnerUpdate, [Skip; 4]),
    ] {
        let told = [&own, &with_disk, &by_taints, &elsewhere].map(|spec| hint("PodTopologySpread", spec, &event));
        assert_eq!(told, expected, "{event:?}");
    }
    let by_default = hint("PodTopologySpread", &nothing, &ClusterEvent::SelectorOwnerUpdate);
    assert_eq!(by_default, Queue);
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
    let bars_web = PodSpec {
        anti_affinity: Box::new([term("zone", "app=web")]),
        ..PodSpec::default()
    };
    let barred = PodSpec::default();
    use Hint::{OnEventNode, Queue, Skip};
    for (event, expected) in [
        (ClusterEvent::NodeAdd(NODE), [Queue, OnEventNode, OnEventNode]),
        (node_gone(IN_ZONE, false), [Queue, Queue, Skip]),
        (node_gone(IN_ZONE, true), [Queue, Queue, Queue]),
        (came("db"), [Queue, Skip, Skip]),
        (came("web"), [Skip, Skip, Skip]),
        (became("db", "web"), [Queue, Queue, Skip]),
        (became("web", "db"), [Queue, Skip, Skip]),
        (became("web", "cache"), [Skip, Skip, Skip]),
        // Without any that it needs, it may be the first of its kind.
        (gone("db", &barred), [Queue, Queue, Skip]),
        (gone("web", &barred), [Skip, Skip, Skip]),
        (gone("cache", &bars_web), [Queue, Queue, Queue]),
        (gone("cache", &avoids), [Skip, Skip, Skip]),
        (changed(|changes| changes.labels = true, IN_ZONE), [Queue, Queue, Queue]),
        (changed(|changes| changes.taints = true, IN_ZONE), [Skip, Skip, Skip]),
        (ClusterEvent::AssignedPodScaleDown(NODE), [Skip, Skip, Skip]),
        (ClusterEvent::NamespaceUpdate, [Queue, Queue, Queue]),
        (ClusterEvent::SelectorOwnerUpdate, [Skip, Skip, Skip]),
    ] {
        let told = [&needs, &avoids, &barred].map(|spec| hint("InterPodAffinity", spec, &event));
        assert_eq!(told, expected, "{event:?}");
    }
}
