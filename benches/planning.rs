//! What planning a large gang costs, beside as many decisions about single pods of the same spec:
//! `cargo bench -p muster-benches --bench planning`.
//!
//! Machines are noisy: compare figures of one run with each other, above all those of a gang with those of the single pods.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use muster_benches::{add_gang, drain, engine, pod};
use muster_engine::{EffectKind, Engine, Input, Object, Time};

/// Of 4 CPU each: two members fit on each.
const NODES: usize = 5_000;
const MILLI_CPU: i64 = 2_000;

/// All have arrived before the clock starts. A gang's first bind comes when the whole gang is planned.
fn planning(c: &mut Criterion) {
    for n_members in [1_000, 5_000] {
        let mut group = c.benchmark_group(format!("{n_members} members on {NODES} nodes"));
        group.throughput(Throughput::Elements(n_members as u64));
        let mut bench = |name: &str, tell: fn(&mut Engine, usize), work: fn(&mut Engine, usize)| {
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter_batched_ref(
                    || {
                        let mut engine = engine(NODES);
                        tell(&mut engine, n_members);
                        engine
                    },
                    |engine| work(engine, n_members),
                    BatchSize::PerIteration,
                );
            });
        };
        bench("a gang, to its first bind", tell_gang, to_first_bind);
        bench("a gang, to its last bind", tell_gang, to_last_bind);
        bench("single pods, to the last bind", tell_single_pods, to_last_bind);
        group.finish();
    }
}

fn tell_gang(engine: &mut Engine, n_members: usize) {
    add_gang(engine, n_members, MILLI_CPU);
}

fn tell_single_pods(engine: &mut Engine, n_pods: usize) {
    for n in 0..n_pods {
        engine.handle(Time::ZERO, Input::Applied(Object::Pod(Box::new(pod(n, MILLI_CPU)))));
    }
}

fn to_first_bind(engine: &mut Engine, _: usize) {
    loop {
        if let Some(effect) = engine.poll(Time::ZERO) {
            assert!(matches!(effect.kind, EffectKind::Bind { .. }), "the gang finds room");
            return;
        }
        let wakeup = engine.next_wakeup();
        assert_eq!(wakeup, Some(Time::ZERO), "the plan goes on");
    }
}

fn to_last_bind(engine: &mut Engine, n_pods: usize) {
    assert_eq!(drain(engine), n_pods, "a bind each");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = planning
}
criterion_main!(benches);
