//! What waiting costs: members that arrive one by one before their gang can go, and events that help nobody of many who
//! wait: `cargo bench -p muster-benches --bench queue`.
//!
//! Machines are noisy: compare figures of one run with each other, not with those of another day.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use muster_benches::{deleted, drain, engine, gang_inputs, pod};
use muster_engine::{Engine, Input, Object, Time};
use muster_framework::record::PodRecord;

const NODES: usize = 5_000;

/// All members but one, so that the gang is never tried.
fn arrivals(c: &mut Criterion) {
    let mut group = c.benchmark_group("members that arrive before quorum");
    for n_members in [1_000, 5_000] {
        group.throughput(Throughput::Elements(n_members as u64 - 1));
        group.bench_function(BenchmarkId::from_parameter(format!("{n_members} members")), |b| {
            b.iter_batched(
                || {
                    let mut inputs = gang_inputs(n_members, 2_000);
                    inputs.pop();
                    (engine(100), inputs)
                },
                |(mut engine, inputs)| {
                    for input in inputs {
                        engine.handle(Time::ZERO, input);
                    }
                    engine
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// Pods that fit on no node wait; a small pod of another scheduler comes to a node and goes again.
fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("a pod comes and goes beside pods that wait");
    for (n_pods, n_classes) in [(0, 1), (10_000, 1), (1_000, 1_000), (10_000, 1_000)] {
        let mut engine = waiting(n_pods, n_classes);
        let name = format!("{n_pods} pods of {n_classes} specs");
        group.bench_function(name, |b| b.iter(|| come_and_go(&mut engine)));
        assert_eq!(engine.stats().pending[2], n_pods, "nobody was woken");
    }
    group.finish();
}

fn waiting(n_pods: usize, n_classes: usize) -> Engine {
    let mut engine = engine(NODES);
    for n in 0..n_pods {
        let too_large = pod(n, 5_000 + (n % n_classes) as i64);
        engine.handle(Time::ZERO, Input::Applied(Object::Pod(Box::new(too_large))));
    }
    drain(&mut engine);
    assert_eq!(engine.stats().pending[2], n_pods, "all wait for an event");
    engine
}

fn come_and_go(engine: &mut Engine) {
    let placed = PodRecord {
        uid: "other".into(),
        name: "other".into(),
        scheduler_name: "other".into(),
        node_name: Some("node-7".into()),
        ..pod(0, 100)
    };
    let gone = deleted(&placed);
    engine.handle(Time::ZERO, Input::Applied(Object::Pod(Box::new(placed))));
    engine.handle(Time::ZERO, gone);
}

criterion_group! {
    name = queue;
    config = Criterion::default().sample_size(20);
    targets = arrivals, events
}
criterion_main!(queue);
