//! What became of effects: binds are confirmed, given back or read again; writes stand or are tried again.

use crate::deadlines::{ANSWER_OVERDUE, RETRY_AFTER, SIGHT_OVERDUE};
use crate::diagnosis;
use crate::effect::{EffectId, EffectKind, Regarding, Severity};
use crate::engine::{Awaited, Engine, Timer};
use crate::input::{BindOutcome, ExtenderAnswer, Outcome, PodRead};
use crate::observation::{AttemptResult, Observation};
use crate::outbox::Lane;
use crate::pods::{BindStage, Pod, PodId, Role};
use crate::queue::Entity;
use crate::retries::Again;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::record::Kind;
use std::time::Duration;

impl Engine {
    pub(crate) fn effect_done(&mut self, now: Time, id: EffectId, outcome: Outcome) {
        // An effect that nobody waits for: its pod is gone, or it is answered twice.
        let Some(awaited) = self.awaited.remove(&id) else {
            return;
        };
        if let Awaited::GroupStatus(group, uid) = &awaited {
            return self.group_status_done(now, *group, uid, &outcome);
        }
        let Some(pod) = self.cluster.pods.id(awaited.uid()) else {
            return;
        };
        match (awaited, outcome) {
            (Awaited::Bind(_), Outcome::Bind(outcome)) => self.bind_done(now, pod, id, outcome),
            (Awaited::Read(_), Outcome::PodRead(read)) => self.read_done(now, pod, id, read),
            (Awaited::Patch(_, what), outcome) => self.patched(now, pod, id, what, outcome),
            (Awaited::Answer { extender, verb, .. }, outcome) => {
                let answer = match outcome {
                    Outcome::Extender(answer) => answer,
                    _ => ExtenderAnswer::Failed {
                        message: "the driver gave no answer".into(),
                    },
                };
                self.answered(now, pod, id, (extender, verb), answer);
            }
            (Awaited::Condition(_) | Awaited::GroupStatus(..), outcome) => self.write_done(now, pod, &outcome),
            (Awaited::Bind(_), _) => {
                let message = "the driver gave no outcome of a bind".into();
                self.bind_done(now, pod, id, BindOutcome::Unknown { message });
            }
            (Awaited::Read(_), _) => self.read_failed(now, pod, id),
            (Awaited::Evict(_), _) => self.eviction_done(pod),
        }
    }

    fn bind_done(&mut self, now: Time, id: PodId, effect: EffectId, outcome: BindOutcome) {
        // A watch event may have been faster, or have moved the pod: then the outcome is old news.
        let Some(place) = self.cluster.pods.get_mut(id).and_then(|pod| pod.place.as_mut()) else {
            return;
        };
        let lists_begun = self.lists[Kind::Pod as usize].begun;
        let Some(bind) = place.bind.as_mut().filter(|bind| bind.effect == effect) else {
            return;
        };
        match outcome {
            BindOutcome::Bound => {
                bind.stage = BindStage::Confirmed { lists_begun };
                self.set_deadline(id, now + SIGHT_OVERDUE);
                self.announce_bound(now, id);
            }
            BindOutcome::PodGone => self.pod_gone(now, id),
            // Even a refusal is looked into: it may be the answer to a request that was sent a second time.
            BindOutcome::Refused { message } | BindOutcome::Unknown { message } => {
                self.bind_is_uncertain(now, id, message);
            }
        }
    }

    /// A bind that was handed out may have happened or not: the pod is read before anything is concluded.
    fn bind_is_uncertain(&mut self, now: Time, id: PodId, message: Text) {
        let lists_begun = self.lists[Kind::Pod as usize].begun;
        let Some(place) = self.cluster.pods.get_mut(id).and_then(|pod| pod.place.as_mut()) else {
            return;
        };
        let node = place.node_name.clone();
        let Some(bind) = place.bind.as_mut() else { return };
        self.awaited.remove(&bind.effect);
        bind.stage = BindStage::Reading {
            lists_begun,
            announced: false,
        };
        self.avoid(now, id, &node, &message);
        self.observe_failure(id, &node, &message);
        self.read_pod(now, id);
    }

    /// Asks what really stands in the API, about a pod whose bind is uncertain, or was confirmed and has not been seen. A
    /// standby does not ask: when it takes over, a list tells.
    pub(crate) fn read_pod(&mut self, now: Time, id: PodId) {
        self.set_deadline(id, now + ANSWER_OVERDUE);
        let Some(pod) = self.cluster.pods.get(id).filter(|_| self.leads) else {
            return;
        };
        let reference = pod.reference();
        let uid = reference.uid.clone();
        let effect = self.emit(Lane::Questions, EffectKind::ReadPod { pod: reference });
        self.awaited.insert(effect, Awaited::Read(uid));
        let lists_begun = self.lists[Kind::Pod as usize].begun;
        let place = self.cluster.pods.get_mut(id).and_then(|pod| pod.place.as_mut());
        if let Some(bind) = place.and_then(|place| place.bind.as_mut()) {
            // An earlier question is asked no more: its answer may be older than this one's.
            self.awaited.remove(&bind.effect);
            bind.effect = effect;
            if matches!(bind.stage, BindStage::Confirmed { .. }) {
                bind.stage = BindStage::Reading {
                    lists_begun,
                    announced: true,
                };
            }
        }
    }

