//! Pods that terms speak of, counted by node and by domain, and the terms that placed pods bring along.
//!
//! A [`Selection`] is a question about placed pods that some pod to be placed asks: "how many are selected by this, on this
//! node, in this zone?". It is interned, filled once from the pods that are there, and kept up to date from then on: a
//! known selection costs a pod nothing. A *placed term* is the reverse: an (anti-)affinity term of a pod that is placed,
//! interned with the number of its bearers by node and by domain.

use crate::counts::Counts;
use crate::labels::Labels;
use crate::record::{NamespaceScope, PodAffinityTerm, PodSpec};
use crate::rules::KubeMinor;
use crate::selector::{LabelSelector, Operator};
use crate::table::{ColumnOrd, LabelColumn, NodeOrd};
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How many selections that no compiled pod uses are kept up to date, in case the next pod asks the same.
const MAX_IDLE_SELECTIONS: usize = 256;

/// What selectors see of a pod.
#[derive(Debug, Clone, Copy)]
pub struct PodIdentity<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// The labels of its namespace, once that has been seen.
    pub namespace_labels: Option<&'a Labels>,
    /// Its labels.
    pub labels: &'a Labels,
    /// It has a deletion timestamp.
    pub terminating: bool,
}

/// Pods by label, in some namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodSelector {
    /// By label; none selects nothing.
    pub selector: Option<LabelSelector>,
    /// In which namespaces.
    pub namespaces: NamespaceScope,
}

impl PodSelector {
    /// Whether the pod is one of them.
    ///
    /// A selector of namespaces that states anything finds namespaces that have been seen, by their labels; one that
    /// states nothing finds all. Source: `mergeAffinityTermNamespacesIfNotEmpty` of
    /// `pkg/scheduler/framework/plugins/interpodaffinity`.
    pub fn selects(&self, pod: &PodIdentity<'_>) -> bool {
        self.selector.as_ref().is_some_and(|s| s.matches(pod.labels))
            && (self.namespaces.names.iter().any(|name| **name == *pod.namespace)
                || self.namespaces.selector.as_ref().is_some_and(|selector| {
                    selector.requirements.is_empty() || pod.namespace_labels.is_some_and(|l| selector.matches(l))
                }))
    }

    /// Kubernetes before 1.37 adds the namespaces that a selector finds to those by name, but keeps the selector, and
    /// asks it again about every placed pod as if its namespace had no labels: then a selector such as `NotIn`, which
    /// lets the absence of labels pass, finds all namespaces.
    fn widen(&mut self) {
        if let Some(selector) = &mut self.namespaces.selector
            && selector.matches(&Labels::default())
        {
            *selector = LabelSelector::default();
        }
    }
}

impl From<&PodAffinityTerm> for PodSelector {
    fn from(term: &PodAffinityTerm) -> Self {
        PodSelector {
            selector: term.selector.clone(),
            namespaces: term.namespaces.clone(),
        }
    }
}

/// A question about placed pods.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    /// A pod counts when each of these selects it.
    pub all_of: Box<[PodSelector]>,
    /// Whether pods that are being deleted count.
    pub count_terminating: bool,
}

