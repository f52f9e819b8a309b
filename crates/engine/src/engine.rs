//! The engine itself: the one owner of all state, and its surface for drivers.
//!
//! The work is split by cause: [`ingest`](crate::ingest) folds in facts about objects, [`outcome`](crate::outcome) what
//! became of effects, [`cycle`](crate::cycle) and
//! [`planning`](crate::planning) try pods and groups, [`report`](crate::report) says why they wait.

use crate::broken::BrokenGangs;
use crate::cluster::Cluster;
use crate::consultation::Consultation;
use crate::deadlines::Deadlines;
use crate::effect::{Effect, EffectId, EffectKind, ExtenderVerb, PodRef};
use crate::groups::{GroupId, Groups};
use crate::input::Input;
use crate::observation::{Observation, Section, WaitReason};
use crate::outbox::{Lane, Outbox};
use crate::pipeline::Pipeline;
use crate::planning::Planning;
use crate::pods::{Pod, PodId, Role};
use crate::preparation::{Departures, Patched};
use crate::queue::{Entity, SchedulingQueue, Urgency};
use crate::retries::Retries;
use crate::settings::{ExtenderSettings, GangSettings, Settings};
use crate::time::Time;
use muster_framework::Text;
use muster_framework::record::Kind;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// How far the listing of one kind has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ListState {
    /// How many lists have begun.
    pub(crate) begun: u32,
    /// A list has been told in full, or the kind is not served.
    pub(crate) done: bool,
    /// No list counts that has a lower number: it may have begun before this process led.
    pub(crate) needed: u32,
    /// The kind is not served: there is nothing to list.
    pub(crate) absent: bool,
}

/// An effect whose outcome is still to come, by the uid of its object.
#[derive(Debug, Clone)]
pub(crate) enum Awaited {
    Bind(Text),
    Read(Text),
    Condition(Text),
    /// Of a status write to the object of a group, with that object's uid.
    GroupStatus(GroupId, Text),
    Patch(Text, Patched),
    Evict(Text),
    Answer {
        uid: Text,
        extender: u32,
        verb: ExtenderVerb,
    },
}

impl Awaited {
    /// The uid of the object that it is about.
    pub(crate) fn uid(&self) -> &Text {
        match self {
            Awaited::Bind(uid) | Awaited::Read(uid) | Awaited::Condition(uid) => uid,
            Awaited::Evict(uid) | Awaited::GroupStatus(_, uid) => uid,
            Awaited::Patch(uid, _) | Awaited::Answer { uid, .. } => uid,
        }
    }
}

/// Something that only the passing of time brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Tell why a group waits.
    TellGroup(GroupId),
    /// Write the status of a group's object, again or for the first time.
    WriteGroupAgain(GroupId),
    /// Try a failed status write again.
    WriteAgain(PodId),
    /// A pod has held its place without being bound for as long as it may.
    PlaceOverdue(PodId),
    /// A gang has been broken for long enough, or its members are to be evicted again.
    BrokenOverdue(GroupId),
    /// A pod need not avoid a node any longer.
    AvoidedByPod(PodId),
    /// Nor need the members of a group.
    AvoidedByGroup(GroupId),
    /// An extender has not answered.
    AnswerOverdue(EffectId),
}

/// The scheduler's state and its work.
#[derive(Debug)]
pub struct Engine {
    pub(crate) cluster: Cluster,
    pub(crate) groups: Groups,
    pub(crate) queue: SchedulingQueue,
    pub(crate) pipeline: Pipeline,
    /// The gang that is being planned.
    pub(crate) planning: Option<Planning>,
    pub(crate) departures: Departures,
    pub(crate) deadlines: Deadlines,
    pub(crate) retries: Retries,
    pub(crate) broken: BrokenGangs,
    pub(crate) gangs: GangSettings,
    pub(crate) extenders: Vec<ExtenderSettings>,
    /// What extenders have been asked about pods, until it has been used.
    pub(crate) consultations: FxHashMap<PodId, Consultation>,
    pub(crate) lists: [ListState; Kind::ALL.len()],
    /// What has been decided and not been handed out.
    pub(crate) outbox: Outbox,
    pub(crate) awaited: FxHashMap<EffectId, Awaited>,
    /// Pods whose status says something else than it ought to.
    pub(crate) unreported: BTreeSet<PodId>,
    /// Groups whose object's status is to be written.
    pub(crate) unreported_groups: BTreeSet<GroupId>,
    pub(crate) timers: BTreeSet<(Time, Timer)>,
    pub(crate) observations: Vec<Observation>,
    pub(crate) names_attempts: bool,
    last_effect: u64,
    pub(crate) recovered: bool,
    /// Groups that were found half bound then and have not been planned to the end.
    pub(crate) recovering: Vec<GroupId>,
    pub(crate) leads: bool,
    pub(crate) stopped: bool,
}

