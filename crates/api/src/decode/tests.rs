//! Decoding rule by rule, on realistic objects, and on nonsense.

mod groups;

use super::{DecodeError, decode, decode_for};
use muster_engine::Object;
use muster_framework::group::{GroupLink, GroupPolicy};
use muster_framework::record::{
    ControllerRef, Kind, NodeRecord, PodPhase, PodRecord, PodVolume, Protocol, SelectorOwnerRecord, SpreadConstraint,
    WhenUnsatisfiable, WorkloadRecord,
};
use muster_framework::resource::{Charge, DEFAULT_MEMORY_REQUEST, ResourceList, ScoringRequest};
use muster_framework::rules::KubeMinor;
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator};
use muster_framework::taint::{TaintEffect, TolerationOperator};
use muster_framework::volume::{ClaimPhase, ClaimRecord, StorageObject, VolumePhase, VolumeRecord, VolumeSource};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const BOUND_POD: &str = include_str!("testdata/bound_pod.json");
const NODE: &str = include_str!("testdata/node.json");

fn try_decode(kind: Kind, value: &Value) -> Result<Object, DecodeError> {
    decode(kind, value.to_string().as_bytes())
}

fn pod_of(value: &Value) -> PodRecord {
    match try_decode(Kind::Pod, value) {
        Ok(Object::Pod(pod)) => *pod,
        other => panic!("{other:?}"),
    }
}

fn pod_by(minor: KubeMinor, value: &Value) -> PodRecord {
    match decode_for(minor, Kind::Pod, value.to_string().as_bytes()) {
        Ok(Object::Pod(pod)) => *pod,
        other => panic!("{other:?}"),
    }
}

const MINORS: [KubeMinor; 3] = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];

fn storage_of(kind: Kind, value: &Value) -> StorageObject {
    match try_decode(kind, value) {
        Ok(Object::Storage(object)) => object,
        other => panic!("{other:?}"),
    }
}

/// A pod with this spec.
fn pod(spec: Value) -> PodRecord {
    pod_of(&json!({"metadata": {"name": "web-0", "namespace": "shop", "uid": "6c1f"}, "spec": spec}))
}

fn node_of(value: &Value) -> NodeRecord {
    match try_decode(Kind::Node, value) {
        Ok(Object::Node(node)) => node,
        other => panic!("{other:?}"),
    }
}

fn workload_of(value: &Value) -> WorkloadRecord {
    match try_decode(Kind::Workload, value) {
        Ok(Object::Workload(workload)) => workload,
        other => panic!("{other:?}"),
    }
}

/// What is noted as unsupported of a pod with this spec, one line each.
fn unsupported(spec: Value) -> String {
    let pod = pod(spec);
    let lines = pod
        .spec
        .unsupported
        .iter()
        .map(|u| format!("{}: {}", u.field, u.problem));
    lines.collect::<Vec<_>>().join("\n")
}

fn error(kind: Kind, value: &Value) -> String {
    try_decode(kind, value).expect_err("an error").to_string()
}

const MI: i64 = 1 << 20;

// Charges

/// A charge in short: cpu, memory in Mi, then the same for scoring.
fn short(charge: &Charge) -> (i64, i64, i64, i64) {
    let Charge {
        requests,
        scoring_milli_cpu,
        scoring_memory,
    } = charge;
    (
        requests.milli_cpu,
        requests.memory / MI,
        *scoring_milli_cpu,
        scoring_memory / MI,
    )
}

fn container(requests: Value) -> Value {
    json!({"name": "c", "resources": {"requests": requests}})
}

fn sidecar(requests: Value) -> Value {
    json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": requests}})
}

