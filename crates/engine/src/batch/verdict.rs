//! A verdict: which nodes can take a pod and its twins, and which of them is best, kept up to date as nodes change.
//!
//! What a profile says of a node is taken apart by what it depends on. *Fixed*: filters that read the node's own record.
//! *Varying*: filters that read the pods on it, too. *Stable*: scores of the node alone, that are not normalised. *Ground*:
//! scores of the node alone that are. *By domain*: filters and scores that count pods elsewhere. Nodes that agree in the
//! ground and in what is said by domain are one cell: within it the stable part alone decides. So a decision looks at each
//! cell once, and at its best node, and gives what the full pass over all nodes gives, ties included.

use super::blame::{Blames, Named};
use super::cell_table::{CellTable, Entry, TooManyCells};
use crate::pipeline::tie_of;
use muster_framework::cells::{ByDomain, Cells, Changes, DomainFilter, DomainScore, Places};
use muster_framework::node_set::{BLOCK_BITS, NodeSet};
use muster_framework::plugin::{Filter, PodToPlace, Reads, Score};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::view::{Delta, View};
use muster_plugins::Profile;
use smallvec::SmallVec;
use std::ops::Range;

/// A pod that is judged.
pub(super) struct Asked<'a> {
    pub(super) profile: &'a Profile,
    pub(super) pod: &'a PodToPlace<'a>,
    pub(super) view: &'a View<'a>,
    /// Breaks ties between nodes.
    pub(super) salt: u64,
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoVerdict {
    /// A plugin reads more than can be followed.
    ReadsAnything,
    /// It would have too many cells.
    TooManyCells,
}

impl From<TooManyCells> for NoVerdict {
    fn from(_: TooManyCells) -> Self {
        NoVerdict::TooManyCells
    }
}

/// What is judged, taken apart: indices are those among the filters and scores of the profile.
struct Parts {
    fixed: Vec<usize>,
    varying: Vec<usize>,
    by_domain: Vec<(usize, Box<dyn DomainFilter>)>,
    stable: Vec<usize>,
    ground: Vec<usize>,
    scores_by_domain: Vec<(usize, Box<dyn DomainScore>)>,
    /// What each score reads, by index.
    scores_read: Vec<Reads>,
    /// A filter that reads nodes comes after one by domain: who is to blame cannot be told from the parts.
    is_out_of_order: bool,
}

impl Parts {
    fn of(asked: &Asked<'_>) -> Result<Parts, NoVerdict> {
        let Asked { profile, pod, view, .. } = asked;
        let mut parts = Parts {
            fixed: Vec::new(),
            varying: Vec::new(),
            by_domain: Vec::new(),
            stable: Vec::new(),
            ground: Vec::new(),
            scores_by_domain: Vec::new(),
            scores_read: Vec::new(),
            is_out_of_order: false,
        };
        for (at, (_, filter)) in profile.filters().enumerate() {
            let reads = filter.reads(pod);
            parts.is_out_of_order |= matches!(reads, Reads::Node | Reads::NodeAndPods) && !parts.by_domain.is_empty();
            match reads {
                Reads::Nothing => {}
                Reads::Node => parts.fixed.push(at),
                Reads::NodeAndPods => parts.varying.push(at),
                Reads::Domains => {
                    let by_domain = filter.by_domain(pod, view).ok_or(NoVerdict::ReadsAnything)?;
                    parts.by_domain.push((at, by_domain));
                }
                Reads::AllNodes | Reads::Anything => return Err(NoVerdict::ReadsAnything),
            }
        }
        for (at, (_, _, score)) in profile.scores().enumerate() {
            let reads = score.reads(pod, view);
            parts.scores_read.push(reads);
            match reads {
                Reads::Nothing => {}
                _ if score.skips(pod, view, view.table().live()) && reads != Reads::Domains => {}
                Reads::Node | Reads::AllNodes | Reads::NodeAndPods if score.normalizes() => parts.ground.push(at),
                Reads::Node | Reads::AllNodes | Reads::NodeAndPods => parts.stable.push(at),
                Reads::Domains => {
                    let by_domain = score.by_domain(pod, view).ok_or(NoVerdict::TooManyCells)?;
                    parts.scores_by_domain.push((at, by_domain));
                }
                Reads::Anything => return Err(NoVerdict::ReadsAnything),
            }
        }
        Ok(parts)
    }

