//! What the engine tells about itself, for metrics and logs. It measures nothing: it says what happened, with the
//! driver's own times.

use crate::batch::BatchCounts;
use crate::diagnosis;
use crate::effect::PodRef;
use muster_framework::Text;
use muster_framework::record::Kind;
use std::time::Duration;

/// The sections of the scheduling queue, by the names that metrics use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Ready to be tried.
    Active,
    /// Waiting for its backoff to pass.
    Backoff,
    /// Tried and found no place: waiting for an event that could help.
    Unschedulable,
    /// Not to be tried: a gate, a missing group, too few members, something unsupported.
    Gated,
}

impl Section {
    /// All of them.
    pub const ALL: [Section; 4] = [
        Section::Active,
        Section::Backoff,
        Section::Unschedulable,
        Section::Gated,
    ];

    /// The label value of `scheduler_pending_pods{queue}`.
    pub fn name(self) -> &'static str {
        match self {
            Section::Active => "active",
            Section::Backoff => "backoff",
            Section::Unschedulable => "unschedulable",
            Section::Gated => "gated",
        }
    }
}

/// How an attempt to schedule ended, by the names that metrics use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptResult {
    /// Places were found and taken.
    Scheduled,
    /// There is no place.
    Unschedulable,
    /// Something went wrong.
    Error,
}

impl AttemptResult {
    /// All of them.
    pub const ALL: [AttemptResult; 3] = [
        AttemptResult::Scheduled,
        AttemptResult::Unschedulable,
        AttemptResult::Error,
    ];

    /// The label value of `scheduler_schedule_attempts_total{result}`.
    pub fn name(self) -> &'static str {
        match self {
            AttemptResult::Scheduled => "scheduled",
            AttemptResult::Unschedulable => "unschedulable",
            AttemptResult::Error => "error",
        }
    }
}

/// Why a pod group waits, in one word: the same in events, logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitReason {
    /// The cluster does not serve the kind of object that holds its policy.
    KindNotServed,
    /// The object that holds its policy does not exist, or has no such pod group.
    PolicyMissing,
    /// Its policy makes no sense.
    PolicyInvalid,
    /// It asks for something that Muster cannot honour.
    Unsupported,
    /// Its members name different schedulers.
    MixedSchedulers,
    /// The priority of a member is not that of the group.
    MixedPriorities,
    /// Fewer than `minCount` members exist.
    MembersMissing,
    /// A member is gated, which holds all.
    MemberGated,
    /// Enough members exist, and there is no room for `minCount` of them.
    NoRoom,
    /// Its members have places, and wait for their volumes.
    Preparing,
    /// An attempt failed before any bind, and the next one is to come.
    BackingOff,
    /// Members have a node, but fewer than `minCount`, and it is not to be completed now.
    Broken,
    /// The API server refused binds, or did not answer.
    ApiErrors,
}

impl WaitReason {
    /// All of them.
    pub const ALL: [WaitReason; 13] = [
        WaitReason::KindNotServed,
        WaitReason::PolicyMissing,
        WaitReason::PolicyInvalid,
        WaitReason::Unsupported,
        WaitReason::MixedSchedulers,
        WaitReason::MixedPriorities,
        WaitReason::MembersMissing,
        WaitReason::MemberGated,
        WaitReason::NoRoom,
        WaitReason::Preparing,
        WaitReason::BackingOff,
        WaitReason::Broken,
        WaitReason::ApiErrors,
    ];

    /// The word: the reason in explanations, and the label value of `muster_waiting_groups{reason}`.
    pub fn name(self) -> &'static str {
        match self {
            WaitReason::KindNotServed => "KindNotServed",
            WaitReason::PolicyMissing => "PolicyMissing",
            WaitReason::PolicyInvalid => "PolicyInvalid",
            WaitReason::Unsupported => "Unsupported",
            WaitReason::MixedSchedulers => "MixedSchedulers",
            WaitReason::MixedPriorities => "MixedPriorities",
            WaitReason::MembersMissing => "MembersMissing",
            WaitReason::MemberGated => "MemberGated",
            WaitReason::NoRoom => "NoRoom",
            WaitReason::Preparing => "Preparing",
            WaitReason::BackingOff => "BackingOff",
            WaitReason::Broken => "Broken",
            WaitReason::ApiErrors => "ApiErrors",
        }
    }

    /// The reason of the event.
    pub(crate) fn of_event(self) -> &'static str {
        match self {
            WaitReason::NoRoom => diagnosis::FAILED_SCHEDULING,
            WaitReason::Broken => "GangBroken",
            _ => self.name(),
        }
    }
}

