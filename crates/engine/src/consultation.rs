//! Extenders: what other processes say of the nodes that the filters left, and how the engine waits for it.
//!
//! The engine never waits in place. A question is an effect; the entity leaves the queue until the last answer has come,
//! or its deadline has passed, and is then tried anew: the answers are held against what the cluster looks like *then*. No
//! place is held meanwhile. The members of a gang that are twins share one consultation.
//!
//! Source: `pkg/scheduler/schedule_one.go` (`findNodesThatPassExtenders`, `prioritizeNodes`) for the order of questions.

use crate::effect::{EffectId, EffectKind, ExtenderVerb};
use crate::engine::{Awaited, Engine, Timer};
use crate::input::ExtenderAnswer;
use crate::outbox::Lane;
use crate::pods::{PodId, Role};
use crate::queue::Entity;
use crate::settings::ExtenderSettings;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::record::{PodPhase, PodSpec};
use muster_framework::rejection::Code;
use muster_framework::table::NodeOrd;
use muster_framework::view::{Delta, View};
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::Duration;

/// How much longer than an extender's own time-out the engine waits for the driver to say anything.
const GRACE: Duration = Duration::from_secs(5);
/// What an extender's score is multiplied with: it gives 0 to 10, plugins 0 to 100.
/// Source: `k8s.io/kube-scheduler/extender/v1.MaxExtenderPriority`.
const SCORE_FACTOR: i64 = 10;

/// What extenders have said of nodes for a pod, so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consultation {
    /// The nodes that are left, by name.
    allowed: FxHashSet<Text>,
    /// Nodes that fell out, with what was said.
    rejected: FxHashMap<Text, (Code, Text)>,
    /// What they add to the scores of nodes, weights included.
    scores: FxHashMap<Text, i64>,
    /// Extenders whose filter is still to be asked, the next one last.
    to_filter: Vec<u32>,
    /// Answers that are still to come.
    open: Vec<EffectId>,
    /// Scores have been asked for.
    prioritizing: bool,
}

impl Consultation {
    /// There was no node to ask about, so all is said.
    fn about_nothing() -> Consultation {
        Consultation {
            prioritizing: true,
            ..Consultation::default()
        }
    }

    /// Whether every answer is in.
    pub(crate) fn is_over(&self) -> bool {
        self.open.is_empty() && self.to_filter.is_empty() && self.prioritizing
    }

    /// Whether the question was about this node, too.
    fn was_about(&self, node: &str) -> bool {
        self.allowed.contains(node) || self.rejected.contains_key(node)
    }

    pub(crate) fn allows(&self, node: &str) -> bool {
        self.allowed.contains(node)
    }

    /// Why a node fell out: how final it is, and what the extender said.
    pub(crate) fn rejection(&self, node: &str) -> Option<(Code, &Text)> {
        self.rejected.get(node).map(|(code, text)| (*code, text))
    }

    /// What extenders add to the score of a node.
    pub(crate) fn score(&self, node: &str) -> i64 {
        self.scores.get(node).copied().unwrap_or(0)
    }
}

impl ExtenderSettings {
    /// Whether the extender has a say in where this pod goes.
    /// Source: `pkg/scheduler/extender.IsInterested`.
    fn is_interested(&self, spec: &PodSpec) -> bool {
        let requests = &spec.charge.requests.scalars;
        self.managed_resources.is_empty() || requests.iter().any(|(name, _)| self.managed_resources.contains(name))
    }
}

impl Engine {
    /// The extenders, by index, that have a say in where this pod goes.
    fn interested(&self, id: PodId) -> Vec<u32> {
        if self.extenders.is_empty() {
            return Vec::new();
        }
        let Some(pod) = self.cluster.pods.get(id) else {
            return Vec::new();
        };
        let extenders = self.extenders.iter().enumerate();
        extenders
            .filter(|(_, e)| e.is_interested(&pod.record.spec))
            .map(|(at, _)| at as u32)
            .collect()
    }

