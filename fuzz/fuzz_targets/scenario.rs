//! Files of `muster simulate`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_sim::{Scenario, Source};

fuzz_target!(|text: &str| {
    let source = Source {
        name: "fuzz".to_owned(),
        text: text.to_owned(),
    };
    let _ = Scenario::load(&[source], true);
});