impl Selection {
    /// Pods that every one of `terms` speaks of: what inter-pod affinity asks.
    pub fn of_terms<'a>(terms: impl IntoIterator<Item = &'a PodAffinityTerm>) -> Selection {
        Selection {
            all_of: terms.into_iter().map(PodSelector::from).collect(),
            count_terminating: true,
        }
    }

    /// Pods that a spread constraint counts: those that are being deleted are left out, and a selector that states
    /// nothing counts nothing. Source: `countPodsMatchSelector` of `pkg/scheduler/framework/plugins/podtopologyspread`.
    pub fn of_spread(mut pods: PodSelector) -> Selection {
        pods.selector = pods.selector.filter(|selector| !selector.requirements.is_empty());
        Selection {
            all_of: Box::new([pods]),
            count_terminating: false,
        }
    }

    /// Whether the pod counts.
    pub fn selects(&self, pod: &PodIdentity<'_>) -> bool {
        (self.count_terminating || !pod.terminating) && self.all_of.iter().all(|part| part.selects(pod))
    }

    fn reads_namespace_labels(&self) -> bool {
        let mut selectors = self.all_of.iter().filter_map(|part| part.namespaces.selector.as_ref());
        selectors.any(|selector| !selector.requirements.is_empty())
    }

    /// The selector under which the selection is found by the labels of pods: best one that requires certain labels.
    /// None: it selects nothing.
    fn indexed(&self) -> Option<&LabelSelector> {
        let mut selectors = self.all_of.iter().map(|part| part.selector.as_ref());
        if self.all_of.is_empty() || selectors.clone().any(|selector| selector.is_none()) {
            return None;
        }
        let requires = |selector: &&LabelSelector| LabelIndex::postings(selector).is_some();
        let certain = selectors.clone().flatten().find(requires);
        certain.or_else(|| selectors.next().flatten())
    }
}

/// A selection as its ordinal. Valid while whoever acquired it has not released it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SelectionOrd(pub(crate) u32);

/// A term of placed pods as its ordinal. Valid while a bearer is placed, or a compiled pod brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TermOrd(pub(crate) u32);

/// What a term of a placed pod means for pods that it selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TermKind {
    /// They are barred from its domain.
    RequiredAntiAffinity,
    /// Its bearer needed them: its domain is preferred.
    RequiredAffinity,
    /// Its domain is preferred, with this weight.
    PreferredAffinity(i32),
    /// Its domain is avoided, with this weight.
    PreferredAntiAffinity(i32),
}

/// The terms that a pod brings along when it is placed.
pub fn terms_of(spec: &PodSpec) -> impl Iterator<Item = (TermKind, &PodAffinityTerm)> {
    let anti = spec
        .anti_affinity
        .iter()
        .map(|term| (TermKind::RequiredAntiAffinity, term));
    let required = spec.affinity.iter().map(|term| (TermKind::RequiredAffinity, term));
    let preferred = spec.preferred_affinity.iter();
    let avoided = spec.preferred_anti_affinity.iter();
    anti.chain(required)
        .chain(preferred.map(|p| (TermKind::PreferredAffinity(p.weight), &p.term)))
        .chain(avoided.map(|p| (TermKind::PreferredAntiAffinity(p.weight), &p.term)))
}

// ---- counts by node and by domain --------------------------------------------------------------------------------

/// Pods counted by node, and by the domains of some keys.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    on_node: Counts,
    by_domain: SmallVec<[(ColumnOrd, Counts); 1]>,
}

impl Tally {
    pub(crate) fn on_node(&self) -> &Counts {
        &self.on_node
    }

    /// The counts by domain of a key, if they are kept.
    pub(crate) fn by_domain(&self, column: ColumnOrd) -> Option<&Counts> {
        self.by_domain
            .iter()
            .find(|(c, _)| *c == column)
            .map(|(_, counts)| counts)
    }

    fn add(&mut self, node: NodeOrd, columns: &[LabelColumn], n_nodes: usize) {
        self.on_node.add(node.0, 1, n_nodes);
        for (column, counts) in &mut self.by_domain {
            let column = &columns[column.index()];
            match column.code(node) {
                0 => {}
                code => counts.add(code, 1, column.n_codes()),
            }
        }
    }

    fn sub(&mut self, node: NodeOrd, columns: &[LabelColumn]) {
        self.on_node.sub(node.0, 1);
        for (column, counts) in &mut self.by_domain {
            match columns[column.index()].code(node) {
                0 => {}
                code => counts.sub(code, 1),
            }
        }
    }

    /// Keeps the counts by domain of one more key.
    fn watch(&mut self, column: ColumnOrd, columns: &[LabelColumn]) {
        let values = &columns[column.index()];
        let mut counts = Counts::default();
        self.on_node.each(|node, pods| match values.code(NodeOrd(node)) {
            0 => {}
            code => counts.add(code, pods, values.n_codes()),
        });
        self.by_domain.push((column, counts));
    }

