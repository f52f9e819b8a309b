//! What became of effects: binds are confirmed, given back or read again; writes stand or are tried again.

use crate::diagnosis;
use crate::effect::{EffectId, EffectKind, Regarding, Severity};
use crate::engine::{Awaited, Engine, Timer};
use crate::input::{BindOutcome, ExtenderAnswer, Outcome, PodRead};
use crate::observation::Observation;
use crate::outbox::Lane;
use crate::pods::{BindStage, Pod, PodId, Role};
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::record::Kind;
use std::time::Duration;

/// How long a failed read or write rests before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Engine {
    pub(crate) fn effect_done(&mut self, now: Time, id: EffectId, outcome: Outcome) {
        // An effect that nobody waits for: its pod is gone, or it is answered twice.
        let Some(awaited) = self.awaited.remove(&id) else {
            return;
        };
        let Some(pod) = self.cluster.pods.id(awaited.uid()) else {
            return;
        };
        match (awaited, outcome) {
            (Awaited::Bind(_), Outcome::Bind(outcome)) => self.bind_done(now, pod, id, outcome),
            (Awaited::Read(_), Outcome::PodRead(read)) => self.read_done(now, pod, read),
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
            (Awaited::Condition(_), outcome) => self.write_done(now, pod, &outcome),
            (Awaited::Bind(_), _) => {
                let message = "the driver gave no outcome of a bind".into();
                self.bind_done(now, pod, id, BindOutcome::Unknown { message });
            }
            (Awaited::Read(_), _) => {
                self.timers.insert((now + RETRY_AFTER, Timer::ReadAgain(pod)));
            }
        }
    }

    fn bind_done(&mut self, now: Time, id: PodId, effect: EffectId, outcome: BindOutcome) {
        // A watch event may have been faster, or have moved the pod: then the outcome is old news.
        let Some(place) = self.cluster.pods.get_mut(id).and_then(|pod| pod.place.as_mut()) else {
            return;
        };
        let node = place.node_name.clone();
        let Some(bind) = place.bind.as_mut().filter(|bind| bind.effect == effect) else {
            return;
        };
        match outcome {
            BindOutcome::Bound => {
                bind.stage = BindStage::Confirmed {
                    lists_begun: self.lists[Kind::Pod as usize].begun,
                };
                self.announce_bound(now, id);
            }
            BindOutcome::Unknown { message } => {
                bind.stage = BindStage::Reading {
                    lists_begun: self.lists[Kind::Pod as usize].begun,
                };
                self.observe_failure(id, &node, &message);
                self.read_pod(id);
            }
            BindOutcome::PodGone => self.pod_gone(now, id),
            BindOutcome::Refused { message } => {
                self.observe_failure(id, &node, &message);
                let text = format!("binding the pod to node {node} was refused: {message}");
                self.bind_failed(now, id, text);
            }
        }
    }

    /// Asks what really stands in the API, if the pod still waits for that. A standby does not ask: when it takes over, a
    /// list tells.
    pub(crate) fn read_pod(&mut self, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        if !self.leads || !matches!(pod.stage(), Some(BindStage::Reading { .. })) {
            return;
        }
        let reference = pod.reference();
        let uid = reference.uid.clone();
        let effect = self.emit(Lane::Questions, EffectKind::ReadPod { pod: reference });
        self.awaited.insert(effect, Awaited::Read(uid));
    }

    fn read_done(&mut self, now: Time, id: PodId, read: PodRead) {
        match read {
            PodRead::Failed { .. } => {
                self.timers.insert((now + RETRY_AFTER, Timer::ReadAgain(id)));
            }
            PodRead::Gone => self.pod_gone(now, id),
            PodRead::Found(record) => {
                let unbound = record.node_name.is_none();
                let seen = self.cluster.pods.get(id).map_or(0, |pod| pod.seen);
                self.apply_pod(now, *record, seen);
                // The read began after the bind was answered: if it shows no node, the bind did not happen.
                let stage = self.cluster.pods.get(id).and_then(Pod::stage);
                if unbound && matches!(stage, Some(BindStage::Reading { .. })) {
                    self.bind_failed(
                        now,
                        id,
                        "the answer to the bind was lost, and the pod is not bound".to_owned(),
                    );
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
            self.evaluate_group(now, group, Some(id), "UnschedulablePodDelete");
        }
    }

    /// Gives the place back and tries again after a backoff, unless the pod, or its group, may not be tried any more.
    pub(crate) fn bind_failed(&mut self, now: Time, id: PodId, message: String) {
        self.give_back(now, id);
        let role = self.role_without_node(id);
        self.set_role(id, role);
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        if role == Role::Pending {
            let entity = self.entity_of(id);
            let size = match entity {
                Entity::Group(group) => self.groups.get(group).map_or(1, |group| group.pending.len() as u32),
                Entity::Pod(_) => 1,
            };
            self.queue.delay(now, entity, size);
        }
        match group {
            Some((group, _)) => self.evaluate_group(now, group, Some(id), "ScheduleAttemptFailure"),
            None => self.requeue(now, id, role, false, "ScheduleAttemptFailure"),
        }
        if role != Role::Pending {
            return;
        }
        self.want(now, id, diagnosis::SCHEDULER_ERROR, message, true);
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
