//! A cluster without machines: the objects of a simulated API server, and the rules by which they change.

use crate::admission::{Classes, Refusal, SYSTEM_CLASSES, admit, taint_as_cordoned};
use crate::object::{Key, ObjectKind, at, integer_at, merge, object_at, text_at};
use crate::record::decode;
use muster_api::group_names::{condition_type, phase_name as group_phase_name};
use muster_engine::{GroupRef, Object, ObjectKey, PodRef, Time};
use muster_framework::Text;
use muster_framework::group::GroupStatus;
use muster_framework::record::{
    Kind, NodeRecord, PodGroupRecord, PodPhase, PodRecord, PriorityClassRecord, ResourceVersion, WorkloadRecord,
};
use muster_framework::resource::ResourceList;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An object as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Which object.
    pub key: Key,
    /// Its uid.
    pub uid: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// The object.
    pub value: Value,
    /// What the engine would read of it; none for kinds that it never hears of.
    pub record: Option<Object>,
    /// The controller that made it, and that one's uid.
    pub owner: Option<(Option<Key>, Text)>,
}

impl Stored {
    /// The pod, if it is one.
    pub fn pod(&self) -> Option<&PodRecord> {
        match &self.record {
            Some(Object::Pod(pod)) => Some(pod),
            _ => None,
        }
    }

    /// The node, if it is one.
    pub fn node(&self) -> Option<&NodeRecord> {
        match &self.record {
            Some(Object::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// The workload, if it is one.
    pub fn workload(&self) -> Option<&WorkloadRecord> {
        match &self.record {
            Some(Object::Workload(workload)) => Some(workload),
            _ => None,
        }
    }

    /// The pod group, if it is one.
    pub fn pod_group(&self) -> Option<&PodGroupRecord> {
        match &self.record {
            Some(Object::PodGroup(group)) => Some(group),
            _ => None,
        }
    }

    fn class(&self) -> Option<&PriorityClassRecord> {
        match &self.record {
            Some(Object::PriorityClass(class)) => Some(class),
            _ => None,
        }
    }

    /// How the engine names this version of it.
    pub fn object_key(&self, kind: Kind) -> ObjectKey {
        ObjectKey {
            kind,
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
            uid: self.uid.clone(),
            resource_version: self.resource_version,
        }
    }
}

/// A change of one object: from nothing, to another version, or to nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What stood there before.
    pub before: Option<Arc<Stored>>,
    /// What stands there now.
    pub after: Option<Arc<Stored>>,
    /// The version of the change: a deletion has one too.
    pub resource_version: ResourceVersion,
}

impl Change {
    /// The object that changed.
    pub fn stored(&self) -> &Arc<Stored> {
        match (&self.after, &self.before) {
            (Some(stored), _) | (None, Some(stored)) => stored,
            (None, None) => unreachable!("a change is of something"),
        }
    }
}

/// A bind that the API server accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// When.
    pub at: Time,
    /// The pod.
    pub pod: PodRef,
    /// The node.
    pub node: Text,
    /// The resource of which the node's pods took more than it has, right after this bind.
    pub over: Option<Text>,
}

/// The pods of a node.
#[derive(Debug, Default)]
struct Placed {
    pods: BTreeSet<Key>,
    /// What those take that have not finished: a node may have tens of thousands, so it is not summed up anew.
    used: ResourceList,
    n_active: i64,
}

impl Placed {
    fn charge(&mut self, pod: &PodRecord, sign: i64) {
        if pod.phase == PodPhase::Active {
            self.n_active += sign;
            let add = |used: i64, more: i64| used.saturating_add(sign * more);
            self.used.combine(&pod.charge.requests, add);
            self.used.scalars.retain(|(_, amount)| *amount != 0);
        }
    }
}

/// The virtual API server.
#[derive(Debug)]
pub struct Cluster {
    now: Time,
    scheduler: Text,
    objects: BTreeMap<Key, Arc<Stored>>,
    /// Objects by the uid of their controller.
    owned: BTreeMap<Text, BTreeSet<Key>>,
    /// Pods by the name of their node, and what they take from it.
    placed: BTreeMap<Text, Placed>,
    version: ResourceVersion,
    uids: u64,
    changes: Vec<Change>,
    bindings: Vec<Binding>,
}

impl Cluster {
    /// A cluster with what every cluster has: the two system priority classes and the namespace `default`. Pods that
    /// name no scheduler are given to `scheduler`.
    pub fn new(scheduler: Text) -> Cluster {
        let mut cluster = Cluster {
            now: Time::ZERO,
            scheduler,
            objects: BTreeMap::new(),
            owned: BTreeMap::new(),
            placed: BTreeMap::new(),
            version: 0,
            uids: 0,
            changes: Vec::new(),
            bindings: Vec::new(),
        };
        let (class, _) = ObjectKind::PriorityClass.api_version_and_name();
        let built_in = SYSTEM_CLASSES.iter().map(|(name, value)| {
            json!({"apiVersion": class, "kind": "PriorityClass", "metadata": {"name": name}, "value": value})
        });
        for object in built_in.chain([namespace("default")]) {
            // These are well-formed: nothing refuses them.
            let _ = cluster.apply(object);
        }
        cluster
    }

