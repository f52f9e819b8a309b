//! Gangs that run below their `minCount`: some members are bound, and too few have places.
//!
//! A replacement has a while to come and find a place (`GangSettings::broken_grace`). Then the group's policy decides about
//! those that are bound: they stay, or they are evicted, so that the gang starts anew as a whole. Evictions that are refused
//! (a disruption budget) are tried again, ever more rarely, and end when the gang is whole. Members that succeeded or are
//! being deleted are left alone.

use crate::deadlines::RETRY_AFTER;
use crate::effect::{EffectKind, Severity};
use crate::engine::{Awaited, Engine, Timer};
use crate::groups::{Group, GroupId};
use crate::outbox::Lane;
use crate::pods::{Pod, PodId, Role};
use crate::snapshot::BrokenGang;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::group::WhenBroken;
use muster_framework::record::PodPhase;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The longest rest between two rounds of evictions.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// So many nodes are remembered of a gang that lost members: the last ones.
const REMEMBERED: usize = 16;

/// How long after a member its node may be heard to be lost.
const OUT_OF_STEP: Duration = Duration::from_secs(10);

/// Where a member of a gang was that is lost.
#[derive(Debug)]
pub(crate) struct LostOn {
    node: Text,
    /// When the last such member was lost.
    at: Time,
    /// The node was lost at that time, too.
    with_node: bool,
}

/// A gang that is broken.
#[derive(Debug)]
struct Broken {
    /// When its members are looked at next.
    due: Time,
    /// How long they rest after that.
    rest: Duration,
    /// The world has been told what becomes of them.
    told: bool,
    /// When it was to be looked at, members had places and were not bound yet: should that fail, it is looked at then.
    overdue: bool,
    /// Members whose eviction has not been answered.
    evicting: BTreeSet<PodId>,
}

/// The gangs that are broken now.
#[derive(Debug, Default)]
pub(crate) struct BrokenGangs(FxHashMap<GroupId, Broken>);

impl Engine {
    /// A group has changed: is it broken, or whole again?
    pub(crate) fn look_at_broken(&mut self, now: Time, id: GroupId) {
        if !self.is_broken(id) {
            // A place is not a bind: should that fail, the gang has been broken all the time.
            if !self.waits_for_binds(id) {
                self.gang_is_whole(id);
                if let Some(group) = self.groups.get_mut(id) {
                    group.lost_on.clear();
                }
            }
            return;
        }
        let Some(broken) = self.broken.0.get_mut(&id) else {
            return self.broken_since(now, id);
        };
        if std::mem::take(&mut broken.overdue) {
            self.timers.remove(&(broken.due, Timer::BrokenOverdue(id)));
            broken.due = now;
            self.timers.insert((now, Timer::BrokenOverdue(id)));
        }
    }

    /// A member is bound: a gang that was broken may be whole.
    pub(crate) fn look_again_at_broken(&mut self, now: Time, id: GroupId) {
        if self.broken.0.contains_key(&id) {
            self.look_at_broken(now, id);
        }
    }

    /// A member that was on a node is lost, perhaps because the node is.
    pub(crate) fn member_is_lost(&mut self, now: Time, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let (Some((group, _)), Some(node)) = (pod.group, pod.record.node_name.clone()) else {
            return;
        };
        let with_node = self.cluster.what_befell(&node).is_some();
        // Who had ended before did not need the node any more.
        if pod.record.phase != PodPhase::Active && !with_node {
            return;
        }
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        group.lost_on.retain(|lost| lost.node != node);
        if group.lost_on.len() == REMEMBERED {
            group.lost_on.remove(0);
        }
        group.lost_on.push(LostOn {
            node,
            at: now,
            with_node,
        });
    }