    fn all_by_domain(&mut self) -> impl Iterator<Item = &mut dyn ByDomain> {
        let filters = self
            .by_domain
            .iter_mut()
            .map(|(_, by_domain)| &mut **by_domain as &mut dyn ByDomain);
        let scores = self.scores_by_domain.iter_mut();
        filters.chain(scores.map(|(_, by_domain)| &mut **by_domain as &mut dyn ByDomain))
    }

    fn hold(&self, view: &View<'_>) -> bool {
        self.by_domain.iter().all(|(_, by_domain)| by_domain.holds(view))
            && self.scores_by_domain.iter().all(|(_, by_domain)| by_domain.holds(view))
    }

    /// Adds what is said by domain to the place of a node; gives where the part of each ends.
    fn place(&self, table: &NodeTable, node: NodeOrd, places: &mut Places) -> SmallVec<[usize; 4]> {
        let mut ends = SmallVec::new();
        for (_, by_domain) in &self.by_domain {
            by_domain.place(table, node, places);
            ends.push(places.len());
        }
        for (_, by_domain) in &self.scores_by_domain {
            by_domain.place(table, node, places);
            ends.push(places.len());
        }
        ends
    }
}

/// What of the cluster a verdict has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    position: u64,
    recounts: u64,
    image_changes: u64,
}

impl Seen {
    fn of(table: &NodeTable) -> Seen {
        Seen {
            position: table.position(),
            recounts: table.recounts(),
            image_changes: table.image_changes(),
        }
    }
}

/// What of a plan a verdict has seen.
#[derive(Debug, Default)]
struct SeenPlan {
    /// 0: nothing was planned.
    number: u64,
    nodes: Vec<NodeOrd>,
}

/// What a verdict comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The best node.
    Node(NodeOrd),
    /// No node can take the pod.
    Nowhere,
}

/// Memory that decisions use again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    feasible: NodeSet,
    scores: Vec<i64>,
    totals: Vec<i64>,
    changed: Vec<(NodeOrd, bool)>,
    nodes: Vec<NodeOrd>,
    moved: Vec<NodeOrd>,
    rejected: Vec<(usize, Code, &'static Reason, usize)>,
}

/// Which nodes can take a pod and its twins, and which is best.
pub(super) struct Verdict {
    parts: Parts,
    seen: Seen,
    plan: SeenPlan,
    /// Nodes that fixed filters leave.
    eligible: NodeSet,
    /// By node, the scores of the ground, one after the other.
    ground: Vec<i64>,
    cells: CellTable,
    /// Where in a place each part by domain ends, filters first; empty while no node has been placed.
    ends: SmallVec<[usize; 4]>,
    blames: Option<Blames>,
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verdict")
            .field("seen", &self.seen)
            .field("cells", &self.cells.len())
            .finish_non_exhaustive()
    }
}

// ---- making ------------------------------------------------------------------------------------------------------

impl Verdict {
    /// Judges all nodes.
    pub(super) fn new(asked: &Asked<'_>) -> Result<Verdict, NoVerdict> {
        let table = asked.view.table();
        let mut verdict = Verdict {
            parts: Parts::of(asked)?,
            seen: Seen::of(table),
            plan: SeenPlan::default(),
            eligible: NodeSet::default(),
            ground: Vec::new(),
            cells: CellTable::default(),
            ends: SmallVec::new(),
            blames: None,
        };
        verdict.plan = SeenPlan::of(asked.view.delta());
        let nodes: Vec<NodeOrd> = table.live().iter().collect();
        let changes = Changes {
            nodes: &nodes,
            records: true,
        };
        let mut moved = Vec::new();
        for by_domain in verdict.parts.all_by_domain() {
            by_domain.follow(asked.pod, asked.view, changes, &mut moved);
            moved.clear();
        }
        verdict.eligible = table.live().clone();
        verdict.eligible.grow(table.padded_len());
        run(&verdict.parts.fixed, asked, &mut verdict.eligible);
        verdict.lay_ground(asked);
        let mut fitting = verdict.eligible.clone();
        run(&verdict.parts.varying, asked, &mut fitting);
        verdict.fill_cells(asked, &fitting)?;
        Ok(verdict)
    }

    fn lay_ground(&mut self, asked: &Asked<'_>) {
        let n_ground = self.parts.ground.len();
        let padded = asked.view.table().padded_len();
        self.ground = vec![0; padded * n_ground];
        let mut scores = vec![0; padded];
        for (at, score) in self.parts.ground.iter().enumerate() {
            let (_, score) = score_at(asked.profile, *score);
            score.score(asked.pod, asked.view, &self.eligible, &mut scores);
            for node in self.eligible.iter() {
                self.ground[node.index() * n_ground + at] = scores[node.index()];
            }
        }
    }

