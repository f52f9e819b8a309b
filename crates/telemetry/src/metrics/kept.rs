//! Series that are counted often, kept by what they are of: to find one by its labels takes a hash of all of them, a lock and
//! a look into a map.

use std::sync::{OnceLock, PoisonError, RwLock};

/// A series for each of `N` things, made when it is needed first: one that never counts anything is not shown.
#[derive(Debug)]
pub(super) struct Kept<M, const N: usize>([OnceLock<M>; N]);

impl<M, const N: usize> Kept<M, N> {
    pub(super) fn none() -> Kept<M, N> {
        Kept([const { OnceLock::new() }; N])
    }

    /// The series of that thing.
    pub(super) fn at(&self, at: usize, make: impl FnOnce() -> M) -> &M {
        self.0[at].get_or_init(make)
    }
}

/// Series by a word of the program: few words, though they stand in many places.
#[derive(Debug)]
pub(super) struct KeptByWord<M>(RwLock<Vec<(&'static str, M)>>);

impl<M> KeptByWord<M> {
    pub(super) fn none() -> KeptByWord<M> {
        KeptByWord(RwLock::new(Vec::new()))
    }

    /// Counts on the series of that word.
    pub(super) fn with(&self, word: &'static str, make: impl FnOnce() -> M, count: impl FnOnce(&M)) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, series)) = known.iter().find(|(known, _)| *known == word) {
            return count(series);
        }
        drop(known);
        // Two may make it at once; both then count on the same series of the registry.
        let series = make();
        count(&series);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.push((word, series));
    }
}