    /// A node is another one, or gone. Watches of nodes and of pods are not in step: members that were lost just now were lost
    /// with it, those before for another reason.
    pub(crate) fn look_at_lost_node(&mut self, now: Time, node: &Text) {
        if self.broken.0.is_empty() || self.cluster.what_befell(node).is_none() {
            return;
        }
        for id in self.broken.0.keys() {
            let Some(group) = self.groups.get_mut(*id) else {
                continue;
            };
            let lost = group.lost_on.iter_mut().filter(|lost| lost.node == *node);
            lost.for_each(|lost| lost.with_node |= now.since(lost.at) <= OUT_OF_STEP);
        }
    }

    /// The nodes that members of a gang were lost with since it was whole, each with what befell it, in words.
    pub(crate) fn lost_nodes(&self, group: &Group) -> Vec<(Text, &'static str)> {
        let nodes = group.lost_on.iter().filter(|lost| lost.with_node);
        nodes
            .filter_map(|lost| Some((lost.node.clone(), self.cluster.what_befell(&lost.node)?)))
            .collect()
    }

    /// The gangs that are broken since nodes were lost, by name.
    pub(crate) fn broken_by_lost_nodes(&self) -> Vec<BrokenGang> {
        let gangs = self.broken.0.keys().filter_map(|id| {
            let group = self.groups.get(*id)?;
            let lost_nodes: Vec<Text> = self.lost_nodes(group).into_iter().map(|(node, _)| node).collect();
            (!lost_nodes.is_empty()).then(|| BrokenGang {
                group: group.key.to_string().into(),
                lost_nodes,
            })
        });
        let mut gangs: Vec<BrokenGang> = gangs.collect();
        gangs.sort_by(|a, b| a.group.cmp(&b.group));
        gangs
    }

    /// Tells an engine that has been told the objects of a snapshot what no object says: with which nodes gangs lost members.
    /// It is heard until that gang is whole. Where groups of several dialects have one name, the broken one is meant.
    pub fn remember_lost_nodes(&mut self, now: Time, gangs: &[BrokenGang]) {
        if gangs.is_empty() {
            return;
        }
        let by_name: BTreeMap<&str, &BrokenGang> = gangs.iter().map(|gang| (&*gang.group, gang)).collect();
        let broken: Vec<GroupId> = self.broken.0.keys().copied().collect();
        for id in broken {
            let Some(group) = self.groups.get_mut(id) else { continue };
            let Some(gang) = by_name.get(group.key.to_string().as_str()) else {
                continue;
            };
            let first = gang.lost_nodes.len().saturating_sub(REMEMBERED);
            let lost_on = |node: &Text| LostOn {
                node: node.clone(),
                at: now,
                with_node: true,
            };
            group.lost_on = gang.lost_nodes[first..].iter().map(lost_on).collect();
        }
    }

    /// Whether a gang has what it needs only if members are bound that have places.
    fn waits_for_binds(&self, id: GroupId) -> bool {
        let waits = |group: &Group| {
            let quorum = self.groups.quorum(group);
            quorum.is_some_and(|quorum| group.satisfied_by() >= quorum && group.bound_or_succeeded() < quorum)
        };
        self.groups.get(id).is_some_and(waits)
    }

    /// A group is broken since now.
    pub(crate) fn broken_since(&mut self, now: Time, id: GroupId) {
        self.gang_is_whole(id);
        let due = now + self.gangs.broken_grace;
        let broken = Broken {
            due,
            rest: RETRY_AFTER,
            told: false,
            overdue: false,
            evicting: BTreeSet::new(),
        };
        self.broken.0.insert(id, broken);
        self.timers.insert((due, Timer::BrokenOverdue(id)));
    }

    /// A group is not broken any more, or it is gone: nothing more is done about it.
    pub(crate) fn gang_is_whole(&mut self, id: GroupId) {
        if let Some(broken) = self.broken.0.remove(&id) {
            self.timers.remove(&(broken.due, Timer::BrokenOverdue(id)));
        }
    }

    /// Whether some members are placed, and too few are.
    pub(crate) fn is_broken(&self, id: GroupId) -> bool {
        let is_broken = |group: &Group| self.groups.quorum(group).is_some_and(|quorum| group.is_broken(quorum));
        self.groups.get(id).is_some_and(is_broken)
    }

