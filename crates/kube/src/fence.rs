//! Whether a write may leave now, and how long it may take.
//!
//! Whoever leads by a lease may write until shortly before another can take it. The lease's task moves the fence with
//! each renewal; the driver asks before it takes an effect, the dispatcher again for each request that leaves, be it the
//! first or one more after a 429. So nothing depends on being told in time that the lease is lost: the clock says it.

use muster_engine::election::Timing;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The moment from which on nothing may leave. Everybody has the same one.
#[derive(Debug, Clone)]
pub(crate) struct Fence(Arc<Moments>);

#[derive(Debug)]
struct Moments {
    began: Instant,
    /// In microseconds since the beginning: 0 while this process does not lead, and for ever where there is no election.
    until: AtomicU64,
    /// Likewise: until then a write may still be carried out that nobody has answered.
    unsettled_until: AtomicU64,
    /// The longest that a write may take.
    write_timeout: Duration,
}

impl Fence {
    /// For a process that need not ask: it always leads.
    pub(crate) fn none() -> Fence {
        Fence::new(u64::MAX, Duration::MAX)
    }

    /// For a candidate: it does not lead yet.
    pub(crate) fn of(timing: &Timing) -> Fence {
        Fence::new(0, timing.write_timeout())
    }

    fn new(until: u64, write_timeout: Duration) -> Fence {
        Fence(Arc::new(Moments {
            began: Instant::now(),
            until: AtomicU64::new(until),
            unsettled_until: AtomicU64::new(0),
            write_timeout,
        }))
    }

    /// Sets it: writes may leave until then, or must not leave at all.
    pub(crate) fn set(&self, until: Option<Instant>) {
        let until = until.map_or(0, |until| self.micros(until));
        self.0.until.store(until, Ordering::Release);
    }

    /// How long a write that leaves now may take; none: it must not leave.
    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        let until = self.0.until.load(Ordering::Acquire);
        (self.micros(Instant::now()) < until).then_some(self.0.write_timeout)
    }

    /// The longest that a write may take, whenever it leaves.
    pub(crate) fn longest_write(&self) -> Duration {
        self.0.write_timeout
    }

    /// Whether writes may leave now.
    pub(crate) fn stands(&self) -> bool {
        self.write_timeout().is_some()
    }

    /// A write was given up without an answer: the server may be about to carry it out.
    pub(crate) fn unanswered(&self) {
        if self.0.write_timeout < Duration::MAX {
            let settled = self.micros(Instant::now() + self.0.write_timeout);
            self.0.unsettled_until.fetch_max(settled, Ordering::AcqRel);
        }
    }

    /// Whether every write was answered, or has had its time.
    pub(crate) fn all_settled(&self) -> bool {
        self.0.unsettled_until.load(Ordering::Acquire) <= self.micros(Instant::now())
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.0.began);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_leaves_from_the_moment_on() {
        let fence = Fence::of(&Timing::default());
        assert!(!fence.stands(), "it does not lead yet");
        fence.set(Some(Instant::now() + Duration::from_secs(10)));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(fence.write_timeout(), Some(Duration::from_millis(4_500)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!fence.stands(), "though nobody has said so");
        fence.set(Some(Instant::now() + Duration::from_secs(10)));
        fence.set(None);
        assert!(!fence.stands());
        assert!(Fence::none().stands());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_is_unsettled_for_as_long_as_it_may_take() {
        let fence = Fence::of(&Timing::default());
        assert!(fence.all_settled());
        fence.unanswered();
        tokio::time::advance(Duration::from_millis(4_499)).await;
        assert!(!fence.all_settled());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(fence.all_settled());
    }
}
