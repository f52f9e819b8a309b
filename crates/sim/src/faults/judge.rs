//! What must be true after every step, and of every effect when it is handed out.
//!
//! A scheduler is judged by what it could know: what it was told, which the [`Mirror`] keeps a second time, and the places
//! that it has taken itself. What it could not know is excused, by name, and counted.

use super::mirror::{Mirror, Policy, shortage, version_of};
use super::process::Taken;
use super::profile::Excuse;
use super::world::World;
use crate::object::Key;
use muster_engine::{EffectKind, PodRef, PodState, PodStatus, Section};
use muster_framework::Text;
use muster_framework::group::GroupKey;
use muster_framework::record::{PodPhase, PodRecord};
use muster_framework::resource::ResourceList;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A `minCount` that was told so recently excuses binds that were decided before.
const POLICY_EXCUSES_FOR: Duration = Duration::from_secs(10);

/// What must be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// The engine's books balance: every node is charged for its pods, every reservation has an owner.
    Books,
    /// No place is taken on a node that, as far as the scheduler knows, has no room for it.
    TakesNoRoomTwice,
    /// No bind over-commits a node, unless by something that the scheduler could not know.
    OverCommitsNothing,
    /// A pod that was seen on a node is not taken for one that waits.
    ForgetsNoBind,
    /// No pod is bound that is known to be bound, or to a place that is not taken for it.
    BindsOnce,
    /// No member of a gang is bound while fewer than `minCount` have places.
    BindsGangsWhole,
    /// Whoever starts or takes over gives nobody a place before every group that it finds half bound has been tried.
    PlansHalfBoundFirst,
    /// Who does not lead does nothing.
    OnlyLeaderActs,
    /// No pod is bound only because everything is tried again from time to time.
    RescuedByFlush,
    /// When nothing happens any more, the world comes to rest.
    NoRest,
    /// At rest nothing is assumed, in flight, or taken.
    LeaksNothing,
    /// At rest the scheduler and the API server agree about every pod.
    Agrees,
    /// At rest every pod that fits is bound.
    BindsWhatFits,
    /// At rest every pod that waits has a true reason.
    SaysWhy,
    /// At rest a scheduler that lists everything anew comes to the same.
    RelistEqualsReplay,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule:?}: {detail}")]
pub struct Breach {
    /// What was broken.
    pub rule: Rule,
    /// By whom, and how.
    pub detail: String,
}

impl Breach {
    pub(super) fn new(rule: Rule, detail: impl fmt::Display) -> Breach {
        Breach {
            rule,
            detail: detail.to_string(),
        }
    }
}

/// What the judge remembers.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// A breach that was found while something else was done.
    pub(super) found: Option<Breach>,
    pub(super) excuses: BTreeMap<Excuse, u64>,
    /// Uids of pods that a rival bound, its own and ours.
    pub(super) rivals: BTreeSet<Text>,
    /// Uids of pods whose bind was stored after it had been given up.
    pub(super) stored_late: BTreeSet<Text>,
    /// By namespace, Workload and pod group of a gang: the least `minCount` that it has had, and whether it was raised.
    pub(super) min_counts: BTreeMap<(Text, Text, Text), (i32, bool)>,
}

impl Judge {
    fn excuse(&mut self, excuse: Excuse) {
        *self.excuses.entry(excuse).or_default() += 1;
    }
}

impl World {
    /// Looks at a scheduler whose engine has changed.
    pub(super) fn judge_step(&mut self, process: usize) -> Result<(), Breach> {
        let of = &mut self.processes[process];
        let label = of.label();
        of.engine
            .check()
            .map_err(|problem| Breach::new(Rule::Books, format!("{label}: {problem}")))?;
        let statuses = of.engine.pods();
        let mut newly: Vec<(Text, Text)> = Vec::new();
        for status in &statuses {
            let uid = &status.pod.uid;
            match &status.state {
                PodState::Binding { node } => {
                    if of.taken.get(uid).is_none_or(|taken| taken.node != *node) {
                        newly.push((uid.clone(), node.clone()));
                    }
                }
                PodState::Bound { .. } => {
                    of.bound.insert(uid.clone());
                    of.taken.remove(uid);
                }
                PodState::Finished => {
                    of.taken.remove(uid);
                }
                PodState::Queued { .. } => {
                    of.taken.remove(uid);
                    let is_active = of.mirror.pods.get(uid).is_some_and(|pod| pod.phase == PodPhase::Active);
                    if of.bound.contains(uid) && is_active {
                        let detail = format!("{label} has seen {} bound and takes it for one that waits", status.pod);
                        return Err(Breach::new(Rule::ForgetsNoBind, detail));
                    }
                }
            }
        }
        let known: BTreeSet<&Text> = statuses.iter().map(|status| &status.pod.uid).collect();
        of.taken.retain(|uid, _| known.contains(uid));
        self.judge_recovery(process, &statuses, &newly)?;
        self.judge_places(process, &newly)
    }