    /// Asks what stands in the API about a pod whose bind has no outcome yet. The answer is news like any other.
    pub(crate) fn look_at_pod(&mut self, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id).filter(|_| self.leads).map(Pod::reference) else {
            return;
        };
        let uid = pod.uid.clone();
        let effect = self.emit(Lane::Questions, EffectKind::ReadPod { pod });
        self.awaited.insert(effect, Awaited::Read(uid));
    }

    fn read_failed(&mut self, now: Time, id: PodId, effect: EffectId) {
        if self.is_reading(id, effect) {
            self.set_deadline(id, now + RETRY_AFTER);
        }
    }

    /// Whether the truth about the pod is to come from this read, and has not come otherwise.
    fn is_reading(&self, id: PodId, effect: EffectId) -> bool {
        let place = self.cluster.pods.get(id).and_then(|pod| pod.place.as_ref());
        let bind = place.and_then(|place| place.bind);
        bind.is_some_and(|bind| bind.effect == effect && matches!(bind.stage, BindStage::Reading { .. }))
    }

    fn read_done(&mut self, now: Time, id: PodId, effect: EffectId, read: PodRead) {
        match read {
            PodRead::Failed { .. } => self.read_failed(now, id, effect),
            PodRead::Gone => self.pod_gone(now, id),
            PodRead::Found(record) => {
                let unbound = record.node_name.is_none();
                let seen = self.cluster.pods.get(id).map_or(0, |pod| pod.seen);
                self.apply_pod(now, *record, seen);
                // The read began after the bind was answered: if it shows no node, the bind did not happen.
                if unbound && self.is_reading(id, effect) {
                    let message = format!("the pod could not be bound: {}", self.retries.message(id));
                    let again = self.retries.again(id);
                    self.place_failed(now, id, again, message.clone());
                    self.group_fails(now, id, &message, true);
                }
            }
        }
    }

    fn pod_gone(&mut self, now: Time, id: PodId) {
        if let Some(pod) = self.cluster.pods.get_mut(id) {
            pod.gone = true;
        }
        self.set_role(id, Role::Lost);
        self.give_back(now, id);
        self.queue.remove(Entity::Pod(id));
        if let Some((group, _)) = self.cluster.pods.get(id).and_then(|pod| pod.group) {
            self.evaluate_group(now, group, Some(id), "UnscheduledPodDelete");
        }
    }

    /// Gives the place back and tries again, unless the pod, or its group, may not be tried any more.
    pub(crate) fn place_failed(&mut self, now: Time, id: PodId, again: Again, message: String) {
        self.give_back(now, id);
        let role = self.role_without_node(id);
        self.set_role(id, role);
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        if role == Role::Pending && again == Again::Later {
            let entity = self.entity_of(id);
            let (_, size) = self.urgency_and_size(entity);
            self.queue.delay(now, entity, size);
            self.queue.history.add(now, entity, AttemptResult::Error, &message);
        }
        match group {
            Some((group, _)) => self.evaluate_group(now, group, Some(id), "ScheduleAttemptFailure"),
            None => self.requeue(now, id, role, false, "ScheduleAttemptFailure"),
        }
        if role == Role::Pending && again == Again::Later {
            self.want(now, id, diagnosis::SCHEDULER_ERROR, message, true);
        }
    }

    fn observe_failure(&mut self, id: PodId, node: &Text, message: &Text) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let pod = pod.reference();
        self.observations.push(Observation::BindFailed {
            pod,
            node: node.clone(),
            message: message.clone(),
        });
    }

    /// Tells the world that a pod of ours is bound: once, whichever says so first, the outcome or the watch.
    pub(crate) fn announce_bound(&mut self, now: Time, id: PodId) {
        self.member_is_bound(now, id);
        let past = self.queue.take_past(id);
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let Some(place) = &pod.place else { return };
        let (reference, node) = (pod.reference(), place.node_name.clone());
        let controller = pod.record.scheduler_name.clone();
        self.observations.push(Observation::Bound {
            pod: reference.clone(),
            node: node.clone(),
            attempts: past.map_or(1, |past| past.attempts.max(1)),
            waited: past.map_or(Duration::ZERO, |past| now.since(past.first_enqueued)),
            after_flush: past.is_some_and(|past| past.flushed),
            with_group: self.goes_with_group(id),
        });
        let note = format!("Successfully assigned {reference} to {node}").into();
        self.emit(
            Lane::Events,
            EffectKind::Event {
                regarding: Regarding::Pod(reference),
                reporting_controller: controller,
                severity: Severity::Normal,
                reason: "Scheduled",
                action: "Binding",
                note,
            },
        );
    }

    fn write_done(&mut self, now: Time, id: PodId, outcome: &Outcome) {
        let Some(pod) = self.cluster.pods.get_mut(id) else {
            return;
        };
        let writing = pod.report.writing.take();
        match outcome {
            Outcome::Written => pod.report.written = writing,
            Outcome::ObjectGone => pod.report.want_nothing(),
            _ => {
                pod.report.write_after = now + RETRY_AFTER;
                self.timers.insert((now + RETRY_AFTER, Timer::WriteAgain(id)));
            }
        }
        self.write_again(now, id);
    }
}
