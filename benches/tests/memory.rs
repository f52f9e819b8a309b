//! What the engine keeps in memory of nodes and pods that come as the API server writes them, and its limits:
//! `cargo test -p muster-benches --test memory -- --nocapture`.
//!
//! Bytes are those that were asked of the allocator and not given back; what it rounds up to is its own affair.

use muster_api::decode;
use muster_benches::cluster::Cluster;
use muster_benches::engine;
use muster_engine::{Engine, Input, Time};
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const N_NODES: usize = 5_000;
const N_PODS: usize = 50_000;
const N_TEMPLATES: usize = 100;
/// What a node may cost in the columns that decisions read.
const HOT_NODE_LIMIT: usize = 300;
/// What a pod may cost that is one of many replicas.
const POD_LIMIT: usize = 400;

fn in_use() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn node(n: usize) -> String {
    let images: Vec<String> = (0..20)
        .map(|at| {
            format!(
                r#"{{"names": ["registry.example/image-{at}:1"], "sizeBytes": {}}}"#,
                (at + 1) << 24
            )
        })
        .collect();
    format!(
        r#"{{"metadata": {{"name": "node-{n}", "uid": "5e9c2d1a-0000-4000-8000-{n:012}", "resourceVersion": "{n}",
            "labels": {{"kubernetes.io/hostname": "node-{n}", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": "zone-{}", "node.kubernetes.io/instance-type": "large"}}}},
            "spec": {{}},
            "status": {{"allocatable": {{"cpu": "32", "memory": "128Gi", "ephemeral-storage": "100Gi", "pods": "110"}},
                "images": [{}]}}}}"#,
        n % 10,
        images.join(",")
    )
}

/// A running pod of one of the templates: of a ReplicaSet, whose pods have the same labels, or of a StatefulSet, each of
/// whose pods has a label of its own.
fn pod(n: usize, stateful: bool) -> String {
    let app = n % N_TEMPLATES;
    let (name, labels, owner) = if stateful {
        let name = format!("app-{app}-{}", n / N_TEMPLATES);
        let labels =
            format!(r#""statefulset.kubernetes.io/pod-name": "{name}", "controller-revision-hash": "app-{app}-1""#);
        (name, labels, "StatefulSet")
    } else {
        (
            format!("app-{app}-7d9c5b8f6d-{n:05}"),
            r#""pod-template-hash": "7d9c5b8f6d", "tier": "web""#.into(),
            "ReplicaSet",
        )
    };
    format!(
        r#"{{"metadata": {{"name": "{name}", "namespace": "team-{}", "uid": "b7f0c3d2-0000-4000-8000-{n:012}",
            "resourceVersion": "{}", "generation": 1, "labels": {{"app": "app-{app}", {labels}}},
            "ownerReferences": [{{"apiVersion": "apps/v1", "kind": "{owner}", "name": "app-{app}", "uid": "u", "controller": true}}]}},
            "spec": {{"schedulerName": "default-scheduler", "priority": 0, "nodeName": "node-{}",
                "containers": [{{"name": "main", "image": "registry.example/app-{app}:1",
                    "resources": {{"requests": {{"cpu": "100m", "memory": "256Mi"}}}}}}],
                "tolerations": [{{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                    "tolerationSeconds": 300}}]}},
            "status": {{"phase": "Running", "conditions": [{{"type": "PodScheduled", "status": "True"}}]}}}}"#,
        app % 20,
        1_000_000 + n,
        n * 7919 % N_NODES
    )
}

fn tell(engine: &mut Engine, kind: Kind, json: &str) {
    let object = decode(kind, json.as_bytes()).expect("a valid object");
    engine.handle(Time::ZERO, Input::Applied(object));
}

/// Bytes for each node, and for each pod.
fn kept(stateful: bool) -> [usize; 2] {
    let mut engine = engine(0);
    let before = in_use();
    (0..N_NODES).for_each(|n| tell(&mut engine, Kind::Node, &node(n)));
    let with_nodes = in_use();
    (0..N_PODS).for_each(|n| tell(&mut engine, Kind::Pod, &pod(n, stateful)));
    let with_pods = in_use();
    [(with_nodes - before) / N_NODES, (with_pods - with_nodes) / N_PODS]
}

/// One test, so that nothing else asks for memory meanwhile.
#[test]
fn nodes_and_pods_that_are_kept_are_small() {
    let cluster = Cluster::new(N_NODES, 0, KubeMinor::default());
    let hot = cluster.table().hot_bytes() / N_NODES;
    drop(cluster);
    let [of_node, of_replica] = kept(false);
    let [_, of_stateful] = kept(true);
    eprintln!("a node: {of_node} bytes in all, {hot} in the columns that decisions read");
    eprintln!("a pod: {of_replica} bytes with the labels of its template, {of_stateful} with a label of its own");
    assert!(hot <= HOT_NODE_LIMIT, "{hot} bytes");
    assert!(of_replica <= POD_LIMIT, "{of_replica} bytes");
}
