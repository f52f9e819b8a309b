//! Kubernetes objects as the simulated API server keeps them: JSON values, and how to find one's way in them.

use muster_framework::Text;
use muster_framework::record::Kind;
use serde_json::{Map, Value};
use std::fmt;

/// The kinds that are simulated. Their order is the order in which a cluster is best built up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// `scheduling.k8s.io/v1` PriorityClass.
    PriorityClass,
    /// `v1` Namespace.
    Namespace,
    /// `scheduling.k8s.io/v1alpha1` Workload.
    Workload,
    /// `scheduling.k8s.io/v1beta1` PodGroup, of Kubernetes 1.37.
    PodGroup,
    /// `scheduling.k8s.io/v1alpha2` PodGroup, of Kubernetes 1.36.
    PodGroupV1Alpha2,
    /// `scheduling.x-k8s.io/v1alpha1` PodGroup: the coscheduling CRD.
    CoschedulingPodGroup,
    /// `v1` Service: only what it selects matters.
    Service,
    /// `v1` Node.
    Node,
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` ReplicaSet.
    ReplicaSet,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `batch/v1` Job.
    Job,
    /// `v1` Pod.
    Pod,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [ObjectKind; 13] = [
        ObjectKind::PriorityClass,
        ObjectKind::Namespace,
        ObjectKind::Workload,
        ObjectKind::PodGroup,
        ObjectKind::PodGroupV1Alpha2,
        ObjectKind::CoschedulingPodGroup,
        ObjectKind::Service,
        ObjectKind::Node,
        ObjectKind::Deployment,
        ObjectKind::ReplicaSet,
        ObjectKind::StatefulSet,
        ObjectKind::Job,
        ObjectKind::Pod,
    ];

    /// `apiVersion` and `kind` as they stand in a file.
    pub fn api_version_and_name(self) -> (&'static str, &'static str) {
        match self {
            ObjectKind::PriorityClass => ("scheduling.k8s.io/v1", "PriorityClass"),
            ObjectKind::Namespace => ("v1", "Namespace"),
            ObjectKind::Workload => ("scheduling.k8s.io/v1alpha1", "Workload"),
            ObjectKind::PodGroup => ("scheduling.k8s.io/v1beta1", "PodGroup"),
            ObjectKind::PodGroupV1Alpha2 => ("scheduling.k8s.io/v1alpha2", "PodGroup"),
            ObjectKind::CoschedulingPodGroup => ("scheduling.x-k8s.io/v1alpha1", "PodGroup"),
            ObjectKind::Service => ("v1", "Service"),
            ObjectKind::Node => ("v1", "Node"),
            ObjectKind::Deployment => ("apps/v1", "Deployment"),
            ObjectKind::ReplicaSet => ("apps/v1", "ReplicaSet"),
            ObjectKind::StatefulSet => ("apps/v1", "StatefulSet"),
            ObjectKind::Job => ("batch/v1", "Job"),
            ObjectKind::Pod => ("v1", "Pod"),
        }
    }

    /// The kind's name alone.
    pub fn name(self) -> &'static str {
        self.api_version_and_name().1
    }

    /// The simulated kind that `apiVersion` and `kind` mean.
    pub fn of(api_version: &str, name: &str) -> Option<ObjectKind> {
        ObjectKind::ALL
            .into_iter()
            .find(|kind| kind.api_version_and_name() == (api_version, name))
    }

    /// The simulated kind of this name, whatever its version; of several the newest.
    pub fn named(name: &str) -> Option<ObjectKind> {
        ObjectKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As what the engine knows it; none for kinds that it never hears of.
    pub fn watched(self) -> Option<Kind> {
        match self {
            ObjectKind::PriorityClass => Some(Kind::PriorityClass),
            ObjectKind::Namespace => Some(Kind::Namespace),
            ObjectKind::Workload => Some(Kind::Workload),
            ObjectKind::PodGroup => Some(Kind::PodGroup),
            ObjectKind::PodGroupV1Alpha2 => Some(Kind::PodGroupV1Alpha2),
            ObjectKind::CoschedulingPodGroup => Some(Kind::CoschedulingPodGroup),
            ObjectKind::Service => Some(Kind::Service),
            ObjectKind::Node => Some(Kind::Node),
            ObjectKind::Pod => Some(Kind::Pod),
            ObjectKind::ReplicaSet => Some(Kind::ReplicaSet),
            ObjectKind::StatefulSet => Some(Kind::StatefulSet),
            ObjectKind::Deployment | ObjectKind::Job => None,
        }
    }

    /// The simulated kind that the engine knows as `kind`; none if it is not simulated.
    pub fn watched_as(kind: Kind) -> Option<ObjectKind> {
        ObjectKind::ALL
            .into_iter()
            .find(|simulated| simulated.watched() == Some(kind))
    }

    /// Whether its objects live in namespaces.
    pub fn is_namespaced(self) -> bool {
        !matches!(
            self,
            ObjectKind::PriorityClass | ObjectKind::Namespace | ObjectKind::Node
        )
    }

    /// Whether it makes pods, by itself or through others.
    pub fn is_controller(self) -> bool {
        matches!(
            self,
            ObjectKind::Deployment | ObjectKind::ReplicaSet | ObjectKind::StatefulSet | ObjectKind::Job
        )
    }
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace; empty where the kind has none.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
}

impl Key {
    /// The key of the object of this kind and name. The namespace is ignored where the kind has none, and `default`
    /// where it is empty.
    pub fn new(kind: ObjectKind, namespace: &str, name: &str) -> Key {
        let namespace = match (kind.is_namespaced(), namespace) {
            (false, _) => "",
            (true, "") => "default",
            (true, namespace) => namespace,
        };
        Key {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of a pod.
    pub fn pod(namespace: &str, name: &str) -> Key {
        Key::new(ObjectKind::Pod, namespace, name)
    }

    /// The key of a node.
    pub fn node(name: &str) -> Key {
        Key::new(ObjectKind::Node, "", name)
    }

    /// `namespace/name`, or the name alone.
    pub fn path(&self) -> String {
        if self.namespace.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

impl fmt::Display for Key {
    /// `Pod default/a`, `Node n1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.path())
    }
}

