//! Between a place and a bind: volumes are bound or made (PreBind), and a gang waits until all of it is ready.
//!
//! A *departure* is what was committed together: one pod, or the planned members of a gang. Nothing of it is bound before
//! every member has finished, so a volume that is never provisioned leaves no gang half bound. A member that fails takes
//! the places of all back. Every departure ends: by its last member, by a failure, or by the deadline of
//! `bindTimeoutSeconds` that each member has from the moment when its claims have been written.

use crate::diagnosis;
use crate::effect::{EffectId, EffectKind};
use crate::engine::{Awaited, Engine, Timer};
use crate::input::Outcome;
use crate::outbox::Lane;
use crate::pods::{Bind, BindStage, PodId, Role};
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::event::ClusterEvent;
use muster_framework::record::{ClaimKey, ResourceVersion};
use muster_framework::table::NodeOrd;
use muster_framework::volume::{BindingState, Bindings};
use std::collections::BTreeMap;
use std::time::Duration;

/// A place that was planned for a pod.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) pod: PodId,
    pub(crate) node: NodeOrd,
    /// What of its volumes has to be bound or made first.
    pub(crate) bindings: Bindings,
}

/// The number of a departure; never used twice by an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DepartureId(u64);

impl DepartureId {
    fn lane(self) -> Lane {
        Lane::Departure(self.0)
    }
}

/// Members that hold places and are not bound yet.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    last: u64,
    departures: BTreeMap<DepartureId, Vec<PodId>>,
    /// Members that are not ready, each with its departure.
    preparing: BTreeMap<PodId, Preparation>,
}

#[derive(Debug)]
struct Preparation {
    departure: DepartureId,
    /// Patches without an answer yet.
    open: Vec<EffectId>,
    /// When waiting ends; none while patches are open.
    deadline: Option<Time>,
}

/// What a patch was to write.
#[derive(Debug, Clone)]
pub(crate) enum Patched {
    /// The claim of a volume.
    Volume(Text),
    /// The selected node of a claim.
    Claim(ClaimKey),
}

impl Engine {
    /// Takes the planned places. Binds go out at once if nothing has to be prepared, or else when all is. Members of a gang
    /// that is preparing already leave together with those before them, which count towards their quorum.
    pub(crate) fn depart(&mut self, now: Time, places: &[Planned]) {
        let Some(first) = places.first() else { return };
        let before = self.departure_of_gang(first.pod);
        let departure = before.unwrap_or_else(|| {
            self.departures.last += 1;
            DepartureId(self.departures.last)
        });
        if before.is_none() && places.iter().all(|planned| planned.bindings.is_empty()) {
            for planned in places {
                self.assume(now, planned, BindStage::Ready);
                self.send_bind(planned.pod, departure);
            }
            return;
        }
        let members = self.departures.departures.entry(departure).or_default();
        members.extend(places.iter().map(|planned| planned.pod));
        let to_prepare = || places.iter().filter(|planned| !planned.bindings.is_empty());
        for planned in places {
            let stage = if planned.bindings.is_empty() {
                BindStage::Ready
            } else {
                BindStage::Preparing
            };
            self.assume(now, planned, stage);
        }
        for planned in to_prepare() {
            self.prepare(planned, departure);
        }
        // Some may be ready, or have failed, from the start: nobody is looked at before everybody has been written down.
        for planned in to_prepare() {
            self.wait_for_volumes(now, planned.pod);
        }
    }

    /// The departure of the pod's gang that has not left yet.
    fn departure_of_gang(&self, id: PodId) -> Option<DepartureId> {
        let Entity::Group(group) = self.entity_of(id) else {
            return None;
        };
        let of_group = |member: &PodId| {
            let pod = self.cluster.pods.get(*member);
            pod.and_then(|pod| pod.group).is_some_and(|(other, _)| other == group)
        };
        let mut departures = self.departures.departures.iter();
        departures
            .find(|(_, members)| members.iter().any(of_group))
            .map(|(departure, _)| *departure)
    }

    fn assume(&mut self, now: Time, planned: &Planned, stage: BindStage) {
        let Some(pod) = self.cluster.pods.get_mut(planned.pod) else {
            return;
        };
        pod.report.want_nothing();
        self.queue.depart(self.entity_of(planned.pod), planned.pod);
        let promised = self.cluster.promised_to(planned.pod);
        let node = self.cluster.table.name(planned.node).clone();
        let bind = Bind {
            effect: EffectId(0),
            stage,
        };
        self.cluster.place(planned.pod, &node, Some(bind));
        let promised = promised.filter(|promised| *promised != planned.node);
        self.set_role(planned.pod, Role::Placed);
        self.wake_for_company(now, planned.pod);
        self.wake_for_room(now, planned.pod, promised);
    }

