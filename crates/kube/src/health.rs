//! What probes ask: does the engine's thread still turn, is everything listed, is the lease renewed.

use muster_framework::record::Kind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Written by the driver, the informers and the candidate for the lease, read by anybody.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    /// Milliseconds from the start to the last turn of the engine's thread.
    last_tick_ms: AtomicU64,
    /// In the order of [`Kind::ALL`].
    listed: [AtomicBool; Kind::ALL.len()],
    engine_synced: AtomicBool,
    stopping: AtomicBool,
    /// Milliseconds from the start to when our lease ends, or ended; [`u64::MAX`] if there was none.
    lease_expires_ms: AtomicU64,
}

impl Default for Health {
    /// Just started, nothing listed.
    fn default() -> Health {
        Health {
            started: Instant::now(),
            last_tick_ms: AtomicU64::new(0),
            listed: Default::default(),
            engine_synced: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            lease_expires_ms: AtomicU64::new(u64::MAX),
        }
    }
}

impl Health {
    /// How long ago the engine's thread last turned.
    pub fn last_tick_ago(&self) -> Duration {
        self.started
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last_tick_ms.load(Ordering::Relaxed)))
    }

    /// Whether this kind has been listed once, or is known not to be served.
    pub fn is_listed(&self, kind: Kind) -> bool {
        self.slot(kind).is_some_and(|listed| listed.load(Ordering::Relaxed))
    }

    /// Whether the engine has folded every list, and tries pods.
    pub fn is_engine_synced(&self) -> bool {
        self.engine_synced.load(Ordering::Relaxed)
    }

    /// Whether the end has been asked for.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// How long ago our lease ended; zero while it lasts, and for a process that has never led.
    pub fn lease_expired_ago(&self) -> Duration {
        let expires = Duration::from_millis(self.lease_expires_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(expires)
    }

    /// The engine's thread turns, or what stands in for it until there is an engine.
    pub fn tick(&self) {
        self.last_tick_ms.store(self.millis(Duration::ZERO), Ordering::Relaxed);
    }

    /// Our lease lasts so long from now on, unless it is renewed.
    pub fn set_lease_expiry(&self, after: Duration) {
        self.lease_expires_ms.store(self.millis(after), Ordering::Relaxed);
    }

    pub(crate) fn set_listed(&self, kind: Kind) {
        if let Some(listed) = self.slot(kind) {
            listed.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_engine_synced(&self) {
        if !self.engine_synced.swap(true, Ordering::Relaxed) {
            tracing::info!("every kind is listed: scheduling begins");
        }
    }

    pub(crate) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Milliseconds from the start to so long from now.
    fn millis(&self, from_now: Duration) -> u64 {
        u64::try_from((self.started.elapsed() + from_now).as_millis()).unwrap_or(u64::MAX)
    }

    fn slot(&self, kind: Kind) -> Option<&AtomicBool> {
        Kind::ALL
            .iter()
            .position(|other| *other == kind)
            .map(|position| &self.listed[position])
    }
}
