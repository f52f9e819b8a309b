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

/// A duration as Go writes it: `1h0m0s`, `1m30s`, `1.5s`, `250ms`, `0s`. What [`parse`] reads as the same.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, per_unit) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => ("ns", 1),
        1_000..1_000_000 => ("µs", 1_000),
        1_000_000..1_000_000_000 => ("ms", 1_000_000),
        _ => ("s", 1_000_000_000),
    };
    let minutes = nanos / 60_000_000_000;
    let (whole, rest) = match minutes {
        0 => (nanos / per_unit, nanos % per_unit),
        _ => (nanos / per_unit % 60, nanos % per_unit),
    };
    let front = match (minutes / 60, minutes % 60) {
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    };
    let digits = per_unit.ilog10() as usize;
    let fraction = if rest == 0 {
        String::new()
    } else {
        format!(".{rest:0digits$}")
    };
    format!("{front}{whole}{}{unit}", fraction.trim_end_matches('0'))
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
    fn writes_what_go_writes() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (90_000_000_001, "1m30.000000001s"),
            (3_600_000_000_000, "1h0m0s"),
            (360_000_000_000_000, "100h0m0s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(format(Duration::from_nanos(nanos)), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(nanos in 0..=i64::MAX as u64) {
            let duration = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-0-9.nuµmshx]{0,30}") {
            let _ = parse(&text);
        }
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