    /// A scheduler is about to do something: if that may be its first decision, these groups come before all others.
    pub(super) fn note_half_bound(&mut self, process: usize) {
        let of = &self.processes[process];
        if of.decides || !of.leads || !of.engine.is_synced() {
            return;
        }
        let statuses = of.engine.pods();
        let may_be_tried = |status: &&PodStatus| match status.state {
            PodState::Queued { section, .. } => section != Section::Gated,
            _ => false,
        };
        let tried = statuses.iter().filter(may_be_tried);
        let groups: BTreeSet<GroupKey> = tried.filter_map(|status| of.mirror.group_of(&status.pod.uid)).collect();
        // A gang that was whole before more was asked of it is not broken, for a scheduler that was there.
        let raised = statuses.iter().filter(|status| self.is_of_raised_gang(&status.pod));
        let raised: BTreeSet<&String> = raised.filter_map(|status| status.group.as_ref()).collect();
        let half_bound: BTreeSet<String> = groups
            .iter()
            .filter(|group| is_half_bound(&of.mirror, group, &statuses))
            .map(GroupKey::to_string)
            .collect();
        let untried = half_bound
            .iter()
            .filter(|group| !raised.contains(group))
            .cloned()
            .collect();
        let of = &mut self.processes[process];
        of.decides = true;
        of.untried = untried;
        of.half_bound = half_bound;
    }

    /// Places have just been taken: for whom, while groups that were found half bound are still to be tried?
    fn judge_recovery(&mut self, process: usize, statuses: &[PodStatus], newly: &[(Text, Text)]) -> Result<(), Breach> {
        let of = &mut self.processes[process];
        if of.untried.is_empty() {
            return Ok(());
        }
        let is_other = |status: &&PodStatus| {
            let is_newly = newly.iter().any(|(uid, _)| *uid == status.pod.uid);
            is_newly && !status.group.as_ref().is_some_and(|group| of.half_bound.contains(group))
        };
        let other = statuses.iter().find(is_other);
        // They are ready from the first decision until they are tried: whoever is not has been, or may not be any more.
        let is_ready = |group: &String| {
            statuses.iter().any(|status| {
                let is_active = matches!(status.state, PodState::Queued { section, .. } if section == Section::Active);
                is_active && status.group.as_ref() == Some(group)
            })
        };
        of.untried.retain(is_ready);
        match other {
            Some(other) if !of.untried.is_empty() => {
                let (label, pod, waiting) = (of.label(), &other.pod, &of.untried);
                let detail = format!("{label} gives {pod} a place, and has not tried {waiting:?} that are half bound");
                Err(Breach::new(Rule::PlansHalfBoundFirst, detail))
            }
            _ => Ok(()),
        }
    }

