//! The scheduler's calls to the API server: on the way, carried out or not, and answered or not.

use super::Simulation;
use super::occurrence::Occurrence;
use crate::admission::Refusal;
use crate::ledger::What;
use crate::object::Key;
use muster_engine::{BindOutcome, Effect, EffectKind, ExtenderAnswer, Outcome, PodRead, PodRef};
use muster_framework::Text;

impl Simulation {
    /// Takes an effect from the engine and sends it on its way.
    pub(super) fn send(&mut self, effect: Effect) {
        if let EffectKind::Event { .. } = effect.kind {
            self.counters.events += 1;
            return;
        }
        self.writes_in_flight += 1;
        let latency = self.delay(self.timing.write_latency / 2, self.timing.write_jitter);
        let scheduler = self.scheduler;
        self.plan(self.now + latency, Occurrence::Carry { effect, scheduler });
    }

    /// A write or a read has reached the API server; its answer goes back.
    pub(super) fn carry(&mut self, effect: Effect, scheduler: u64) {
        self.writes_in_flight -= 1;
        let id = effect.id;
        let Some(outcome) = self.outcome(effect.kind) else {
            return;
        };
        let latency = self.delay(self.timing.write_latency / 2, self.timing.write_jitter);
        // What follows from the write is planned before its answer: at equal times the watch is first.
        self.follow();
        self.plan(self.now + latency, Occurrence::Answer { id, outcome, scheduler });
    }

    fn outcome(&mut self, kind: EffectKind) -> Option<Outcome> {
        let lost = self.random.chance(self.faults.writes_lost);
        let unanswered = self.random.chance(self.faults.answers_lost);
        let refused = self.random.chance(self.faults.writes_refused);
        let message: Text = "the answer was lost".into();
        Some(match kind {
            EffectKind::Bind { pod, node, by: _ } => {
                self.counters.binds += 1;
                if lost {
                    return Some(Outcome::Bind(BindOutcome::Unknown { message }));
                }
                if refused {
                    return Some(Outcome::Bind(BindOutcome::Refused {
                        message: "refused by a webhook".into(),
                    }));
                }
                let outcome = self.bind(&pod, &node);
                Outcome::Bind(if unanswered {
                    BindOutcome::Unknown { message }
                } else {
                    outcome
                })
            }
            EffectKind::ReadPod { .. } if lost || unanswered => Outcome::PodRead(PodRead::Failed { message }),
            EffectKind::ReadPod { pod } => Outcome::PodRead(match self.cluster.read_pod(&pod) {
                Some(pod) => PodRead::Found(Box::new(pod.clone())),
                None => PodRead::Gone,
            }),
            EffectKind::PodCondition { .. } if lost || refused => Outcome::WriteFailed { message },
            EffectKind::PodCondition {
                pod,
                observed_generation,
                reason,
                message: text,
            } => {
                self.counters.conditions += 1;
                let written = self
                    .cluster
                    .set_not_scheduled(&pod, observed_generation, &reason, &text);
                written_as(written, unanswered)
            }
            // Nothing of the kind is simulated, so that nobody asks.
            EffectKind::ReserveVolume { .. } | EffectKind::SelectNode { .. } => Outcome::ObjectGone,
            EffectKind::AskExtender { .. } => Outcome::Extender(ExtenderAnswer::Failed {
                message: "extenders are not simulated".into(),
            }),
            EffectKind::GroupStatus { .. } | EffectKind::Evict { .. } if lost || refused => {
                Outcome::WriteFailed { message }
            }
            EffectKind::GroupStatus {
                group,
                observed_generation,
                status,
                turns,
            } => {
                self.counters.conditions += 1;
                let written = self
                    .cluster
                    .set_group_status(&group, observed_generation, &status, turns);
                written_as(written, unanswered)
            }
            EffectKind::Evict { pod } => {
                let there = self.cluster.read_pod(&pod).is_some();
                let gone = || Refusal::NotFound(pod.to_string());
                let evicted = there.then_some(()).ok_or_else(gone);
                if there {
                    self.end(&Key::pod(&pod.namespace, &pod.name));
                }
                written_as(evicted, unanswered)
            }
            EffectKind::Event { .. } => return None,
        })
    }

    fn bind(&mut self, pod: &PodRef, node: &Text) -> BindOutcome {
        let Err(refusal) = self.cluster.bind(pod, node) else {
            return BindOutcome::Bound;
        };
        self.counters.binds_refused += 1;
        let message: Text = refusal.to_string().into();
        self.ledger
            .note(self.now, What::BindRefused, "", pod.to_string(), message.to_string());
        match refusal {
            Refusal::NotFound(_) | Refusal::UidMismatch { .. } => BindOutcome::PodGone,
            Refusal::AlreadyAssigned { .. } => BindOutcome::Unknown { message },
            _ => BindOutcome::Refused { message },
        }
    }
}

/// What the engine hears of a write, if it hears at all.
fn written_as(written: Result<(), Refusal>, unanswered: bool) -> Outcome {
    match written {
        Ok(()) if unanswered => Outcome::WriteFailed {
            message: "the answer was lost".into(),
        },
        Ok(()) => Outcome::Written,
        Err(Refusal::NotFound(_) | Refusal::UidMismatch { .. }) => Outcome::ObjectGone,
        Err(refusal) => Outcome::WriteFailed {
            message: refusal.to_string().into(),
        },
    }
}
