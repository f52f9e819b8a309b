//! Attempts to schedule pods and pod groups, by profile and result.

use super::Maker;
use super::batching::{Batching, OfProfile as Batches};
use super::counted::Distribution;
use muster_engine::{AttemptResult, BatchCounts};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, exponential_buckets};
use std::time::Duration;

/// The metrics of attempts.
pub(super) struct Attempts {
    total: IntCounterVec,
    duration: HistogramVec,
    algorithm: Histogram,
    group_total: IntCounterVec,
    group_duration: HistogramVec,
    group_algorithm: Histogram,
    batching: Batching,
    /// Of the configured profiles, which are few.
    profiles: Vec<OfProfile>,
}

/// The series of a profile.
struct OfProfile {
    name: String,
    /// In the order of [`AttemptResult`].
    results: [OfResult; 3],
    batches: Batches,
}

struct OfResult {
    total: IntCounter,
    duration: Histogram,
    group_total: IntCounter,
    group_duration: Histogram,
}

const RESULTS: [AttemptResult; 3] = [
    AttemptResult::Scheduled,
    AttemptResult::Unschedulable,
    AttemptResult::Error,
];

impl Attempts {
    pub(super) fn new(make: &Maker<'_>, profiles: &[&str]) -> prometheus::Result<Attempts> {
        let steps = exponential_buckets(0.001, 2.0, 15)?;
        let mut attempts = Attempts {
            total: make.counters(
                "scheduler_schedule_attempts_total",
                "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, \
                 while 'error' means an internal scheduler problem.",
                &["result", "profile"],
            )?,
            duration: make.histograms(
                "scheduler_scheduling_attempt_duration_seconds",
                "Scheduling attempt latency in seconds. Here it is the decision alone: binding is asynchronous.",
                steps.clone(),
                &["result", "profile"],
            )?,
            algorithm: make.histogram(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Scheduling algorithm latency in seconds.",
                steps.clone(),
            )?,
            group_total: make.counters(
                "scheduler_podgroup_schedule_attempts_total",
                "Number of attempts to schedule pod group, by the result. 'unschedulable' means a pod group could not be \
                 scheduled, while 'error' means an internal scheduler problem.",
                &["result", "profile"],
            )?,
            group_duration: make.histograms(
                "scheduler_podgroup_scheduling_attempt_duration_seconds",
                "Pod group scheduling attempt latency in seconds. Here it is the decision alone: binding is asynchronous.",
                steps.clone(),
                &["result", "profile"],
            )?,
            group_algorithm: make.histogram(
                "scheduler_podgroup_scheduling_algorithm_duration_seconds",
                "Pod group scheduling algorithm latency in seconds.",
                steps,
            )?,
            batching: Batching::new(make)?,
            profiles: Vec::new(),
        };
        attempts.profiles = profiles.iter().map(|name| attempts.of_profile(name)).collect();
        Ok(attempts)
    }

    fn of_profile(&self, profile: &str) -> OfProfile {
        let of_result = |result: AttemptResult| {
            let labels = [result.name(), profile];
            OfResult {
                total: self.total.with_label_values(&labels),
                duration: self.duration.with_label_values(&labels),
                group_total: self.group_total.with_label_values(&labels),
                group_duration: self.group_duration.with_label_values(&labels),
            }
        };
        OfProfile {
            name: profile.to_owned(),
            results: RESULTS.map(of_result),
            batches: self.batching.of_profile(profile),
        }
    }

    fn with_profile(&self, profile: &str, count: impl FnOnce(&OfProfile)) {
        match self.profiles.iter().find(|known| known.name == profile) {
            Some(known) => count(known),
            None => count(&self.of_profile(profile)),
        }
    }

    /// So many pods were tried, in one decision that took so long.
    pub(super) fn count(&self, result: AttemptResult, profile: &str, pods: u32, gang: bool, took: Duration) {
        let took = took.as_secs_f64();
        self.with_profile(profile, |profile| {
            let of = &profile.results[result as usize];
            of.total.inc_by(u64::from(pods));
            // A gang is one decision however many pods it has.
            of.duration.observe(took);
            if gang {
                of.group_total.inc();
                of.group_duration.observe(took);
            }
        });
        self.algorithm.observe(took);
        if gang {
            self.group_algorithm.observe(took);
        }
    }

    /// Pods that were tried with this result.
    pub(super) fn tried(&self, result: AttemptResult) -> u64 {
        let of = self.profiles.iter().map(|profile| &profile.results[result as usize]);
        of.map(|of| of.total.get()).sum()
    }

    /// How long decisions took.
    pub(super) fn durations(&self) -> Distribution {
        Distribution::of(&self.algorithm)
    }

    /// What batching has done since it was told last.
    pub(super) fn batching(&self, profile: &str, counts: &BatchCounts) {
        self.with_profile(profile, |profile| profile.batches.count(counts));
    }
}
