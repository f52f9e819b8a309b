//! What the API server does with an object before it stores it, in miniature: defaults, priorities, refusals.

use crate::object::{Key, ObjectKind, at, integer_at, object_at, text_at};
use crate::record::{Unreadable, decode};
use serde_json::{Value, json};

/// Why the simulated API server refused an object or a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `apiVersion` and `kind` name nothing that is simulated.
    #[error("{0} is not simulated")]
    UnknownKind(String),
    /// The object has no name.
    #[error("{0} has no name")]
    NoName(&'static str),
    /// The pod names a priority class that does not exist.
    #[error("{pod}: there is no PriorityClass {class}")]
    NoPriorityClass {
        /// The pod.
        pod: String,
        /// The class.
        class: String,
    },
    /// The object cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// There is no such object.
    #[error("{0} not found")]
    NotFound(String),
    /// The pod of that name is another one.
    #[error("the UID in the precondition ({wanted}) does not match the UID in record ({found})")]
    UidMismatch {
        /// The uid that was asked for.
        wanted: String,
        /// The uid that is there.
        found: String,
    },
    /// The pod has a node already.
    #[error("pod {pod} is already assigned to node {node:?}")]
    AlreadyAssigned {
        /// The pod.
        pod: String,
        /// Its node.
        node: String,
    },
    /// The pod is being deleted.
    #[error("pod {0} is being deleted, cannot be assigned to a host")]
    Terminating(String),
    /// The pod is gated.
    #[error("pod {0} has non-empty .spec.schedulingGates")]
    Gated(String),
}

/// The priority classes that every cluster has, with their values.
pub const SYSTEM_CLASSES: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];

/// What a pod asks of the priority classes, and what the kinds fill in.
pub trait Classes {
    /// The value of a priority class.
    fn priority(&self, class: &str) -> Option<i64>;
    /// The class for pods that name none.
    fn default_class(&self) -> Option<String>;
}

/// Fills in what the API server, and the controllers that are always there, would. `scheduler` is given to pods that name
/// none.
///
/// # Errors
/// The pod names a priority class that does not exist, and states no priority either.
pub fn admit(key: &Key, object: &mut Value, scheduler: &str, classes: &impl Classes) -> Result<(), Refusal> {
    match key.kind {
        ObjectKind::Pod => admit_pod(key, object, scheduler, classes)?,
        ObjectKind::Node => complete_node(key, object),
        ObjectKind::Namespace => {
            object_at(object, &["metadata", "labels"])
                .insert("kubernetes.io/metadata.name".to_owned(), json!(*key.name));
        }
        _ => {}
    }
    Ok(())
}

fn admit_pod(key: &Key, pod: &mut Value, scheduler: &str, classes: &impl Classes) -> Result<(), Refusal> {
    let named = match text_at(pod, &["spec", "priorityClassName"]) {
        "" => classes.default_class(),
        class => Some(class.to_owned()),
    };
    let priority = match named {
        None => integer_at(pod, &["spec", "priority"]).or(Some(0)),
        // A pod of a dump carries its priority even if the class is not in the files.
        Some(ref class) => classes
            .priority(class)
            .or_else(|| integer_at(pod, &["spec", "priority"])),
    };
    let Some(priority) = priority else {
        return Err(Refusal::NoPriorityClass {
            pod: key.to_string(),
            class: named.unwrap_or_default(),
        });
    };
    let spec = object_at(pod, &["spec"]);
    spec.insert("priority".to_owned(), json!(priority));
    if let Some(class) = named {
        spec.insert("priorityClassName".to_owned(), json!(class));
    }
    spec.entry("schedulerName").or_insert_with(|| json!(scheduler));
    object_at(pod, &["status"])
        .entry("phase")
        .or_insert_with(|| json!("Pending"));
    let gates = at(pod, &["spec", "schedulingGates"]).and_then(Value::as_array);
    if gates.is_some_and(|gates| !gates.is_empty()) && at(pod, &["status", "conditions"]).is_none() {
        // Source: `pkg/registry/core/pod.applySchedulingGatedCondition`.
        let message = "Scheduling is blocked due to non-empty scheduling gates";
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": message});
        object_at(pod, &["status"]).insert("conditions".to_owned(), json!([condition]));
    }
    Ok(())
}

/// A kubelet's and the node controller's part: the host name label, allocatable amounts, the taint of a closed node.
fn complete_node(key: &Key, node: &mut Value) {
    object_at(node, &["metadata", "labels"])
        .entry("kubernetes.io/hostname")
        .or_insert_with(|| json!(*key.name));
    if at(node, &["status", "allocatable"]).is_none() {
        let capacity = at(node, &["status", "capacity"]).cloned().unwrap_or_else(|| json!({}));
        object_at(node, &["status"]).insert("allocatable".to_owned(), capacity);
    }
    object_at(node, &["status", "allocatable"])
        .entry("pods")
        .or_insert_with(|| json!("110"));
    taint_as_cordoned(node);
}

const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

/// Keeps the taint of a closed node in step with `spec.unschedulable`, as the node lifecycle controller does.
pub(crate) fn taint_as_cordoned(node: &mut Value) {
    let closed = at(node, &["spec", "unschedulable"])
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let taints = at(node, &["spec", "taints"])
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut kept: Vec<Value> = taints
        .iter()
        .filter(|taint| text_at(taint, &["key"]) != UNSCHEDULABLE_TAINT)
        .cloned()
        .collect();
    if closed {
        kept.push(json!({"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}));
    }
    if kept != taints {
        object_at(node, &["spec"]).insert("taints".to_owned(), Value::Array(kept));
    }
}

/// Whether the scheduler will be able to read an object, or the pods made from its template, once it is admitted.
pub(crate) fn check_readable(key: &Key, object: &Value) -> Result<(), Unreadable> {
    struct AnyClass;
    impl Classes for AnyClass {
        fn priority(&self, _: &str) -> Option<i64> {
            Some(0)
        }

        fn default_class(&self) -> Option<String> {
            None
        }
    }
    let (key, mut object, prefix) = if key.kind.is_controller() {
        let template = at(object, &["spec", "template"]).cloned();
        let Some(template) = template.filter(Value::is_object) else {
            return Err(Unreadable {
                field: "spec.template".to_owned(),
                problem: "is missing".to_owned(),
            });
        };
        (
            Key::pod(&key.namespace, &format!("of {key}")),
            template,
            "spec.template.",
        )
    } else {
        (key.clone(), object.clone(), "")
    };
    let Some(kind) = key.kind.watched() else { return Ok(()) };
    // With any class a pod is admitted: classes may well come later.
    let _ = admit(&key, &mut object, "any", &AnyClass);
    let metadata = object_at(&mut object, &["metadata"]);
    metadata.insert("name".to_owned(), json!(*key.name));
    if key.kind.is_namespaced() {
        metadata.insert("namespace".to_owned(), json!(*key.namespace));
    }
    metadata.entry("uid").or_insert_with(|| json!("unborn"));
    metadata.insert("resourceVersion".to_owned(), json!("1"));
    match decode(kind, &object) {
        Ok(_) => Ok(()),
        Err(Unreadable { field, problem }) => Err(Unreadable {
            field: format!("{prefix}{field}"),
            problem,
        }),
    }
}
