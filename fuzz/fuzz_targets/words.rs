//! Short texts with a grammar of their own: quantities, durations, spans of time, feature gates, keys and values of labels.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_config::{
    Configuration, apply_feature_gates, check_label_key, check_label_value, format_duration, parse_duration,
};
use muster_framework::quantity::Quantity;
use muster_sim::Span;

fuzz_target!(|text: &str| {
    let _ = Quantity::parse(text);
    let _ = text.parse::<Span>();
    let _ = apply_feature_gates(text, &mut Configuration::default());
    let _ = (check_label_key(text), check_label_value(text));
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
});
