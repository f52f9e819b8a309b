//! Upstream's words that more than one plugin speaks.

use muster_framework::record::ClaimKey;
use muster_framework::rejection::Reason;
use std::fmt::Display;

/// What upstream's framework makes of an error of a plugin in PreFilter.
/// Source: `pkg/scheduler/framework/runtime.frameworkImpl.RunPreFilterPlugins`.
pub(crate) fn pre_filter_error(plugin: &str, why: impl Display) -> Reason {
    Reason::Text(format!("running PreFilter plugin \"{plugin}\": {why}").into())
}

/// What upstream's framework makes of an error of a plugin in Filter.
/// Source: `pkg/scheduler/framework/runtime.frameworkImpl.RunFilterPlugins`.
pub(crate) fn filter_error(plugin: &str, why: impl Display) -> Reason {
    Reason::Text(format!("running \"{plugin}\" filter plugin: {why}").into())
}

/// What a lister says of a claim that is not there. Source: `k8s.io/client-go/listers/core/v1`.
pub(crate) fn claim_not_found(name: &str) -> String {
    format!("persistentvolumeclaim \"{name}\" not found")
}

/// What a lister says of a volume that is not there.
pub(crate) fn volume_not_found(name: &str) -> String {
    format!("persistentvolume \"{name}\" not found")
}

/// What a lister says of a storage class that is not there. Source: `k8s.io/client-go/listers/storage/v1`.
pub(crate) fn class_not_found(name: &str) -> String {
    format!("storageclass.storage.k8s.io \"{name}\" not found")
}

/// Of a class that does not say when its claims are bound.
pub(crate) fn no_binding_mode(class: &str) -> String {
    format!("VolumeBindingMode not set for StorageClass \"{class}\"")
}

/// Of an `ephemeral` volume whose claim belongs to somebody else.
/// Source: `k8s.io/component-helpers/storage/ephemeral.VolumeIsForPod`.
pub(crate) fn not_the_pods_claim(claim: &ClaimKey, namespace: &str, pod: &str) -> String {
    let ClaimKey {
        namespace: claim_namespace,
        name,
    } = claim;
    format!("PVC {claim_namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)")
}
