//! The schedulers' calls to the API server: late, lost, refused, or done without an answer.

use super::chaos::subject;
use super::profile::FaultKind;
use super::world::{Occurrence, World, named};
use crate::admission::Refusal;
use crate::object::{Key, ObjectKind, object_at};
use muster_engine::{BindOutcome, Effect, EffectId, EffectKind, GroupRef, Outcome, PodRead, PodRef, Time};
use muster_framework::Text;
use muster_framework::group::GroupStatus;
use muster_framework::record::PodPhase;
use serde_json::json;
use std::time::Duration;

/// A write that was given up is done within so many milliseconds or not at all: the server's time-out, which is shorter
/// than what lies between the fence of a term and the end of the lease.
const LATEST_MILLIS: u64 = 1700;

/// What a fault makes of a write, instead of or beside doing it.
enum Fate {
    Done,
    /// Done, but nobody is told.
    DoneUnheard,
    /// Not done, and certainly so.
    Refused(&'static str),
    /// Not done, but who asked cannot know.
    Doubtful(&'static str),
    /// To be done when who asked has given up.
    Late,
}

impl World {
    /// Sends an effect on its way.
    pub(super) fn send(&mut self, process: usize, effect: Effect) {
        if matches!(effect.kind, EffectKind::Event { .. }) {
            return;
        }
        let (what, whom) = named(&effect.kind);
        let latency = Duration::from_micros(self.chaos.between(subject(&[what, &whom, "there"]), 300, 4000));
        self.send_at(process, effect, self.now + latency);
    }

    /// Whether nothing keeps a process from sending something again then: not the fence of its term.
    fn may_send_at(&self, process: usize, at: Time) -> bool {
        let of = &self.processes[process];
        let stands_still = at < of.paused_until;
        !stands_still && of.election.as_ref().is_none_or(|election| election.leads(of.clock(at)))
    }

    fn send_at(&mut self, process: usize, effect: Effect, at: Time) {
        let of = &mut self.processes[process];
        of.last_arrival = of.last_arrival.max(at);
        let incarnation = of.incarnation;
        self.agenda.plan(
            at,
            Occurrence::Carry {
                process,
                incarnation,
                effect,
            },
        );
    }

    /// An effect reaches the API server.
    pub(super) fn carry(&mut self, process: usize, incarnation: u64, effect: Effect) {
        let (what, whom) = named(&effect.kind);
        let name = subject(&[what, &whom]);
        let of = &self.processes[process];
        let sender_lives = of.alive && of.incarnation == incarnation;
        if self.chaos.strikes(self.now, FaultKind::TooManyRequests, name) {
            let after = Duration::from_millis(self.chaos.between(name, 100, 1200));
            if sender_lives && self.may_send_at(process, self.now + after) {
                self.send_at(process, effect, self.now + after);
                return;
            }
            let outcome = refused(&effect.kind, "HTTP 429 Too Many Requests");
            let id = effect.id;
            self.agenda.plan(
                self.now + after,
                Occurrence::Answer {
                    process,
                    incarnation,
                    id,
                    about: about(&effect.kind),
                    outcome,
                },
            );
            return;
        }
        let id = effect.id;
        let fate = if matches!(effect.kind, EffectKind::ReadPod { .. }) {
            self.fate_of_read(name)
        } else {
            self.fate_of_write(name)
        };
        let about = about(&effect.kind);
        let outcome = match fate {
            Fate::Done => self.done(process, &effect.kind),
            Fate::DoneUnheard => {
                self.done(process, &effect.kind);
                unknown(&effect.kind, "the answer was lost")
            }
            Fate::Refused(message) => refused(&effect.kind, message),
            Fate::Doubtful(message) => unknown(&effect.kind, message),
            Fate::Late => {
                let at = self.now + Duration::from_millis(self.chaos.between(name ^ 3, 50, LATEST_MILLIS));
                let of = &mut self.processes[process];
                of.last_arrival = of.last_arrival.max(at);
                let outcome = unknown(&effect.kind, "the connection was cut");
                let kind = effect.kind;
                self.agenda.plan(at, Occurrence::StoreLate { process, kind });
                outcome
            }
        };
        // What follows from the write is planned before its answer.
        self.settle();
        let mut latency = Duration::from_micros(self.chaos.between(name ^ 1, 300, 4000));
        if self.chaos.strikes(self.now, FaultKind::AnswerSlow, name) {
            latency += Duration::from_millis(self.chaos.between(name ^ 2, 50, 3000));
        }
        self.agenda.plan(
            self.now + latency,
            Occurrence::Answer {
                process,
                incarnation,
                id,
                about,
                outcome,
            },
        );
    }

    fn fate_of_read(&mut self, name: u64) -> Fate {
        if self.chaos.strikes(self.now, FaultKind::ReadFailed, name) {
            return Fate::Doubtful("HTTP 503 Service Unavailable");
        }
        Fate::Done
    }

    fn fate_of_write(&mut self, name: u64) -> Fate {
        let fates = [
            (FaultKind::Conflict, Fate::Doubtful("HTTP 409 Conflict")),
            (FaultKind::ServerError, Fate::Doubtful("HTTP 500 Internal Server Error")),
            (FaultKind::RefusedByAdmission, Fate::Refused("refused by a webhook")),
            (FaultKind::RequestLost, Fate::Doubtful("no answer in time")),
            (FaultKind::AnswerLost, Fate::DoneUnheard),
            (FaultKind::StoredLate, Fate::Late),
        ];
        for (kind, fate) in fates {
            if self.chaos.strikes(self.now, kind, name) {
                self.note(|_| format!("the API server: {kind:?}"));
                return fate;
            }
        }
        Fate::Done
    }

    /// A write that its sender has given up is done after all.
    pub(super) fn store_late(&mut self, process: usize, kind: &EffectKind) {
        if let EffectKind::Bind { pod, .. } = kind {
            self.judge.stored_late.insert(pod.uid.clone());
        }
        let outcome = self.done(process, kind);
        self.note(|_| {
            format!(
                "the API server does late what was given up ({:?}): {outcome:?}",
                named(kind)
            )
        });
    }

    /// Does what an effect asks for.
    fn done(&mut self, process: usize, kind: &EffectKind) -> Outcome {
        match kind {
            EffectKind::Bind { pod, node, by: _ } => Outcome::Bind(self.bind(process, pod, node)),
            EffectKind::ReadPod { pod } => Outcome::PodRead(match self.cluster.read_pod(pod) {
                Some(pod) => PodRead::Found(Box::new(pod.clone())),
                None => PodRead::Gone,
            }),
            EffectKind::PodCondition {
                pod,
                observed_generation,
                reason,
                message,
            } => {
                let written = self
                    .cluster
                    .set_not_scheduled(pod, *observed_generation, reason, message);
                written_as(written)
            }
            EffectKind::GroupStatus { group, status, .. } => self.set_group_status(group, status),
            EffectKind::Evict { pod } => self.evict(pod),
            // Volumes and extenders are not simulated, so that nobody asks.
            EffectKind::ReserveVolume { .. }
            | EffectKind::SelectNode { .. }
            | EffectKind::AskExtender { .. }
            | EffectKind::Event { .. } => Outcome::ObjectGone,
        }
    }

    fn bind(&mut self, process: usize, pod: &PodRef, node: &Text) -> BindOutcome {
        let Err(refusal) = self.cluster.bind(pod, node) else {
            self.judge_bind(process, pod, node);
            return BindOutcome::Bound;
        };
        self.note(|_| format!("the API server refuses to bind {pod}: {refusal}"));
        let message: Text = refusal.to_string().into();
        match refusal {
            Refusal::NotFound(_) | Refusal::UidMismatch { .. } => BindOutcome::PodGone,
            Refusal::AlreadyAssigned { .. } => BindOutcome::Unknown { message },
            _ => BindOutcome::Refused { message },
        }
    }

    fn evict(&mut self, pod: &PodRef) -> Outcome {
        let name = subject(&["evict", &pod.name]);
        if self.chaos.strikes(self.now, FaultKind::EvictionRefused, name) {
            return Outcome::WriteFailed {
                message: "Cannot evict pod as it would violate the pod's disruption budget.".into(),
            };
        }
        match self.cluster.read_pod(pod).map(|pod| pod.phase) {
            Some(PodPhase::Active) => {
                self.delete_pod(&Key::pod(&pod.namespace, &pod.name));
                Outcome::Written
            }
            Some(_) => Outcome::Written,
            None => Outcome::ObjectGone,
        }
    }

    fn set_group_status(&mut self, group: &GroupRef, status: &GroupStatus) -> Outcome {
        let Some(kind) = ObjectKind::watched_as(group.kind) else {
            return Outcome::ObjectGone;
        };
        let key = Key::new(kind, &group.namespace, &group.name);
        let same = self.cluster.get(&key).is_some_and(|stored| stored.uid == group.uid);
        if !same {
            return Outcome::ObjectGone;
        }
        let status = match status {
            GroupStatus::Condition {
                scheduled,
                reason,
                message,
            } => {
                let condition = json!({"type": "PodGroupScheduled", "status": if *scheduled { "True" } else { "False" },
                    "reason": **reason, "message": **message});
                json!({"conditions": [condition]})
            }
            GroupStatus::Phase {
                phase,
                running,
                succeeded,
                failed,
            } => {
                json!({"phase": format!("{phase:?}"), "running": running, "succeeded": succeeded, "failed": failed})
            }
        };
        written_as(self.cluster.update(&key, |object| {
            object_at(object, &[]).insert("status".to_owned(), status);
        }))
    }

    /// An answer reaches the scheduler, if it still lives.
    pub(super) fn answer(
        &mut self,
        process: usize,
        incarnation: u64,
        id: EffectId,
        about: Option<Text>,
        outcome: Outcome,
    ) {
        let of = &self.processes[process];
        if !of.alive || of.incarnation != incarnation {
            return;
        }
        let name = subject(&[&of.name, "answer", &outcome_name(&outcome)]);
        if self.chaos.strikes(self.now, FaultKind::CrashAtAnswer, name) {
            return self.crash(process);
        }
        self.note(|world| format!("{} hears: {}", world.processes[process].label(), outcome_name(&outcome)));
        if let Outcome::PodRead(PodRead::Found(pod)) = &outcome {
            self.processes[process].mirror.read(pod);
        }
        if let (Outcome::PodRead(PodRead::Gone) | Outcome::Bind(BindOutcome::PodGone), Some(uid)) = (&outcome, about) {
            self.processes[process].mirror.pods.remove(&uid);
        }
        self.input(process, muster_engine::Input::EffectDone { id, outcome });
    }
}

/// The uid of the pod that a bind or a read is about.
fn about(kind: &EffectKind) -> Option<Text> {
    match kind {
        EffectKind::Bind { pod, .. } | EffectKind::ReadPod { pod } => Some(pod.uid.clone()),
        _ => None,
    }
}

fn outcome_name(outcome: &Outcome) -> String {
    match outcome {
        Outcome::PodRead(PodRead::Found(pod)) => {
            let node = pod.node_name.as_deref().unwrap_or("no node");
            format!("{}/{} is on {node}", pod.namespace, pod.name)
        }
        outcome => format!("{outcome:?}"),
    }
}

fn written_as(written: Result<(), Refusal>) -> Outcome {
    match written {
        Ok(()) => Outcome::Written,
        Err(Refusal::NotFound(_) | Refusal::UidMismatch { .. }) => Outcome::ObjectGone,
        Err(refusal) => Outcome::WriteFailed {
            message: refusal.to_string().into(),
        },
    }
}

fn refused(kind: &EffectKind, message: &str) -> Outcome {
    match kind {
        EffectKind::Bind { .. } => Outcome::Bind(BindOutcome::Refused {
            message: message.into(),
        }),
        kind => unknown(kind, message),
    }
}

fn unknown(kind: &EffectKind, message: &str) -> Outcome {
    let message = message.into();
    match kind {
        EffectKind::Bind { .. } => Outcome::Bind(BindOutcome::Unknown { message }),
        EffectKind::ReadPod { .. } => Outcome::PodRead(PodRead::Failed { message }),
        _ => Outcome::WriteFailed { message },
    }
}
