//! Topology spread constraints, and the owners by which pods are spread where they have none.

use serde_json::{Value, json};

use super::cluster::{HOSTNAME, NAMESPACES, POD_LABELS, REGION, ZONE};
use super::dice::Dice;
use super::{Draft, append, cluster, metadata, pod_affinity, text, text_map};

const TOPOLOGY_KEYS: [&str; 5] = [ZONE, HOSTNAME, REGION, "rack", "nobody.example.com/has-it"];

/// Gives pods constraints, hard and soft.
pub(super) fn add_constraints(draft: &mut Draft) {
    cluster::gather_relatives(draft, 60);
    draft.each_pod(5, |dice, pod| {
        let mut taken = Vec::new();
        for _ in 0..dice.pick(&[1, 1, 1, 2, 2, 3]) {
            // Zones and nodes mostly; the last key is on no node at all.
            let key = TOPOLOGY_KEYS[dice.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4])];
            let action = dice.pick(&["DoNotSchedule", "ScheduleAnyway"]);
            // A pod has at most one constraint for each key and action.
            if taken.contains(&(key, action)) {
                continue;
            }
            taken.push((key, action));
            let constraint = constraint(dice, key, action, &pod["metadata"]["labels"]);
            append(&mut pod["spec"], "topologySpreadConstraints", constraint);
        }
    });
    if draft.pod["spec"]["topologySpreadConstraints"]
        .to_string()
        .contains("nodeTaintsPolicy")
    {
        taint_some_nodes(draft);
    }
}

/// Taints that decide which nodes count, for a pod that says whether they do.
fn taint_some_nodes(draft: &mut Draft) {
    let Draft { dice, nodes, .. } = draft;
    for node in nodes.iter_mut().filter(|node| node["spec"]["taints"].is_null()) {
        if dice.percent(30) {
            let effect = dice.pick(&["NoSchedule", "NoSchedule", "NoExecute", "PreferNoSchedule"]);
            node["spec"]["taints"] = json!([{"key": "dedicated", "value": "a", "effect": effect}]);
        }
    }
}

fn constraint(dice: &mut Dice, key: &str, action: &str, own_labels: &Value) -> Value {
    let mut constraint = json!({
        "maxSkew": dice.pick(&[1, 1, 1, 2, 5]), "topologyKey": key, "whenUnsatisfiable": action,
    });
    if action == "DoNotSchedule" && dice.percent(30) {
        constraint["minDomains"] = json!(dice.pick(&[1, 2, 3, 10]));
    }
    if dice.percent(30) {
        constraint["nodeAffinityPolicy"] = json!(dice.pick(&["Honor", "Ignore"]));
    }
    if dice.percent(30) {
        constraint["nodeTaintsPolicy"] = json!(dice.pick(&["Honor", "Ignore"]));
    }
    let selector = if dice.percent(60) {
        own_selector(dice, own_labels)
    } else {
        pod_affinity::label_selector(dice)
    };
    if selector.is_null() {
        return constraint;
    }
    constraint["labelSelector"] = selector;
    if dice.percent(20) {
        add_match_label_keys(dice, &mut constraint, own_labels);
    }
    constraint
}

/// A selector that matches the pod itself, as most real ones do.
fn own_selector(dice: &mut Dice, own_labels: &Value) -> Value {
    let labels = own_labels.as_object().into_iter().flatten();
    let pairs: Vec<(&str, &str)> = labels
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    json!({"matchLabels": text_map(dice.some(&pairs, 70))})
}

/// Keys whose values the pod's labels give; a newer API server has put them into the selector, an older one has not.
fn add_match_label_keys(dice: &mut Dice, constraint: &mut Value, own_labels: &Value) {
    let is_merged = dice.percent(70);
    for key in dice.at_least_one(&["version", "tier", "nobody-has-it"], 40) {
        // A key must not be in the selector already.
        if constraint["labelSelector"].to_string().contains(&format!("\"{key}\"")) {
            continue;
        }
        append(constraint, "matchLabelKeys", json!(key));
        let value = text(own_labels, &format!("/{key}"));
        if is_merged && !value.is_empty() {
            append(
                &mut constraint["labelSelector"],
                "matchExpressions",
                json!({"key": key, "operator": "In", "values": [value]}),
            );
        }
    }
}

const OWNER_KINDS: [(&str, &str); 4] = [
    ("v1", "ReplicationController"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
];

/// Services that select pods, and controllers that own them: what the system's default constraints go by.
pub(super) fn add_owners(draft: &mut Draft) {
    cluster::gather_relatives(draft, 60);
    for number in 0..draft.dice.below(3) {
        let service = service(&mut draft.dice, number, &draft.pod);
        draft.others.push(service);
    }
    if draft.dice.percent(75) {
        let (api_version, kind) = draft.dice.pick(&OWNER_KINDS);
        let name = "owner";
        let mut owner = json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": "uid-owner"});
        if draft.dice.percent(90) {
            owner["controller"] = json!(true);
        }
        draft.pod["metadata"]["ownerReferences"] = json!([owner]);
        // The owner may be gone from the cache, and Jobs are of no account here.
        if kind != "Job" && draft.dice.percent(90) {
            let controller = controller(&mut draft.dice, api_version, kind, name, &draft.pod);
            draft.others.push(controller);
        }
    }
}

fn service(dice: &mut Dice, number: usize, pod: &Value) -> Value {
    let namespace = if dice.percent(80) {
        text(pod, "/metadata/namespace")
    } else {
        dice.pick(&NAMESPACES)
    };
    let mut spec = json!({"ports": [{"port": 80}]});
    match dice.below(6) {
        // Without a selector it selects nothing.
        0 => {}
        1 => spec["selector"] = json!({}),
        2 => {
            let (key, values) = dice.pick(&POD_LABELS);
            spec["selector"] = text_map([(key, dice.pick(values))]);
        }
        _ => spec["selector"] = own_selector(dice, &pod["metadata"]["labels"])["matchLabels"].take(),
    }
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(&format!("service-{number}"), Some(namespace)), "spec": spec,
    })
}

fn controller(dice: &mut Dice, api_version: &str, kind: &str, name: &str, pod: &Value) -> Value {
    let namespace = text(pod, "/metadata/namespace");
    let mut selector = own_selector(dice, &pod["metadata"]["labels"]);
    if kind == "ReplicationController" {
        selector = selector["matchLabels"].take();
    } else if dice.percent(25) {
        selector["matchExpressions"] = json!([{"key": "app", "operator": "Exists"}]);
    }
    let mut metadata = metadata(name, Some(namespace));
    metadata["uid"] = json!("uid-owner");
    json!({
        "apiVersion": api_version, "kind": kind, "metadata": metadata,
        "spec": {"replicas": 3, "selector": selector},
    })
}
