//! Random small clusters: whatever happens in them, they come to rest, and what must be true is true.

mod common;

use common::settings;
use muster_engine::Time;
use muster_framework::record::{Kind, PodPhase};
use muster_sim::{
    Action, Faults, Key, ObjectKind, Random, Scenario, Simulation, Timed, Timing, check, violations_at_rest,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// What a random cluster is made of; every number is taken modulo what makes sense.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    nodes: Vec<(u8, u8, u8)>,
    gangs: Vec<Gang>,
    singles: Vec<(u8, u16, bool)>,
    replicas: u8,
    events: Vec<(u8, u8, u16)>,
}

#[derive(Debug, Clone)]
struct Gang {
    members: u8,
    minimum: u8,
    cpu: u8,
    at: u16,
    run_for: u8,
    high: bool,
}

fn gang() -> impl Strategy<Value = Gang> {
    (1u8..6, 1u8..7, 1u8..5, 0u16..4000, 0u8..40, any::<bool>()).prop_map(
        |(members, minimum, cpu, at, run_for, high)| Gang {
            members,
            minimum,
            cpu,
            at,
            run_for,
            high,
        },
    )
}

/// With events that take something away only if `losses`.
fn plan(losses: bool) -> impl Strategy<Value = Plan> {
    let event = (0u8..if losses { 6 } else { 2 }, any::<u8>(), 0u16..6000);
    (
        any::<u64>(),
        prop::collection::vec((1u8..9, 0u8..3, 1u8..6), 1..5),
        prop::collection::vec(gang(), 0..4),
        prop::collection::vec((1u8..5, 0u16..5000, any::<bool>()), 0..6),
        0u8..4,
        prop::collection::vec(event, 0..5),
    )
        .prop_map(|(seed, nodes, gangs, singles, replicas, events)| Plan {
            seed,
            nodes,
            gangs,
            singles,
            replicas,
            events,
        })
}

fn node(name: &str, cpu: u8, gpu: u8, pods: u8) -> Value {
    let amounts =
        json!({"cpu": cpu.to_string(), "memory": "8Gi", "nvidia.com/gpu": gpu.to_string(), "pods": pods.to_string()});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"allocatable": amounts}})
}

fn pod_spec(cpu: u8, class: Option<&str>) -> Value {
    let requests = json!({"requests": {"cpu": cpu.to_string(), "memory": "1Gi"}});
    let mut spec = json!({"containers": [{"name": "c", "image": "i", "resources": requests}]});
    if let Some(class) = class {
        spec["priorityClassName"] = json!(class);
    }
    spec
}

impl Plan {
    fn scenario(&self) -> Scenario {
        let mut actions = Vec::new();
        let mut at = |millis: u16, action: Action| {
            actions.push(Timed {
                at: Time(u64::from(millis) * 1000),
                action,
            });
        };
        at(
            0,
            Action::Apply(json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": "high"}, "value": 1000})),
        );
        for (index, (cpu, gpu, pods)) in self.nodes.iter().enumerate() {
            at(0, Action::Apply(node(&format!("n{index}"), *cpu, *gpu, *pods)));
        }
        for (index, gang) in self.gangs.iter().enumerate() {
            for object in gang.objects(index) {
                at(gang.at, Action::Apply(object));
            }
        }
        for (index, (cpu, when, high)) in self.singles.iter().enumerate() {
            let spec = pod_spec(*cpu, high.then_some("high"));
            let name = format!("single-{index}");
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
            at(*when, Action::Apply(pod));
        }
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": pod_spec(1, None)});
        at(
            0,
            Action::Apply(
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": self.replicas, "template": template}}),
            ),
        );
        for (index, (what, which, when)) in self.events.iter().enumerate() {
            at(*when, self.event(*what, *which, index));
        }
        Scenario {
            seed: Some(self.seed),
            until: None,
            actions,
        }
    }

    fn event(&self, what: u8, which: u8, index: usize) -> Action {
        let old = format!("n{}", usize::from(which) % self.nodes.len());
        match what {
            0 => Action::Apply(node(&format!("late{index}"), which % 8 + 1, 1, 4)),
            1 => Action::Finish {
                pod: Key::pod("default", &format!("single-{}", which % 4)),
                phase: PodPhase::Succeeded,
            },
            2 => Action::Delete(Key::node(&old)),
            3 => Action::Cordon {
                node: old.into(),
                closed: true,
            },
            4 => Action::Cordon {
                node: old.into(),
                closed: false,
            },
            _ => Action::Delete(Key::new(ObjectKind::Job, "default", &format!("gang{}", which % 3))),
        }
    }
}

impl Gang {
    fn objects(&self, index: usize) -> [Value; 2] {
        let name = format!("gang{index}");
        let policy = json!([{"name": "g", "policy": {"gang": {"minCount": self.minimum}}}]);
        let workload = json!({"apiVersion": "scheduling.k8s.io/v1alpha1", "kind": "Workload",
            "metadata": {"name": name}, "spec": {"podGroups": policy}});
        let mut spec = pod_spec(self.cpu, self.high.then_some("high"));
        spec["workloadRef"] = json!({"name": name, "podGroup": "g"});
        let mut template = json!({"spec": spec});
        if 0 < self.run_for && self.run_for < 30 {
            template["metadata"] = json!({"annotations": {"sim.muster.dev/run-for": format!("{}s", self.run_for)}});
        }
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"parallelism": self.members, "completions": self.members, "completionMode": "Indexed",
            "template": template}});
        // Either may come first.
        if self.high { [workload, job] } else { [job, workload] }
    }
}

