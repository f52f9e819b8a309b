//! Short texts with a grammar of their own: quantities, durations, spans of time, feature gates, keys and values of labels,
//! selectors, what-if edits, fingerprints of certificates.

#[path = "../../../../crates/muster/src/kubectl/selector.rs"]
mod selector;

use crate::text_of;
use muster_api::Fingerprint;
use muster_config::{
    Configuration, apply_feature_gates, check_label_key, check_label_value, format_duration, parse_duration,
};
use muster_framework::quantity::Quantity;
use muster_sim::Span;
use muster_sim::what_if::{Edit, NewNodes};

/// Reads it as each of them.
pub fn run(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Ok(quantity) = Quantity::parse(text) {
        let _ = (quantity.value(), quantity.milli_value(), quantity.is_negative());
    }
    let _ = apply_feature_gates(text, &mut Configuration::default());
    let _ = (check_label_key(text), check_label_value(text));
    let _ = selector::parse(text);
    let _ = text.parse::<NewNodes>();
    let _ = Edit::drop_constraint(text);
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
    if let Ok(Span(span)) = text.parse() {
        // Scenarios and configurations read the same durations, but for spaces around them.
        assert_eq!(parse_duration(text.trim()).unwrap_or(span), span);
        let _ = Span(span).to_string();
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string(), text.to_ascii_lowercase());
    }
}
