//! Pod groups: one internal model, whatever dialect of the API a group is written in.

use crate::Text;
use crate::record::Kind;

/// What a pod says about the group that it belongs to, in one of the dialects. What stands in the spec wins over labels,
/// and the coscheduling label over Muster's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupLink {
    /// `spec.workloadRef`: a pod group of a `Workload` in the pod's namespace, per replica key.
    Workload {
        /// `workloadRef.name`.
        workload: Text,
        /// `workloadRef.podGroup`.
        pod_group: Text,
        /// `workloadRef.podGroupReplicaKey`; empty is a group of its own.
        replica_key: Text,
    },
    /// `spec.schedulingGroup.podGroupName` (Kubernetes 1.36 and later): a `PodGroup` of `scheduling.k8s.io`.
    PodGroup {
        /// `schedulingGroup.podGroupName`.
        name: Text,
    },
    /// The label `scheduling.x-k8s.io/pod-group`: a `PodGroup` of the coscheduling CRD.
    Coscheduling {
        /// The label's value.
        name: Text,
    },
    /// The label `muster.dev/pod-group`, for clusters that have none of these kinds: each member states the policy itself,
    /// see [`GroupTerms`].
    Labels {
        /// The label's value.
        name: Text,
    },
}

impl GroupLink {
    /// The kinds of objects, any of which may hold the policy, and the object's name; none where pods state it themselves.
    pub fn policy_object(&self) -> Option<(&'static [Kind], &Text)> {
        match self {
            GroupLink::Workload { workload, .. } => Some((&[Kind::Workload], workload)),
            GroupLink::PodGroup { name } => Some((&[Kind::PodGroup, Kind::PodGroupV1Alpha2], name)),
            GroupLink::Coscheduling { name } => Some((&[Kind::CoschedulingPodGroup], name)),
            GroupLink::Labels { .. } => None,
        }
    }
}

/// Which group: all pods with equal keys belong together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// The namespace of the pods.
    pub namespace: Text,
    /// What the pods say.
    pub link: GroupLink,
}

impl std::fmt::Display for GroupKey {
    /// As messages name a group: `namespace/workload/podGroup`, with the replica key in brackets where there is one, or
    /// `namespace/name`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.link {
            GroupLink::Workload {
                workload,
                pod_group,
                replica_key,
            } => {
                write!(f, "{}/{workload}/{pod_group}", self.namespace)?;
                if replica_key.is_empty() {
                    Ok(())
                } else {
                    write!(f, "[{replica_key}]")
                }
            }
            GroupLink::PodGroup { name } | GroupLink::Coscheduling { name } | GroupLink::Labels { name } => {
                write!(f, "{}/{name}", self.namespace)
            }
        }
    }
}

/// How the pods of a group are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupPolicy {
    /// One by one, as if they were in no group.
    Basic,
    /// All or nothing.
    Gang {
        /// At least this many, or none. At least 1.
        min_count: i32,
    },
}

/// What becomes of members that are bound when a gang has fallen below its `minCount` and cannot be completed.
///
/// The annotation `muster.dev/when-broken`, on the policy object or, in the dialect of labels, on the pods; else the
/// configuration's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WhenBroken {
    /// They stay, and wait for replacements.
    Keep,
    /// They are evicted, so that the gang starts anew as a whole.
    Evict,
}

/// What a pod states of its group itself, in the dialect of labels: the annotation `muster.dev/min-count`, and perhaps
/// `muster.dev/when-broken`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupTerms {
    /// The policy, or what is wrong with it, naming the annotation.
    pub policy: Result<GroupPolicy, Text>,
    /// What it says about [`WhenBroken`], if anything.
    pub when_broken: Option<WhenBroken>,
}

/// The phase of the coscheduling CRD's `PodGroup`, as its controller sees it, so that two writers agree.
/// Source: `apis/scheduling/v1alpha1` and `PodGroupReconciler` of scheduler-plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CoschedulingPhase {
    /// Fewer than `minMember` members exist.
    Pending,
    /// Enough members exist, but fewer than `minMember` run or have succeeded.
    Scheduling,
    /// `minMember` members run, or have succeeded.
    Running,
    /// `minMember` members have succeeded. Final.
    Finished,
    /// Members have failed, and `minMember` have run, succeeded or failed. Final.
    Failed,
}

/// What the status of a group's object says, or ought to say, about its scheduling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupStatus {
    /// The condition `PodGroupScheduled` (1.36) or `PodGroupInitiallyScheduled` (1.37). Once True it stays.
    Condition {
        /// True or False.
        scheduled: bool,
        /// A reason in one word.
        reason: Text,
        /// What a person reads.
        message: Text,
    },
    /// Of the coscheduling CRD. (Its field `scheduled` went in 2023: a server drops it, so that it could never be seen to
    /// stand.)
    Phase {
        /// Its phase.
        phase: CoschedulingPhase,
        /// Members that run.
        running: u32,
        /// Members that succeeded.
        succeeded: u32,
        /// Members that failed.
        failed: u32,
    },
}
