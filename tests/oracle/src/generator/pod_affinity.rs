//! Inter-pod affinity and anti-affinity, and the label selectors that they share with spreading.

use serde_json::{Value, json};

use super::cluster::{HOSTNAME, NAMESPACES, POD_LABELS, REGION, ZONE};
use super::dice::Dice;
use super::{Draft, append, cluster, text_map};

/// Gives pods affinity to each other, or against.
pub(super) fn add_pod_affinity(draft: &mut Draft) {
    cluster::gather_relatives(draft, 40);
    draft.each_pod(35, |dice, pod| {
        for (kind, of_hundred) in [("podAffinity", 55), ("podAntiAffinity", 55)] {
            if dice.percent(of_hundred) {
                pod["spec"]["affinity"][kind] = affinity(dice);
            }
        }
    });
}

fn affinity(dice: &mut Dice) -> Value {
    let mut affinity = json!({});
    if dice.percent(60) {
        for _ in 0..dice.pick(&[1, 1, 1, 2]) {
            let term = term(dice);
            append(&mut affinity, "requiredDuringSchedulingIgnoredDuringExecution", term);
        }
    }
    if dice.percent(60) {
        for _ in 0..dice.pick(&[1, 1, 2, 3]) {
            let weighted = json!({"weight": dice.pick(&[1, 10, 100]), "podAffinityTerm": term(dice)});
            append(
                &mut affinity,
                "preferredDuringSchedulingIgnoredDuringExecution",
                weighted,
            );
        }
    }
    affinity
}

fn term(dice: &mut Dice) -> Value {
    let key = dice.pick(&[
        ZONE,
        ZONE,
        HOSTNAME,
        HOSTNAME,
        REGION,
        "rack",
        "nobody.example.com/has-it",
    ]);
    let mut term = json!({"topologyKey": key});
    let selector = label_selector(dice);
    if !selector.is_null() {
        term["labelSelector"] = selector;
    }
    if dice.percent(30) {
        term["namespaces"] = json!(dice.at_least_one(&NAMESPACES, 40));
    }
    match dice.below(12) {
        // An empty one selects all namespaces; none selects that of the pod.
        0 => term["namespaceSelector"] = json!({}),
        1 => term["namespaceSelector"] = Value::Null,
        2 => term["namespaceSelector"] = json!({"matchLabels": {"team": dice.pick(&["a", "b"])}}),
        3 => {
            let operator = dice.pick(&["Exists", "DoesNotExist"]);
            term["namespaceSelector"] = json!({"matchExpressions": [{"key": "env", "operator": operator}]});
        }
        _ => {}
    }
    term
}

/// A selector of pods: none at all (selects nothing), an empty one (selects everything), or one with requirements.
pub(super) fn label_selector(dice: &mut Dice) -> Value {
    match dice.below(20) {
        0 => return Value::Null,
        1..=2 => return json!({}),
        _ => {}
    }
    let mut selector = json!({});
    if dice.percent(60) {
        let (key, values) = dice.pick(&POD_LABELS);
        selector["matchLabels"] = text_map([(key, dice.pick(values))]);
    }
    if dice.percent(50) {
        let requirement = requirement(dice);
        // Saying it twice changes nothing.
        if dice.percent(10) {
            append(&mut selector, "matchExpressions", requirement.clone());
        }
        append(&mut selector, "matchExpressions", requirement);
    }
    selector
}

fn requirement(dice: &mut Dice) -> Value {
    let (key, values) = dice.pick(&POD_LABELS);
    match dice.below(5) {
        0 => json!({"key": key, "operator": "Exists"}),
        1 => json!({"key": key, "operator": "DoesNotExist"}),
        2 => json!({"key": key, "operator": "NotIn", "values": dice.at_least_one(values, 50)}),
        _ => json!({"key": key, "operator": "In", "values": dice.at_least_one(values, 50)}),
    }
}
