//! One scheduling cycle: a single pod is given a node, or a gang is planned as a whole and committed or dropped.

use crate::diagnosis::{self, Shortfall};
use crate::engine::Engine;
use crate::groups::GroupId;
use crate::observation::{AttemptResult, Observation};
use crate::pipeline::ALL_PLUGINS;
use crate::pods::{PodId, ShapeId};
use crate::preparation::Planned;
use crate::queue::{Entity, Rejected};
use crate::time::Time;
use muster_framework::group::GroupPolicy;
use muster_framework::labels::Labels;
use muster_framework::view::{Delta, View};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::cmp::Reverse;

/// One attempt at one entity.
pub(crate) struct Cycle<'a> {
    engine: &'a mut Engine,
    now: Time,
}

/// Why a member found no place, said at the moment when it was tried.
struct Failure {
    rejected: Rejected,
    message: String,
    /// The member, then its twins, which were not tried.
    without_place: Vec<PodId>,
}

/// A plan: places for some members, that nobody else sees, and what stood against the others.
#[derive(Default)]
struct Plan {
    delta: Delta,
    places: Vec<Planned>,
    failures: Vec<Failure>,
    /// One member of each class that found places for all.
    content: Vec<PodId>,
    /// A member found no place only because extenders were not asked about nodes that could take it now.
    asked_too_little: bool,
}

impl<'a> Cycle<'a> {
    pub(crate) fn new(engine: &'a mut Engine, now: Time) -> Cycle<'a> {
        Cycle { engine, now }
    }

    /// Tries the entity that the queue gave out.
    pub(crate) fn run(mut self, entity: Entity) {
        match entity {
            Entity::Pod(pod) => self.try_pod(pod),
            Entity::Group(group) => self.try_group(group),
        }
    }

    fn try_pod(&mut self, pod: PodId) {
        if !self.engine.consult(self.now, pod) {
            return;
        }
        let mut plan = Plan::default();
        self.plan_member(pod, pod, &mut plan);
        self.engine.end_consultation(pod);
        if plan.asked_too_little {
            // They are asked anew: about other nodes, so this ends.
            return self.try_pod(pod);
        }
        let scheduled = !plan.places.is_empty();
        self.observe_attempt(pod, 1, scheduled, false);
        match plan.failures.pop() {
            None => self.engine.depart(self.now, &plan.places),
            Some(failure) => {
                let rejected = SmallVec::from_slice(&[failure.rejected]);
                self.engine.park(self.now, Entity::Pod(pod), 1, rejected);
                self.engine
                    .want(self.now, pod, diagnosis::UNSCHEDULABLE, failure.message, true);
            }
        }
    }

    fn try_group(&mut self, id: GroupId) {
        let Some(group) = self.engine.groups.get_mut(id) else {
            return;
        };
        group.recovering = false;
        let Some(group) = self.engine.groups.get(id) else {
            return;
        };
        let Ok(GroupPolicy::Gang { min_count }) = self.engine.groups.ready(group) else {
            // Whatever takes the quorum or the policy away takes the group out of the queue: this is a belt to braces.
            self.engine.evaluate_group(self.now, id, None, "ScheduleAttemptFailure");
            return;
        };
        let min_count = min_count.max(1) as u32;
        let satisfied = group.satisfied_by();
        let suffices = |plan: &Plan| !plan.places.is_empty() && satisfied + plan.places.len() as u32 >= min_count;
        let mut classes = self.classes(id);
        let representatives: Vec<PodId> = classes.iter().map(|class| self.representative(class)).collect();
        let mut all_said = true;
        for pod in &representatives {
            all_said &= self.engine.consult(self.now, *pod);
        }
        if !all_said {
            return;
        }
        let plan = self.plan_group(&classes);
        if suffices(&plan) {
            self.end_consultations(&classes);
            return self.commit_gang(id, &plan);
        }
        if classes.len() > 1 {
            // The members that are hard to place may have taken the room of many that are easy.
            classes.reverse();
            let other = self.plan_group(&classes);
            if suffices(&other) {
                self.end_consultations(&classes);
                return self.commit_gang(id, &other);
            }
        }
        self.end_consultations(&classes);
        if plan.asked_too_little {
            // As for a pod: what they are asked about now contains every node that a plan can reach.
            return self.try_group(id);
        }
        let shortfall = Shortfall {
            satisfied,
            planned: plan.places.len() as u32,
            min_count,
        };
        self.drop_gang(id, &plan, shortfall);
    }
}

// ---- extenders ---------------------------------------------------------------------------------------------------

impl Cycle<'_> {
    /// The member of a class of twins that extenders are asked about.
    fn representative(&self, class: &[PodId]) -> PodId {
        let asked = class.iter().find(|pod| self.engine.consultations.contains_key(pod));
        *asked.unwrap_or(&class[0])
    }

