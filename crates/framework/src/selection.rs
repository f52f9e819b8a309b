//! Pods that terms speak of, counted by node and by domain, and the terms that placed pods bring along.
//!
//! A [`Selection`] is a question about placed pods that some pod to be placed asks: "how many are selected by this, on this
//! node, in this zone?". It is interned, counted once over the pods that are there, and kept up to date from then on: a
//! known selection costs a pod nothing. A *placed term* is the reverse: an (anti-)affinity term of a pod that is placed,
//! interned with the number of its bearers by node and by domain.

use crate::Text;
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

    fn add(&mut self, node: NodeOrd, pods: u32, columns: &[LabelColumn], n_nodes: usize) {
        self.on_node.add(node.0, pods, n_nodes);
        for (column, counts) in &mut self.by_domain {
            let column = &columns[column.index()];
            match column.code(node) {
                0 => {}
                code => counts.add(code, pods, column.n_codes()),
            }
        }
    }

    fn clear(&mut self) {
        self.on_node = Counts::default();
        let by_domain = self.by_domain.iter_mut();
        by_domain.for_each(|(_, counts)| *counts = Counts::default());
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

// ---- placed pods -------------------------------------------------------------------------------------------------

/// What selectors see of placed pods, and where they are: replicas of one template are one kin.
#[derive(Debug)]
struct Kin {
    namespace: Text,
    labels: Labels,
    terminating: bool,
    /// In the order of their ordinals, with how many of the kin are there.
    nodes: SmallVec<[(NodeOrd, u32); 2]>,
}

impl Kin {
    fn has(&self, pod: &PodIdentity<'_>) -> bool {
        *self.namespace == *pod.namespace && self.terminating == pod.terminating && self.labels == *pod.labels
    }
}

/// A namespace that pods are placed from.
#[derive(Debug, Default)]
struct Namespace {
    labels: Option<Labels>,
    n_pods: u32,
}

/// Where pods are, by what selectors see of them: a selection that is new is judged once per kin, not per pod.
#[derive(Debug, Default)]
struct Placed {
    /// By the hash of what selectors see: a pod finds its kin by what it says, and no copy of that is made.
    kins: FxHashMap<u64, SmallVec<[Box<Kin>; 1]>>,
    namespaces: FxHashMap<Text, Namespace>,
}

fn hash_kin(pod: &PodIdentity<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    (pod.namespace, pod.labels, pod.terminating).hash(&mut hasher);
    hasher.finish()
}

impl Placed {
    /// Gives the labels of the pod as its kin has them.
    fn add(&mut self, node: NodeOrd, pod: &PodIdentity<'_>) -> Labels {
        let namespace = self.add_to_namespace(pod);
        let alike = self.kins.entry(hash_kin(pod)).or_default();
        let at = alike.iter().position(|kin| kin.has(pod)).unwrap_or_else(|| {
            alike.push(Box::new(Kin {
                namespace,
                labels: pod.labels.clone(),
                terminating: pod.terminating,
                nodes: SmallVec::new(),
            }));
            alike.len() - 1
        });
        let kin = &mut alike[at];
        match kin.nodes.binary_search_by_key(&node, |(node, _)| *node) {
            Ok(at) => kin.nodes[at].1 += 1,
            Err(at) => kin.nodes.insert(at, (node, 1)),
        }
        kin.labels.clone()
    }

    /// Gives the name of the namespace.
    fn add_to_namespace(&mut self, pod: &PodIdentity<'_>) -> Text {
        let name = match self.namespaces.get_key_value(pod.namespace) {
            Some((name, _)) => name.clone(),
            None => Text::from(pod.namespace),
        };
        let known = self.namespaces.entry(name.clone()).or_default();
        known.n_pods += 1;
        if known.n_pods == 1 {
            known.labels = pod.namespace_labels.cloned();
        }
        name
    }

    fn remove(&mut self, node: NodeOrd, pod: &PodIdentity<'_>) {
        let hash = hash_kin(pod);
        let Some(alike) = self.kins.get_mut(&hash) else { return };
        let Some(of_kin) = alike.iter().position(|kin| kin.has(pod)) else {
            return;
        };
        let nodes = &mut alike[of_kin].nodes;
        let Ok(at) = nodes.binary_search_by_key(&node, |(node, _)| *node) else {
            return;
        };
        nodes[at].1 -= 1;
        if nodes[at].1 == 0 {
            nodes.remove(at);
        }
        if nodes.is_empty() {
            alike.swap_remove(of_kin);
        }
        if alike.is_empty() {
            self.kins.remove(&hash);
        }
        if let Some(known) = self.namespaces.get_mut(pod.namespace) {
            known.n_pods -= 1;
            if known.n_pods == 0 {
                self.namespaces.remove(pod.namespace);
            }
        }
    }

    /// The labels that the namespace had when its pods were counted.
    fn namespace_labels(&self, namespace: &str) -> Option<&Labels> {
        self.namespaces.get(namespace)?.labels.as_ref()
    }

    fn kins(&self) -> impl Iterator<Item = (PodIdentity<'_>, &[(NodeOrd, u32)])> {
        self.kins.values().flatten().map(|kin| {
            let identity = PodIdentity {
                namespace: &kin.namespace,
                namespace_labels: self.namespace_labels(&kin.namespace),
                labels: &kin.labels,
                terminating: kin.terminating,
            };
            (identity, &*kin.nodes)
        })
    }
}

// ---- selections --------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct SelectionEntry {
    /// A number that no other selection has had.
    serial: u64,
    selection: Arc<Selection>,
    users: u32,
    tally: Tally,
}