    /// The extender that binds this pod, if one does.
    pub(crate) fn binding_extender(&self, id: PodId) -> Option<u32> {
        self.interested(id)
            .into_iter()
            .find(|at| self.extenders[*at as usize].binds)
    }

    /// Asks extenders about a pod, unless they have been asked. True: everything that they say is known, or they have
    /// nothing to say.
    pub(crate) fn consult(&mut self, now: Time, id: PodId) -> bool {
        let interested = self.interested(id);
        let has_a_say = |at: &u32| {
            let extender = &self.extenders[*at as usize];
            extender.filters || extender.prioritizes
        };
        if !interested.iter().any(has_a_say) {
            return true;
        }
        if let Some(consultation) = self.consultations.get(&id) {
            return consultation.is_over();
        }
        let nodes = self.nodes_to_ask_about(id);
        if nodes.is_empty() {
            // The filters leave nothing: the attempt says so itself. A gang may be planned in several turns, and what comes
            // to fit in between is something that nobody was asked about.
            if self.cluster.pods.get(id).is_some_and(|pod| pod.group.is_some()) {
                self.consultations.insert(id, Consultation::about_nothing());
            }
            return true;
        }
        let mut to_filter: Vec<u32> = interested
            .into_iter()
            .filter(|at| self.extenders[*at as usize].filters)
            .collect();
        to_filter.reverse();
        let names: FxHashSet<Text> = nodes.into_iter().collect();
        let consultation = Consultation {
            allowed: names,
            to_filter,
            ..Consultation::default()
        };
        self.consultations.insert(id, consultation);
        self.ask_on(now, id);
        self.consultations.get(&id).is_none_or(Consultation::is_over)
    }

    /// Whether a pod that extenders were asked about could go to nodes now that the question was not about.
    pub(crate) fn asked_too_little(&mut self, id: PodId) -> bool {
        if !self.consultations.contains_key(&id) {
            return false;
        }
        let nodes = self.nodes_to_ask_about(id);
        let said = self.consultations.get(&id);
        said.is_some_and(|said| nodes.iter().any(|node| !said.was_about(node)))
    }

    fn nodes_to_ask_about(&mut self, id: PodId) -> Vec<Text> {
        self.cluster.compile(id);
        self.cluster.compile_nominated(id);
        let Engine { cluster, pipeline, .. } = self;
        let (Some(pod), Some(record)) = (cluster.to_place(id), cluster.pods.get(id).map(|pod| &pod.record)) else {
            return Vec::new();
        };
        let Some(profile) = pipeline.profile_of(&record.scheduler_name) else {
            return Vec::new();
        };
        // What is planned for the other members of a gang can make nodes fit that do not fit yet: company that the pod
        // needs, pods that it is to be spread with, and promises to members that go elsewhere.
        let with_others = record.group().is_some();
        if with_others && !(record.spec.affinity.is_empty() && record.spec.spread.is_empty()) {
            let all = cluster.table.live().iter();
            return all.map(|node| cluster.table.name(node).clone()).collect();
        }
        let nominated = if with_others {
            Vec::new()
        } else {
            cluster.nominated_to_place(id, &[])
        };
        let delta = Delta::default();
        pipeline.filter(profile, &pod, &View::new(&cluster.table, &delta), &nominated);
        pipeline
            .feasible()
            .iter()
            .map(|node: NodeOrd| cluster.table.name(node).clone())
            .collect()
    }

    /// Asks the next question: filters one after the other, each about what the one before has left, then all scores.
    fn ask_on(&mut self, now: Time, id: PodId) {
        let Some(consultation) = self.consultations.get_mut(&id) else {
            return;
        };
        if self.stopped {
            // Nobody will use what they say.
            return;
        }
        if consultation.allowed.is_empty() {
            consultation.to_filter.clear();
            consultation.prioritizing = true;
        } else if let Some(extender) = consultation.to_filter.pop() {
            self.ask(now, id, extender, ExtenderVerb::Filter);
        } else if !consultation.prioritizing {
            consultation.prioritizing = true;
            let mut interested = self.interested(id);
            interested.retain(|at| self.extenders[*at as usize].prioritizes);
            for extender in interested {
                self.ask(now, id, extender, ExtenderVerb::Prioritize);
            }
        }
    }

