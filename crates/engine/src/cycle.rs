//! One scheduling cycle: a single pod is given a node, or a gang is taken up, to be planned as a whole; what was planned
//! is committed or dropped.

use crate::diagnosis::{self, Shortfall};
use crate::engine::Engine;
use crate::group_report::NoRoom;
use crate::groups::GroupId;
use crate::observation::{AttemptResult, Observation};
use crate::pipeline::ALL_PLUGINS;
use crate::plan::Plan;
use crate::planning::Planning;
use crate::pods::PodId;
use crate::preparation::Planned;
use crate::queue::{Entity, Rejected};
use crate::search::{Certainty, Search};
use crate::time::Time;
use muster_framework::group::GroupPolicy;
use smallvec::SmallVec;

impl Engine {
    /// Tries the entity that the queue gave out.
    pub(crate) fn try_entity(&mut self, now: Time, entity: Entity) {
        match entity {
            Entity::Pod(pod) => self.try_pod(now, pod),
            Entity::Group(group) => self.try_group(now, group),
        }
    }

    fn try_pod(&mut self, now: Time, pod: PodId) {
        if !self.consult(now, pod) {
            return;
        }
        let planned = self.place_alone(pod);
        let placed = planned.is_some();
        let failure = if placed { None } else { self.failure_of(pod, vec![pod]) };
        let asked_too_little = !placed && !self.pipeline.unasked().is_empty();
        self.end_consultation(pod);
        if asked_too_little {
            // They are asked anew: about other nodes, so this ends.
            return self.try_pod(now, pod);
        }
        self.observe_attempt(pod, 1, placed, false);
        self.name_attempt(None, [pod], failure.as_ref().map(|failure| failure.message.as_str()));
        match failure {
            None => self.depart(now, planned.as_slice()),
            Some(failure) => {
                let history = &mut self.queue.history;
                history.add(now, Entity::Pod(pod), AttemptResult::Unschedulable, &failure.message);
                let rejected = SmallVec::from_slice(&[failure.rejected]);
                self.park(now, Entity::Pod(pod), 1, rejected);
                self.want(now, pod, diagnosis::UNSCHEDULABLE, failure.message, true);
            }
        }
    }

    /// Takes up a gang: what it takes is asked of extenders, and then planned, now and in the turns to come.
    pub(crate) fn try_group(&mut self, now: Time, id: GroupId) {
        let Some(group) = self.groups.get(id) else { return };
        let Ok(GroupPolicy::Gang { .. }) = self.groups.ready(group) else {
            // Whatever takes the quorum or the policy away takes the group out of the queue: this is a belt to braces.
            return self.evaluate_group(now, id, None, "ScheduleAttemptFailure");
        };
        let classes = self.classes(id);
        let mut all_said = true;
        for class in &classes {
            all_said &= self.consult(now, class.asked);
        }
        if all_said {
            let search = Search::new(self, classes);
            self.planning = Some(Planning::new(id, search, self.cluster.changes()));
            self.go_on_planning(now);
        }
    }
}

// ---- committing and dropping -------------------------------------------------------------------------------------

impl Engine {
    /// Takes the places of a plan that suffices. The members without one wait for room, unless something has changed for
    /// them since: then they are tried again.
    pub(crate) fn commit_gang(&mut self, now: Time, id: GroupId, plan: &Plan, try_others_again: bool) {
        if let Some(Planned { pod, .. }) = plan.places.first() {
            self.observe_attempt(*pod, plan.places.len() as u32, true, true);
        }
        self.name_attempt(Some(id), plan.places.iter().map(|planned| planned.pod), None);
        let prepares = plan.places.iter().any(|planned| !planned.bindings.is_empty());
        let without_place = plan
            .failures
            .iter()
            .map(|failure| failure.without_place.len())
            .sum::<usize>();
        let counts = [plan.places.len(), without_place].map(|members| members as u32);
        self.group_is_committed(now, id, counts, prepares);
        self.depart(now, &plan.places);
        let left = self.pending(id).len() as u32;
        if left == 0 || self.queue.section(Entity::Group(id)).is_some() {
            // All are on their way, or have had their places taken back at once and wait to be tried again.
            return;
        }
        if try_others_again || plan.asked_too_little {
            return self.evaluate_group(now, id, None, "ScheduleAttemptFailure");
        }
        // More members than places: the gang goes, the others wait for room.
        let rejected = plan.failures.iter().map(|failure| failure.rejected).collect();
        self.park(now, Entity::Group(id), left, rejected);
        for failure in &plan.failures {
            for member in &failure.without_place {
                let message = failure.message.clone();
                self.want(now, *member, diagnosis::UNSCHEDULABLE, message, true);
            }
        }
    }

    /// Drops the plan without a trace, and says to every member what stands against the gang.
    pub(crate) fn drop_gang(&mut self, now: Time, id: GroupId, plan: &Plan, certainty: Certainty) {
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
        self.park(now, Entity::Group(id), size, rejected);
        let shortage = self.shortage(plan);
        if let Some((failure, group)) = plan.failures.first().zip(self.groups.get(id)) {
            let no_room = NoRoom {
                culprit: failure.rejected.pod,
                no_node: failure.message.clone(),
                shortfall: Shortfall {
                    satisfied: group.satisfied_by(),
                    planned: plan.places.len() as u32,
                    min_count: self.groups.quorum(group).unwrap_or(0),
                    shortage,
                    certainty,
                },
            };
            let said = diagnosis::gang_attempt(&no_room.no_node, &no_room.shortfall);
            let history = &mut self.queue.history;
            history.add(now, Entity::Group(id), AttemptResult::Unschedulable, &said);
            self.name_attempt(Some(id), pending, Some(&said));
            self.group_finds_no_room(now, id, no_room);
        }
        self.gang_found_no_room(now, id);
    }

    fn pending(&self, id: GroupId) -> Vec<PodId> {
        let group = self.groups.get(id);
        group.map_or_else(Vec::new, |group| group.pending.iter().copied().collect())
    }

    fn observe_attempt(&mut self, pod: PodId, pods: u32, scheduled: bool, gang: bool) {
        let Some(pod) = self.cluster.pods.get(pod) else {
            return;
        };
        let profile = pod.record.scheduler_name.clone();
        let result = if scheduled {
            AttemptResult::Scheduled
        } else {
            AttemptResult::Unschedulable
        };
        self.observations.push(Observation::Attempt {
            result,
            profile,
            pods,
            gang,
        });
    }

    /// Says who was tried, by name, where somebody wants to know; `refused`: why there is no place.
    fn name_attempt(&mut self, group: Option<GroupId>, pods: impl IntoIterator<Item = PodId>, refused: Option<&str>) {
        if !self.names_attempts {
            return;
        }
        let tried = pods.into_iter().filter_map(|pod| self.cluster.pods.get(pod));
        let tried: Vec<_> = tried.collect();
        let Some(first) = tried.first() else { return };
        let group = group.and_then(|id| self.groups.get(id));
        let observation = Observation::Tried {
            group: group.map(|group| group.key.to_string().into()),
            profile: first.record.scheduler_name.clone(),
            refused: refused.map(Into::into),
            pods: tried.iter().map(|pod| pod.reference()).collect(),
        };
        self.observations.push(observation);
    }
}
