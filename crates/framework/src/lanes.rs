//! Integer arithmetic over whole columns, in floating point and yet exact.
//!
//! Processors divide many floating point numbers at once, but integers one at a time and slowly. Where amounts are not
//! absurd ([`IN_RANGE`]), every step here is exact, or rounds in a way that cannot change the integer result. The loops
//! are written for the compiler to run several lanes at once, which is why nothing here branches.

/// 2⁵²: adding it to a smaller whole number leaves that number in the low bits.
const SHIFT: f64 = (1u64 << 52) as f64;
const SHIFT_BITS: u64 = SHIFT.to_bits();

/// Amounts below this can be multiplied by 100, and the product divided, without an error that shows: 70 TiB in bytes.
///
/// Proof for `⌊a/b⌋` with whole `a + b < 2⁵³`: unless `a/b` is whole, and then so is the rounded quotient, it is at least
/// `1/b` below the next whole number `n`; the rounded quotient reaches `n` only if that is within half a unit in the last
/// place of `n`, at most `n·2⁻⁵³`; but `n·b ≤ a + b < 2⁵³`. Here `a ≤ 100·b`.
pub const IN_RANGE: u32 = 46;

/// Amounts below two to this power become floating point and back without loss.
pub const EXACT: u32 = 52;

/// A whole number from 0 to 2⁵² − 1 as floating point.
#[inline(always)]
pub fn from_integer(n: i64) -> f64 {
    f64::from_bits(n as u64 | SHIFT_BITS) - SHIFT
}

/// Back to an integer, from a whole number from 0 to 2⁵² − 1.
#[inline(always)]
pub fn to_integer(x: f64) -> i64 {
    ((x + SHIFT).to_bits() ^ SHIFT_BITS) as i64
}

/// The whole part of a number from 0 to 2⁵¹.
#[inline(always)]
pub fn floor(x: f64) -> f64 {
    let nearest = (x + SHIFT) - SHIFT;
    if nearest > x { nearest - 1.0 } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn quotients_are_those_of_integers(b in 1i64..1 << IN_RANGE, shift in 0u32..46, part in 0.0..1.0f64, near in -2i64..3) {
            let b = (b >> shift).max(1);
            // Any part of b, with a liking for what is close to a whole hundredth.
            let any = (part * b as f64) as i64;
            let hundredth = (any * 100 / b * b / 100 + near).clamp(0, b);
            for a in [any, hundredth] {
                let quotient = floor(100.0 * from_integer(a) / from_integer(b));
                prop_assert_eq!(to_integer(quotient), a * 100 / b, "100 · {} / {}", a, b);
            }
        }

        #[test]
        fn there_and_back(n in 0i64..1 << 52) {
            prop_assert_eq!(from_integer(n), n as f64);
            prop_assert_eq!(to_integer(from_integer(n)), n);
        }
    }
}
