//! Everything the engine wants done, in one closed enum. A driver does it and reports the outcome as an input.

use muster_framework::Text;
use muster_framework::group::GroupStatus;
use muster_framework::record::{ClaimKey, Kind, ResourceVersion};

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

/// The object that holds a group's policy, by name and uid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupRef {
    /// Its kind: one that [holds policies](Kind::holds_group_policies).
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its uid.
    pub uid: Text,
}

impl std::fmt::Display for GroupRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Regarding {
    /// A pod.
    Pod(PodRef),
    /// The object that holds a group's policy.
    Group(GroupRef),
}

impl std::fmt::Display for Regarding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Regarding::Pod(pod) => pod.fmt(f),
            Regarding::Group(group) => group.fmt(f),
        }
    }
}

impl Regarding {
    /// The namespace of the object, and of the event.
    pub fn namespace(&self) -> &Text {
        match self {
            Regarding::Pod(pod) => &pod.namespace,
            Regarding::Group(group) => &group.namespace,
        }
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
        /// The extender, by index among those of the settings, that binds it; None: the API server does.
        by: Option<u32>,
    },
    /// Reserve a volume for a claim: its `spec.claimRef`. Answered by [`Outcome::Patched`](crate::Outcome::Patched) or
    /// one of the failed writes; a volume that has changed since is not written.
    ReserveVolume {
        /// For which pod.
        pod: PodRef,
        /// The volume.
        volume: Text,
        /// The version that it must still have.
        volume_version: ResourceVersion,
        /// The claim.
        claim: ClaimKey,
        /// The claim's uid.
        claim_uid: Text,
        /// The claim's version.
        claim_version: ResourceVersion,
        /// Whether to mark it with `pv.kubernetes.io/bound-by-controller`.
        mark_bound_by_controller: bool,
    },
    /// Tell a claim's provisioner the node: the annotation `volume.kubernetes.io/selected-node`. Answered likewise.
    SelectNode {
        /// For which pod.
        pod: PodRef,
        /// The claim.
        claim: ClaimKey,
        /// The version that it must still have.
        claim_version: ResourceVersion,
        /// The node's name.
        node: Text,
    },
    /// Ask an extender about nodes. Answered by [`Outcome::Extender`](crate::Outcome::Extender).
    AskExtender {
        /// Which, by index among those of the settings.
        extender: u32,
        /// What is asked.
        verb: ExtenderVerb,
        /// For which pod.
        pod: PodRef,
        /// About which nodes, by name, sorted.
        nodes: Vec<Text>,
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
    /// Write the status of a group's object. Answered by one of the write outcomes.
    GroupStatus {
        /// The object. Its kind decides what the status looks like.
        group: GroupRef,
        /// The generation of the object that was judged; 0 when the server counts none.
        observed_generation: i64,
        /// What it is to say.
        status: GroupStatus,
        /// Whether a condition becomes another than the object is known to carry, True, False or none at all: its
        /// `lastTransitionTime` is then set, and else left as it is.
        turns: bool,
    },
    /// Evict a pod, with the uid as precondition: its gang is to start anew as a whole. Answered by one of the write
    /// outcomes; a disruption budget may refuse it for a while.
    Evict {
        /// The pod.
        pod: PodRef,
    },
    /// Tell the world. Not answered: an event that is lost is only counted, by the driver.
    Event {
        /// What it is about.
        regarding: Regarding,
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

/// What an extender is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtenderVerb {
    /// Which of the nodes can take the pod.
    Filter,
    /// How good each node is, 0 to 10.
    Prioritize,
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