    fn ask(&mut self, now: Time, id: PodId, extender: u32, verb: ExtenderVerb) {
        let (Some(pod), Some(consultation)) = (self.cluster.pods.get(id), self.consultations.get(&id)) else {
            return;
        };
        let mut nodes: Vec<Text> = consultation.allowed.iter().cloned().collect();
        nodes.sort_unstable();
        let pod = pod.reference();
        let uid = pod.uid.clone();
        let question = EffectKind::AskExtender {
            extender,
            verb,
            pod,
            nodes,
        };
        let effect = self.emit(Lane::Questions, question);
        self.awaited.insert(effect, Awaited::Answer { uid, extender, verb });
        let deadline = now + self.extenders[extender as usize].timeout + GRACE;
        self.timers.insert((deadline, Timer::AnswerOverdue(effect)));
        if let Some(consultation) = self.consultations.get_mut(&id) {
            consultation.open.push(effect);
        }
    }

    /// No answer has come, not even that there is none.
    pub(crate) fn answer_overdue(&mut self, now: Time, effect: EffectId) {
        if self.awaited.contains_key(&effect) {
            let message = "no answer came in time".into();
            let outcome = crate::input::Outcome::Extender(ExtenderAnswer::Failed { message });
            self.effect_done(now, effect, outcome);
        }
    }

    /// An extender has answered.
    pub(crate) fn answered(
        &mut self,
        now: Time,
        id: PodId,
        effect: EffectId,
        from: (u32, ExtenderVerb),
        answer: ExtenderAnswer,
    ) {
        let Some(consultation) = self.consultations.get_mut(&id) else {
            return;
        };
        let Some(at) = consultation.open.iter().position(|open| *open == effect) else {
            return;
        };
        consultation.open.swap_remove(at);
        let (extender, verb) = from;
        let settings = &self.extenders[extender as usize];
        if let Err(problem) = consultation.take(settings, verb, answer) {
            let message = format!("extender {}: {problem}", settings.name);
            return self.consultation_failed(now, id, message);
        }
        self.ask_on(now, id);
        if self.consultations.get(&id).is_some_and(Consultation::is_over) {
            self.try_again(now, id);
        }
    }

    /// All answers are in: the entity is tried with them.
    fn try_again(&mut self, now: Time, id: PodId) {
        let entity = self.entity_of(id);
        let (urgency, size) = self.urgency_and_size(entity);
        self.queue.resume(now, entity, urgency, size);
    }

    fn consultation_failed(&mut self, now: Time, id: PodId, message: String) {
        let entity = self.entity_of(id);
        let (_, size) = self.urgency_and_size(entity);
        self.queue.delay(now, entity, size);
        let members = match entity {
            Entity::Pod(pod) => vec![pod],
            Entity::Group(group) => self
                .groups
                .get(group)
                .map_or_else(Vec::new, |g| g.pending.iter().copied().collect()),
        };
        // Nor is what was said of its companions kept until it is tried again.
        for member in members {
            self.end_consultation(member);
            self.want(now, member, crate::diagnosis::SCHEDULER_ERROR, message.clone(), true);
        }
    }

    /// Forgets what was said of a pod: it has been used, or the pod is gone.
    pub(crate) fn end_consultation(&mut self, id: PodId) {
        if let Some(consultation) = self.consultations.remove(&id) {
            for effect in consultation.open {
                self.awaited.remove(&effect);
            }
        }
    }
}