    /// Puts a pod's bind out, in the lane of its departure.
    fn send_bind(&mut self, id: PodId, departure: DepartureId) {
        let by = self.binding_extender(id);
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let Some(node) = pod.place.as_ref().map(|place| place.node_name.clone()) else {
            return;
        };
        let pod = pod.reference();
        let uid = pod.uid.clone();
        let effect = self.emit(departure.lane(), EffectKind::Bind { pod, node, by });
        self.awaited.insert(effect, Awaited::Bind(uid));
        let place = self.cluster.pods.get_mut(id).and_then(|pod| pod.place.as_mut());
        if let Some(bind) = place.and_then(|place| place.bind.as_mut()) {
            *bind = Bind {
                effect,
                stage: BindStage::Leaving,
            };
        }
    }

    /// A bind is handed out: from here on it may happen.
    pub(crate) fn bind_sent(&mut self, _now: Time, effect: EffectId, uid: &Text) {
        let pod = self.cluster.pods.id(uid).and_then(|id| self.cluster.pods.get_mut(id));
        let bind = pod
            .and_then(|pod| pod.place.as_mut())
            .and_then(|place| place.bind.as_mut());
        if let Some(bind) = bind.filter(|bind| bind.effect == effect) {
            bind.stage = BindStage::Sent;
        }
    }

    /// Writes what of a pod's volumes has to be written.
    fn prepare(&mut self, planned: &Planned, departure: DepartureId) {
        let Some(owner) = self.cluster.pods.get(planned.pod).map(|pod| pod.reference()) else {
            return;
        };
        let bindings = &planned.bindings;
        self.cluster.table.volumes_mut().assume(&owner.uid, bindings.clone());
        let mut open = Vec::new();
        for binding in bindings.volumes.iter().filter(|binding| binding.write) {
            let write = EffectKind::ReserveVolume {
                pod: owner.clone(),
                volume: binding.volume.clone(),
                volume_version: binding.volume_version,
                claim: binding.claim.clone(),
                claim_uid: binding.claim_uid.clone(),
                claim_version: binding.claim_version,
                mark_bound_by_controller: binding.mark_bound_by_controller,
            };
            let effect = self.emit(departure.lane(), write);
            self.awaited.insert(
                effect,
                Awaited::Patch(owner.uid.clone(), Patched::Volume(binding.volume.clone())),
            );
            open.push(effect);
        }
        for provision in bindings.provision.iter().filter(|provision| provision.write) {
            let write = EffectKind::SelectNode {
                pod: owner.clone(),
                claim: provision.claim.clone(),
                claim_version: provision.claim_version,
                node: bindings.node.clone(),
            };
            let effect = self.emit(departure.lane(), write);
            self.awaited.insert(
                effect,
                Awaited::Patch(owner.uid.clone(), Patched::Claim(provision.claim.clone())),
            );
            open.push(effect);
        }
        let preparation = Preparation {
            departure,
            open,
            deadline: None,
        };
        self.departures.preparing.insert(planned.pod, preparation);
    }

    /// A patch has been answered.
    pub(crate) fn patched(&mut self, now: Time, id: PodId, effect: EffectId, what: Patched, outcome: Outcome) {
        let Some(owner) = self.cluster.pods.get(id).map(|pod| pod.record.uid.clone()) else {
            return;
        };
        let problem = match outcome {
            Outcome::Patched { resource_version } => {
                return self.patch_stands(now, (id, &owner), effect, what, resource_version);
            }
            Outcome::ObjectGone => "it is gone".into(),
            Outcome::WriteFailed { message } => message,
            _ => Text::from("the driver gave no outcome of the write"),
        };
        if self
            .departures
            .preparing
            .get(&id)
            .is_some_and(|p| p.open.contains(&effect))
        {
            let what = match what {
                Patched::Volume(name) => format!("persistentvolume {name:?}"),
                Patched::Claim(claim) => format!("persistentvolumeclaim \"{}/{}\"", claim.namespace, claim.name),
            };
            self.preparation_failed(now, id, format!("binding volumes: writing {what}: {problem}"));
        }
    }

    fn patch_stands(
        &mut self,
        now: Time,
        (id, owner): (PodId, &Text),
        effect: EffectId,
        what: Patched,
        version: ResourceVersion,
    ) {
        let volumes = self.cluster.table.volumes_mut();
        match what {
            Patched::Volume(name) => volumes.volume_written(owner, &name, version),
            Patched::Claim(claim) => volumes.claim_written(owner, &claim, version),
        }
        if let Some(preparation) = self.departures.preparing.get_mut(&id) {
            preparation.open.retain(|open| *open != effect);
        }
        self.wait_for_volumes(now, id);
    }