#[test]
fn the_charge_follows_the_containers() {
    let big = || json!({"cpu": "2", "memory": "100Mi"});
    let small = || json!({"cpu": "500m", "memory": "300Mi"});
    for (what, spec, expected) in [
        ("nothing at all", json!({}), (0, 0, 0, 0)),
        (
            "one without requests",
            json!({"containers": [{"name": "c"}]}),
            (0, 0, 100, 200),
        ),
        (
            "a stated zero gets no default",
            json!({"containers": [container(json!({"cpu": "0"}))]}),
            (0, 0, 0, 200),
        ),
        (
            "sums",
            json!({"containers": [container(big()), container(small())]}),
            (2500, 400, 2500, 400),
        ),
        (
            "bare numbers",
            json!({"containers": [container(json!({"cpu": 1.5, "memory": 1048576}))]}),
            (1500, 1, 1500, 1),
        ),
        (
            "null is zero",
            json!({"containers": [container(json!({"cpu": null}))]}),
            (0, 0, 0, 200),
        ),
        (
            "an init container counts by max",
            json!({"initContainers": [container(big())], "containers": [container(small())]}),
            (2000, 300, 2000, 300),
        ),
        (
            "a sidecar is added",
            json!({"initContainers": [sidecar(big())], "containers": [container(small())]}),
            (2500, 400, 2500, 400),
        ),
        (
            "an init container runs beside the sidecars before it",
            json!({"initContainers": [sidecar(small()), container(big())], "containers": [container(json!({"cpu": "1"}))]}),
            (2500, 400, 2500, 500),
        ),
        (
            "but not beside those after it",
            json!({"initContainers": [container(big()), sidecar(small())], "containers": [container(json!({"cpu": "1"}))]}),
            (2000, 300, 2000, 500),
        ),
        (
            "an init container without requests has defaults too",
            json!({"initContainers": [{"name": "i"}], "containers": [container(json!({"cpu": "50m", "memory": "1Mi"}))]}),
            (50, 1, 100, 200),
        ),
        (
            "overhead is added last",
            json!({"overhead": {"cpu": "10m", "memory": "5Mi"}, "containers": [container(big())]}),
            (2010, 105, 2010, 105),
        ),
        (
            "limits stand in for requests, each for itself",
            json!({"containers": [{"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "64Mi"}}}]}),
            (1000, 64, 1000, 64),
        ),
    ] {
        assert_eq!(short(&pod(spec).charge), expected, "{what}");
    }
}

#[test]
fn requests_of_the_pod_as_a_whole_replace_the_sum() {
    let containers = || json!([container(json!({"cpu": "2", "memory": "100Mi"})), {"name": "other"}]);
    for (what, resources, expected) in [
        // The container that states nothing has defaults in the sum, not once the pod states both.
        ("none", json!(null), (2000, 100, 2100, 300)),
        (
            "both",
            json!({"requests": {"cpu": "3", "memory": "1Gi"}}),
            (3000, 1024, 3000, 1024),
        ),
        (
            "one: the other is stated by a container",
            json!({"requests": {"cpu": "3"}}),
            (3000, 100, 3000, 100),
        ),
        (
            "limits, where no container asks",
            json!({"limits": {"cpu": "9", "hugepages-2Mi": "4Mi"}}),
            (2000, 100, 2000, 100),
        ),
        (
            "what cannot be stated for pods",
            json!({"requests": {"example.com/gpu": "3"}}),
            (2000, 100, 2100, 300),
        ),
    ] {
        let pod = pod(json!({"containers": containers(), "resources": resources}));
        assert_eq!(short(&pod.charge), expected, "{what}");
        assert_eq!(pod.charge.requests.scalar("example.com/gpu"), 0, "{what}");
    }
    // Overhead comes on top, and what nobody states has its defaults.
    let spec = json!({
        "containers": [{"name": "a"}, {"name": "b"}],
        "resources": {"requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}},
        "overhead": {"cpu": "10m"},
    });
    let charge = pod(spec).charge;
    assert_eq!(short(&charge), (1010, 0, 1010, 400));
    assert_eq!(charge.requests.scalar("hugepages-2Mi"), 4 * MI);
    // Limits of the pod alone.
    let spec = json!({"containers": [{"name": "a"}], "resources": {"limits": {"cpu": "1", "memory": "64Mi"}}});
    assert_eq!(short(&pod(spec).charge), (1000, 64, 1000, 64));
}

#[test]
fn all_resources_are_charged() {
    let requests =
        json!({"ephemeral-storage": "1k", "hugepages-2Mi": "4Mi", "example.com/gpu": "2", "pods": "1", "zero/z": 0});
    let charge = pod(json!({"containers": [container(requests.clone()), container(requests)]})).charge;
    let expected = ResourceList {
        ephemeral_storage: 2000,
        scalars: vec![("example.com/gpu".into(), 4), ("hugepages-2Mi".into(), 8 * MI)],
        ..ResourceList::default()
    };
    assert_eq!(charge.requests, expected);
    assert_eq!(charge.scoring_memory, 2 * DEFAULT_MEMORY_REQUEST);
}

#[test]
fn sums_are_rounded_once_and_what_nobody_counts_is_left_out() {
    let third = json!({"cpu": "333u", "memory": "300m", "example.com/gpu": "500m", "unknown": "7", "pods": "9"});
    let pod = pod(json!({"containers": [container(third.clone()), container(third.clone()), container(third)]}));
    let requests = &pod.charge.requests;
    assert_eq!((requests.milli_cpu, requests.memory), (1, 1));
    assert_eq!(requests.scalars, [("example.com/gpu".into(), 2)]);
}

#[test]
fn huge_and_tiny_amounts() {
    let tiny = json!({"cpu": "1n", "memory": "1u", "ephemeral-storage": "1e-9"});
    let tiny = pod(json!({"containers": [container(tiny)]})).charge.requests.clone();
    assert_eq!((tiny.milli_cpu, tiny.memory, tiny.ephemeral_storage), (1, 1, 1));
    let huge = json!({"cpu": "1e3", "memory": "7Ei", "ephemeral-storage": "9E"});
    let huge = pod(json!({"containers": [container(huge.clone()), container(huge)]}))
        .charge
        .requests
        .clone();
    assert_eq!(
        (huge.milli_cpu, huge.memory, huge.ephemeral_storage),
        (2_000_000, i64::MAX, i64::MAX)
    );
}

#[test]
fn a_pod_with_requests_of_its_own_is_scored_by_its_containers_alone() {
    let containers = json!([container(json!({"cpu": "1", "memory": "64Mi"})), {"name": "bare"}]);
    let spec = json!({"containers": containers, "resources": {"requests": {"cpu": "3"}}});
    let pod = pod(spec).spec.clone();
    // Placed, the bare container counts nothing, for another one states memory; scored, it has its defaults.
    assert_eq!(
        (pod.charge.scoring_milli_cpu, pod.charge.scoring_memory),
        (3000, 64 * MI)
    );
    let expected = ScoringRequest {
        milli_cpu: 1100,
        memory: 264 * MI,
    };
    assert_eq!(pod.scoring_request(), expected);
    let plain = self::pod(json!({"containers": [{"name": "bare"}]})).spec.clone();
    assert_eq!(plain.scoring, None);
    assert_eq!(plain.scoring_request().milli_cpu, 100);
}

/// A pod with one container of 1 CPU, with this status.
fn resized(minor: KubeMinor, node: &str, status: &Value) -> PodRecord {
    pod_by(
        minor,
        &json!({
            "metadata": {"name": "web-0", "namespace": "shop", "uid": "6c1f"},
            "spec": {"nodeName": node, "containers": [container(json!({"cpu": "1"}))]},
            "status": status,
        }),
    )
}

#[test]
fn a_bound_pod_is_charged_the_most_of_what_is_asked_for_given_and_in_use() {
    let status = |in_use: &str, given: &str| {
        json!({"containerStatuses": [
            {"name": "c", "resources": {"requests": {"cpu": in_use}}, "allocatedResources": {"cpu": given}}
        ]})
    };
    let infeasible = |mut status: Value, reason: &str| {
        status["conditions"] = json!([{"type": "PodResizePending", "status": "True", "reason": reason}]);
        status
    };
    let unread = json!({"containerStatuses": [{"name": "d", "resources": {"requests": {"cpu": "9"}}}]});
    let granted_only = json!({"containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "9"}}]});
    for (what, node, status, by_minor) in [
        ("shrinking", "n", status("3", "2"), [3000; 3]),
        ("granted", "n", status("1", "2"), [2000; 3]),
        ("growing", "n", status("500m", "500m"), [1000; 3]),
        (
            "growing in vain",
            "n",
            infeasible(status("500m", "500m"), "Infeasible"),
            [500; 3],
        ),
        (
            "growing later",
            "n",
            infeasible(status("500m", "500m"), "Deferred"),
            [1000; 3],
        ),
        ("without a node the spec counts", "", status("3", "2"), [1000; 3]),
        ("no status", "n", json!(null), [1000; 3]),
        // Up to 1.36 what was granted counts only beside what is in force.
        ("granted, nothing in force", "n", granted_only, [1000, 1000, 9000]),
        ("a status that cannot be read", "n", status("much", "2"), [2000; 3]),
        ("of another container", "n", unread, [1000; 3]),
        // From 1.37 on, what the spec asks for does not stand in for what is not reported.
        (
            "in vain and unreported",
            "n",
            infeasible(json!({}), "Infeasible"),
            [1000, 1000, 0],
        ),
    ] {
        let by = MINORS.map(|minor| resized(minor, node, &status).charge.requests.milli_cpu);
        assert_eq!(by, by_minor, "{what}");
        let pod = resized(KubeMinor::V1_37, node, &status);
        assert_eq!(pod.spec.charge.requests.milli_cpu, 1000, "{what}");
        assert!(pod.spec.unsupported.is_empty(), "{what}");
    }
}

#[test]
fn states_of_several_containers_are_compared_one_by_one_up_to_1_36_and_as_sums_after() {
    let reported = |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}}, "allocatedResources": {"cpu": cpu}});
    // One grows, the other shrinks by as much.
    let pod = json!({
        "metadata": {"name": "a", "uid": "u"},
        "spec": {"nodeName": "n", "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "2"}}},
            {"name": "b", "resources": {"requests": {"cpu": "1"}}},
        ]},
        "status": {"containerStatuses": [reported("a", "1"), reported("b", "2")]},
    });
    let by = MINORS.map(|minor| pod_by(minor, &pod).charge.requests.milli_cpu);
    assert_eq!(by, [4000, 4000, 3000]);
}

#[test]
fn a_pod_as_a_whole_is_resized_from_1_36_on() {
    let pod = |spec: Value, status: Value| {
        json!({
            "metadata": {"name": "a", "uid": "u"},
            "spec": {"nodeName": "n", "containers": [{"name": "c"}], "resources": {"requests": spec}},
            "status": status,
        })
    };
    let by = |pod: &Value| {
        MINORS.map(|minor| {
            let requests = pod_by(minor, pod).charge.requests;
            (requests.milli_cpu, requests.memory / MI)
        })
    };
    let grown = json!({"resources": {"requests": {"cpu": "3", "memory": "64Mi"}}, "allocatedResources": {"cpu": "2"}});
    // Memory, which the spec does not state, is taken from the status from 1.37 on.
    assert_eq!(by(&pod(json!({"cpu": "1"}), grown)), [(1000, 0), (3000, 0), (3000, 64)]);
    let in_vain = json!({
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
        "resources": {"requests": {"cpu": "2"}},
        "allocatedResources": {"cpu": "2"},
    });
    assert_eq!(
        by(&pod(json!({"cpu": "5"}), in_vain)),
        [(5000, 0), (2000, 0), (2000, 0)]
    );
}

#[test]
fn amounts_that_make_no_sense_keep_a_pod_waiting_but_counted() {
    let spec = json!({
        "nodeName": "n",
        "containers": [container(json!({"cpu": "1 core", "memory": "-5", "example.com/gpu": "2"}))],
        "initContainers": [{"resources": {"limits": {"cpu": "x"}}}],
        "overhead": {"cpu": ""},
        "resources": {"requests": {"memory": "lots"}},
    });
    assert_eq!(pod(spec.clone()).charge.requests.scalar("example.com/gpu"), 2);
    insta::assert_snapshot!(unsupported(spec), @r#"
    spec.containers[0].resources.requests.cpu: "1 core" is not a quantity (wanted is for example 500m, 2 or 1.5Gi)
    spec.containers[0].resources.requests.memory: "-5" is negative
    spec.initContainers[0].resources.limits.cpu: "x" is not a quantity (wanted is for example 500m, 2 or 1.5Gi)
    spec.overhead.cpu: "" is not a quantity (wanted is for example 500m, 2 or 1.5Gi)
    spec.resources.requests.memory: "lots" is not a quantity (wanted is for example 500m, 2 or 1.5Gi)
    "#);
}

// What narrows the choice of nodes

#[test]
fn host_ports_are_those_of_containers_that_keep_running() {
    let spec = |host_network: bool| {
        json!({
            "hostNetwork": host_network,
            "containers": [{"ports": [
                {"containerPort": 8080},
                {"containerPort": 80, "hostPort": 80, "protocol": "UDP", "hostIP": "10.0.0.1"},
                {"containerPort": 53, "hostPort": 53, "hostIP": null, "protocol": ""},
            ]}, {"ports": [{"hostPort": 53, "protocol": "TCP", "hostIP": "0.0.0.0"}]}],
            "initContainers": [
                {"restartPolicy": "Always", "ports": [{"hostPort": 15000, "protocol": "SCTP"}]},
                {"ports": [{"hostPort": 99}]},
            ],
        })
    };
    let ports = |spec: Value| {
        let ports: Vec<String> = pod(spec)
            .spec
            .host_ports
            .iter()
            .map(|p| format!("{} {:?} {}", p.ip, p.protocol, p.port))
            .collect();
        ports
    };
    let stated = ["0.0.0.0 Tcp 53", "0.0.0.0 Sctp 15000", "10.0.0.1 Udp 80"];
    assert_eq!(ports(spec(false)), stated);
    assert_eq!(ports(spec(true)), [stated[0], "0.0.0.0 Tcp 8080", stated[1], stated[2]]);
    assert_eq!(pod(spec(false)).spec.host_ports[1].protocol, Protocol::Sctp);

    let bad =
        json!({"containers": [{"ports": [{"hostPort": 65536}, {"hostPort": -1}, {"hostPort": 1, "protocol": "tcp"}]}]});
    insta::assert_snapshot!(unsupported(bad), @r#"
    spec.containers[0].ports[0].hostPort: 65536 is not between 1 and 65535
    spec.containers[0].ports[1].hostPort: -1 is not between 1 and 65535
    spec.containers[0].ports[2].protocol: "tcp" is not TCP, UDP or SCTP
    "#);
}

#[test]
fn tolerations_are_read_as_the_api_defaults_them() {
    let pod = pod(json!({"tolerations": [
        {"key": "a", "value": "1"},
        {"key": "b", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        {"operator": "Exists"},
    ]}));
    let read: Vec<_> = pod
        .spec
        .tolerations
        .iter()
        .map(|t| (&*t.key, t.operator, &*t.value, t.effect))
        .collect();
    use TolerationOperator::{Equal, Exists};
    let expected = [
        ("a", Equal, "1", None),
        ("b", Exists, "", Some(TaintEffect::NoExecute)),
        ("", Exists, "", None),
    ];
    assert_eq!(read, expected);

    insta::assert_snapshot!(unsupported(json!({"tolerations": [
        {"key": "a", "operator": "Gt", "value": "5"},
        {"key": "a", "operator": "Like"},
        {"key": "a", "effect": "Sometimes"},
        {"value": "x"},
        {"key": "a", "operator": "Exists", "value": "x"},
    ]})), @r#"
    spec.tolerations[0].operator: Gt is not supported yet
    spec.tolerations[1].operator: "Like" is not an operator of tolerations
    spec.tolerations[2].effect: "Sometimes" is not an effect of taints
    spec.tolerations[3].operator: must be Exists when the key is empty
    spec.tolerations[4].value: must be empty when the operator is Exists
    "#);
}

#[test]
fn node_affinity_is_read() {
    let pod = pod(json!({
        "nodeSelector": {"disk": "ssd", "arch": null},
        "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["8"]}, {"key": "x", "operator": "DoesNotExist"}]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]},
                {},
            ]},
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b", "a"]}]}},
            ],
        }},
    }));
    let spec = &pod.spec;
    assert_eq!(
        spec.node_selector,
        [("arch", ""), ("disk", "ssd")].into_iter().collect()
    );
    let terms = spec.node_affinity.as_deref().expect("terms");
    assert_eq!(terms.len(), 3);
    assert_eq!(terms[0].match_expressions[0].operator, Operator::Gt);
    assert_eq!(&*terms[1].match_fields[0].values[0], "node-1");
    assert!(terms[2].is_empty());
    assert_eq!(spec.preferred_node_affinity[0].weight, 100);
    assert!(spec.unsupported.is_empty());
}

#[test]
fn no_terms_are_something_else_than_no_affinity() {
    let required = |required: Value| {
        let spec = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}});
        pod(spec).spec.node_affinity.clone()
    };
    assert_eq!(required(json!(null)), None);
    assert_eq!(required(json!({"nodeSelectorTerms": null})), Some(Box::default()));
}