    fn fill_cells(&mut self, asked: &Asked<'_>, fitting: &NodeSet) -> Result<(), NoVerdict> {
        let padded = asked.view.table().padded_len();
        let (mut stable, mut scores) = (vec![0i64; padded], vec![0; padded]);
        for at in &self.parts.stable {
            let (weight, score) = score_at(asked.profile, *at);
            score.score(asked.pod, asked.view, fitting, &mut scores);
            let sums = stable.iter_mut().zip(&scores);
            sums.for_each(|(sum, score)| *sum = sum.wrapping_add(weight.wrapping_mul(*score)));
        }
        let mut ends = SmallVec::new();
        let entries = fitting.iter().map(|node| {
            let (place, parts) = self.place(asked.view.table(), node);
            ends = parts;
            (node, place, stable[node.index()], tie(asked, node))
        });
        self.cells = CellTable::of(entries)?;
        self.ends = ends;
        Ok(())
    }

    fn place(&self, table: &NodeTable, node: NodeOrd) -> (Places, SmallVec<[usize; 4]>) {
        let n_ground = self.parts.ground.len();
        let ground = &self.ground[node.index() * n_ground..(node.index() + 1) * n_ground];
        let mut places = Places::from_slice(ground);
        let ends = self.parts.place(table, node, &mut places);
        (places, ends)
    }

    /// About how many bytes a verdict takes for so many nodes.
    pub(super) fn bytes(n_nodes: usize) -> usize {
        const PER_NODE: usize = 112;
        n_nodes * PER_NODE + 4096
    }
}

impl SeenPlan {
    fn of(delta: &Delta) -> SeenPlan {
        if delta.log().is_empty() {
            return SeenPlan::default();
        }
        SeenPlan {
            number: delta.number(),
            nodes: delta.log().to_vec(),
        }
    }

    /// Notes the nodes on which the plan is not what it was when it was seen last.
    fn follow(&mut self, delta: &Delta, changed: &mut Vec<(NodeOrd, bool)>) {
        let number = if delta.log().is_empty() { 0 } else { delta.number() };
        if self.number != number {
            changed.extend(self.nodes.drain(..).map(|node| (node, false)));
            self.number = number;
        }
        let new = delta.log().get(self.nodes.len()..).unwrap_or(&[]);
        changed.extend(new.iter().map(|node| (*node, false)));
        self.nodes.extend_from_slice(new);
    }
}

fn tie(asked: &Asked<'_>, node: NodeOrd) -> u64 {
    tie_of(asked.salt, asked.view.table(), node)
}

fn run(filters: &[usize], asked: &Asked<'_>, nodes: &mut NodeSet) {
    let mut unheard = Rejections::counting();
    for at in filters {
        filter_at(asked.profile, *at).filter(asked.pod, asked.view, nodes, &mut unheard);
    }
}

fn filter_at(profile: &Profile, at: usize) -> &dyn Filter {
    profile.filter_at(at).expect("the profile has not changed")
}

/// A score and its weight.
fn score_at(profile: &Profile, at: usize) -> (i64, &dyn Score) {
    profile.score_at(at).expect("the profile has not changed")
}

// ---- following ---------------------------------------------------------------------------------------------------

impl Verdict {
    /// Judges again what has changed. Gives how many nodes these were; None: the verdict has to be made anew, because too
    /// much has changed, or what cannot be followed.
    pub(super) fn follow(&mut self, asked: &Asked<'_>, scratch: &mut Scratch) -> Option<usize> {
        let table = asked.view.table();
        let changed = &mut scratch.changed;
        changed.clear();
        changed.extend(
            table
                .changed_since(self.seen.position)?
                .map(|change| (change.node, change.record)),
        );
        self.plan.follow(asked.view.delta(), changed);
        let now = Seen::of(table);
        if self.seen == now && changed.is_empty() {
            return Some(0);
        }
        let images_changed = self.seen.image_changes != now.image_changes && !self.is_still_read(asked);
        if self.seen.recounts != now.recounts || images_changed || self.cells.is_worn() || !self.parts.hold(asked.view)
        {
            return None;
        }
        self.seen = now;
        distinct(changed);
        if changed.len() > most_followed(table.len()) {
            return None;
        }
        let n = changed.len();
        self.judge_again(asked, scratch).ok()?;
        Some(n)
    }

    /// No score reads more than it did, or all nodes.
    fn is_still_read(&self, asked: &Asked<'_>) -> bool {
        let scores = asked.profile.scores().zip(&self.parts.scores_read);
        let mut reads = scores.map(|((_, _, score), was)| (score.reads(asked.pod, asked.view), *was));
        reads.all(|(now, was)| now == was && now != Reads::AllNodes)
    }

