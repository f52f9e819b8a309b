//! What a decision costs, from the pod's input to its bind effect: `cargo bench -p muster-benches --bench decision`.
//!
//! Machines are noisy: compare figures of one run with each other, not with those of another day.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use muster_benches::cluster::{Cluster, Shape};
use muster_benches::full::FullEngine;
use muster_benches::{BATCHED, UNBATCHED, add_gang, drain, engine, pod};
use muster_engine::{Input, Object, Time};
use muster_framework::record::PodRecord;
use muster_framework::rules::KubeMinor;
use std::hint::black_box;
use std::time::Duration;

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
    for n_members in [8, 100, 1_000, 5_000] {
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

/// One pod more where 50,000 are: by its shape, beside the bare arithmetic in the same run; by a full pass, and by the
/// verdict on its twins.
fn full(c: &mut Criterion) {
    let mut group = c.benchmark_group("one pod more on 5000 nodes with 50000 pods");
    let mut cluster = Cluster::new(5_000, 50_000, KubeMinor::V1_37);
    let plain = cluster.compile(0, Shape::Plain);
    group.bench_function("bare arithmetic", |b| b.iter(|| black_box(&cluster).reference(&plain)));
    for (how, batching) in [("full pass", UNBATCHED), ("batched", BATCHED)] {
        let mut engine = FullEngine::new(5_000, 50_000, batching);
        for shape in Shape::ALL {
            (0..3).for_each(|_| engine.place_twin(shape));
            group.bench_function(BenchmarkId::new(how, format!("{shape:?}")), |b| {
                b.iter_custom(|n| total(&mut engine, n, |engine| engine.pod(shape)));
            });
        }
    }
    let mut engine = FullEngine::new(5_000, 50_000, BATCHED);
    group.bench_function("ZoneSpread by a selector seen for the first time", |b| {
        b.iter_custom(|n| total(&mut engine, n, FullEngine::pod_with_new_selector));
    });
    group.finish();
}

/// How the cost of one pod more grows with the cluster, with two pods on each node.
fn growth(c: &mut Criterion) {
    for (how, batching) in [("full pass", UNBATCHED), ("batched", BATCHED)] {
        let mut group = c.benchmark_group(format!("one pod more, {how}"));
        for n_nodes in [1_000, 5_000, 20_000, 100_000] {
            let mut engine = FullEngine::new(n_nodes, 2 * n_nodes, batching);
            for shape in [Shape::Plain, Shape::ZoneSpread, Shape::Affinity] {
                (0..3).for_each(|_| engine.place_twin(shape));
                group.bench_function(BenchmarkId::new(format!("{shape:?}"), n_nodes), |b| {
                    b.iter_custom(|n| total(&mut engine, n, |engine| engine.pod(shape)));
                });
            }
        }
        group.finish();
    }
}

/// Plain pods of many specs in turn: each has to make up for what happened since its like was placed.
fn churn(c: &mut Criterion) {
    let mut group = c.benchmark_group("one pod more on 5000 nodes with 50000 pods, specs in turn");
    for n_specs in [1, 10, 1_000] {
        let mut engine = FullEngine::new(5_000, 50_000, BATCHED);
        (0..n_specs).for_each(|n| engine.place_twin_of_spec(n));
        let mut n = 0;
        let mut next = move |engine: &mut FullEngine| {
            n = (n + 1) % n_specs;
            engine.pod_of_spec(n)
        };
        total(&mut engine, n_specs as u64, &mut next);
        group.bench_function(BenchmarkId::from_parameter(format!("{n_specs} specs")), |b| {
            b.iter_custom(|n| total(&mut engine, n, &mut next));
        });
    }
    group.finish();
}

fn total(engine: &mut FullEngine, n: u64, mut pod: impl FnMut(&mut FullEngine) -> PodRecord) -> Duration {
    let mut decide = |_| {
        let pod = pod(engine);
        engine.decide(pod)
    };
    (0..n).map(&mut decide).sum()
}

criterion_group! {
    name = decision;
    config = Criterion::default().sample_size(20);
    targets = full, growth, churn, plain, gangs, hopeless
}
criterion_main!(decision);
