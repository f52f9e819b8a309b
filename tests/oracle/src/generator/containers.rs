//! Containers and what they ask for; what nodes have.

use serde_json::{Value, json};

use super::dice::Dice;
use super::{Draft, append, text_map};

/// Processor time as it is stored: never finer than a thousandth, whatever the notation.
const SMALL_CPU: [&str; 7] = ["100m", "250m", "0", "200000u", "0.1", "150000000n", "1e-1"];
const ANY_CPU: [&str; 9] = ["100m", "1", "0", "1500m", "2", "4", "3e0", "1k", "0.001"];
const SMALL_MEMORY: [&str; 7] = ["64Mi", "128Mi", "0", "100M", "1e8", "65536Ki", "1500m"];
const ANY_MEMORY: [&str; 10] = [
    "128Mi",
    "1Gi",
    "0",
    "2G",
    "4Gi",
    "1",
    "3E9",
    "0.5Gi",
    "0.005E",
    // Large enough for doubles to lose the last digits; sums stay below 2^63, where upstream's wrap, and so do a hundred
    // times of them.
    "9007199254740993",
];
const STORAGE: [&str; 5] = ["0", "1Gi", "500M", "5Gi", "1Mi"];
const HUGE_PAGES: [&str; 3] = ["0", "2Mi", "64Mi"];
const DEVICES: [&str; 4] = ["0", "1", "2", "4"];

/// The extended resources that nodes have and containers ask for.
pub(super) const GPU: &str = "example.com/gpu";
const FPGA: &str = "fpga.example.org/a10";

/// How much the containers of a pod may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    /// Little enough to fit several times on a node with room.
    Small,
    /// Everything, of all resources.
    Any,
}

/// What a node has for pods.
pub(super) fn allocatable(dice: &mut Dice, is_roomy: bool) -> Value {
    if is_roomy {
        return text_map([
            ("cpu", dice.pick(&["4", "8", "16", "7500m", "1e1"])),
            ("memory", dice.pick(&["8Gi", "16Gi", "10G", "12345678901", "3e10"])),
            ("pods", "110"),
            ("ephemeral-storage", "100Gi"),
        ]);
    }
    let mut pairs = Vec::new();
    for (name, of_hundred, values) in [
        ("cpu", 95, &["0", "1", "500m", "2", "4", "300m", "8"][..]),
        ("memory", 95, &["0", "256Mi", "1Gi", "2G", "4Gi", "1023Mi"]),
        ("pods", 96, &["0", "1", "3", "5", "110", "110", "110", "1k"]),
        ("ephemeral-storage", 60, &["0", "1Gi", "4G", "10Gi"]),
        (GPU, 40, &DEVICES),
        (FPGA, 20, &DEVICES),
        ("hugepages-2Mi", 30, &["0", "2Mi", "128Mi"]),
    ] {
        if dice.percent(of_hundred) {
            pairs.push((name, dice.pick(values)));
        }
    }
    text_map(pairs)
}

/// One to three containers.
pub(super) fn containers(dice: &mut Dice, sizes: Sizes) -> Value {
    let count = if dice.percent(70) { 1 } else { dice.range(2..=3) };
    (0..count)
        .map(|number| container(dice, &format!("c{number}"), sizes))
        .collect()
}

fn container(dice: &mut Dice, name: &str, sizes: Sizes) -> Value {
    let mut container = json!({"name": name, "image": "app"});
    let resources = resources(dice, sizes);
    if !resources.is_null() {
        container["resources"] = resources;
    }
    container
}

/// Requests and limits; where there is a limit and no request, the API server has made one of the other.
fn resources(dice: &mut Dice, sizes: Sizes) -> Value {
    let mut requests = Vec::new();
    let mut limits = Vec::new();
    let (cpu, memory) = match sizes {
        Sizes::Small => (&SMALL_CPU[..], &SMALL_MEMORY[..]),
        Sizes::Any => (&ANY_CPU[..], &ANY_MEMORY[..]),
    };
    for (name, of_hundred, values) in [("cpu", 70, cpu), ("memory", 70, memory)] {
        if dice.percent(of_hundred) {
            let value = dice.pick(values);
            requests.push((name, value));
            if dice.percent(25) {
                limits.push((name, value));
            }
        }
    }
    if sizes == Sizes::Any {
        if dice.percent(20) {
            requests.push(("ephemeral-storage", dice.pick(&STORAGE)));
        }
        // These cannot be overcommitted: limit and request are the same. Huge pages want cpu or memory beside them.
        for (name, of_hundred, values) in [
            (GPU, 20, &DEVICES[..]),
            (FPGA, 10, &DEVICES),
            ("hugepages-2Mi", if requests.is_empty() { 0 } else { 15 }, &HUGE_PAGES),
        ] {
            if dice.percent(of_hundred) {
                let value = dice.pick(values);
                requests.push((name, value));
                limits.push((name, value));
            }
        }
    }
    let mut resources = json!({});
    if !limits.is_empty() {
        resources["limits"] = text_map(limits);
    }
    if !requests.is_empty() {
        resources["requests"] = text_map(requests);
    } else if dice.percent(50) {
        return Value::Null;
    }
    resources
}

