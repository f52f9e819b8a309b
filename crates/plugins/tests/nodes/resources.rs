//! NodeResourcesFit and NodeResourcesBalancedAllocation.

use crate::scene::{MINORS, Scene, amounts, asking, node};
use muster_framework::record::NodeRecord;
use muster_framework::resource::ResourceList;
use muster_framework::rules::KubeMinor;
use muster_plugins::args::{PluginArgs, ResourceWeight, ShapePoint, StrategyType};
use proptest::prelude::*;
use proptest::sample::select;

const GPU: &str = "example.com/gpu";
const FIT: &str = "NodeResourcesFit";
const BALANCED: &str = "NodeResourcesBalancedAllocation";

fn having(name: &str, allocatable: ResourceList, allowed_pods: i64) -> NodeRecord {
    NodeRecord {
        allocatable,
        allowed_pods,
        ..node(name)
    }
}

fn weights(resources: &[(&str, i64)]) -> Vec<ResourceWeight> {
    let weight = |(name, weight): &(&str, i64)| ResourceWeight {
        name: (*name).into(),
        weight: *weight,
    };
    resources.iter().map(weight).collect()
}

fn scored_by(strategy: StrategyType, resources: &[(&str, i64)]) -> PluginArgs {
    let mut args = PluginArgs::default();
    args.node_resources_fit.strategy = strategy;
    args.node_resources_fit.resources = weights(resources);
    args.balanced_allocation.resources = weights(resources);
    args.node_resources_fit.shape = [(0, 0), (50, 10), (100, 5)]
        .map(|(utilization, score)| ShapePoint { utilization, score })
        .into();
    args
}

#[test]
fn what_is_asked_for_must_be_left() {
    let used = || [asking(amounts(600, 60, &[(GPU, 1)]))];
    for minor in MINORS {
        let scene = Scene::new(FIT, minor)
            .node(having("a", amounts(1000, 100, &[(GPU, 2)]), 2), used())
            .node(having("b", amounts(1000, 100, &[]), 1), used());
        for (spec, expected) in [
            (amounts(0, 0, &[]), "ok; U Too many pods"),
            (
                amounts(400, 40, &[(GPU, 1)]),
                "ok; UAU Insufficient example.com/gpu, Too many pods",
            ),
            (
                amounts(401, 0, &[]),
                "U Insufficient cpu; U Insufficient cpu, Too many pods",
            ),
            (
                amounts(1001, 41, &[]),
                "UAU Insufficient cpu, Insufficient memory; UAU Insufficient cpu, Insufficient memory, Too many pods",
            ),
            (
                amounts(0, 0, &[(GPU, 2)]),
                "U Insufficient example.com/gpu; UAU Insufficient example.com/gpu, Too many pods",
            ),
            // Nobody has it, and nobody needs none of it.
            (
                amounts(0, 0, &[("example.com/none", 1)]),
                "UAU Insufficient example.com/none; UAU Insufficient example.com/none, Too many pods",
            ),
            (amounts(0, 0, &[("example.com/none", 0)]), "ok; U Too many pods"),
        ] {
            assert_eq!(scene.filter(&asking(spec.clone())), expected, "{minor} {spec:?}");
        }
    }
}

#[test]
fn a_pod_that_asks_for_nothing_fits_where_too_much_is_used() {
    let over = [asking(amounts(2000, 10, &[]))];
    let scene = Scene::new(FIT, KubeMinor::V1_37).node(having("a", amounts(1000, 100, &[]), 9), over);
    assert_eq!(scene.filter(&asking(amounts(0, 0, &[]))), "ok");
    assert_eq!(scene.filter(&asking(amounts(0, 90, &[]))), "ok");
    assert_eq!(
        scene.filter(&asking(amounts(1, 91, &[]))),
        "U Insufficient cpu, Insufficient memory"
    );
}

#[test]
fn extended_resources_can_be_ignored() {
    let mut args = PluginArgs::default();
    args.node_resources_fit.ignored_resources = vec![GPU.into(), "hugepages-2Mi".into(), "cpu".into()];
    args.node_resources_fit.ignored_resource_groups = vec!["other.org".into()];
    let scene = Scene::new(FIT, KubeMinor::V1_36)
        .args(args)
        .node(having("a", amounts(1000, 100, &[("other.org/x", 1)]), 9), []);
    for (spec, expected) in [
        (amounts(0, 0, &[(GPU, 5), ("other.org/x", 2), ("other.org/y", 1)]), "ok"),
        (amounts(0, 0, &[("example.com/x", 1)]), "UAU Insufficient example.com/x"),
        // Kubernetes' own resources cannot.
        (amounts(2000, 0, &[]), "UAU Insufficient cpu"),
        (amounts(0, 0, &[("hugepages-2Mi", 1)]), "UAU Insufficient hugepages-2Mi"),
    ] {
        assert_eq!(scene.filter(&asking(spec.clone())), expected, "{spec:?}");
    }
}