impl Consultation {
    /// Takes an answer in. What an extender that may be ignored fails to say counts as agreement.
    fn take(&mut self, extender: &ExtenderSettings, verb: ExtenderVerb, answer: ExtenderAnswer) -> Result<(), String> {
        match answer {
            ExtenderAnswer::Filtered {
                nodes,
                failed,
                unresolvable,
            } if verb == ExtenderVerb::Filter => {
                let left: FxHashSet<Text> = nodes.into_iter().collect();
                if let Some(stranger) = left.iter().filter(|name| !self.allowed.contains(*name)).min() {
                    let problem = format!("it names node {stranger}, which it was not asked about");
                    return if extender.ignorable { Ok(()) } else { Err(problem) };
                }
                let unresolvable: FxHashMap<Text, Text> = unresolvable.into_iter().collect();
                let failed: FxHashMap<Text, Text> = failed.into_iter().collect();
                for name in self.allowed.difference(&left) {
                    let (code, text) = match (unresolvable.get(name), failed.get(name)) {
                        (Some(text), _) => (Code::UnschedulableAndUnresolvable, text.clone()),
                        (None, Some(text)) => (Code::Unschedulable, text.clone()),
                        (None, None) => (
                            Code::Unschedulable,
                            format!("node(s) were rejected by extender {}", extender.name).into(),
                        ),
                    };
                    self.rejected.insert(name.clone(), (code, text));
                }
                self.allowed = left;
                Ok(())
            }
            ExtenderAnswer::Prioritized { scores } if verb == ExtenderVerb::Prioritize => {
                for (name, score) in scores {
                    let added = score.saturating_mul(extender.weight).saturating_mul(SCORE_FACTOR);
                    let sum = self.scores.entry(name).or_default();
                    *sum = sum.saturating_add(added);
                }
                Ok(())
            }
            // Preferences that cannot be had are done without.
            ExtenderAnswer::Failed { .. } if verb == ExtenderVerb::Prioritize || extender.ignorable => Ok(()),
            ExtenderAnswer::Failed { message } => Err(message.to_string()),
            _ => Err("the driver answered another question".to_owned()),
        }
    }
}

// ---- the books ---------------------------------------------------------------------------------------------------

impl Engine {
    /// Whether consultations belong to pods that are to be tried, and wait for answers that can come.
    pub(crate) fn check_consultations(&self) -> Result<(), String> {
        for (id, consultation) in &self.consultations {
            let pod = self.cluster.pods.get(*id);
            let waits = pod.is_some_and(|pod| pod.place.is_none()) && self.role_without_node(*id) == Role::Pending;
            if !waits {
                return Err(format!("extenders are asked about {id:?}, which is not to be placed"));
            }
            let mut open = consultation.open.iter();
            if let Some(effect) = open.find(|effect| !matches!(self.awaited.get(*effect), Some(Awaited::Answer { .. })))
            {
                return Err(format!("{id:?} waits for {effect:?}, which nobody will answer"));
            }
        }
        Ok(())
    }

    /// Whether answers are still to come about a pod.
    pub(crate) fn is_consulting(&self, id: PodId) -> bool {
        self.consultations
            .get(&id)
            .is_some_and(|consultation| !consultation.is_over())
    }

    /// Whether every pod that is to be placed is in the queue, by itself or with its group, or waits for extenders.
    pub(crate) fn check_queue(&self) -> Result<(), String> {
        for (id, pod) in self.cluster.pods.iter() {
            let active = pod.record.phase == PodPhase::Active && pod.record.node_name.is_none();
            if !active || pod.place.is_some() || self.role_without_node(id) != Role::Pending {
                continue;
            }
            let members = pod
                .group
                .and_then(|(group, _)| self.groups.get(group))
                .map(|group| &group.pending);
            let group = pod.group.map(|(group, _)| Entity::Group(group));
            let queued = [Some(Entity::Pod(id)), group];
            if !queued
                .into_iter()
                .flatten()
                .any(|entity| self.queue.section(entity).is_some())
                && !self.is_consulting(id)
                && !pod.group.is_some_and(|(group, _)| self.is_planning(group))
                && !members.is_some_and(|members| members.iter().any(|member| self.is_consulting(*member)))
            {
                return Err(format!("{} is to be placed, but nobody will try it", pod.record.name));
            }
        }
        Ok(())
    }
}
