//! Verdicts say what full passes say, in some fixed histories; and the same seed is the same history.

use muster_exactness::{History, Tally};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Decisions by verdicts that are held against full passes. Many more: `cargo xtask batch-exactness --decisions N`.
const DECISIONS: u64 = 50_000;
const SEED: u64 = 3;

#[test]
fn verdicts_say_what_full_passes_say() {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while found.lock().unwrap().by_verdict() < DECISIONS {
                    match History::new(SEED, next.fetch_add(1, Ordering::Relaxed)).run() {
                        Ok(tally) => found.lock().unwrap().add(&tally),
                        Err(failure) => panic!("{failure}\nshrunk: {}", History::shrunk(failure.clone())),
                    }
                }
            });
        }
    });
    let tally = found.into_inner().unwrap();
    assert_eq!(tally.counts.contradicted, 0);
    assert_eq!(tally.missing(), Vec::<&str>::new(), "{tally}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for index in 0..6 {
        let run = || History::new(7, index).run().unwrap();
        let (first, second) = (run(), run());
        assert_eq!((first.counts, first.by_feature), (second.counts, second.by_feature));
    }
}
