//! What must be true when the world is at rest: nothing leaked, what fits is bound, what waits says truly why, and who
//! lists everything anew comes to the same.

use super::judge::{Breach, Rule};
use super::mirror::Policy;
use super::objects::RIVAL;
use super::process::Process;
use super::world::World;
use crate::check::disagreement;
use crate::object::{Key, ObjectKind};
use muster_engine::{EffectKind, Engine, Input, Outcome, PodRef, PodState, PodStatus, Time};
use muster_framework::Text;
use muster_framework::group::{GroupKey, GroupLink, GroupPolicy};
use muster_framework::record::{Kind, NodeRecord, PodPhase, PodRecord};
use muster_framework::taint::TaintEffect;
use std::collections::BTreeMap;
use std::time::Duration;

/// The reason of a pod that could be tried, and finds no place.
const UNSCHEDULABLE: &str = "Unschedulable";
/// The reason of a pod that may not be tried.
const NOT_READY: &str = "NotReadyForScheduling";
/// How long an engine that lists everything anew gets to say what it thinks.
const SETTLED_AFTER: Duration = Duration::from_secs(30);

/// A gang as it stands.
#[derive(Debug, Default)]
struct Gang<'a> {
    satisfied: u64,
    waiting: Vec<&'a PodRecord>,
}

impl World {
    /// Looks at everything, once nothing happens any more.
    pub(super) fn judge_rest(&mut self) -> Result<(), Breach> {
        for process in &self.processes {
            leaks_nothing(process)?;
        }
        let Some(leader) = self
            .processes
            .iter()
            .find(|process| process.leads && process.engine.is_synced())
        else {
            return Err(Breach::new(
                Rule::NoRest,
                "no scheduler leads and has listed everything",
            ));
        };
        let statuses = leader.engine.pods();
        self.agrees(&statuses)?;
        self.binds_what_fits(&statuses)?;
        self.relist_equals_replay(leader, &statuses)
    }

    fn agrees(&self, statuses: &[PodStatus]) -> Result<(), Breach> {
        let known: BTreeMap<&Text, &PodState> =
            statuses.iter().map(|status| (&status.pod.uid, &status.state)).collect();
        for pod in self
            .ours()
            .filter(|pod| pod.scheduling_gates.is_empty() || pod.node_name.is_some())
        {
            if let Some(violation) = disagreement(pod, known.get(&pod.uid).copied()) {
                return Err(Breach::new(Rule::Agrees, violation));
            }
            let Some(PodState::Queued { reason, message, .. }) = known.get(&pod.uid) else {
                continue;
            };
            let says = |condition: &muster_framework::record::PodScheduledCondition| {
                condition.reason == *reason && condition.message == *message
            };
            if !pod.terminating && !pod.condition.as_ref().is_some_and(says) {
                let detail = format!("{}: status {:?}, engine {reason}: {message}", pod.name, pod.condition);
                return Err(Breach::new(Rule::Agrees, detail));
            }
        }
        for status in statuses {
            let key = Key::pod(&status.pod.namespace, &status.pod.name);
            if self.cluster.get(&key).is_none_or(|stored| stored.uid != status.pod.uid) {
                let detail = format!("{} is gone, the scheduler says {:?}", status.pod, status.state);
                return Err(Breach::new(Rule::Agrees, detail));
            }
        }
        Ok(())
    }

    pub(super) fn ours(&self) -> impl Iterator<Item = &PodRecord> {
        self.cluster.pods().filter(|pod| &*pod.scheduler_name != RIVAL)
    }

    fn waits(pod: &PodRecord) -> bool {
        pod.phase == PodPhase::Active && pod.node_name.is_none() && !pod.terminating && pod.scheduling_gates.is_empty()
    }

    fn binds_what_fits(&self, statuses: &[PodStatus]) -> Result<(), Breach> {
        let reasons: BTreeMap<&Text, &Text> = statuses
            .iter()
            .filter_map(|status| match &status.state {
                PodState::Queued { reason, .. } => Some((&status.pod.uid, reason)),
                _ => None,
            })
            .collect();
        let reason_of = |pod: &PodRecord| reasons.get(&pod.uid).map_or("", |reason| &***reason);
        let mut gangs: BTreeMap<GroupKey, Gang<'_>> = BTreeMap::new();
        for pod in self.ours() {
            match &pod.group {
                Some(link) => {
                    let key = GroupKey {
                        namespace: pod.namespace.clone(),
                        link: link.clone(),
                    };
                    let gang = gangs.entry(key).or_default();
                    let placed = pod.phase == PodPhase::Active && pod.node_name.is_some();
                    gang.satisfied += u64::from(placed || pod.phase == PodPhase::Succeeded);
                    gang.waiting.extend(Some(pod).filter(|pod| World::waits(pod)));
                }
                None if World::waits(pod) => self.waits_rightly(&[pod], 1, "", reason_of(pod))?,
                None => {}
            }
        }
        for (key, gang) in &gangs {
            self.gang_waits_rightly(key, gang, reason_of)?;
        }
        Ok(())
    }