    /// All members, not only those that were asked about now: who was asked about may have become another's twin since.
    fn end_consultations(&mut self, classes: &[Vec<PodId>]) {
        for pod in classes.iter().flatten() {
            self.engine.end_consultation(*pod);
        }
    }
}

// ---- planning ----------------------------------------------------------------------------------------------------

impl Cycle<'_> {
    /// Finds the best node for a pod on top of the plan so far, or writes down what stands against it. What extenders say
    /// is what they have said of its twin `asked`.
    fn plan_member(&mut self, id: PodId, asked: PodId, plan: &mut Plan) {
        self.engine.cluster.compile(id);
        self.engine.cluster.compile_nominated(id);
        let Engine {
            cluster,
            pipeline,
            consultations,
            ..
        } = &mut *self.engine;
        let (Some(pod), Some(record)) = (cluster.to_place(id), cluster.pods.get(id).map(|pod| &pod.record)) else {
            return;
        };
        let Some(profile) = pipeline.profile_of(&record.scheduler_name) else {
            return;
        };
        let view = View::new(&cluster.table, &plan.delta);
        let wanted = record
            .nominated_node_name()
            .and_then(|name| cluster.table.by_name(name));
        match pipeline.place(
            profile,
            &pod,
            &view,
            &cluster.nominated_to_place(id, &plan.places),
            wanted,
            consultations.get(&asked),
        ) {
            Some(node) => {
                let bindings = pipeline.bindings(profile, &pod, &view, node);
                plan.delta.add(&cluster.table, node, &pod);
                if !bindings.is_empty() {
                    plan.delta.assume(&record.uid, &bindings);
                }
                plan.places.push(Planned {
                    pod: id,
                    node,
                    bindings,
                });
            }
            None => {
                plan.asked_too_little |= !pipeline.unasked().is_empty();
                plan.failures.push(Failure {
                    rejected: Rejected {
                        pod: id,
                        plugins: pipeline.rejecting_plugins(profile),
                    },
                    message: diagnosis::no_node(&cluster.table, pipeline.rejections()),
                    without_place: vec![id],
                });
            }
        }
    }

    /// Plans all pending members, class by class: once a class finds no place, its twins are not tried, since a plan only
    /// takes room away.
    fn plan_group(&mut self, classes: &[Vec<PodId>]) -> Plan {
        let mut plan = Plan::default();
        for class in classes {
            let failures = plan.failures.len();
            let asked = self.representative(class);
            for (at, member) in class.iter().enumerate() {
                self.plan_member(*member, asked, &mut plan);
                if plan.failures.len() > failures {
                    plan.failures[failures].without_place = class[at..].to_vec();
                    break;
                }
            }
            if plan.failures.len() == failures {
                plan.content.extend(class.first());
            }
        }
        plan
    }

    /// Pending members in classes of twins: higher priority first, then those that are hardest to place.
    fn classes(&mut self, id: GroupId) -> Vec<Vec<PodId>> {
        let Some(group) = self.engine.groups.get(id) else {
            return Vec::new();
        };
        let members: Vec<PodId> = group.pending.iter().copied().collect();
        let mut by_twins: FxHashMap<(ShapeId, Labels, i32), Vec<PodId>> = FxHashMap::default();
        for member in members {
            self.engine.cluster.compile(member);
            let priority = self.engine.urgency_of_pod(member).priority;
            if let Some(pod) = self.engine.cluster.pods.get(member) {
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
        classes.into_iter().map(|(_, members)| members).collect()
    }

    /// The labels that make twins differ: none, as long as no selector looks at any.
    fn selected_labels(&self, labels: &Labels) -> Labels {
        if self.engine.cluster.table.looks_at_pods() {
            labels.clone()
        } else {
            Labels::default()
        }
    }

    /// How hard a spec is to place: the largest share, in millionths, that it needs of what the largest node has.
    fn hardness(&self, shape: ShapeId) -> i64 {
        let table = &self.engine.cluster.table;
        let needs = self
            .engine
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

// ---- committing and dropping -------------------------------------------------------------------------------------

impl Cycle<'_> {
    fn commit_gang(&mut self, id: GroupId, plan: &Plan) {
        if let Some(Planned { pod, .. }) = plan.places.first() {
            self.observe_attempt(*pod, plan.places.len() as u32, true, true);
        }
        self.engine.depart(self.now, &plan.places);
        let left = self.pending(id).len() as u32;
        if left == 0 || self.engine.queue.section(Entity::Group(id)).is_some() {
            // All are on their way, or have had their places taken back at once and wait to be tried again.
            return;
        }
        if plan.asked_too_little {
            // The others are tried again at once, and extenders asked anew.
            return self.engine.evaluate_group(self.now, id, None, "ScheduleAttemptFailure");
        }
        // More members than places: the gang goes, the others wait for room.
        let rejected = plan.failures.iter().map(|failure| failure.rejected).collect();
        self.engine.park(self.now, Entity::Group(id), left, rejected);
        for failure in &plan.failures {
            for member in &failure.without_place {
                let message = failure.message.clone();
                self.engine
                    .want(self.now, *member, diagnosis::UNSCHEDULABLE, message, true);
            }
        }
    }

    /// Drops the plan without a trace, and says to every member what stands against the gang.
    fn drop_gang(&mut self, id: GroupId, plan: &Plan, shortfall: Shortfall) {
        let pending = self.pending(id);
        if let Some(first) = pending.first() {
            self.observe_attempt(*first, pending.len() as u32, false, true);
        }
        // Members that have a place may stand in the way of those that have none: more room for them helps as well.
        let content = plan.content.iter().map(|pod| Rejected {
            pod: *pod,
            plugins: ALL_PLUGINS,
        });
        let rejected = plan.failures.iter().map(|failure| failure.rejected);
        let (size, rejected) = (pending.len() as u32, rejected.chain(content).collect());
        self.engine.park(self.now, Entity::Group(id), size, rejected);
        let Some(failure) = plan.failures.first() else { return };
        let (Some(group), Some(culprit)) = (
            self.engine.groups.get(id),
            self.engine.cluster.pods.get(failure.rejected.pod),
        ) else {
            return;
        };
        let message = diagnosis::gang_waits(&group.key, &culprit.record.name, &failure.message, shortfall);
        for member in pending {
            self.engine
                .want(self.now, member, diagnosis::UNSCHEDULABLE, message.clone(), true);
        }
    }

    fn pending(&self, id: GroupId) -> Vec<PodId> {
        self.engine
            .groups
            .get(id)
            .map_or_else(Vec::new, |group| group.pending.iter().copied().collect())
    }

    fn observe_attempt(&mut self, pod: PodId, pods: u32, scheduled: bool, gang: bool) {
        let Some(pod) = self.engine.cluster.pods.get(pod) else {
            return;
        };
        let profile = pod.record.scheduler_name.clone();
        let result = if scheduled {
            AttemptResult::Scheduled
        } else {
            AttemptResult::Unschedulable
        };
        self.engine.observations.push(Observation::Attempt {
            result,
            profile,
            pods,
            gang,
        });
    }
}
