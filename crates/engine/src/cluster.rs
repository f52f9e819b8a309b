//! The cluster as the engine knows it: nodes, everybody's pods and where they are, namespaces, priority classes.
//!
//! **Invariant:** what a node is charged equals the sum over the pods placed on it, assumed or assigned; checked by
//! [`Cluster::check`] after every step of the property tests.

use crate::pods::{Bind, Place, PodId, Pods, ShapeId, Shapes};
use muster_framework::Text;
use muster_framework::labels::Labels;
use muster_framework::plugin::PodToPlace;
use muster_framework::record::{NamespaceRecord, NodeRecord, PodRecord, PriorityClassRecord, ResourceVersion};
use muster_framework::resource::ResourceOrd;
use muster_framework::table::{Applied, NodeOrd, NodeTable};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

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

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(|kept| &kept.value)
    }
}

/// Whether news of version `new` is older than what is known: facts about an object never go back.
pub(crate) fn is_stale(new: ResourceVersion, known: ResourceVersion) -> bool {
    new != 0 && new < known
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
            placed_on: FxHashMap::default(),
            n_assumed: 0,
        }
    }

    /// How many pods have a bind that is not yet confirmed by a watch.
    pub(crate) fn n_assumed(&self) -> usize {
        self.n_assumed
    }

    /// The priority of a pod: as admission filled it in, else by its class, else by the default class, else 0.
    pub(crate) fn priority(&self, pod: &PodRecord) -> i32 {
        if let Some(priority) = pod.priority {
            return priority;
        }
        let class = match &pod.priority_class_name {
            Some(name) => self.priority_classes.get(name),
            None => self
                .priority_classes
                .values()
                .filter(|class| class.global_default)
                .max_by_key(|class| class.value),
        };
        class.map_or(0, |class| class.value)
    }

    /// Compiles the pod's spec, if that has not been done.
    pub(crate) fn compile(&mut self, id: PodId) {
        if let Some(shape) = self.pods.get(id).map(|pod| pod.shape) {
            self.shapes.compile(shape, &mut self.table);
        }
    }

    /// The pod as plugins see it; compile it before.
    pub(crate) fn to_place(&self, id: PodId) -> Option<PodToPlace<'_>> {
        let pod = self.pods.get(id)?;
        Some(PodToPlace {
            namespace: &pod.record.namespace,
            namespace_labels: self.namespaces.get(&pod.record.namespace),
            labels: &pod.record.labels,
            spec: &pod.record.spec,
            compiled: self.shapes.compiled(pod.shape)?,
        })
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
        if let Some(node) = charged {
            self.table.add_pod(node, pod.footprint());
        }
        self.n_assumed += usize::from(bind.is_some());
        self.placed_on.entry(node_name.clone()).or_default().insert(id);
    }

    /// Takes a pod off its node; gives the place that it had.
    pub(crate) fn unplace(&mut self, id: PodId) -> Option<Place> {
        let pod = self.pods.get_mut(id)?;
        let place = pod.place.take()?;
        if let Some(node) = place.charged {
            self.table.remove_pod(node, pod.footprint());
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
    pub(crate) fn replace(&mut self, id: PodId, mut record: PodRecord) -> Option<PodRecord> {
        let shape = self.shapes.acquire(&mut record.spec);
        let pod = self.pods.get_mut(id)?;
        let charged = pod.place.as_ref().and_then(|place| place.charged);
        if let Some(node) = charged {
            self.table.remove_pod(node, pod.footprint());
        }
        let old_shape = std::mem::replace(&mut pod.shape, shape);
        let old = std::mem::replace(&mut pod.record, record);
        if let Some(node) = charged {
            self.table.add_pod(node, pod.footprint());
        }
        self.shapes.release(old_shape, &mut self.table);
        Some(old)
    }

    /// Forgets a pod that has no place any more.
    pub(crate) fn forget(&mut self, id: PodId) {
        if let Some(pod) = self.pods.remove(id) {
            debug_assert!(pod.place.is_none());
            self.shapes.release(pod.shape, &mut self.table);
        }
    }

    /// Counts one more pod of a spec.
    pub(crate) fn acquire_shape(&mut self, record: &mut PodRecord) -> ShapeId {
        self.shapes.acquire(&mut record.spec)
    }

    /// Adds or changes a node, and charges it for the pods that are already on it.
    pub(crate) fn apply_node(&mut self, record: &NodeRecord) -> Applied {
        let applied = self.table.apply(record);
        for resource in &applied.new_resources {
            let name = self.table.resource_name(*resource).to_owned();
            for (_, pod) in self.pods.iter() {
                let amount = pod.record.charge.requests.scalar(&name);
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
            if let Some(from) = from {
                self.table.remove_pod(from, pod.footprint());
            }
            if let Some(to) = to {
                self.table.add_pod(to, pod.footprint());
            }
        }
    }

    /// Takes in a namespace; says whether its labels changed.
    pub(crate) fn apply_namespace(&mut self, record: NamespaceRecord, seen: u32) -> bool {
        let changed = self.namespaces.get(&record.name) != Some(&record.labels);
        self.namespaces
            .apply(&record.name, record.resource_version, seen, record.labels)
            && changed
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
            let pods: Vec<&PodRecord> = pods.map(|pod| &pod.record).collect();
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

fn amount(pod: &PodRecord, resource: ResourceOrd, name: &str) -> i64 {
    let requests = &pod.charge.requests;
    match resource {
        ResourceOrd::CPU => requests.milli_cpu,
        ResourceOrd::MEMORY => requests.memory,
        ResourceOrd::EPHEMERAL_STORAGE => requests.ephemeral_storage,
        ResourceOrd::PODS => 1,
        _ => requests.scalar(name),
    }
}