    /// A node has gone from one domain of a key to another, with its pods; 0 is no domain.
    fn move_node(&mut self, column: ColumnOrd, node: NodeOrd, from: u32, to: u32, n_codes: usize) {
        let pods = self.on_node.get(node.0);
        let Some((_, counts)) = self.by_domain.iter_mut().find(|(c, _)| *c == column) else {
            return;
        };
        if pods > 0 && from != 0 {
            counts.sub(from, pods);
        }
        if pods > 0 && to != 0 {
            counts.add(to, pods, n_codes);
        }
    }
}

// ---- finding what speaks of a pod --------------------------------------------------------------------------------

/// Finds what may speak of a pod by its labels, without asking everything.
#[derive(Debug, Default)]
struct LabelIndex {
    /// By the hash of a label that what is found there requires.
    by_label: FxHashMap<u64, SmallVec<[u32; 2]>>,
    /// What requires no certain label.
    rest: Vec<u32>,
}

impl LabelIndex {
    /// The labels of which a pod needs one to be selected; None: it needs none for certain.
    fn postings(selector: &LabelSelector) -> Option<impl Iterator<Item = u64>> {
        let required = selector.requirements.iter().find(|r| r.operator == Operator::In)?;
        Some(required.values.iter().map(|value| hash_label(&required.key, value)))
    }

    fn insert(&mut self, selector: &LabelSelector, ord: u32) {
        match Self::postings(selector) {
            Some(labels) => labels.for_each(|label| self.by_label.entry(label).or_default().push(ord)),
            None => self.rest.push(ord),
        }
    }

    fn remove(&mut self, selector: &LabelSelector, ord: u32) {
        let Some(labels) = Self::postings(selector) else {
            self.rest.retain(|o| *o != ord);
            return;
        };
        for label in labels {
            if let Some(ords) = self.by_label.get_mut(&label) {
                ords.retain(|o| *o != ord);
                if ords.is_empty() {
                    self.by_label.remove(&label);
                }
            }
        }
    }

