//! From the bytes of a watch event to the input that the engine is told, and the engine's own part of it:
//! `cargo bench -p muster-benches --bench decode`.
//!
//! The objects are as a 1.35 API server writes them. Machines are noisy: compare figures of one run with each other. The
//! reference is `serde_json` going through the same bytes and keeping nothing.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use muster_api::envelope;
use muster_benches::{deleted, engine};
use muster_engine::{BindOutcome, Effect, EffectKind, Engine, Input, Object, Outcome, Time};
use muster_framework::record::{Kind, PodRecord};
use serde::de::IgnoredAny;
use std::hint::black_box;
use std::time::{Duration, Instant};

const NODES: usize = 1_000;

/// A pod of a Deployment that waits: what a controller and the admission of an API server make of a small template.
fn pending() -> String {
    pod(
        "",
        r#"{"phase":"Pending","qosClass":"Burstable"}"#,
        &managed_fields(&["kube-controller-manager"]),
    )
}

/// The same pod, bound.
fn bound() -> String {
    let status = r#"{"phase":"Pending","conditions":[{"type":"PodScheduled","observedGeneration":1,"status":"True","lastProbeTime":null,"lastTransitionTime":"2026-03-01T11:58:02Z"}],"qosClass":"Burstable"}"#;
    pod(
        r#""nodeName":"node-17","#,
        status,
        &managed_fields(&["kube-controller-manager"]),
    )
}

