//! What probes ask: does the engine's thread still turn, and is everything listed.

use muster_framework::record::Kind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Written by the driver and the informers, read by anybody.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    /// Milliseconds from the start to the last turn of the engine's thread.
    last_tick_ms: AtomicU64,
    /// In the order of [`Kind::ALL`].
    listed: [AtomicBool; Kind::ALL.len()],
    engine_synced: AtomicBool,
    stopping: AtomicBool,
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

    pub(crate) fn tick(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_tick_ms.store(elapsed, Ordering::Relaxed);
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

    fn slot(&self, kind: Kind) -> Option<&AtomicBool> {
        Kind::ALL
            .iter()
            .position(|other| *other == kind)
            .map(|position| &self.listed[position])
    }
}
