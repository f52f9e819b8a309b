//! The engine itself: the one owner of all state.

use crate::effect::{Effect, PodRef};
use crate::input::Input;
use crate::observation::{Observation, Section};
use crate::settings::Settings;
use crate::time::Time;
use muster_framework::Text;

/// The scheduler's state and its work.
#[derive(Debug)]
pub struct Engine {}

/// Where one pod of ours stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStatus {
    /// The pod.
    pub pod: PodRef,
    /// The group that it belongs to, as messages name it.
    pub group: Option<String>,
    /// Where it stands.
    pub state: PodState,
}

/// Where a pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// In a section of the queue.
    Queued {
        /// Which.
        section: Section,
        /// Why it waits, in one word; empty when it has not been tried.
        reason: Text,
        /// Why it waits, for a person; empty when it has not been tried.
        message: Text,
    },
    /// A place is taken, the bind is on its way.
    Binding {
        /// The node.
        node: Text,
    },
    /// On a node.
    Bound {
        /// The node.
        node: Text,
    },
    /// Succeeded or failed.
    Finished,
}

/// Sizes, for gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Nodes known.
    pub nodes: usize,
    /// Pods known, everybody's.
    pub pods: usize,
    /// Pods of ours whose bind is not yet confirmed.
    pub assumed_pods: usize,
    /// Pods of ours by queue section, in the order of [`Section::ALL`].
    pub pending: [usize; 4],
    /// Effects without an outcome yet.
    pub in_flight: usize,
}

impl Engine {
    /// An engine that knows nothing yet. It tries no pod before every kind has been listed once, or is known not to be
    /// served.
    pub fn new(_settings: Settings) -> Engine {
        Engine {}
    }

    /// Folds one fact. Never blocks, never fails: a malformed object can only hurt itself.
    pub fn handle(&mut self, _now: Time, _input: Input) {}

    /// Does at most one bounded unit of work (one pod, or one pod group) and gives the next effect, if there is one.
    /// Call it until it gives none.
    pub fn poll(&mut self, _now: Time) -> Option<Effect> {
        None
    }

    /// When [`Engine::poll`] may have work although no input came: backoff, a report, the flush.
    pub fn next_wakeup(&self) -> Option<Time> {
        None
    }

    /// Whether every kind has been listed: from then on pods are tried.
    pub fn is_synced(&self) -> bool {
        false
    }

    /// Tries no further pod. Effects that were decided are still given out, outcomes still taken in.
    pub fn stop(&mut self) {}

    /// What happened since the last call, in order.
    pub fn drain_observations(&mut self) -> Vec<Observation> {
        Vec::new()
    }

    /// Sizes, for gauges.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Where every pod of ours stands, in the order of namespaces and names.
    pub fn pods(&self) -> Vec<PodStatus> {
        Vec::new()
    }
}
