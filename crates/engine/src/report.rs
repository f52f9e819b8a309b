//! Why pods wait, told where people look: the `PodScheduled` condition and an event.
//!
//! Reports are states, not messages: each pod has what its status ought to say, and what it says. Whatever differs is
//! written when nothing more urgent is to be done, the latest word only.

use crate::diagnosis;
use crate::effect::{Effect, EffectKind, Regarding, Severity};
use crate::engine::{Awaited, Engine};
use crate::observation::Observation;
use crate::outbox::Lane;
use crate::pods::PodId;
use crate::time::Time;
use muster_framework::record::PodScheduledCondition;

impl Engine {
    /// Says why a pod waits; `tell` makes an event of it too. The same words twice are said once: gives whether they are new.
    pub(crate) fn want(&mut self, now: Time, id: PodId, reason: &str, message: String, tell: bool) -> bool {
        let with_group = self.goes_with_group(id);
        let Some(pod) = self.cluster.pods.get_mut(id) else {
            return false;
        };
        let wanted = Some(PodScheduledCondition {
            reason: reason.into(),
            message: message.into(),
        });
        if pod.report.wanted == wanted {
            return false;
        }
        let news = pod.report.written != wanted;
        pod.report.wanted = wanted.clone();
        let (reference, controller) = (pod.reference(), pod.record.scheduler_name.clone());
        if let Some(PodScheduledCondition { reason, message }) = wanted.filter(|_| news) {
            let pod = reference.clone();
            self.observations.push(Observation::Waiting {
                pod,
                reason,
                message: message.clone(),
                with_group,
            });
            if tell {
                self.emit(
                    Lane::Events,
                    EffectKind::Event {
                        regarding: Regarding::Pod(reference),
                        reporting_controller: controller,
                        severity: Severity::Warning,
                        reason: diagnosis::FAILED_SCHEDULING,
                        action: "Scheduling",
                        note: message,
                    },
                );
            }
        }
        self.write_again(now, id);
        news
    }

    /// Whether a pod is decided about with its group, and not by itself.
    pub(crate) fn goes_with_group(&self, id: PodId) -> bool {
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        group.is_some_and(|(group, _)| self.waits_with_group(group))
    }

    /// Puts a pod among those whose status is to be written, if it says something else than it ought to.
    pub(crate) fn write_again(&mut self, now: Time, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let report = &pod.report;
        let differs = report.wanted.is_some() && report.wanted != report.written;
        if differs && report.writing.is_none() && pod.place.is_none() && report.write_after <= now {
            self.unreported.insert(id);
        }
    }

    /// The next status write, if one is due: groups before pods, for there are fewer and they say more.
    pub(crate) fn next_report(&mut self) -> Option<Effect> {
        if let Some(effect) = self.next_group_report() {
            return Some(effect);
        }
        loop {
            let id = self.unreported.pop_first()?;
            let Some(pod) = self.cluster.pods.get_mut(id) else {
                continue;
            };
            let Some(wanted) = pod.report.wanted.clone().filter(|_| pod.place.is_none()) else {
                continue;
            };
            if pod.report.writing.is_some() || pod.report.written.as_ref() == Some(&wanted) {
                continue;
            }
            pod.report.writing = Some(wanted.clone());
            let (reference, observed_generation) = (pod.reference(), pod.record.generation);
            let uid = reference.uid.clone();
            let PodScheduledCondition { reason, message } = wanted;
            let effect = self.number(EffectKind::PodCondition {
                pod: reference,
                observed_generation,
                reason,
                message,
            });
            self.awaited.insert(effect.id, Awaited::Condition(uid));
            return Some(effect);
        }
    }
}
