//! Integer arithmetic over whole columns, in floating point and yet exact.
//!
//! Processors multiply many floating point numbers at once, but divide integers one at a time and slowly. Where amounts are
//! not absurd ([`IN_RANGE`]), every step here is exact, or rounds in a way that cannot change the integer result. The loops
//! that use this are written for the compiler to run several lanes at once, which is why nothing here branches.

use crate::node_set::BLOCK_BITS;

/// One number for each node of a block.
pub type Lanes = [f64; BLOCK_BITS];

/// 1½ · 2⁵²: adding it to a number of less than 2⁵¹ either way rounds that to a whole number, and leaves it in the low bits.
const SHIFT: f64 = (3u64 << 51) as f64;

/// Whole numbers below two to this power, either way, become floating point and back without loss.
pub const EXACT: u32 = 51;

/// Amounts below two to this power can go through [`percent`]: 8 TiB in bytes.
pub const IN_RANGE: u32 = 43;

/// A whole number as floating point.
#[inline(always)]
pub fn from_integer(n: i64) -> f64 {
    f64::from_bits(SHIFT.to_bits().wrapping_add(n as u64)) - SHIFT
}

/// A number as the integer that is nearest to it.
#[inline(always)]
pub fn to_integer(x: f64) -> i64 {
    (x + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits()) as i64
}

/// The whole number that is nearest to a number.
#[inline(always)]
pub fn nearest(x: f64) -> f64 {
    (x + SHIFT) - SHIFT
}

/// The greatest whole number that is not above a number.
#[inline(always)]
pub fn floor(x: f64) -> f64 {
    let nearest = nearest(x);
    if nearest > x { nearest - 1.0 } else { nearest }
}

/// `⌊100 · part / whole⌋` for whole numbers `0 ≤ part ≤ whole < 2⁴³`, given `100.0 / whole as f64`. Where the latter is 0
/// the result is 0.
///
/// Proof: the quotient is at most `1 − 2⁻⁴³` above its whole part. The product is off by at most `100 · 2⁻⁵²`, and the sum by
/// `2⁻⁴⁷ / 2` more: together less than `2⁻⁴⁵ + 2⁻⁴⁸`. With `2⁻⁴⁴` added, what is computed lies above the whole part and less
/// than 1 above it, so less a half it is nearest to it.
#[inline(always)]
pub fn percent(part: f64, hundred_by_whole: f64) -> f64 {
    const NUDGE: f64 = 1.0 / (1u64 << 44) as f64;
    nearest(part * hundred_by_whole + (NUDGE - 0.5))
}

/// Does the same work with the widest instructions that this processor has: binaries are made for processors of any age.
/// What the work calls has to be inlined into it, and its results do not depend on how wide the instructions are.
#[inline(always)]
pub fn widely<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// The highest of the numbers.
#[inline(always)]
pub fn highest(lanes: &Lanes) -> f64 {
    reduce(lanes, highest_of)
}

/// The lowest of the numbers.
#[inline(always)]
pub fn lowest(lanes: &Lanes) -> f64 {
    reduce(lanes, lowest_of)
}

/// The higher of two numbers, of which none is NaN.
#[inline(always)]
pub fn highest_of(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// The lower of two numbers, of which none is NaN.
#[inline(always)]
pub fn lowest_of(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// In eight strands, since the compiler must not reorder operations on floating point by itself.
#[inline(always)]
fn reduce(lanes: &Lanes, join: impl Fn(f64, f64) -> f64) -> f64 {
    let mut strands = [lanes[0]; 8];
    for chunk in lanes.chunks_exact(8) {
        for (strand, lane) in strands.iter_mut().zip(chunk) {
            *strand = join(*strand, *lane);
        }
    }
    strands.into_iter().fold(lanes[0], join)
}

/// The part of a column that holds the block beginning at `first`; None beyond its end.
#[inline(always)]
pub fn block<T>(column: &[T], first: usize) -> Option<&[T; BLOCK_BITS]> {
    column.get(first..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn quotients_are_those_of_integers(b in 1i64..1 << IN_RANGE, shift in 0..IN_RANGE, part in 0.0..1.0f64, near in -2i64..3) {
            let b = (b >> shift).max(1);
            // Any part of b, with a liking for what is close to a whole hundredth.
            let any = (part * b as f64) as i64;
            let hundredth = (any * 100 / b * b / 100 + near).clamp(0, b);
            for a in [any, hundredth] {
                let quotient = percent(from_integer(a), 100.0 / b as f64);
                prop_assert_eq!(to_integer(quotient), a * 100 / b, "100 · {} / {}", a, b);
            }
        }

        #[test]
        fn reductions(lanes in prop::collection::vec(-1e9..1e9f64, BLOCK_BITS)) {
            let lanes: Lanes = lanes.try_into().expect("a block");
            prop_assert_eq!(highest(&lanes), lanes.into_iter().fold(f64::NEG_INFINITY, f64::max));
            prop_assert_eq!(lowest(&lanes), lanes.into_iter().fold(f64::INFINITY, f64::min));
        }

        #[test]
        fn there_and_back(n in -(1i64 << EXACT) + 1..1 << EXACT) {
            prop_assert_eq!(from_integer(n), n as f64);
            prop_assert_eq!(to_integer(from_integer(n)), n);
        }
    }
}
