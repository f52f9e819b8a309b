//! Objects for tests.

use serde_json::{Value, json};

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