#[test]
fn bad_selectors_name_their_field() {
    let expressions = json!([
        {"key": "a", "operator": "in", "values": ["x"]},
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["x"]},
        {"key": "a", "operator": "Lt", "values": ["five"]},
        {"key": "a", "operator": "Gt", "values": ["1", "2"]},
        {"operator": "Exists"},
    ]);
    let fields = json!([
        {"key": "metadata.namespace", "operator": "In", "values": ["x"]},
        {"key": "metadata.name", "operator": "Exists"},
        {"key": "metadata.name", "operator": "NotIn", "values": ["x", "y"]},
    ]);
    let spec = json!({"affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": expressions, "matchFields": fields}]
            },
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {}}, {"weight": 101}],
        },
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}},
            {"labelSelector": {}},
        ]},
    }});
    insta::assert_snapshot!(unsupported(spec), @r#"
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: "in" is not an operator here
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].values: In needs at least one value
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[2].values: Exists takes no values
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[3].values: Lt needs an integer, not "five"
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[4].values: Gt needs exactly one value, not 2
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[5].key: is empty
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key: "metadata.namespace" is not a field that can be selected; metadata.name is
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[1].operator: "Exists" is not an operator here
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[2].values: NotIn on a field needs exactly one value, not 2
    spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: 0 is not between 1 and 100
    spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[1].weight: 101 is not between 1 and 100
    spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchExpressions[0].operator: "Gt" is not an operator here
    spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[1].topologyKey: is empty
    "#);
}

#[test]
fn labels_that_cannot_be_are_named() {
    let terms = json!([
        {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "two words"}}},
        {"topologyKey": "zone", "labelSelector": {"matchExpressions": [{"key": "-", "operator": "Exists"}]}},
        {"topologyKey": "zone", "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]}},
        {"topologyKey": "a zone"},
    ]);
    let lines = unsupported(json!({"affinity": {
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms},
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["-8"]}]},
        ]}},
    }}));
    insta::assert_snapshot!(lines, @r#"
    spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: "-8" is not the value of a label
    spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchLabels.app: "two words" is not the value of a label
    spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[1].labelSelector.matchExpressions[0].key: "-" is not the key of a label
    spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[2].namespaceSelector.matchExpressions[0].values: "-" is not the value of a label
    spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[3].topologyKey: "a zone" is not the key of a label
    "#);
}

