//! The search for a plan of a gang: one pass over its members after another, each in another order or manner, until enough
//! members have a place, or it is proved that they cannot, or the budget is spent.
//!
//! A pass is greedy: class by class, each member on the node that is best on top of the places of those before it. The
//! first pass goes by priority, then by how hard classes are to place, and by the scores of the profile; it alone is free
//! of the budget, and what stands against its members is what people are told. Where members differ, others follow: the
//! class that failed goes first; the fullest node is taken, since a profile that spreads can strand large members.
//!
//! Where members want company, the first of them is tried in each domain. What is left of the budget goes to an
//! [exhaustive](crate::exhaustive) search, if the gang is small.
//!
//! A search is deterministic, and goes on where it stopped: a step tries one member.

use crate::engine::Engine;
use crate::exhaustive::{Exhaustive, Found};
use crate::groups::GroupId;
use crate::plan::{Failure, Plan, Wish};
use crate::pods::{PodId, ShapeId};
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::resource::ResourceOrd;
use muster_framework::table::{ColumnOrd, NodeOrd};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Twins: members whose specs, and labels as far as any selector looks at them, are the same.
#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) members: Vec<PodId>,
    /// The member that extenders are asked about.
    pub(crate) asked: PodId,
    /// They have been.
    pub(crate) was_asked: bool,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to try.
    GoOn,
    /// Enough members have a place.
    Suffices,
    /// There is no plan, or none was found within the budget.
    GivesUp,
}

/// What is known of a gang without a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// There is no plan.
    ProvedImpossible,
    /// None was found within the budget.
    NotProved,
}

/// A pass that is to be made: classes by index in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Manner {
    order: Vec<usize>,
    packing: bool,
    /// The first member goes into this domain of a label, by its code.
    start: Option<(ColumnOrd, u32)>,
}

/// A pass that is being made.
#[derive(Debug)]
struct Pass {
    manner: Manner,
    /// Members to be tried by class, the next one last.
    left: Vec<Vec<PodId>>,
    /// The place in the order.
    at: usize,
    plan: Plan,
    /// Why a class has no place for its next member, and how many places the plan had then.
    failed: Vec<Option<(Failure, usize)>>,
}

/// How many members a gang may have that is searched exhaustively.
const EXHAUSTIVE: usize = 64;

/// Steps beyond the first pass: what it takes to try all members some sixteen times, but no more than a few thousand; where
/// nodes are few, and steps cheap, as many as judge four million nodes.
fn budget(members: u32, nodes: usize) -> u32 {
    let by_members = members.saturating_mul(16).saturating_add(256).min(4096);
    let by_nodes = (4_000_000 / nodes.max(1)).min(32_768) as u32;
    by_members.max(by_nodes)
}

/// The nodes of a domain.
fn domain(engine: &Engine, column: ColumnOrd, code: u32) -> NodeSet {
    let table = &engine.cluster.table;
    let mut nodes = NodeSet::with_len(table.padded_len());
    let inside = table
        .live()
        .iter()
        .filter(|node| table.column(column).code(*node) == code);
    inside.for_each(|node| nodes.insert(node));
    nodes
}

/// Whether even the smallest of the members need more of some resource than all nodes have left.
fn exceeds_all_room(engine: &Engine, classes: &[&Class], required: usize) -> bool {
    let table = &engine.cluster.table;
    (0..table.n_resources() as u16).map(ResourceOrd).any(|resource| {
        let need = |pod: &PodId| {
            let pod = engine.cluster.pods.get(*pod)?;
            let needs = &engine.cluster.shapes.compiled(pod.shape)?.needs;
            Some(needs.iter().find(|(r, _)| *r == resource).map_or(0, |(_, need)| *need))
        };
        let mut needs: Vec<i64> = Vec::new();
        for class in classes {
            let need = class.members.first().and_then(need).unwrap_or(0);
            needs.extend(std::iter::repeat_n(need, class.members.len()));
        }
        needs.sort_unstable();
        let least: i128 = needs.iter().take(required).map(|need| i128::from(*need)).sum();
        if least == 0 {
            return false;
        }
        let columns = (table.allocatable(resource), table.requested(resource));
        let free = table
            .live()
            .iter()
            .map(|node| i128::from(columns.0[node.index()].saturating_sub(columns.1[node.index()]).max(0)));
        least > free.sum()
    })
}

