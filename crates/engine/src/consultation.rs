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
use crate::pods::PodId;
use crate::queue::Entity;
use crate::settings::ExtenderSettings;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::record::PodSpec;
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
    /// The nodes that they were asked about in the first place.
    asked: FxHashSet<Text>,
    /// Nodes that fell out, with what was said.
    rejected: Vec<(Text, Code, Text)>,
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
    /// Whether every answer is in.
    pub(crate) fn is_over(&self) -> bool {
        self.open.is_empty() && self.to_filter.is_empty() && self.prioritizing
    }

    pub(crate) fn allows(&self, node: &str) -> bool {
        self.allowed.contains(node)
    }

    pub(crate) fn was_asked(&self, node: &str) -> bool {
        self.asked.contains(node)
    }

    /// Why a node fell out: how final it is, and what the extender said.
    pub(crate) fn rejection(&self, node: &str) -> Option<(Code, &Text)> {
        let found = self.rejected.iter().find(|(name, _, _)| &**name == node)?;
        Some((found.1, &found.2))
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
            // The filters leave nothing: the attempt says so itself.
            return true;
        }
        let mut to_filter: Vec<u32> = interested
            .into_iter()
            .filter(|at| self.extenders[*at as usize].filters)
            .collect();
        to_filter.reverse();
        let names: FxHashSet<Text> = nodes.into_iter().collect();
        let consultation = Consultation {
            asked: names.clone(),
            allowed: names,
            to_filter,
            ..Consultation::default()
        };
        self.consultations.insert(id, consultation);
        self.ask_on(now, id);
        self.consultations.get(&id).is_none_or(Consultation::is_over)
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
        let delta = Delta::default();
        pipeline.filter(
            profile,
            &pod,
            &View::new(&cluster.table, &delta),
            &cluster.nominated_to_place(id),
        );
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
        if consultation.allowed.is_empty() {
            consultation.to_filter.clear();
            consultation.prioritizing = true;
        } else if let Some(extender) = consultation.to_filter.pop() {
            return self.ask(now, id, extender, ExtenderVerb::Filter);
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
        let effect = self.emit(EffectKind::AskExtender {
            extender,
            verb,
            pod,
            nodes,
        });
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
        self.consultations.remove(&id);
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
        for member in members {
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
                if let Some(stranger) = left.iter().find(|name| !self.allowed.contains(*name)) {
                    let problem = format!("it names node {stranger}, which it was not asked about");
                    return if extender.ignorable { Ok(()) } else { Err(problem) };
                }
                let mut gone: Vec<Text> = self.allowed.difference(&left).cloned().collect();
                gone.sort_unstable();
                for name in gone {
                    let find =
                        |said: &[(Text, Text)]| said.iter().find(|(n, _)| *n == name).map(|(_, text)| text.clone());
                    let (code, text) = match (find(&unresolvable), find(&failed)) {
                        (Some(text), _) => (Code::UnschedulableAndUnresolvable, text),
                        (None, Some(text)) => (Code::Unschedulable, text),
                        (None, None) => (
                            Code::Unschedulable,
                            format!("node(s) were rejected by extender {}", extender.name).into(),
                        ),
                    };
                    self.rejected.push((name, code, text));
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
