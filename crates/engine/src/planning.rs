//! Planning a gang takes as many turns as it needs: between them inputs are folded in and effects given out.
//!
//! A turn is a bounded number of steps, each of which judges all nodes for one member. The plan in progress belongs to the
//! engine; its gang is out of the queue until the plan is committed, dropped or abandoned, and nothing else is tried
//! meanwhile. What happens between turns is noted, and dealt with when the plan is finished: members that were lost or
//! changed give up their places in it, nodes that went take the places on them along, and if anything else changed that a
//! plugin could see, every planned place is judged once more, on its own node. Events that could have woken the gang had
//! it waited already are held against it after it has been parked.

use crate::engine::Engine;
use crate::groups::GroupId;
use crate::observation::Section;
use crate::plan::Plan;
use crate::pods::PodId;
use crate::queue::Entity;
use crate::search::{Class, Search, Step};
use crate::time::Time;
use muster_framework::table::NodeOrd;
use rustc_hash::FxHashSet;

/// Members tried against all nodes in one turn: about 3 ms at 5,000 nodes.
const STEPS_PER_TURN: u32 = 64;
/// How often a plan is gone on with after it was found outdated; from then on it is finished in one turn.
const REPLAYS: u32 = 3;

/// A gang that is being planned.
#[derive(Debug)]
pub(crate) struct Planning {
    group: GroupId,
    search: Search,
    /// The state of the cluster that every place in the plan was judged on, or a later one.
    based_on: u64,
    replays: u32,
    /// Members that have changed or gone since the plan was begun.
    lost: FxHashSet<PodId>,
    /// Nodes that have gone since the last turn.
    nodes_gone: Vec<NodeOrd>,
    /// Members or the policy of the gang are not what they were when the plan was begun.
    disturbed: bool,
}

impl Planning {
    pub(crate) fn new(group: GroupId, search: Search, based_on: u64) -> Planning {
        Planning {
            group,
            search,
            based_on,
            replays: 0,
            lost: FxHashSet::default(),
            nodes_gone: Vec::new(),
            disturbed: false,
        }
    }
}

// ---- what happens between turns ----------------------------------------------------------------------------------

impl Engine {
    /// Whether a gang is being planned.
    pub(crate) fn is_planning(&self, group: GroupId) -> bool {
        self.planning.as_ref().is_some_and(|planning| planning.group == group)
    }

    /// A member of the gang that is being planned has come, changed or gone, or (None) its policy has changed.
    pub(crate) fn disturb_planning(&mut self, member: Option<PodId>) {
        if let Some(planning) = &mut self.planning {
            planning.disturbed = true;
            planning.lost.extend(member);
        }
    }

    /// A node goes: its ordinal means nothing any more, or soon another node.
    pub(crate) fn planning_loses_node(&mut self, node: NodeOrd) {
        if let Some(planning) = &mut self.planning {
            planning.nodes_gone.push(node);
        }
    }

    /// Forgets the plan in progress, if it is this group's: the group may not be tried any more, or is gone.
    pub(crate) fn forget_planning(&mut self, group: GroupId) {
        self.planning.take_if(|planning| planning.group == group);
    }

    /// Drops the plan in progress without a trace; its gang is tried anew when things are tried again.
    pub(crate) fn abandon_planning(&mut self, now: Time) {
        if let Some(planning) = self.planning.take() {
            self.plan_later(now, &planning);
        }
    }

    fn plan_later(&mut self, now: Time, planning: &Planning) {
        self.end_consultations(planning.search.classes());
        let entity = Entity::Group(planning.group);
        let (urgency, size) = self.urgency_and_size(entity);
        self.queue.resume(now, entity, urgency, size);
    }
}

// ---- turns -------------------------------------------------------------------------------------------------------

impl Engine {
    /// One turn at the plan in progress.
    pub(crate) fn go_on_planning(&mut self, now: Time) {
        let Some(mut planning) = self.planning.take() else {
            return;
        };
        if !planning
            .search
            .classes()
            .iter()
            .all(|class| self.still_knows_what_was_said(class))
        {
            return self.plan_later(now, &planning);
        }
        let lost = std::mem::take(&mut planning.lost);
        let nodes_gone = std::mem::take(&mut planning.nodes_gone);
        if !lost.is_empty() || !nodes_gone.is_empty() {
            planning.search.lose(self, &lost, &nodes_gone);
            // Others may have wanted their company.
            planning.based_on = 0;
        }
        let mut steps = 0;
        loop {
            let Some(required) = self.members_required(planning.group) else {
                return self.evaluate_group(now, planning.group, None, "ScheduleAttemptFailure");
            };
            match planning.search.step(self, required) {
                Step::GoOn => {}
                Step::Suffices => match self.bring_up_to_date(&mut planning, required) {
                    Some(plan) => return self.end_planning(now, planning, Some(plan)),
                    None => continue,
                },
                Step::GivesUp => return self.end_planning(now, planning, None),
            }
            steps += 1;
            if steps >= STEPS_PER_TURN && planning.replays < REPLAYS {
                self.planning = Some(planning);
                return;
            }
        }
    }