/// Gives pods requests of all kinds, and nodes what may not be enough for them.
pub(super) fn add_resources(draft: &mut Draft) {
    let Draft { dice, nodes, .. } = draft;
    for node in nodes {
        if dice.percent(70) {
            let is_roomy = dice.percent(40);
            let mut allocatable = allocatable(dice, is_roomy);
            if is_roomy {
                allocatable[GPU] = json!(dice.pick(&DEVICES));
                allocatable["hugepages-2Mi"] = json!(dice.pick(&HUGE_PAGES));
            }
            node["status"]["capacity"] = allocatable.clone();
            node["status"]["allocatable"] = allocatable;
        }
    }
    draft.each_pod(40, |dice, pod| {
        let spec = &mut pod["spec"];
        if dice.percent(25) {
            add_pod_level_resources(dice, spec);
        } else if dice.percent(80) {
            let sizes = if dice.percent(60) { Sizes::Any } else { Sizes::Small };
            spec["containers"] = containers(dice, sizes);
            add_init_containers(dice, spec, sizes);
        }
        if dice.percent(25) {
            let overhead = [("cpu", "250m"), ("memory", "120Mi"), (GPU, "1")];
            spec["overhead"] = text_map(dice.at_least_one(&overhead, 40));
            spec["runtimeClassName"] = json!("sandbox");
        }
    });
}

/// Ordinary init containers and sidecars in mixed order.
fn add_init_containers(dice: &mut Dice, spec: &mut Value, sizes: Sizes) {
    if dice.percent(50) {
        return;
    }
    let first = spec["initContainers"].as_array().map_or(0, Vec::len);
    for number in first..first + dice.range(1..=4) {
        let mut init = container(dice, &format!("i{number}"), sizes);
        if dice.percent(50) {
            init["restartPolicy"] = json!("Always");
        }
        append(spec, "initContainers", init);
    }
}

/// Requests of the pod as a whole: never less than what its containers ask for together.
fn add_pod_level_resources(dice: &mut Dice, spec: &mut Value) {
    spec["containers"] = containers(dice, Sizes::Small);
    add_init_containers(dice, spec, Sizes::Small);
    // Of what is left out here the API server would have stored the sum over the containers.
    let chosen = vec![
        ("cpu", dice.pick(&["3", "2500m"])),
        ("memory", dice.pick(&["1Gi", "2e9"])),
    ];
    spec["resources"] = json!({"requests": text_map(chosen.clone())});
    if dice.percent(40) {
        spec["resources"]["limits"] = text_map(chosen);
    }
    if dice.percent(10) {
        for list in ["requests", "limits"] {
            spec["resources"][list]["hugepages-2Mi"] = json!("64Mi");
        }
    }
}

/// Gives pods that run what they were granted and what they use now, beside what they ask for.
pub(super) fn add_resizes(draft: &mut Draft) {
    let Draft { dice, nodes, pods, .. } = draft;
    for node in nodes {
        if dice.percent(50) {
            let allocatable = allocatable(dice, false);
            node["status"]["capacity"] = allocatable.clone();
            node["status"]["allocatable"] = allocatable;
        }
    }
    for pod in pods {
        if !pod["spec"]["nodeName"].is_string() || !dice.percent(60) {
            continue;
        }
        if dice.percent(40) {
            add_init_containers(dice, &mut pod["spec"], Sizes::Small);
        }
        for (list, statuses) in [
            ("containers", "containerStatuses"),
            ("initContainers", "initContainerStatuses"),
        ] {
            let names: Vec<Value> = pod["spec"][list]
                .as_array()
                .into_iter()
                .flatten()
                .map(|container| container["name"].clone())
                .collect();
            for name in names {
                if dice.percent(85) {
                    let status = container_status(dice, &name);
                    append(&mut pod["status"], statuses, status);
                }
            }
        }
        for condition in resize_conditions(dice) {
            append(&mut pod["status"], "conditions", condition);
        }
    }
}

fn container_status(dice: &mut Dice, name: &Value) -> Value {
    let mut status = json!({"name": name, "image": "app", "imageID": "", "ready": true, "restartCount": 0});
    let quantities = |dice: &mut Dice| {
        let mut pairs = Vec::new();
        for (name, values) in [("cpu", &SMALL_CPU[..]), ("cpu", &ANY_CPU), ("memory", &SMALL_MEMORY)] {
            if dice.percent(60) {
                pairs.push((name, dice.pick(values)));
            }
        }
        text_map(pairs)
    };
    if dice.percent(70) {
        status["allocatedResources"] = quantities(dice);
    }
    if dice.percent(70) {
        status["resources"] = json!({});
        if dice.percent(85) {
            status["resources"]["requests"] = quantities(dice);
        }
    }
    status
}

fn resize_conditions(dice: &mut Dice) -> Vec<Value> {
    let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason});
    match dice.below(6) {
        0 => vec![condition("PodResizePending", "Infeasible")],
        1 => vec![condition("PodResizePending", "Deferred")],
        2 => vec![condition("PodResizeInProgress", "")],
        3 => vec![
            condition("PodResizeInProgress", ""),
            condition("PodResizePending", "Infeasible"),
        ],
        _ => vec![],
    }
}