/// The search for a plan of one gang.
#[derive(Debug)]
pub(crate) struct Search {
    classes: Vec<Class>,
    class_of: FxHashMap<PodId, usize>,
    /// Some member may find a place only after another has got one.
    in_company: bool,
    /// What a node can take depends on the node alone.
    per_node: bool,
    /// Trying every node for every member is trying everything: no volumes are chosen, no promises stand in the way.
    is_complete: bool,
    /// Steps that are left, once the first pass is over.
    budget: u32,
    pass: Pass,
    exhaustive: Option<Exhaustive>,
    agenda: VecDeque<Manner>,
    tried: FxHashSet<Manner>,
    first: Option<Plan>,
    certainty: Certainty,
}

impl Search {
    /// A search that has not begun. Extenders have been asked about the classes already.
    pub(crate) fn new(engine: &Engine, mut classes: Vec<Class>) -> Search {
        for class in &mut classes {
            class.was_asked = engine.consultations.contains_key(&class.asked);
        }
        let members = classes.iter().map(|class| class.members.len()).sum::<usize>();
        let class_of = classes.iter().enumerate();
        let class_of = class_of.flat_map(|(at, class)| class.members.iter().map(move |pod| (*pod, at)));
        let specs = || {
            let pods = classes.iter().filter_map(|class| class.members.first());
            pods.filter_map(|pod| engine.cluster.pods.get(*pod))
                .map(|pod| &pod.record.spec)
        };
        let in_company = specs().any(|spec| !spec.affinity.is_empty() || !spec.spread.is_empty());
        let no_volumes = specs().all(|spec| spec.volumes.is_empty());
        let alone = no_volumes && specs().all(|spec| spec.anti_affinity.is_empty());
        let greedy = Manner {
            order: (0..classes.len()).collect(),
            packing: false,
            start: None,
        };
        let (members, nodes) = (u32::try_from(members).unwrap_or(u32::MAX), engine.cluster.table.len());
        Search {
            class_of: class_of.collect(),
            in_company,
            per_node: !in_company && alone && !engine.cluster.has_promises(),
            is_complete: no_volumes && !engine.cluster.has_promises(),
            budget: budget(members, nodes),
            pass: Pass::new(greedy.clone(), &classes),
            exhaustive: None,
            agenda: VecDeque::new(),
            tried: [greedy].into_iter().collect(),
            first: None,
            certainty: Certainty::NotProved,
            classes,
        }
    }