/// The terms under one of the four headings of pod affinity.
fn terms_under(parent: &str, list: &str, terms: Value) -> PodRecord {
    pod(json!({"affinity": {parent: {list: terms}}}))
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

#[test]
fn pod_affinity_is_read_under_all_four_headings() {
    let term = json!({"topologyKey": "zone", "labelSelector": {}});
    let weighted = json!([{"weight": 5, "podAffinityTerm": term}]);
    let required = json!([term]);
    let counts = |pod: PodRecord| {
        let spec = &pod.spec;
        assert!(spec.unsupported.is_empty());
        [
            spec.affinity.len(),
            spec.anti_affinity.len(),
            spec.preferred_affinity.len(),
            spec.preferred_anti_affinity.len(),
        ]
    };
    assert_eq!(
        counts(terms_under("podAffinity", REQUIRED, required.clone())),
        [1, 0, 0, 0]
    );
    assert_eq!(counts(terms_under("podAntiAffinity", REQUIRED, required)), [0, 1, 0, 0]);
    assert_eq!(
        counts(terms_under("podAffinity", PREFERRED, weighted.clone())),
        [0, 0, 1, 0]
    );
    let last = terms_under("podAntiAffinity", PREFERRED, weighted);
    assert_eq!(last.spec.preferred_anti_affinity[0].weight, 5);
    assert_eq!(counts(last), [0, 0, 0, 1]);
}

#[test]
fn a_term_speaks_of_selected_pods_in_the_namespaces_that_it_states() {
    let term = |term: Value| {
        terms_under("podAntiAffinity", REQUIRED, json!([term]))
            .spec
            .anti_affinity[0]
            .clone()
    };
    let full = term(json!({
        "topologyKey": "zone",
        "labelSelector": {
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["3"]}],
        },
        "namespaces": ["y", "x", "y"],
        "namespaceSelector": {},
        // Joined to the selector by the API server; the scheduler does not look at them.
        "matchLabelKeys": ["d"],
        "mismatchLabelKeys": ["e"],
    }));
    let keys: Vec<_> = full
        .selector
        .iter()
        .flat_map(|s| &s.requirements)
        .map(|r| (&*r.key, r.operator))
        .collect();
    assert_eq!(keys, [("a", Operator::In), ("b", Operator::In), ("c", Operator::NotIn)]);
    assert_eq!(*full.namespaces.names, ["x".into(), "y".into()]);
    assert_eq!(full.namespaces.selector, Some(LabelSelector::default()));

    // No selector selects no pod, an empty one every pod.
    let bare = term(json!({"topologyKey": "zone"}));
    assert_eq!((bare.selector, &*bare.namespaces.names), (None, &["shop".into()][..]));
    assert_eq!(
        term(json!({"topologyKey": "zone", "labelSelector": {}})).selector,
        Some(LabelSelector::default())
    );
    // A selector of namespaces, even null's opposite, the empty one, leaves the pod's own out.
    let elsewhere = |selector: Value| {
        let term = term(json!({"topologyKey": "zone", "namespaceSelector": selector}));
        (term.namespaces.names.len(), term.namespaces.selector.is_some())
    };
    assert_eq!(elsewhere(json!({"matchLabels": {"team": "x"}})), (0, true));
    assert_eq!(elsewhere(json!({})), (0, true));
    assert_eq!(elsewhere(json!(null)), (1, false));
}

#[test]
fn one_bad_term_makes_the_pod_wait_and_takes_its_list_with_it() {
    let good = json!({"topologyKey": "zone", "labelSelector": {}});
    let pod = terms_under("podAntiAffinity", REQUIRED, json!([good, {"labelSelector": {}}]));
    assert!(pod.spec.anti_affinity.is_empty());
    assert_eq!(pod.spec.unsupported.len(), 1);
}

/// The constraints of a pod with the label `version: v1`.
fn spread(constraints: Value) -> Vec<SpreadConstraint> {
    let pod = pod_of(&json!({
        "metadata": {"name": "a", "namespace": "shop", "uid": "u", "labels": {"version": "v1"}},
        "spec": {"topologySpreadConstraints": constraints},
    }));
    pod.spec.spread.to_vec()
}

#[test]
fn spread_constraints_are_read_with_upstreams_defaults() {
    let plain = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
    let full = json!({
        "maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 3,
        "labelSelector": {"matchLabels": {"app": "web"}},
        "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor",
    });
    let read = spread(json!([plain, full]));
    let [plain, full] = &*read else { panic!("{read:?}") };
    assert_eq!((plain.pods.selector.clone(), plain.min_domains), (None, None));
    assert_eq!((plain.honor_node_affinity, plain.honor_node_taints), (true, false));
    assert_eq!(*plain.pods.namespaces.names, ["shop".into()]);
    assert_eq!(plain.when_unsatisfiable, WhenUnsatisfiable::DoNotSchedule);
    assert_eq!((full.max_skew, full.min_domains), (2, Some(3)));
    assert_eq!((full.honor_node_affinity, full.honor_node_taints), (false, true));
    assert_eq!(full.when_unsatisfiable, WhenUnsatisfiable::ScheduleAnyway);
}

#[test]
fn match_label_keys_join_the_pods_own_values_once() {
    let keys = |selector: Value| {
        let constraint = json!({
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": selector, "matchLabelKeys": ["version", "absent"],
        });
        let selector = spread(json!([constraint])).remove(0).pods.selector?;
        let keys = selector.requirements.iter().map(|r| r.key.to_string());
        Some(keys.collect::<Vec<_>>())
    };
    assert_eq!(
        keys(json!({"matchLabels": {"app": "web"}})),
        Some(vec!["app".into(), "version".into()])
    );
    assert_eq!(keys(json!({})), Some(vec!["version".into()]));
    // The API server has joined them already.
    let joined = json!({"matchExpressions": [{"key": "version", "operator": "In", "values": ["v1"]}]});
    assert_eq!(keys(joined), Some(vec!["version".into()]));
    // A selector that is absent selects nothing all the same.
    assert_eq!(keys(json!(null)), None);
}

#[test]
fn bad_spread_constraints_name_their_field() {
    let good = |key: &str, value: Value| {
        let mut constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        constraint[key] = value;
        constraint
    };
    insta::assert_snapshot!(unsupported(json!({"topologySpreadConstraints": [
        good("maxSkew", json!(0)),
        good("maxSkew", json!(3_000_000_000u64)),
        good("topologyKey", json!("")),
        good("whenUnsatisfiable", json!("Never")),
        good("minDomains", json!(-1)),
        good("nodeAffinityPolicy", json!("honor")),
        good("nodeTaintsPolicy", json!("")),
        good("labelSelector", json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]})),
    ]})), @r#"
    spec.topologySpreadConstraints[0].maxSkew: 0 is not between 1 and 2147483647
    spec.topologySpreadConstraints[1].maxSkew: 3000000000 is not between 1 and 2147483647
    spec.topologySpreadConstraints[2].topologyKey: is empty
    spec.topologySpreadConstraints[3].whenUnsatisfiable: "Never" is neither DoNotSchedule nor ScheduleAnyway
    spec.topologySpreadConstraints[4].minDomains: -1 is not between 1 and 2147483647
    spec.topologySpreadConstraints[5].nodeAffinityPolicy: "honor" is neither Honor nor Ignore
    spec.topologySpreadConstraints[6].nodeTaintsPolicy: "" is neither Honor nor Ignore
    spec.topologySpreadConstraints[7].labelSelector.matchExpressions[0].operator: "Gt" is not an operator here
    "#);
}