#[test]
fn amounts_at_the_limits_are_compared_as_upstream_does() {
    let scene = Scene::new(FIT, KubeMinor::V1_37)
        .node(
            having("a", amounts(i64::MAX, i64::MAX, &[]), 9),
            [asking(amounts(i64::MAX, 1, &[]))],
        )
        .node(having("b", amounts(i64::MAX, -5, &[]), 9), []);
    assert_eq!(scene.filter(&asking(amounts(1, 0, &[]))), "U Insufficient cpu; ok");
    assert_eq!(
        scene.filter(&asking(amounts(0, i64::MAX, &[]))),
        "U Insufficient memory; UAU Insufficient memory"
    );
}

#[test]
fn allocation_is_scored_by_strategy() {
    use StrategyType::{LeastAllocated, MostAllocated, RequestedToCapacityRatio};
    let scene = |args| {
        Scene::new(FIT, KubeMinor::V1_37)
            .args(args)
            .node(having("empty", amounts(1000, 1000, &[(GPU, 4)]), 9), [])
            .node(
                having("half", amounts(1000, 1000, &[(GPU, 4)]), 9),
                [asking(amounts(500, 250, &[(GPU, 3)]))],
            )
            .node(
                having("full", amounts(1000, 1000, &[]), 9),
                [asking(amounts(1000, 1000, &[]))],
            )
            .node(having("no-memory", amounts(1000, 0, &[]), 9), [])
            .node(having("nothing", amounts(0, 0, &[]), 9), [])
    };
    let both: &[(&str, i64)] = &[("cpu", 1), ("memory", 1)];
    let gpus: &[(&str, i64)] = &[("cpu", 1), (GPU, 5), ("pods", 7), ("example.com/none", 9)];
    let plain = asking(amounts(100, 100, &[]));
    let gpu = asking(amounts(100, 100, &[(GPU, 1)]));
    for (strategy, resources, spec, expected) in [
        (LeastAllocated, both, &plain, [90, 52, 0, 90, 0]),
        (LeastAllocated, &[("cpu", 3), ("memory", 1)], &plain, [90, 46, 0, 90, 0]),
        (MostAllocated, both, &plain, [10, 47, 100, 10, 0]),
        (RequestedToCapacityRatio, both, &plain, [20, 80, 50, 20, 0]),
        // A resource that the pod does not ask for is left out, unless it is one that every pod uses.
        (LeastAllocated, gpus, &plain, [90, 40, 0, 90, 0]),
        (LeastAllocated, gpus, &gpu, [77, 6, 0, 90, 0]),
        (MostAllocated, gpus, &gpu, [22, 93, 100, 10, 0]),
        (
            LeastAllocated,
            &[("memory", 1), ("ephemeral-storage", 1)],
            &plain,
            [90, 65, 0, 0, 0],
        ),
    ] {
        let scene = scene(scored_by(strategy, resources));
        assert_eq!(
            scene.raw(spec),
            Some(expected.to_vec()),
            "{strategy:?} by {resources:?}"
        );
    }
}

#[test]
fn a_pod_can_count_for_more_when_nodes_are_scored() {
    let mut spec = asking(amounts(0, 0, &[]));
    (spec.charge.scoring_milli_cpu, spec.charge.scoring_memory) = (100, 200);
    let scene = Scene::new(FIT, KubeMinor::V1_35).node(having("a", amounts(1000, 1000, &[]), 9), [spec.clone()]);
    assert_eq!(scene.raw(&spec), Some(vec![70]), "80 and 60");
    let scene = Scene::new(BALANCED, KubeMinor::V1_35).node(having("a", amounts(1000, 1000, &[]), 9), [spec.clone()]);
    assert_eq!(scene.raw(&spec), None, "it asks for nothing");
}

#[test]
fn balance_is_scored_by_what_it_will_be_or_by_how_much_it_gains() {
    let scene = |minor| {
        Scene::new(BALANCED, minor)
            .node(having("empty", amounts(1000, 1000, &[]), 9), [])
            .node(
                having("much-cpu", amounts(1000, 1000, &[]), 9),
                [asking(amounts(600, 200, &[]))],
            )
            .node(
                having("over", amounts(1000, 1000, &[]), 9),
                [asking(amounts(3000, 100, &[]))],
            )
            .node(having("no-memory", amounts(1000, 0, &[]), 9), [])
            .node(having("nothing", amounts(0, 0, &[]), 9), [])
    };
    let memory = asking(amounts(0, 300, &[]));
    assert_eq!(scene(KubeMinor::V1_35).raw(&memory), Some(vec![85, 95, 70, 100, 100]));
    for minor in [KubeMinor::V1_36, KubeMinor::V1_37] {
        assert_eq!(scene(minor).raw(&memory), Some(vec![67, 82, 82, 75, 75]), "{minor}");
        assert_eq!(scene(minor).raw(&asking(amounts(0, 0, &[]))), None);
    }
}