/// Steps to rest, checking at every instant; `each` may interfere after each.
fn run(simulation: &mut Simulation, mut each: impl FnMut(&mut Simulation)) {
    while !simulation.is_at_rest() && simulation.now() < simulation.until() {
        assert!(simulation.step(), "it is not at rest, and nothing is left to happen");
        check(simulation.cluster()).unwrap_or_else(|violation| panic!("{}: {violation}", simulation.now()));
        each(simulation);
    }
    assert!(simulation.is_at_rest(), "a day has passed, and it is not at rest");
}

fn assert_rests_well(simulation: &Simulation) {
    let violations = violations_at_rest(simulation);
    let table = || muster_sim::table(&simulation.report(), true);
    assert_eq!(violations, [], "{violations:#?}\n{}", table());
}

/// Where every pod ended up, by name.
fn placements(simulation: &Simulation) -> Vec<(String, Option<String>)> {
    let pods = simulation.cluster().pods();
    pods.map(|pod| (pod.name.to_string(), pod.node_name.as_deref().map(str::to_owned)))
        .collect()
}

fn jittery() -> Timing {
    Timing {
        watch_jitter: Duration::from_millis(8),
        write_jitter: Duration::from_millis(5),
        pod_start: Duration::from_millis(300),
        deletion_grace: Duration::from_millis(700),
        ..Timing::default()
    }
}

proptest! {
    // PROPTEST_CASES says how many; a failure prints its plan, to be kept in regressions.rs.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cluster_comes_to_rest_and_all_that_must_be_true_is(plan in plan(true)) {
        let mut simulation = Simulation::new(plan.scenario(), settings());
        run(&mut simulation, |_| {});
        assert_rests_well(&simulation);
    }

    #[test]
    fn the_same_seed_gives_the_same_report(plan in plan(true)) {
        let report = || {
            let faults = Faults { writes_lost: 50, answers_lost: 50, writes_refused: 20 };
            let mut simulation = Simulation::with(plan.scenario(), settings(), jittery(), faults);
            simulation.set_until(Time(60_000_000));
            simulation.run(|_| {})
        };
        prop_assert_eq!(report(), report());
    }

    #[test]
    fn a_relist_changes_nothing(plan in plan(true), seed: u64) {
        let mut plain = Simulation::new(plan.scenario(), settings());
        run(&mut plain, |_| {});
        let mut random = Random::new(seed);
        let mut relisted = Simulation::new(plan.scenario(), settings());
        run(&mut relisted, |simulation| {
            let kind = Kind::ALL[usize::try_from(random.below(5)).unwrap()];
            // A list while events are under way would be news before its time.
            if random.chance(300) && simulation.is_told(kind) {
                simulation.relist(kind);
            }
        });
        prop_assert_eq!(placements(&plain), placements(&relisted));
        assert_rests_well(&relisted);
    }

    #[test]
    fn slow_and_uneven_delays_break_nothing(plan in plan(true)) {
        let mut simulation = Simulation::with(plan.scenario(), settings(), jittery(), Faults::default());
        run(&mut simulation, |_| {});
        assert_rests_well(&simulation);
    }

    #[test]
    fn after_faults_and_restarts_all_is_well(plan in plan(false), seed: u64) {
        let faults = Faults { writes_lost: 100, answers_lost: 100, writes_refused: 50 };
        let mut simulation = Simulation::with(plan.scenario(), settings(), jittery(), faults);
        let mut random = Random::new(seed);
        run(&mut simulation, |simulation| {
            if Time(8_000_000) < simulation.now() {
                simulation.set_faults(Faults::default());
            } else if random.chance(10) {
                simulation.restart_scheduler();
            } else if random.chance(10) {
                simulation.relist(Kind::Pod);
            }
        });
        assert_rests_well(&simulation);
    }
}
