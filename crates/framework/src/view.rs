//! What plugins read: the base (the node table) and a delta over it.
//!
//! A plan is a delta: pods added to nodes, or taken off them, that nobody else sees. Committing it puts the pods in the
//! table; dropping it frees memory and leaves no trace. Property (tested in `muster-plugins`): judging on base ⊕ delta
//! equals judging on the base after the delta is applied.

use crate::node_set::NodeSet;
use crate::plugin::PodToPlace;
use crate::record::{HostPort, PodSpec};
use crate::resource::{Charge, ResourceOrd};
use crate::selection::{PodIdentity, Selection, SelectionOrd, Tally, TermKind, TermOrd, terms_of};
use crate::table::{ColumnOrd, Footprint, LabelColumn, NodeOrd, NodeTable};
use crate::volume::on_view::VolumeDelta;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};

/// How one node differs from the base.
#[derive(Debug, Default, Clone)]
struct Row {
    amounts: SmallVec<[(ResourceOrd, i64); 4]>,
    scoring: [i64; 2],
    ports_added: Vec<HostPort>,
    ports_removed: Vec<HostPort>,
}

/// What tells one delta from another. It grows with every delta that is made, whoever makes it, and nothing but the
/// equality of two numbers is ever looked at.
static DELTAS: AtomicU64 = AtomicU64::new(1);

/// The number of a delta: a copy has a number of its own.
#[derive(Debug)]
struct DeltaNumber(u64);

impl Default for DeltaNumber {
    fn default() -> Self {
        DeltaNumber(DELTAS.fetch_add(1, Ordering::Relaxed))
    }
}

impl Clone for DeltaNumber {
    fn clone(&self) -> Self {
        DeltaNumber::default()
    }
}

/// Pods added and removed, over the base.
#[derive(Debug, Default, Clone)]
pub struct Delta {
    number: DeltaNumber,
    /// Nodes that pods were added to or taken off, one entry for each pod.
    log: Vec<NodeOrd>,
    rows: FxHashMap<NodeOrd, Row>,
    /// Keys of `rows` in the order in which they came: iteration must not depend on hashing.
    touched: Vec<NodeOrd>,
    /// Pods more and less of each selection, by node.
    selections: FxHashMap<SelectionOrd, Shift>,
    /// Bearers more and less of each term, by node.
    terms: FxHashMap<TermOrd, Shift>,
    /// Volumes of the pods, and bindings that are assumed.
    pub(crate) volumes: VolumeDelta,
}

/// Pods more and less, by node.
type Shift = FxHashMap<NodeOrd, i64>;

impl Delta {
    /// Puts a pod on a node. That it is compiled means that its terms are known to the table.
    ///
    /// Pods that are judged on the delta have to be compiled before anything is added to it: what they select is counted
    /// from then on.
    pub fn add(&mut self, table: &NodeTable, node: NodeOrd, pod: &PodToPlace<'_>) {
        self.shift(table, node, &pod.spec.charge, pod.spec, 1);
        self.shift_selections(table, node, &pod.identity(), 1);
        for term in &pod.compiled.own_terms {
            *self.terms.entry(*term).or_default().entry(node).or_default() += 1;
        }
        self.volumes.add(node, &pod.spec.volumes);
    }

    /// Takes a pod off a node that the table has there.
    pub fn remove(&mut self, table: &NodeTable, node: NodeOrd, pod: Footprint<'_>) {
        self.shift(table, node, pod.charge, pod.spec, -1);
        self.shift_selections(table, node, &pod.identity, -1);
        self.volumes.remove(node, &pod.spec.volumes);
        for (kind, term) in terms_of(pod.spec) {
            if let Some(term) = table.terms().find(kind, term) {
                *self.terms.entry(term).or_default().entry(node).or_default() -= 1;
            }
        }
    }

    /// Whether nothing differs from the base.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    fn shift_selections(&mut self, table: &NodeTable, node: NodeOrd, pod: &PodIdentity<'_>, sign: i64) {
        for selection in table.selections().selecting(pod) {
            *self.selections.entry(selection).or_default().entry(node).or_default() += sign;
        }
    }

    /// A number that no other delta has had.
    pub fn number(&self) -> u64 {
        self.number.0
    }

    /// The node of every pod that was added or taken off, in this order.
    pub fn log(&self) -> &[NodeOrd] {
        &self.log
    }

    fn shift(&mut self, table: &NodeTable, node: NodeOrd, charge: &Charge, spec: &PodSpec, sign: i64) {
        self.log.push(node);
        let touched = &mut self.touched;
        let row = self.rows.entry(node).or_insert_with(|| {
            touched.push(node);
            Row::default()
        });
        let requests = &charge.requests;
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
            .zip([charge.scoring_milli_cpu, charge.scoring_memory])
        {
            *sum = sum.wrapping_add(amount.wrapping_mul(sign));
        }
        if sign > 0 {
            &mut row.ports_added
        } else {
            &mut row.ports_removed
        }
        .extend_from_slice(&spec.host_ports);
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

    /// The delta.
    pub fn delta(&self) -> &'a Delta {
        self.delta
    }

    /// What differs from the base about volumes.
    pub(crate) fn volume_delta(&self) -> &'a VolumeDelta {
        &self.delta.volumes
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

    /// Nodes where a host port may be in use: the only ones that [`View::ports_conflict`] can be true for. A node may
    /// come twice.
    pub fn nodes_with_port(&self, port: &HostPort) -> impl Iterator<Item = NodeOrd> {
        let base = self.table.nodes_with_port(port.protocol, port.port);
        let added = self.touched().iter().copied();
        let added = added.filter(|n| self.delta.rows.get(n).is_some_and(|r| !r.ports_added.is_empty()));
        base.into_iter().flat_map(NodeSet::iter).chain(added)
    }

    /// The pods of a selection.
    pub fn selected(&self, selection: SelectionOrd) -> PodCounts<'a> {
        PodCounts {
            table: self.table,
            tally: self.table.selections().get(selection).map(|(_, tally)| tally),
            shift: self.delta.selections.get(&selection),
        }
    }

    /// What a selection asks.
    ///
    /// # Panics
    /// The selection is gone: ordinals must not be kept beyond their release.
    pub fn selection(&self, selection: SelectionOrd) -> &'a Selection {
        let known = self.table.selections().get(selection);
        known.expect("the ordinal of a selection in use").0
    }

    /// The terms of placed pods that speak of this pod. Some may have no bearer any more, or none yet.
    pub fn terms_selecting(&self, pod: &PodIdentity<'_>) -> SmallVec<[TermOrd; 8]> {
        self.table.terms().selecting(pod)
    }

    /// What a term means for the pods that it speaks of, and the column of its topology key.
    ///
    /// # Panics
    /// The term is gone: ordinals must not be kept beyond their last bearer.
    pub fn term(&self, term: TermOrd) -> (TermKind, ColumnOrd) {
        let term = self.table.terms().get(term).expect("the ordinal of a live term");
        (term.kind, term.column)
    }

    /// The pods that bear a term.
    pub fn bearers(&self, term: TermOrd) -> PodCounts<'a> {
        PodCounts {
            table: self.table,
            tally: self.table.terms().get(term).map(|term| &term.tally),
            shift: self.delta.terms.get(&term),
        }
    }
}

