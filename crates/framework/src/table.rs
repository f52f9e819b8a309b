//! The node table: a struct of arrays by dense [`NodeOrd`], the base that every plugin judges.
//!
//! Hot facts are integer columns, one per resource, padded to whole blocks of [`NodeSet`]. Labels become a column only
//! while some pod's selector reads their key: a requirement is then judged once per *distinct value* of the key. Taint
//! sets are interned, and judged once per distinct set. Names, label lists and host ports lie aside.
//!
//! Sums wrap on overflow, as upstream's do: so taking a pod off is the exact reverse of putting it on, whatever it asks.

use crate::Text;
use crate::change_log::{Change, ChangeLog};
use crate::distinct::Distinct;
use crate::event::NodeChanges;
use crate::image::{Images, PlacedImage};
use crate::labels::Labels;
use crate::node_set::{BLOCK_BITS, NodeSet};
use crate::record::{HostPort, NodeRecord, PodAffinityTerm, PodSpec, Protocol};
use crate::resource::{Charge, ResourceList, ResourceOrd};
use crate::rules::KubeMinor;
use crate::selection::{PlacedTerms, PodIdentity, Selection, SelectionOrd, Selections, TermKind, TermOrd, terms_of};
use crate::selector::{Operator, Requirement};
use crate::taint::Taint;
use crate::volume::Volumes;
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;
use std::hash::Hasher;

/// A node as its dense ordinal. Ordinals of deleted nodes are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeOrd(pub u32);

impl NodeOrd {
    /// The ordinal as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A label column by ordinal. Valid while whoever asked for it has not released it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnOrd(u32);

impl ColumnOrd {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The values of one label key over all nodes, as codes. Code 0 means that the node lacks the label.
#[derive(Debug, Default)]
pub struct LabelColumn {
    key: Text0,
    users: u32,
    codes: Vec<u32>,
    /// By code; None at 0 and where a code is free.
    values: Vec<Option<Text>>,
    nodes_with: Vec<u32>,
    free: Vec<u32>,
    by_value: FxHashMap<Text, u32>,
    n_labelled: usize,
}

/// A key that may not be there yet: lets a free column slot be `Default`.
type Text0 = Option<Text>;

impl LabelColumn {
    /// The code of the node's value.
    pub fn code(&self, node: NodeOrd) -> u32 {
        self.codes.get(node.index()).copied().unwrap_or(0)
    }

    /// The codes of all nodes, padded to whole blocks.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// One past the highest code.
    pub fn n_codes(&self) -> usize {
        self.values.len().max(1)
    }

    /// The value of a code; None for 0 and for codes that no node has.
    pub fn value(&self, code: u32) -> Option<&Text> {
        self.values.get(code as usize)?.as_ref()
    }

    /// The code of a value, if any node has it.
    pub fn code_of(&self, value: &str) -> Option<u32> {
        self.by_value.get(value).copied()
    }

    /// How many distinct values nodes have.
    pub fn n_values(&self) -> usize {
        self.by_value.len()
    }

    /// How many nodes have the label.
    pub fn n_labelled(&self) -> usize {
        self.n_labelled
    }

    /// The nodes of the block that begins at `first` whose code is good, lowest bit first; `good` has an entry by code.
    pub fn bits(&self, first: usize, good: &[bool]) -> usize {
        let codes = self.codes[first..first + BLOCK_BITS].iter().enumerate();
        codes.fold(0, |bits, (at, code)| bits | usize::from(good[*code as usize]) << at)
    }

    /// The nodes of the block that begins at `first` that have the label, lowest bit first.
    pub fn labelled_bits(&self, first: usize) -> usize {
        let codes = self.codes[first..first + BLOCK_BITS].iter().enumerate();
        codes.fold(0, |bits, (at, code)| bits | usize::from(*code != 0) << at)
    }

    /// For every code, whether a node with that value satisfies `requirement`: one evaluation per distinct value.
    pub fn judge(&self, requirement: &Requirement) -> Vec<bool> {
        let n_codes = self.n_codes();
        let (listed, others) = match requirement.operator {
            // The values of a hostname are as many as nodes: they are looked up, not gone through.
            Operator::In => (true, false),
            Operator::NotIn => (false, true),
            _ => {
                let of_code = |code| requirement.matches(self.value(code as u32).map(|value| &**value));
                return (0..n_codes).map(of_code).collect();
            }
        };
        let mut verdicts = vec![others; n_codes];
        for code in requirement.values.iter().filter_map(|value| self.code_of(value)) {
            verdicts[code as usize] = listed;
        }
        verdicts
    }