    fn gang_waits_rightly<'a>(
        &self,
        key: &GroupKey,
        gang: &Gang<'a>,
        reason_of: impl Fn(&'a PodRecord) -> &'a str,
    ) -> Result<(), Breach> {
        let name = key.to_string();
        let needed = match self.policy_of(key) {
            Policy::Missing => None,
            Policy::Basic => Some(1),
            Policy::Gang(min_count) => {
                let min_count = u64::from(min_count);
                let quorum = min_count <= gang.satisfied + gang.waiting.len() as u64;
                quorum.then(|| min_count.saturating_sub(gang.satisfied).max(1))
            }
        };
        for pod in &gang.waiting {
            let reason = reason_of(pod);
            let is_true = match needed {
                None => reason != UNSCHEDULABLE,
                Some(_) => reason != NOT_READY,
            };
            if !is_true {
                let told = if needed.is_some() { "has" } else { "lacks" };
                let detail = format!("{} of {name} waits as {reason}, and its gang {told} a quorum", pod.name);
                return Err(Breach::new(Rule::SaysWhy, detail));
            }
        }
        match (needed, gang.waiting.first()) {
            (Some(needed), Some(first)) => self.waits_rightly(&gang.waiting, needed, &name, reason_of(first)),
            _ => Ok(()),
        }
    }

    /// Pods wait, as equals: there must not be room for as many of them as are needed.
    fn waits_rightly(&self, pods: &[&PodRecord], needed: u64, group: &str, reason: &str) -> Result<(), Breach> {
        let Some(first) = pods.first() else { return Ok(()) };
        let room: u64 = self.cluster.nodes().map(|node| self.room_for(first, node)).sum();
        if needed <= room {
            let names: Vec<&str> = pods.iter().map(|pod| &*pod.name).collect();
            let detail = format!("{group} {names:?} wait ({reason}), {needed} needed, and there is room for {room}");
            return Err(Breach::new(Rule::BindsWhatFits, detail));
        }
        if reason == NOT_READY {
            let detail = format!("{} waits as {reason}, and could be tried", first.name);
            return Err(Breach::new(Rule::SaysWhy, detail));
        }
        Ok(())
    }

    /// How many pods like this one a node has room for.
    fn room_for(&self, pod: &PodRecord, node: &NodeRecord) -> u64 {
        let keeps_off = node
            .taints
            .iter()
            .filter(|taint| taint.effect != TaintEffect::PreferNoSchedule)
            .any(|taint| {
                !pod.spec
                    .tolerations
                    .iter()
                    .any(|toleration| toleration.tolerates(taint))
            });
        if keeps_off || node.unschedulable {
            return 0;
        }
        let (used, pods) = self.cluster.usage_of(&node.name);
        let wanted = &pod.charge.requests;
        let room = [
            (node.allocatable.milli_cpu - used.milli_cpu, wanted.milli_cpu),
            (node.allocatable.memory - used.memory, wanted.memory),
            (node.allowed_pods - pods, 1),
        ];
        let room = room.map(|(free, wanted)| free.max(0) / wanted.max(1));
        room.into_iter().min().unwrap_or(0).unsigned_abs()
    }

    fn policy_of(&self, key: &GroupKey) -> Policy {
        let GroupLink::Workload {
            workload, pod_group, ..
        } = &key.link
        else {
            return Policy::Missing;
        };
        let stored = self
            .cluster
            .get(&Key::new(ObjectKind::Workload, &key.namespace, workload));
        let record = stored.and_then(|stored| stored.workload());
        let found = record.and_then(|record| record.pod_groups.iter().find(|(name, _)| name == pod_group));
        match found.map(|(_, policy)| policy) {
            Some(Ok(GroupPolicy::Gang { min_count })) => Policy::Gang((*min_count).max(1).unsigned_abs()),
            Some(Ok(GroupPolicy::Basic)) => Policy::Basic,
            Some(Err(_)) | None => Policy::Missing,
        }
    }

    // ---- a scheduler that begins anew ------------------------------------------------------------------------------