    /// Starts the clock once all is written, and looks whether the wait is over.
    fn wait_for_volumes(&mut self, now: Time, id: PodId) {
        let timeout = self.volume_bind_timeout(id);
        let Some(preparation) = self.departures.preparing.get_mut(&id).filter(|p| p.open.is_empty()) else {
            return;
        };
        if preparation.deadline.is_none() {
            preparation.deadline = Some(now + timeout);
            self.timers.insert((now + timeout, Timer::VolumesOverdue(id)));
        }
        let Some(owner) = self.cluster.pods.get(id).map(|pod| pod.record.uid.clone()) else {
            return;
        };
        match self.cluster.table.binding_state(&owner) {
            BindingState::Waiting => {}
            BindingState::Done => self.prepared(now, id),
            BindingState::Failed(problem) => self.preparation_failed(now, id, format!("binding volumes: {problem}")),
        }
    }

    fn volume_bind_timeout(&self, id: PodId) -> Duration {
        let pod = self.cluster.pods.get(id);
        let profile = pod.and_then(|pod| self.pipeline.profile_of(&pod.record.scheduler_name));
        let seconds = profile.map_or(0, |profile| {
            self.pipeline
                .profile(profile)
                .args()
                .volume_binding
                .bind_timeout_seconds
        });
        Duration::from_secs(seconds.max(0) as u64)
    }

    /// Something about storage or a node has changed: looks at every member that waits for its volumes.
    pub(crate) fn look_at_preparations(&mut self, now: Time) {
        let waiting: Vec<PodId> = self.departures.preparing.keys().copied().collect();
        for id in waiting {
            self.wait_for_volumes(now, id);
        }
    }

    pub(crate) fn volumes_overdue(&mut self, now: Time, id: PodId) {
        let deadline = self
            .departures
            .preparing
            .get(&id)
            .and_then(|preparation| preparation.deadline);
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.preparation_failed(now, id, "binding volumes: context deadline exceeded".to_owned());
        }
    }

    /// A member's volumes are bound.
    fn prepared(&mut self, now: Time, id: PodId) {
        let Some(preparation) = self.departures.preparing.remove(&id) else {
            return;
        };
        self.forget_deadline(id, &preparation);
        self.forget_bindings(now, id);
        let place = self.cluster.pods.get_mut(id).and_then(|pod| pod.place.as_mut());
        if let Some(bind) = place.and_then(|place| place.bind.as_mut()) {
            bind.stage = BindStage::Ready;
        }
        self.leave_if_ready(now, preparation.departure);
    }

    /// Sends the binds of a departure once nobody of it prepares any more.
    fn leave_if_ready(&mut self, now: Time, departure: DepartureId) {
        if self.departures.preparing.values().any(|p| p.departure == departure) {
            return;
        }
        let members = self.departures.departures.remove(&departure).unwrap_or_default();
        let Some(first) = members.first() else { return };
        if self.lacks_quorum(*first) {
            let message = "binding volumes: members of the pod group were lost meanwhile".to_owned();
            return self.take_back(now, &members, members[0], message);
        }
        let has_no_node = |member: &&PodId| {
            let pod = self.cluster.pods.get(**member);
            pod.and_then(|pod| pod.place.as_ref())
                .is_none_or(|place| place.charged.is_none())
        };
        if let Some(culprit) = members.iter().find(has_no_node) {
            let message = "binding volumes: the node is gone".to_owned();
            return self.take_back(now, &members, *culprit, message);
        }
        members.into_iter().for_each(|member| self.send_bind(member, departure));
    }

    /// Whether the pod's gang has fewer members with places than it needs.
    fn lacks_quorum(&self, id: PodId) -> bool {
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        let Some(group) = group.and_then(|(group, _)| self.groups.get(group)) else {
            return false;
        };
        self.groups
            .quorum(group)
            .is_some_and(|quorum| group.satisfied_by() < quorum)
    }

    fn preparation_failed(&mut self, now: Time, id: PodId, message: String) {
        let Some(preparation) = self.departures.preparing.get(&id) else {
            return;
        };
        let departure = preparation.departure;
        let members = self.departures.departures.remove(&departure).unwrap_or_default();
        self.take_back(now, &members, id, message);
    }

    /// Gives back the places of a whole departure; `culprit` says why.
    fn take_back(&mut self, now: Time, members: &[PodId], culprit: PodId, message: String) {
        let others: Vec<PodId> = members.iter().copied().filter(|member| *member != culprit).collect();
        self.leave_places(now, &others);
        self.bind_failed(now, culprit, message.clone());
        self.queue_again(now, &others, "ScheduleAttemptFailure");
        for member in others {
            if self.role_without_node(member) == Role::Pending {
                self.want(now, member, diagnosis::SCHEDULER_ERROR, message.clone(), true);
            }
        }
    }

    /// Nothing departs any more: gives back all places whose binds have not been handed out.
    pub(crate) fn cancel_departures(&mut self, now: Time) {
        let unsent = |stage| matches!(stage, BindStage::Preparing | BindStage::Ready | BindStage::Leaving);
        let placed = self
            .cluster
            .pods
            .iter()
            .filter(|(_, pod)| pod.stage().is_some_and(unsent));
        let placed: Vec<PodId> = placed.map(|(id, _)| id).collect();
        // First of all, or the end of one member's preparation would send the others on their way.
        self.departures.departures.clear();
        self.leave_places(now, &placed);
        self.queue_again(now, &placed, "ScheduleAttemptFailure");
    }

    fn leave_places(&mut self, now: Time, pods: &[PodId]) {
        for pod in pods {
            self.give_back(now, *pod);
            let role = self.role_without_node(*pod);
            self.set_role(*pod, role);
        }
    }

    fn queue_again(&mut self, now: Time, pods: &[PodId], event: &'static str) {
        for pod in pods {
            // What is a gang's member now may have been a single pod's business ever since the gang was planned.
            match self.cluster.pods.get(*pod).and_then(|pod| pod.group) {
                Some((group, _)) => self.evaluate_group(now, group, Some(*pod), event),
                None => self.requeue(now, *pod, self.role_without_node(*pod), false, event),
            }
        }
    }

    /// A pod gives its place back: it is in no departure any more.
    pub(crate) fn end_preparation(&mut self, now: Time, id: PodId) {
        if let Some(preparation) = self.departures.preparing.remove(&id) {
            self.forget_deadline(id, &preparation);
            for effect in preparation.open {
                self.awaited.remove(&effect);
            }
        }
        self.forget_bindings(now, id);
        let of = |members: &Vec<PodId>| members.contains(&id);
        let mut departures = self.departures.departures.iter();
        let Some(departure) = departures
            .find(|(_, members)| of(members))
            .map(|(departure, _)| *departure)
        else {
            return;
        };
        if let Some(members) = self.departures.departures.get_mut(&departure) {
            members.retain(|member| *member != id);
        }
        self.leave_if_ready(now, departure);
    }

    fn forget_deadline(&mut self, id: PodId, preparation: &Preparation) {
        if let Some(deadline) = preparation.deadline {
            self.timers.remove(&(deadline, Timer::VolumesOverdue(id)));
        }
    }

    fn forget_bindings(&mut self, now: Time, id: PodId) {
        let Some(owner) = self.cluster.pods.get(id).map(|pod| pod.record.uid.clone()) else {
            return;
        };
        for event in self.cluster.table.volumes_mut().forget(&owner) {
            self.wake(now, &ClusterEvent::Storage(event), "AssignedPodDelete");
        }
    }
}