    /// Gives the codes before and after.
    fn set(&mut self, node: NodeOrd, value: Option<&Text>) -> (u32, u32) {
        let new = value.map_or(0, |value| self.acquire(value));
        let old = std::mem::replace(&mut self.codes[node.index()], new);
        self.n_labelled += usize::from(new != 0);
        self.n_labelled -= usize::from(old != 0);
        if old != 0 {
            self.release(old);
        }
        (old, new)
    }

    fn acquire(&mut self, value: &Text) -> u32 {
        if let Some(&code) = self.by_value.get(value) {
            self.nodes_with[code as usize] += 1;
            return code;
        }
        if self.values.is_empty() {
            self.values.push(None);
            self.nodes_with.push(0);
        }
        let code = self.free.pop().unwrap_or_else(|| {
            self.values.push(None);
            self.nodes_with.push(0);
            (self.values.len() - 1) as u32
        });
        self.values[code as usize] = Some(value.clone());
        self.nodes_with[code as usize] = 1;
        self.by_value.insert(value.clone(), code);
        code
    }

    fn release(&mut self, code: u32) {
        let count = &mut self.nodes_with[code as usize];
        *count -= 1;
        if *count == 0
            && let Some(value) = self.values[code as usize].take()
        {
            self.by_value.remove(&value);
            self.free.push(code);
        }
    }
}

/// What [`NodeTable::apply`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The node's ordinal.
    pub node: NodeOrd,
    /// Whether it was not there before.
    pub added: bool,
    /// What changed for the better, when it was there before.
    pub changes: NodeChanges,
    /// Resources that no node had before: pods that already use them must be charged for them anew.
    pub new_resources: Vec<ResourceOrd>,
}

/// All nodes.
#[derive(Debug, Default)]
pub struct NodeTable {
    names: Vec<Option<Text>>,
    name_hashes: Vec<u64>,
    by_name: FxHashMap<Text, NodeOrd>,
    free: Vec<NodeOrd>,
    live: NodeSet,
    unschedulable: NodeSet,
    labels: Vec<Labels>,
    taint_set: Vec<u32>,
    taint_sets: Distinct<Taint>,
    resource_names: Vec<Text>,
    resource_by_name: FxHashMap<Text, ResourceOrd>,
    allocatable: Vec<Vec<i64>>,
    /// 100 divided by what is allocatable, 0 where that is nothing: scores multiply by it instead of dividing.
    hundred_by_allocatable: Vec<Vec<f64>>,
    requested: Vec<Vec<i64>>,
    scoring_requested: [Vec<i64>; 2],
    columns: Vec<LabelColumn>,
    columns_by_key: FxHashMap<Text, ColumnOrd>,
    free_columns: Vec<ColumnOrd>,
    ports: FxHashMap<NodeOrd, Vec<HostPort>>,
    /// Nodes where a port is in use, at whatever address.
    nodes_by_port: FxHashMap<(Protocol, u16), NodeSet>,
    selections: Selections,
    terms: PlacedTerms,
    images: Images,
    feature_set: Vec<u32>,
    feature_sets: Distinct<Text>,
    volumes: Volumes,
    changes: u64,
    log: ChangeLog,
    /// How often it has changed which nodes have which image, or how many nodes there are.
    image_changes: u64,
    /// How many specs have been compiled.
    compiled: u64,
}

// ---- reading -----------------------------------------------------------------------------------------------------

impl NodeTable {
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// All nodes.
    pub fn live(&self) -> &NodeSet {
        &self.live
    }

    /// One past the highest ordinal that a column covers: a multiple of [`BLOCK_BITS`].
    pub fn padded_len(&self) -> usize {
        self.names.len().next_multiple_of(BLOCK_BITS)
    }

    /// The node of this name.
    pub fn by_name(&self, name: &str) -> Option<NodeOrd> {
        self.by_name.get(name).copied()
    }