    /// Places have just been taken: was there room, by all that the scheduler knew?
    fn judge_places(&mut self, process: usize, newly: &[(Text, Text)]) -> Result<(), Breach> {
        let of = &mut self.processes[process];
        for (uid, node) in newly {
            let taken = Taken {
                node: node.clone(),
                node_version: version_of(of.mirror.nodes.get(node)),
                beside: BTreeSet::new(),
            };
            of.taken.insert(uid.clone(), taken);
        }
        let nodes: BTreeSet<&Text> = newly.iter().map(|(_, node)| node).collect();
        for node in nodes {
            let on = on_node(&of.mirror, &of.taken, node);
            let (mut used, mut pods) = (ResourceList::default(), 0);
            for pod in &on {
                used.add(&pod.charge.requests);
                pods += 1;
            }
            let beside: BTreeSet<Text> = on.iter().map(|pod| pod.uid.clone()).collect();
            let Some(known) = of.mirror.nodes.get(node) else {
                let detail = format!("{} takes a place on {node}, of which it knows nothing", of.label());
                return Err(Breach::new(Rule::TakesNoRoomTwice, detail));
            };
            if let Some(resource) = shortage(known, &used, pods) {
                let names: Vec<&str> = on.iter().map(|pod| &*pod.name).collect();
                let detail = format!("{} takes more {resource} of {node} than it has: {names:?}", of.label());
                return Err(Breach::new(Rule::TakesNoRoomTwice, detail));
            }
            for (uid, of_node) in newly.iter().filter(|(_, of_node)| of_node == node) {
                debug_assert_eq!(of_node, node);
                if let Some(taken) = of.taken.get_mut(uid) {
                    taken.beside.clone_from(&beside);
                }
            }
        }
        Ok(())
    }

    /// Looks at an effect that was just handed out. What it finds ends the step.
    pub(super) fn judge_effect(&mut self, process: usize, kind: &EffectKind) -> Result<(), ()> {
        if !self.processes[process].leads {
            let detail = format!("{} does not lead, and wants {kind:?}", self.processes[process].label());
            self.judge.found = Some(Breach::new(Rule::OnlyLeaderActs, detail));
            return Err(());
        }
        let judged = match kind {
            EffectKind::Bind { pod, node, .. } => {
                // The places that the last unit of work has taken.
                let judged = self.judge_step(process);
                judged.and_then(|()| self.judge_bind_effect(process, pod, node))
            }
            _ => Ok(()),
        };
        judged.map_err(|breach| self.judge.found = Some(breach))
    }

    fn judge_bind_effect(&mut self, process: usize, pod: &PodRef, node: &Text) -> Result<(), Breach> {
        let of = &self.processes[process];
        let label = of.label();
        let known = of.mirror.pods.get(&pod.uid).and_then(|pod| pod.node_name.as_ref());
        if let Some(known) = known {
            let detail = format!("{label} binds {pod} to {node}, and knows that it is on {known}");
            return Err(Breach::new(Rule::BindsOnce, detail));
        }
        if of.taken.get(&pod.uid).is_none_or(|taken| taken.node != *node) {
            let detail = format!("{label} binds {pod} to {node}, where it has taken no place for it");
            return Err(Breach::new(Rule::BindsOnce, detail));
        }
        let Some(group) = of.mirror.group_of(&pod.uid) else {
            return Ok(());
        };
        let (placed, statuses) = placed_of(&of.mirror, &group.to_string(), of.engine.pods());
        let wrong = match of.mirror.policy(&group) {
            Policy::Gang(min_count) if placed < min_count => {
                format!("{label} binds {pod} of {group} with {placed} of {min_count} places: {statuses:?}")
            }
            Policy::Missing => format!("{label} binds {pod}, and knows no policy of {group}"),
            _ => return Ok(()),
        };
        let told = of.policy_told.get(&group);
        if told.is_some_and(|told| self.now.since(*told) < POLICY_EXCUSES_FOR) {
            self.judge.excuse(Excuse::MinCountRaised);
            return Ok(());
        }
        Err(Breach::new(Rule::BindsGangsWhole, wrong))
    }

    /// The API server has stored a bind of ours: is the node over-committed, and if so, by whose doing?
    pub(super) fn judge_bind(&mut self, process: usize, pod: &PodRef, node: &Text) {
        if let Some(other) = self.another_leads(process) {
            let detail = format!(
                "a bind of {pod} by {} is stored while {other} leads",
                self.processes[process].name
            );
            self.judge
                .found
                .get_or_insert(Breach::new(Rule::OnlyLeaderActs, detail));
        }
        let of = &self.processes[process];
        let Some(resource) = self.cluster.bindings().last().and_then(|bind| bind.over.clone()) else {
            return;
        };
        match self.excuse_of(process, pod, node) {
            Some(excuse) => self.judge.excuse(excuse),
            None => {
                let on: Vec<&str> = self.cluster.pods_on(node).map(|pod| &*pod.name).collect();
                let detail = format!(
                    "the bind of {pod} by {} takes more {resource} of {node} than it has: {on:?}",
                    of.label()
                );
                let breach = Breach::new(Rule::OverCommitsNothing, detail);
                self.judge.found.get_or_insert(breach);
            }
        }
    }