    pub(crate) fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// How a member is placed when only one node is in question.
    pub(crate) fn wish(&self, pod: PodId) -> Wish<'static> {
        let asked = self.class_of.get(&pod).map_or(pod, |class| self.classes[*class].asked);
        Wish::of(pod, asked)
    }

    /// Tries one member. `required` is how many members have to have a place.
    pub(crate) fn step(&mut self, engine: &mut Engine, required: u32) -> Step {
        if let Some(exhaustive) = &mut self.exhaustive {
            let found = exhaustive.step(engine, &self.classes, required as usize);
            return self.end_of_exhaustive_step(found);
        }
        let hopeless = self.first.is_some() && self.pass.at_most(self.in_company) < required as usize;
        if !hopeless && self.pass.step(engine, &self.classes, self.in_company) {
            self.spend(u32::from(self.first.is_some()));
            return Step::GoOn;
        }
        if self.pass.plan.places.len() as u32 >= required {
            return Step::Suffices;
        }
        if self.first.is_none() {
            self.first = Some(self.pass.finish(&self.classes));
            if self.is_proved_by_counting(engine, required) {
                self.certainty = Certainty::ProvedImpossible;
                return Step::GivesUp;
            }
            self.plan_other_passes(engine);
        }
        self.next_pass(engine)
    }

    fn spend(&mut self, steps: u32) {
        self.budget = self.budget.saturating_sub(steps);
    }

    fn end_of_exhaustive_step(&mut self, found: Found) -> Step {
        match found {
            Found::NotYet { steps } if steps <= self.budget => {
                self.spend(steps);
                Step::GoOn
            }
            Found::NotYet { .. } => Step::GivesUp,
            Found::Nothing => {
                let asked_too_little = self.first.as_ref().is_some_and(|first| first.asked_too_little);
                if self.is_complete && !asked_too_little {
                    self.certainty = Certainty::ProvedImpossible;
                }
                Step::GivesUp
            }
            Found::Plan(plan) => {
                // Members beyond what it takes may find a place beside it.
                self.exhaustive = None;
                self.pass = Pass::new(self.pass.manner.clone(), &self.classes);
                for place in &plan.places {
                    self.pass
                        .left
                        .iter_mut()
                        .for_each(|left| left.retain(|pod| *pod != place.pod));
                }
                self.pass.plan = *plan;
                Step::GoOn
            }
        }
    }

    /// The pass that was made has come to nothing: the next one is begun.
    fn next_pass(&mut self, engine: &mut Engine) -> Step {
        let manner = self.pass.manner.clone();
        let culprit = manner.order.iter().find(|class| self.pass.failed[**class].is_some());
        if let Some(culprit) = culprit.copied() {
            let mut order = manner.order;
            order.retain(|class| *class != culprit);
            order.insert(0, culprit);
            self.agenda.push_front(Manner { order, ..manner });
        }
        while let Some(manner) = self.agenda.pop_front() {
            if self.budget > 0 && self.tried.insert(manner.clone()) {
                self.pass = Pass::new(manner, &self.classes);
                return Step::GoOn;
            }
        }
        let members: usize = self.classes.iter().map(|class| class.members.len()).sum();
        if self.budget == 0 || members > EXHAUSTIVE {
            return Step::GivesUp;
        }
        self.exhaustive = Some(Exhaustive::new(engine, &self.classes, self.in_company, self.per_node));
        Step::GoOn
    }

    fn plan_other_passes(&mut self, engine: &Engine) {
        let order: Vec<usize> = (0..self.classes.len()).collect();
        let reverse: Vec<usize> = order.iter().rev().copied().collect();
        // The members that are hard to place may have taken the room of many that are easy.
        for (order, packing) in [(&reverse, false), (&order, true), (&reverse, true)] {
            self.agenda.push_back(Manner {
                order: order.clone(),
                packing,
                start: None,
            });
        }
        if self.in_company {
            self.plan_starts(engine);
        }
    }

    /// Where members want each other's company, the domain of the first decides for all: each is tried, the one with the
    /// most room first, for every class that may come first.
    fn plan_starts(&mut self, engine: &Engine) {
        let table = &engine.cluster.table;
        let compiled = |class: &Class| {
            let pod = engine.cluster.pods.get(*class.members.first()?)?;
            engine.cluster.shapes.compiled(pod.shape)
        };
        let mut columns: Vec<ColumnOrd> = Vec::new();
        for affinity in self
            .classes
            .iter()
            .filter_map(|class| compiled(class)?.affinity.as_ref())
        {
            columns.extend(
                affinity
                    .columns
                    .iter()
                    .filter(|column| !columns.contains(column))
                    .copied()
                    .collect::<Vec<_>>(),
            );
        }
        for (at, class) in self.classes.iter().enumerate() {
            let Some(&(resource, _)) = compiled(class).and_then(|compiled| {
                compiled.needs.iter().max_by_key(|(r, need)| {
                    i128::from(*need) * 1_000_000
                        / i128::from(table.allocatable(*r).iter().copied().max().unwrap_or(0).max(1))
                })
            }) else {
                continue;
            };
            let mut order: Vec<usize> = (0..self.classes.len()).filter(|class| *class != at).collect();
            order.insert(0, at);
            for column in &columns {
                let mut room = vec![0i64; table.column(*column).n_codes()];
                for node in table.live().iter() {
                    let free = table.allocatable(resource)[node.index()]
                        .saturating_sub(table.requested(resource)[node.index()]);
                    let sum = &mut room[table.column(*column).code(node) as usize];
                    *sum = sum.saturating_add(free.max(0));
                }
                let mut domains: Vec<u32> = (1..room.len() as u32).filter(|code| room[*code as usize] > 0).collect();
                domains.sort_by_key(|code| (Reverse(room[*code as usize]), *code));
                for code in domains.into_iter().take(self.budget as usize) {
                    self.agenda.push_back(Manner {
                        order: order.clone(),
                        packing: true,
                        start: Some((*column, code)),
                    });
                }
            }
        }
    }

    /// Whether counting alone tells that there is no plan, where no member can bring another one a place.
    fn is_proved_by_counting(&mut self, engine: &mut Engine, required: u32) -> bool {
        let asked_too_little = self.first.as_ref().is_some_and(|first| first.asked_too_little);
        if self.in_company || !self.is_complete || asked_too_little {
            return false;
        }
        // Twins fill nodes one by one, whichever goes where: one pass finds as many as there is room for.
        if self.classes.len() == 1 && self.per_node {
            return true;
        }
        let alone = Plan::default();
        let mut able = Vec::new();
        for class in self.classes.iter().filter(|class| !class.members.is_empty()) {
            self.budget = self.budget.saturating_sub(1);
            if !engine
                .nodes_for(Wish::of(class.members[0], class.asked), &alone)
                .is_empty()
            {
                able.push(class);
            }
        }
        let n_able = able.iter().map(|class| class.members.len()).sum::<usize>();
        n_able < required as usize || exceeds_all_room(engine, &able, required as usize)
    }

    /// Members and nodes that are no more what they were take their places along.
    pub(crate) fn lose(&mut self, engine: &mut Engine, members: &FxHashSet<PodId>, nodes: &[NodeOrd]) {
        for class in &mut self.classes {
            class.members.retain(|pod| !members.contains(pod));
        }
        for left in &mut self.pass.left {
            left.retain(|pod| !members.contains(pod));
        }
        let places = std::mem::take(&mut self.pass.plan).places;
        for place in places {
            if members.contains(&place.pod) {
                continue;
            }
            if !nodes.contains(&place.node) {
                engine.cluster.compile(place.pod);
                engine.put(place.pod, place.node, &mut self.pass.plan);
            } else if let Some(class) = self.class_of.get(&place.pod) {
                self.pass.left[*class].push(place.pod);
            }
        }
        self.pass.at = 0;
        // It knows nodes and members by what they were.
        self.exhaustive = None;
    }

    /// The plan that suffices.
    pub(crate) fn take_plan(&mut self) -> Plan {
        self.pass.finish(&self.classes)
    }

    /// Goes on with what is left of a plan; the members that lost their places have to find others.
    pub(crate) fn go_on_from(&mut self, kept: Plan, dropped: &[PodId]) {
        for pod in dropped {
            if let Some(class) = self.class_of.get(pod) {
                self.pass.left[*class].push(*pod);
            }
        }
        self.pass.failed.iter_mut().for_each(|failed| *failed = None);
        self.pass.plan = kept;
        self.pass.at = 0;
    }

    /// What the first pass came to, and whether there is no plan.
    pub(crate) fn into_first_plan(self) -> (Plan, Certainty) {
        (self.first.unwrap_or_default(), self.certainty)
    }
}