    /// What is known of a live node, but for its version: applied to another table, it makes the same node.
    ///
    /// # Panics
    /// As those of [`NodeTable::name`].
    pub fn record(&self, node: NodeOrd) -> NodeRecord {
        let at = node.index();
        let amount = |resource: ResourceOrd| self.allocatable[resource.index()][at];
        let extended = self
            .resource_names
            .iter()
            .zip(&self.allocatable)
            .skip(ResourceOrd::FIXED);
        let mut scalars: Vec<(Text, i64)> = extended
            .filter(|(_, column)| column[at] != 0)
            .map(|(name, column)| (name.clone(), column[at]))
            .collect();
        scalars.sort();
        NodeRecord {
            name: self.name(node).clone(),
            resource_version: 0,
            labels: self.labels[at].clone(),
            taints: self.taint_sets().nth(self.taint_set(node)).unwrap_or_default().to_vec(),
            unschedulable: self.unschedulable.contains(node),
            allocatable: ResourceList {
                milli_cpu: amount(ResourceOrd::CPU),
                memory: amount(ResourceOrd::MEMORY),
                ephemeral_storage: amount(ResourceOrd::EPHEMERAL_STORAGE),
                scalars,
            },
            allowed_pods: amount(ResourceOrd::PODS),
            images: self.images.of(node).collect(),
            declared_features: self.declared_features(node).into(),
        }
    }

    /// The name of a live node.
    ///
    /// # Panics
    /// The node is gone: ordinals must not be kept beyond the deletion of their node.
    pub fn name(&self, node: NodeOrd) -> &Text {
        self.names[node.index()].as_ref().expect("the ordinal of a live node")
    }

    /// A hash of the node's name, for breaking ties by content.
    pub fn name_hash(&self, node: NodeOrd) -> u64 {
        self.name_hashes[node.index()]
    }

    /// The labels of a node.
    pub fn labels(&self, node: NodeOrd) -> &Labels {
        &self.labels[node.index()]
    }

    /// Nodes that are cordoned.
    pub fn unschedulable(&self) -> &NodeSet {
        &self.unschedulable
    }

    /// The id of a node's taint set: an index into [`NodeTable::taint_sets`].
    pub fn taint_set(&self, node: NodeOrd) -> usize {
        self.taint_set[node.index()] as usize
    }

    /// The ids of all nodes' taint sets, by ordinal; those of nodes that are gone mean nothing.
    pub fn taint_set_ids(&self) -> &[u32] {
        &self.taint_set
    }

    /// The distinct taint sets by id; ids that are free have no taints.
    pub fn taint_sets(&self) -> impl ExactSizeIterator<Item = &[Taint]> {
        self.taint_sets.iter()
    }

    /// The column of a resource, if any node has it.
    pub fn resource(&self, name: &str) -> Option<ResourceOrd> {
        self.resource_by_name.get(name).copied()
    }

    /// The name of a resource.
    pub fn resource_name(&self, resource: ResourceOrd) -> &str {
        &self.resource_names[resource.index()]
    }

    /// How many resources have a column. It only grows, so it tells whether something compiled earlier is stale.
    pub fn n_resources(&self) -> usize {
        self.resource_names.len()
    }

    /// What nodes have of a resource, by ordinal, padded to whole blocks.
    pub fn allocatable(&self, resource: ResourceOrd) -> &[i64] {
        &self.allocatable[resource.index()]
    }

    /// 100 divided by what nodes have of a resource, 0 where they have nothing, by ordinal, padded to whole blocks.
    pub fn hundred_by_allocatable(&self, resource: ResourceOrd) -> &[f64] {
        &self.hundred_by_allocatable[resource.index()]
    }

    /// What pods on the nodes use of a resource, by ordinal, padded to whole blocks.
    pub fn requested(&self, resource: ResourceOrd) -> &[i64] {
        &self.requested[resource.index()]
    }

    /// What pods on the node use of CPU (thousandths) and memory (bytes) when nodes are scored.
    pub fn scoring_requested(&self, node: NodeOrd) -> [i64; 2] {
        [
            self.scoring_requested[0][node.index()],
            self.scoring_requested[1][node.index()],
        ]
    }

    /// The same as columns: CPU, then memory, by ordinal, padded to whole blocks.
    pub fn scoring_columns(&self) -> [&[i64]; 2] {
        [&self.scoring_requested[0], &self.scoring_requested[1]]
    }

