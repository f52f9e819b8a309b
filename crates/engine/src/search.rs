//! The search for a plan of a gang: one pass over its members after another, each in another order or manner, until enough
//! members have a place, or it is proved that they cannot, or the budget is spent.
//!
//! A pass is greedy: class by class, each member on the node that is best on top of the places of those before it. The
//! first pass goes by priority, then by how hard classes are to place, and by the scores of the profile; it alone is free
//! of the budget, and what stands against its members is what people are told. Where members differ, others follow: the
//! class that failed goes first; the fullest node is taken, since a profile that spreads can strand large members.
//!
//! A search is deterministic, and goes on where it stopped: a step tries one member.

use crate::engine::Engine;
use crate::groups::GroupId;
use crate::plan::{Failure, Plan, Wish};
use crate::pods::{PodId, ShapeId};
use muster_framework::labels::Labels;
use muster_framework::table::NodeOrd;
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

/// The search for a plan of one gang.
#[derive(Debug)]
pub(crate) struct Search {
    classes: Vec<Class>,
    class_of: FxHashMap<PodId, usize>,
    /// Some member may find a place only after another has got one.
    in_company: bool,
    /// What a node can take depends on the node alone.
    per_node: bool,
    budget: u32,
    pass: Pass,
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
        let alone = specs().all(|spec| spec.anti_affinity.is_empty() && spec.volumes.is_empty());
        let greedy = Manner {
            order: (0..classes.len()).collect(),
            packing: false,
        };
        Search {
            class_of: class_of.collect(),
            in_company,
            per_node: !in_company && alone && !engine.cluster.has_promises(),
            budget: u32::try_from(members)
                .unwrap_or(u32::MAX)
                .saturating_mul(16)
                .saturating_add(256)
                .min(4096),
            pass: Pass::new(greedy.clone(), &classes),
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
        let hopeless = self.first.is_some() && self.pass.at_most() < required as usize;
        if !hopeless && self.pass.step(engine, &self.classes, self.in_company) {
            self.budget = self.budget.saturating_sub(u32::from(self.first.is_some()));
            return Step::GoOn;
        }
        if self.pass.plan.places.len() as u32 >= required {
            return Step::Suffices;
        }
        self.next_pass()
    }

    /// The pass that was made has come to nothing: the next one is begun.
    fn next_pass(&mut self) -> Step {
        let manner = self.pass.manner.clone();
        let culprit = manner
            .order
            .iter()
            .find(|class| self.pass.failed[**class].is_some())
            .copied();
        if self.first.is_none() {
            self.first = Some(self.pass.finish(&self.classes));
            if self.classes.len() == 1 && self.per_node {
                // Twins fill nodes one by one, whichever goes where: one pass finds room for as many as there is room for.
                self.certainty = Certainty::ProvedImpossible;
                return Step::GivesUp;
            }
            self.plan_other_passes();
        }
        if let Some(culprit) = culprit {
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
        Step::GivesUp
    }

    fn plan_other_passes(&mut self) {
        let order: Vec<usize> = (0..self.classes.len()).collect();
        let reverse: Vec<usize> = order.iter().rev().copied().collect();
        // The members that are hard to place may have taken the room of many that are easy.
        for (order, packing) in [(reverse.clone(), false), (order, true), (reverse, true)] {
            self.agenda.push_back(Manner { order, packing });
        }
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
    fn at_most(&self) -> usize {
        let open = self
            .left
            .iter()
            .zip(&self.failed)
            .filter(|(_, failed)| failed.is_none());
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
            let wish = Wish {
                packing: self.manner.packing,
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
    fn selected_labels(&self, labels: &Labels) -> Labels {
        if self.cluster.table.looks_at_pods() {
            labels.clone()
        } else {
            Labels::default()
        }
    }

    /// How hard a spec is to place: the largest share, in millionths, that it needs of what the largest node has.
    fn hardness(&self, shape: ShapeId) -> i64 {
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
