//! The cluster as the engine knows it: nodes, everybody's pods and where they are, namespaces, priority classes.
//!
//! **Invariant:** what a node is charged equals the sum over the pods placed on it, assumed or assigned; checked by
//! [`Cluster::check`] after every step of the property tests.

use crate::facts::PodFacts;
use crate::owners::SelectorOwners;
use crate::pods::{Bind, DefaultSelection, Place, PodId, Pods, ShapeId, Shapes};
use crate::preparation::Planned;
use muster_framework::Text;
use muster_framework::event::StorageEvent;
use muster_framework::labels::Labels;
use muster_framework::plugin::PodToPlace;
use muster_framework::record::{
    Kind, NamespaceRecord, NodeRecord, PodPhase, PriorityClassRecord, ResourceVersion, SelectorOwnerRecord,
};
use muster_framework::resource::ResourceOrd;
use muster_framework::table::{Applied, NodeOrd, NodeTable};
use muster_framework::volume::StorageObject;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Topology keys by whose domains the pods of a default selection are counted all the time; others are counted when asked.
const DEFAULT_SPREAD_KEYS: [&str; 1] = ["topology.kubernetes.io/zone"];

/// Taints by which Kubernetes tells that a node is lost.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Likewise.
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// An object that is kept by name, with the number of the list that it was last seen in.
#[derive(Debug)]
struct Kept<T> {
    value: T,
    resource_version: ResourceVersion,
    seen: u32,
}

/// Objects of one kind that are kept by name.
#[derive(Debug)]
pub(crate) struct ByName<T>(FxHashMap<Text, Kept<T>>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        ByName(FxHashMap::default())
    }
}

impl<T> ByName<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name).map(|kept| &kept.value)
    }

    /// Keeps `value`, unless something newer is known; says whether it was kept.
    pub(crate) fn apply(&mut self, name: &Text, resource_version: ResourceVersion, seen: u32, value: T) -> bool {
        if let Some(known) = self.0.get_mut(name) {
            known.seen = seen;
            if is_stale(resource_version, known.resource_version) {
                return false;
            }
        }
        self.0.insert(
            name.clone(),
            Kept {
                value,
                resource_version,
                seen,
            },
        );
        true
    }

    pub(crate) fn mark(&mut self, name: &str, seen: u32) {
        if let Some(known) = self.0.get_mut(name) {
            known.seen = seen;
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        self.0.remove(name).map(|kept| kept.value)
    }

    /// Names not seen since list number `seen` began, in order.
    pub(crate) fn unseen(&self, seen: u32) -> Vec<Text> {
        let mut names: Vec<Text> = self
            .0
            .iter()
            .filter(|(_, k)| k.seen < seen)
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    }

    /// Names, values and versions, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Text, &T, ResourceVersion)> {
        self.0
            .iter()
            .map(|(name, kept)| (name, &kept.value, kept.resource_version))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(|kept| &kept.value)
    }
}

/// Whether news of version `new` is older than what is known: facts about an object never go back.
pub(crate) fn is_stale(new: ResourceVersion, known: ResourceVersion) -> bool {
    new != 0 && new < known
}

/// An object's namespace, empty where its kind has none, and its name.
#[derive(Debug, Clone)]
pub(crate) struct ObjectName {
    pub(crate) namespace: Text,
    pub(crate) name: Text,
}

impl ObjectName {
    fn new(namespace: &Text, name: &Text) -> ObjectName {
        ObjectName {
            namespace: namespace.clone(),
            name: name.clone(),
        }
    }

    fn path(&self) -> Text {
        if self.namespace.is_empty() {
            return self.name.clone();
        }
        format!("{}/{}", self.namespace, self.name).into()
    }
}

/// Nodes, pods, namespaces, priority classes.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) table: NodeTable,
    /// Nodes by name, for their versions; what they have is in the table.
    pub(crate) nodes: ByName<()>,
    pub(crate) pods: Pods,
    pub(crate) shapes: Shapes,
    pub(crate) namespaces: ByName<Labels>,
    pub(crate) priority_classes: ByName<PriorityClassRecord>,
    pub(crate) owners: SelectorOwners,
    /// Selector owners and storage objects by kind and `namespace/name`, for their versions; what they say is elsewhere.
    others: [ByName<ObjectName>; Kind::ALL.len()],
    /// Pods without a node by the name of the node that they have been promised.
    nominated: FxHashMap<Text, BTreeSet<PodId>>,
    /// How often a promise has come or gone.
    promises: u64,
    /// Pods by the name of the node that they are on, or are going to; the node itself may not be known.
    placed_on: FxHashMap<Text, BTreeSet<PodId>>,
    n_assumed: usize,
}

