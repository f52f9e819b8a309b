//! The objects that people and rivals write.

use crate::object::{Key, ObjectKind};
use serde_json::{Value, json};

/// The scheduler of pods that are not ours.
pub(super) const RIVAL: &str = "rival";
/// What keeps gated pods back.
const GATE: &str = "faults.muster.dev/gate";

/// A gang as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gang {
    pub(super) name: String,
    pub(super) members: u64,
    pub(super) min_count: u64,
    pub(super) cpu: u64,
    pub(super) priority: u64,
    /// Seconds that a member runs; none: for ever.
    pub(super) run_for: Option<u64>,
    pub(super) tolerates: bool,
    pub(super) evicts: bool,
}

impl Gang {
    /// The key of the object that holds its policy.
    pub(super) fn policy_key(&self) -> Key {
        Key::new(ObjectKind::Workload, "default", &self.name)
    }

    /// The object that holds its policy, with this `minCount`.
    pub(super) fn policy(&self, min_count: u64) -> Value {
        let mut metadata = json!({"name": self.name});
        if self.evicts {
            metadata["annotations"] = json!({"muster.dev/when-broken": "Evict"});
        }
        json!({"apiVersion": "scheduling.k8s.io/v1alpha1", "kind": "Workload", "metadata": metadata,
            "spec": {"podGroups": [{"name": "main", "policy": {"gang": {"minCount": min_count}}}]}})
    }

    fn template(&self) -> Value {
        let mut template =
            json!({"metadata": {"labels": {"gang": self.name}}, "spec": pod_spec(self.cpu, self.tolerates)});
        template["spec"]["workloadRef"] = json!({"name": self.name, "podGroup": "main"});
        template["spec"]["priority"] = json!(self.priority);
        if let Some(seconds) = self.run_for {
            template["metadata"]["annotations"] = json!({"sim.muster.dev/run-for": format!("{seconds}s")});
        }
        template
    }

    /// A job that makes its members, and makes them anew.
    pub(super) fn job(&self) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": self.name},
            "spec": {"parallelism": self.members, "completions": self.members, "completionMode": "Indexed",
                "backoffLimit": 12, "template": self.template()}})
    }

    /// A member that no job looks after.
    pub(super) fn member(&self, number: u64, gated: bool) -> Value {
        let mut pod = self.template();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(self.member_name(number));
        if gated {
            pod["spec"]["schedulingGates"] = json!([{"name": GATE}]);
        }
        pod
    }

    pub(super) fn member_name(&self, number: u64) -> String {
        format!("{}-m{number}", self.name)
    }
}

fn pod_spec(cpu: u64, tolerates: bool) -> Value {
    let requests = json!({"requests": {"cpu": cpu.to_string(), "memory": "1Gi"}});
    let mut spec = json!({"containers": [{"name": "c", "image": "i", "resources": requests}]});
    if tolerates {
        spec["tolerations"] = json!([{"key": TAINT, "operator": "Exists"}]);
    }
    spec
}

/// The key of the taint that comes and goes.
pub(super) const TAINT: &str = "faults.muster.dev/trouble";

/// A pod in no group.
pub(super) fn single(name: &str, cpu: u64, priority: u64, run_for: Option<u64>) -> Value {
    let mut spec = pod_spec(cpu, false);
    spec["priority"] = json!(priority);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    if let Some(seconds) = run_for {
        pod["metadata"]["annotations"] = json!({"sim.muster.dev/run-for": format!("{seconds}s")});
    }
    pod
}

/// A rival's pod.
pub(super) fn rivals(name: &str, cpu: u64, run_for: u64) -> Value {
    let mut pod = single(name, cpu, 0, Some(run_for));
    pod["spec"]["schedulerName"] = json!(RIVAL);
    pod
}

/// A node.
pub(super) fn node(name: &str, cpu: u64, pods: u64) -> Value {
    let amounts = json!({"cpu": cpu.to_string(), "memory": "64Gi", "pods": pods.to_string()});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"allocatable": amounts}})
}