// ---- the books ---------------------------------------------------------------------------------------------------

impl Engine {
    /// Whether departures, the stages of binds and the reservations of volumes say the same.
    pub(crate) fn check_departures(&self) -> Result<(), String> {
        let Departures {
            departures, preparing, ..
        } = &self.departures;
        for (id, pod) in self.cluster.pods.iter() {
            let stage = pod.place.as_ref().and_then(|place| place.bind).map(|bind| bind.stage);
            let name = &pod.record.name;
            let departs = departures.values().filter(|members| members.contains(&id)).count();
            if departs != usize::from(matches!(stage, Some(BindStage::Preparing | BindStage::Ready))) {
                return Err(format!("{name} is in {departs} departures, its bind is at {stage:?}"));
            }
            if preparing.contains_key(&id) != (stage == Some(BindStage::Preparing)) {
                return Err(format!("{name} prepares otherwise than its bind says: {stage:?}"));
            }
            if self.cluster.table.volumes().bindings_of(&pod.record.uid).is_some() && !preparing.contains_key(&id) {
                return Err(format!("{name} keeps volumes reserved, but does not prepare"));
            }
        }
        for (id, preparation) in preparing {
            let members = departures.get(&preparation.departure);
            if self.cluster.pods.get(*id).is_none() || members.is_none_or(|members| !members.contains(id)) {
                return Err(format!("{id:?} prepares for no departure"));
            }
            if let Some(effect) = preparation
                .open
                .iter()
                .find(|effect| !self.awaited.contains_key(*effect))
            {
                return Err(format!("{id:?} waits for {effect:?}, which nobody will answer"));
            }
        }
        let waits = |departure| preparing.values().any(|preparation| preparation.departure == departure);
        match departures.keys().find(|departure| !waits(**departure)) {
            Some(departure) => Err(format!("{departure:?} waits for nobody")),
            None => Ok(()),
        }
    }
}
