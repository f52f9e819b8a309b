//! The workloads of the engine's bench: each can be read in every size, and in its smallest ends as it must.

#![allow(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use muster_config::Configuration;
use muster_framework::rules::KubeMinor;
use muster_sim::{Simulation, Size, Source, Wanted, Workload};
use std::path::Path;
use std::time::Duration;

fn all() -> Vec<Source> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/workloads");
    let mut sources: Vec<Source> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            Source {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                text: std::fs::read_to_string(path).unwrap(),
            }
        })
        .collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

/// In a size of the file, with no number above `limit`.
fn load(source: &Source, size: &Size, limit: u64) -> Workload {
    let capped = size.parameters.iter().filter(|(_, number)| limit < **number);
    let wanted = Wanted {
        size: Some(size.name.clone()),
        instead: capped.map(|(name, _)| (name.clone(), limit)).collect(),
    };
    Workload::load(source, wanted).unwrap_or_else(|error| panic!("{error}"))
}

/// All sizes; the last one is the smallest.
fn sizes(source: &Source) -> Vec<Size> {
    let (_, sizes) = Workload::overview(source).unwrap_or_else(|error| panic!("{error}"));
    sizes
}

/// The last size is the smallest.
#[test]
fn every_workload_ends_as_it_must_and_happens_the_same_way_again() {
    let sources = all();
    assert!(20 <= sources.len(), "{}", sources.len());
    for source in &sources {
        let name = &source.name;
        let workload = load(source, &sizes(source).pop().unwrap(), u64::MAX);
        let settings = Configuration::default().engine_settings(KubeMinor::default());
        let mut simulation = Simulation::with_journal(workload.scenario.clone(), settings);
        simulation.run_until(workload.until);
        workload
            .check(&simulation)
            .unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        let journal = simulation.journal().unwrap();
        let replayed = journal.replay(simulation.settings(), workload.from, || Duration::ZERO);
        let counts = replayed.unwrap_or_else(|diverged| panic!("{name}: {diverged}")).counts;
        let parameters = &workload.size.parameters;
        let measured = parameters.get("measured").or(parameters.get("pods")).copied();
        assert_eq!(
            Some(counts.binds),
            measured,
            "{name}: every measured pod is bound, and no other: {counts:?}"
        );
        assert!(counts.scheduled <= counts.decisions, "{name}: {counts:?}");
    }
}

/// Of the placements that a rule of the workload forbids, there is none.
#[test]
fn placements_keep_the_rules_of_their_workload() {
    for (file, at_most) in [
        ("host-ports.yaml", 1),
        ("pod-anti-affinity.yaml", 1),
        ("node-inclusion-policy.yaml", 1),
    ] {
        let source = all().into_iter().find(|source| source.name == file).unwrap();
        let workload = load(&source, &sizes(&source).pop().unwrap(), u64::MAX);
        let settings = Configuration::default().engine_settings(KubeMinor::default());
        let mut simulation = Simulation::new(workload.scenario.clone(), settings);
        simulation.run_until(workload.until);
        let nodes: Vec<_> = simulation.cluster().nodes().map(|node| node.name.clone()).collect();
        let most = nodes
            .iter()
            .map(|node| simulation.cluster().pods_on(node).count())
            .max();
        assert_eq!(most, Some(at_most), "{file}");
    }
}

/// Too large to be played here, but they must be readable: with small numbers.
#[test]
fn every_size_can_be_read() {
    for source in all() {
        let sizes = sizes(&source);
        assert!(2 <= sizes.len(), "{}: {sizes:?}", source.name);
        for size in &sizes {
            assert!(!load(&source, size, 10).scenario.actions.is_empty());
        }
    }
}