    /// Host ports in use on a node.
    pub fn ports(&self, node: NodeOrd) -> &[HostPort] {
        self.ports.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Nodes where a port is in use, at whatever address.
    pub fn nodes_with_port(&self, protocol: Protocol, port: u16) -> Option<&NodeSet> {
        self.nodes_by_port.get(&(protocol, port))
    }

    /// Whether pods are placed that have required anti-affinity.
    pub fn has_anti_affinity(&self) -> bool {
        self.terms.has_anti_affinity()
    }

    /// Whether pods with required anti-affinity are on the node.
    pub fn has_anti_affinity_on(&self, node: NodeOrd) -> bool {
        self.terms.has_anti_affinity_on(node)
    }

    /// Whether some selection counts the pod: then it matters to somebody where it is.
    pub fn is_counted(&self, pod: &PodIdentity<'_>) -> bool {
        !self.selections.selecting(pod).is_empty()
    }

    /// Whether a selection or a term of a placed pod looks at pods at all: then labels matter to somebody.
    pub fn looks_at_pods(&self) -> bool {
        !self.selections.is_idle() || !self.terms.is_empty()
    }

    /// The image of this name, if a node has it.
    pub fn image(&self, name: &str) -> Option<&PlacedImage> {
        self.images.get(name)
    }

    /// The features that a node declares, sorted.
    pub fn declared_features(&self, node: NodeOrd) -> &[Text] {
        self.feature_sets.get(self.feature_set[node.index()])
    }

    /// The ids of all nodes' feature sets, by ordinal: indices into [`NodeTable::feature_sets`].
    pub fn feature_set_ids(&self) -> &[u32] {
        &self.feature_set
    }

    /// The distinct sets of declared features by id, each sorted.
    pub fn feature_sets(&self) -> impl ExactSizeIterator<Item = &[Text]> {
        self.feature_sets.iter()
    }

    /// The bytes of the columns that a decision reads, for all nodes: amounts, sets and codes by node.
    pub fn hot_bytes(&self) -> usize {
        let amounts = self
            .allocatable
            .iter()
            .chain(&self.requested)
            .chain(&self.scoring_requested);
        let amounts: usize = amounts.map(|column| 8 * column.len()).sum();
        let inverse: usize = self.hundred_by_allocatable.iter().map(|column| 8 * column.len()).sum();
        let codes: usize = self.columns.iter().map(|column| size_of_val(column.codes())).sum();
        let names = size_of_val(&*self.names) + size_of_val(&*self.name_hashes) + size_of_val(&*self.labels);
        amounts + inverse + codes + names + size_of_val(&*self.taint_set) + size_of_val(&*self.feature_set)
    }

    /// Volumes, claims, and what is known of storage.
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// The same, to be changed.
    pub fn volumes_mut(&mut self) -> &mut Volumes {
        self.changes += 1;
        &mut self.volumes
    }

    /// Grows with whatever may change what a view tells: whoever judged nodes in several turns sees whether they are
    /// still what they were.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many changes of single nodes there have been: what is judged now is valid as of this position.
    pub fn position(&self) -> u64 {
        self.log.position()
    }

    /// The nodes that have changed from `position` on, oldest change first. None: these are too many to be kept.
    pub fn changed_since(&self, position: u64) -> Option<impl Iterator<Item = Change>> {
        self.log.since(position)
    }

    /// Grows when it changes which nodes have which image, or how many nodes there are.
    pub fn image_changes(&self) -> u64 {
        self.image_changes
    }

    /// Grows when pods of a selection are counted anew everywhere, because a namespace has other labels.
    pub fn recounts(&self) -> u64 {
        self.selections.recounts()
    }

    /// The selections and terms of placed pods that speak of a pod, by numbers that are never used again: pods of one
    /// compiled spec that the same ones speak of are twins to every plugin that reads labels or namespaces.
    pub fn who_speaks_of(&self, pod: &PodIdentity<'_>) -> SmallVec<[u64; 8]> {
        let mut serials: SmallVec<[u64; 8]> = SmallVec::new();
        if self.looks_at_pods() {
            self.selections
                .selecting(pod)
                .iter()
                .for_each(|ord| serials.push(self.selections.serial(*ord)));
            // Between the selections and the terms: 0 is nobody's number.
            serials.push(0);
            self.terms
                .selecting(pod)
                .iter()
                .for_each(|ord| serials.push(self.terms.serial(*ord)));
        }
        serials
    }

    /// The number of a selection, which is never used again.
    pub fn serial_of(&self, selection: SelectionOrd) -> u64 {
        self.selections.serial(selection)
    }

    /// A number for a compiled spec, which is never used again.
    pub(crate) fn next_compiled(&mut self) -> u64 {
        self.compiled += 1;
        self.compiled
    }

    /// A label column.
    pub fn column(&self, column: ColumnOrd) -> &LabelColumn {
        &self.columns[column.0 as usize]
    }

    /// The column of a label, if somebody has asked for one.
    pub fn column_of(&self, key: &str) -> Option<ColumnOrd> {
        self.columns_by_key.get(key).copied()
    }
}

// ---- nodes come, change and go -----------------------------------------------------------------------------------

impl NodeTable {
    /// An empty table with the four fixed resources.
    pub fn new() -> NodeTable {
        let mut table = NodeTable::default();
        for name in ["cpu", "memory", "ephemeral-storage", "pods"] {
            table.add_resource(&Text::from(name));
        }
        table
    }

