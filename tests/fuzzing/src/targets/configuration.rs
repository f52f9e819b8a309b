//! Configuration files: what is accepted is printed and read back as the same, and what is converted can be read.

use crate::text_of;
use muster_config::{Configuration, Place, Secrets, convert, load};

/// Reads it, and converts it.
pub fn run(bytes: &[u8]) {
    let text = text_of(bytes);
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
}
