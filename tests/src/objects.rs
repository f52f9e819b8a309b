//! Pods for tests.

use serde_json::{Value, json};

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