    fn add_resource(&mut self, name: &Text) -> ResourceOrd {
        let resource = ResourceOrd(self.resource_names.len() as u16);
        self.resource_names.push(name.clone());
        self.resource_by_name.insert(name.clone(), resource);
        self.allocatable.push(vec![0; self.padded_len()]);
        self.hundred_by_allocatable.push(vec![0.0; self.padded_len()]);
        self.requested.push(vec![0; self.padded_len()]);
        resource
    }

    /// Adds a node or changes it.
    pub fn apply(&mut self, record: &NodeRecord) -> Applied {
        self.changes += 1;
        let mut new_resources = Vec::new();
        for (name, _) in &record.allocatable.scalars {
            if !self.resource_by_name.contains_key(name) && self.resource_names.len() < usize::from(u16::MAX) {
                new_resources.push(self.add_resource(name));
            }
        }
        let (node, added) = match self.by_name.get(&record.name) {
            Some(&node) => (node, false),
            None => (self.add_slot(&record.name), true),
        };
        let [amounts_grew, amounts_changed] = self.set_allocatable(node, &record.allocatable, record.allowed_pods);
        let mut changes = NodeChanges {
            allocatable: amounts_grew,
            labels: self.set_labels(node, &record.labels),
            taints: self.set_taints(node, &record.taints),
            features: self.set_features(node, &record.declared_features),
            uncordoned: !record.unschedulable && self.unschedulable.contains(node),
        };
        let images_changed = self.images.set(node, &record.images);
        self.image_changes += u64::from(images_changed || added);
        let cordoned = record.unschedulable && !self.unschedulable.contains(node);
        if record.unschedulable {
            self.unschedulable.insert(node);
        } else {
            self.unschedulable.remove(node);
        }
        let others = [
            changes.labels,
            changes.taints,
            changes.features,
            changes.uncordoned,
            cordoned,
        ];
        if added || amounts_changed || images_changed || others.contains(&true) {
            self.log.note(Change { node, record: true });
        }
        if added {
            changes = NodeChanges::default();
        }
        Applied {
            node,
            added,
            changes,
            new_resources,
        }
    }

    /// Takes a node out. The caller has taken its pods off before.
    pub fn remove(&mut self, node: NodeOrd) {
        let at = node.index();
        let Some(name) = self.names[at].take() else { return };
        self.changes += 1;
        self.image_changes += 1;
        self.log.note(Change { node, record: true });
        debug_assert!(
            self.requested.iter().all(|column| column[at] == 0),
            "pods are taken off {name} before it goes"
        );
        self.by_name.remove(&name);
        self.volumes.node_removed(&name);
        self.live.remove(node);
        self.unschedulable.remove(node);
        self.set_labels(node, &Labels::default());
        self.images.set(node, &[]);
        self.feature_sets.release(self.feature_set[at]);
        self.taint_sets.release(self.taint_set[at]);
        for column in &mut self.allocatable {
            column[at] = 0;
        }
        for column in &mut self.hundred_by_allocatable {
            column[at] = 0.0;
        }
        self.free.push(node);
    }

