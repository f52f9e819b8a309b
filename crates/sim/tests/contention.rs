//! Two gangs that each fit alone, but not together: exactly one runs, in whatever order they and their members arrive,
//! and neither waits with places that the other needs.

mod common;

use common::settings;
use muster_engine::Time;
use muster_sim::{Action, Faults, Key, Random, Scenario, Simulation, Timed, Timing, check};
use serde_json::{Value, json};
use std::time::Duration;

const MEMBERS: u64 = 3;

fn node(name: &str, cpu: u64) -> Value {
    let amounts = json!({"cpu": cpu.to_string(), "memory": "8Gi", "pods": "10"});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"allocatable": amounts}})
}

fn policy(gang: &str) -> Value {
    let groups = json!([{"name": "g", "policy": {"gang": {"minCount": MEMBERS}}}]);
    json!({"apiVersion": "scheduling.k8s.io/v1alpha1", "kind": "Workload", "metadata": {"name": gang},
        "spec": {"podGroups": groups}})
}

fn member(gang: &str, number: u64) -> Value {
    let container = json!({"name": "c", "resources": {"requests": {"cpu": "1"}}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("{gang}-{number}")},
        "spec": {"containers": [container], "workloadRef": {"name": gang, "podGroup": "g"}}})
}

/// Four or five processors for two gangs of three: on one node, or on several.
fn scenario(random: &mut Random) -> Scenario {
    let processors = 4 + random.below(2);
    let nodes = match random.below(3) {
        0 => vec![node("n0", processors)],
        1 => vec![node("n0", 2), node("n1", processors - 2)],
        _ => (0..processors).map(|number| node(&format!("n{number}"), 1)).collect(),
    };
    let mut actions: Vec<Timed> = nodes.into_iter().map(|node| (0, node)).map(timed).collect();
    let spread = 1 + random.below(40);
    for gang in ["a", "b"] {
        let objects = (0..MEMBERS).map(|number| member(gang, number)).chain([policy(gang)]);
        actions.extend(objects.map(|object| timed((1 + random.below(spread), object))));
    }
    actions.sort_by_key(|timed| timed.at);
    Scenario {
        seed: Some(random.bits()),
        until: None,
        actions,
    }
}

fn timed((millis, object): (u64, Value)) -> Timed {
    Timed {
        at: Time(millis * 1000),
        action: Action::Apply(object),
    }
}

#[test]
fn of_two_gangs_that_do_not_fit_together_exactly_one_runs() {
    let timing = Timing {
        watch_lag: Duration::from_millis(2),
        watch_jitter: Duration::from_millis(20),
        write_jitter: Duration::from_millis(10),
        ..Timing::default()
    };
    let mut winners = [0, 0];
    for seed in 0..1000 {
        let mut random = Random::new(seed);
        let mut simulation = Simulation::with(scenario(&mut random), settings(), timing, Faults::default());
        // Long after the last member: nobody waits for a time-out of the other.
        simulation.run_until(Time(3_000_000));
        check(simulation.cluster()).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        let bound = |gang: &str| {
            let placed = |number: &u64| {
                let stored = simulation
                    .cluster()
                    .get(&Key::pod("default", &format!("{gang}-{number}")));
                stored
                    .and_then(|stored| stored.pod())
                    .is_some_and(|pod| pod.node_name.is_some())
            };
            (0..MEMBERS).filter(placed).count()
        };
        match (bound("a"), bound("b")) {
            (3, 0) => winners[0] += 1,
            (0, 3) => winners[1] += 1,
            (a, b) => panic!("seed {seed}: {a} of a and {b} of b are bound"),
        }
    }
    assert!(
        winners.iter().all(|wins| *wins > 100),
        "the order of arrival decides: {winners:?}"
    );
}