#[test]
fn balance_of_three_resources_is_a_standard_deviation() {
    let args = scored_by(StrategyType::LeastAllocated, &[("cpu", 1), ("memory", 1), (GPU, 1)]);
    let scene = Scene::new(BALANCED, KubeMinor::V1_35)
        .args(args)
        .node(having("a", amounts(1000, 1000, &[(GPU, 4)]), 9), []);
    assert_eq!(
        scene.raw(&asking(amounts(1000, 0, &[(GPU, 2)]))),
        Some(vec![59]),
        "1, 0 and ½"
    );
    assert_eq!(
        scene.raw(&asking(amounts(500, 250, &[]))),
        Some(vec![87]),
        "nobody asks for gpus"
    );
}

// ---- whole columns against the formulas as upstream writes them -------------------------------------------------------

/// What a node has of CPU and memory, and what is used of it.
type Amounts = ([i64; 2], [i64; 2]);

fn scores_of(
    plugin: &'static str,
    minor: KubeMinor,
    args: PluginArgs,
    nodes: &[Amounts],
    wanted: [i64; 2],
) -> Option<Vec<i64>> {
    let list = |[cpu, memory]: [i64; 2]| amounts(cpu, memory, &[]);
    let scene = Scene::new(plugin, minor).args(args);
    let add = |scene: Scene, (at, (has, uses)): (usize, &Amounts)| {
        scene.node(having(&format!("n{at}"), list(*has), 9), [asking(list(*uses))])
    };
    nodes.iter().enumerate().fold(scene, add).raw(&asking(list(wanted)))
}

fn least(used: i64, has: i64) -> i64 {
    if used > has {
        0
    } else {
        has.wrapping_sub(used).wrapping_mul(100).wrapping_div(has)
    }
}

fn most(used: i64, has: i64) -> i64 {
    used.min(has).wrapping_mul(100).wrapping_div(has)
}

fn mean(score: fn(i64, i64) -> i64, (has, uses): &Amounts, wanted: [i64; 2]) -> i64 {
    let present = || (0..2).filter(|at| has[*at] != 0);
    let sum = present().fold(0i64, |sum, at| {
        sum.wrapping_add(score(uses[at].wrapping_add(wanted[at]), has[at]))
    });
    if present().count() == 0 {
        0
    } else {
        sum / present().count() as i64
    }
}

fn balance(has: [i64; 2], uses: [i64; 2]) -> i64 {
    let fraction = |at: usize| (uses[at] as f64 / has[at] as f64).min(1.0);
    let deviation = if has[0] == 0 || has[1] == 0 {
        0.0
    } else {
        ((fraction(0) - fraction(1)) / 2.0).abs()
    };
    ((1.0 - deviation) * 100.0) as i64
}

fn balanced(minor: KubeMinor, (has, uses): &Amounts, wanted: [i64; 2]) -> i64 {
    let with = balance(*has, [uses[0].wrapping_add(wanted[0]), uses[1].wrapping_add(wanted[1])]);
    if minor == KubeMinor::V1_35 {
        with
    } else {
        50 + (50 + with - balance(*has, *uses)) / 2
    }
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => 0..200i64,
        3 => (0..200i64).prop_map(|n| n * 50),
        3 => (0..600i64).prop_map(|n| n << 28),
        2 => 0..1i64 << 43,
        1 => select(vec![1 << 42, (1 << 43) - 1, 1 << 43, 1 << 50, 1 << 51, 1 << 53, i64::MAX / 100]),
    ]
}

/// Amounts that can be balanced exactly are most easily rounded wrong.
fn node_amounts() -> impl Strategy<Value = Amounts> {
    let any = ([amount(), amount()], [amount(), amount()]);
    let even = (1..400i64, 1..400i64, 0..400i64, 0..400i64);
    prop_oneof![
        any,
        even.prop_map(|(cpu, memory, uses_cpu, uses_memory)| {
            (
                [cpu * 1000, memory << 30],
                [uses_cpu * cpu * 10, ((uses_memory * memory) << 30) / 100],
            )
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn columns_are_scored_as_upstream_scores_nodes(
        nodes in prop::collection::vec(node_amounts(), 1..150),
        wanted in prop_oneof![[amount(), amount()], (1..9i64, 0..9i64).prop_map(|(cpu, memory)| [cpu * 250, memory << 29])],
        minor in select(MINORS.to_vec()),
    ) {
        use StrategyType::{LeastAllocated, MostAllocated};
        let by = |strategy| scored_by(strategy, &[("cpu", 1), ("memory", 1)]);
        let expected = |score: &dyn Fn(&Amounts) -> i64| nodes.iter().map(score).collect::<Vec<i64>>();
        for (strategy, score) in [(LeastAllocated, least as fn(i64, i64) -> i64), (MostAllocated, most)] {
            let scores = scores_of(FIT, minor, by(strategy), &nodes, wanted);
            prop_assert_eq!(scores, Some(expected(&|node| mean(score, node, wanted))), "{:?}", strategy);
        }
        let scores = scores_of(BALANCED, minor, by(LeastAllocated), &nodes, wanted);
        let asks = wanted != [0, 0];
        prop_assert_eq!(scores, asks.then(|| expected(&|node| balanced(minor, node, wanted))), "{}", minor);
    }
}
