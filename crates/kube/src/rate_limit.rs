//! Requests per second, when the configuration asks for a limit. By default there is none: the API server's priority and
//! fairness knows better what it can bear.

use crate::observer::{Notice, Observer};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A rate with room for bursts: `clientConnection.qps` and `burst`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests per second in the long run; greater than zero.
    pub qps: f32,
    /// Requests that may go at once after a rest; 0 counts as 1.
    pub burst: u32,
}

/// A token bucket, kept as the moment at which it will be full again.
#[derive(Debug)]
pub(crate) struct RateLimit {
    interval: Duration,
    /// The time that a full bucket stands for.
    depth: Duration,
    full_again: Mutex<Instant>,
}

impl RateLimit {
    /// None if the rate means no limit at all.
    pub(crate) fn new(rate: Rate) -> Option<RateLimit> {
        if !(rate.qps > 0.0 && rate.qps.is_finite()) {
            return None;
        }
        let interval = Duration::from_secs_f64(1.0 / f64::from(rate.qps));
        let depth = interval.saturating_mul(rate.burst.max(1));
        Some(RateLimit {
            interval,
            depth,
            full_again: Mutex::new(Instant::now()),
        })
    }

    /// Waits for a token, for a request of this HTTP method, and tells how long it has waited. Tokens go out in the order of
    /// the calls.
    pub(crate) async fn take(&self, method: &'static str, observer: &dyn Observer) {
        let begun = Instant::now();
        let turn = self.reserve(begun);
        tokio::time::sleep_until(turn).await;
        let waited = begun.elapsed();
        observer.notice(Notice::RateLimited { method, waited });
    }

    /// Takes a token, and says when it may be used.
    fn reserve(&self, now: Instant) -> Instant {
        let mut full_again = self.full_again.lock().unwrap_or_else(PoisonError::into_inner);
        *full_again = (*full_again).max(now) + self.interval;
        (*full_again).checked_sub(self.depth).map_or(now, |turn| turn.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Notes;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let limit = RateLimit::new(Rate { qps: 10.0, burst: 3 }).unwrap();
        let notes = Notes::default();
        let start = Instant::now();
        let mut turns = Vec::new();
        for _ in 0..6 {
            limit.take("POST", &notes).await;
            turns.push(start.elapsed().as_millis());
        }
        // The timer counts in milliseconds and rounds up.
        assert_eq!(turns, [0, 0, 0, 100, 200, 300]);
        let at_once = Notice::RateLimited {
            method: "POST",
            waited: Duration::ZERO,
        };
        assert_eq!(notes.count(at_once), 3, "the others had to wait");

        tokio::time::sleep(Duration::from_secs(60)).await;
        let rested = Instant::now();
        for _ in 0..3 {
            limit.take("PATCH", &notes).await;
        }
        assert_eq!(
            rested.elapsed(),
            Duration::ZERO,
            "the bucket is full again, and no fuller"
        );
        limit.take("PATCH", &notes).await;
        assert_eq!(rested.elapsed().as_millis(), 100);
    }

    #[test]
    fn no_rate_is_no_limit() {
        for qps in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(RateLimit::new(Rate { qps, burst: 5 }).is_none(), "{qps}");
        }
        assert!(RateLimit::new(Rate { qps: 0.5, burst: 0 }).is_some());
    }
}