    /// What may speak of a pod with these labels: all that does, and perhaps more. Each once, in order.
    fn candidates(&self, labels: &Labels) -> SmallVec<[u32; 8]> {
        let mut found: SmallVec<[u32; 8]> = SmallVec::from_slice(&self.rest);
        if !self.by_label.is_empty() {
            for (key, value) in labels.iter() {
                found.extend(
                    self.by_label
                        .get(&hash_label(key, value))
                        .into_iter()
                        .flatten()
                        .copied(),
                );
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn hash_label(key: &str, value: &str) -> u64 {
    let mut hasher = FxHasher::default();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

// ---- selections --------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct SelectionEntry {
    selection: Arc<Selection>,
    users: u32,
    /// Whether the pods that are placed have been counted.
    filled: bool,
    tally: Tally,
}

/// All selections that are kept up to date.
#[derive(Debug, Default)]
pub(crate) struct Selections {
    entries: Vec<Option<SelectionEntry>>,
    by_content: FxHashMap<Arc<Selection>, SelectionOrd>,
    free: Vec<SelectionOrd>,
    idle: VecDeque<SelectionOrd>,
    index: LabelIndex,
    n_unfilled: usize,
    /// Namespace selectors are read as before Kubernetes 1.37.
    widens: bool,
}

impl Selections {
    pub(crate) fn follow(&mut self, minor: KubeMinor) {
        self.widens = minor < KubeMinor::V1_37;
    }

    /// The selection, interned, with one user more.
    pub(crate) fn acquire(&mut self, mut selection: Selection) -> SelectionOrd {
        if self.widens {
            selection.all_of.iter_mut().for_each(PodSelector::widen);
        }
        if let Some(&ord) = self.by_content.get(&selection) {
            if let Some(entry) = &mut self.entries[ord.0 as usize] {
                entry.users += 1;
                if entry.users == 1 {
                    self.idle.retain(|idle| *idle != ord);
                }
            }
            return ord;
        }
        let selection = Arc::new(selection);
        let entry = SelectionEntry {
            selection: selection.clone(),
            users: 1,
            filled: false,
            tally: Tally::default(),
        };
        self.n_unfilled += 1;
        let ord = match self.free.pop() {
            Some(ord) => {
                self.entries[ord.0 as usize] = Some(entry);
                ord
            }
            None => {
                self.entries.push(Some(entry));
                SelectionOrd((self.entries.len() - 1) as u32)
            }
        };
        self.by_content.insert(selection, ord);
        ord
    }

    /// One user less. Gives the columns that an evicted selection watched: they are to be released.
    pub(crate) fn release(&mut self, ord: SelectionOrd) -> SmallVec<[ColumnOrd; 2]> {
        if let Some(entry) = &mut self.entries[ord.0 as usize] {
            entry.users -= 1;
            if entry.users == 0 {
                self.idle.push_back(ord);
            }
        }
        if self.idle.len() > MAX_IDLE_SELECTIONS
            && let Some(oldest) = self.idle.pop_front()
        {
            return self.evict(oldest);
        }
        SmallVec::new()
    }

    fn evict(&mut self, ord: SelectionOrd) -> SmallVec<[ColumnOrd; 2]> {
        let Some(entry) = self.entries[ord.0 as usize].take() else {
            return SmallVec::new();
        };
        self.unindex(&entry, ord);
        self.n_unfilled -= usize::from(!entry.filled);
        self.by_content.remove(&entry.selection);
        self.free.push(ord);
        entry.tally.by_domain.iter().map(|(column, _)| *column).collect()
    }

    fn unindex(&mut self, entry: &SelectionEntry, ord: SelectionOrd) {
        if entry.filled
            && let Some(selector) = entry.selection.indexed()
        {
            self.index.remove(selector, ord.0);
        }
    }

    pub(crate) fn watches(&self, ord: SelectionOrd, column: ColumnOrd) -> bool {
        self.get(ord)
            .is_some_and(|(_, tally)| tally.by_domain(column).is_some())
    }

    pub(crate) fn watch(&mut self, ord: SelectionOrd, column: ColumnOrd, columns: &[LabelColumn]) {
        if let Some(entry) = &mut self.entries[ord.0 as usize] {
            entry.tally.watch(column, columns);
        }
    }

    pub(crate) fn get(&self, ord: SelectionOrd) -> Option<(&Selection, &Tally)> {
        let entry = self.entries.get(ord.0 as usize)?.as_ref()?;
        Some((&entry.selection, &entry.tally))
    }

    /// Whether nobody uses any.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle.len() == self.by_content.len()
    }

    pub(crate) fn is_unfilled(&self) -> bool {
        self.n_unfilled > 0
    }

    /// Selections that read namespace labels have to be filled anew.
    pub(crate) fn unfill_namespaced(&mut self) {
        for at in 0..self.entries.len() {
            let Some(mut entry) = self.entries[at].take() else {
                continue;
            };
            if entry.filled && entry.selection.reads_namespace_labels() {
                self.unindex(&entry, SelectionOrd(at as u32));
                entry.filled = false;
                self.n_unfilled += 1;
                entry.tally.on_node = Counts::default();
                entry
                    .tally
                    .by_domain
                    .iter_mut()
                    .for_each(|(_, counts)| *counts = Counts::default());
            }
            self.entries[at] = Some(entry);
        }
    }

    /// Counts the placed pods for every selection that has not been filled.
    pub(crate) fn fill<'a>(
        &mut self,
        pods: impl Iterator<Item = (NodeOrd, PodIdentity<'a>)>,
        columns: &[LabelColumn],
        n_nodes: usize,
    ) {
        let unfilled = |entry: &Option<SelectionEntry>| entry.as_ref().is_some_and(|entry| !entry.filled);
        let ords: Vec<usize> = (0..self.entries.len())
            .filter(|at| unfilled(&self.entries[*at]))
            .collect();
        for (node, pod) in pods {
            for at in &ords {
                if let Some(entry) = &mut self.entries[*at]
                    && entry.selection.selects(&pod)
                {
                    entry.tally.add(node, columns, n_nodes);
                }
            }
        }
        for at in ords {
            if let Some(entry) = &mut self.entries[at] {
                entry.filled = true;
                if let Some(selector) = entry.selection.indexed() {
                    self.index.insert(selector, at as u32);
                }
            }
        }
        self.n_unfilled = 0;
    }

    /// The selections that count the pod.
    pub(crate) fn selecting(&self, pod: &PodIdentity<'_>) -> SmallVec<[SelectionOrd; 8]> {
        let candidates = self.index.candidates(pod.labels).into_iter();
        let selects = |ord: &u32| {
            self.entries[*ord as usize]
                .as_ref()
                .is_some_and(|entry| entry.selection.selects(pod))
        };
        candidates.filter(selects).map(SelectionOrd).collect()
    }

    pub(crate) fn add_pod(&mut self, node: NodeOrd, pod: &PodIdentity<'_>, columns: &[LabelColumn], n_nodes: usize) {
        for ord in self.selecting(pod) {
            if let Some(entry) = &mut self.entries[ord.0 as usize] {
                entry.tally.add(node, columns, n_nodes);
            }
        }
    }

    pub(crate) fn remove_pod(&mut self, node: NodeOrd, pod: &PodIdentity<'_>, columns: &[LabelColumn]) {
        for ord in self.selecting(pod) {
            if let Some(entry) = &mut self.entries[ord.0 as usize] {
                entry.tally.sub(node, columns);
            }
        }
    }

    pub(crate) fn move_node(&mut self, column: ColumnOrd, node: NodeOrd, from: u32, to: u32, n_codes: usize) {
        for entry in self.entries.iter_mut().flatten() {
            entry.tally.move_node(column, node, from, to, n_codes);
        }
    }
}

// ---- terms of placed pods ----------------------------------------------------------------------------------------

/// A term that placed pods bear.
#[derive(Debug)]
pub(crate) struct PlacedTerm {
    pub(crate) kind: TermKind,
    term: PodAffinityTerm,
    /// The column of its topology key.
    pub(crate) column: ColumnOrd,
    /// Compiled pods that will bring it.
    users: u32,
    pub(crate) tally: Tally,
}

/// All terms of placed pods.
#[derive(Debug, Default)]
pub(crate) struct PlacedTerms {
    entries: Vec<Option<PlacedTerm>>,
    /// By the hash of kind and term: pods that go are found by what they say, and no copy of it is made.
    by_content: FxHashMap<u64, SmallVec<[TermOrd; 1]>>,
    free: Vec<TermOrd>,
    index: LabelIndex,
    /// How often pods bear required anti-affinity.
    n_anti_affinity: u64,
}

fn hash_term(kind: TermKind, term: &PodAffinityTerm) -> u64 {
    let mut hasher = FxHasher::default();
    (kind, term).hash(&mut hasher);
    hasher.finish()
}

impl PlacedTerms {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_content.is_empty()
    }

    pub(crate) fn has_anti_affinity(&self) -> bool {
        self.n_anti_affinity > 0
    }

    pub(crate) fn has_anti_affinity_on(&self, node: NodeOrd) -> bool {
        let mut terms = self.entries.iter().flatten();
        self.has_anti_affinity()
            && terms.any(|term| term.kind == TermKind::RequiredAntiAffinity && term.tally.on_node.get(node.0) > 0)
    }

    pub(crate) fn find(&self, kind: TermKind, term: &PodAffinityTerm) -> Option<TermOrd> {
        let same = |ord: &&TermOrd| self.get(**ord).is_some_and(|e| e.kind == kind && e.term == *term);
        let alike = self.by_content.get(&hash_term(kind, term))?;
        alike.iter().find(same).copied()
    }

    pub(crate) fn insert(
        &mut self,
        kind: TermKind,
        term: PodAffinityTerm,
        column: ColumnOrd,
        columns: &[LabelColumn],
    ) -> TermOrd {
        let ord = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            TermOrd((self.entries.len() - 1) as u32)
        });
        if let Some(selector) = &term.selector {
            self.index.insert(selector, ord.0);
        }
        let alike = self.by_content.entry(hash_term(kind, &term)).or_default();
        alike.push(ord);
        let mut tally = Tally::default();
        tally.watch(column, columns);
        self.entries[ord.0 as usize] = Some(PlacedTerm {
            kind,
            term,
            column,
            users: 0,
            tally,
        });
        ord
    }

