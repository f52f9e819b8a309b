//! What a decision costs, from the pod's input to its bind effect: `cargo bench -p muster-benches --bench decision`.
//!
//! Machines are noisy: compare figures of one run with each other, not with those of another day.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use muster_benches::{add_gang, drain, engine, pod};
use muster_engine::{Input, Object, Time};

fn plain(c: &mut Criterion) {
    let mut group = c.benchmark_group("plain pods, one after another");
    for n_nodes in [1_000, 5_000, 20_000] {
        const N_PODS: usize = 100;
        group.throughput(Throughput::Elements(N_PODS as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{n_nodes} nodes")), |b| {
            b.iter_batched_ref(
                || engine(n_nodes),
                |engine| {
                    for n in 0..N_PODS {
                        engine.handle(Time::ZERO, Input::Applied(Object::Pod(Box::new(pod(n, 100)))));
                    }
                    assert_eq!(drain(engine), N_PODS);
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn gangs(c: &mut Criterion) {
    let mut group = c.benchmark_group("one gang on 5000 nodes");
    for n_members in [8, 100, 1_000] {
        group.throughput(Throughput::Elements(n_members as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{n_members} members")), |b| {
            b.iter_batched_ref(
                || engine(5_000),
                |engine| {
                    add_gang(engine, n_members, 2000);
                    assert_eq!(drain(engine), n_members);
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn hopeless(c: &mut Criterion) {
    let mut group = c.benchmark_group("a pod that fits nowhere, with its reason");
    for n_nodes in [1_000, 5_000] {
        group.bench_function(BenchmarkId::from_parameter(format!("{n_nodes} nodes")), |b| {
            b.iter_batched_ref(
                || engine(n_nodes),
                |engine| {
                    engine.handle(Time::ZERO, Input::Applied(Object::Pod(Box::new(pod(0, 5_000)))));
                    assert_eq!(drain(engine), 2, "an event and a condition");
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = decision;
    config = Criterion::default().sample_size(20);
    targets = plain, gangs, hopeless
}
criterion_main!(decision);
