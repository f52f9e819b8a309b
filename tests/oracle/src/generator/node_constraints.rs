//! Taints and tolerations, cordons, node selectors and node affinity.

use serde_json::{Value, json};

use super::cluster::{CORES, HOSTNAME, ZONE, ZONES};
use super::dice::Dice;
use super::{Draft, append, text_map};

const TAINT_KEYS: [&str; 3] = ["dedicated", "example.com/spot", "node.kubernetes.io/not-ready"];
const TAINT_VALUES: [&str; 3] = ["", "a", "b"];
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const CORDON: &str = "node.kubernetes.io/unschedulable";

/// Taints nodes, cordons some, and lets pods tolerate a part of it.
pub(super) fn add_taints(draft: &mut Draft) {
    let Draft { dice, nodes, .. } = draft;
    for node in nodes {
        for key in dice.some(&TAINT_KEYS, 35) {
            // Key and effect are unique on a node.
            for effect in dice.at_least_one(&EFFECTS, 30) {
                let mut taint = json!({"key": key, "effect": effect});
                let value = dice.pick(&TAINT_VALUES);
                if !value.is_empty() || dice.percent(30) {
                    taint["value"] = json!(value);
                }
                append(&mut node["spec"], "taints", taint);
            }
        }
        if dice.percent(20) {
            cordon(dice, node);
        }
    }
    draft.each_pod(10, |dice, pod| {
        for _ in 0..dice.below(5) {
            let toleration = toleration(dice);
            append(&mut pod["spec"], "tolerations", toleration);
        }
    });
}

/// As `kubectl cordon` does it; the taint follows a moment later.
pub(super) fn cordon(dice: &mut Dice, node: &mut Value) {
    node["spec"]["unschedulable"] = json!(true);
    if dice.percent(50) {
        append(
            &mut node["spec"],
            "taints",
            json!({"key": CORDON, "effect": "NoSchedule"}),
        );
    }
}

fn toleration(dice: &mut Dice) -> Value {
    let mut toleration = json!({});
    let effect = dice.pick(&["", "", "NoSchedule", "PreferNoSchedule", "NoExecute"]);
    if !effect.is_empty() || dice.percent(20) {
        toleration["effect"] = json!(effect);
    }
    match dice.below(10) {
        // An empty key with Exists tolerates everything.
        0 => toleration["operator"] = json!("Exists"),
        1..=3 => {
            toleration["operator"] = json!("Exists");
            toleration["key"] = json!(if dice.percent(25) {
                CORDON
            } else {
                dice.pick(&TAINT_KEYS)
            });
        }
        other => {
            toleration["key"] = json!(if dice.percent(15) {
                CORDON
            } else {
                dice.pick(&TAINT_KEYS)
            });
            // Without an operator it means Equal.
            if other < 8 {
                toleration["operator"] = json!("Equal");
            }
            let value = dice.pick(&TAINT_VALUES);
            if !value.is_empty() {
                toleration["value"] = json!(value);
            }
        }
    }
    if effect == "NoExecute" && dice.percent(50) {
        toleration["tolerationSeconds"] = json!(dice.pick(&[0, 300, -1]));
    }
    toleration
}

/// Node selectors and node affinity of all forms.
pub(super) fn add_node_affinity(draft: &mut Draft) {
    draft.each_pod(5, |dice, pod| {
        let spec = &mut pod["spec"];
        if dice.percent(25) {
            let selector = [("disk", "ssd"), (ZONE, "z1"), ("rack", "k1"), ("disk", "")];
            spec["nodeSelector"] = text_map(dice.some(&selector, 35));
        }
        if dice.percent(10) {
            spec["affinity"] = json!({});
        } else if dice.percent(85) {
            spec["affinity"]["nodeAffinity"] = node_affinity(dice);
        }
    });
}

/// A node affinity that may be empty, required, preferred or both.
pub(super) fn node_affinity(dice: &mut Dice) -> Value {
    let mut affinity = json!({});
    if dice.percent(60) {
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = node_selector(dice);
    }
    if dice.percent(55) {
        let preferred: Vec<Value> = (0..dice.below(4))
            .map(|_| {
                let weight = dice.pick(&[1, 2, 50, 100]);
                json!({"weight": weight, "preference": node_selector_term(dice, false)})
            })
            .collect();
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = json!(preferred);
    }
    affinity
}

/// A node selector with one to three terms.
pub(super) fn node_selector(dice: &mut Dice) -> Value {
    let count = if dice.percent(60) { 1 } else { dice.range(2..=3) };
    let terms: Vec<Value> = (0..count).map(|_| node_selector_term(dice, true)).collect();
    json!({"nodeSelectorTerms": terms})
}

/// A term, now and then an empty one: as a requirement that selects nothing, as a preference it says nothing.
fn node_selector_term(dice: &mut Dice, with_fields: bool) -> Value {
    let mut term = json!({});
    if dice.percent(8) {
        return term;
    }
    if with_fields && dice.percent(30) {
        // Each has one value, so several are asked for by several requirements, which may exclude each other.
        for _ in 0..dice.pick(&[1, 1, 1, 2]) {
            let operator = dice.pick(&["In", "In", "NotIn"]);
            let name = dice.pick(&["n1", "n2", "n3", "gone"]);
            append(
                &mut term,
                "matchFields",
                json!({"key": "metadata.name", "operator": operator, "values": [name]}),
            );
        }
        if dice.percent(60) {
            return term;
        }
    }
    for _ in 0..dice.pick(&[1, 1, 2]) {
        let requirement = requirement(dice);
        append(&mut term, "matchExpressions", requirement);
    }
    term
}

fn requirement(dice: &mut Dice) -> Value {
    let (key, values): (&str, &[&str]) = match dice.below(5) {
        0 => (ZONE, &ZONES),
        1 => (HOSTNAME, &["n1", "n2", "n3"]),
        2 => ("rack", &["k1", "k2"]),
        3 => ("disk", &["ssd", "hdd", ""]),
        _ => return cores_requirement(dice),
    };
    match dice.below(6) {
        0 => json!({"key": key, "operator": "Exists"}),
        1 => json!({"key": key, "operator": "DoesNotExist"}),
        2 => json!({"key": key, "operator": "NotIn", "values": dice.at_least_one(values, 50)}),
        3 => {
            // The same value twice is allowed.
            let value = dice.pick(values);
            json!({"key": key, "operator": "In", "values": [value, value]})
        }
        _ => json!({"key": key, "operator": "In", "values": dice.at_least_one(values, 50)}),
    }
}

/// Greater or less than a number, on labels that aren't all numbers.
fn cores_requirement(dice: &mut Dice) -> Value {
    let operator = dice.pick(&["Gt", "Lt"]);
    let bound = dice.pick(&["0", "4", "7", "15", "3", "08"]);
    if dice.percent(10) {
        return json!({"key": "cores", "operator": "In", "values": [dice.pick(&CORES)]});
    }
    json!({"key": "cores", "operator": operator, "values": [bound]})
}