#[test]
fn what_cannot_be_honoured_is_named() {
    insta::assert_snapshot!(unsupported(json!({
        "resourceClaims": [{"name": "gpu"}],
        "volumes": [
            {"name": "a", "persistentVolumeClaim": {}},
            {"name": "b", "quantumFoam": {}},
            {"name": "c", "awsElasticBlockStore": {"volumeID": "aws://zone/disk"}},
            {"name": "d", "azureDisk": {"diskName": "d", "diskURI": "u", "kind": "Dedicated"}},
        ],
        "workloadRef": {"name": "", "podGroup": null},
    })), @r#"
    spec.workloadRef.name: is missing
    spec.workloadRef.podGroup: is missing
    spec.volumes[0].persistentVolumeClaim.claimName: is missing
    spec.volumes[1].quantumFoam: volumes of this kind are not supported yet
    spec.volumes[2].awsElasticBlockStore.volumeID: "aws://zone/disk" is not the id of an AWS volume
    spec.volumes[3].azureDisk.kind: only managed disks can be used: CSI knows no others
    spec.resourceClaims: devices by resource claims (dynamic resource allocation) are not supported yet
    "#);
}

#[test]
fn volumes_that_nodes_are_judged_for() {
    let spec = json!({"volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-0", "readOnly": true}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "g", "gcePersistentDisk": {"pdName": "disk", "readOnly": true}},
        {"name": "e", "awsElasticBlockStore": {"volumeID": "aws://us-east-1a/vol-1"}},
        {"name": "z", "azureDisk": {"diskName": "d", "diskURI": "uri", "kind": "Managed"}},
        {"name": "c", "cinder": {"volumeID": "v"}},
        {"name": "p", "portworxVolume": {"volumeID": "w"}},
        {"name": "i", "iscsi": {"iqn": "iqn.1", "targetPortal": "p", "lun": 0}},
        {"name": "r", "rbd": {"monitors": ["m1", "m2"], "image": "img"}},
    ]});
    let pod = pod(spec);
    assert!(pod.spec.unsupported.is_empty());
    insta::assert_debug_snapshot!("volumes", pod.spec.volumes);
    let in_tree = pod
        .spec
        .volumes
        .iter()
        .filter(|v| matches!(v, PodVolume::InTree { .. }));
    assert_eq!(in_tree.count(), 5);
}

#[test]
fn images_are_named_as_nodes_name_them() {
    let pod = pod(json!({
        "initContainers": [{"image": "busybox"}],
        "containers": [{"image": "registry:5000/nginx"}, {"image": "nginx:1.27"}, {"image": "nginx@sha256:4f"}],
        "volumes": [{"name": "model", "image": {"reference": "models/llm"}}, {"name": "x", "emptyDir": {}}],
    }));
    let expected = [
        "busybox:latest",
        "registry:5000/nginx:latest",
        "nginx:1.27",
        "nginx@sha256:4f",
    ];
    assert_eq!(pod.spec.images.iter().map(|i| &**i).collect::<Vec<_>>(), expected);
    assert_eq!(&*pod.spec.volume_images, &["models/llm:latest".into()][..]);
}

#[test]
fn features_are_found_in_what_a_pod_uses() {
    let pod = json!({
        "metadata": {"name": "a", "uid": "u"},
        "spec": {
            "hostNetwork": true,
            "hostUsers": false,
            "containers": [{"restartPolicyRules": [{"action": "RestartAllContainers"}]}],
            "initContainers": [{"volumeMounts": [{"bindMountOptions": ["noexec"]}]}],
        },
    });
    assert_eq!(
        MINORS.map(|minor| pod_by(minor, &pod).spec.required_features.len()),
        [0, 2, 3]
    );
    assert!(
        self::pod(json!({"hostNetwork": true, "containers": [{}]}))
            .spec
            .required_features
            .is_empty()
    );
}

#[test]
fn the_controller_counts_by_group_version_and_kind() {
    let controller = |version: &str, kind: &str, controls: Value| {
        let owner = json!({"apiVersion": version, "kind": kind, "name": "web", "uid": "o", "controller": controls});
        pod_of(&json!({"metadata": {"name": "a", "uid": "u", "ownerReferences": [owner]}})).controller
    };
    let of = |kind| {
        Some(ControllerRef {
            kind,
            name: "web".into(),
        })
    };
    assert_eq!(controller("apps/v1", "ReplicaSet", json!(true)), of(Kind::ReplicaSet));
    assert_eq!(controller("apps/v1", "StatefulSet", json!(true)), of(Kind::StatefulSet));
    assert_eq!(
        controller("v1", "ReplicationController", json!(true)),
        of(Kind::ReplicationController)
    );
    assert_eq!(controller("apps/v1beta1", "ReplicaSet", json!(true)), None);
    assert_eq!(controller("example.com/v1", "ReplicaSet", json!(true)), None);
    assert_eq!(controller("batch/v1", "Job", json!(true)), None);
    assert_eq!(controller("apps/v1", "ReplicaSet", json!(false)), None);
    assert_eq!(controller("apps/v1", "ReplicaSet", json!(null)), None);
}

