//! The examples of the documentation: each runs, comes to rest with every checker satisfied, and gives the report that
//! is kept beside this file. Where a report changes, the change is to be read, not just accepted.

mod common;

use common::{run_to_rest, simulation_of_example};
use muster_sim::{Report, check_at_rest, table};

fn report(example: &str) -> Report {
    let mut simulation = simulation_of_example(example);
    let report = run_to_rest(&mut simulation);
    check_at_rest(&simulation).unwrap_or_else(|violation| panic!("{example}: {violation}"));
    report
}

#[test]
fn a_gang_waits_then_starts() {
    let report = report("gang-waits-then-starts.yaml");
    insta::assert_snapshot!(table(&report, false));
    insta::assert_json_snapshot!(report);
}

#[test]
fn two_replica_keys_are_two_gangs() {
    let report = report("two-replica-keys.yaml");
    insta::assert_snapshot!(table(&report, false));
    insta::assert_json_snapshot!(report);
}

#[test]
fn a_node_fails() {
    let report = report("node-fails.yaml");
    insta::assert_snapshot!(table(&report, false));
    insta::assert_snapshot!(table(&report, true));
}

#[test]
fn a_thousand_nodes() {
    let report = report("thousand-nodes.yaml");
    insta::assert_snapshot!(table(&report, false));
}

/// While the gang waits, its report says why.
#[test]
fn the_reason_of_a_waiting_gang_is_shown() {
    let mut simulation = simulation_of_example("gang-waits-then-starts.yaml");
    simulation.run_until(muster_engine::Time(29_000_000));
    insta::assert_snapshot!(table(&simulation.report(), false));
}

#[test]
fn the_same_seed_gives_the_same_report() {
    for example in ["gang-waits-then-starts.yaml", "node-fails.yaml", "thousand-nodes.yaml"] {
        assert!(report(example) == report(example), "{example}");
    }
}
