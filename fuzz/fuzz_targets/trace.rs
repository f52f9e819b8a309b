//! The CSV files of `muster simulate --trace`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_sim::{BadLines, Source, Trace};

fuzz_target!(|texts: (String, String)| {
    let source = |text: &String| Source {
        name: "fuzz".to_owned(),
        text: text.clone(),
    };
    let _ = Trace::load(&source(&texts.0), &source(&texts.1), BadLines::Refuse);
    let _ = Trace::load(&source(&texts.0), &source(&texts.1), BadLines::Skip);
});