    fn excuse_of(&self, process: usize, pod: &PodRef, node: &Text) -> Option<Excuse> {
        if self.judge.stored_late.contains(&pod.uid) {
            return Some(Excuse::StoredLate);
        }
        let of = &self.processes[process];
        // The place is given back already, or the process is another one by now: the bind was on its way meanwhile.
        let Some(taken) = of.taken.get(&pod.uid) else {
            return Some(Excuse::StoredLate);
        };
        let stored = self.cluster.get(&Key::node(node)).and_then(|stored| stored.node());
        if version_of(stored) != taken.node_version {
            return Some(Excuse::NodeChangedUnseen);
        }
        let unseen = |other: &&PodRecord| {
            other.phase == PodPhase::Active && other.uid != pod.uid && !taken.beside.contains(&other.uid)
        };
        self.cluster.pods_on(node).filter(unseen).find_map(|other| {
            if self.judge.rivals.contains(&other.uid) {
                Some(Excuse::RivalUnseen)
            } else if self.judge.stored_late.contains(&other.uid) {
                Some(Excuse::StoredLate)
            } else if of.streams.iter().any(|stream| stream.blemished) {
                Some(Excuse::Undecodable)
            } else {
                None
            }
        })
    }
}

/// Pods that are on a node or on their way to it, by all that a scheduler knows.
fn on_node<'a>(mirror: &'a Mirror, taken: &BTreeMap<Text, Taken>, node: &Text) -> Vec<&'a PodRecord> {
    let is_there = |pod: &&PodRecord| match &pod.node_name {
        Some(on) => on == node,
        None => taken.get(&pod.uid).is_some_and(|taken| taken.node == *node),
    };
    let pods = mirror.pods.values();
    pods.filter(|pod| pod.phase == PodPhase::Active)
        .filter(is_there)
        .collect()
}

/// Whether some members of a gang have a place, but too few of them.
fn is_half_bound(mirror: &Mirror, group: &GroupKey, statuses: &[PodStatus]) -> bool {
    let Policy::Gang(min_count) = mirror.policy(group) else {
        return false;
    };
    let name = group.to_string();
    let (mut placed, mut succeeded) = (0, 0);
    for status in statuses.iter().filter(|status| status.group.as_ref() == Some(&name)) {
        let Some(pod) = mirror.pods.get(&status.pod.uid) else {
            continue;
        };
        match status.state {
            // One that is being deleted keeps its room, and counts for nothing.
            PodState::Binding { .. } | PodState::Bound { .. } => placed += u32::from(!pod.terminating),
            PodState::Finished => succeeded += u32::from(pod.phase == PodPhase::Succeeded),
            PodState::Queued { .. } => {}
        }
    }
    placed > 0 && placed + succeeded < min_count
}

/// How many members of a group have a place or have succeeded, and all of them for a person.
fn placed_of(mirror: &Mirror, group: &str, statuses: Vec<PodStatus>) -> (u32, Vec<String>) {
    let mut placed = 0;
    let mut told = Vec::new();
    for status in statuses.iter().filter(|status| status.group.as_deref() == Some(group)) {
        let phase = mirror.pods.get(&status.pod.uid).map(|pod| pod.phase);
        placed += match status.state {
            PodState::Binding { .. } | PodState::Bound { .. } => 1,
            PodState::Finished if phase == Some(PodPhase::Succeeded) => 1,
            PodState::Finished | PodState::Queued { .. } => 0,
        };
        let state = match &status.state {
            PodState::Binding { node } => format!("binding to {node}"),
            PodState::Bound { node } => format!("on {node}"),
            PodState::Finished => format!("finished, {phase:?}"),
            PodState::Queued { section, .. } => section.name().to_owned(),
        };
        told.push(format!("{} {state}", status.pod.name));
    }
    (placed, told)
}
