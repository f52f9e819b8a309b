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

/// The same pod as a member of a pod group; an empty replica key is left out.
pub fn member_of(mut pod: Value, workload: &str, pod_group: &str, replica_key: &str) -> Value {
    pod["spec"]["workloadRef"] = json!({ "name": workload, "podGroup": pod_group });
    if !replica_key.is_empty() {
        pod["spec"]["workloadRef"]["podGroupReplicaKey"] = replica_key.into();
    }
    pod
}

/// Members `0..n_members` of one group, each asking for so much CPU.
pub fn members(scheduler_name: &str, workload: &str, replica_key: &str, n_members: usize, cpu: &str) -> Vec<Value> {
    let name = |n: usize| {
        if replica_key.is_empty() {
            format!("w{n}")
        } else {
            format!("{replica_key}-{n}")
        }
    };
    (0..n_members)
        .map(|n| member_of(pod(&name(n), scheduler_name, cpu), workload, "workers", replica_key))
        .collect()
}
