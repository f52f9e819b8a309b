//! What the tests of this crate share; each uses a part of it.
#![allow(dead_code)]

use muster_sim::{Report, Scenario, Simulation, Source, check};

/// The settings that a configuration without a file gives.
pub(crate) fn settings() -> muster_engine::Settings {
    muster_config::Configuration::default().engine_settings(muster_framework::rules::KubeMinor::default())
}

/// The scenario of a text.
pub(crate) fn scenario(text: &str) -> Scenario {
    let source = Source {
        name: "scenario".to_owned(),
        text: text.to_owned(),
    };
    let loaded = Scenario::load(&[source], true).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    loaded.scenario
}

/// A simulation of a file of the documentation's examples.
pub(crate) fn simulation_of_example(name: &str) -> Simulation {
    let path = format!("{}/../../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Simulation::new(scenario(&text), settings())
}

/// Runs to rest, or to the end of virtual time, with a look at what must always be true after every thousandth instant.
pub(crate) fn run_to_rest(simulation: &mut Simulation) -> Report {
    let mut instants = 0u64;
    while !simulation.is_at_rest() && simulation.now() < simulation.until() && simulation.step() {
        instants += 1;
        if instants.is_multiple_of(1000) {
            check(simulation.cluster()).unwrap_or_else(|violation| panic!("{}: {violation}", simulation.now()));
        }
    }
    simulation.report()
}
