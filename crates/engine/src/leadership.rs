//! Taking over and stepping down.
//!
//! An engine that does not lead (a standby) folds every fact and outcome, keeps its queue warm, and wants nothing done: it
//! gives out no effect, runs no timer and decides nothing. Both changes are safe at any moment and any number of times:
//!
//! * **Stepping down:** whatever has not been handed out is dropped, and its places are given back. What has been handed
//!   out may still happen: its outcome is awaited, and its place is kept until a fact or a list says where the pod is.
//! * **Taking over:** another leader may have written until a moment ago, and a watch may be behind. So lists of pods, nodes
//!   and policy objects that began before do not count; when newer ones have been told, groups that are bound in part are
//!   planned ahead of everything.

use crate::engine::Engine;
use crate::groups::GroupId;
use crate::pods::PodId;
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::record::Kind;

impl Engine {
    pub(crate) fn lead(&mut self, now: Time, leads: bool) {
        match (self.leads, leads) {
            (false, true) => self.take_over(now),
            (true, false) => self.step_down(now),
            _ => {}
        }
    }

    fn take_over(&mut self, now: Time) {
        self.leads = true;
        self.recovered = false;
        self.recovering.clear();
        let decisive = |kind: &Kind| matches!(kind, Kind::Pod | Kind::Node) || kind.holds_group_policies();
        for kind in Kind::ALL.into_iter().filter(decisive) {
            let list = &mut self.lists[kind as usize];
            if !list.absent {
                list.done = false;
                list.needed = list.begun + 1;
            }
        }
        // What a standby has learned of why pods wait, it has told nobody.
        let ours = self.cluster.pods.iter().filter(|(_, pod)| self.is_ours(pod));
        let ours: Vec<PodId> = ours.map(|(id, _)| id).collect();
        for id in ours {
            self.write_again(now, id);
        }
        self.tell_all_groups(now);
    }

    fn step_down(&mut self, now: Time) {
        self.leads = false;
        self.abandon_planning(now);
        let dropped: Vec<_> = self.outbox.iter().map(|effect| effect.id).collect();
        for effect in dropped {
            self.awaited.remove(&effect);
        }
        self.outbox.clear();
        let mut consulted: Vec<PodId> = self.consultations.keys().copied().collect();
        consulted.sort();
        for id in consulted {
            self.end_consultation(id);
            let entity = self.entity_of(id);
            let (urgency, size) = self.urgency_and_size(entity);
            self.queue.resume(now, entity, urgency, size);
        }
        self.cancel_departures(now);
        self.forget_broken();
    }

    /// Once, when everything has been listed: groups that are bound in part go first.
    pub(crate) fn recover(&mut self, now: Time) {
        if self.recovered {
            return;
        }
        self.recovered = true;
        let all = self.groups.iter().map(|(id, _)| id);
        let broken: Vec<GroupId> = all.filter(|id| self.is_broken(*id)).collect();
        for id in broken {
            if let Some(group) = self.groups.get_mut(id) {
                group.recovering = true;
                self.recovering.push(id);
            }
            // Before the lists were done, nobody knew.
            self.broken_since(now, id);
            // What it waited for before is no reason to let others go first.
            self.queue.end_backoff(Entity::Group(id));
            self.evaluate_group(now, id, None, "Recovery");
        }
        for id in self.groups.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            self.compare_group_status(now, id);
        }
    }

    /// A group that was found half bound has been planned to the end, whatever came of it, or may not be tried.
    pub(crate) fn has_recovered(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(id) {
            group.recovering = false;
        }
        self.recovering.retain(|other| *other != id);
    }

    /// Whether what comes next in the queue is to wait, since extenders are asked about groups that go first. That ends
    /// when they have answered or their time is over.
    pub(crate) fn recovery_comes_first(&self) -> bool {
        let is_asked_about = |id: &GroupId| {
            let group = self.groups.get(*id).filter(|group| group.recovering);
            group.is_some_and(|group| group.pending.iter().any(|member| self.is_consulting(*member)))
        };
        !self.recovering.is_empty() && !self.queue.next_is_recovering() && self.recovering.iter().any(is_asked_about)
    }
}
