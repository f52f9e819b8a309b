//! How much happens, and how long it takes: differences of what the leader has counted.
//!
//! Counters begin anew with each process. Where an answer comes from another process than the one before, or its counters have
//! gone back, nothing can be said of the time between.

use crate::overview::document::{Bucket, Counters, Document, Histogram};
use std::collections::VecDeque;

/// Latencies are those of so many seconds.
const WINDOW: f64 = 60.0;

/// What was counted when.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    identity: String,
    uptime: f64,
    counters: Counters,
}

/// The answers of the last minute, of one process.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Sample>);

/// So many in a second.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rates {
    /// Pods tried, by how it ended.
    pub(super) attempts: Vec<(String, f64)>,
    pub(super) bound: f64,
    pub(super) bind_failures: f64,
}

/// What latencies are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    SinceStart,
    LastMinute,
}

/// Histograms of decisions, pods, gangs and requests.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Latencies {
    pub(super) span: Span,
    pub(super) attempt: Histogram,
    pub(super) scheduling: Histogram,
    pub(super) gang_wait: Histogram,
    pub(super) requests: Histogram,
}

/// A quantile, as far as buckets tell, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Quantile {
    /// In the lowest bucket.
    Below(f64),
    /// Between two bounds: in proportion, as Prometheus' `histogram_quantile` has it.
    About(f64),
    /// Over all bounds.
    Above(f64),
}

