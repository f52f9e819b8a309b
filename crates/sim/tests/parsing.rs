//! Whatever a scenario file holds, it is read or refused with a place, and nothing panics.

use muster_sim::{Scenario, Source, Span};
use proptest::prelude::*;

const EXAMPLES: [&str; 2] = [
    include_str!("../../../docs/examples/gang-waits-then-starts.yaml"),
    include_str!("../../../docs/examples/evaluate-where.yaml"),
];

fn load(text: &str) -> Result<(), String> {
    let source = Source {
        name: "FILE".to_owned(),
        text: text.to_owned(),
    };
    Scenario::load(&[source], true)
        .map(drop)
        .map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slips_of_a_finger_are_told_with_the_file(
        example in prop::sample::select(EXAMPLES.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<char>()), 1..5),
    ) {
        let mut chars: Vec<char> = example.chars().collect();
        for (at, how, new) in edits {
            let at = at.index(chars.len());
            match how {
                0 => chars[at] = new,
                1 => chars.insert(at, new),
                _ => drop(chars.remove(at)),
            }
        }
        let text: String = chars.into_iter().collect();
        if let Err(said) = load(&text) {
            prop_assert!(said.starts_with("FILE"), "{said}");
        }
    }

    #[test]
    fn bytes_of_any_sort_are_an_error_and_no_more(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = load(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn spans_are_read_or_refused(text in "[-0-9.a-zµ ]{0,20}") {
        let _ = text.parse::<Span>();
    }
}
