//! Ports, images and features of nodes; gates, named nodes and cordons.

use serde_json::{Value, json};

use super::dice::Dice;
use super::{Draft, append, node_constraints};

const PORTS: [u16; 3] = [80, 8080, 9000];
const PROTOCOLS: [&str; 4] = ["TCP", "TCP", "UDP", "SCTP"];
const ADDRESSES: [&str; 5] = ["", "", "0.0.0.0", "127.0.0.1", "10.0.0.1"];

/// Host ports in containers and sidecars.
pub(super) fn add_ports(draft: &mut Draft) {
    draft.each_pod(60, |dice, pod| {
        if dice.percent(20) {
            append(
                &mut pod["spec"],
                "initContainers",
                json!({"name": "sidecar", "image": "app", "restartPolicy": "Always"}),
            );
        }
        let is_on_host = pod["spec"]["hostNetwork"] == true || dice.percent(10);
        if is_on_host {
            pod["spec"]["hostNetwork"] = json!(true);
        }
        let mut taken = Vec::new();
        for (list, of_hundred) in [("containers", 80), ("initContainers", 70)] {
            for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
                if dice.percent(of_hundred) {
                    add_container_ports(dice, container, is_on_host, &mut taken);
                }
            }
        }
    });
}

fn add_container_ports(dice: &mut Dice, container: &mut Value, is_on_host: bool, taken: &mut Vec<(u16, &str)>) {
    for _ in 0..dice.range(1..=2) {
        let number = dice.pick(&PORTS);
        let protocol = dice.pick(&PROTOCOLS);
        // A pod must not want a port twice.
        if taken.contains(&(number, protocol)) {
            continue;
        }
        taken.push((number, protocol));
        let mut port = json!({"containerPort": number, "protocol": protocol});
        if is_on_host || dice.percent(85) {
            port["hostPort"] = json!(number);
            let address = dice.pick(&ADDRESSES);
            if !address.is_empty() {
                port["hostIP"] = json!(address);
            }
        }
        append(container, "ports", port);
    }
}

const IMAGES: [&str; 7] = [
    "app",
    "app:v1",
    "registry.example.com/team/app:v2",
    "registry.example.com:5000/app",
    "app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "docker.io/library/app:latest",
    "other",
];

/// The names under which nodes know the images.
const NODE_IMAGES: [&str; 8] = [
    "app:latest",
    "app:v1",
    "registry.example.com/team/app:v2",
    "registry.example.com:5000/app:latest",
    "app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "docker.io/library/app:latest",
    "other:latest",
    "app",
];

const IMAGE_SIZES: [i64; 7] = [
    0,
    1_000,
    24 << 20,
    200 << 20,
    700 << 20,
    1_100 << 20,
    9_000_000_000_000_000,
];

/// Images on nodes, and containers that want them.
pub(super) fn add_images(draft: &mut Draft) {
    // An image is as large on one node as on another, mostly.
    let usual_sizes = NODE_IMAGES.map(|_| draft.dice.pick(&IMAGE_SIZES));
    let Draft { dice, nodes, .. } = draft;
    for node in nodes {
        for (name, usual_size) in NODE_IMAGES.iter().zip(usual_sizes) {
            if !dice.percent(40) {
                continue;
            }
            let size = if dice.percent(90) {
                usual_size
            } else {
                dice.pick(&IMAGE_SIZES)
            };
            let mut names = vec![*name];
            if dice.percent(20) {
                names.push(dice.pick(&NODE_IMAGES));
            }
            append(
                &mut node["status"],
                "images",
                json!({"names": names, "sizeBytes": size}),
            );
        }
    }
    let spec = &mut draft.pod["spec"];
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            container["image"] = json!(draft.dice.pick(&IMAGES));
        }
    }
    if draft.dice.percent(25) {
        let image = draft.dice.pick(&IMAGES);
        let mut init = json!({"name": "init", "image": image});
        if draft.dice.percent(40) {
            init["restartPolicy"] = json!("Always");
        }
        append(spec, "initContainers", init);
    }
    if draft.dice.percent(15) {
        append(
            spec,
            "volumes",
            json!({"name": "image", "image": {"reference": draft.dice.pick(&IMAGES), "pullPolicy": "IfNotPresent"}}),
        );
    }
}

const RESTART_ALL: &str = "RestartAllContainersOnContainerExits";
const USER_NAMESPACES: &str = "UserNamespacesHostNetworkSupport";
const FEATURES: [&str; 5] = [
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    RESTART_ALL,
    USER_NAMESPACES,
    "VolumeBindMountOptions",
];

/// Features that nodes declare, and pods that need them.
pub(super) fn add_declared_features(draft: &mut Draft) {
    let Draft { dice, nodes, pod, .. } = draft;
    for node in nodes {
        // Sorted, as the API server demands.
        let features = dice.some(&FEATURES, 60);
        if !features.is_empty() {
            node["status"]["declaredFeatures"] = json!(features);
        }
    }
    if dice.percent(60) {
        let container = &mut pod["spec"]["containers"][0];
        container["restartPolicy"] = json!("Never");
        let action = dice.pick(&["RestartAllContainers", "RestartAllContainers", "Restart"]);
        container["restartPolicyRules"] = json!([{"action": action, "exitCodes": {"operator": "In", "values": [42]}}]);
    }
    if dice.percent(50) {
        pod["spec"]["hostNetwork"] = json!(true);
        pod["spec"]["hostUsers"] = json!(dice.percent(30));
        for list in ["containers", "initContainers"] {
            for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
                // On the host's network every port is a host port.
                for port in container["ports"].as_array_mut().into_iter().flatten() {
                    port["hostPort"] = port["containerPort"].clone();
                }
            }
        }
    }
}

/// Gates, a node by name, and cordons without taints.
pub(super) fn add_gates_and_names(draft: &mut Draft) {
    let Draft { dice, nodes, pod, .. } = draft;
    // A gated pod must not name its node.
    if dice.percent(30) {
        let gates = dice.at_least_one(&["example.com/quota", "example.com/budget"], 50);
        for gate in gates {
            append(&mut pod["spec"], "schedulingGates", json!({"name": gate}));
        }
    } else if dice.percent(45) {
        pod["spec"]["nodeName"] = json!(dice.pick(&["n1", "n2", "gone"]));
    }
    for node in nodes {
        if dice.percent(40) {
            node_constraints::cordon(dice, node);
        }
    }
    if dice.percent(50) {
        let mut toleration = json!({"operator": "Exists"});
        if dice.percent(70) {
            toleration["key"] = json!("node.kubernetes.io/unschedulable");
        }
        if dice.percent(50) {
            toleration["effect"] = json!("NoSchedule");
        }
        append(&mut pod["spec"], "tolerations", toleration);
    }
}