impl History {
    /// Takes in an answer.
    pub(super) fn take(&mut self, answer: &Document) {
        let Some(counters) = &answer.counters else {
            self.0.clear();
            return;
        };
        let sample = Sample {
            identity: answer.leader.identity.clone(),
            uptime: answer.leader.uptime_seconds,
            counters: counters.clone(),
        };
        if self.0.back().is_some_and(|before| !follows(before, &sample)) {
            self.0.clear();
        }
        // The first one is what the window is counted from: it may be a little older.
        while self
            .0
            .get(1)
            .is_some_and(|second| sample.uptime - second.uptime >= WINDOW)
        {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// How much happened between the last two answers. None: there are no two.
    pub(super) fn rates(&self) -> Option<Rates> {
        let (before, after) = (self.0.iter().nth_back(1)?, self.0.back()?);
        let seconds = after.uptime - before.uptime;
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        let (old, new) = (&before.counters, &after.counters);
        let attempts = new.attempts.iter().map(|(result, n)| {
            let before = old.attempts.get(result).copied().unwrap_or(0);
            (result.clone(), rate(before, *n))
        });
        Some(Rates {
            attempts: attempts.collect(),
            bound: rate(old.bound, new.bound),
            bind_failures: rate(old.bind_failures, new.bind_failures),
        })
    }

    /// How long things took in the last minute; since the process began where there is one answer only.
    pub(super) fn latencies(&self) -> Option<Latencies> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let span = if self.0.len() == 1 {
            Span::SinceStart
        } else {
            Span::LastMinute
        };
        let of = |histogram: fn(&Counters) -> &Histogram| match span {
            Span::SinceStart => histogram(&last.counters).clone(),
            Span::LastMinute => since(histogram(&first.counters), histogram(&last.counters)),
        };
        Some(Latencies {
            span,
            attempt: of(|counters| &counters.attempt),
            scheduling: of(|counters| &counters.scheduling),
            gang_wait: of(|counters| &counters.gang_wait),
            requests: of(|counters| &counters.requests),
        })
    }
}

/// Whether one process has counted on from the one to the other.
fn follows(before: &Sample, after: &Sample) -> bool {
    let (old, new) = (&before.counters, &after.counters);
    let grown = |old: u64, new: u64| old <= new;
    let tried = |(result, n): (&String, &u64)| new.attempts.get(result).is_some_and(|now| grown(*n, *now));
    let histograms = [
        (&old.attempt, &new.attempt),
        (&old.scheduling, &new.scheduling),
        (&old.gang_wait, &new.gang_wait),
        (&old.requests, &new.requests),
    ];
    before.identity == after.identity
        && before.uptime < after.uptime
        && old.attempts.iter().all(tried)
        && grown(old.bound, new.bound)
        && grown(old.bind_failures, new.bind_failures)
        && histograms.into_iter().all(|(old, new)| grown(old.count, new.count))
}

/// What has come since.
fn since(old: &Histogram, new: &Histogram) -> Histogram {
    // A histogram that had no value yet has no buckets yet.
    let before = |at: usize| old.buckets.get(at).map_or(0, |bucket| bucket.count);
    let buckets = new.buckets.iter().enumerate().map(|(at, bucket)| Bucket {
        count: bucket.count.saturating_sub(before(at)),
        ..*bucket
    });
    Histogram {
        buckets: buckets.collect(),
        count: new.count.saturating_sub(old.count),
        sum_seconds: new.sum_seconds - old.sum_seconds,
    }
}

/// The value that this part of all values does not exceed. None: there are no values.
pub(super) fn quantile(histogram: &Histogram, part: f64) -> Option<Quantile> {
    let last = histogram.buckets.last().filter(|_| histogram.count > 0)?;
    let rank = part * histogram.count as f64;
    let Some(at) = histogram.buckets.iter().position(|bucket| bucket.count as f64 >= rank) else {
        return Some(Quantile::Above(last.upper_bound));
    };
    let bucket = histogram.buckets[at];
    let Some(below) = at.checked_sub(1).map(|below| histogram.buckets[below]) else {
        return Some(Quantile::Below(bucket.upper_bound));
    };
    let in_bucket = bucket.count.saturating_sub(below.count).max(1) as f64;
    let share = ((rank - below.count as f64) / in_bucket).clamp(0.0, 1.0);
    Some(Quantile::About(
        below.upper_bound + (bucket.upper_bound - below.upper_bound) * share,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::document::Leader;

    fn histogram(counts: [u64; 3], count: u64) -> Histogram {
        let bounds = [0.001, 0.01, 0.1];
        let buckets = bounds.into_iter().zip(counts);
        let buckets = buckets.map(|(upper_bound, count)| Bucket { upper_bound, count });
        Histogram {
            buckets: buckets.collect(),
            count,
            sum_seconds: 0.0,
        }
    }

    fn answer(identity: &str, uptime_seconds: f64, bound: u64) -> Document {
        Document {
            leader: Leader {
                identity: identity.to_owned(),
                uptime_seconds,
                ..Leader::default()
            },
            counters: Some(Counters {
                attempts: [("scheduled".to_owned(), 2 * bound)].into(),
                bound,
                scheduling: histogram([0, bound, bound], bound),
                ..Counters::default()
            }),
            ..Document::default()
        }
    }

    fn bound_per_second(answers: &[Document]) -> Option<f64> {
        let mut history = History::default();
        answers.iter().for_each(|answer| history.take(answer));
        Some(history.rates()?.bound)
    }

    #[test]
    fn rates_are_differences_by_the_clock_of_who_counts() {
        assert_eq!(bound_per_second(&[answer("a", 10.0, 100)]), None);
        let two = [answer("a", 10.0, 100), answer("a", 12.5, 150)];
        assert_eq!(bound_per_second(&two), Some(20.0));
        let mut history = History::default();
        two.iter().for_each(|answer| history.take(answer));
        assert_eq!(history.rates().unwrap().attempts, [("scheduled".to_owned(), 40.0)]);
    }

    #[test]
    fn another_leader_counts_anew() {
        let change = [answer("a", 10.0, 100), answer("b", 12.0, 3)];
        assert_eq!(bound_per_second(&change), None);
        // Whoever was a standby for longer than the other led may even have counted more.
        let older = [answer("a", 10.0, 1), answer("b", 900.0, 7)];
        assert_eq!(bound_per_second(&older), None);
        let then = [&change[..], &[answer("b", 14.0, 9)]].concat();
        assert_eq!(bound_per_second(&then), Some(3.0));
    }

    #[test]
    fn counters_that_go_back_are_those_of_another_start() {
        assert_eq!(bound_per_second(&[answer("a", 10.0, 100), answer("a", 12.0, 99)]), None);
        assert_eq!(bound_per_second(&[answer("a", 10.0, 100), answer("a", 2.0, 100)]), None);
        assert_eq!(
            bound_per_second(&[answer("a", 10.0, 100), answer("a", 10.0, 100)]),
            None
        );
        let unseen = Document::default();
        assert_eq!(
            bound_per_second(&[answer("a", 10.0, 100), unseen, answer("a", 12.0, 102)]),
            None
        );
    }

    #[test]
    fn latencies_are_those_of_the_last_minute() {
        let mut history = History::default();
        history.take(&answer("a", 10.0, 100));
        let latencies = history.latencies().unwrap();
        assert_eq!((latencies.span, latencies.scheduling.count), (Span::SinceStart, 100));
        for at in 1..=100_u32 {
            history.take(&answer("a", 10.0 + f64::from(at), 100 + u64::from(at)));
        }
        let latencies = history.latencies().unwrap();
        assert_eq!((latencies.span, latencies.scheduling.count), (Span::LastMinute, 60));
        assert!(history.0.len() <= 62, "{} answers are kept", history.0.len());
    }

    #[test]
    fn quantiles_are_where_prometheus_sees_them() {
        let some = histogram([10, 60, 90], 100);
        assert_eq!(quantile(&some, 0.05), Some(Quantile::Below(0.001)));
        let Some(Quantile::About(median)) = quantile(&some, 0.5) else {
            panic!("it is between two bounds");
        };
        assert!((median - (0.001 + 0.009 * 0.8)).abs() < 1e-12, "{median}");
        assert_eq!(quantile(&some, 0.99), Some(Quantile::Above(0.1)));
        assert_eq!(quantile(&histogram([0, 0, 0], 0), 0.5), None);
        assert_eq!(quantile(&Histogram::default(), 0.5), None);
    }

    #[test]
    fn a_histogram_that_had_no_value_yet_is_taken_for_empty() {
        let since = since(&Histogram::default(), &histogram([1, 2, 3], 4));
        assert_eq!(since, histogram([1, 2, 3], 4));
    }
}
