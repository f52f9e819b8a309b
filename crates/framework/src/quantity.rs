//! Kubernetes quantities (`250m`, `1.5Gi`, `3e6`) as integers, with upstream's rounding.
//!
//! Source of the grammar and of "rounds up": `k8s.io/apimachinery/pkg/api/resource` (`Quantity.Value`,
//! `Quantity.MilliValue`).

use std::fmt;

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseQuantityError {
    text: String,
}

impl fmt::Display for ParseQuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a quantity (wanted is for example 500m, 2 or 1.5Gi)",
            self.text
        )
    }
}

impl std::error::Error for ParseQuantityError {}

/// Billionths in a unit: nothing finer is told apart.
const NANOS_PER_UNIT: i128 = 1_000_000_000;
/// Billionths in a thousandth.
const NANOS_PER_MILLI: i128 = 1_000_000;
/// More than this is counted as this: it is the most that any amount can be.
const NANOS_MAX: i128 = i64::MAX as i128 * NANOS_PER_UNIT;

/// A quantity, exact to a billionth. Sums are exact too: only who asks for units or thousandths has them rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { nanos: 0 };

    /// Parses a quantity as the API server writes it. Parts finer than a billionth are rounded away from zero.
    ///
    /// # Errors
    /// The text does not follow the grammar of quantities.
    pub fn parse(text: &str) -> Result<Quantity, ParseQuantityError> {
        parse(text.as_bytes()).ok_or_else(|| ParseQuantityError {
            text: text.chars().take(64).collect(),
        })
    }

    /// So many units.
    pub const fn units(units: i64) -> Quantity {
        Quantity {
            nanos: units as i128 * NANOS_PER_UNIT,
        }
    }

    /// So many thousandths.
    pub const fn millis(millis: i64) -> Quantity {
        Quantity {
            nanos: millis as i128 * NANOS_PER_MILLI,
        }
    }

    /// Both together.
    pub fn plus(self, other: Quantity) -> Quantity {
        Quantity {
            nanos: self.nanos.saturating_add(other.nanos),
        }
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The value in whole units, rounded up, saturating at the limits of `i64`.
    pub fn value(self) -> i64 {
        self.rounded_up_to(NANOS_PER_UNIT)
    }

    /// The value in thousandths, rounded up, saturating at the limits of `i64`.
    pub fn milli_value(self) -> i64 {
        self.rounded_up_to(NANOS_PER_MILLI)
    }

    fn rounded_up_to(self, nanos: i128) -> i64 {
        let up = i128::from(self.nanos.rem_euclid(nanos) != 0);
        let rounded = self.nanos.div_euclid(nanos) + up;
        rounded.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// The digits of a quantity as they are read: `digits · 10^exponent10 · 2^exponent2`, a little more if `inexact`.
struct Scanned {
    digits: u128,
    exponent10: i32,
    exponent2: u32,
    /// Digits beyond the 20 kept were not all zero: matters only for rounding.
    inexact: bool,
}

fn parse(text: &[u8]) -> Option<Quantity> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let integer_len = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    let (integer, rest) = rest.split_at(integer_len);
    let (fraction, rest) = match rest.first() {
        Some(b'.') => {
            let len = rest[1..].iter().take_while(|c| c.is_ascii_digit()).count();
            rest[1..].split_at(len)
        }
        _ => (&rest[..0], rest),
    };
    if integer.is_empty() && fraction.is_empty() {
        return None;
    }
    let (exponent10, exponent2) = suffix(rest)?;
    let mut scanned = Scanned {
        digits: 0,
        exponent10,
        exponent2,
        inexact: false,
    };
    for &c in integer {
        scanned.push_digit(c - b'0', false);
    }
    for &c in fraction {
        scanned.push_digit(c - b'0', true);
    }
    let nanos = scanned.nanos();
    Some(Quantity {
        nanos: if negative { -nanos } else { nanos },
    })
}

impl Scanned {
    fn push_digit(&mut self, digit: u8, fractional: bool) {
        // 20 digits are below 2^67, so that the largest binary suffix still fits in 128 bits.
        if self.digits < 10u128.pow(19) {
            self.digits = self.digits * 10 + u128::from(digit);
            if fractional {
                self.exponent10 = self.exponent10.saturating_sub(1);
            }
        } else {
            self.inexact |= digit != 0;
            if !fractional {
                self.exponent10 = self.exponent10.saturating_add(1);
            }
        }
    }

    /// Billionths, rounded up, at most [`NANOS_MAX`].
    fn nanos(&self) -> i128 {
        let exponent = self.exponent10.saturating_add(9);
        let mut magnitude = self.digits << self.exponent2;
        let mut remainder = self.inexact;
        for _ in exponent..0 {
            if magnitude == 0 {
                break;
            }
            remainder |= !magnitude.is_multiple_of(10);
            magnitude /= 10;
        }
        for _ in 0..exponent {
            if magnitude == 0 || magnitude > NANOS_MAX as u128 {
                break;
            }
            magnitude = magnitude.saturating_mul(10);
        }
        i128::try_from(magnitude)
            .unwrap_or(NANOS_MAX)
            .saturating_add(i128::from(remainder))
            .min(NANOS_MAX)
    }
}

/// The powers of ten and of two that a suffix stands for.
fn suffix(text: &[u8]) -> Option<(i32, u32)> {
    Some(match text {
        b"" => (0, 0),
        b"n" => (-9, 0),
        b"u" => (-6, 0),
        b"m" => (-3, 0),
        b"k" => (3, 0),
        b"M" => (6, 0),
        b"G" => (9, 0),
        b"T" => (12, 0),
        b"P" => (15, 0),
        b"E" => (18, 0),
        b"Ki" => (0, 10),
        b"Mi" => (0, 20),
        b"Gi" => (0, 30),
        b"Ti" => (0, 40),
        b"Pi" => (0, 50),
        b"Ei" => (0, 60),
        [b'e' | b'E', exponent @ ..] => {
            let exponent = std::str::from_utf8(exponent).ok()?;
            (exponent.parse::<i32>().ok()?, 0)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_and_milli_values_round_up() {
        for (text, value, milli) in [
            ("0", 0, 0),
            ("1", 1, 1_000),
            ("100m", 1, 100),
            ("1500m", 2, 1_500),
            ("1n", 1, 1),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("0.1Ki", 103, 102_400),
            ("128974848", 128_974_848, 128_974_848_000),
            ("129e6", 129_000_000, 129_000_000_000),
            ("12E", i64::MAX, i64::MAX),
            ("7Ei", 8_070_450_532_247_928_832, i64::MAX),
            ("1e1000000", i64::MAX, i64::MAX),
            ("1e-1000000", 1, 1),
            ("-1.5", -1, -1_500),
            (".5", 1, 500),
            ("5.", 5, 5_000),
            ("+2k", 2_000, 2_000_000),
            ("1234567890123456789012n", 1_234_567_890_124, 1_234_567_890_123_457),
        ] {
            let quantity = Quantity::parse(text).expect(text);
            assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in [
            "",
            "-",
            ".",
            "1 Gi",
            "1gi",
            "1KiB",
            "Gi",
            "1e",
            "1e+",
            "0x10",
            "1,5",
            "∞",
            "1e99999999999",
        ] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_and_rounded_once() {
        let third = Quantity::parse("333u").expect("valid");
        let sum = third.plus(third).plus(third);
        assert_eq!((sum.milli_value(), third.milli_value() * 3), (1, 3));
        assert_eq!(Quantity::units(2).plus(Quantity::millis(-500)).milli_value(), 1500);
        let most = Quantity::units(i64::MAX);
        assert_eq!(most.plus(most).value(), i64::MAX);
        assert!(Quantity::parse("-1n").expect("valid").is_negative());
        // Finer than a billionth: rounded away from zero, as upstream does when it parses.
        assert_eq!(Quantity::parse("0.1n"), Quantity::parse("1n"));
    }

    proptest! {
        #[test]
        fn integers_with_binary_suffixes_are_exact(n in 0i64..1 << 22, shift in prop::sample::select(vec![("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)])) {
            let quantity = Quantity::parse(&format!("{n}{}", shift.0)).expect("valid");
            prop_assert_eq!(quantity.value(), n << shift.1);
        }

        #[test]
        fn never_panics(text in "[-+]?[0-9]{0,40}[.]?[0-9]{0,40}([eE][-+]?[0-9]{0,12}|[numkMGTPEi]{0,3})") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let _ = (quantity.value(), quantity.milli_value());
            }
        }

        #[test]
        fn milli_is_a_thousand_times_value_when_whole(n in 0i64..1_000_000_000) {
            let quantity = Quantity::parse(&n.to_string()).expect("valid");
            prop_assert_eq!(quantity.milli_value(), n * 1000);
        }
    }
}