impl Pass {
    fn new(manner: Manner, classes: &[Class]) -> Pass {
        let left = classes
            .iter()
            .map(|class| class.members.iter().rev().copied().collect());
        Pass {
            manner,
            left: left.collect(),
            at: 0,
            plan: Plan::default(),
            failed: classes.iter().map(|_| None).collect(),
        }
    }

    /// How many members the pass may find places for at most.
    fn at_most(&self, in_company: bool) -> usize {
        let open = self.left.iter().zip(&self.failed);
        let open = open.filter(|(_, failed)| in_company || failed.is_none());
        self.plan.places.len() + open.map(|(left, _)| left.len()).sum::<usize>()
    }

    /// Tries one member. False: there is none left to try.
    ///
    /// Once a class finds no place its twins are not tried, since a plan only takes room away; where members want company,
    /// it is tried again after others have found places.
    fn step(&mut self, engine: &mut Engine, classes: &[Class], in_company: bool) -> bool {
        loop {
            let Some(&class) = self.manner.order.get(self.at) else {
                return in_company && self.begin_again();
            };
            let Some(&member) = self.left[class].last().filter(|_| self.failed[class].is_none()) else {
                self.at += 1;
                continue;
            };
            let start = self.manner.start.filter(|_| self.plan.places.is_empty());
            let within = start.map(|(column, code)| domain(engine, column, code));
            let wish = Wish {
                packing: self.manner.packing,
                within: within.as_ref(),
                twins_wait: self.left[class].len() > 1,
                ..Wish::of(member, classes[class].asked)
            };
            if engine.plan_member(wish, &mut self.plan) {
                self.left[class].pop();
                return true;
            }
            self.plan.asked_too_little |= !engine.pipeline.unasked().is_empty();
            let without_place = self.left[class].iter().rev().copied().collect();
            match engine.failure_of(member, without_place) {
                Some(failure) => self.failed[class] = Some((failure, self.plan.places.len())),
                None => drop(self.left[class].pop()),
            }
            return true;
        }
    }

