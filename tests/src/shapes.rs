//! Nodes and pods of mixed shapes, the same ones in every run.
//!
//! The constraints of a shape look at pods of the same shape only, or at pods that are placed without looking at any:
//! where many pods are placed at once, that keeps apart what has to do with each other.

use muster_xtask::SimulatedNode;
use serde_json::{Value, json};

use crate::objects::pod;

/// The label that spread constraints, affinity and services select by.
const GROUP: &str = "app";
const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";
const GPU: &str = "example.com/gpu";
/// The image that some nodes have already.
const LARGE_IMAGE: &str = "registry.example/trainer:1";

/// What a shape makes of a plain pod; the number tells pods of one shape apart.
type Shape = fn(&mut Value, usize);

const SHAPES: [Shape; 18] = [
    plain,
    plain,
    selects_nodes,
    requires_nodes,
    prefers_nodes,
    tolerates,
    host_port,
    gpu,
    init_containers,
    spreads_over_zones,
    spreads_over_nodes,
    spreads_softly,
    keeps_together,
    follows,
    keeps_apart,
    avoids,
    prefers_pods,
    prioritised,
];

/// The names of the priority classes that pods of these shapes have, with their values.
pub const PRIORITIES: [(&str, i32); 2] = [("mixed-low", 10), ("mixed-high", 1000)];

/// So many nodes: of four sizes, in three zones and in none, some tainted, some cordoned, some with GPUs.
pub fn mixed_nodes(prefix: &str, n_nodes: usize) -> Vec<Value> {
    (0..n_nodes).map(|n| mixed_node(prefix, n)).collect()
}

fn mixed_node(prefix: &str, n: usize) -> Value {
    let mut node = SimulatedNode::new(format!("{prefix}-{n}"))
        .cpu(["4", "8", "16", "32"][n % 4])
        .memory(["16Gi", "64Gi", "32Gi"][n / 4 % 3])
        .pods([110, 110, 110, 12][n / 2 % 4])
        .label("disk", if n.is_multiple_of(2) { "ssd" } else { "hdd" })
        .label("generation", &(n % 5).to_string());
    if n % 29 != 28 {
        node = node.zone(["a", "b", "c"][n % 3]);
    }
    if n % 6 == 5 {
        node = node.resource(GPU, "4");
    }
    match n % 20 {
        3 | 13 => node = node.taint("dedicated", "batch", "NoSchedule"),
        7 => node = node.taint("old", "", "PreferNoSchedule"),
        16 => node = node.taint("maintenance", "", "NoExecute"),
        11 => node.unschedulable = true,
        _ => {}
    }
    let mut object = node.object();
    if n.is_multiple_of(7) {
        object["status"]["images"] = json!([{ "names": [LARGE_IMAGE], "sizeBytes": 800_000_000 }]);
    }
    object
}

/// So many pods, by turns of all shapes.
pub fn mixed_pods(scheduler_name: &str, n_pods: usize) -> Vec<Value> {
    (0..n_pods)
        .map(|n| {
            let mut pod = pod(
                &format!("p{n}"),
                scheduler_name,
                ["50m", "200m", "1", "2500m"][n / 5 % 4],
            );
            pod["metadata"]["labels"] = json!({ GROUP: "none" });
            container(&mut pod)["resources"]["requests"]["memory"] = ["64Mi", "512Mi", "3Gi"][n / 3 % 3].into();
            SHAPES[n % SHAPES.len()](&mut pod, n / SHAPES.len());
            pod
        })
        .collect()
}

/// A ReplicaSet with so many pods, and a Service in front of them: pods that are spread by default.
pub fn service_and_replicas(name: &str, scheduler_name: &str, n_pods: usize) -> (Value, Value) {
    let mut template = pod(name, scheduler_name, "100m");
    template["metadata"] = json!({ "labels": { GROUP: name } });
    let replicas = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": { "name": name },
        "spec": {
            "replicas": n_pods,
            "selector": { "matchLabels": { GROUP: name } },
            "template": { "metadata": template["metadata"], "spec": template["spec"] },
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "selector": { GROUP: name }, "ports": [{ "port": 80 }] },
    });
    (service, replicas)
}

