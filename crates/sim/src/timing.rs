//! How long things take in a simulated cluster, and how often they go wrong.

use std::time::Duration;

/// Delays in virtual time. Each takes its delay, and at random up to its jitter more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From a change to the watch event that tells of it.
    pub watch_lag: Duration,
    /// On top of `watch_lag`; events of one kind never overtake each other.
    pub watch_jitter: Duration,
    /// From an effect to its answer: half of it passes on the way to the API server.
    pub write_latency: Duration,
    /// On top of each half of `write_latency`; writes may overtake each other.
    pub write_jitter: Duration,
    /// From a bind to a running pod.
    pub pod_start: Duration,
    /// From the deletion of a running pod to its end.
    pub deletion_grace: Duration,
}

impl Default for Timing {
    /// A quick API server nearby, pods that start and end at once.
    fn default() -> Timing {
        Timing {
            watch_lag: Duration::from_millis(1),
            watch_jitter: Duration::ZERO,
            write_latency: Duration::from_millis(2),
            write_jitter: Duration::ZERO,
            pod_start: Duration::ZERO,
            deletion_grace: Duration::ZERO,
        }
    }
}

/// How many in a thousand calls to the API server go wrong. None by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Calls that never arrive; their outcome is unknown.
    pub writes_lost: u16,
    /// Calls that are carried out but whose answer is lost.
    pub answers_lost: u16,
    /// Writes that are refused.
    pub writes_refused: u16,
}