    pub(crate) fn get(&self, ord: TermOrd) -> Option<&PlacedTerm> {
        self.entries.get(ord.0 as usize)?.as_ref()
    }

    pub(crate) fn use_more(&mut self, ord: TermOrd) {
        if let Some(entry) = &mut self.entries[ord.0 as usize] {
            entry.users += 1;
        }
    }

    /// One compiled pod less will bring the term. Gives the column to release when the term is gone with it.
    pub(crate) fn use_less(&mut self, ord: TermOrd) -> Option<ColumnOrd> {
        if let Some(entry) = &mut self.entries[ord.0 as usize] {
            entry.users -= 1;
        }
        self.drop_unused(ord)
    }

    pub(crate) fn add_bearer(&mut self, ord: TermOrd, node: NodeOrd, columns: &[LabelColumn], n_nodes: usize) {
        if let Some(entry) = &mut self.entries[ord.0 as usize] {
            entry.tally.add(node, columns, n_nodes);
            self.n_anti_affinity += u64::from(entry.kind == TermKind::RequiredAntiAffinity);
        }
    }

    /// Gives the column to release when the term is gone with its last bearer.
    pub(crate) fn remove_bearer(&mut self, ord: TermOrd, node: NodeOrd, columns: &[LabelColumn]) -> Option<ColumnOrd> {
        if let Some(entry) = &mut self.entries[ord.0 as usize] {
            entry.tally.sub(node, columns);
            self.n_anti_affinity -= u64::from(entry.kind == TermKind::RequiredAntiAffinity);
        }
        self.drop_unused(ord)
    }

