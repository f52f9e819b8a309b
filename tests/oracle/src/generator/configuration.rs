//! Configurations of the scheduler: other weights, plugins turned off, and arguments of plugins.

use serde_json::{Value, json};

use super::cluster::{HOSTNAME, ZONE};
use super::dice::Dice;
use super::{Draft, Theme, append, node_constraints};

/// The minor from which on the scheduler scores by the capacity of storage, and takes a shape for that.
const STORAGE_CAPACITY_SCORING: u32 = 37;

/// Now and then a configuration; otherwise the scheduler's own defaults.
pub(super) fn configuration(draft: &mut Draft, themes: &[Theme]) -> Option<Value> {
    if !draft.dice.percent(30) {
        return None;
    }
    let minor = draft.minor;
    let dice = &mut draft.dice;
    let mut profile = json!({"schedulerName": "default-scheduler"});
    if dice.percent(40) {
        profile["plugins"] = plugins(dice);
    }
    for (theme, of_hundred, name, args) in [
        (Theme::Resources, 70, "NodeResourcesFit", fit as Args),
        (Theme::Resources, 50, "NodeResourcesBalancedAllocation", balanced),
        (Theme::NodeAffinity, 70, "NodeAffinity", node_affinity),
        (Theme::Spread, 40, "PodTopologySpread", spread),
        (Theme::DefaultSpread, 70, "PodTopologySpread", spread),
        (Theme::PodAffinity, 80, "InterPodAffinity", pod_affinity),
        (Theme::Claims, 60, "VolumeBinding", volume_binding),
    ] {
        let is_there = profile["pluginConfig"].to_string().contains(&format!("\"{name}\""));
        let of_hundred = if themes.contains(&theme) { of_hundred } else { 8 };
        if is_there || !dice.percent(of_hundred) {
            continue;
        }
        let mut args = args(dice, minor);
        args["apiVersion"] = json!(API_VERSION);
        args["kind"] = json!(format!("{name}Args"));
        append(&mut profile, "pluginConfig", json!({"name": name, "args": args}));
    }
    Some(json!({"apiVersion": API_VERSION, "kind": "KubeSchedulerConfiguration", "profiles": [profile]}))
}

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";

type Args = fn(&mut Dice, u32) -> Value;

const SCORE_PLUGINS: [&str; 7] = [
    "TaintToleration",
    "NodeAffinity",
    "NodeResourcesFit",
    "PodTopologySpread",
    "InterPodAffinity",
    "NodeResourcesBalancedAllocation",
    "ImageLocality",
];

const FILTER_PLUGINS: [&str; 8] = [
    "NodeName",
    "NodeUnschedulable",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "PodTopologySpread",
    "InterPodAffinity",
];

fn plugins(dice: &mut Dice) -> Value {
    let with_weights = |dice: &mut Dice| -> Vec<Value> {
        dice.at_least_one(&SCORE_PLUGINS, 50)
            .into_iter()
            .map(|name| json!({"name": name, "weight": dice.pick(&[1, 2, 7, 100])}))
            .collect()
    };
    match dice.below(5) {
        0 => {
            let enabled = with_weights(dice);
            json!({"score": {"disabled": [{"name": "*"}], "enabled": enabled}})
        }
        1 => {
            // Another weight for a default plugin: at the point itself this overrides what all points have.
            let name = dice.pick(&SCORE_PLUGINS);
            let weight = dice.pick(&[3, 50]);
            json!({"score": {"disabled": [{"name": name}], "enabled": [{"name": name, "weight": weight}]}})
        }
        2 => {
            let off: Vec<Value> = dice.at_least_one(&FILTER_PLUGINS, 25).into_iter().map(named).collect();
            json!({"multiPoint": {"disabled": off}})
        }
        3 => {
            let off: Vec<Value> = dice.at_least_one(&FILTER_PLUGINS, 25).into_iter().map(named).collect();
            // A profile that has only one of the two is refused: a plugin's PreFilter may reject pods by itself.
            json!({"preFilter": {"disabled": off}, "filter": {"disabled": off}})
        }
        _ => {
            let off: Vec<Value> = dice.at_least_one(&SCORE_PLUGINS, 40).into_iter().map(named).collect();
            json!({"score": {"disabled": off}})
        }
    }
}

fn named(name: &str) -> Value {
    json!({"name": name})
}

/// Points of a function from utilisation to score, with utilisations that only grow.
fn shape(dice: &mut Dice) -> Value {
    let utilizations = dice.at_least_one(&[0, 10, 33, 50, 90, 100], 50);
    let points = utilizations.into_iter();
    points
        .map(|utilization| json!({"utilization": utilization, "score": dice.range(0..=10)}))
        .collect()
}

fn fit(dice: &mut Dice, _minor: u32) -> Value {
    let mut args = json!({});
    if dice.percent(40) {
        args["ignoredResources"] = json!(dice.at_least_one(&["example.com/gpu", "fpga.example.org/a10"], 40));
    }
    if dice.percent(40) {
        args["ignoredResourceGroups"] = json!(dice.at_least_one(&["example.com", "fpga.example.org"], 40));
    }
    if dice.percent(80) {
        let kind = dice.pick(&["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]);
        let mut strategy = json!({"type": kind});
        let resources = resources(dice, |dice| dice.pick(&[1, 3, 100]));
        if !resources.is_empty() {
            strategy["resources"] = json!(resources);
        }
        if kind == "RequestedToCapacityRatio" {
            strategy["requestedToCapacityRatio"] = json!({"shape": shape(dice)});
        }
        args["scoringStrategy"] = strategy;
    }
    args
}

fn balanced(dice: &mut Dice, _minor: u32) -> Value {
    json!({"resources": resources(dice, |_| 1)})
}

fn resources(dice: &mut Dice, weight: impl Fn(&mut Dice) -> i64) -> Vec<Value> {
    let known = ["cpu", "memory", "ephemeral-storage", "example.com/gpu", "hugepages-2Mi"];
    let some = dice.some(&known, 55);
    some.into_iter()
        .map(|name| json!({"name": name, "weight": weight(dice)}))
        .collect()
}

fn node_affinity(dice: &mut Dice, _minor: u32) -> Value {
    json!({"addedAffinity": node_constraints::node_affinity(dice)})
}

fn spread(dice: &mut Dice, _minor: u32) -> Value {
    if dice.percent(15) {
        return json!({"defaultingType": "System"});
    }
    let mut constraints = Vec::new();
    for (key, action) in [
        (ZONE, "ScheduleAnyway"),
        (ZONE, "DoNotSchedule"),
        (HOSTNAME, "ScheduleAnyway"),
        (HOSTNAME, "DoNotSchedule"),
        ("rack", "ScheduleAnyway"),
    ] {
        if dice.percent(40) {
            constraints
                .push(json!({"maxSkew": dice.pick(&[1, 1, 3]), "topologyKey": key, "whenUnsatisfiable": action}));
        }
    }
    json!({"defaultingType": "List", "defaultConstraints": constraints})
}

fn pod_affinity(dice: &mut Dice, _minor: u32) -> Value {
    let mut args = json!({});
    if dice.percent(70) {
        args["hardPodAffinityWeight"] = json!(dice.pick(&[0, 1, 5, 100]));
    }
    if dice.percent(40) {
        args["ignorePreferredTermsOfExistingPods"] = json!(dice.percent(80));
    }
    args
}

fn volume_binding(dice: &mut Dice, minor: u32) -> Value {
    let mut args = json!({"bindTimeoutSeconds": 600});
    if minor >= STORAGE_CAPACITY_SCORING {
        args["shape"] = shape(dice);
    }
    args
}