/// Where one pod of ours stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStatus {
    /// The pod.
    pub pod: PodRef,
    /// The group that it belongs to, as messages name it.
    pub group: Option<String>,
    /// Where it stands.
    pub state: PodState,
}

/// Where a pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// In a section of the queue.
    Queued {
        /// Which.
        section: Section,
        /// Why it waits, in one word; empty when it has not been tried.
        reason: Text,
        /// Why it waits, for a person; empty when it has not been tried.
        message: Text,
    },
    /// A place is taken, the bind is on its way.
    Binding {
        /// The node.
        node: Text,
    },
    /// On a node.
    Bound {
        /// The node.
        node: Text,
    },
    /// Succeeded or failed.
    Finished,
}

/// Sizes, for gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Nodes known.
    pub nodes: usize,
    /// Pods known, everybody's.
    pub pods: usize,
    /// Pods of ours whose bind is not yet confirmed.
    pub assumed_pods: usize,
    /// Pods of ours by queue section, in the order of [`Section::ALL`].
    pub pending: [usize; 4],
    /// Single pods, then pod groups that are tried as one, by queue section in the same order.
    pub queued: [[usize; 4]; 2],
    /// Effects without an outcome yet.
    pub in_flight: usize,
    /// Pod groups that wait, in the order of [`WaitReason::ALL`].
    pub waiting_groups: [usize; WaitReason::ALL.len()],
}

// ---- the surface for drivers -------------------------------------------------------------------------------------

impl Engine {
    /// An engine that knows nothing yet. It tries no pod before every kind has been listed once, or is known not to be
    /// served.
    pub fn new(settings: &Settings) -> Engine {
        let mut cluster = Cluster::new();
        let Settings {
            profiles,
            kube,
            seed,
            batching,
            ..
        } = &settings;
        let pipeline = Pipeline::new(profiles, *kube, *seed, *batching, &mut cluster.table);
        Engine {
            cluster,
            groups: Groups::new(settings.gangs.succeeded_count),
            queue: SchedulingQueue::new(settings),
            pipeline,
            planning: None,
            departures: Departures::default(),
            deadlines: Deadlines::default(),
            retries: Retries::default(),
            broken: BrokenGangs::default(),
            gangs: settings.gangs,
            extenders: settings.extenders.clone(),
            consultations: FxHashMap::default(),
            lists: Default::default(),
            outbox: Outbox::default(),
            awaited: FxHashMap::default(),
            unreported: BTreeSet::new(),
            unreported_groups: BTreeSet::new(),
            timers: BTreeSet::new(),
            observations: Vec::new(),
            names_attempts: false,
            last_effect: 0,
            recovered: false,
            recovering: Vec::new(),
            leads: settings.leads,
            stopped: false,
        }
    }

    /// Tells from now on who was tried, by name ([`Observation::Tried`]). It changes no decision.
    pub fn name_attempts(&mut self) {
        self.names_attempts = true;
    }

