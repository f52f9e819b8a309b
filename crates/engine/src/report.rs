//! Why pods wait, told where people look: the `PodScheduled` condition and an event.
//!
//! Reports are states, not messages: each pod has what its status ought to say, and what it says. Whatever differs is
//! written when nothing more urgent is to be done, the latest word only.

use crate::diagnosis;
use crate::effect::{Effect, EffectKind, Regarding, Severity};
use crate::engine::{Awaited, Engine, Timer};
use crate::groups::{GroupId, Hold};
use crate::observation::Observation;
use crate::outbox::Lane;
use crate::pods::PodId;
use crate::time::Time;
use muster_framework::record::PodScheduledCondition;
use std::time::Duration;

/// How long a group may be held before its members are told. Objects of different kinds arrive by different watches, and
/// members arrive one by one: most holds end at once, and nobody should read of them.
const TELL_AFTER: Duration = Duration::from_secs(1);
/// Members of a held group are told again no sooner than this times their number: a large group that fills slowly must
/// not flood the API server with its own progress.
const TELL_AGAIN_PER_MEMBER: Duration = Duration::from_millis(50);

impl Engine {
    /// Says why a pod waits; `tell` makes an event of it too. The same words twice are said once.
    pub(crate) fn want(&mut self, now: Time, id: PodId, reason: &str, message: String, tell: bool) {
        let Some(pod) = self.cluster.pods.get_mut(id) else {
            return;
        };
        let wanted = Some(PodScheduledCondition {
            reason: reason.into(),
            message: message.into(),
        });
        if pod.report.wanted == wanted {
            return;
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
            });
            if tell {
                self.emit(
                    Lane::Events,
                    EffectKind::Event {
                        regarding: Regarding::Pod(reference),
                        reporting_controller: controller,
                        severity: Severity::Warning,
                        reason: "FailedScheduling",
                        action: "Scheduling",
                        note: message,
                    },
                );
            }
        }
        self.write_again(now, id);
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

    /// The next status write, if one is due.
    pub(crate) fn next_report(&mut self) -> Option<Effect> {
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

    /// Sees to it that the members of a held group are told why, soon and not too often.
    pub(crate) fn schedule_telling(&mut self, now: Time, id: GroupId, hold: &Hold) {
        let Some(group) = self.groups.get(id) else { return };
        let rest = TELL_AGAIN_PER_MEMBER.saturating_mul(group.members.len() as u32);
        let same_class = group.report.told.as_ref().is_some_and(|told| told.same_class(hold));
        let again = group
            .report
            .told_at
            .filter(|_| same_class)
            .map_or(Time::ZERO, |at| at + rest);
        let due = (now + TELL_AFTER).max(again);
        if group.report.due.is_some_and(|known| known <= due) {
            return;
        }
        self.tell_later(due, id);
    }

    fn tell_later(&mut self, due: Time, id: GroupId) {
        if let Some(group) = self.groups.get_mut(id) {
            group.report.due = Some(due);
            self.timers.insert((due, Timer::TellGroup(id)));
        }
    }

    /// Tells every member of a group why it is held, if it still is. One event speaks for all.
    pub(crate) fn tell_group(&mut self, now: Time, id: GroupId) {
        let Some(group) = self.groups.get(id) else { return };
        if group.report.due.is_none_or(|due| due > now) {
            return;
        }
        if !self.is_synced() {
            // What seems to be missing may just not have been listed.
            return self.tell_later(now + TELL_AFTER, id);
        }
        let hold = self.groups.ready(group).err();
        let message = hold.as_ref().map(|hold| diagnosis::held(&group.key, hold));
        let pending: Vec<PodId> = group.pending.iter().copied().collect();
        if let Some(group) = self.groups.get_mut(id) {
            group.report.due = None;
            group.report.told_at = Some(now);
            group.report.told = hold;
        }
        for (at, member) in pending.into_iter().enumerate() {
            if let Some(message) = &message {
                self.want(now, member, diagnosis::NOT_READY, message.clone(), at == 0);
            }
        }
    }
}
