//! Work whose instructions are counted by `cargo xtask bench check`, one sort of it a run: `counted NAME`, under callgrind.
//!
//! What has to be there first is made outside of [`measured`], and only what happens inside is counted. Without an
//! argument, it says what there is: on each line a name and how many operations are measured at once.
#![allow(clippy::print_stdout)]

use muster_api::decode;
use muster_benches::cluster::Shape;
use muster_benches::full::FullEngine;
use muster_benches::{BATCHED, deleted, drain, engine, gang_inputs, pod};
use muster_engine::{AttemptResult, BatchCounts, Engine, Input, Object, Observation, PodRef, Section, Stats, Time};
use muster_framework::record::{Kind, PodRecord};
use muster_telemetry::Metrics;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

/// Something that is measured.
struct Bench {
    name: &'static str,
    /// How many times that is done: what is counted is divided by it.
    n_operations: usize,
    prepare: fn(usize) -> Work,
}

type Work = Box<dyn FnMut()>;

const BENCHES: [Bench; 11] = [
    Bench {
        name: "a plain pod of a new shape, 1000 nodes",
        n_operations: 20,
        prepare: |n| decisions(1_000, (0..n).map(|n| pod(n, 100 + n as i64)).collect()),
    },
    Bench {
        name: "a plain pod like those before it, 1000 nodes",
        n_operations: 100,
        prepare: |n| decisions(1_000, twins(n)),
    },
    Bench {
        name: "a plain pod like those before it, 5000 nodes",
        n_operations: 100,
        prepare: |n| decisions(5_000, twins(n)),
    },
    Bench {
        name: "hard zone spread, 1000 nodes with 2000 pods",
        n_operations: 50,
        prepare: |n| full_decisions(Shape::ZoneSpread, n),
    },
    Bench {
        name: "required affinity by zone, 1000 nodes with 2000 pods",
        n_operations: 50,
        prepare: |n| full_decisions(Shape::Affinity, n),
    },
    Bench {
        name: "a member of a gang of 100, planned, 1000 nodes",
        n_operations: 100,
        prepare: gang,
    },
    Bench {
        name: "a member that arrives before quorum",
        n_operations: 500,
        prepare: arrivals,
    },
    Bench {
        name: "a hopeless pod like those before it, 1000 nodes",
        n_operations: 100,
        prepare: |n| verdicts(1_000, n),
    },
    Bench {
        name: "a pod comes to a node and goes again while 1000 twins wait",
        n_operations: 100,
        prepare: events,
    },
    Bench {
        name: "what metrics count of a pod",
        n_operations: 1000,
        prepare: counting,
    },
    Bench {
        name: "a pod is decoded",
        n_operations: 100,
        prepare: decoding,
    },
];

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        for bench in &BENCHES {
            println!("{}\t{}", bench.name, bench.n_operations);
        }
        return ExitCode::SUCCESS;
    };
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == wanted) else {
        eprintln!("error: there is no bench {wanted:?}");
        return ExitCode::FAILURE;
    };
    let mut work = (bench.prepare)(bench.n_operations);
    measured(&mut work);
    ExitCode::SUCCESS
}

/// Callgrind counts while this runs: it knows it by its name.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    // Something after it, so that it stays a call.
    black_box(());
}

fn tell(engine: &mut Engine, pod: PodRecord) {
    engine.handle(Time::ZERO, Input::Applied(Object::Pod(Box::new(pod))));
}

/// From hearing of pods to their binds.
fn decisions(n_nodes: usize, pods: Vec<PodRecord>) -> Work {
    let mut engine = engine(n_nodes);
    // What is made when the first pods come is there.
    (0..10).for_each(|n| tell(&mut engine, pod(1_000_000 + n, 100)));
    assert_eq!(drain(&mut engine), 10, "all are bound");
    let mut pods = Some(pods);
    Box::new(move || {
        let pods = pods.take().unwrap_or_default();
        let n_pods = pods.len();
        pods.into_iter().for_each(|pod| tell(&mut engine, pod));
        assert_eq!(drain(&mut engine), n_pods, "all are bound");
    })
}

fn twins(n: usize) -> Vec<PodRecord> {
    (0..n).map(|n| pod(n, 100)).collect()
}

/// The same where many pods are, of an application that the terms speak of.
fn full_decisions(shape: Shape, n: usize) -> Work {
    let mut engine = FullEngine::new(1_000, 2_000, BATCHED);
    (0..10).for_each(|_| engine.place_twin(shape));
    let mut pods: Option<Vec<PodRecord>> = Some((0..n).map(|_| engine.pod(shape)).collect());
    Box::new(move || {
        let pods = pods.take().unwrap_or_default();
        let n_pods = pods.len();
        assert_eq!(engine.place_all(pods), n_pods, "all are bound");
    })
}

/// From the last member to the binds of all.
fn gang(n: usize) -> Work {
    let mut engine = engine(1_000);
    let mut inputs = gang_inputs(n, 100);
    let mut last = inputs.pop();
    inputs.into_iter().for_each(|input| engine.handle(Time::ZERO, input));
    drain(&mut engine);
    Box::new(move || {
        if let Some(last) = last.take() {
            engine.handle(Time::ZERO, last);
        }
        assert_eq!(drain(&mut engine), n, "all are bound");
    })
}