    /// Folds one fact. Never blocks, never fails: a malformed object can only hurt itself.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Applied(object) => self.apply(now, object),
            Input::Deleted(key) => self.delete(now, &key),
            Input::Undecodable { key, error } => self.undecodable(&key, error),
            Input::ListBegun(kind) => self.list_begun(kind),
            Input::ListDone(kind) => self.list_done(now, kind),
            Input::KindNotServed(kind) => self.kind_not_served(now, kind),
            Input::Leadership { leads } => self.lead(now, leads),
            Input::EffectDone { id, outcome } => self.effect_done(now, id, outcome),
        }
    }

    /// Does at most one bounded unit of work (one pod, or one turn at planning a pod group) and gives the next effect, if
    /// there is one.
    ///
    /// A unit of work may need no effect: while [`Engine::next_wakeup`] is not in the future, there is more to do. An engine
    /// that does not lead does nothing and wants nothing.
    pub fn poll(&mut self, now: Time) -> Option<Effect> {
        if !self.leads {
            return None;
        }
        self.run_timers(now);
        if self.stopped {
            self.abandon_planning(now);
        }
        if self.may_decide() {
            self.recover(now);
            self.queue.flush(now);
            if self.planning.is_some() {
                self.go_on_planning(now);
            } else if !self.recovery_comes_first()
                && let Some(entity) = self.queue.pop(now)
            {
                self.try_entity(now, entity);
            }
        }
        self.next_decided(now).or_else(|| self.next_report())
    }

    /// When [`Engine::poll`] may have work although no input came. A time that has passed means: now.
    pub fn next_wakeup(&self) -> Option<Time> {
        if !self.leads {
            return None;
        }
        if !self.outbox.is_empty() || !self.unreported.is_empty() || !self.unreported_groups.is_empty() {
            return Some(Time::ZERO);
        }
        let tries = if !self.may_decide() {
            None
        } else if self.planning.is_some() {
            Some(Time::ZERO)
        } else if self.recovery_comes_first() {
            None
        } else {
            self.queue.next_wakeup()
        };
        [tries, self.timers.first().map(|(at, _)| *at)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether entities may be tried now.
    fn may_decide(&self) -> bool {
        self.leads && !self.stopped && self.is_synced() && !self.outbox.is_full()
    }

    /// Whether every kind has been listed: from then on pods are tried.
    pub fn is_synced(&self) -> bool {
        self.lists.iter().all(|list| list.done)
    }

    /// Tries no further pod. Effects that were decided are still given out, outcomes still taken in.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// What happened since the last call, in order.
    pub fn drain_observations(&mut self) -> Vec<Observation> {
        let Engine {
            observations,
            queue,
            pipeline,
            ..
        } = self;
        let Pipeline { batches, profiles, .. } = pipeline;
        observations.extend(batches.take_counts().map(|(profile, counts)| Observation::Batching {
            profile: profiles[profile.index()].scheduler_name().clone(),
            counts,
        }));
        let contradictions = pipeline.contradictions.drain(..);
        observations.extend(contradictions.map(|message| Observation::BatchContradicted {
            message: message.into(),
        }));
        observations.extend(queue.drain_incoming().map(|incoming| Observation::QueueIncoming {
            section: incoming.section,
            event: incoming.event,
            pods: incoming.pods,
            group: incoming.group,
        }));
        std::mem::take(observations)
    }

    /// Sizes, for gauges.
    pub fn stats(&self) -> Stats {
        Stats {
            nodes: self.cluster.table.len(),
            pods: self.cluster.pods.len(),
            assumed_pods: self.cluster.n_assumed(),
            pending: self.queue.pods_in(),
            queued: self.queue.entities_in(),
            in_flight: self.awaited.len(),
            waiting_groups: self.groups.waiting(),
        }
    }

    /// Where every pod of ours stands, in the order of namespaces and names.
    pub fn pods(&self) -> Vec<PodStatus> {
        let ours = self.cluster.pods.iter().filter(|(_, pod)| self.is_ours(pod));
        let mut all: Vec<PodStatus> = ours
            .map(|(id, pod)| PodStatus {
                pod: pod.reference(),
                group: pod
                    .group
                    .and_then(|(group, _)| Some(self.groups.get(group)?.key.to_string())),
                state: self.state_of(id, pod),
            })
            .collect();
        all.sort_by(|a, b| a.pod.cmp(&b.pod));
        all
    }

    /// Whether the books balance: every node is charged exactly for the pods on it. For tests; costs a full pass.
    ///
    /// # Errors
    /// Says what does not.
    pub fn check(&self) -> Result<(), String> {
        self.cluster.check()?;
        self.check_departures()?;
        self.check_deadlines()?;
        self.check_consultations()?;
        self.check_planning()?;
        self.check_queue()
    }
}

// ---- what the parts share ----------------------------------------------------------------------------------------

impl Engine {
    pub(crate) fn is_ours(&self, pod: &Pod) -> bool {
        self.pipeline.profile_of(&pod.record.scheduler_name).is_some()
    }

    /// Numbers an effect.
    pub(crate) fn number(&mut self, kind: EffectKind) -> Effect {
        self.last_effect += 1;
        Effect {
            id: EffectId(self.last_effect),
            kind,
        }
    }

    /// Numbers an effect and puts it into a lane of the outbox. Whoever wants an answer makes it
    /// [awaited](Engine::awaited) under the number.
    pub(crate) fn emit(&mut self, lane: Lane, kind: EffectKind) -> EffectId {
        let effect = self.number(kind);
        let id = effect.id;
        // A standby tells nobody anything.
        if self.leads {
            self.outbox.push(lane, effect);
        }
        id
    }

    /// The next effect of the outbox. What is to be answered and what nobody waits for any more has been taken back.
    fn next_decided(&mut self, now: Time) -> Option<Effect> {
        loop {
            let effect = self.outbox.pop()?;
            match &effect.kind {
                EffectKind::Event { .. } => return Some(effect),
                _ if !self.awaited.contains_key(&effect.id) => {}
                EffectKind::Bind { pod, .. } => {
                    self.bind_sent(now, effect.id, &pod.uid);
                    return Some(effect);
                }
                _ => return Some(effect),
            }
        }
    }

    /// The entity under which a pod is tried: itself, or its gang.
    pub(crate) fn entity_of(&self, id: PodId) -> Entity {
        let group = self
            .cluster
            .pods
            .get(id)
            .and_then(|pod| pod.group)
            .map(|(group, _)| group);
        match group {
            Some(group) if self.is_gang(group) => Entity::Group(group),
            _ => Entity::Pod(id),
        }
    }

    fn is_gang(&self, id: GroupId) -> bool {
        self.groups
            .get(id)
            .is_some_and(|group| self.groups.quorum(group).is_some())
    }

    /// How urgent an entity is, and how many pods it stands for, as the queue wants to know.
    pub(crate) fn urgency_and_size(&self, entity: Entity) -> (Urgency, u32) {
        let group = match entity {
            Entity::Pod(pod) => return (self.urgency_of_pod(pod), 1),
            Entity::Group(group) => self.groups.get(group),
        };
        let quorum = group.and_then(|group| self.groups.quorum(group));
        let urgency = Urgency {
            recovering: group.is_some_and(|group| group.recovering),
            priority: group.map_or(0, |group| self.groups.priority(group)),
            broken: group.zip(quorum).is_some_and(|(group, quorum)| group.is_broken(quorum)),
        };
        (urgency, group.map_or(1, |group| group.pending.len() as u32))
    }

    pub(crate) fn urgency_of_pod(&self, id: PodId) -> Urgency {
        let priority = self
            .cluster
            .pods
            .get(id)
            .map_or(0, |pod| self.cluster.priority(&pod.record));
        Urgency {
            priority,
            ..Urgency::default()
        }
    }

    /// Sets what a pod is to its group.
    pub(crate) fn set_role(&mut self, id: PodId, to: Role) {
        let Some(pod) = self.cluster.pods.get_mut(id) else {
            return;
        };
        if let Some((group, role)) = &mut pod.group
            && *role != to
        {
            *role = to;
            self.groups.change(*group, id, |member| member.role = to);
        }
    }

    fn run_timers(&mut self, now: Time) {
        while let Some(&(at, timer)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::TellGroup(group) => self.group_is_due(now, group),
                Timer::WriteGroupAgain(group) => self.write_group_again(now, group),
                Timer::WriteAgain(pod) => self.write_again(now, pod),
                Timer::PlaceOverdue(pod) => self.place_overdue(now, pod),
                Timer::BrokenOverdue(group) => self.broken_overdue(now, group),
                Timer::AvoidedByPod(pod) => self.retries.expire_of_pod(now, pod),
                Timer::AvoidedByGroup(group) => self.retries.expire_of_group(now, group),
                Timer::AnswerOverdue(effect) => self.answer_overdue(now, effect),
            }
        }
    }

    fn state_of(&self, id: PodId, pod: &Pod) -> PodState {
        if pod.record.phase != muster_framework::record::PodPhase::Active {
            return PodState::Finished;
        }
        if let Some(place) = &pod.place {
            let node = place.node_name.clone();
            return if pod.is_bound() {
                PodState::Bound { node }
            } else {
                PodState::Binding { node }
            };
        }
        let own = self.queue.section(Entity::Pod(id));
        let group = pod
            .group
            .and_then(|(group, _)| self.queue.section(Entity::Group(group)));
        let (reason, message) = match &pod.report.wanted {
            Some(wanted) => (wanted.reason.clone(), wanted.message.clone()),
            None => (Text::from(""), Text::from("")),
        };
        PodState::Queued {
            section: own.or(group).unwrap_or(Section::Gated),
            reason,
            message,
        }
    }
}
