//! What went wrong once, in its smallest form.

mod common;

use common::{run_to_rest, scenario, settings};
use muster_engine::Time;
use muster_framework::record::Kind;
use muster_sim::{Faults, Simulation, Timing, check_at_rest};

fn rests_well(text: &str) {
    let mut simulation = Simulation::new(scenario(text), settings());
    run_to_rest(&mut simulation);
    check_at_rest(&simulation).unwrap_or_else(|violation| panic!("{violation}"));
}

const POD: &str = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: c, resources: {requests: {cpu: '1'}}}]}\n";
const NODE: &str = "apiVersion: v1\nkind: Node\nstatus: {allocatable: {cpu: '4', pods: '1'}}\n";

/// No plugin rejects a pod when there is no node, so no plugin was asked whether a new node could help.
#[test]
fn a_pod_that_saw_no_node_is_tried_when_the_first_appears() {
    rests_well(&format!(
        "{POD}metadata: {{name: p}}\n---\n{NODE}metadata: {{name: n, annotations: {{sim.muster.dev/at: 2s}}}}\n"
    ));
}

/// The node is full when it is uncordoned. That helps nobody, but from then on the pod waits for room, and not for the
/// uncordoning that has been.
#[test]
fn what_rejects_a_pod_now_counts_and_not_what_did() {
    rests_well(&format!(
        "{NODE}metadata: {{name: n}}\n---\n\
         {POD}metadata: {{name: first, annotations: {{sim.muster.dev/run-for: 4s}}}}\n---\n\
         {POD}metadata: {{name: second, annotations: {{sim.muster.dev/at: 2s}}}}\n---\n\
         apiVersion: sim.muster.dev/v1alpha1\nkind: Scenario\n\
         events: [{{at: 1s, cordon: n}}, {{at: 3s, uncordon: n}}]\n"
    ));
}

/// A Workload that a list says again was taken for news: its waiting gang was tried, and fell behind its peers.
#[test]
fn a_workload_said_again_is_no_news() {
    let text = "apiVersion: scheduling.k8s.io/v1alpha1\nkind: Workload\nmetadata: {name: w}\n\
                spec: {podGroups: [{name: g, policy: {gang: {minCount: 1}}}]}\n---\n\
                apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n\
                spec: {workloadRef: {name: w, podGroup: g}, containers: [{name: c}]}\n";
    let mut simulation = Simulation::new(scenario(text), settings());
    run_to_rest(&mut simulation);
    simulation.relist(Kind::Workload);
    let pending = simulation.engine().stats().pending;
    assert_eq!(pending, [0, 0, 1, 0], "it still waits for an event that could help");
}

/// A bind whose answer is lost, and that cannot be read back at first, has an end: the cluster is not at rest before.
#[test]
fn a_lost_answer_is_asked_after_until_it_comes() {
    let text = format!("{POD}metadata: {{name: p}}\n---\n{NODE}metadata: {{name: n}}\n");
    let faults = Faults {
        answers_lost: 1000,
        ..Faults::default()
    };
    let timing = Timing {
        watch_lag: std::time::Duration::from_secs(60),
        ..Timing::default()
    };
    let mut simulation = Simulation::with(scenario(&text), settings(), timing, faults);
    simulation.run_until(Time(65_000_000));
    assert!(!simulation.is_at_rest());
    simulation.set_faults(Faults::default());
    run_to_rest(&mut simulation);
    check_at_rest(&simulation).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(simulation.report().totals.running, 1);
}
