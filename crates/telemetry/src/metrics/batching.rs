//! How pods were decided upon: by the verdict on their twins, or by a full pass.
//!
//! Upstream's names where Muster has the thing. A hint of Muster's is always used: a verdict that is up to date needs no
//! second look.

use super::Maker;
use muster_engine::{BatchCounts, FullPass};
use prometheus::IntCounterVec;

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

    pub(super) fn count(&self, profile: &str, counts: &BatchCounts) {
        let full_passes: u64 = counts.full_passes.iter().sum();
        for (result, n) in [
            ("hint_used", counts.placed + counts.rejected - counts.contradicted),
            ("hint_not_used", counts.contradicted),
            ("no_hint", full_passes),
        ] {
            self.attempts.with_label_values(&[profile, result]).inc_by(n);
        }
        for (reason, n) in [
            ("nodes_changed", counts.outdated),
            ("no_room", counts.evicted),
            ("contradicted", counts.contradicted),
        ] {
            self.flushed.with_label_values(&[profile, reason]).inc_by(n);
        }
        for (reason, n) in FullPass::ALL.iter().zip(counts.full_passes) {
            self.full_passes.with_label_values(&[profile, reason.name()]).inc_by(n);
        }
        self.verdicts.with_label_values(&[profile]).inc_by(counts.made);
        self.nodes_followed
            .with_label_values(&[profile])
            .inc_by(counts.nodes_followed);
        for (result, n) in [("match", counts.confirmed), ("mismatch", counts.contradicted)] {
            self.selfcheck.with_label_values(&[profile, result]).inc_by(n);
        }
    }
}