    /// Sets the time at which what follows happens.
    pub fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.objects.get(key)
    }

    /// The objects of a kind, by namespace and name.
    pub fn list(&self, kind: ObjectKind) -> impl Iterator<Item = &Arc<Stored>> {
        let first = Key {
            kind,
            namespace: "".into(),
            name: "".into(),
        };
        self.objects
            .range(first..)
            .map(|(_, stored)| stored)
            .take_while(move |stored| stored.key.kind == kind)
    }

    /// All pods, as the engine would read them.
    pub fn pods(&self) -> impl Iterator<Item = &PodRecord> {
        self.list(ObjectKind::Pod).filter_map(|stored| stored.pod())
    }

    /// All nodes, as the engine would read them.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRecord> {
        self.list(ObjectKind::Node).filter_map(|stored| stored.node())
    }

    /// The objects that the controller with this uid made, by key.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Stored>> {
        let keys = self.owned.get(uid).into_iter().flatten();
        keys.filter_map(|key| self.objects.get(key).cloned()).collect()
    }

    /// The pods that are on a node, whether it exists or not, by namespace and name.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &PodRecord> {
        let placed = self.placed.get(node).into_iter().flat_map(|placed| &placed.pods);
        placed.filter_map(|key| self.objects.get(key)?.pod())
    }

    /// What the pods of a node that have not finished take from it, and how many they are.
    pub fn usage_of(&self, node: &str) -> (ResourceList, i64) {
        let placed = self.placed.get(node);
        placed.map_or_else(Default::default, |placed| (placed.used.clone(), placed.n_active))
    }

    /// Every bind that was accepted, in order.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The changes since the last call, in order.
    pub fn drain_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Creates an object, or merges it into the one of its key (as a JSON merge patch).
    ///
    /// # Errors
    /// It is refused.
    pub fn apply(&mut self, object: Value) -> Result<Key, Refusal> {
        let Some(key) = crate::scenario::key_of(&object) else {
            let said = format!("{} {}", text_at(&object, &["apiVersion"]), text_at(&object, &["kind"]));
            return Err(Refusal::UnknownKind(said));
        };
        if key.name.is_empty() {
            return Err(Refusal::NoName(key.kind.name()));
        }
        if self.objects.contains_key(&key) {
            self.merge(&key, object)?
        } else {
            self.create(&key, object)?
        }
        Ok(key)
    }

    fn create(&mut self, key: &Key, mut object: Value) -> Result<(), Refusal> {
        if key.kind.is_namespaced()
            && !self
                .objects
                .contains_key(&Key::new(ObjectKind::Namespace, "", &key.namespace))
        {
            self.apply(namespace(&key.namespace))?;
        }
        admit(key, &mut object, &self.scheduler, self)?;
        let created = self.timestamp();
        self.uids += 1;
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.uids);
        let metadata = object_at(&mut object, &["metadata"]);
        if !key.namespace.is_empty() {
            metadata.insert("namespace".to_owned(), json!(*key.namespace));
        }
        metadata.entry("uid").or_insert_with(|| json!(uid));
        metadata.entry("creationTimestamp").or_insert_with(|| json!(created));
        metadata.entry("generation").or_insert_with(|| json!(1));
        metadata.remove("managedFields");
        self.commit(key, object)
    }

    fn merge(&mut self, key: &Key, mut patch: Value) -> Result<(), Refusal> {
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
        ] {
            object_at(&mut patch, &["metadata"]).remove(field);
        }
        self.update(key, |object| {
            merge(object, patch);
            if key.kind == ObjectKind::Node {
                taint_as_cordoned(object);
            }
        })
    }

    /// Changes an object in place. What leaves it as it was makes no version.
    ///
    /// # Errors
    /// There is no such object, or what would come of it is refused.
    pub fn update(&mut self, key: &Key, edit: impl FnOnce(&mut Value)) -> Result<(), Refusal> {
        let stored = self
            .objects
            .get(key)
            .ok_or_else(|| Refusal::NotFound(key.to_string()))?;
        let mut object = stored.value.clone();
        edit(&mut object);
        if object == stored.value {
            return Ok(());
        }
        if object.get("spec") != stored.value.get("spec") {
            let generation = integer_at(&object, &["metadata", "generation"]).unwrap_or(0) + 1;
            object_at(&mut object, &["metadata"]).insert("generation".to_owned(), json!(generation));
        }
        self.commit(key, object)
    }

    /// Stores an object under the next version. Nothing changes if it cannot be read.
    fn commit(&mut self, key: &Key, mut object: Value) -> Result<(), Refusal> {
        let version = self.version + 1;
        object_at(&mut object, &["metadata"]).insert("resourceVersion".to_owned(), json!(version.to_string()));
        let record = match key.kind.watched() {
            Some(kind) => Some(decode(kind, &object).map_err(|error| Refusal::Unreadable(format!("{key}: {error}")))?),
            None => None,
        };
        self.version = version;
        let stored = Arc::new(Stored {
            key: key.clone(),
            uid: text_at(&object, &["metadata", "uid"]).into(),
            resource_version: version,
            record,
            owner: controller_of(&object),
            value: object,
        });
        if let Some((_, owner)) = &stored.owner {
            self.owned.entry(owner.clone()).or_default().insert(key.clone());
        }
        let before = self.objects.insert(key.clone(), stored.clone());
        if let Some((node, pod)) = before.as_deref().and_then(placed_pod) {
            self.placed.entry(node).or_default().charge(pod, -1);
        }
        if let Some((node, pod)) = placed_pod(&stored) {
            let placed = self.placed.entry(node).or_default();
            placed.pods.insert(key.clone());
            placed.charge(pod, 1);
        }
        self.changes.push(Change {
            before,
            after: Some(stored),
            resource_version: version,
        });
        Ok(())
    }

    /// Deletes an object at once, and what it owns or contains. Says whether it was there.
    pub fn delete(&mut self, key: &Key) -> bool {
        let Some(stored) = self.objects.remove(key) else {
            return false;
        };
        if let Some(siblings) = stored.owner.as_ref().and_then(|(_, owner)| self.owned.get_mut(owner)) {
            siblings.remove(key);
        }
        if let Some((node, pod)) = placed_pod(&stored) {
            let placed = self.placed.entry(node).or_default();
            placed.pods.remove(key);
            placed.charge(pod, -1);
        }
        self.version += 1;
        let uid = stored.uid.clone();
        self.changes.push(Change {
            before: Some(stored),
            after: None,
            resource_version: self.version,
        });
        let mut orphans: Vec<Key> = self.owned.remove(&uid).into_iter().flatten().collect();
        if key.kind == ObjectKind::Namespace {
            orphans.extend(self.objects.keys().filter(|inner| inner.namespace == key.name).cloned());
        }
        for orphan in orphans {
            self.delete(&orphan);
        }
        true
    }

    /// Marks a pod as being deleted; [`Cluster::delete`] ends it.
    ///
    /// # Errors
    /// There is no such pod.
    pub fn begin_deletion(&mut self, key: &Key) -> Result<(), Refusal> {
        let now = self.timestamp();
        self.update(key, |pod| {
            object_at(pod, &["metadata"])
                .entry("deletionTimestamp")
                .or_insert_with(|| json!(now));
        })
    }

    /// Binds a pod to a node, by the API server's rules: the uid is a precondition, a pod is bound once, a pod that ends
    /// or is gated is not, and nobody asks whether the node exists.
    ///
    /// # Errors
    /// It is refused.
    pub fn bind(&mut self, pod: &PodRef, node: &str) -> Result<(), Refusal> {
        let key = Key::pod(&pod.namespace, &pod.name);
        let stored = self
            .objects
            .get(&key)
            .ok_or_else(|| Refusal::NotFound(key.to_string()))?;
        if stored.uid != pod.uid {
            return Err(Refusal::UidMismatch {
                wanted: pod.uid.to_string(),
                found: stored.uid.to_string(),
            });
        }
        let object = &stored.value;
        if at(object, &["metadata", "deletionTimestamp"]).is_some() {
            return Err(Refusal::Terminating(pod.name.to_string()));
        }
        match text_at(object, &["spec", "nodeName"]) {
            "" => {}
            taken => {
                return Err(Refusal::AlreadyAssigned {
                    pod: pod.name.to_string(),
                    node: taken.to_owned(),
                });
            }
        }
        let gates = at(object, &["spec", "schedulingGates"]).and_then(Value::as_array);
        if gates.is_some_and(|gates| !gates.is_empty()) {
            return Err(Refusal::Gated(pod.name.to_string()));
        }
        self.update(&key, |object| {
            object_at(object, &["spec"]).insert("nodeName".to_owned(), json!(node));
            set_condition(object, json!({"type": "PodScheduled", "status": "True"}));
        })?;
        let over = self.shortage_on(node);
        self.bindings.push(Binding {
            at: self.now,
            pod: pod.clone(),
            node: node.into(),
            over,
        });
        Ok(())
    }

    /// The first resource of which the pods of a node take more than it has.
    fn shortage_on(&self, node: &str) -> Option<Text> {
        let record = self.objects.get(&Key::node(node))?.node()?;
        let (used, pods) = self.usage_of(node);
        let has = &record.allocatable;
        let fixed = [
            ("cpu", used.milli_cpu, has.milli_cpu),
            ("memory", used.memory, has.memory),
            ("ephemeral-storage", used.ephemeral_storage, has.ephemeral_storage),
            ("pods", pods, record.allowed_pods),
        ];
        let scalars = used
            .scalars
            .iter()
            .map(|(name, used)| (&**name, *used, has.scalar(name)));
        fixed
            .into_iter()
            .chain(scalars)
            .find(|(_, used, has)| has < used)
            .map(|(name, ..)| name.into())
    }

    /// Writes `PodScheduled=False` to a pod's status.
    ///
    /// # Errors
    /// The pod is not there, or another one has its name.
    pub fn set_not_scheduled(
        &mut self,
        pod: &PodRef,
        observed_generation: i64,
        reason: &str,
        message: &str,
    ) -> Result<(), Refusal> {
        let key = Key::pod(&pod.namespace, &pod.name);
        self.expect_uid(&key, &pod.uid)?;
        let mut condition = json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message});
        if observed_generation != 0 {
            object_at(&mut condition, &[]).insert("observedGeneration".to_owned(), json!(observed_generation));
        }
        self.update(&key, |object| set_condition(object, condition))
    }

    /// Writes to the status of a group's object what its API has for it.
    ///
    /// # Errors
    /// The object is not there, another one has its name, or its kind has no such status.
    pub fn set_group_status(
        &mut self,
        group: &GroupRef,
        observed_generation: i64,
        status: &GroupStatus,
        turns: bool,
    ) -> Result<(), Refusal> {
        let name = || format!("{} {group}", group.kind.name());
        let kind = ObjectKind::watched_as(group.kind).ok_or_else(|| Refusal::UnknownKind(name()))?;
        let key = Key::new(kind, &group.namespace, &group.name);
        self.expect_uid(&key, &group.uid)?;
        let now = self.timestamp();
        let turned = turns.then(|| json!(now));
        match (status, condition_type(group.kind)) {
            (
                GroupStatus::Condition {
                    scheduled,
                    reason,
                    message,
                },
                Some(condition),
            ) => {
                let status = if *scheduled { "True" } else { "False" };
                let mut condition =
                    json!({"type": condition, "status": status, "reason": **reason, "message": **message});
                if observed_generation != 0 {
                    object_at(&mut condition, &[]).insert("observedGeneration".to_owned(), json!(observed_generation));
                }
                self.update(&key, |object| {
                    let same = |c: &&Value| text_at(c, &["type"]) == text_at(&condition, &["type"]);
                    let carried = at(object, &["status", "conditions"])
                        .and_then(Value::as_array)
                        .and_then(|conditions| conditions.iter().find(same))
                        .and_then(|carried| at(carried, &["lastTransitionTime"]).cloned());
                    object_at(&mut condition, &[]).insert("lastTransitionTime".to_owned(), json!(turned.or(carried)));
                    set_condition(object, condition);
                })
            }
            (
                GroupStatus::Phase {
                    phase,
                    running,
                    succeeded,
                    failed,
                },
                None,
            ) if kind == ObjectKind::CoschedulingPodGroup => {
                let phase = group_phase_name(*phase);
                let status = json!({"phase": phase, "running": running, "succeeded": succeeded, "failed": failed});
                self.update(&key, |object| merge(object, json!({"status": status})))
            }
            _ => Err(Refusal::UnknownKind(format!("a status like this of {}", name()))),
        }
    }

    /// That there is an object of this key, and that it has this uid.
    fn expect_uid(&self, key: &Key, uid: &str) -> Result<(), Refusal> {
        let found = self
            .objects
            .get(key)
            .ok_or_else(|| Refusal::NotFound(key.to_string()))?;
        if *found.uid == *uid {
            return Ok(());
        }
        Err(Refusal::UidMismatch {
            wanted: uid.to_owned(),
            found: found.uid.to_string(),
        })
    }

    /// The pod with this uid, as it stands.
    pub fn read_pod(&self, pod: &PodRef) -> Option<&PodRecord> {
        self.objects
            .get(&Key::pod(&pod.namespace, &pod.name))
            .filter(|stored| stored.uid == pod.uid)?
            .pod()
    }

    /// Says how far a pod has come: `Running`, `Succeeded`, `Failed`.
    ///
    /// # Errors
    /// There is no such pod.
    pub fn set_phase(&mut self, key: &Key, phase: &str) -> Result<(), Refusal> {
        self.update(key, |pod| {
            object_at(pod, &["status"]).insert("phase".to_owned(), json!(phase));
        })
    }

    /// Closes a node to new pods, or opens it again.
    ///
    /// # Errors
    /// There is no such node.
    pub fn cordon(&mut self, node: &str, closed: bool) -> Result<(), Refusal> {
        self.update(&Key::node(node), |node| {
            if closed {
                object_at(node, &["spec"]).insert("unschedulable".to_owned(), json!(true));
            } else {
                object_at(node, &["spec"]).remove("unschedulable");
            }
            taint_as_cordoned(node);
        })
    }

    /// The virtual time as the API writes it. The clock begins at an arbitrary, fixed moment.
    fn timestamp(&self) -> String {
        const BEGIN: i64 = 1_767_225_600;
        let seconds = i64::try_from(self.now.micros() / 1_000_000).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(BEGIN.saturating_add(seconds))
            .map(|t| t.to_string())
            .unwrap_or_default()
    }
}

