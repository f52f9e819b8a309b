//! What a simulated cluster does, and what its report says of it.

mod common;

use common::{run_to_rest, scenario, settings};
use muster_engine::Time;
use muster_sim::{Faults, Key, Report, Simulation, State, Timing};
use std::time::Duration;

const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {allocatable: {cpu: '4', memory: 8Gi}}\n";

fn simulation(documents: &[&str]) -> Simulation {
    Simulation::new(scenario(&documents.join("---\n")), settings())
}

fn report(documents: &[&str]) -> Report {
    run_to_rest(&mut simulation(documents))
}

fn states(report: &Report) -> Vec<(&str, State)> {
    report.pods.iter().map(|pod| (&*pod.name, pod.state)).collect()
}

#[test]
fn every_pod_that_waits_says_why() {
    let report = report(&[
        NODE,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: foreign}\nspec: {schedulerName: other, containers: [{name: c}]}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: gated}\nspec: {schedulingGates: [{name: g}], containers: [{name: c}]}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: large}\nspec: {containers: [{name: c, resources: {requests: {cpu: '5'}}}]}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: lonely}\nspec: {workloadRef: {name: w, podGroup: g}, containers: [{name: c}]}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: unclassed}\nspec: {priorityClassName: none, containers: [{name: c}]}\n",
    ]);
    let expected = [
        ("foreign", State::NotOurs),
        ("gated", State::Waiting),
        ("large", State::Waiting),
        ("lonely", State::Waiting),
    ];
    assert_eq!(states(&report), expected);
    insta::assert_snapshot!(muster_sim::table(&report, true));
}

#[test]
fn a_scenario_ends_when_it_says() {
    let mut simulation = simulation(&[
        NODE,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {sim.muster.dev/run-for: 10m}}\nspec: {containers: [{name: c}]}\n",
        "apiVersion: sim.muster.dev/v1alpha1\nkind: Scenario\nuntil: 5m\n",
    ]);
    let report = simulation.run(|_| {});
    assert_eq!((report.at_rest, report.ended_at.0), (false, Time(300_000_000)));
    assert_eq!(report.totals.running, 1);
}

#[test]
fn an_object_goes_when_its_annotation_says() {
    let report = report(&[
        NODE,
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {sim.muster.dev/until: 1m}}\n\
         spec: {replicas: 3, template: {spec: {containers: [{name: c}]}}}\n",
    ]);
    assert_eq!((report.totals.pods, report.totals.deleted), (0, 3));
}

#[test]
fn a_lost_pod_is_made_anew_and_one_on_its_own_is_not() {
    let report = report(&[
        NODE,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: alone}\nspec: {containers: [{name: c}]}\n",
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec: {template: {spec: {containers: [{name: c}]}}}\n",
        "apiVersion: sim.muster.dev/v1alpha1\nkind: Scenario\nevents:\n\
         - {at: 1m, delete: {kind: Node, name: n}}\n\
         - {at: 2m, apply: {apiVersion: v1, kind: Node, metadata: {name: other}, status: {allocatable: {cpu: '1'}}}}\n",
    ]);
    assert_eq!(report.pods.len(), 1);
    assert_eq!(report.pods[0].node.as_deref(), Some("other"));
    assert!(report.pods[0].name.starts_with("job-"));
}

/// The pod names its node before the scheduler starts: its room is taken, and it is nobody's success.
#[test]
fn pods_that_have_a_node_are_there_from_the_start() {
    let report = report(&[
        "apiVersion: v1\nkind: Pod\nmetadata: {name: old}\nspec: {nodeName: n, containers: [{name: c, resources: {requests: {cpu: '3'}}}]}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: new}\nspec: {containers: [{name: c, resources: {requests: {cpu: '2'}}}]}\n",
        NODE,
    ]);
    assert_eq!(states(&report), [("new", State::Waiting), ("old", State::Running)]);
    assert_eq!(report.totals.binds, 0);
}

#[test]
fn a_pod_that_ends_keeps_its_room_until_it_is_gone() {
    let timing = Timing {
        deletion_grace: Duration::from_secs(30),
        ..Timing::default()
    };
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, resources: {{requests: {{cpu: '3'}}}}}}]}}\n"
        )
    };
    let text = [NODE, &pod("first"), &pod("second")].join("---\n");
    let mut simulation = Simulation::with(scenario(&text), settings(), timing, Faults::default());
    simulation.run_until(Time(1_000_000));
    assert!(simulation.delete(&Key::pod("default", "first")));
    simulation.run_until(Time(30_000_000));
    assert_eq!(
        states(&simulation.report()),
        [("first", State::Running), ("second", State::Waiting)]
    );
    assert_eq!(states(&run_to_rest(&mut simulation)), [("second", State::Running)]);
}