    fn judge_again(&mut self, asked: &Asked<'_>, scratch: &mut Scratch) -> Result<(), TooManyCells> {
        let table = asked.view.table();
        self.ground.resize(table.padded_len() * self.parts.ground.len(), 0);
        self.eligible.grow(table.padded_len());
        let Scratch {
            changed, nodes, moved, ..
        } = scratch;
        nodes.clear();
        nodes.extend(changed.iter().map(|(node, _)| *node));
        moved.clear();
        let changes = Changes {
            nodes,
            records: changed.iter().any(|(_, record)| *record),
        };
        for by_domain in self.parts.all_by_domain() {
            by_domain.follow(asked.pod, asked.view, changes, moved);
        }
        for (node, record) in changed.iter() {
            if *record {
                // Another node may have its ordinal now: even if that is as good, ties are broken by another name.
                self.cells.take_out(*node);
                self.read_record(asked, *node);
            }
            self.judge_node(asked, *node)?;
        }
        for node in moved.iter() {
            if let Some(stable) = self.cells.stable(*node) {
                let (place, _) = self.place(table, *node);
                self.cells.put(*node, place, stable, tie(asked, *node))?;
            }
        }
        if let Some(mut blames) = self.blames.take() {
            let filters = self.parts.local_filters(asked.profile);
            nodes.iter().for_each(|node| blames.judge_again(&filters, asked, *node));
            self.blames = Some(blames);
        }
        Ok(())
    }

    /// A node says something else of itself, or is gone.
    fn read_record(&mut self, asked: &Asked<'_>, node: NodeOrd) {
        let mut one = NodeSet::default();
        if asked.view.table().live().contains(node) {
            one.grow(asked.view.table().padded_len());
            one.insert(node);
            run(&self.parts.fixed, asked, &mut one);
        }
        if one.is_empty() {
            self.eligible.remove(node);
            return;
        }
        self.eligible.insert(node);
        let n_ground = self.parts.ground.len();
        for (at, score) in self.parts.ground.iter().enumerate() {
            let (_, score) = score_at(asked.profile, *score);
            self.ground[node.index() * n_ground + at] = score.score_node(asked.pod, asked.view, node);
        }
    }

    fn judge_node(&mut self, asked: &Asked<'_>, node: NodeOrd) -> Result<(), TooManyCells> {
        let Asked { profile, pod, view, .. } = asked;
        let fits = |at: &usize| filter_at(profile, *at).fits(pod, view, node);
        if !self.eligible.contains(node) || !self.parts.varying.iter().all(fits) {
            self.cells.take_out(node);
            return Ok(());
        }
        let stable = self.parts.stable.iter().fold(0i64, |sum, at| {
            let (weight, score) = score_at(profile, *at);
            sum.wrapping_add(weight.wrapping_mul(score.score_node(pod, view, node)))
        });
        let (place, ends) = self.place(view.table(), node);
        self.ends = ends;
        self.cells.put(node, place, stable, tie(asked, node))
    }
}

/// Each node once, with whether its record changed.
fn distinct(changed: &mut Vec<(NodeOrd, bool)>) {
    if changed.len() > 1 {
        // A changed record comes first, and is kept.
        changed.sort_unstable_by_key(|(node, record)| (*node, !record));
        changed.dedup_by_key(|(node, _)| *node);
    }
}

/// Up to so many changed nodes are judged one by one; more cost as much as all nodes.
pub(super) fn most_followed(n_nodes: usize) -> usize {
    n_nodes / 8 + 8
}

impl Parts {
    /// The filters that read nodes and their pods, in the order of the profile.
    fn local_filters<'a>(&self, profile: &'a Profile) -> Vec<Named<'a>> {
        let is_local = |at: &usize| self.fixed.contains(at) || self.varying.contains(at);
        let filters = profile.filters().enumerate();
        filters
            .filter(|(at, _)| is_local(at))
            .map(|(_, filter)| filter)
            .collect()
    }
}

// ---- deciding ----------------------------------------------------------------------------------------------------

