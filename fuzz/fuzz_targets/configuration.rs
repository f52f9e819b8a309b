//! Configuration files: what is accepted is printed and read back as the same, and what is converted can be read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_config::{Configuration, Place, Secrets, convert, load};

fuzz_target!(|text: &str| {
    if let Ok(configuration) = load(text) {
        let printed = configuration
            .to_yaml(Secrets::Shown)
            .expect("what was read can be written");
        let again = load(&printed).expect("what was written can be read");
        let without_warnings = |configuration: Configuration| Configuration {
            warnings: Vec::new(),
            ..configuration
        };
        assert_eq!(without_warnings(again), without_warnings(configuration));
    }
    if let Ok(conversion) = convert(text, Place::Beside) {
        load(&conversion.text).expect("a conversion can be read");
    }
});
