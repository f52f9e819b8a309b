//! Counts by a dense key: sparse while few keys count, a column once that is smaller and faster.

use rustc_hash::FxHashMap;

/// A column pays once one key in this many counts: a hash entry takes about as much room as that many cells.
const DENSE_FROM: usize = 8;

/// How many of something there are by key (a node's ordinal, or the code of a label value). Never below 0.
#[derive(Debug, Clone)]
pub struct Counts {
    repr: Repr,
    nonzero: usize,
    total: u64,
}

#[derive(Debug, Clone)]
enum Repr {
    Sparse(FxHashMap<u32, u32>),
    Dense(Vec<u32>),
}

impl Default for Counts {
    fn default() -> Self {
        Counts {
            repr: Repr::Sparse(FxHashMap::default()),
            nonzero: 0,
            total: 0,
        }
    }
}

impl Counts {
    /// The count of a key.
    pub fn get(&self, key: u32) -> u32 {
        match &self.repr {
            Repr::Sparse(map) => map.get(&key).copied().unwrap_or(0),
            Repr::Dense(column) => column.get(key as usize).copied().unwrap_or(0),
        }
    }

    /// How many keys count.
    pub fn len(&self) -> usize {
        self.nonzero
    }

    /// Whether nothing counts.
    pub fn is_empty(&self) -> bool {
        self.nonzero == 0
    }

    /// The sum over all keys.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Counts `amount` more of a key; `universe` is about how many keys there are.
    pub fn add(&mut self, key: u32, amount: u32, universe: usize) {
        if amount == 0 {
            return;
        }
        self.total += u64::from(amount);
        let count = self.slot(key);
        let was = std::mem::replace(count, *count + amount);
        self.nonzero += usize::from(was == 0);
        if let Repr::Sparse(map) = &self.repr
            && map.len() * DENSE_FROM > universe.max(64)
        {
            let mut column = vec![0; map.keys().max().map_or(0, |max| *max as usize + 1)];
            map.iter().for_each(|(key, count)| column[*key as usize] = *count);
            self.repr = Repr::Dense(column);
        }
    }

    /// Counts `amount` less of a key.
    pub fn sub(&mut self, key: u32, amount: u32) {
        let count = self.slot(key);
        debug_assert!(*count >= amount, "what is taken off had been counted");
        let was = *count;
        *count = was.saturating_sub(amount);
        let gone = was > 0 && *count == 0;
        self.total -= u64::from(was.min(amount));
        self.nonzero -= usize::from(gone);
        if let Repr::Sparse(map) = &mut self.repr
            && map.get(&key) == Some(&0)
        {
            map.remove(&key);
        }
    }

    /// Tells the keys that count, with their counts, in no order that means anything.
    pub fn each(&self, mut tell: impl FnMut(u32, u32)) {
        match &self.repr {
            Repr::Sparse(map) => map.iter().for_each(|(key, count)| tell(*key, *count)),
            Repr::Dense(column) => {
                for (key, count) in column.iter().enumerate().filter(|(_, count)| **count > 0) {
                    tell(key as u32, *count);
                }
            }
        }
    }

    fn slot(&mut self, key: u32) -> &mut u32 {
        match &mut self.repr {
            Repr::Sparse(map) => map.entry(key).or_default(),
            Repr::Dense(column) => {
                if column.len() <= key as usize {
                    column.resize(key as usize + 1, 0);
                }
                &mut column[key as usize]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn counts_are_those_of_a_plain_map(steps in prop::collection::vec((any::<bool>(), 0u32..200, 1u32..4), 0..300)) {
            let (mut counts, mut plain) = (Counts::default(), BTreeMap::<u32, u32>::new());
            for (add, key, amount) in steps {
                if add {
                    counts.add(key, amount, 200);
                    *plain.entry(key).or_default() += amount;
                } else if let Some(count) = plain.get_mut(&key) {
                    let amount = amount.min(*count);
                    counts.sub(key, amount);
                    *count -= amount;
                    plain.retain(|_, count| *count > 0);
                }
                let mut seen: Vec<(u32, u32)> = Vec::new();
                counts.each(|key, count| seen.push((key, count)));
                seen.sort_unstable();
                prop_assert_eq!(seen, plain.iter().map(|(k, c)| (*k, *c)).collect::<Vec<_>>());
                prop_assert_eq!(counts.len(), plain.len());
                prop_assert_eq!(counts.total(), plain.values().map(|c| u64::from(*c)).sum::<u64>());
            }
        }
    }
}