/// Pods of one kind on base ⊕ delta, counted by node and by domain.
#[derive(Debug, Clone, Copy)]
pub struct PodCounts<'a> {
    table: &'a NodeTable,
    tally: Option<&'a Tally>,
    shift: Option<&'a Shift>,
}

impl PodCounts<'_> {
    /// How many there are on a node.
    pub fn on(&self, node: NodeOrd) -> i64 {
        let base = self.tally.map_or(0, |tally| i64::from(tally.on_node().get(node.0)));
        base + self.shift_on(node)
    }

    fn shift_on(&self, node: NodeOrd) -> i64 {
        let shift = self.shift.and_then(|shift| shift.get(&node));
        shift.copied().unwrap_or(0)
    }

    /// Tells the nodes that hold any, with how many, in no order that means anything.
    pub fn each_node(&self, mut tell: impl FnMut(NodeOrd, i64)) {
        if let Some(tally) = self.tally {
            tally.on_node().each(|node, pods| {
                let node = NodeOrd(node);
                match i64::from(pods) + self.shift_on(node) {
                    0 => {}
                    pods => tell(node, pods),
                }
            });
        }
        for (node, pods) in self.shift.into_iter().flatten() {
            let counted = self.tally.is_some_and(|tally| tally.on_node().get(node.0) > 0);
            if !counted && *pods != 0 {
                tell(*node, *pods);
            }
        }
    }

    /// How many there are on all nodes.
    pub fn total(&self) -> i64 {
        let base = self.tally.map_or(0, |tally| tally.on_node().total() as i64);
        base + self.shift.map_or(0, |shift| shift.values().sum())
    }

    /// How many there are on nodes that have the key of `column`.
    pub fn total_in(&self, column: ColumnOrd) -> i64 {
        let codes = self.table.column(column);
        let Some(tally) = self.tally else {
            return self.shift_in(codes);
        };
        match tally.by_domain(column) {
            Some(counts) => counts.total() as i64 + self.shift_in(codes),
            None => {
                let mut total = self.shift_in(codes);
                tally.on_node().each(|node, pods| {
                    if codes.code(NodeOrd(node)) != 0 {
                        total += i64::from(pods);
                    }
                });
                total
            }
        }
    }

    fn shift_in(&self, codes: &LabelColumn) -> i64 {
        let shift = self.shift.into_iter().flatten();
        shift
            .filter(|(node, _)| codes.code(**node) != 0)
            .map(|(_, pods)| pods)
            .sum()
    }

    /// Tells how many each domain of a key holds, by code, in no order that means anything. Domains without any may be
    /// told too, and a domain may be told in several parts. Pods on nodes without the key count nowhere.
    pub fn each_domain(&self, column: ColumnOrd, mut tell: impl FnMut(u32, i64)) {
        let codes = self.table.column(column);
        let mut tell = |code: u32, pods: i64| {
            if code != 0 {
                tell(code, pods);
            }
        };
        if let Some(tally) = self.tally {
            match tally.by_domain(column) {
                Some(counts) => counts.each(|code, pods| tell(code, i64::from(pods))),
                None => tally
                    .on_node()
                    .each(|node, pods| tell(codes.code(NodeOrd(node)), i64::from(pods))),
            }
        }
        for (node, pods) in self.shift.into_iter().flatten() {
            tell(codes.code(*node), *pods);
        }
    }

    /// Tells the domains of a key that hold any, by code, in no order that means anything.
    pub fn each_inhabited(&self, column: ColumnOrd, mut tell: impl FnMut(u32)) {
        if self.shift.is_none() {
            return self.each_domain(column, |code, _| tell(code));
        }
        let domains = self.by_domain(column);
        let inhabited = (0..).zip(domains).filter(|(_, pods)| *pods > 0);
        inhabited.for_each(|(code, _)| tell(code));
    }

    /// How many each domain of a key holds, by code.
    pub fn by_domain(&self, column: ColumnOrd) -> Vec<i64> {
        let mut domains = vec![0; self.table.column(column).n_codes()];
        self.each_domain(column, |code, pods| domains[code as usize] += pods);
        domains
    }
}