    fn add_slot(&mut self, name: &Text) -> NodeOrd {
        let node = self.free.pop().unwrap_or_else(|| {
            self.names.push(None);
            self.name_hashes.push(0);
            self.labels.push(Labels::default());
            self.taint_set.push(0);
            self.feature_set.push(0);
            NodeOrd((self.names.len() - 1) as u32)
        });
        let padded = self.padded_len();
        let columns = self
            .allocatable
            .iter_mut()
            .chain(&mut self.requested)
            .chain(&mut self.scoring_requested);
        for column in columns.filter(|column| column.len() < padded) {
            column.resize(padded, 0);
        }
        for column in self
            .hundred_by_allocatable
            .iter_mut()
            .filter(|column| column.len() < padded)
        {
            column.resize(padded, 0.0);
        }
        // A node without labels sets no code, but filters read whole blocks of them.
        let labels = self.columns.iter_mut().filter(|column| column.key.is_some());
        for column in labels.filter(|column| column.codes.len() < padded) {
            column.codes.resize(padded, 0);
        }
        self.names[node.index()] = Some(name.clone());
        self.name_hashes[node.index()] = hash_name(name);
        self.taint_set[node.index()] = self.taint_sets.acquire(&[]);
        self.feature_set[node.index()] = self.feature_sets.acquire(&[]);
        self.by_name.insert(name.clone(), node);
        self.volumes.node_added(node, name);
        self.live.insert(node);
        node
    }

    /// Sets what a node has; says whether any amount grew, and whether any changed.
    fn set_allocatable(&mut self, node: NodeOrd, amounts: &ResourceList, allowed_pods: i64) -> [bool; 2] {
        let (mut grew, mut changed) = (false, false);
        for (at, column) in self.allocatable.iter_mut().enumerate() {
            let amount = match ResourceOrd(at as u16) {
                ResourceOrd::CPU => amounts.milli_cpu,
                ResourceOrd::MEMORY => amounts.memory,
                ResourceOrd::EPHEMERAL_STORAGE => amounts.ephemeral_storage,
                ResourceOrd::PODS => allowed_pods,
                _ => amounts.scalar(&self.resource_names[at]),
            };
            grew |= amount > column[node.index()];
            changed |= amount != column[node.index()];
            column[node.index()] = amount;
            self.hundred_by_allocatable[at][node.index()] = if amount == 0 { 0.0 } else { 100.0 / amount as f64 };
        }
        [grew, changed]
    }

    fn set_labels(&mut self, node: NodeOrd, labels: &Labels) -> bool {
        if self.labels[node.index()] == *labels {
            return false;
        }
        for (at, column) in self.columns.iter_mut().enumerate() {
            if let Some(key) = &column.key {
                let (old, new) = column.set(node, labels.get(key));
                if old != new && self.requested[ResourceOrd::PODS.index()][node.index()] != 0 {
                    let n_codes = column.n_codes();
                    self.selections.move_node(ColumnOrd(at as u32), node, old, new, n_codes);
                    self.terms.move_node(ColumnOrd(at as u32), node, old, new, n_codes);
                }
            }
        }
        self.labels[node.index()] = labels.clone();
        true
    }

    fn set_features(&mut self, node: NodeOrd, features: &[Text]) -> bool {
        let id = self.feature_sets.acquire(features);
        let old = std::mem::replace(&mut self.feature_set[node.index()], id);
        self.feature_sets.release(old);
        old != id
    }

    fn set_taints(&mut self, node: NodeOrd, taints: &[Taint]) -> bool {
        let id = self.taint_sets.acquire(taints);
        let old = std::mem::replace(&mut self.taint_set[node.index()], id);
        self.taint_sets.release(old);
        old != id
    }
}

fn hash_name(name: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(name.as_bytes());
    hasher.finish()
}

// ---- label columns -----------------------------------------------------------------------------------------------

impl NodeTable {
    /// Makes sure that there is a column for the label `key`, and counts one more user of it.
    pub fn acquire_column(&mut self, key: &Text) -> ColumnOrd {
        if let Some(&column) = self.columns_by_key.get(key) {
            self.columns[column.0 as usize].users += 1;
            return column;
        }
        let mut column = LabelColumn {
            key: Some(key.clone()),
            users: 1,
            ..LabelColumn::default()
        };
        column.codes = vec![0; self.padded_len()];
        for node in self.live.iter() {
            if let Some(value) = self.labels[node.index()].get(key) {
                column.set(node, Some(value));
            }
        }
        let ord = match self.free_columns.pop() {
            Some(ord) => {
                self.columns[ord.0 as usize] = column;
                ord
            }
            None => {
                self.columns.push(column);
                ColumnOrd((self.columns.len() - 1) as u32)
            }
        };
        self.columns_by_key.insert(key.clone(), ord);
        ord
    }