fn container(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]
}

fn join(pod: &mut Value, group: &str) -> Value {
    pod["metadata"]["labels"][GROUP] = group.into();
    json!({ "matchLabels": { GROUP: group } })
}

fn plain(pod: &mut Value, n: usize) {
    if n.is_multiple_of(4) {
        container(pod)["image"] = LARGE_IMAGE.into();
    }
    if n.is_multiple_of(5) {
        container(pod)["resources"] = json!({});
    }
}

fn selects_nodes(pod: &mut Value, n: usize) {
    pod["spec"]["nodeSelector"] = json!({ "disk": "ssd", ZONE: (["a", "b", "c", "nowhere"][n % 4]) });
}

fn requires_nodes(pod: &mut Value, n: usize) {
    let expression = [
        json!({ "key": "generation", "operator": "Gt", "values": ["2"] }),
        json!({ "key": "disk", "operator": "NotIn", "values": ["hdd"] }),
        json!({ "key": ZONE, "operator": "DoesNotExist" }),
        json!({ "key": "generation", "operator": "Lt", "values": ["0"] }),
    ][n % 4]
        .clone();
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [
            { "matchExpressions": [expression, { "key": HOSTNAME, "operator": "Exists" }] },
            { "matchExpressions": [{ "key": "generation", "operator": "In", "values": ["none"] }] },
        ],
    });
}

fn prefers_nodes(pod: &mut Value, n: usize) {
    pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = json!([
        { "weight": 80, "preference": { "matchExpressions": [
            { "key": ZONE, "operator": "In", "values": [(["a", "b", "c"][n % 3])] },
        ] } },
        { "weight": 5, "preference": { "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["ssd"] }] } },
    ]);
}

fn tolerates(pod: &mut Value, n: usize) {
    pod["spec"]["tolerations"] = [
        json!([{ "key": "dedicated", "operator": "Equal", "value": "batch", "effect": "NoSchedule" }]),
        json!([{ "key": "node.kubernetes.io/unschedulable", "operator": "Exists" }]),
        json!([{ "operator": "Exists" }]),
    ][n % 3]
        .clone();
    if n.is_multiple_of(3) {
        requires_dedicated(pod);
    }
}

/// There, where only the toleration lets it go.
fn requires_dedicated(pod: &mut Value) {
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "generation", "operator": "In", "values": ["3"] }] }],
    });
}

/// More of them than nodes with a disk of that kind in a zone: some wait.
fn host_port(pod: &mut Value, n: usize) {
    let port = json!({ "containerPort": 80, "hostPort": 8080 + n / 20, "protocol": (["TCP", "TCP", "UDP"][n % 3]) });
    container(pod)["ports"] = json!([port]);
    if n % 3 < 2 {
        pod["spec"]["nodeSelector"] = json!({ "disk": "hdd", ZONE: "b" });
    }
}

/// More of them than GPUs: some wait.
fn gpu(pod: &mut Value, n: usize) {
    let resources = &mut container(pod)["resources"];
    resources["requests"][GPU] = (n % 3 + 1).to_string().into();
    resources["limits"] = json!({ GPU: (n % 3 + 1).to_string() });
}

fn init_containers(pod: &mut Value, n: usize) {
    let init = |name: &str, cpu: &str| json!({ "name": name, "image": "registry.example/init:1", "resources": { "requests": { "cpu": cpu } } });
    let mut sidecar = init("sidecar", "300m");
    sidecar["restartPolicy"] = "Always".into();
    let large = init("large", if n.is_multiple_of(8) { "33" } else { "5" });
    pod["spec"]["initContainers"] = [
        json!([large]),
        json!([sidecar]),
        json!([large, sidecar]),
        json!([sidecar, large]),
    ][n % 4]
        .clone();
}

