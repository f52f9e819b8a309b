//! Which kinds of objects count for a verdict, which are overlooked, and which nobody knows.

use muster_api::paths::{api_version_kind, kind_of};
use muster_framework::record::Kind;

/// What an object of some kind is to the one who judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is read.
    Read(Kind),
    /// No verdict depends on it.
    Overlooked,
    /// Nobody can say.
    Unknown(String),
}

/// Kinds of Kubernetes itself that no verdict of Muster depends on. Pods with resource claims are not judged at all, so
/// devices are among them.
const OVERLOOKED: &[&str] = &[
    "APIService",
    "Binding",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "ComponentStatus",
    "ConfigMap",
    "ControllerRevision",
    "CronJob",
    "CustomResourceDefinition",
    "DaemonSet",
    "Deployment",
    "DeviceClass",
    "DeviceTaintRule",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "FlowSchema",
    "HorizontalPodAutoscaler",
    "IPAddress",
    "Ingress",
    "IngressClass",
    "Job",
    "Lease",
    "LeaseCandidate",
    "LimitRange",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PodGroup",
    "PodTemplate",
    "PriorityLevelConfiguration",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceQuota",
    "ResourceSlice",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "Secret",
    "ServiceAccount",
    "ServiceCIDR",
    "StorageVersion",
    "StorageVersionMigration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttributesClass",
    "Workload",
];

/// The standing of objects that call themselves so.
pub(super) fn standing(api_version: &str, kind: &str) -> Standing {
    match kind_of(api_version, kind) {
        // Gangs are judged by the queue, which is not there.
        Some(kind) if kind.holds_group_policies() => return Standing::Overlooked,
        Some(kind) => return Standing::Read(kind),
        None => {}
    }
    let same_name = Kind::ALL.into_iter().find(|known| known.name() == kind);
    match same_name.filter(|known| !known.holds_group_policies()) {
        Some(known) => {
            let wanted = api_version_kind(known).0;
            Standing::Unknown(format!("{kind} of {api_version:?} is not read, that of {wanted} is"))
        }
        None if OVERLOOKED.contains(&kind) => Standing::Overlooked,
        None => Standing::Unknown(format!("{api_version:?} has no kind {kind:?} that is known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_overlooked_or_unknown() {
        assert_eq!(standing("v1", "Node"), Standing::Read(Kind::Node));
        assert_eq!(standing("apps/v1", "ReplicaSet"), Standing::Read(Kind::ReplicaSet));
        assert_eq!(standing("apps/v1", "Deployment"), Standing::Overlooked);
        // Policies of groups in every dialect, whether this version is read or not.
        for (api_version, kind) in [
            ("scheduling.k8s.io/v1alpha1", "Workload"),
            ("scheduling.k8s.io/v1alpha2", "Workload"),
            ("scheduling.k8s.io/v1alpha2", "PodGroup"),
            ("scheduling.k8s.io/v1alpha3", "PodGroup"),
            ("scheduling.k8s.io/v1beta1", "PodGroup"),
            ("scheduling.x-k8s.io/v1alpha1", "PodGroup"),
        ] {
            assert_eq!(standing(api_version, kind), Standing::Overlooked, "{api_version}");
        }
        let Standing::Unknown(old) = standing("storage.k8s.io/v1beta1", "CSIStorageCapacity") else {
            panic!("it is not the version that is read");
        };
        assert!(old.contains("that of storage.k8s.io/v1 is"), "{old}");
        assert!(matches!(standing("v1", "Nod"), Standing::Unknown(_)));
    }
}
