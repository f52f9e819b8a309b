//! Features that a node has to declare before a pod can run there, found in what the pod makes use of.
//!
//! Source: `k8s.io/component-helpers/nodedeclaredfeatures` of each minor: the features registered there, as far as their
//! `InferForScheduling` can ever say yes.

use muster_framework::Text;
use muster_framework::rules::KubeMinor;

/// What of a pod's spec asks for a feature.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FeatureUse {
    /// A container's restart rule restarts all containers.
    pub(super) restarts_all_containers: bool,
    /// The pod has the network of the host, and a user namespace of its own.
    pub(super) user_namespace_on_host_network: bool,
    /// A volume mount states options.
    pub(super) bind_mount_options: bool,
}

/// The features that are required, sorted. The gate NodeDeclaredFeatures is off in 1.35.
pub(super) fn required(uses: FeatureUse, minor: KubeMinor) -> Box<[Text]> {
    let known = [
        (
            "RestartAllContainersOnContainerExits",
            KubeMinor::V1_36,
            uses.restarts_all_containers,
        ),
        (
            "UserNamespacesHostNetworkSupport",
            KubeMinor::V1_36,
            uses.user_namespace_on_host_network,
        ),
        ("VolumeBindMountOptions", KubeMinor::V1_37, uses.bind_mount_options),
    ];
    let required = known.into_iter().filter(|(_, since, used)| *used && minor >= *since);
    required.map(|(name, _, _)| Text::from(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minor_knows_its_features() {
        let all = FeatureUse {
            restarts_all_containers: true,
            user_namespace_on_host_network: true,
            bind_mount_options: true,
        };
        let count = |minor| required(all, minor).len();
        assert_eq!(
            [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37].map(count),
            [0, 2, 3]
        );
        assert!(required(all, KubeMinor::V1_37).is_sorted());
        assert!(required(FeatureUse::default(), KubeMinor::V1_37).is_empty());
    }
}