    /// Lets classes try again that others may have brought company since they failed. False: there is none.
    fn begin_again(&mut self) -> bool {
        let places = self.plan.places.len();
        let mut any = false;
        for failed in &mut self.failed {
            any |= failed.take_if(|(_, then)| *then < places).is_some();
        }
        self.at = 0;
        any
    }

    /// The plan, with what stands against members without a place, and who has nothing to complain of.
    fn finish(&mut self, classes: &[Class]) -> Plan {
        let failed = self
            .manner
            .order
            .iter()
            .filter_map(|class| self.failed[*class].as_ref());
        let content = self.manner.order.iter().filter(|class| self.failed[**class].is_none());
        Plan {
            failures: failed.map(|(failure, _)| failure.clone()).collect(),
            content: content
                .filter_map(|class| classes[*class].members.first().copied())
                .collect(),
            ..std::mem::take(&mut self.plan)
        }
    }
}

// ---- classes -----------------------------------------------------------------------------------------------------

impl Engine {
    /// Pending members in classes of twins: higher priority first, then those that are hardest to place.
    pub(crate) fn classes(&mut self, id: GroupId) -> Vec<Class> {
        let Some(group) = self.groups.get(id) else {
            return Vec::new();
        };
        let members: Vec<PodId> = group.pending.iter().copied().collect();
        let mut by_twins: FxHashMap<(ShapeId, Labels, i32), Vec<PodId>> = FxHashMap::default();
        for member in members {
            self.cluster.compile(member);
            let priority = self.urgency_of_pod(member).priority;
            if let Some(pod) = self.cluster.pods.get(member) {
                by_twins
                    .entry((pod.shape, self.selected_labels(&pod.record.labels), priority))
                    .or_default()
                    .push(member);
            }
        }
        let mut hardness: FxHashMap<ShapeId, i64> = FxHashMap::default();
        let mut classes: Vec<_> = by_twins.into_iter().collect();
        for ((shape, _, _), _) in &classes {
            hardness.entry(*shape).or_insert_with(|| self.hardness(*shape));
        }
        classes.sort_by_key(|((shape, _, priority), members)| {
            (Reverse(*priority), Reverse(hardness[shape]), members.first().copied())
        });
        let classes = classes.into_iter().map(|(_, members)| members);
        classes.map(|members| self.class_of(members)).collect()
    }

    fn class_of(&self, members: Vec<PodId>) -> Class {
        let asked = members.iter().find(|pod| self.consultations.contains_key(pod));
        Class {
            asked: *asked.unwrap_or(&members[0]),
            was_asked: asked.is_some(),
            members,
        }
    }

    /// The labels that make twins differ: none, as long as no selector looks at any.
    pub(crate) fn selected_labels(&self, labels: &Labels) -> Labels {
        if self.cluster.table.looks_at_pods() {
            labels.clone()
        } else {
            Labels::default()
        }
    }

    /// How hard a spec is to place: the largest share, in millionths, that it needs of what the largest node has.
    pub(crate) fn hardness(&self, shape: ShapeId) -> i64 {
        let table = &self.cluster.table;
        let needs = self
            .cluster
            .shapes
            .compiled(shape)
            .map_or(&[][..], |compiled| &compiled.needs);
        let share = |&(resource, need): &(_, i64)| {
            let largest = table.allocatable(resource).iter().copied().max().unwrap_or(0).max(1);
            i64::try_from(i128::from(need) * 1_000_000 / i128::from(largest)).unwrap_or(i64::MAX)
        };
        needs.iter().map(share).max().unwrap_or(0)
    }
}
