//! Every place that a pod holds without being bound ends: each has a deadline, and what happens when it passes.
//!
//! The clock is the driver's monotonic one, so a jump of the wall clock ends nothing early or late. A standby's deadlines
//! wait: they pass when it takes over.

use crate::engine::{Awaited, Engine, Timer};
use crate::observation::{Observation, PlaceStage};
use crate::pods::{BindStage, PodId};
use crate::time::Time;
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::Duration;

/// After so long without an outcome of a bind or an answer to a read, the pod is read (again). A driver gives up on its
/// requests much sooner, and says so: more than this passes only for a process that was frozen meanwhile.
pub(crate) const ANSWER_OVERDUE: Duration = Duration::from_secs(60);
/// After so long a bind that the server has confirmed ought to have been seen in the watch.
pub(crate) const SIGHT_OVERDUE: Duration = Duration::from_secs(30);
/// How long a failed read or write rests before it is tried again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// When the wait of a place ends, by its pod.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(FxHashMap<PodId, Time>);

impl Engine {
    /// Ends the wait of a pod's place then, and no sooner.
    pub(crate) fn set_deadline(&mut self, id: PodId, at: Time) {
        self.clear_deadline(id);
        self.deadlines.0.insert(id, at);
        self.timers.insert((at, Timer::PlaceOverdue(id)));
    }

    pub(crate) fn clear_deadline(&mut self, id: PodId) {
        if let Some(at) = self.deadlines.0.remove(&id) {
            self.timers.remove(&(at, Timer::PlaceOverdue(id)));
        }
    }

    /// When the wait of a pod's place ends, if it waits.
    pub(crate) fn deadline_of(&self, id: PodId) -> Option<Time> {
        self.deadlines.0.get(&id).copied()
    }

    /// Every place that waits, by its pod, and when that ends; in no order that means anything.
    pub(crate) fn each_deadline(&self) -> impl Iterator<Item = (PodId, Time)> {
        self.deadlines.0.iter().map(|(id, at)| (*id, *at))
    }

    pub(crate) fn has_deadline(&self, id: PodId) -> bool {
        self.deadlines.0.contains_key(&id)
    }

    /// The deadline of a pod's place has passed.
    pub(crate) fn place_overdue(&mut self, now: Time, id: PodId) {
        self.deadlines.0.remove(&id);
        match self.cluster.pods.get(id).and_then(|pod| pod.stage()) {
            Some(BindStage::Preparing) => {
                self.tell_overdue(id, PlaceStage::Preparing);
                self.preparation_failed(now, id, "binding volumes: context deadline exceeded".to_owned());
            }
            Some(BindStage::Ready) => self.barrier_overdue(now, id),
            Some(BindStage::Sent) => {
                // The request may still be under way: that the pod has no node yet proves nothing until its outcome is here.
                self.tell_overdue(id, PlaceStage::Sent);
                self.set_deadline(id, now + ANSWER_OVERDUE);
                self.look_at_pod(id);
            }
            Some(BindStage::Reading { .. }) => {
                self.tell_overdue(id, PlaceStage::Reading);
                self.read_pod(now, id);
            }
            Some(BindStage::Confirmed { .. }) => {
                self.tell_overdue(id, PlaceStage::Confirmed);
                self.read_pod(now, id);
            }
            Some(BindStage::Leaving) | None => {}
        }
    }

    fn tell_overdue(&mut self, id: PodId, stage: PlaceStage) {
        if let Some(pod) = self.cluster.pods.get(id) {
            let pod = pod.reference();
            self.observations.push(Observation::PlaceOverdue { pod, stage });
        }
    }

    /// A member has waited for the others of its gang as long as it may. Those that still prepare are what it waits for:
    /// their own deadlines, which run from when the last write was answered and thus a little longer, say what is wrong.
    fn barrier_overdue(&mut self, now: Time, id: PodId) {
        let deadline_of = |member| Some((*self.deadlines.0.get(&member)?, member));
        match self.preparing_with(id).filter_map(deadline_of).min() {
            Some((at, _)) if now < at => self.set_deadline(id, at),
            Some((_, member)) => {
                self.set_deadline(id, now);
                self.clear_deadline(member);
                self.place_overdue(now, member);
            }
            None => {
                self.tell_overdue(id, PlaceStage::Ready);
                let message = "the other members of the pod group were not ready in time".to_owned();
                self.preparation_failed(now, id, message);
            }
        }
    }

    /// Whether every place that is not bound has an owner and an end, and every awaited effect somebody who waits.
    pub(crate) fn check_deadlines(&self) -> Result<(), String> {
        let waiting: FxHashSet<_> = self.outbox.iter().map(|effect| effect.id).collect();
        for (id, pod) in self.cluster.pods.iter() {
            let Some(bind) = pod.place.as_ref().and_then(|place| place.bind) else {
                if self.has_deadline(id) {
                    return Err(format!("{} has a deadline, but no bind", pod.record.name));
                }
                continue;
            };
            let owned = match bind.stage {
                BindStage::Leaving => waiting.contains(&bind.effect) && self.awaited.contains_key(&bind.effect),
                BindStage::Sent => self.has_deadline(id) && self.awaited.contains_key(&bind.effect),
                _ => self.has_deadline(id),
            };
            if !owned {
                return Err(format!(
                    "nobody ends the wait of {} at {:?}",
                    pod.record.name, bind.stage
                ));
            }
            if self.has_deadline(id) == (bind.stage == BindStage::Leaving) {
                return Err(format!("{} at {:?} has two owners", pod.record.name, bind.stage));
            }
        }
        let lost = |id: &&PodId| self.cluster.pods.get(**id).is_none();
        if let Some(id) = self.deadlines.0.keys().find(lost) {
            return Err(format!("{id:?} is gone and has a deadline"));
        }
        self.check_awaited()
    }

    fn check_awaited(&self) -> Result<(), String> {
        for (effect, awaited) in &self.awaited {
            let id = self.cluster.pods.id(awaited.uid());
            let Some(pod) = id.and_then(|id| self.cluster.pods.get(id)) else {
                continue;
            };
            let prepares = id.is_some_and(|id| self.departures.waits_for(id, *effect));
            if matches!(awaited, Awaited::Patch(..)) && !prepares {
                return Err(format!(
                    "{effect:?} is written for {}, which does not wait",
                    pod.record.name
                ));
            }
        }
        Ok(())
    }
}