/// What stands at a path of fields; nothing where a field is missing.
pub(crate) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter()
        .try_fold(value, |value, field| value.get(field))
        .filter(|value| !value.is_null())
}

/// The text at a path; empty where there is none.
pub(crate) fn text_at<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a path.
pub(crate) fn integer_at(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// An annotation of an object, or of anything that has `metadata`.
pub(crate) fn annotation<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    at(value, &["metadata", "annotations", name]).and_then(Value::as_str)
}

/// The object at a path, made where it is missing. Whatever else stood in its way is replaced.
pub(crate) fn object_at<'v>(value: &'v mut Value, path: &[&str]) -> &'v mut Map<String, Value> {
    let mut value = value;
    for field in path {
        value = as_object(value).entry(*field).or_insert(Value::Null);
    }
    as_object(value)
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it has just been made an object"),
    }
}

/// A JSON merge patch (RFC 7396): objects are merged, null removes, all else replaces.
pub(crate) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    let target = as_object(target);
    for (field, value) in patch {
        if value.is_null() {
            target.remove(&field);
        } else {
            merge(target.entry(field).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_merges_removes_and_replaces() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        merge(&mut target, json!({"a": {"b": null, "d": {"e": 3}}, "l": [9]}));
        assert_eq!(target, json!({"a": {"c": 2, "d": {"e": 3}}, "l": [9]}));
    }

    #[test]
    fn keys_know_which_kinds_have_namespaces() {
        assert_eq!(Key::new(ObjectKind::Pod, "", "a").to_string(), "Pod default/a");
        assert_eq!(Key::new(ObjectKind::Node, "ignored", "n").to_string(), "Node n");
    }
}
