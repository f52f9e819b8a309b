//! Durations as Kubernetes writes them (`metav1.Duration`, Go's syntax): `15s`, `1m30s`, `1.5h`.

use std::time::Duration;

/// Go counts nanoseconds in 64 bits, and so what Kubernetes can say ends here.
pub(crate) const MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// Parses a duration that is not negative; the error says what is wrong.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    const SYNTAX: &str = "must be a duration such as 15s or 1m30s";
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err("must not be negative");
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (number, after) = split_at_non(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split_at_non(after, |c| !c.is_ascii_digit() && c != '.');
        let nanos = unit_nanos(unit)
            .and_then(|per_unit| nanos(number, per_unit))
            .ok_or(SYNTAX)?;
        total = total.saturating_add(nanos);
        rest = after;
    }
    match u64::try_from(total) {
        _ if text.is_empty() => Err(SYNTAX),
        Ok(nanos) if nanos <= i64::MAX as u64 => Ok(Duration::from_nanos(nanos)),
        _ => Err("is longer than a duration can be"),
    }
}

fn split_at_non(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `number` units of `per_unit` nanoseconds each, cut to whole nanoseconds; None when it is no number.
fn nanos(number: &str, per_unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    // Beyond these digits the result is cut to whole nanoseconds, or refused as too long, anyway.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10u128.pow(fraction.len() as u32);
    let whole = whole.trim_start_matches('0');
    let whole: u128 = if 20 < whole.len() {
        u64::MAX.into()
    } else {
        digits(whole)?
    };
    Some(
        whole
            .saturating_mul(per_unit)
            .saturating_add(digits(fraction)? * per_unit / scale),
    )
}

fn digits(text: &str) -> Option<u128> {
    if text.is_empty() { Some(0) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let cases = [
            ("0", 0),
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("250ms", 250),
            ("1h0m0.5s", 3_600_500),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("1500ns"), Ok(Duration::from_nanos(1500)));
        assert_eq!(parse("2µs"), Ok(Duration::from_micros(2)));
        assert_eq!(parse("9223372036854775807ns"), Ok(MAX));
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "",
            "s",
            "15",
            "1.2.3s",
            ".s",
            "1d",
            "1 s",
            "+",
            "-1s",
            "9223372036854775808ns",
            "99999999999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