impl Classes for Cluster {
    fn priority(&self, class: &str) -> Option<i64> {
        self.objects
            .get(&Key::new(ObjectKind::PriorityClass, "", class))?
            .class()
            .map(|class| class.value.into())
    }

    fn default_class(&self) -> Option<String> {
        let defaults = self.list(ObjectKind::PriorityClass).filter_map(|stored| stored.class());
        // Source: with several defaults, the API server takes the lowest.
        let lowest = defaults
            .filter(|class| class.global_default)
            .min_by_key(|class| class.value)?;
        Some(lowest.name.to_string())
    }
}

/// A pod's phase as text.
pub(crate) fn phase_name(phase: PodPhase) -> &'static str {
    match phase {
        PodPhase::Active => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
    }
}

/// The pod that it is, and its node, if it has one.
fn placed_pod(stored: &Stored) -> Option<(Text, &PodRecord)> {
    let pod = stored.pod()?;
    Some((pod.node_name.clone()?, pod))
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// The controller of an object: its key, where it is of a simulated kind, and its uid.
fn controller_of(object: &Value) -> Option<(Option<Key>, Text)> {
    let owners = at(object, &["metadata", "ownerReferences"])?.as_array()?;
    let controller = owners
        .iter()
        .find(|owner| at(owner, &["controller"]).and_then(Value::as_bool) == Some(true))?;
    let field = |field| text_at(controller, &[field]);
    let namespace = text_at(object, &["metadata", "namespace"]);
    let key = ObjectKind::of(field("apiVersion"), field("kind")).map(|kind| Key::new(kind, namespace, field("name")));
    Some((key, field("uid").into())).filter(|(_, uid): &(Option<Key>, Text)| !uid.is_empty())
}

/// Puts a condition in the place of the one of its type.
fn set_condition(object: &mut Value, condition: Value) {
    let status = object_at(object, &["status"]);
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    let same = |other: &Value| text_at(other, &["type"]) == text_at(&condition, &["type"]);
    match conditions.iter().position(same) {
        Some(place) => conditions[place] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        Cluster::new("muster".into())
    }

    fn pod(name: &str, spec: Value) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        object_at(&mut pod, &["spec"])
            .entry("containers")
            .or_insert_with(|| json!([{"name": "c"}]));
        pod
    }

    fn reference(cluster: &Cluster, name: &str) -> PodRef {
        let uid = cluster
            .get(&Key::pod("default", name))
            .map(|stored| stored.uid.clone())
            .unwrap_or_default();
        PodRef {
            namespace: "default".into(),
            name: name.into(),
            uid,
        }
    }

    #[test]
    fn admission_fills_in_what_the_api_server_would() {
        let mut cluster = cluster();
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"},
            "value": 1000, "globalDefault": true});
        cluster.apply(class).unwrap();
        let key = cluster.apply(pod("a", json!({}))).unwrap();
        let value = &cluster.get(&key).unwrap().value;
        assert_eq!(integer_at(value, &["spec", "priority"]), Some(1000));
        assert_eq!(text_at(value, &["spec", "schedulerName"]), "muster");
        assert_eq!(text_at(value, &["status", "phase"]), "Pending");
        assert_eq!(text_at(value, &["metadata", "namespace"]), "default");
        let refused = cluster.apply(pod("b", json!({"priorityClassName": "none"})));
        assert!(matches!(refused, Err(Refusal::NoPriorityClass { .. })), "{refused:?}");
    }

    #[test]
    fn a_pod_is_bound_once_by_its_uid_and_only_when_it_may_be() {
        let mut cluster = cluster();
        for (name, spec) in [
            ("a", json!({})),
            ("gated", json!({"schedulingGates": [{"name": "g"}]})),
            ("ending", json!({})),
        ] {
            cluster.apply(pod(name, spec)).unwrap();
        }
        cluster.begin_deletion(&Key::pod("default", "ending")).unwrap();
        let stranger = PodRef {
            uid: "other".into(),
            ..reference(&cluster, "a")
        };
        assert!(matches!(cluster.bind(&stranger, "n"), Err(Refusal::UidMismatch { .. })));
        let a = reference(&cluster, "a");
        assert_eq!(cluster.bind(&a, "a-node-that-nobody-knows"), Ok(()));
        assert!(matches!(cluster.bind(&a, "n"), Err(Refusal::AlreadyAssigned { .. })));
        let (gated, ending) = (reference(&cluster, "gated"), reference(&cluster, "ending"));
        assert!(matches!(cluster.bind(&gated, "n"), Err(Refusal::Gated(_))));
        assert!(matches!(cluster.bind(&ending, "n"), Err(Refusal::Terminating(_))));
        assert!(matches!(
            cluster.bind(&reference(&cluster, "missing"), "n"),
            Err(Refusal::NotFound(_))
        ));
        assert_eq!(cluster.bindings().len(), 1);
    }

    #[test]
    fn versions_grow_and_a_change_to_nothing_new_makes_none() {
        let mut cluster = cluster();
        cluster.apply(pod("a", json!({}))).unwrap();
        cluster.drain_changes();
        let a = reference(&cluster, "a");
        cluster.set_not_scheduled(&a, 1, "Unschedulable", "no room").unwrap();
        cluster.set_not_scheduled(&a, 1, "Unschedulable", "no room").unwrap();
        let changes = cluster.drain_changes();
        assert_eq!(changes.len(), 1);
        let before = changes[0].before.as_ref().map(|stored| stored.resource_version);
        assert!(before < Some(changes[0].resource_version));
    }

    #[test]
    fn a_cordoned_node_carries_the_taint_until_it_is_opened() {
        let mut cluster = cluster();
        let key = cluster
            .apply(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}))
            .unwrap();
        cluster.cordon("n", true).unwrap();
        let node = cluster.get(&key).and_then(|stored| stored.node().cloned()).unwrap();
        assert!(node.unschedulable && node.taints.len() == 1);
        cluster.cordon("n", false).unwrap();
        let node = cluster.get(&key).and_then(|stored| stored.node().cloned()).unwrap();
        assert!(!node.unschedulable && node.taints.is_empty() && node.allowed_pods == 110);
    }

    #[test]
    fn what_is_owned_or_contained_goes_with_its_owner() {
        let mut cluster = cluster();
        let mut inner = pod("a", json!({}));
        object_at(&mut inner, &["metadata"]).insert("namespace".to_owned(), json!("team"));
        cluster.apply(inner).unwrap();
        assert!(cluster.delete(&Key::new(ObjectKind::Namespace, "", "team")));
        assert_eq!(cluster.pods().count(), 0);
    }
}
