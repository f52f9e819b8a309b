//! Pod groups: one internal model, whatever dialect of the API a group is written in.

use crate::Text;

/// What a pod says about the group that it belongs to.
///
/// Today there is one dialect, `spec.workloadRef` of Kubernetes 1.35; the others join as further variants.
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
    /// As messages name a group: `namespace/workload/podGroup`, with the replica key in brackets where there is one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let GroupLink::Workload {
            workload,
            pod_group,
            replica_key,
        } = &self.link;
        write!(f, "{}/{workload}/{pod_group}", self.namespace)?;
        if replica_key.is_empty() {
            Ok(())
        } else {
            write!(f, "[{replica_key}]")
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