impl Cluster {
    pub(crate) fn new() -> Cluster {
        Cluster {
            table: NodeTable::new(),
            nodes: ByName::default(),
            pods: Pods::default(),
            shapes: Shapes::default(),
            namespaces: ByName::default(),
            priority_classes: ByName::default(),
            owners: SelectorOwners::default(),
            others: Default::default(),
            nominated: FxHashMap::default(),
            promises: 0,
            placed_on: FxHashMap::default(),
            n_assumed: 0,
        }
    }

    /// Grows with whatever may change where a pod can go: a plan that took several turns sees whether it may be outdated.
    pub(crate) fn changes(&self) -> u64 {
        self.table.changes() + self.promises + u64::from(self.owners.epoch().get())
    }

    /// What befell a node that pods were on, in words that follow its name. None: it is well.
    pub(crate) fn what_befell(&self, node: &str) -> Option<&'static str> {
        let Some(node) = self.table.by_name(node) else {
            return Some("is gone");
        };
        let taints = self.table.taint_sets().nth(self.table.taint_set(node)).unwrap_or(&[]);
        let has = |key: &str| taints.iter().any(|taint| &*taint.key == key);
        if has(UNREACHABLE) {
            return Some("is unreachable");
        }
        has(NOT_READY).then_some("is not ready")
    }

    /// Whether any pod without a place has been promised a node.
    pub(crate) fn has_promises(&self) -> bool {
        !self.nominated.is_empty()
    }

    /// How many pods have a bind that is not yet confirmed by a watch.
    pub(crate) fn n_assumed(&self) -> usize {
        self.n_assumed
    }

    /// The priority of a pod: as admission filled it in, else by its class, else by the default class, else 0.
    pub(crate) fn priority(&self, pod: &PodFacts) -> i32 {
        if let Some(priority) = pod.priority {
            return priority;
        }
        let class = match pod.priority_class_name() {
            Some(name) => self.priority_classes.get(name),
            None => self
                .priority_classes
                .values()
                .filter(|class| class.global_default)
                .max_by_key(|class| class.value),
        };
        class.map_or(0, |class| class.value)
    }

    /// Compiles the pod's spec and finds what it is spread with, if that has not been done; whatever it asks of placed
    /// pods is counted from then on.
    pub(crate) fn compile(&mut self, id: PodId) {
        let Some(shape) = self.pods.get(id).map(|pod| pod.shape) else {
            return;
        };
        self.shapes.compile(shape, &mut self.table);
        self.find_default_selection(id);
    }

    fn find_default_selection(&mut self, id: PodId) {
        let epoch = self.owners.epoch();
        let Some(pod) = self.pods.get(id) else { return };
        if pod.default_selection.epoch == Some(epoch) || !pod.record.spec.spread.is_empty() {
            return;
        }
        let selection = self.owners.default_selection(&pod.record).map(|selection| {
            let columns: Vec<_> = DEFAULT_SPREAD_KEYS
                .iter()
                .filter_map(|key| self.table.column_of(key))
                .collect();
            self.table.acquire_selection(selection, &columns)
        });
        let found = DefaultSelection {
            epoch: Some(epoch),
            selection,
        };
        if let Some(pod) = self.pods.get_mut(id) {
            let old = std::mem::replace(&mut pod.default_selection, found);
            self.release_default_selection(old);
        }
    }

    fn release_default_selection(&mut self, old: DefaultSelection) {
        if let Some(selection) = old.selection {
            self.table.release_selection(selection);
        }
    }

    /// The pod as plugins see it; compile it before.
    pub(crate) fn to_place(&self, id: PodId) -> Option<PodToPlace<'_>> {
        let pod = self.pods.get(id)?;
        Some(PodToPlace {
            uid: &pod.record.uid,
            namespace: &pod.record.namespace,
            name: &pod.record.name,
            namespace_labels: self.namespaces.get(&pod.record.namespace),
            labels: &pod.record.labels,
            terminating: pod.record.terminating,
            spec: &pod.record.spec,
            compiled: self.shapes.compiled(pod.shape)?,
            default_selection: pod.default_selection.selection,
        })
    }

    /// Compiles the pods that stand in this pod's way because nodes have been promised to them: other pods without a
    /// place, no less urgent.
    pub(crate) fn compile_nominated(&mut self, id: PodId) {
        for (_, pods) in self.nominated_beside(id, &[]) {
            pods.into_iter().for_each(|pod| self.compile(pod));
        }
    }

    /// The nodes promised to pods that stand in this pod's way, as plugins see these; compile them before. Those that
    /// are `planned` stand where they are planned.
    pub(crate) fn nominated_to_place(&self, id: PodId, planned: &[Planned]) -> Vec<(NodeOrd, Vec<PodToPlace<'_>>)> {
        let nodes = self.nominated_beside(id, planned).into_iter();
        nodes
            .map(|(node, pods)| (node, pods.into_iter().filter_map(|pod| self.to_place(pod)).collect()))
            .collect()
    }

    fn nominated_beside(&self, id: PodId, planned: &[Planned]) -> Vec<(NodeOrd, Vec<PodId>)> {
        if self.nominated.is_empty() {
            return Vec::new();
        }
        let Some(pod) = self.pods.get(id) else {
            return Vec::new();
        };
        let priority = self.priority(&pod.record);
        let in_the_way = |other: &PodId| {
            *other != id
                && !planned.iter().any(|planned| planned.pod == *other)
                && self
                    .pods
                    .get(*other)
                    .is_some_and(|other| other.place.is_none() && self.priority(&other.record) >= priority)
        };
        let nodes = self.nominated.iter().filter_map(|(name, pods)| {
            let pods: Vec<PodId> = pods.iter().copied().filter(in_the_way).collect();
            (!pods.is_empty()).then_some((self.table.by_name(name)?, pods))
        });
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort_by_key(|(node, _)| *node);
        nodes
    }

    /// Writes down which node a pod has been promised, or that it has been promised none.
    pub(crate) fn index_nomination(&mut self, id: PodId) {
        let Some(pod) = self.pods.get(id) else { return };
        let waits = pod.record.node_name.is_none() && pod.record.phase == PodPhase::Active && !pod.record.terminating;
        if let Some(node) = pod.record.nominated_node_name().cloned().filter(|_| waits) {
            self.promises += 1;
            self.nominated.entry(node).or_default().insert(id);
        }
    }

    /// The node that room is kept on for the pod because it has been promised it.
    pub(crate) fn promised_to(&self, id: PodId) -> Option<NodeOrd> {
        if self.nominated.is_empty() {
            return None;
        }
        let pod = self.pods.get(id).filter(|pod| pod.place.is_none())?;
        let node = pod.record.nominated_node_name()?;
        self.nominated.get(node)?.get(&id)?;
        self.table.by_name(node)
    }

    pub(crate) fn unindex_nomination(&mut self, id: PodId) {
        let Some(node) = self.pods.get(id).and_then(|pod| pod.record.nominated_node_name()) else {
            return;
        };
        if let Some(pods) = self.nominated.get_mut(node) {
            self.promises += u64::from(pods.remove(&id));
            if pods.is_empty() {
                self.nominated.remove(node);
            }
        }
    }

    /// Puts a pod on a node, with the bind that brings it there if it is ours to bring.
    pub(crate) fn place(&mut self, id: PodId, node_name: &Text, bind: Option<Bind>) {
        let charged = self.table.by_name(node_name);
        let Some(pod) = self.pods.get_mut(id) else { return };
        debug_assert!(pod.place.is_none(), "{} is in one place only", pod.record.name);
        pod.place = Some(Place {
            node_name: node_name.clone(),
            charged,
            bind,
        });
        let default_selection = std::mem::take(&mut pod.default_selection);
        if let Some(node) = charged {
            let namespace = self.namespaces.get(&pod.record.namespace);
            pod.record.labels = self.table.add_pod(node, pod.footprint(namespace));
        }
        self.release_default_selection(default_selection);
        self.n_assumed += usize::from(bind.is_some());
        self.placed_on.entry(node_name.clone()).or_default().insert(id);
    }

    /// Takes a pod off its node; gives the place that it had.
    pub(crate) fn unplace(&mut self, id: PodId) -> Option<Place> {
        let pod = self.pods.get_mut(id)?;
        let place = pod.place.take()?;
        if let Some(node) = place.charged {
            let namespace = self.namespaces.get(&pod.record.namespace);
            self.table.remove_pod(node, pod.footprint(namespace));
        }
        self.n_assumed -= usize::from(place.bind.is_some());
        if let Some(pods) = self.placed_on.get_mut(&place.node_name) {
            pods.remove(&id);
            if pods.is_empty() {
                self.placed_on.remove(&place.node_name);
            }
        }
        Some(place)
    }

    /// The API server shows the pod on its node: the bind is over. Gives the bind, if there was one.
    pub(crate) fn confirm(&mut self, id: PodId) -> Option<Bind> {
        let bind = self.pods.get_mut(id)?.place.as_mut()?.bind.take()?;
        self.n_assumed -= 1;
        Some(bind)
    }

    /// Replaces what is known of a pod; its node is charged for the new state. Gives the old state.
    pub(crate) fn replace(&mut self, id: PodId, mut record: PodFacts) -> Option<PodFacts> {
        self.unindex_nomination(id);
        let shape = self.shapes.acquire(&mut record.spec);
        let pod = self.pods.get_mut(id)?;
        let charged = pod.place.as_ref().and_then(|place| place.charged);
        let namespace = self.namespaces.get(&record.namespace);
        if let Some(node) = charged {
            self.table.remove_pod(node, pod.footprint(namespace));
        }
        let old_shape = std::mem::replace(&mut pod.shape, shape);
        let old = std::mem::replace(&mut pod.record, record);
        let default_selection = std::mem::take(&mut pod.default_selection);
        if let Some(node) = charged {
            pod.record.labels = self.table.add_pod(node, pod.footprint(namespace));
        }
        self.shapes.release(old_shape, &mut self.table);
        self.release_default_selection(default_selection);
        self.index_nomination(id);
        Some(old)
    }

    /// Forgets a pod that has no place any more.
    pub(crate) fn forget(&mut self, id: PodId) {
        self.unindex_nomination(id);
        if let Some(pod) = self.pods.remove(id) {
            debug_assert!(pod.place.is_none());
            self.release_default_selection(pod.default_selection);
            self.shapes.release(pod.shape, &mut self.table);
        }
    }

    /// Counts one more pod of a spec.
    pub(crate) fn acquire_shape(&mut self, record: &mut PodFacts) -> ShapeId {
        self.shapes.acquire(&mut record.spec)
    }

    /// Adds or changes a node, and charges it for the pods that are already on it.
    pub(crate) fn apply_node(&mut self, record: &NodeRecord) -> Applied {
        let applied = self.table.apply(record);
        for resource in &applied.new_resources {
            let name = self.table.resource_name(*resource).to_owned();
            for (_, pod) in self.pods.iter() {
                let amount = pod.record.charge().requests.scalar(&name);
                if let Some(node) = pod
                    .place
                    .as_ref()
                    .and_then(|place| place.charged)
                    .filter(|_| amount != 0)
                {
                    self.table.charge_new_resource(node, *resource, amount);
                }
            }
        }
        if applied.added {
            self.shift_charges(&record.name, Some(applied.node));
        }
        applied
    }

    /// Takes a node out. Its pods stay known, without a node that is charged for them.
    pub(crate) fn delete_node(&mut self, name: &Text) {
        if let Some(node) = self.table.by_name(name) {
            self.shift_charges(name, None);
            self.table.remove(node);
        }
    }

    /// The pods that are on the node of this name, or are going there.
    pub(crate) fn pods_on(&self, name: &str) -> impl Iterator<Item = PodId> {
        self.placed_on.get(name).into_iter().flatten().copied()
    }

    /// Charges another node, or none, for all pods on the node of this name.
    fn shift_charges(&mut self, name: &Text, to: Option<NodeOrd>) {
        for id in self.placed_on.get(name).into_iter().flatten() {
            let Some(pod) = self.pods.get_mut(*id) else { continue };
            let Some(from) = pod
                .place
                .as_mut()
                .map(|place| std::mem::replace(&mut place.charged, to))
            else {
                continue;
            };
            let namespace = self.namespaces.get(&pod.record.namespace);
            if let Some(from) = from {
                self.table.remove_pod(from, pod.footprint(namespace));
            }
            if let Some(to) = to {
                pod.record.labels = self.table.add_pod(to, pod.footprint(namespace));
            }
        }
    }

    /// Takes in a namespace; says whether its labels changed.
    pub(crate) fn apply_namespace(&mut self, record: NamespaceRecord, seen: u32) -> bool {
        let changed = self.namespaces.get(&record.name) != Some(&record.labels);
        let name = record.name;
        let applied = self
            .namespaces
            .apply(&name, record.resource_version, seen, record.labels)
            && changed;
        if applied {
            self.table.set_namespace_labels(&name, self.namespaces.get(&name));
        }
        applied
    }

    /// Forgets a namespace; says whether there was one. Selectors find the pods that it leaves by its name only.
    pub(crate) fn remove_namespace(&mut self, name: &Text) -> bool {
        let known = self.namespaces.remove(name).is_some();
        if known {
            self.table.set_namespace_labels(name, None);
        }
        known
    }

    /// Takes in a service or a controller; says whether its selector is another than before.
    pub(crate) fn apply_owner(&mut self, record: SelectorOwnerRecord, seen: u32) -> bool {
        let name = ObjectName::new(&record.namespace, &record.name);
        let versions = &mut self.others[record.kind as usize];
        versions.apply(&name.path(), record.resource_version, seen, name) && self.owners.apply(record)
    }

    /// Takes in an object of a storage kind; says what of it is news.
    pub(crate) fn apply_storage(&mut self, object: StorageObject, seen: u32) -> Option<StorageEvent> {
        let (namespace, name, version) = object.identity();
        let name = ObjectName::new(&namespace, &name);
        let applied = self.others[object.kind() as usize].apply(&name.path(), version, seen, name);
        applied.then(|| self.table.volumes_mut().apply(object)).flatten()
    }

    /// Forgets a service or a controller; says whether it was known.
    pub(crate) fn remove_owner(&mut self, kind: Kind, namespace: &Text, name: &Text) -> bool {
        self.others[kind as usize].remove(&ObjectName::new(namespace, name).path());
        self.owners.remove(kind, namespace, name)
    }

    /// Forgets an object of a storage kind; says what of it is news.
    pub(crate) fn remove_storage(&mut self, kind: Kind, namespace: &Text, name: &Text) -> Option<StorageEvent> {
        self.others[kind as usize].remove(&ObjectName::new(namespace, name).path());
        self.table.volumes_mut().remove(kind, namespace, name)
    }

    /// A selector owner or an object of a storage kind is still there.
    pub(crate) fn mark_other(&mut self, kind: Kind, namespace: &Text, name: &Text, seen: u32) {
        self.others[kind as usize].mark(&ObjectName::new(namespace, name).path(), seen);
    }

    /// Namespaces and names of those not seen since list number `seen` began.
    pub(crate) fn others_unseen(&self, kind: Kind, seen: u32) -> Vec<ObjectName> {
        let versions = &self.others[kind as usize];
        let paths = versions.unseen(seen);
        paths.iter().filter_map(|path| versions.get(path)).cloned().collect()
    }

    /// Compares every node's columns with the pods on it.
    ///
    /// # Errors
    /// Names the first node and resource whose sum is off.
    pub(crate) fn check(&self) -> Result<(), String> {
        for node in self.table.live().iter() {
            let name = self.table.name(node);
            let pods = self
                .placed_on
                .get(name)
                .into_iter()
                .flatten()
                .filter_map(|id| self.pods.get(*id));
            let pods: Vec<&PodFacts> = pods.map(|pod| &pod.record).collect();
            for at in 0..self.table.n_resources() as u16 {
                let resource = ResourceOrd(at);
                let resource_name = self.table.resource_name(resource);
                let expected = pods
                    .iter()
                    .map(|pod| amount(pod, resource, resource_name))
                    .fold(0, i64::wrapping_add);
                let charged = self.table.requested(resource)[node.index()];
                if charged != expected {
                    return Err(format!(
                        "{name} is charged {charged} of {resource_name}, its pods use {expected}"
                    ));
                }
            }
        }
        let assumed = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.place.as_ref().is_some_and(|p| p.bind.is_some()))
            .count();
        if assumed != self.n_assumed {
            return Err(format!("{assumed} pods are assumed, {} are counted", self.n_assumed));
        }
        Ok(())
    }
}

fn amount(pod: &PodFacts, resource: ResourceOrd, name: &str) -> i64 {
    let requests = &pod.charge().requests;
    match resource {
        ResourceOrd::CPU => requests.milli_cpu,
        ResourceOrd::MEMORY => requests.memory,
        ResourceOrd::EPHEMERAL_STORAGE => requests.ephemeral_storage,
        ResourceOrd::PODS => 1,
        _ => requests.scalar(name),
    }
}