#[test]
fn empty_constraints_are_none() {
    let lines = unsupported(json!({
        "schedulingGroup": null,
        "resourceClaims": [],
        "topologySpreadConstraints": null,
        "affinity": {"podAffinity": {}, "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}, "nodeAffinity": null},
        "volumes": [
            {"name": "a", "configMap": {}}, {"name": "b", "secret": {}}, {"name": "c", "projected": {}},
            {"name": "d", "emptyDir": {}}, {"name": "e", "downwardAPI": {}}, {"name": "f", "hostPath": {}},
            {"name": "g", "nfs": {}}, {"name": "h", "image": {}}, {"name": "i"}, {"name": "j", "csi": null}, null,
        ],
    }));
    assert_eq!(lines, "");
}

// The rest of a pod

#[test]
fn a_pod_belongs_to_a_pod_group_by_its_workload() {
    let link = |link: Value| pod(json!({"workloadRef": link})).group;
    let expected = |replica_key: &str| {
        let (workload, pod_group) = ("train".into(), "workers".into());
        Some(GroupLink::Workload {
            workload,
            pod_group,
            replica_key: replica_key.into(),
        })
    };
    assert_eq!(link(json!({"name": "train", "podGroup": "workers"})), expected(""));
    assert_eq!(
        link(json!({"name": "train", "podGroup": "workers", "podGroupReplicaKey": "r1"})),
        expected("r1")
    );
    assert_eq!(link(json!({"name": "train"})), None);
    assert_eq!(link(json!(null)), None);
}

#[test]
fn phases_and_the_condition() {
    let with = |status: Value| pod_of(&json!({"metadata": {"name": "a", "uid": "u"}, "status": status}));
    for (phase, expected) in [
        ("Pending", PodPhase::Active),
        ("Running", PodPhase::Active),
        ("Unknown", PodPhase::Active),
        ("", PodPhase::Active),
        ("Succeeded", PodPhase::Succeeded),
        ("Failed", PodPhase::Failed),
    ] {
        assert_eq!(with(json!({"phase": phase})).phase, expected);
    }
    let condition = |kind: &str, status: &str| {
        let condition = json!({"type": kind, "status": status, "reason": "Unschedulable", "message": "no room"});
        with(json!({"conditions": [{"type": "Ready", "status": "False"}, condition]})).condition
    };
    assert_eq!(
        condition("PodScheduled", "False").map(|c| c.message.to_string()),
        Some("no room".into())
    );
    assert_eq!(condition("PodScheduled", "True"), None);
    assert_eq!(condition("Initialized", "False"), None);
}

#[test]
fn a_pod_as_its_server_and_kubelet_left_it() {
    let Ok(Object::Pod(bound)) = decode(Kind::Pod, BOUND_POD.as_bytes()) else {
        panic!("decodes")
    };
    insta::assert_debug_snapshot!("bound_pod", bound);
}

#[test]
fn twins_share_a_spec_bound_or_not() {
    let mut value: Value = serde_json::from_str(BOUND_POD).expect("JSON");
    let bound = pod_of(&value);
    value["metadata"] = json!({"name": "twin", "namespace": "shop", "uid": "another", "labels": {"index": "7"}});
    value["spec"]["nodeName"] = json!(null);
    value["status"] = json!({"phase": "Pending"});
    let pending = pod_of(&value);
    assert_eq!(bound.spec, pending.spec);
    assert_eq!(pending.charge, pending.spec.charge);
    assert_eq!((bound.node_name.is_some(), pending.node_name.is_some()), (true, false));
    assert!(Arc::ptr_eq(&bound.namespace, &pending.namespace));
}

// Other kinds

#[test]
fn a_node_as_its_kubelet_left_it() {
    let Ok(Object::Node(node)) = decode(Kind::Node, NODE.as_bytes()) else {
        panic!("decodes")
    };
    insta::assert_debug_snapshot!("node", node);
}

#[test]
fn a_node_without_allocatable_has_its_capacity() {
    let node = |status: Value| node_of(&json!({"metadata": {"name": "n"}, "status": status}));
    let capacity = json!({"cpu": 4, "pods": "110", "attachable-volumes-x": "39"});
    let from_capacity = node(json!({"capacity": capacity}));
    assert_eq!(
        (from_capacity.allocatable.milli_cpu, from_capacity.allowed_pods),
        (4000, 110)
    );
    assert_eq!(from_capacity.allocatable.scalar("attachable-volumes-x"), 39);
    assert_eq!(node(json!({"capacity": capacity, "allocatable": {}})).allowed_pods, 0);
    assert_eq!(node(json!(null)).allocatable, ResourceList::default());
}

#[test]
fn workloads_state_a_policy_for_each_group() {
    let policy = |policy: Value| {
        let spec = json!({"podGroups": [{"name": "other", "policy": {"basic": {}}}, {"name": "g", "policy": policy}]});
        let workload = workload_of(&json!({"metadata": {"name": "w", "namespace": "n", "uid": "u"}, "spec": spec}));
        assert_eq!(workload.pod_groups[0], ("other".into(), Ok(GroupPolicy::Basic)));
        workload.pod_groups[1].1.clone().map_err(|problem| problem.to_string())
    };
    assert_eq!(
        policy(json!({"gang": {"minCount": 4}})),
        Ok(GroupPolicy::Gang { min_count: 4 })
    );
    assert_eq!(policy(json!({"gang": null, "basic": {}})), Ok(GroupPolicy::Basic));
    let problems = [
        json!(null),
        json!({"basic": {}, "gang": {"minCount": 1}}),
        json!({"gang": {}}),
        json!({"gang": {"minCount": 0}}),
        json!({"gang": {"minCount": -3}}),
        json!({"gang": {"minCount": 3_000_000_000u64}}),
    ];
    let lines = problems.map(|value| policy(value).expect_err("a problem")).join("\n");
    insta::assert_snapshot!(lines, @r#"
    spec.podGroups[1].policy: states neither basic nor gang
    spec.podGroups[1].policy: states both basic and gang
    spec.podGroups[1].policy.gang.minCount: is missing
    spec.podGroups[1].policy.gang.minCount: 0 is less than 1
    spec.podGroups[1].policy.gang.minCount: -3 is less than 1
    spec.podGroups[1].policy.gang.minCount: 3000000000 is more than 2147483647
    "#);
}

#[test]
fn priority_classes_and_namespaces() {
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": "high", "resourceVersion": "x"}, "value": 1000, "globalDefault": true});
    let Ok(Object::PriorityClass(class)) = try_decode(Kind::PriorityClass, &class) else {
        panic!("decodes")
    };
    assert_eq!(
        (&*class.name, class.value, class.global_default, class.resource_version),
        ("high", 1000, true, 0)
    );
    let namespace = json!({"metadata": {"name": "shop", "resourceVersion": "12", "labels": {"team": "x"}}});
    let Ok(Object::Namespace(namespace)) = try_decode(Kind::Namespace, &namespace) else {
        panic!("decodes")
    };
    assert_eq!(
        (namespace.resource_version, namespace.labels.get("team").map(|v| &**v)),
        (12, Some("x"))
    );
}

#[test]
fn nodes_tell_their_images_and_features() {
    let node = node_of(&json!({"metadata": {"name": "n"}, "status": {
        "images": [{"names": ["nginx:1.27", "nginx@sha256:4f"], "sizeBytes": 70_000_000}, {"names": null}],
        "declaredFeatures": ["B", "A", "B"],
    }}));
    assert_eq!((node.images[0].names.len(), node.images[0].size), (2, 70_000_000));
    assert_eq!((node.images[1].names.len(), node.images[1].size), (0, 0));
    assert_eq!(&*node.declared_features, &["A".into(), "B".into()][..]);
}

fn selector_owner(kind: Kind, selector: Value) -> SelectorOwnerRecord {
    let meta = json!({"name": "web", "namespace": "shop", "resourceVersion": "3"});
    match try_decode(kind, &json!({"metadata": meta, "spec": {"selector": selector}})) {
        Ok(Object::SelectorOwner(owner)) => owner,
        other => panic!("{other:?}"),
    }
}

#[test]
fn selectors_of_services_and_controllers() {
    for kind in [Kind::Service, Kind::ReplicationController] {
        let keys = |selector: Value| selector_owner(kind, selector).selector.map(|s| s.requirements.len());
        assert_eq!(keys(json!({"app": "web", "tier": "two words"})), Some(2), "{kind:?}");
        assert_eq!(keys(json!({})), Some(0), "{kind:?}");
        assert_eq!(keys(json!(null)), None, "{kind:?}");
    }
    for kind in [Kind::ReplicaSet, Kind::StatefulSet] {
        let keys = |selector: Value| selector_owner(kind, selector).selector.map(|s| s.requirements.len());
        let both = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]});
        assert_eq!(keys(both), Some(2), "{kind:?}");
        assert_eq!(keys(json!(null)), None, "{kind:?}");
        // As upstream, one that cannot be read is as good as none.
        assert_eq!(
            keys(json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]})),
            None
        );
    }
    let service = selector_owner(Kind::Service, json!({"app": "web"}));
    assert_eq!((&*service.namespace, service.resource_version), ("shop", 3));
}

// Storage

