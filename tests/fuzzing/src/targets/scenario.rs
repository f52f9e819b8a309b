//! Files of `muster simulate`: they are read or refused, and what was read can be played.

use crate::text_of;
use muster_config::Configuration;
use muster_framework::rules::KubeMinor;
use muster_sim::{Loaded, Scenario, Simulation, Source};

/// A scenario may go on for ever, and a short input may state a million of something: enough is seen by then.
const INSTANTS_MAX: usize = 50;
/// As [`INSTANTS_MAX`]: scenarios with more happenings are only read.
const ACTIONS_MAX: usize = 50;
/// Inputs with longer numbers after words for "so many" are left out: they only take time and memory, as they ask for.
const DIGITS_MAX: usize = 2;

/// Reads it, and plays it for a while.
pub fn run(bytes: &[u8]) {
    let Some(source) = source_of(bytes) else { return };
    let Ok(Loaded { scenario, .. }) = Scenario::load(&[source], true) else {
        return;
    };
    if ACTIONS_MAX < scenario.actions.len() {
        return;
    }
    let settings = Configuration::default().engine_settings(KubeMinor::default());
    let mut simulation = Simulation::new(scenario, settings);
    for _ in 0..INSTANTS_MAX {
        if !simulation.step() {
            break;
        }
    }
    let report = simulation.report();
    serde_json::to_string(&report).expect("a report can be written");
}

/// A file with it. None: it states more of something than is worth the time.
pub(super) fn source_of(bytes: &[u8]) -> Option<Source> {
    let text = text_of(bytes);
    (!asks_for_many(text)).then(|| Source {
        name: "fuzz".to_owned(),
        text: text.to_owned(),
    })
}

fn asks_for_many(text: &str) -> bool {
    let long = |rest: &str| {
        let number = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
        DIGITS_MAX < number.bytes().take_while(u8::is_ascii_digit).count()
    };
    let words = ["count", "replicas", "parallelism", "completions", "parameters"];
    let mut places = words.iter().flat_map(|word| text.match_indices(word));
    places.any(|(at, word)| long(&text[at + word.len()..]))
}
