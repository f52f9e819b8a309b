//! Objects for tests.

use anyhow::Result;
use muster_xtask::ControlPlane;
use serde_json::{Value, json};

use crate::PATIENCE;

/// The path of all CRDs.
pub const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// The name of scheduler-plugins' CRD of pod groups.
pub const COSCHEDULING_CRD: &str = "podgroups.scheduling.x-k8s.io";

/// A pod that asks for so much CPU.
pub fn pod(name: &str, scheduler_name: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "schedulerName": scheduler_name,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "main",
                "image": "registry.k8s.io/pause:3.10",
                "resources": { "requests": { "cpu": cpu } },
            }],
        },
    })
}

/// A CRD of a kind in namespaces, with whatever fields.
pub fn crd_of_any_fields(group: &str, version: &str, kind: &str) -> Value {
    // As those of whom we need kinds make the plural.
    let kind_in_small = kind.to_lowercase();
    let plural = if kind_in_small.ends_with('s') {
        kind_in_small
    } else {
        format!("{kind_in_small}s")
    };
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural},
            "versions": [{
                "name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

/// Installs CRDs, and waits until their kinds are served.
///
/// # Errors
/// The API server refuses one, or takes too long.
pub fn install_crds(plane: &ControlPlane, crds: &[Value]) -> Result<()> {
    plane.apply_objects(crds)?;
    for crd in crds {
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let [group, version] = ["/spec/group", "/spec/versions/0/name"].map(text);
        let plural = text("/spec/names/plural");
        let path = format!("/apis/{group}/{version}/{plural}");
        plane
            .api()
            .wait_until(&format!("{plural}.{group} are served"), PATIENCE, |api| {
                api.get_if_found(&path)
            })?;
    }
    Ok(())
}

/// The CRD of scheduler-plugins, as far as Muster meets it.
pub fn coscheduling_crd() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "minMember": {"type": "integer", "format": "int32", "minimum": 1},
            "minResources": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}},
            "scheduleTimeoutSeconds": {"type": "integer", "format": "int32"},
        }},
        "status": {"type": "object", "properties": {
            "phase": {"type": "string"},
            "occupiedBy": {"type": "string"},
            "running": {"type": "integer", "format": "int32"},
            "succeeded": {"type": "integer", "format": "int32"},
            "failed": {"type": "integer", "format": "int32"},
        }},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": COSCHEDULING_CRD,
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/scheduler-plugins/pull/50"},
        },
        "spec": {
            "group": "scheduling.x-k8s.io",
            "scope": "Namespaced",
            "names": {"kind": "PodGroup", "listKind": "PodGroupList", "plural": "podgroups", "singular": "podgroup"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
            }],
        },
    })
}