fn spread(key: &str, max_skew: u32, when_unsatisfiable: &str, selector: &Value) -> Value {
    json!({
        "topologyKey": key,
        "maxSkew": max_skew,
        "whenUnsatisfiable": when_unsatisfiable,
        "labelSelector": selector,
    })
}

fn spreads_over_zones(pod: &mut Value, n: usize) {
    let selector = join(pod, ["spread-a", "spread-b"][n % 2]);
    pod["spec"]["topologySpreadConstraints"] = json!([spread(ZONE, 1, "DoNotSchedule", &selector)]);
}

fn spreads_over_nodes(pod: &mut Value, _: usize) {
    let selector = join(pod, "spread-nodes");
    let mut over_nodes = spread(HOSTNAME, 1, "DoNotSchedule", &selector);
    over_nodes["nodeTaintsPolicy"] = "Honor".into();
    pod["spec"]["topologySpreadConstraints"] = json!([spread(ZONE, 2, "DoNotSchedule", &selector), over_nodes]);
}

fn spreads_softly(pod: &mut Value, _: usize) {
    let selector = join(pod, "soft");
    pod["spec"]["topologySpreadConstraints"] = json!([
        spread(ZONE, 1, "ScheduleAnyway", &selector),
        spread(HOSTNAME, 1, "ScheduleAnyway", &selector),
    ]);
}

/// Each group in one zone, wherever its first pod went.
fn keeps_together(pod: &mut Value, n: usize) {
    let selector = join(pod, ["together-0", "together-1", "together-2"][n % 3]);
    require_pods(pod, "podAffinity", ZONE, &selector);
}

/// After plain pods of another group; the last ones after nobody.
fn follows(pod: &mut Value, n: usize) {
    let leader = ["leader-0", "leader-1", "leader-2", "nobody"][n / 2 % 4];
    if n.is_multiple_of(2) && leader != "nobody" {
        join(pod, leader);
    } else {
        let selector = json!({ "matchLabels": { GROUP: leader } });
        require_pods(pod, "podAffinity", ZONE, &selector);
    }
}

/// More of them than nodes on which they may be: some wait.
fn keeps_apart(pod: &mut Value, n: usize) {
    let selector = join(pod, "apart");
    require_pods(pod, "podAntiAffinity", HOSTNAME, &selector);
    if n.is_multiple_of(2) {
        pod["spec"]["nodeSelector"] = json!({ "generation": "4" });
    }
}

/// Every other one is what the others do not want in their zone's nodes.
fn avoids(pod: &mut Value, n: usize) {
    if n.is_multiple_of(2) {
        join(pod, "noisy");
    } else {
        let selector = json!({ "matchExpressions": [{ "key": GROUP, "operator": "In", "values": ["noisy"] }] });
        require_pods(pod, "podAntiAffinity", HOSTNAME, &selector);
    }
}

fn require_pods(pod: &mut Value, kind: &str, key: &str, selector: &Value) {
    pod["spec"]["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!([{ "topologyKey": key, "labelSelector": selector }]);
}

fn prefers_pods(pod: &mut Value, n: usize) {
    let selector = join(pod, "sociable");
    let (kind, key) = if n.is_multiple_of(2) {
        ("podAffinity", ZONE)
    } else {
        ("podAntiAffinity", HOSTNAME)
    };
    pod["spec"]["affinity"][kind]["preferredDuringSchedulingIgnoredDuringExecution"] =
        json!([{ "weight": 50, "podAffinityTerm": { "topologyKey": key, "labelSelector": selector } }]);
}

fn prioritised(pod: &mut Value, n: usize) {
    pod["spec"]["priorityClassName"] = PRIORITIES[n % 2].0.into();
}