    /// Counts one user less; the column goes with its last user.
    pub fn release_column(&mut self, ord: ColumnOrd) {
        let column = &mut self.columns[ord.0 as usize];
        column.users -= 1;
        if column.users == 0
            && let Some(key) = column.key.take()
        {
            *column = LabelColumn::default();
            self.columns_by_key.remove(&key);
            self.free_columns.push(ord);
        }
    }
}

// ---- pods on nodes -----------------------------------------------------------------------------------------------

/// What a pod occupies on the node that it is on, and what others see of it there.
#[derive(Debug, Clone, Copy)]
pub struct Footprint<'a> {
    /// What selectors see of it.
    pub identity: PodIdentity<'a>,
    /// The amounts that it takes.
    pub charge: &'a Charge,
    /// Its spec: host ports, terms, volumes.
    pub spec: &'a PodSpec,
}

impl NodeTable {
    /// Puts a pod on a node. Gives its labels as its twins have them: whoever keeps these shares them.
    pub fn add_pod(&mut self, node: NodeOrd, pod: Footprint<'_>) -> Labels {
        self.changes += 1;
        self.log.note(Change { node, record: false });
        self.shift(node, pod.charge, 1);
        self.add_ports(node, &pod.spec.host_ports);
        let n_nodes = self.names.len();
        let labels = self.selections.add_pod(node, &pod.identity, &self.columns, n_nodes);
        for (kind, term) in terms_of(pod.spec) {
            let ord = self.intern_term(kind, term);
            self.terms.add_bearer(ord, node, &self.columns, n_nodes);
        }
        if let Some(name) = self.names[node.index()]
            .as_ref()
            .filter(|_| !pod.spec.volumes.is_empty())
        {
            self.volumes.add_pod(name, &pod.spec.volumes);
        }
        labels
    }

    /// Takes a pod off a node: the exact reverse of [`NodeTable::add_pod`].
    pub fn remove_pod(&mut self, node: NodeOrd, pod: Footprint<'_>) {
        self.changes += 1;
        self.log.note(Change { node, record: false });
        self.shift(node, pod.charge, -1);
        self.remove_ports(node, &pod.spec.host_ports);
        self.selections.remove_pod(node, &pod.identity, &self.columns);
        for (kind, term) in terms_of(pod.spec) {
            let Some(ord) = self.terms.find(kind, term) else {
                continue;
            };
            if let Some(column) = self.terms.remove_bearer(ord, node, &self.columns) {
                self.release_column(column);
            }
        }
        if let Some(name) = self.names[node.index()]
            .as_ref()
            .filter(|_| !pod.spec.volumes.is_empty())
        {
            self.volumes.remove_pod(name, &pod.spec.volumes);
        }
    }

    fn add_ports(&mut self, node: NodeOrd, ports: &[HostPort]) {
        if ports.is_empty() {
            return;
        }
        self.ports.entry(node).or_default().extend_from_slice(ports);
        for port in ports {
            let nodes = self.nodes_by_port.entry((port.protocol, port.port)).or_default();
            nodes.insert(node);
        }
    }

    fn remove_ports(&mut self, node: NodeOrd, ports: &[HostPort]) {
        let Some(used) = self.ports.get_mut(&node) else { return };
        for port in ports {
            if let Some(at) = used.iter().position(|p| p == port) {
                used.swap_remove(at);
            }
            let key = (port.protocol, port.port);
            if !used.iter().any(|p| (p.protocol, p.port) == key)
                && let Some(nodes) = self.nodes_by_port.get_mut(&key)
            {
                nodes.remove(node);
                if nodes.is_empty() {
                    self.nodes_by_port.remove(&key);
                }
            }
        }
        if used.is_empty() {
            self.ports.remove(&node);
        }
    }

