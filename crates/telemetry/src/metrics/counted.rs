//! Some of what was counted since the start, in plain numbers: for pages that tell of more than metrics.

use super::Metrics;
use muster_engine::AttemptResult;
use prometheus::core::Collector;

/// What was counted since the process began.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counted {
    /// Pods tried, by how it ended.
    pub attempts: [(&'static str, u64); 3],
    /// Pods bound.
    pub bound: u64,
    /// Binds that were refused, or whose answer was lost.
    pub bind_failures: u64,
    /// How long decisions took.
    pub attempt: Distribution,
    /// From the first time that a pod could have been tried to when it was bound.
    pub scheduling: Distribution,
    /// From the first time that a member of a gang was known to when enough of them had places.
    pub gang_wait: Distribution,
    /// How long requests to the API server took.
    pub requests: Distribution,
    /// How long the leader could still write when it last tried to renew its lease, in seconds.
    pub lease_margin: f64,
}

/// A histogram, all its series together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// Upper bounds in seconds, from low to high, and how many values are not above each.
    pub buckets: Vec<(f64, u64)>,
    /// How many values there are, those above the last bound too.
    pub count: u64,
    /// Their sum, in seconds.
    pub sum: f64,
}

impl Distribution {
    pub(super) fn of(collector: &impl Collector) -> Distribution {
        let mut all = Distribution::default();
        let families = collector.collect();
        for metric in families.iter().flat_map(|family| family.get_metric()) {
            let series = metric.get_histogram();
            let buckets = series.get_bucket();
            if all.buckets.is_empty() {
                all.buckets = buckets.iter().map(|bucket| (bucket.upper_bound(), 0)).collect();
            }
            // All series of a family have the same bounds.
            for (of_all, bucket) in all.buckets.iter_mut().zip(buckets) {
                of_all.1 += bucket.cumulative_count();
            }
            all.count += series.get_sample_count();
            all.sum += series.get_sample_sum();
        }
        all
    }
}

impl Metrics {
    /// What was counted until now.
    pub fn counted(&self) -> Counted {
        let attempts = [
            AttemptResult::Scheduled,
            AttemptResult::Unschedulable,
            AttemptResult::Error,
        ];
        Counted {
            attempts: attempts.map(|result| (result.name(), self.attempts.tried(result))),
            bound: self.pod_attempts.get_sample_count(),
            bind_failures: self.bind_failures.get(),
            attempt: self.attempts.durations(),
            scheduling: Distribution::of(&self.sli_duration),
            gang_wait: Distribution::of(&self.podgroup_wait),
            requests: self.requests.durations(),
            lease_margin: self.lease_margin.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_engine::{Observation, PodRef};
    use std::time::Duration;

    fn bound(attempts: u32, waited: Duration) -> Observation {
        Observation::Bound {
            pod: PodRef {
                namespace: "a".into(),
                name: "b".into(),
                uid: "c".into(),
            },
            node: "n".into(),
            attempts,
            waited,
            after_flush: false,
            with_group: false,
        }
    }

    #[test]
    fn series_are_added_up() {
        let metrics = Metrics::new(&["one", "two"]).unwrap();
        assert_eq!(metrics.counted().scheduling, Distribution::default());
        for (profile, pods) in [("one", 3), ("two", 2)] {
            let attempt = Observation::Attempt {
                result: AttemptResult::Scheduled,
                profile: profile.into(),
                pods,
                gang: false,
            };
            metrics.observation(&attempt, Duration::from_micros(1500));
        }
        metrics.observation(&bound(1, Duration::from_millis(15)), Duration::ZERO);
        metrics.observation(&bound(2, Duration::from_millis(700)), Duration::ZERO);
        metrics.request("POST", Some(201), Duration::from_millis(4));
        metrics.request("GET", Some(200), Duration::from_millis(4));
        metrics.lease_margin(Duration::from_secs(9));
        let counted = metrics.counted();
        let results = [("scheduled", 5), ("unschedulable", 0), ("error", 0)];
        assert_eq!((counted.attempts, counted.bound), (results, 2));
        assert_eq!((counted.attempt.count, counted.requests.count), (2, 2));
        let not_above = |seconds: f64| {
            let buckets = &counted.scheduling.buckets;
            buckets.iter().find(|(bound, _)| *bound >= seconds).map(|(_, n)| *n)
        };
        assert_eq!(
            [0.001, 0.02, 0.5, 1.0].map(not_above),
            [Some(0), Some(1), Some(1), Some(2)]
        );
        assert!((counted.scheduling.sum - 0.715).abs() < 1e-9);
        assert!((counted.lease_margin - 9.0).abs() < 1e-9);
    }
}