/// The same pod, running: the kubelet has said so.
fn running() -> String {
    let conditions: Vec<String> = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .iter()
        .map(|name| format!(r#"{{"type":"{name}","observedGeneration":1,"status":"True","lastProbeTime":null,"lastTransitionTime":"2026-03-01T11:58:09Z"}}"#))
        .collect();
    let status = format!(
        r#"{{"observedGeneration":1,"phase":"Running","conditions":[{}],"hostIP":"10.0.0.17","hostIPs":[{{"ip":"10.0.0.17"}}],"podIP":"10.1.17.4","podIPs":[{{"ip":"10.1.17.4"}}],"startTime":"2026-03-01T11:58:02Z","containerStatuses":[{{"name":"main","state":{{"running":{{"startedAt":"2026-03-01T11:58:08Z"}}}},"lastState":{{}},"ready":true,"restartCount":0,"image":"registry.example/web:1.4.2","imageID":"registry.example/web@sha256:7f2b1f6f3c0c4b9a","containerID":"containerd://5b0f7c31e1a9","started":true,"allocatedResources":{{"cpu":"100m","memory":"128Mi"}},"resources":{{"limits":{{"memory":"256Mi"}},"requests":{{"cpu":"100m","memory":"128Mi"}}}}}}],"qosClass":"Burstable"}}"#,
        conditions.join(",")
    );
    pod(
        r#""nodeName":"node-17","#,
        &status,
        &managed_fields(&["kube-controller-manager", "kubelet"]),
    )
}

fn managed_fields(managers: &[&str]) -> String {
    let fields = r#"{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"0b0e7a4a-8f0c-4f65-8a60-0d6f1a1f2c11\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"MODE\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{".":{},"f:limits":{".":{},"f:memory":{}},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}"#;
    let entries: Vec<String> = managers
        .iter()
        .map(|manager| {
            format!(r#"{{"manager":"{manager}","operation":"Update","apiVersion":"v1","time":"2026-03-01T11:58:02Z","fieldsType":"FieldsV1","fieldsV1":{fields}}}"#)
        })
        .collect();
    entries.join(",")
}

fn pod(node_name: &str, status: &str, managed_fields: &str) -> String {
    let metadata = format!(
        r#"{{"name":"web-5d9c7b-x2x7q","generateName":"web-5d9c7b-","namespace":"default","uid":"uid-1","resourceVersion":"184467","generation":1,"creationTimestamp":"2026-03-01T11:58:02Z","labels":{{"app":"web","pod-template-hash":"5d9c7b"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d9c7b","uid":"0b0e7a4a-8f0c-4f65-8a60-0d6f1a1f2c11","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{managed_fields}]}}"#
    );
    let spec = format!(
        r#"{{"volumes":[{{"name":"kube-api-access-v5lf9","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}},{{"downwardAPI":{{"items":[{{"path":"namespace","fieldRef":{{"apiVersion":"v1","fieldPath":"metadata.namespace"}}}}]}}}}],"defaultMode":420}}}}],"containers":[{{"name":"main","image":"registry.example/web:1.4.2","ports":[{{"containerPort":8080,"protocol":"TCP"}}],"env":[{{"name":"MODE","value":"production"}}],"resources":{{"limits":{{"memory":"256Mi"}},"requests":{{"cpu":"100m","memory":"128Mi"}}}},"volumeMounts":[{{"name":"kube-api-access-v5lf9","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","serviceAccount":"default",{node_name}"securityContext":{{}},"schedulerName":"muster","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}},{{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"}}"#
    );
    format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{metadata},"spec":{spec},"status":{status}}}"#)
}

fn node() -> String {
    let images: Vec<String> = (0..20)
        .map(|at| format!(r#"{{"names":["registry.example/team/image-{at}@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","registry.example/team/image-{at}:1.{at}"],"sizeBytes":{}}}"#, 50_000_000 + at))
        .collect();
    let conditions: Vec<String> = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
        .iter()
        .map(|name| format!(r#"{{"type":"{name}","status":"False","lastHeartbeatTime":"2026-03-01T11:58:02Z","lastTransitionTime":"2026-03-01T08:00:00Z","reason":"KubeletHas","message":"kubelet has sufficient of it"}}"#))
        .collect();
    let capacity = r#"{"cpu":"16","ephemeral-storage":"100Gi","memory":"65536Mi","pods":"110"}"#;
    format!(
        r#"{{"kind":"Node","apiVersion":"v1","metadata":{{"name":"node-17","uid":"c0752be8-57f6-42d5-b1ea-b82c821ddc57","resourceVersion":"996","creationTimestamp":"2026-02-21T14:40:16Z","labels":{{"beta.kubernetes.io/arch":"amd64","kubernetes.io/arch":"amd64","kubernetes.io/hostname":"node-17","kubernetes.io/os":"linux","topology.kubernetes.io/zone":"zone-7"}},"managedFields":[{}]}},"spec":{{"podCIDR":"10.1.17.0/24","podCIDRs":["10.1.17.0/24"]}},"status":{{"capacity":{capacity},"allocatable":{capacity},"conditions":[{}],"addresses":[{{"type":"InternalIP","address":"10.0.0.17"}}],"nodeInfo":{{"machineID":"","kernelVersion":"6.1"}},"images":[{}]}}}}"#,
        managed_fields(&["kubelet"]),
        conditions.join(","),
        images.join(",")
    )
}

/// What an informer does with a line of a watch: split it, read the object, make an input of it.
fn input(kind: Kind, line: &[u8]) -> Input {
    let event = envelope::watch_event(line).expect("a watch event");
    Input::Applied(muster_api::decode(kind, event.object).expect("a legible object"))
}

fn lines(c: &mut Criterion) {
    let mut group = c.benchmark_group("a line of a watch");
    for (name, kind, object) in [
        ("a pod that waits", Kind::Pod, pending()),
        ("a pod that was bound", Kind::Pod, bound()),
        ("a pod that runs", Kind::Pod, running()),
        ("a node of 20 images", Kind::Node, node()),
    ] {
        let line = format!(r#"{{"type":"MODIFIED","object":{object}}}"#);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(format!("{name}, {} bytes", line.len()), |b| {
            b.iter(|| input(kind, black_box(line.as_bytes())));
        });
        group.bench_function(format!("{name}, reference"), |b| {
            b.iter(|| serde_json::from_slice::<IgnoredAny>(black_box(line.as_bytes())).expect("JSON"));
        });
    }
    group.finish();
}

fn pages(c: &mut Criterion) {
    let items = vec![running(); 500].join(",");
    let body =
        format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":[{items}]}}"#);
    let mut group = c.benchmark_group("a page of 500 pods that run");
    group.throughput(Throughput::Elements(500));
    group.bench_function("split", |b| {
        b.iter(|| envelope::page(black_box(body.as_bytes())).expect("a page").items.len());
    });
    group.bench_function("split and read", |b| {
        b.iter(|| {
            let page = envelope::page(black_box(body.as_bytes())).expect("a page");
            let read = page.items.iter().map(|item| muster_api::decode(Kind::Pod, item));
            read.filter(Result::is_ok).count()
        });
    });
    group.finish();
}

fn pod_record(json: &str) -> PodRecord {
    match muster_api::decode(Kind::Pod, json.as_bytes()) {
        Ok(Object::Pod(pod)) => *pod,
        other => panic!("not a pod: {other:?}"),
    }
}

/// A pod that was bound, as the watch is about to show it: everything that went before has been done here.
fn bind_one(engine: &mut Engine, mut pod: PodRecord) -> PodRecord {
    engine.handle(Time::ZERO, Input::Applied(Object::Pod(Box::new(pod.clone()))));
    while let Some(Effect { id, kind }) = engine.poll(Time::ZERO) {
        if let EffectKind::Bind { node, .. } = kind {
            let outcome = Outcome::Bind(BindOutcome::Bound);
            engine.handle(Time::ZERO, Input::EffectDone { id, outcome });
            pod.node_name = Some(node);
            pod.resource_version += 1;
        }
    }
    assert!(pod.node_name.is_some(), "the pod was bound");
    pod
}

/// The watch event that shows a bind which has been answered: what each bind costs the engine after the fact.
fn confirmation(c: &mut Criterion) {
    let mut engine = engine(NODES);
    let template = pod_record(&pending());
    let mut n_pods = 0;
    c.bench_function("the engine is shown what it has done", |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    n_pods += 1;
                    let pod = PodRecord {
                        uid: format!("uid-{n_pods}").into(),
                        name: format!("pod-{n_pods}").into(),
                        ..template.clone()
                    };
                    let shown = bind_one(&mut engine, pod);
                    let gone = deleted(&shown);
                    let input = Input::Applied(Object::Pod(Box::new(shown)));
                    let begun = Instant::now();
                    engine.handle(Time::ZERO, input);
                    let took = begun.elapsed();
                    engine.handle(Time::ZERO, gone);
                    drop(engine.drain_observations());
                    took
                })
                .sum::<Duration>()
        });
    });
}

criterion_group!(benches, lines, pages, confirmation);
criterion_main!(benches);