impl Verdict {
    /// The best node, or the node that the pod is promised, if that can take it.
    pub(super) fn choose(&mut self, asked: &Asked<'_>, wanted: Option<NodeOrd>, scratch: &mut Scratch) -> Outcome {
        self.judge_cells(scratch);
        let in_feasible = |node: &NodeOrd| {
            let cell = self.cells.cell_of(*node);
            cell.is_some_and(|cell| scratch.feasible.contains(NodeOrd(cell as u32)))
        };
        if let Some(wanted) = wanted.filter(in_feasible) {
            return Outcome::Node(wanted);
        }
        match scratch.feasible.len() {
            0 => return Outcome::Nowhere,
            1 => {
                // Within a cell the stable part alone decides.
                scratch.totals.clear();
                scratch.totals.resize(self.cells.len(), 0);
            }
            _ => self.score_cells(asked, scratch),
        }
        let mut best: Option<(i64, Entry)> = None;
        for cell in scratch.feasible.iter().map(NodeOrd::index) {
            if let Some(top) = self.cells.best(cell) {
                let total = scratch.totals[cell].wrapping_add(top.stable);
                let rank = |(total, top): (i64, Entry)| (total, top.tie, top.node);
                if best.is_none_or(|best| rank(best) < rank((total, top))) {
                    best = Some((total, top));
                }
            }
        }
        best.map_or(Outcome::Nowhere, |(_, top)| Outcome::Node(top.node))
    }

    /// Leaves the cells that no filter rejects, and notes what rejects the others.
    fn judge_cells(&mut self, scratch: &mut Scratch) {
        for (_, by_domain) in &mut self.parts.by_domain {
            by_domain.judge();
        }
        let Scratch { feasible, rejected, .. } = scratch;
        feasible.clear();
        rejected.clear();
        for cell in (0..self.cells.len()).filter(|cell| self.cells.size(*cell) > 0) {
            let place = self.cells.place(cell);
            let filters = self.parts.by_domain.iter().enumerate();
            let mut reasons = filters.filter_map(|(nth, (at, by_domain))| {
                let (code, reason) = by_domain.rejects(&place[self.span(nth)])?;
                Some((*at, code, reason, self.cells.size(cell)))
            });
            match reasons.next() {
                Some(rejection) => rejected.push(rejection),
                None => feasible.insert(NodeOrd(cell as u32)),
            }
        }
    }

    /// The part of a place that the plugin by domain of this number has given.
    fn span(&self, nth: usize) -> Range<usize> {
        let start = match nth {
            0 => self.parts.ground.len(),
            nth => self.ends[nth - 1],
        };
        start..self.ends[nth]
    }

    /// What the scores that make a difference between cells add up to.
    fn score_cells(&self, asked: &Asked<'_>, scratch: &mut Scratch) {
        let Scratch {
            feasible,
            scores,
            totals,
            ..
        } = scratch;
        let padded = self.cells.len().next_multiple_of(BLOCK_BITS);
        feasible.grow(padded);
        totals.clear();
        totals.resize(padded, 0);
        scores.resize(padded, 0);
        let mut add = |weight: i64, scores: &[i64]| {
            for cell in feasible.iter().map(NodeOrd::index) {
                totals[cell] = totals[cell].wrapping_add(weight.wrapping_mul(scores[cell]));
            }
        };
        for (nth, at) in self.parts.ground.iter().enumerate() {
            let (weight, score) = score_at(asked.profile, *at);
            for cell in feasible.iter().map(NodeOrd::index) {
                scores[cell] = self.cells.place(cell)[nth];
            }
            score.normalize(asked.pod, asked.view, feasible, scores);
            add(weight, scores);
        }
        for (nth, (at, by_domain)) in self.parts.scores_by_domain.iter().enumerate() {
            let (weight, _) = score_at(asked.profile, *at);
            let span = self.span(self.parts.by_domain.len() + nth);
            let cells = Cells {
                feasible,
                place: &|cell| &self.cells.place(cell)[span.clone()],
                size: &|cell| self.cells.size(cell),
            };
            by_domain.score(&cells, scores);
            add(weight, scores);
        }
    }

    /// Says why nothing can take the pod, after it has come to that, as the full pass would. False: it cannot be told.
    pub(super) fn explain(&mut self, asked: &Asked<'_>, scratch: &Scratch, rejections: &mut Rejections) -> bool {
        if self.parts.is_out_of_order {
            return false;
        }
        let filters = self.parts.local_filters(asked.profile);
        let blames = self.blames.get_or_insert_with(|| Blames::of_all(&filters, asked));
        for (at, (name, _)) in asked.profile.filters().enumerate() {
            blames.tell(name, rejections);
            for (_, code, reason, nodes) in scratch.rejected.iter().filter(|(by, ..)| *by == at) {
                rejections.reject_counted(*nodes as u32, *code, std::slice::from_ref(*reason));
            }
        }
        true
    }
}
