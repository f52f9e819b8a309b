//! What plugins read: the base (the node table) and a delta over it.
//!
//! A plan is a delta: pods added to nodes, or taken off them, that nobody else sees. Committing it puts the pods in the
//! table; dropping it frees memory and leaves no trace. Property (tested in `muster-plugins`): judging on base ⊕ delta
//! equals judging on the base after the delta is applied.

use crate::Text;
use crate::labels::Labels;
use crate::node_set::NodeSet;
use crate::record::{HostPort, PodAffinityTerm};
use crate::resource::ResourceOrd;
use crate::table::{Footprint, NodeOrd, NodeTable};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

/// How one node differs from the base.
#[derive(Debug, Default, Clone)]
struct Row {
    amounts: SmallVec<[(ResourceOrd, i64); 4]>,
    scoring: [i64; 2],
    ports_added: Vec<HostPort>,
    ports_removed: Vec<HostPort>,
}

/// Pods added and removed, over the base.
#[derive(Debug, Default, Clone)]
pub struct Delta {
    rows: FxHashMap<NodeOrd, Row>,
    /// Keys of `rows` in the order in which they came: iteration must not depend on hashing.
    touched: Vec<NodeOrd>,
    /// Anti-affinity terms added (+1) and removed (-1).
    terms: Vec<(PodAffinityTerm, NodeOrd, i32)>,
}

impl Delta {
    /// Puts a pod on a node.
    pub fn add(&mut self, table: &NodeTable, node: NodeOrd, pod: Footprint<'_>) {
        self.shift(table, node, pod, 1);
    }

    /// Takes a pod off a node.
    pub fn remove(&mut self, table: &NodeTable, node: NodeOrd, pod: Footprint<'_>) {
        self.shift(table, node, pod, -1);
    }

    /// Whether nothing differs from the base.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    fn shift(&mut self, table: &NodeTable, node: NodeOrd, pod: Footprint<'_>, sign: i64) {
        let touched = &mut self.touched;
        let row = self.rows.entry(node).or_insert_with(|| {
            touched.push(node);
            Row::default()
        });
        let requests = &pod.charge.requests;
        let fixed = [
            (ResourceOrd::PODS, 1),
            (ResourceOrd::CPU, requests.milli_cpu),
            (ResourceOrd::MEMORY, requests.memory),
            (ResourceOrd::EPHEMERAL_STORAGE, requests.ephemeral_storage),
        ];
        let scalars = requests
            .scalars
            .iter()
            .filter_map(|(name, amount)| Some((table.resource(name)?, *amount)));
        for (resource, amount) in fixed.into_iter().chain(scalars).filter(|(_, amount)| *amount != 0) {
            match row.amounts.iter_mut().find(|(r, _)| *r == resource) {
                Some((_, sum)) => *sum = sum.wrapping_add(amount.wrapping_mul(sign)),
                None => row.amounts.push((resource, amount.wrapping_mul(sign))),
            }
        }
        for (sum, amount) in row
            .scoring
            .iter_mut()
            .zip([pod.charge.scoring_milli_cpu, pod.charge.scoring_memory])
        {
            *sum = sum.wrapping_add(amount.wrapping_mul(sign));
        }
        if sign > 0 {
            &mut row.ports_added
        } else {
            &mut row.ports_removed
        }
        .extend_from_slice(pod.ports);
        self.terms
            .extend(pod.anti_affinity.iter().map(|term| (term.clone(), node, sign as i32)));
    }
}

/// Base ⊕ delta.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    table: &'a NodeTable,
    delta: &'a Delta,
}

