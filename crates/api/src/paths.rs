//! Where the API server keeps each kind of object, and how each kind calls itself.

use muster_framework::record::Kind;

/// The path under which all objects of a kind are listed and watched.
pub fn list_path(kind: Kind) -> &'static str {
    match kind {
        Kind::Node => "/api/v1/nodes",
        Kind::Pod => "/api/v1/pods",
        Kind::Namespace => "/api/v1/namespaces",
        Kind::Service => "/api/v1/services",
        Kind::ReplicationController => "/api/v1/replicationcontrollers",
        Kind::PersistentVolume => "/api/v1/persistentvolumes",
        Kind::PersistentVolumeClaim => "/api/v1/persistentvolumeclaims",
        Kind::PriorityClass => "/apis/scheduling.k8s.io/v1/priorityclasses",
        Kind::Workload => "/apis/scheduling.k8s.io/v1alpha1/workloads",
        Kind::PodGroup => "/apis/scheduling.k8s.io/v1beta1/podgroups",
        Kind::PodGroupV1Alpha2 => "/apis/scheduling.k8s.io/v1alpha2/podgroups",
        Kind::CoschedulingPodGroup => "/apis/scheduling.x-k8s.io/v1alpha1/podgroups",
        Kind::ReplicaSet => "/apis/apps/v1/replicasets",
        Kind::StatefulSet => "/apis/apps/v1/statefulsets",
        Kind::StorageClass => "/apis/storage.k8s.io/v1/storageclasses",
        Kind::CsiNode => "/apis/storage.k8s.io/v1/csinodes",
        Kind::CsiDriver => "/apis/storage.k8s.io/v1/csidrivers",
        Kind::CsiStorageCapacity => "/apis/storage.k8s.io/v1/csistoragecapacities",
        Kind::VolumeAttachment => "/apis/storage.k8s.io/v1/volumeattachments",
    }
}

/// What objects of a kind carry as `apiVersion` and `kind`.
pub fn api_version_kind(kind: Kind) -> (&'static str, &'static str) {
    let api_version = match kind {
        Kind::Node
        | Kind::Pod
        | Kind::Namespace
        | Kind::Service
        | Kind::ReplicationController
        | Kind::PersistentVolume
        | Kind::PersistentVolumeClaim => "v1",
        Kind::ReplicaSet | Kind::StatefulSet => "apps/v1",
        Kind::StorageClass | Kind::CsiNode | Kind::CsiDriver | Kind::CsiStorageCapacity | Kind::VolumeAttachment => {
            "storage.k8s.io/v1"
        }
        Kind::PriorityClass => "scheduling.k8s.io/v1",
        Kind::Workload => "scheduling.k8s.io/v1alpha1",
        Kind::PodGroup => "scheduling.k8s.io/v1beta1",
        Kind::PodGroupV1Alpha2 => "scheduling.k8s.io/v1alpha2",
        Kind::CoschedulingPodGroup => "scheduling.x-k8s.io/v1alpha1",
    };
    (api_version, kind.name())
}

/// The kind of an object that carries this `apiVersion` and `kind`; none if it is not one that the engine is told about.
pub fn kind_of(api_version: &str, kind: &str) -> Option<Kind> {
    Kind::ALL
        .into_iter()
        .find(|k| api_version_kind(*k) == (api_version, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_what_it_calls_itself() {
        for kind in Kind::ALL {
            let (api_version, name) = api_version_kind(kind);
            assert_eq!(kind_of(api_version, name), Some(kind));
            // A group's path starts with its name and version, the core group's with /api.
            let prefix = if api_version == "v1" {
                "/api/v1/".into()
            } else {
                format!("/apis/{api_version}/")
            };
            assert!(list_path(kind).starts_with(&prefix), "{kind:?}");
        }
        assert_eq!(kind_of("v2", "Pod"), None);
        assert_eq!(kind_of("scheduling.k8s.io/v1alpha2", "Workload"), None);
    }
}
