//! The plain cluster that the themes build on: namespaces, nodes, pods that run, and the pod that wants a node.

use serde_json::{Value, json};

use super::dice::Dice;
use super::{Draft, containers, metadata, text_map};

pub(super) const NAMESPACES: [&str; 3] = ["default", "team-a", "team-b"];
const NAMESPACE_LABELS: [(&str, &str); 4] = [("team", "a"), ("team", "b"), ("env", "prod"), ("env", "")];

pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
pub(super) const REGION: &str = "topology.kubernetes.io/region";

pub(super) const ZONES: [&str; 3] = ["z1", "z2", "z3"];
pub(super) const REGIONS: [&str; 2] = ["r1", "r2"];

/// The labels that pods have, and that selectors ask for.
pub(super) const POD_LABELS: [(&str, &[&str]); 3] = [
    ("app", &["web", "db", ""]),
    ("tier", &["front", "back"]),
    ("version", &["v1", "v2"]),
];

/// Values of a label that `Gt` and `Lt` read: not all are integers.
pub(super) const CORES: [&str; 8] = ["4", "8", "16", "007", "3.5", "x8", "", "9223372036854775808"];

const PRIORITIES: [i64; 5] = [0, 0, 10, -5, 1_000_000];

pub(super) fn add_namespaces(draft: &mut Draft) {
    for name in NAMESPACES {
        // A namespace may be gone from the cache while its pods are not.
        if draft.dice.percent(4) {
            continue;
        }
        let mut labels = text_map(draft.dice.some(&NAMESPACE_LABELS, 40));
        labels["kubernetes.io/metadata.name"] = json!(name);
        let mut metadata = metadata(name, None);
        metadata["labels"] = labels;
        draft
            .others
            .push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }
}

pub(super) fn add_nodes(draft: &mut Draft) {
    let count = match draft.dice.below(20) {
        0 => 0,
        1..=3 => 1,
        4..=15 => draft.dice.range(2..=5),
        _ => draft.dice.range(4..=8),
    };
    // Now and then more than fill a block of the columns that Muster judges at once.
    let count = if draft.dice.percent(1) {
        draft.dice.range(65..=140)
    } else {
        count
    };
    // Mostly there is room, so that other rules decide.
    let is_roomy = draft.dice.percent(88);
    for number in 1..=count {
        let node = node(&mut draft.dice, &format!("n{number}"), is_roomy);
        draft.nodes.push(node);
    }
}

fn node(dice: &mut Dice, name: &str, is_roomy: bool) -> Value {
    let mut labels = json!({});
    if dice.percent(95) {
        // Some clouds name the machine otherwise than the node.
        labels[HOSTNAME] = json!(if dice.percent(94) { name } else { "n1" });
    }
    for (key, values, of_hundred) in [
        (ZONE, &ZONES[..], 90),
        (REGION, &REGIONS, 70),
        ("rack", &["k1", "k2"], 60),
        ("disk", &["ssd", "hdd", ""], 60),
        ("cores", &CORES, 50),
    ] {
        if dice.percent(of_hundred) {
            labels[key] = json!(dice.pick(values));
        }
    }
    let mut metadata = metadata(name, None);
    metadata["labels"] = labels;
    let allocatable = containers::allocatable(dice, is_roomy);
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {},
        "status": {"capacity": allocatable, "allocatable": allocatable},
    })
}

/// Adds pods that run, and makes the pod that wants a node.
pub(super) fn add_pods(draft: &mut Draft, want_many: bool) {
    let most = if want_many { 8 } else { 12 };
    let count = if draft.dice.percent(15) {
        0
    } else {
        draft.dice.range(1..=most)
    };
    for number in 1..=count {
        let mut pod = plain_pod(&mut draft.dice, &format!("p{number}"));
        if draft.nodes.is_empty() {
            break;
        }
        let at = draft.dice.below(draft.nodes.len());
        pod["spec"]["nodeName"] = draft.nodes[at]["metadata"]["name"].clone();
        pod["status"] = json!({"phase": "Running"});
        if draft.dice.percent(8) {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        }
        draft.pods.push(pod);
    }
    draft.pod = plain_pod(&mut draft.dice, "wanted");
    draft.pod["spec"]["schedulerName"] = json!("default-scheduler");
    draft.pod["status"] = json!({"phase": "Pending"});
}

fn plain_pod(dice: &mut Dice, name: &str) -> Value {
    let namespace = if dice.percent(60) {
        NAMESPACES[0]
    } else {
        dice.pick(&NAMESPACES)
    };
    let mut metadata = metadata(name, Some(namespace));
    let labels = pod_labels(dice);
    if !labels.is_empty() || dice.percent(50) {
        metadata["labels"] = text_map(labels);
    }
    let priority = dice.pick(&PRIORITIES);
    let containers = containers::containers(dice, containers::Sizes::Small);
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"containers": containers, "priority": priority},
        "status": {},
    })
}

/// Makes some of the pods that run relatives of the pod that wants a node: of its namespace, and often with its labels.
/// Without relatives there would be little to spread, and hardly anybody to be near to.
pub(super) fn gather_relatives(draft: &mut Draft, of_hundred: usize) {
    let Draft { dice, pods, pod, .. } = draft;
    for relative in pods {
        if !dice.percent(of_hundred) {
            continue;
        }
        relative["metadata"]["namespace"] = pod["metadata"]["namespace"].clone();
        if dice.percent(75) {
            relative["metadata"]["labels"] = pod["metadata"]["labels"].clone();
        }
    }
}

/// A few labels as pods have them.
pub(super) fn pod_labels(dice: &mut Dice) -> Vec<(&'static str, &'static str)> {
    let mut labels = Vec::new();
    for (key, values) in POD_LABELS {
        if dice.percent(60) {
            labels.push((key, dice.pick(values)));
        }
    }
    labels
}

/// Sends some of the pods that run back to the queue, with a node in view.
pub(super) fn add_nominations(draft: &mut Draft) {
    for pod in &mut draft.pods {
        if !draft.dice.percent(50) {
            continue;
        }
        let node = pod["spec"]["nodeName"].take();
        if let Some(spec) = pod["spec"].as_object_mut() {
            spec.remove("nodeName");
        }
        if let Some(metadata) = pod["metadata"].as_object_mut() {
            // A pod without a node is deleted at once: it is never seen terminating.
            metadata.remove("deletionTimestamp");
            metadata.remove("deletionGracePeriodSeconds");
        }
        pod["status"] = json!({"phase": "Pending", "nominatedNodeName": node});
    }
    // The pod itself may be nominated too: then its node is tried first, and it never counts against itself.
    if draft.dice.percent(15) && !draft.nodes.is_empty() {
        let at = draft.dice.below(draft.nodes.len());
        draft.pod["status"]["nominatedNodeName"] = draft.nodes[at]["metadata"]["name"].clone();
    }
}
