//! Spans of time as scenarios write them (`90s`, `1h30m`, `250ms`) and as people read them.

use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// A span of time, written as in Go: `1h30m`, `2.5s`, `300ms`. A bare `0` needs no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// Why a text is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a span of time (wanted is for example 90s, 5m or 1h30m)")]
pub struct ParseSpanError(String);

/// Units from long to short, in nanoseconds. `ms` stands before `m` and `s`, whose first letters it shares.
const UNITS: [(&str, u64); 6] = [
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

impl std::str::FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Span, ParseSpanError> {
        let nanos = nanoseconds(text.trim()).ok_or_else(|| ParseSpanError(text.to_owned()))?;
        Ok(Span(Duration::from_nanos(nanos)))
    }
}

fn nanoseconds(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut sum = 0u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let (unit, scale) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        sum = sum.checked_add(scaled(number, *scale)?)?;
        rest = &tail[unit.len()..];
    }
    (!text.is_empty()).then_some(sum)
}

/// A decimal number times a scale, cut to whole nanoseconds.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let divisor = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(digits) * u128::from(scale) / u128::from(divisor);
    whole.checked_mul(scale)?.checked_add(u64::try_from(part).ok()?)
}

impl fmt::Display for Span {
    /// As `kubectl` would, with milliseconds below a minute: `0.005s`, `1m30s`, `2h0m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 3600, seconds / 60 % 60) {
            (0, 0) => write!(f, "{}.{:03}s", seconds, self.0.subsec_millis()),
            (0, minutes) => write!(f, "{minutes}m{}s", seconds % 60),
            (hours, minutes) => write!(f, "{hours}h{minutes}m"),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time with its unit, for example 90s, 5m or 1h30m")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Span, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_go_reads_them() {
        let millis = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis());
        for (text, expected) in [
            ("0", 0),
            ("0s", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1m0.5s", 60_500),
            (".5s", 500),
            ("2h3m4s5ms", 7_384_005),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1d", "1s2", "1..5s", "99999999999h", "1 s"] {
            assert!(millis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_shown_with_the_precision_that_matters() {
        let shown = |text: &str| text.parse::<Span>().map(|span| span.to_string());
        assert_eq!(shown("5ms").as_deref(), Ok("0.005s"));
        assert_eq!(shown("90s").as_deref(), Ok("1m30s"));
        assert_eq!(shown("26h").as_deref(), Ok("26h0m"));
    }
}