/// Members of a gang that is never complete.
fn arrivals(n: usize) -> Work {
    let mut engine = engine(100);
    // Half before, half afterwards: neither the first ones nor the last.
    let mut inputs = gang_inputs(2 * n, 100).into_iter();
    inputs
        .by_ref()
        .take(n / 2)
        .for_each(|input| engine.handle(Time::ZERO, input));
    let mut inputs = Some(inputs.take(n).collect::<Vec<_>>());
    Box::new(move || {
        for input in inputs.take().unwrap_or_default() {
            engine.handle(Time::ZERO, input);
        }
    })
}

/// From hearing of pods that fit nowhere to what is said of them.
fn verdicts(n_nodes: usize, n: usize) -> Work {
    let mut engine = engine(n_nodes);
    tell(&mut engine, pod(1_000_000, 5_000));
    drain(&mut engine);
    let mut pods = Some((0..n).map(|n| pod(n, 5_000)).collect::<Vec<_>>());
    Box::new(move || {
        pods.take()
            .unwrap_or_default()
            .into_iter()
            .for_each(|pod| tell(&mut engine, pod));
        assert_eq!(drain(&mut engine), 2 * n, "an event and a condition each");
    })
}

/// Pods of another scheduler, one after another, while pods of ours wait for more room than one of them leaves.
fn events(n: usize) -> Work {
    let mut engine = engine(1_000);
    (0..1_000).for_each(|n| tell(&mut engine, pod(n, 5_000)));
    drain(&mut engine);
    let inputs = (0..n).flat_map(|n| {
        let placed = PodRecord {
            uid: format!("other-{n}").into(),
            name: format!("other-{n}").into(),
            scheduler_name: "other".into(),
            node_name: Some(format!("node-{n}").into()),
            ..pod(0, 100)
        };
        let gone = deleted(&placed);
        [Input::Applied(Object::Pod(Box::new(placed))), gone]
    });
    let mut inputs = Some(inputs.collect::<Vec<_>>());
    Box::new(move || {
        for input in inputs.take().unwrap_or_default() {
            engine.handle(Time::ZERO, input);
        }
        assert_eq!(engine.stats().pending[2], 1_000, "nobody was woken");
    })
}

/// What the driver tells the metrics when a pod comes, is tried and is bound.
fn counting(n: usize) -> Work {
    let metrics = Metrics::new(&["muster"]).expect("metrics");
    let name = |name: &str| name.into();
    let arrival = Input::Applied(Object::Pod(Box::new(pod(0, 100))));
    let done = [
        Observation::QueueIncoming {
            section: Section::Active,
            event: "UnscheduledPodAdd",
            pods: 1,
            group: false,
        },
        Observation::Attempt {
            result: AttemptResult::Scheduled,
            profile: name("muster"),
            pods: 1,
            gang: false,
        },
        Observation::Batching {
            profile: name("muster"),
            counts: BatchCounts::default(),
        },
        Observation::Bound {
            pod: PodRef {
                namespace: name("default"),
                name: name("a"),
                uid: name("u"),
            },
            node: name("node-0"),
            attempts: 1,
            waited: Duration::from_millis(3),
            after_flush: false,
            with_group: false,
        },
    ];
    let count = move || {
        metrics.input(&arrival);
        for observation in &done {
            metrics.observation(observation, Duration::from_micros(40));
        }
        metrics.stats(&Stats::default());
        metrics.request("POST", Some(201), Duration::from_millis(2));
    };
    // Series are made when they are needed first.
    count();
    Box::new(move || (0..n).for_each(|_| count()))
}

/// From JSON to the record of a pod.
fn decoding(n: usize) -> Work {
    const POD: &str = r#"{"metadata": {"name": "web-7d9c5b8f6d-x2x7q", "generateName": "web-7d9c5b8f6d-", "namespace": "shop",
        "uid": "b7f0c3d2-0000-4000-8000-000000000001", "resourceVersion": "184467", "generation": 1,
        "creationTimestamp": "2026-03-01T11:58:02Z", "labels": {"app": "web", "pod-template-hash": "7d9c5b8f6d"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9c5b8f6d", "uid": "u",
            "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"schedulerName": "muster", "priority": 0, "nodeName": "node-17", "restartPolicy": "Always",
            "containers": [{"name": "main", "image": "registry.example/web:1.4.2", "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 8080, "protocol": "TCP"}], "env": [{"name": "MODE", "value": "production"}],
                "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}}}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300}]},
        "status": {"phase": "Running", "startTime": "2026-03-01T11:58:02Z", "podIP": "10.1.17.4",
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-01T11:58:02Z"}]}}"#;
    let decoded = || decode(Kind::Pod, POD.as_bytes()).expect("a valid pod");
    // What is made at the first time is there.
    drop(decoded());
    Box::new(move || (0..n).for_each(|_| drop(black_box(decoded()))))
}