impl SelectionEntry {
    /// Counts what is placed.
    fn count(&mut self, placed: &Placed, columns: &[LabelColumn], n_nodes: usize) {
        let kins = placed.kins().filter(|(kin, _)| self.selection.selects(kin));
        for (node, pods) in kins.flat_map(|(_, nodes)| nodes) {
            self.tally.add(*node, *pods, columns, n_nodes);
        }
    }
}

/// All selections that are kept up to date.
#[derive(Debug, Default)]
pub(crate) struct Selections {
    entries: Vec<Option<SelectionEntry>>,
    by_content: FxHashMap<Arc<Selection>, SelectionOrd>,
    free: Vec<SelectionOrd>,
    idle: VecDeque<SelectionOrd>,
    index: LabelIndex,
    placed: Placed,
    /// Namespace selectors are read as before Kubernetes 1.37.
    widens: bool,
    /// How many selections there have been.
    serials: u64,
    recounts: u64,
}

impl Selections {
    pub(crate) fn follow(&mut self, minor: KubeMinor) {
        self.widens = minor < KubeMinor::V1_37;
    }

    /// The selection, interned, with one user more.
    pub(crate) fn acquire(
        &mut self,
        mut selection: Selection,
        columns: &[LabelColumn],
        n_nodes: usize,
    ) -> SelectionOrd {
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
        let ord = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            SelectionOrd((self.entries.len() - 1) as u32)
        });
        if let Some(selector) = selection.indexed() {
            self.index.insert(selector, ord.0);
        }
        let selection = Arc::new(selection);
        self.by_content.insert(selection.clone(), ord);
        self.serials += 1;
        let mut entry = SelectionEntry {
            serial: self.serials,
            selection,
            users: 1,
            tally: Tally::default(),
        };
        entry.count(&self.placed, columns, n_nodes);
        self.entries[ord.0 as usize] = Some(entry);
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
        if let Some(selector) = entry.selection.indexed() {
            self.index.remove(selector, ord.0);
        }
        self.by_content.remove(&entry.selection);
        self.free.push(ord);
        entry.tally.by_domain.iter().map(|(column, _)| *column).collect()
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

    /// The number of a selection, which is never used again; 0 if it is gone.
    pub(crate) fn serial(&self, ord: SelectionOrd) -> u64 {
        let entry = self.entries.get(ord.0 as usize).and_then(Option::as_ref);
        entry.map_or(0, |entry| entry.serial)
    }

    /// How often pods were counted anew because a namespace had other labels.
    pub(crate) fn recounts(&self) -> u64 {
        self.recounts
    }

    /// Whether nobody uses any.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle.len() == self.by_content.len()
    }

    /// A namespace has been seen with these labels, or is gone: what reads labels of namespaces is counted anew.
    pub(crate) fn set_namespace_labels(
        &mut self,
        namespace: &str,
        labels: Option<&Labels>,
        columns: &[LabelColumn],
        n_nodes: usize,
    ) {
        match self.placed.namespaces.get_mut(namespace) {
            Some(known) if known.labels.as_ref() != labels => known.labels = labels.cloned(),
            _ => return,
        }
        let entries = self.entries.iter_mut().flatten();
        for entry in entries.filter(|entry| entry.selection.reads_namespace_labels()) {
            entry.tally.clear();
            entry.count(&self.placed, columns, n_nodes);
            self.recounts += 1;
        }
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

    /// Gives the labels of the pod as its twins have them.
    pub(crate) fn add_pod(
        &mut self,
        node: NodeOrd,
        pod: &PodIdentity<'_>,
        columns: &[LabelColumn],
        n_nodes: usize,
    ) -> Labels {
        self.set_namespace_labels(pod.namespace, pod.namespace_labels, columns, n_nodes);
        let labels = self.placed.add(node, pod);
        for ord in self.selecting(pod) {
            if let Some(entry) = &mut self.entries[ord.0 as usize] {
                entry.tally.add(node, 1, columns, n_nodes);
            }
        }
        labels
    }

    pub(crate) fn remove_pod(&mut self, node: NodeOrd, pod: &PodIdentity<'_>, columns: &[LabelColumn]) {
        let counted = PodIdentity {
            namespace_labels: self.placed.namespace_labels(pod.namespace),
            ..*pod
        };
        for ord in self.selecting(&counted) {
            if let Some(entry) = &mut self.entries[ord.0 as usize] {
                entry.tally.sub(node, columns);
            }
        }
        self.placed.remove(node, pod);
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
    /// A number that no other term has had.
    serial: u64,
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
    /// How many terms there have been.
    serials: u64,
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
        self.serials += 1;
        self.entries[ord.0 as usize] = Some(PlacedTerm {
            serial: self.serials,
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

    /// The number of a term, which is never used again; 0 if it is gone.
    pub(crate) fn serial(&self, ord: TermOrd) -> u64 {
        self.get(ord).map_or(0, |term| term.serial)
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
            entry.tally.add(node, 1, columns, n_nodes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Requirement;

    fn one_of(key: &str, operator: Operator, value: &str) -> Option<LabelSelector> {
        Some(LabelSelector {
            requirements: Box::new([Requirement {
                key: key.into(),
                operator,
                values: Box::new([value.into()]),
            }]),
        })
    }

    fn in_namespaces(selector: Option<LabelSelector>) -> Selection {
        Selection {
            all_of: Box::new([PodSelector {
                selector: Some(LabelSelector::default()),
                namespaces: NamespaceScope {
                    names: Box::new(["named".into()]),
                    selector,
                },
            }]),
            count_terminating: true,
        }
    }

    /// Selections that nobody uses are kept for a while: the oldest go first.
    #[test]
    fn idle_selections_are_bounded() {
        let mut selections = Selections::default();
        for at in 0..300 {
            let ord = selections.acquire(in_namespaces(one_of("a", Operator::In, &at.to_string())), &[], 0);
            selections.release(ord);
        }
        let known = |at: usize| {
            let selection = in_namespaces(one_of("a", Operator::In, &at.to_string()));
            selections.by_content.contains_key(&selection)
        };
        assert!((44..300).all(known) && !(0..44).any(known));
        assert!(selections.is_idle() && selections.entries.len() == 257);
    }

    /// A namespace that has not been seen is found by its name, or by a selector that states nothing. Before 1.37 a
    /// selector that the absence of labels satisfies finds every namespace.
    #[test]
    fn namespaces_are_found_by_name_and_by_label() {
        let red: Labels = [("team", "red")].into_iter().collect();
        let is_red = one_of("team", Operator::In, "red");
        let not_red = one_of("team", Operator::NotIn, "red");
        let everywhere = Some(LabelSelector::default());
        for (selector, namespace, labels, before, since) in [
            (&None, "named", None, true, true),
            (&None, "red", Some(&red), false, false),
            (&is_red, "red", Some(&red), true, true),
            (&is_red, "red", None, false, false),
            (&not_red, "red", Some(&red), true, false),
            (&not_red, "red", None, true, false),
            (&not_red, "bare", Some(&Labels::default()), true, true),
            (&everywhere, "red", None, true, true),
        ] {
            for (minor, expected) in [(KubeMinor::V1_36, before), (KubeMinor::V1_37, since)] {
                let mut selections = Selections::default();
                selections.follow(minor);
                let ord = selections.acquire(in_namespaces(selector.clone()), &[], 0);
                let pod = PodIdentity {
                    namespace,
                    namespace_labels: labels,
                    labels: &Labels::default(),
                    terminating: false,
                };
                let found = selections.selecting(&pod).contains(&ord);
                assert_eq!(found, expected, "{minor} {selector:?} {namespace} {labels:?}");
            }
        }
    }

    #[test]
    fn spreading_counts_nothing_for_a_selector_that_states_nothing_and_no_pod_on_its_way_out() {
        let pod = |labels, terminating| PodIdentity {
            namespace: "named",
            namespace_labels: None,
            labels,
            terminating,
        };
        let (bare, web) = (Labels::default(), [("app", "web")].into_iter().collect());
        let spread = |selector| {
            let namespaces = in_namespaces(None).all_of[0].namespaces.clone();
            Selection::of_spread(PodSelector { selector, namespaces })
        };
        assert!(spread(one_of("app", Operator::In, "web")).selects(&pod(&web, false)));
        assert!(!spread(one_of("app", Operator::In, "web")).selects(&pod(&web, true)));
        assert!(!spread(Some(LabelSelector::default())).selects(&pod(&bare, false)));
        assert!(!spread(None).selects(&pod(&bare, false)));
    }
}
