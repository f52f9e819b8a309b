//! Pod groups as users of a Kubernetes minor make them: the object with the policy, and the link on the pods.

use serde_json::{Value, json};

use crate::kube_minor::KubeMinor;

/// The one pod group of each Workload made here.
const WORKERS: &str = "workers";

impl KubeMinor {
    /// The path of the objects that hold the policies of pod groups in a namespace.
    pub fn group_policies_path(self, namespace: &str) -> String {
        let collection = match self {
            KubeMinor::V1_35 => "workloads",
            KubeMinor::V1_36 | KubeMinor::V1_37 => "podgroups",
        };
        format!("/apis/{}/namespaces/{namespace}/{collection}", self.group_api_version())
    }

    /// The object that says how the pods of a group are placed. In 1.35 this is a Workload, with one pod group that has the
    /// policy.
    pub fn group_policy(self, name: &str, policy: &Value) -> Value {
        let (kind, spec) = match self {
            KubeMinor::V1_35 => (
                "Workload",
                json!({ "podGroups": [{ "name": WORKERS, "policy": policy }] }),
            ),
            KubeMinor::V1_36 | KubeMinor::V1_37 => ("PodGroup", json!({ "schedulingPolicy": policy })),
        };
        json!({
            "apiVersion": self.group_api_version(),
            "kind": kind,
            "metadata": { "name": name },
            "spec": spec,
        })
    }

    /// What makes a pod, or the pods of a template, a member of the group with that policy object: fields of its spec.
    fn group_link(self, name: &str) -> (&'static str, Value) {
        match self {
            KubeMinor::V1_35 => ("workloadRef", json!({ "name": name, "podGroup": WORKERS })),
            KubeMinor::V1_36 | KubeMinor::V1_37 => ("schedulingGroup", json!({ "podGroupName": name })),
        }
    }

    /// The same pod as a member of that group.
    pub fn member_of(self, mut pod: Value, name: &str) -> Value {
        let (field, link) = self.group_link(name);
        pod["spec"][field] = link;
        pod
    }

    /// How messages name that group.
    pub fn group_name(self, namespace: &str, name: &str) -> String {
        match self {
            KubeMinor::V1_35 => format!("{namespace}/{name}/{WORKERS}"),
            KubeMinor::V1_36 | KubeMinor::V1_37 => format!("{namespace}/{name}"),
        }
    }

    fn group_api_version(self) -> &'static str {
        match self {
            KubeMinor::V1_35 => "scheduling.k8s.io/v1alpha1",
            KubeMinor::V1_36 => "scheduling.k8s.io/v1alpha2",
            KubeMinor::V1_37 => "scheduling.k8s.io/v1beta1",
        }
    }
}

/// The policy of a gang.
pub fn gang(min_count: i32) -> Value {
    json!({ "gang": { "minCount": min_count } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_written_in_an_api_version_that_the_control_plane_serves() {
        for kube in KubeMinor::ALL {
            let group = kube.group_policy("train", &gang(8));
            let version = group["apiVersion"].as_str().unwrap();
            assert_eq!(kube.runtime_config(), format!("{version}=true"), "{kube}");
            assert!(kube.group_policies_path("a").contains(version), "{kube}");
        }
    }

    #[test]
    fn a_pod_is_linked_by_the_field_of_its_minor() {
        let linked = |kube: KubeMinor| kube.member_of(json!({ "spec": { "priority": 1 } }), "train")["spec"].take();
        assert_eq!(
            linked(KubeMinor::V1_35),
            json!({ "priority": 1, "workloadRef": { "name": "train", "podGroup": "workers" } })
        );
        let later = json!({ "priority": 1, "schedulingGroup": { "podGroupName": "train" } });
        assert_eq!(linked(KubeMinor::V1_36), later);
        assert_eq!(linked(KubeMinor::V1_37), later);
    }
}