/// What a pod waits for that holds a place without being bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlaceStage {
    /// Its volumes.
    Preparing,
    /// The other members of its gang.
    Ready,
    /// The answer to its bind.
    Sent,
    /// The answer to the question what became of its bind.
    Reading,
    /// To be seen on its node.
    Confirmed,
}

impl PlaceStage {
    /// All of them.
    pub const ALL: [PlaceStage; 5] = [
        PlaceStage::Preparing,
        PlaceStage::Ready,
        PlaceStage::Sent,
        PlaceStage::Reading,
        PlaceStage::Confirmed,
    ];

    /// The label value of `muster_reservations_overdue_total{stage}`.
    pub fn name(self) -> &'static str {
        match self {
            PlaceStage::Preparing => "preparing",
            PlaceStage::Ready => "ready",
            PlaceStage::Sent => "sent",
            PlaceStage::Reading => "reading",
            PlaceStage::Confirmed => "confirmed",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Pods entered a section of the queue.
    QueueIncoming {
        /// Which section.
        section: Section,
        /// The event that brought them, in upstream's words: `PodAdd`, `NodeAdd`, `ScheduleAttemptFailure` …
        event: &'static str,
        /// How many pods: members count one by one.
        pods: u32,
        /// Whether they came as one: a pod group that is tried as a whole.
        group: bool,
    },
    /// A pod, or each member of a group, has been tried.
    Attempt {
        /// How it ended.
        result: AttemptResult,
        /// The scheduler name of the pod: upstream's profile.
        profile: Text,
        /// How many pods.
        pods: u32,
        /// Whether they are members of a gang that was planned as a whole.
        gang: bool,
    },
    /// Who was tried, by name. Told beside [`Observation::Attempt`] where [`Engine::name_attempts`](crate::Engine::name_attempts)
    /// asked for it.
    Tried {
        /// The pods; at least one. Of a pod group all that were tried with it.
        pods: Vec<PodRef>,
        /// The group, as messages name it, where it was planned as a whole.
        group: Option<Text>,
        /// The scheduler name of the pods: upstream's profile.
        profile: Text,
        /// Why there is no place; none where there is one.
        refused: Option<Text>,
    },
    /// A pod is bound, as an outcome or a watch event says.
    Bound {
        /// The pod.
        pod: PodRef,
        /// The node.
        node: Text,
        /// Attempts that it took.
        attempts: u32,
        /// From the first time it could have been tried to now.
        waited: Duration,
        /// Whether the five-minute flush was what brought it back: a missed event, then.
        after_flush: bool,
        /// It went with its group, of which [`Observation::GroupCommitted`] tells.
        with_group: bool,
    },
    /// A bind was refused, or its answer lost.
    BindFailed {
        /// The pod.
        pod: PodRef,
        /// The node.
        node: Text,
        /// What was said.
        message: Text,
    },
    /// A pod has held a place without being bound for longer than it may, and something is done about it.
    PlaceOverdue {
        /// The pod.
        pod: PodRef,
        /// What it waited for.
        stage: PlaceStage,
    },
    /// An object cannot be read.
    Undecodable {
        /// Its kind.
        kind: Kind,
        /// Its namespace and name, as far as known.
        object: Text,
        /// What is wrong.
        error: Text,
    },
    /// A pod group, or what it has of members beyond those that it needs, has a new reason to wait.
    GroupWaiting {
        /// The group, as messages name it.
        group: Text,
        /// The reason in one word.
        reason: WaitReason,
        /// What a person reads.
        message: Text,
    },
    /// Enough members of a pod group have places: it goes.
    GroupCommitted {
        /// The group, as messages name it.
        group: Text,
        /// Members that go now.
        members: u32,
        /// Members beyond those, for which there is no place now.
        without_place: u32,
        /// From the first time a member was known to now.
        waited: Duration,
    },
    /// A kubelet turned away a pod that we had bound.
    TurnedAway {
        /// The pod.
        pod: PodRef,
        /// Its node.
        node: Text,
        /// What the kubelet says: `OutOfcpu`, `UnexpectedAdmissionError` …
        reason: Text,
    },
    /// What batching has done since this was told last.
    Batching {
        /// The scheduler name of the pods: upstream's profile.
        profile: Text,
        /// What was done.
        counts: BatchCounts,
    },
    /// A decision by a verdict was not what the full pass says: a defect. The full pass was followed.
    BatchContradicted {
        /// What was decided, and what the full pass says.
        message: Text,
    },
    /// The pod has a new reason to wait.
    Waiting {
        /// The pod.
        pod: PodRef,
        /// The reason in one word.
        reason: Text,
        /// What a person reads.
        message: Text,
        /// It waits with its group, of which [`Observation::GroupWaiting`] tells.
        with_group: bool,
    },
}