fn volume(metadata: Value, spec: Value) -> VolumeRecord {
    let mut metadata = metadata;
    metadata["name"] = json!("pv-1");
    let object = json!({"metadata": metadata, "spec": spec, "status": {"phase": "Available"}});
    match storage_of(Kind::PersistentVolume, &object) {
        StorageObject::Volume(volume) => *volume,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_volume_is_read() {
    let volume = volume(
        json!({"uid": "aa", "resourceVersion": "7", "labels": {"a": "b"},
            "annotations": {"pv.kubernetes.io/bound-by-controller": "yes", "other": "{\"a\": 1}"}}),
        json!({
            "capacity": {"storage": "1.5Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "volumeMode": "Block",
            "storageClassName": "fast", "volumeAttributesClassName": "gold",
            "claimRef": {"namespace": "shop", "name": "data", "uid": "cc", "kind": "PersistentVolumeClaim"},
            "csi": {"driver": "d", "volumeHandle": "h"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
            ]}},
        }),
    );
    assert_eq!(
        (volume.capacity, volume.block, volume.phase),
        (1536 * MI, true, VolumePhase::Available)
    );
    assert_eq!((&*volume.storage_class, &*volume.attributes_class), ("fast", "gold"));
    assert!(volume.bound_by_controller && volume.access_modes.read_only_many && !volume.access_modes.read_write_many);
    let claim = volume.claim.expect("a claim");
    assert_eq!(
        (&*claim.claim.namespace, &*claim.claim.name, &*claim.uid),
        ("shop", "data", "cc")
    );
    let expected = VolumeSource::Csi {
        driver: "d".into(),
        handle: "h".into(),
    };
    assert_eq!((volume.source, &*volume.in_tree), (expected, ""));
    assert_eq!(volume.node_affinity.expect("terms").len(), 1);
}

#[test]
fn the_old_annotation_of_the_class_comes_first() {
    let annotations = json!({"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}});
    assert_eq!(
        &*volume(annotations.clone(), json!({"storageClassName": "new"})).storage_class,
        "old"
    );
    let class = |metadata: Value, spec: Value| claim(metadata, spec, json!({})).storage_class.map(|c| c.to_string());
    assert_eq!(
        class(annotations, json!({"storageClassName": "new"})),
        Some("old".into())
    );
    assert_eq!(class(json!({}), json!({"storageClassName": "new"})), Some("new".into()));
    assert_eq!(class(json!({}), json!({"storageClassName": ""})), Some(String::new()));
    assert_eq!(class(json!({}), json!({})), None);
}

#[test]
fn in_tree_volumes_are_translated() {
    let zone = json!({"labels": {"topology.kubernetes.io/zone": "us-east1-b"}});
    for (source, in_tree, handle) in [
        (
            json!({"gcePersistentDisk": {"pdName": "d"}}),
            "kubernetes.io/gce-pd",
            "projects/UNSPECIFIED/zones/us-east1-b/disks/d",
        ),
        (
            json!({"awsElasticBlockStore": {"volumeID": "aws://z/vol-1"}}),
            "kubernetes.io/aws-ebs",
            "vol-1",
        ),
        (json!({"azureDisk": {"diskURI": "u"}}), "kubernetes.io/azure-disk", "u"),
        (json!({"cinder": {"volumeID": "c"}}), "kubernetes.io/cinder", "c"),
        (
            json!({"portworxVolume": {"volumeID": "p"}}),
            "kubernetes.io/portworx-volume",
            "p",
        ),
    ] {
        let volume = volume(zone.clone(), source);
        assert_eq!(&*volume.in_tree, in_tree);
        assert!(
            matches!(&volume.source, VolumeSource::Csi { handle: h, .. } if **h == *handle),
            "{volume:?}"
        );
        let translated = matches!(
            in_tree,
            "kubernetes.io/gce-pd" | "kubernetes.io/aws-ebs" | "kubernetes.io/cinder"
        );
        assert_eq!(
            (volume.node_affinity, volume.migrated_node_affinity.is_some()),
            (None, translated)
        );
    }
    for source in [
        json!({"nfs": {}}),
        json!({"vsphereVolume": {"volumePath": "p"}}),
        json!({"csi": null}),
    ] {
        let volume = volume(zone.clone(), source);
        assert_eq!((volume.source, &*volume.in_tree), (VolumeSource::Other, ""));
    }
}

#[test]
fn a_volumes_affinity_is_about_labels_alone() {
    let affinity = |term: Value| {
        let spec = json!({"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}});
        volume(json!({}), spec).node_affinity.expect("terms")[0].clone()
    };
    let labels = |pairs: &[(&str, &str)]| pairs.iter().copied().collect();
    let field = json!([{"key": "metadata.name", "operator": "In", "values": ["other"]}]);
    let zone = json!([{"key": "zone", "operator": "In", "values": ["a"]}]);
    let both = affinity(json!({"matchFields": field, "matchExpressions": zone}));
    assert!(both.matches("n", &labels(&[("zone", "a")])) && !both.matches("n", &labels(&[])));
    assert!(affinity(json!({"matchFields": field})).matches("n", &labels(&[])));
    // What cannot be read, and what says nothing, matches no node.
    let bad = json!({"matchExpressions": [{"key": "zone", "operator": "Like"}]});
    assert_eq!(affinity(bad), NodeSelectorTerm::default());
    assert_eq!(affinity(json!({})), NodeSelectorTerm::default());
}

fn claim(metadata: Value, spec: Value, status: Value) -> ClaimRecord {
    let mut metadata = metadata;
    metadata["name"] = json!("data");
    let object = json!({"metadata": metadata, "spec": spec, "status": status});
    match storage_of(Kind::PersistentVolumeClaim, &object) {
        StorageObject::Claim(claim) => *claim,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claim_is_read() {
    let claim = claim(
        json!({
            "namespace": "shop", "uid": "cc", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"kind": "Pod", "name": "web-0", "uid": "6c1f", "controller": true}],
            "annotations": {
                "pv.kubernetes.io/bind-completed": "yes",
                "volume.kubernetes.io/selected-node": "node-1",
            },
        }),
        json!({
            "volumeName": "pv-1", "accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": "2Gi"}},
            "selector": {"matchLabels": {"disk": "ssd"}},
        }),
        json!({"phase": "Bound"}),
    );
    assert_eq!((claim.request, claim.phase), (2048 * MI, ClaimPhase::Bound));
    assert_eq!(
        (&*claim.owner_pod, &*claim.volume, &*claim.selected_node),
        ("6c1f", "pv-1", "node-1")
    );
    assert!(claim.bind_completed && claim.terminating && claim.access_modes.read_write_once_pod && !claim.block);
    assert_eq!(claim.selector.map(|s| s.requirements.len()), Some(1));
    let bad = json!({"metadata": {"name": "data"}, "spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}}});
    assert!(error(Kind::PersistentVolumeClaim, &bad).contains("spec.selector.matchExpressions[0].operator"));
    let bad = json!({"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "lots"}}}});
    assert!(error(Kind::PersistentVolumeClaim, &bad).contains("spec.resources.requests.storage"));
}

#[test]
fn the_other_storage_kinds_are_read() {
    let class = storage_of(
        Kind::StorageClass,
        &json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast", "resourceVersion": "1"},
            "provisioner": "d", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [
                {"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]},
                {"matchLabelExpressions": [{"key": "zone", "values": []}]},
            ],
        }),
    );
    let bare = storage_of(Kind::StorageClass, &json!({"metadata": {"name": "slow"}}));
    let node = storage_of(
        Kind::CsiNode,
        &json!({
            "metadata": {"name": "n", "annotations": {"storage.alpha.kubernetes.io/migrated-plugins": "a,b"}},
            "spec": {"drivers": [{"name": "d", "allocatable": {"count": 25}}, {"name": "e", "allocatable": null}]},
        }),
    );
    let driver = storage_of(
        Kind::CsiDriver,
        &json!({
            "metadata": {"name": "d"}, "spec": {"storageCapacity": true, "preventPodSchedulingIfMissing": true},
        }),
    );
    let capacity = storage_of(
        Kind::CsiStorageCapacity,
        &json!({
            "metadata": {"name": "c", "namespace": "kube-system"}, "storageClassName": "fast", "capacity": "10Gi",
            "nodeTopology": {"matchLabels": {"zone": "a"}},
        }),
    );
    let attachment = storage_of(
        Kind::VolumeAttachment,
        &json!({
            "metadata": {"name": "a"},
            "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "pv-1"}},
        }),
    );
    insta::assert_debug_snapshot!("storage", [class, bare, node, driver, capacity, attachment]);
}

// Errors

#[test]
fn errors_name_the_object_the_field_and_the_problem() {
    let meta = json!({"name": "web-0", "namespace": "shop", "uid": "u"});
    let lines = [
        error(
            Kind::Pod,
            &json!({"metadata": meta, "spec": {"containers": [{"ports": "80"}]}}),
        ),
        error(
            Kind::Pod,
            &json!({"metadata": meta, "spec": {"containers": [{"resources": {"requests": {"cpu": true}}}]}}),
        ),
        error(
            Kind::Pod,
            &json!({"metadata": meta, "spec": {"priority": 5_000_000_000u64}}),
        ),
        error(Kind::Pod, &json!({"metadata": meta, "spec": {"volumes": 3}})),
        error(Kind::Pod, &json!({"metadata": meta, "spec": ["muster", "node-1"]})),
        error(Kind::Pod, &json!({"metadata": {"name": "web-0", "namespace": "shop"}})),
        error(Kind::Pod, &json!({"metadata": {"namespace": "shop", "uid": "u"}})),
        error(Kind::Pod, &json!({"kind": "Node", "metadata": meta})),
        error(
            Kind::Workload,
            &json!({"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "Workload", "metadata": meta}),
        ),
        error(
            Kind::Node,
            &json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "Never"}]}}),
        ),
        error(
            Kind::Node,
            &json!({"metadata": {"name": "n"}, "status": {"allocatable": {"example.com/gpu": "2 of them"}}}),
        ),
        error(Kind::Node, &json!([])),
        decode(Kind::Node, b"{} {}").expect_err("an error").to_string(),
        decode(Kind::Node, b"<html>").expect_err("an error").to_string(),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Pod shop/web-0: spec.containers[0].ports: invalid type: string "80", expected a list
    Pod shop/web-0: spec.containers[0].resources.requests.cpu: invalid type: boolean `true`, expected a quantity
    Pod shop/web-0: spec.priority: invalid value: integer `5000000000`, expected i32
    Pod shop/web-0: spec.volumes: invalid type: integer `3`, expected a list
    Pod shop/web-0: spec: invalid type: sequence, expected an object
    Pod shop/web-0: metadata.uid: is missing
    Pod shop/(without a name): metadata.name: is missing
    Pod shop/web-0: kind: "Node" is not "Pod"
    Workload shop/web-0: apiVersion: "scheduling.k8s.io/v1alpha2" is not "scheduling.k8s.io/v1alpha1"
    Node n: spec.taints[0].effect: "Never" is not an effect of taints
    Node n: status.allocatable[example.com/gpu]: "2 of them" is not a quantity (wanted is for example 500m, 2 or 1.5Gi)
    Node (without a name): invalid type: sequence, expected an object
    Node (without a name): something follows the object
    Node (without a name): expected value
    "#);
}

#[test]
fn null_is_absent_everywhere() {
    /// Every value once replaced by null, one at a time.
    fn with_nulls(value: &Value, found: &mut Vec<Value>, rebuild: &dyn Fn(Value) -> Value) {
        found.push(rebuild(Value::Null));
        match value {
            Value::Object(map) => {
                for key in map.keys() {
                    with_nulls(&map[key], found, &|inner| {
                        let mut map = map.clone();
                        map[key] = inner;
                        rebuild(Value::Object(map))
                    });
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    with_nulls(item, found, &|inner| {
                        let mut items = items.clone();
                        items[at] = inner;
                        rebuild(Value::Array(items))
                    });
                }
            }
            _ => {}
        }
    }
    for (kind, text) in [(Kind::Pod, BOUND_POD), (Kind::Node, NODE)] {
        let original: Value = serde_json::from_str(text).expect("JSON");
        let mut variants = Vec::new();
        with_nulls(&original, &mut variants, &|value| value);
        assert!(variants.len() > 50);
        for value in variants {
            match try_decode(kind, &value) {
                Ok(_) => {}
                // Name and uid are what an object cannot do without.
                Err(error) if error.field.starts_with("metadata.") && error.problem == "is missing" => {}
                // Null is zero, but no effect.
                Err(error) if error.field.ends_with(".effect") => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9.-]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,5}", inner, 0..3).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Replaces one value inside, chosen by walking down as the indices say.
fn mutate(value: &mut Value, way: &[prop::sample::Index], new: Value) {
    let inner = match (way.first(), &mut *value) {
        (Some(index), Value::Object(map)) if !map.is_empty() => {
            let at = index.index(map.len());
            map.values_mut().nth(at)
        }
        (Some(index), Value::Array(items)) if !items.is_empty() => {
            let at = index.index(items.len());
            items.get_mut(at)
        }
        _ => None,
    };
    match inner {
        Some(inner) => mutate(inner, &way[1..], new),
        None => *value = new,
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in Kind::ALL {
            let _ = decode(kind, &bytes);
        }
    }

    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        for kind in Kind::ALL {
            let _ = try_decode(kind, &value);
        }
    }

    #[test]
    fn a_cut_object_is_an_error(at in 0..BOUND_POD.trim_end().len()) {
        prop_assert!(decode(Kind::Pod, &BOUND_POD.as_bytes()[..at]).is_err());
    }

    #[test]
    fn a_changed_pod_decodes_or_names_a_field(
        way in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
        new in any_json(),
    ) {
        let mut value: Value = serde_json::from_str(BOUND_POD).expect("JSON");
        mutate(&mut value, &way, new);
        match try_decode(Kind::Pod, &value) {
            Ok(Object::Pod(pod)) => prop_assert_eq!(pod.spec.node_name.as_ref(), None),
            Ok(other) => prop_assert!(false, "{:?}", other),
            Err(error) => {
                prop_assert!(!error.field.is_empty(), "{}", error);
                prop_assert!(error.problem.len() <= 300, "{}", error);
                prop_assert!(error.to_string().starts_with("Pod "), "{}", error);
            }
        }
    }

    #[test]
    fn a_changed_node_decodes_or_names_a_field(
        way in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        new in any_json(),
    ) {
        let mut value: Value = serde_json::from_str(NODE).expect("JSON");
        mutate(&mut value, &way, new);
        if let Err(error) = try_decode(Kind::Node, &value) {
            prop_assert!(!error.field.is_empty(), "{}", error);
        }
    }
}

/// A pod with one word put in a place where only some words make sense, and the field that is to be named if it does not.
fn pod_with(word: &str, place: usize) -> (Value, &'static str) {
    let selector = json!({"matchExpressions": [{"key": "a", "operator": word, "values": ["b"]}]});
    let value = json!({"matchLabels": {"a": word}});
    let term = |term: Value| json!({"affinity": {"podAffinity": {REQUIRED: [term]}}});
    let nodes = |r: Value| json!({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [r]}]}}}});
    let places = [
        (term(json!({"topologyKey": "z", "labelSelector": selector})), "operator"),
        (term(json!({"topologyKey": "z", "labelSelector": value})), "matchLabels"),
        (
            term(json!({"topologyKey": "z", "namespaceSelector": value})),
            "matchLabels",
        ),
        (term(json!({"topologyKey": word, "labelSelector": {}})), "topologyKey"),
        (nodes(json!({"key": "a", "operator": word, "values": ["5"]})), "."),
        (nodes(json!({"key": "a", "operator": "Gt", "values": [word]})), "values"),
        (json!({"tolerations": [{"key": "a", "operator": word}]}), "operator"),
        (json!({"containers": [container(json!({"cpu": word}))]}), "cpu"),
        (json!({"overhead": {"memory": word}}), "memory"),
        (
            json!({"topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": word, "whenUnsatisfiable": "DoNotSchedule"},
            ]}),
            "topologyKey",
        ),
    ];
    places[place % places.len()].clone()
}

proptest! {
    /// The bad input of which a pod, and that pod alone, is to wait: never an error, and the field is named.
    #[test]
    fn words_that_make_no_sense_keep_the_pod_waiting(
        word in prop_oneof!["", "-?[0-9]{1,30}[a-zA-Z]{0,2}", "[A-Za-z -]{0,12}", any::<String>()],
        place in 0usize..10,
    ) {
        let (spec, field) = pod_with(&word, place);
        let pod = pod(spec);
        for problem in &pod.spec.unsupported {
            prop_assert!(problem.field.contains(field), "{:?}", problem);
            prop_assert!(!problem.problem.is_empty() && problem.problem.len() < 400, "{:?}", problem);
        }
    }

    #[test]
    fn empty_words_make_no_sense_in_most_places(place in 0usize..10) {
        let (spec, _) = pod_with("", place);
        // An empty label value is one, and an empty operator of a toleration is Equal.
        let fine = [1, 2, 6].contains(&place);
        prop_assert_eq!(pod(spec).spec.unsupported.is_empty(), fine, "{}", place);
    }
}
