//! Everything the engine wants done, in one closed enum. A driver does it and reports the outcome as an input.

use muster_framework::Text;

/// The number of an effect; never used twice by an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EffectId(pub u64);

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its number, to report the outcome under.
    pub id: EffectId,
    /// What to do.
    pub kind: EffectKind,
}

/// A pod by name and uid: only the pod with this uid is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its uid.
    pub uid: Text,
}

impl std::fmt::Display for PodRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectKind {
    /// Bind a pod to a node, with the uid as precondition. Answered by [`Outcome::Bind`](crate::Outcome::Bind).
    Bind {
        /// The pod.
        pod: PodRef,
        /// The node's name.
        node: Text,
    },
    /// Read a pod, consistently. Answered by [`Outcome::PodRead`](crate::Outcome::PodRead).
    ReadPod {
        /// The pod.
        pod: PodRef,
    },
    /// Write `PodScheduled=False` to a pod's status. Answered by one of the write outcomes.
    PodCondition {
        /// The pod.
        pod: PodRef,
        /// The generation of the pod that was judged; 0 when the server counts none.
        observed_generation: i64,
        /// A reason in one word.
        reason: Text,
        /// What a person reads.
        message: Text,
    },
    /// Tell the world. Not answered: an event that is lost is only counted, by the driver.
    Event {
        /// What it is about.
        pod: PodRef,
        /// The name of the scheduler that reports.
        reporting_controller: Text,
        /// Normal or Warning.
        severity: Severity,
        /// `Scheduled`, `FailedScheduling`.
        reason: &'static str,
        /// `Binding`, `Scheduling`.
        action: &'static str,
        /// What a person reads; the driver cuts it to the API's limit.
        note: Text,
    },
}

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Things go as they should.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Severity {
    /// The word that the API uses.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}