    fn relist_equals_replay(&self, leader: &Process, statuses: &[PodStatus]) -> Result<(), Breach> {
        let mut fresh = Engine::new(&self.settings);
        for kind in Kind::ALL {
            let Some(simulated) = ObjectKind::watched_as(kind) else {
                fresh.handle(Time::ZERO, Input::KindNotServed(kind));
                continue;
            };
            fresh.handle(Time::ZERO, Input::ListBegun(kind));
            for record in self.cluster.list(simulated).filter_map(|stored| stored.record.clone()) {
                fresh.handle(Time::ZERO, Input::Applied(record));
            }
            fresh.handle(Time::ZERO, Input::ListDone(kind));
        }
        if fresh.stats().assumed_pods != 0 {
            return Err(Breach::new(
                Rule::RelistEqualsReplay,
                "a new scheduler assumes something",
            ));
        }
        self.speak_out(&mut fresh)?;
        let (old, new) = (leader.engine.stats(), fresh.stats());
        let waiting = |stats: muster_engine::Stats| stats.pending.iter().sum::<usize>();
        if (old.nodes, old.pods, waiting(old)) != (new.nodes, new.pods, waiting(new)) {
            let detail = format!("by replay {old:?}, by relist {new:?}");
            return Err(Breach::new(Rule::RelistEqualsReplay, detail));
        }
        let anew = fresh.pods();
        for (old, new) in statuses.iter().zip(&anew) {
            if (&old.pod, &old.group, said(&old.state)) != (&new.pod, &new.group, said(&new.state)) {
                let detail = format!("by replay {old:?}, by relist {new:?}");
                return Err(Breach::new(Rule::RelistEqualsReplay, detail));
            }
        }
        if statuses.len() != anew.len() {
            let detail = format!("by replay {} pods, by relist {}", statuses.len(), anew.len());
            return Err(Breach::new(Rule::RelistEqualsReplay, detail));
        }
        Ok(())
    }
}

/// What of a state does not depend on when it came to be.
fn said(state: &PodState) -> (&'static str, &str) {
    match state {
        PodState::Queued { reason, .. } => ("waits", reason),
        PodState::Binding { node } => ("binding", node),
        PodState::Bound { node } => ("on", node),
        PodState::Finished => ("finished", ""),
    }
}

impl World {
    /// Lets an engine that lists everything anew say what it thinks. It must find nothing to do.
    fn speak_out(&self, engine: &mut Engine) -> Result<(), Breach> {
        let mut now = Time::ZERO;
        while now <= Time::ZERO + SETTLED_AFTER {
            for _ in 0..10_000 {
                let effect = engine.poll(now);
                let Some(effect) = effect else {
                    if engine.next_wakeup().is_some_and(|wakeup| wakeup <= now) {
                        continue;
                    }
                    break;
                };
                let acts = match &effect.kind {
                    EffectKind::Bind { .. } => true,
                    // The API does not say that a gang was whole before its `minCount` was raised: it looks broken.
                    EffectKind::Evict { pod } => !self.is_of_raised_gang(pod),
                    _ => false,
                };
                if acts {
                    let detail = format!("a new scheduler finds something to do at rest: {:?}", effect.kind);
                    return Err(Breach::new(Rule::RelistEqualsReplay, detail));
                }
                let id = effect.id;
                engine.handle(
                    now,
                    Input::EffectDone {
                        id,
                        outcome: Outcome::Written,
                    },
                );
            }
            now = now + Duration::from_millis(500);
        }
        Ok(())
    }

    /// Whether a pod's gang once needed fewer members than now.
    pub(super) fn is_of_raised_gang(&self, pod: &PodRef) -> bool {
        let record = self
            .cluster
            .get(&Key::pod(&pod.namespace, &pod.name))
            .and_then(|stored| stored.pod());
        let Some(GroupLink::Workload {
            workload, pod_group, ..
        }) = record.and_then(|record| record.group.as_ref())
        else {
            return false;
        };
        let key = (pod.namespace.clone(), workload.clone(), pod_group.clone());
        self.judge.min_counts.get(&key).is_some_and(|(_, raised)| *raised)
    }
}

fn leaks_nothing(process: &Process) -> Result<(), Breach> {
    let stats = process.engine.stats();
    let leaks = stats.assumed_pods != 0 || stats.in_flight != 0 || !process.taken.is_empty();
    if leaks {
        let detail = format!("{} rests with {stats:?} and takes {:?}", process.label(), process.taken);
        return Err(Breach::new(Rule::LeaksNothing, detail));
    }
    Ok(())
}