    /// The grace is over, or the rest after a round of evictions.
    pub(crate) fn broken_overdue(&mut self, now: Time, id: GroupId) {
        if !self.is_broken(id) {
            if !self.waits_for_binds(id) {
                self.look_at_broken(now, id);
            } else if let Some(broken) = self.broken.0.get_mut(&id) {
                broken.overdue = true;
            }
            return;
        }
        let is_synced = self.is_synced();
        let grace = self.gangs.broken_grace;
        let Some(broken) = self.broken.0.get_mut(&id) else {
            return;
        };
        // What seems to be missing may just not have been listed.
        let rest = if is_synced { broken.rest } else { grace };
        broken.rest = (rest * 2).min(LONGEST_REST);
        broken.due = now + rest;
        self.timers.insert((broken.due, Timer::BrokenOverdue(id)));
        if !is_synced {
            return;
        }
        let told = broken.told;
        if self.when_broken(id) == WhenBroken::Keep {
            // That it is broken, and why, is told with what it waits for.
            return;
        }
        let members = self.bound_members(id);
        if !members.is_empty() && !told {
            self.tell_evicted(id, members.len());
        }
        members.into_iter().for_each(|member| self.evict(id, member));
    }

    /// The members that are on nodes and would stay there.
    fn bound_members(&self, id: GroupId) -> Vec<PodId> {
        let members = self.groups.get(id).into_iter().flat_map(|group| group.members.keys());
        let stays = |pod: &Pod| {
            let placed = pod.group.is_some_and(|(_, role)| role == Role::Placed);
            placed && pod.is_bound() && !pod.record.terminating && self.is_ours(pod)
        };
        let members = members.filter(|member| self.cluster.pods.get(**member).is_some_and(stays));
        members.copied().collect()
    }

    fn evict(&mut self, group: GroupId, id: PodId) {
        let broken = self.broken.0.get_mut(&group);
        if !broken.is_some_and(|broken| broken.evicting.insert(id)) {
            return;
        }
        let Some(pod) = self.cluster.pods.get(id).map(Pod::reference) else {
            return;
        };
        let uid = pod.uid.clone();
        let effect = self.emit(Lane::Questions, EffectKind::Evict { pod });
        self.awaited.insert(effect, Awaited::Evict(uid));
    }

    /// An eviction has been answered. Whether it was refused or not shows: who is not being deleted at the next look is
    /// evicted again.
    pub(crate) fn eviction_done(&mut self, id: PodId) {
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        if let Some(broken) = group.and_then(|(group, _)| self.broken.0.get_mut(&group)) {
            broken.evicting.remove(&id);
        }
    }

    /// Whoever does not lead forgets how long gangs have been broken.
    pub(crate) fn forget_broken(&mut self) {
        let all: Vec<GroupId> = self.broken.0.keys().copied().collect();
        all.into_iter().for_each(|id| self.gang_is_whole(id));
    }

    fn when_broken(&self, id: GroupId) -> WhenBroken {
        let said = self.groups.get(id).and_then(|group| self.groups.when_broken(group));
        said.unwrap_or(self.gangs.when_broken)
    }

    /// Says what becomes of the members that are bound: once, of the whole group.
    fn tell_evicted(&mut self, id: GroupId, bound: usize) {
        let Some(group) = self.groups.get(id) else { return };
        let (have, quorum) = (group.satisfied_by(), self.groups.quorum(group).unwrap_or(0));
        let text = format!(
            "pod group {} has places for {have} of the {quorum} members that it needs; {bound} are bound: they are evicted, \
             so that the group starts anew as a whole",
            group.key
        );
        self.group_event(id, Severity::Warning, "GangEvicted", &text);
        if let Some(broken) = self.broken.0.get_mut(&id) {
            broken.told = true;
        }
    }
}