    fn drop_unused(&mut self, ord: TermOrd) -> Option<ColumnOrd> {
        let slot = &mut self.entries[ord.0 as usize];
        let entry = slot.take_if(|entry| entry.users == 0 && entry.tally.on_node.is_empty())?;
        if let Some(selector) = &entry.term.selector {
            self.index.remove(selector, ord.0);
        }
        let hash = hash_term(entry.kind, &entry.term);
        if let Some(alike) = self.by_content.get_mut(&hash) {
            alike.retain(|other| *other != ord);
            if alike.is_empty() {
                self.by_content.remove(&hash);
            }
        }
        self.free.push(ord);
        Some(entry.column)
    }

    /// The terms that speak of the pod, borne by a placed pod or not.
    pub(crate) fn selecting(&self, pod: &PodIdentity<'_>) -> SmallVec<[TermOrd; 8]> {
        let candidates = self.index.candidates(pod.labels).into_iter();
        let selects = |ord: &u32| {
            self.entries[*ord as usize]
                .as_ref()
                .is_some_and(|entry| entry.term.selects(pod.namespace, pod.namespace_labels, pod.labels))
        };
        candidates.filter(selects).map(TermOrd).collect()
    }

    pub(crate) fn move_node(&mut self, column: ColumnOrd, node: NodeOrd, from: u32, to: u32, n_codes: usize) {
        for entry in self.entries.iter_mut().flatten() {
            entry.tally.move_node(column, node, from, to, n_codes);
        }
    }
}
