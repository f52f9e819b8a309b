//! How pods were decided upon: by the verdict on their twins, or by a full pass.
//!
//! Upstream's names where Muster has the thing. A hint of Muster's is always used: a verdict that is up to date needs no
//! second look.

use super::Maker;
use muster_engine::{BatchCounts, FullPass};
use prometheus::{IntCounter, IntCounterVec};

/// The metrics of batching.
pub(super) struct Batching {
    attempts: IntCounterVec,
    flushed: IntCounterVec,
    full_passes: IntCounterVec,
    verdicts: IntCounterVec,
    nodes_followed: IntCounterVec,
    selfcheck: IntCounterVec,
}

impl Batching {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Batching> {
        Ok(Batching {
            attempts: make.counters(
                "scheduler_batch_attempts_total",
                "Counts of results when we attempt to use batching.",
                &["profile", "result"],
            )?,
            flushed: make.counters(
                "scheduler_batch_cache_flushed_total",
                "Counts of cache flushes by reason.",
                &["profile", "reason"],
            )?,
            full_passes: make.counters(
                "muster_batch_full_passes_total",
                "Number of decisions that took a look at all nodes, by the reason.",
                &["profile", "reason"],
            )?,
            verdicts: make.counters(
                "muster_batch_verdicts_total",
                "Number of verdicts on pods and their twins that were made.",
                &["profile"],
            )?,
            nodes_followed: make.counters(
                "muster_batch_nodes_followed_total",
                "Number of nodes that were judged again to bring verdicts up to date.",
                &["profile"],
            )?,
            selfcheck: make.counters(
                "muster_batch_selfcheck_total",
                "Number of decisions by a verdict that were held against a full pass; a mismatch is a defect of Muster.",
                &["profile", "result"],
            )?,
        })
    }

    /// The series of a profile.
    pub(super) fn of_profile(&self, profile: &str) -> OfProfile {
        let of = |family: &IntCounterVec, value: &str| family.with_label_values(&[profile, value]);
        OfProfile {
            attempts: ["hint_used", "hint_not_used", "no_hint"].map(|result| of(&self.attempts, result)),
            flushed: ["nodes_changed", "no_room", "contradicted"].map(|reason| of(&self.flushed, reason)),
            full_passes: FullPass::ALL.map(|reason| of(&self.full_passes, reason.name())),
            verdicts: self.verdicts.with_label_values(&[profile]),
            nodes_followed: self.nodes_followed.with_label_values(&[profile]),
            selfcheck: ["match", "mismatch"].map(|result| of(&self.selfcheck, result)),
        }
    }
}

/// The series of a profile. Each array is in the order in which [`OfProfile::count`] counts.
pub(super) struct OfProfile {
    attempts: [IntCounter; 3],
    flushed: [IntCounter; 3],
    full_passes: [IntCounter; FullPass::ALL.len()],
    verdicts: IntCounter,
    nodes_followed: IntCounter,
    selfcheck: [IntCounter; 2],
}

impl OfProfile {
    pub(super) fn count(&self, counts: &BatchCounts) {
        let full_passes: u64 = counts.full_passes.iter().sum();
        let hint_used = counts.placed + counts.rejected - counts.contradicted;
        add(&self.attempts, [hint_used, counts.contradicted, full_passes]);
        add(&self.flushed, [counts.outdated, counts.evicted, counts.contradicted]);
        add(&self.full_passes, counts.full_passes);
        self.verdicts.inc_by(counts.made);
        self.nodes_followed.inc_by(counts.nodes_followed);
        add(&self.selfcheck, [counts.confirmed, counts.contradicted]);
    }
}

fn add<const N: usize>(series: &[IntCounter; N], by: [u64; N]) {
    for (series, by) in series.iter().zip(by) {
        series.inc_by(by);
    }
}