impl<'a> View<'a> {
    /// A view of `table` as `delta` changes it.
    pub fn new(table: &'a NodeTable, delta: &'a Delta) -> View<'a> {
        View { table, delta }
    }

    /// The base. Facts that a delta cannot change (names, labels, taints, allocatable amounts) are read there.
    pub fn table(&self) -> &'a NodeTable {
        self.table
    }

    /// Nodes whose pods differ from the base.
    pub fn touched(&self) -> &'a [NodeOrd] {
        &self.delta.touched
    }

    /// What pods on the node use of a resource.
    pub fn requested(&self, node: NodeOrd, resource: ResourceOrd) -> i64 {
        let base = self.table.requested(resource)[node.index()];
        match self.delta.rows.get(&node) {
            Some(row) => base.wrapping_add(
                row.amounts
                    .iter()
                    .find(|(r, _)| *r == resource)
                    .map_or(0, |(_, amount)| *amount),
            ),
            None => base,
        }
    }

    /// What is left of a resource on the node; negative where it is over-committed.
    pub fn free(&self, node: NodeOrd, resource: ResourceOrd) -> i64 {
        self.table.allocatable(resource)[node.index()].wrapping_sub(self.requested(node, resource))
    }

    /// What pods on the node use of CPU (thousandths) and memory (bytes) when nodes are scored.
    pub fn scoring_requested(&self, node: NodeOrd) -> [i64; 2] {
        let [cpu, memory] = self.table.scoring_requested(node);
        match self.delta.rows.get(&node) {
            Some(row) => [cpu.wrapping_add(row.scoring[0]), memory.wrapping_add(row.scoring[1])],
            None => [cpu, memory],
        }
    }

    /// Whether one of `wanted` conflicts with a host port in use on the node.
    pub fn ports_conflict(&self, node: NodeOrd, wanted: &[HostPort]) -> bool {
        let row = self.delta.rows.get(&node);
        let added = row.map_or(&[][..], |row| &row.ports_added);
        let mut removed: SmallVec<[&HostPort; 4]> = row.iter().flat_map(|row| &row.ports_removed).collect();
        self.table.ports(node).iter().chain(added).any(|used| {
            if let Some(at) = removed.iter().position(|r| *r == used) {
                removed.swap_remove(at);
                return false;
            }
            wanted.iter().any(|w| w.conflicts(used))
        })
    }

    /// Nodes where host ports may be in use: the only ones that [`View::ports_conflict`] can be true for.
    pub fn nodes_with_ports(&self) -> NodeSet {
        let touched = self
            .touched()
            .iter()
            .filter(|n| self.delta.rows.get(n).is_some_and(|r| !r.ports_added.is_empty()));
        self.table.nodes_with_ports().chain(touched.copied()).collect()
    }

    /// The nodes that required anti-affinity of pods already placed bars for a pod with these labels, in this namespace.
    pub fn barred_by_anti_affinity(
        &self,
        namespace: &str,
        namespace_labels: Option<&Labels>,
        labels: &Labels,
    ) -> NodeSet {
        let mut barred = NodeSet::default();
        let mut domains: FxHashMap<&Text, FxHashSet<&Text>> = FxHashMap::default();
        let mut bar = |term: &'a PodAffinityTerm, node: NodeOrd| {
            if let Some(value) = self.table.labels(node).get(&term.topology_key) {
                domains.entry(&term.topology_key).or_default().insert(value);
            }
        };
        for entry in self.table.anti_affinity_terms() {
            if entry.term.selects(namespace, namespace_labels, labels) {
                for (&node, &count) in &entry.pods_on {
                    let shift: i32 = self.term_shift(&entry.term, node);
                    if i64::from(count) + i64::from(shift) > 0 {
                        bar(&entry.term, node);
                    }
                }
            }
        }
        for (term, node, sign) in &self.delta.terms {
            if *sign > 0 && term.selects(namespace, namespace_labels, labels) && self.term_shift(term, *node) > 0 {
                bar(term, *node);
            }
        }
        for (key, values) in domains {
            for node in self.table.live().iter() {
                if self
                    .table
                    .labels(node)
                    .get(key)
                    .is_some_and(|value| values.contains(value))
                {
                    barred.insert(node);
                }
            }
        }
        barred
    }

    fn term_shift(&self, term: &PodAffinityTerm, node: NodeOrd) -> i32 {
        self.delta
            .terms
            .iter()
            .filter(|(t, n, _)| *n == node && t == term)
            .map(|(_, _, sign)| sign)
            .sum()
    }
}