    /// What extenders said of a class may have been forgotten since, because of a change of the member they were asked
    /// about.
    fn still_knows_what_was_said(&self, class: &Class) -> bool {
        !class.was_asked || self.consultations.contains_key(&class.asked)
    }

    /// How many members of a gang have to be given a place; None: it may not be tried any more.
    fn members_required(&self, group: GroupId) -> Option<u32> {
        let group = self.groups.get(group)?;
        self.groups.ready(group).ok()?;
        let required = self.groups.quorum(group)?.saturating_sub(group.satisfied_by());
        Some(required.max(1))
    }

    /// The plan that suffices, as far as it still does. None: it does not, and has to be gone on with.
    fn bring_up_to_date(&mut self, planning: &mut Planning, required: u32) -> Option<Plan> {
        let plan = planning.search.take_plan();
        if planning.based_on == self.cluster.changes() {
            return Some(plan);
        }
        planning.based_on = self.cluster.changes();
        planning.replays += 1;
        let (kept, dropped) = self.replay(&planning.search, &plan);
        if dropped.is_empty() {
            return Some(Plan {
                delta: kept.delta,
                places: kept.places,
                ..plan
            });
        }
        if kept.places.len() as u32 >= required {
            // The others are late members now: they are planned by themselves.
            planning.disturbed = true;
            return Some(Plan {
                delta: kept.delta,
                places: kept.places,
                ..plan
            });
        }
        planning.search.go_on_from(kept, &dropped);
        None
    }

    /// Judges every place of a plan again, each on its own node; gives what is left, and the members that lost theirs.
    fn replay(&mut self, search: &Search, plan: &Plan) -> (Plan, Vec<PodId>) {
        let mut kept = Plan::default();
        let mut dropped = Vec::new();
        // What members ask of each other is counted from the start.
        for class in search.classes() {
            class.members.iter().for_each(|pod| self.cluster.compile(*pod));
        }
        for place in &plan.places {
            let wish = search.wish(place.pod);
            let stands = self.node_takes(wish, place.node, &kept) && self.put(place.pod, place.node, &mut kept);
            if !stands {
                dropped.push(place.pod);
            }
        }
        (kept, dropped)
    }

    /// The plan is finished: it is committed, or (None) dropped.
    fn end_planning(&mut self, now: Time, planning: Planning, plan: Option<Plan>) {
        let Planning {
            group,
            search,
            disturbed,
            ..
        } = planning;
        // Not only what failed says so: where one member goes decides which nodes another one lacks.
        let some_failed = plan.as_ref().is_none_or(|plan| !plan.failures.is_empty());
        let asked_too_little = some_failed && search.classes().iter().any(|class| self.asked_too_little(class.asked));
        self.end_consultations(search.classes());
        match plan {
            Some(plan) => {
                self.has_recovered(group);
                self.commit_gang(now, group, &plan, disturbed || asked_too_little);
            }
            None => {
                let (first, certainty) = search.into_first_plan();
                if first.asked_too_little || asked_too_little {
                    // As for a pod: what they are asked about now contains every node that a plan can reach.
                    return self.try_group(now, group);
                }
                self.has_recovered(group);
                self.drop_gang(now, group, &first, certainty);
            }
        }
        // What else happened while it was planned is heard when it is parked.
        let entity = Entity::Group(group);
        if disturbed && self.queue.section(entity) == Some(Section::Unschedulable) {
            self.queue.wake(now, entity, "ScheduleAttemptFailure");
        }
    }

    /// All members, not only those that were asked about now: who was asked about may have become another's twin since.
    fn end_consultations(&mut self, classes: &[Class]) {
        if self.consultations.is_empty() {
            return;
        }
        for pod in classes.iter().flat_map(|class| &class.members) {
            self.end_consultation(*pod);
        }
    }
}

// ---- the books ---------------------------------------------------------------------------------------------------

impl Engine {
    /// Whether the gang that is being planned is there, and nowhere in the queue.
    pub(crate) fn check_planning(&self) -> Result<(), String> {
        let Some(planning) = &self.planning else { return Ok(()) };
        let Some(group) = self.groups.get(planning.group) else {
            return Err(format!("{:?} is being planned, but is gone", planning.group));
        };
        if self.groups.ready(group).is_err() || self.groups.quorum(group).is_none() {
            return Err(format!("{} is being planned, but may not be tried", group.key));
        }
        match self.queue.section(Entity::Group(planning.group)) {
            Some(section) => Err(format!("{} is being planned, but is in {section:?}", group.key)),
            None => Ok(()),
        }
    }
}
