//! The dice of the generator: a random stream that is the same for ever for the same seed and number.
//!
//! SplitMix64, written out here: a library may draw differently after an update, and then a seed in a bug report
//! would no longer say which case it means.

use std::ops::RangeInclusive;

/// A stream of choices.
#[derive(Debug, Clone)]
pub struct Dice(u64);

/// What SplitMix64 adds at each step: 2⁶⁴ divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    /// The stream of one case.
    pub fn new(seed: u64, index: u64) -> Dice {
        // Mixed apart, so that neighbouring seeds do not share their cases one place further.
        Dice(mixed(seed.wrapping_add(STEP)) ^ mixed(index.wrapping_mul(STEP).wrapping_add(1)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// A number below `n`, and 0 when there is none.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias of the remainder is of no matter for numbers as small as ours.
        let drawn = self.next() % (n.max(1) as u64);
        usize::try_from(drawn).unwrap_or(0)
    }

    /// True in so many of a hundred throws.
    pub fn percent(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    /// A number of the range.
    pub fn range(&mut self, range: RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// One of them; the list must not be empty.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Each of them in so many of a hundred throws, in their order.
    pub fn some<T: Copy>(&mut self, list: &[T], of_hundred: usize) -> Vec<T> {
        list.iter().copied().filter(|_| self.percent(of_hundred)).collect()
    }

    /// At least one of them, in their order.
    pub fn at_least_one<T: Copy>(&mut self, list: &[T], of_hundred: usize) -> Vec<T> {
        let some = self.some(list, of_hundred);
        if some.is_empty() { vec![self.pick(list)] } else { some }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_never_changes() {
        // Were this to change, the seeds of old reports would mean other cases.
        let mut dice = Dice::new(1, 2);
        let drawn: Vec<usize> = (0..6).map(|_| dice.below(1000)).collect();
        assert_eq!(drawn, [799, 907, 88, 548, 478, 874]);
    }

    #[test]
    fn neighbours_have_streams_of_their_own() {
        let first = |seed, index| Dice::new(seed, index).next();
        assert_ne!(first(1, 2), first(2, 1));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(0, 0), 0);
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut dice = Dice::new(3, 4);
        for _ in 0..1000 {
            assert!((2..=5).contains(&dice.range(2..=5)));
            assert!(dice.below(3) < 3);
            assert!(!dice.at_least_one(&[1, 2, 3], 1).is_empty());
        }
        assert!(!dice.percent(0));
        assert!(dice.percent(100));
    }
}