    /// Charges the pods on a node `amount` more of a resource that had no column when they were put there.
    pub fn charge_new_resource(&mut self, node: NodeOrd, resource: ResourceOrd, amount: i64) {
        self.log.note(Change { node, record: false });
        let sum = &mut self.requested[resource.index()][node.index()];
        *sum = sum.wrapping_add(amount);
    }

    fn shift(&mut self, node: NodeOrd, charge: &Charge, sign: i64) {
        let at = node.index();
        for_each_amount(self, charge, |requested, resource, amount| {
            let sum = &mut requested[resource.index()][at];
            *sum = sum.wrapping_add(amount.wrapping_mul(sign));
        });
        for (column, amount) in self
            .scoring_requested
            .iter_mut()
            .zip([charge.scoring_milli_cpu, charge.scoring_memory])
        {
            column[at] = column[at].wrapping_add(amount.wrapping_mul(sign));
        }
    }
}

fn for_each_amount(table: &mut NodeTable, charge: &Charge, mut each: impl FnMut(&mut [Vec<i64>], ResourceOrd, i64)) {
    let NodeTable {
        requested,
        resource_by_name,
        ..
    } = table;
    each(requested, ResourceOrd::PODS, 1);
    each(requested, ResourceOrd::CPU, charge.requests.milli_cpu);
    each(requested, ResourceOrd::MEMORY, charge.requests.memory);
    each(
        requested,
        ResourceOrd::EPHEMERAL_STORAGE,
        charge.requests.ephemeral_storage,
    );
    for (name, amount) in &charge.requests.scalars {
        if let Some(&resource) = resource_by_name.get(name) {
            each(requested, resource, *amount);
        }
    }
}

// ---- selections and terms ----------------------------------------------------------------------------------------

impl NodeTable {
    /// Reads the namespace selectors of pods to be placed as this minor does. To be said before anything is compiled.
    pub fn follow(&mut self, minor: KubeMinor) {
        self.selections.follow(minor);
    }

    /// Makes sure that a selection is counted by node and by the domains of `columns`, and counts one more user of it.
    pub fn acquire_selection(&mut self, selection: Selection, columns: &[ColumnOrd]) -> SelectionOrd {
        let ord = self.selections.acquire(selection, &self.columns, self.names.len());
        for column in columns {
            if !self.selections.watches(ord, *column) {
                // The counts by domain live as long as the selection, so it is a user of the column itself.
                self.columns[column.index()].users += 1;
                self.selections.watch(ord, *column, &self.columns);
            }
        }
        ord
    }

    /// Counts one user less of a selection.
    pub fn release_selection(&mut self, ord: SelectionOrd) {
        for column in self.selections.release(ord) {
            self.release_column(column);
        }
    }

    /// A namespace has been seen with these labels, or is gone (None): what speaks of pods by the labels of their
    /// namespace is counted anew.
    pub fn set_namespace_labels(&mut self, namespace: &str, labels: Option<&Labels>) {
        self.changes += 1;
        let n_nodes = self.names.len();
        self.selections
            .set_namespace_labels(namespace, labels, &self.columns, n_nodes);
    }

    /// The term, interned: it exists from now on, borne or not, until its last user and bearer are gone.
    fn intern_term(&mut self, kind: TermKind, term: &PodAffinityTerm) -> TermOrd {
        match self.terms.find(kind, term) {
            Some(ord) => ord,
            None => {
                let column = self.acquire_column(&term.topology_key);
                self.terms.insert(kind, term.clone(), column, &self.columns)
            }
        }
    }

    pub(crate) fn acquire_term(&mut self, kind: TermKind, term: &PodAffinityTerm) -> TermOrd {
        let ord = self.intern_term(kind, term);
        self.terms.use_more(ord);
        ord
    }

    pub(crate) fn release_term(&mut self, ord: TermOrd) {
        if let Some(column) = self.terms.use_less(ord) {
            self.release_column(column);
        }
    }

    pub(crate) fn selections(&self) -> &Selections {
        &self.selections
    }

    pub(crate) fn terms(&self) -> &PlacedTerms {
        &self.terms
    }
}
