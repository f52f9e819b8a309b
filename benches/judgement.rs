//! What judging 5,000 nodes with 50,000 pods takes: the whole default profile by the shape of the pod, beside the bare
//! arithmetic in the same run; each plugin alone; and counting pods for a selection that is asked for the first time.
//! `cargo bench -p muster-benches --bench judgement`.
//!
//! Machines are noisy: compare figures of one run with each other, not with those of another day.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use muster_benches::cluster::{Cluster, Shape};
use muster_framework::rules::KubeMinor;
use std::hint::black_box;

const N_NODES: usize = 5_000;
const N_PODS: usize = 50_000;

fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("one decision over 5000 nodes with 50000 pods");
    for minor in [KubeMinor::V1_35, KubeMinor::V1_37] {
        let mut cluster = Cluster::new(N_NODES, N_PODS, minor);
        let plain = cluster.compile(0, Shape::Plain);
        group.bench_function(BenchmarkId::new("bare arithmetic", minor), |b| {
            b.iter(|| black_box(&cluster).reference(&plain))
        });
        for shape in Shape::ALL {
            let candidate = cluster.compile(1, shape);
            assert!(cluster.decide(&candidate).is_some(), "{shape:?} finds a node");
            group.bench_function(BenchmarkId::new(format!("{shape:?}"), minor), |b| {
                b.iter(|| cluster.decide(black_box(&candidate)))
            });
        }
        eprintln!("hot columns: {} bytes a node", cluster.table().hot_bytes() / N_NODES);
    }
    group.finish();
}

fn plugins(c: &mut Criterion) {
    let mut cluster = Cluster::new(N_NODES, N_PODS, KubeMinor::V1_37);
    let (filters, scores) = cluster.plugins();
    for shape in [
        Shape::Plain,
        Shape::ZoneSpread,
        Shape::Affinity,
        Shape::AntiAffinity,
        Shape::Images,
    ] {
        let candidate = cluster.compile(1, shape);
        let mut group = c.benchmark_group(format!("each plugin alone, {shape:?}"));
        for plugin in &filters {
            group.bench_function(format!("filter {plugin}"), |b| {
                b.iter(|| cluster.run_filter(plugin, black_box(&candidate)))
            });
        }
        for plugin in &scores {
            group.bench_function(format!("score {plugin}"), |b| {
                b.iter(|| cluster.run_score(plugin, black_box(&candidate)))
            });
        }
        group.finish();
    }
}

fn first_seen(c: &mut Criterion) {
    let mut cluster = Cluster::new(N_NODES, N_PODS, KubeMinor::V1_37);
    let mut n = 0;
    c.bench_function("counting 50000 pods for a selection seen for the first time", |b| {
        b.iter(|| {
            n += 1;
            cluster.select_for_the_first_time(n);
        });
    });
}

criterion_group! {
    name = judgement;
    config = Criterion::default().sample_size(50);
    targets = decisions, plugins, first_seen
}
criterion_main!(judgement);
