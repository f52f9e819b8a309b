//! Between a place and a bind: volumes are bound or made (PreBind), and a gang waits until enough of it is ready.
//!
//! A *departure* is what was committed together: one pod, or the planned members of a gang. **The barrier:** no bind of a
//! gang's member is put out before `minCount` members have a place and are ready, counting those that are bound or on their
//! way; so a volume that is never provisioned leaves no gang half bound. The others follow when they are ready, each on its
//! own. If the gang fails to become ready, whatever has not been handed out is given back.

use crate::deadlines::ANSWER_OVERDUE;
use crate::diagnosis;
use crate::effect::{EffectId, EffectKind};
use crate::engine::{Awaited, Engine};
use crate::groups::GroupId;
use crate::input::Outcome;
use crate::outbox::Lane;
use crate::pods::{Bind, BindStage, Pod, PodId, Role};
use crate::queue::Entity;
use crate::retries::Again;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::event::ClusterEvent;
use muster_framework::record::{ClaimKey, ResourceVersion};
use muster_framework::table::NodeOrd;
use muster_framework::volume::{BindingState, Bindings};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
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

/// Who holds a place without the bind having been handed out.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    last: u64,
    /// Pods that are not ready.
    preparing: BTreeMap<PodId, Preparation>,
    /// Members of groups, by group.
    unsent: FxHashMap<GroupId, Unsent>,
}

/// Members of one group that hold places, while their binds have not been handed out, by stage.
#[derive(Debug, Default)]
struct Unsent {
    preparing: BTreeSet<PodId>,
    ready: BTreeSet<PodId>,
    leaving: BTreeSet<PodId>,
}

impl Unsent {
    fn of(&mut self, stage: BindStage) -> Option<&mut BTreeSet<PodId>> {
        match stage {
            BindStage::Preparing => Some(&mut self.preparing),
            BindStage::Ready => Some(&mut self.ready),
            BindStage::Leaving => Some(&mut self.leaving),
            _ => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn iter(&self) -> impl Iterator<Item = PodId> {
        self.preparing.iter().chain(&self.ready).chain(&self.leaving).copied()
    }
}

#[derive(Debug, Default)]
struct Preparation {
    /// Patches without an answer yet.
    open: Vec<EffectId>,
    /// All has been written, and the time for the volumes runs.
    written: bool,
}

impl Departures {
    /// Whether the pod prepares and waits for the answer to this patch.
    pub(crate) fn waits_for(&self, id: PodId, effect: EffectId) -> bool {
        self.preparing
            .get(&id)
            .is_some_and(|preparation| preparation.open.contains(&effect))
    }
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
    /// Takes the planned places. Binds go out at once where nothing has to be prepared, or else when enough is.
    pub(crate) fn depart(&mut self, now: Time, places: &[Planned]) {
        self.departures.last += 1;
        let departure = DepartureId(self.departures.last);
        for planned in places {
            self.assume(now, planned, departure);
        }
        let to_prepare = || places.iter().filter(|planned| !planned.bindings.is_empty());
        for planned in to_prepare() {
            self.prepare(planned, departure);
            let deadline = now + self.volume_bind_timeout(planned.pod);
            self.set_deadline(planned.pod, deadline);
        }
        // Some may be ready, or have failed, from the start: nobody is looked at before everybody has been written down.
        for planned in to_prepare() {
            self.wait_for_volumes(now, planned.pod);
        }
        for planned in places {
            self.leave_if_enough_are_ready(planned.pod);
        }
        for planned in places {
            if self.stage(planned.pod) == Some(BindStage::Ready) && !self.has_deadline(planned.pod) {
                let deadline = now + self.volume_bind_timeout(planned.pod);
                self.set_deadline(planned.pod, deadline);
            }
        }
    }

    /// The members of a pod's group that hold places and are not ready.
    pub(crate) fn preparing_with(&self, id: PodId) -> impl Iterator<Item = PodId> {
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        let unsent = group.and_then(|(group, _)| self.departures.unsent.get(&group));
        unsent.into_iter().flat_map(|unsent| unsent.preparing.iter().copied())
    }

    fn stage(&self, id: PodId) -> Option<BindStage> {
        self.cluster.pods.get(id).and_then(Pod::stage)
    }

    fn assume(&mut self, now: Time, planned: &Planned, departure: DepartureId) {
        let Some(pod) = self.cluster.pods.get_mut(planned.pod) else {
            return;
        };
        pod.report.want_nothing();
        self.queue.depart(self.entity_of(planned.pod), planned.pod);
        let promised = self.cluster.promised_to(planned.pod);
        let node = self.cluster.table.name(planned.node).clone();
        let stage = if planned.bindings.is_empty() {
            BindStage::Ready
        } else {
            BindStage::Preparing
        };
        let bind = Bind {
            effect: EffectId(0),
            stage,
            departure,
        };
        self.cluster.place(planned.pod, &node, Some(bind));
        self.note_unsent(planned.pod, stage);
        let promised = promised.filter(|promised| *promised != planned.node);
        self.set_role(planned.pod, Role::Placed);
        self.wake_for_company(now, planned.pod);
        self.wake_for_room(now, planned.pod, promised);
    }

    fn note_unsent(&mut self, id: PodId, stage: BindStage) {
        if let Some((group, _)) = self.cluster.pods.get(id).and_then(|pod| pod.group)
            && let Some(set) = self.departures.unsent.entry(group).or_default().of(stage)
        {
            set.insert(id);
        }
    }

    fn forget_unsent(&mut self, id: PodId, stage: BindStage) {
        let Some((group, _)) = self.cluster.pods.get(id).and_then(|pod| pod.group) else {
            return;
        };
        let Some(unsent) = self.departures.unsent.get_mut(&group) else {
            return;
        };
        if let Some(set) = unsent.of(stage) {
            set.remove(&id);
        }
        if unsent.is_empty() {
            self.departures.unsent.remove(&group);
        }
    }

    /// Brings a bind to its next stage.
    fn advance(&mut self, id: PodId, effect: EffectId, to: BindStage) {
        let place = self.cluster.pods.get_mut(id).and_then(|pod| pod.place.as_mut());
        let Some(bind) = place.and_then(|place| place.bind.as_mut()) else {
            return;
        };
        let from = std::mem::replace(&mut bind.stage, to);
        bind.effect = effect;
        self.forget_unsent(id, from);
        if to.is_unsent() {
            self.note_unsent(id, to);
        }
    }

    /// Puts out the binds that need wait no longer: of the pod, or of all that are ready in its gang.
    fn leave_if_enough_are_ready(&mut self, id: PodId) {
        match self.entity_of(id) {
            Entity::Group(group) => self.pass_the_barrier(group),
            Entity::Pod(_) if self.stage(id) == Some(BindStage::Ready) => self.send_bind(id),
            Entity::Pod(_) => {}
        }
    }

    /// Puts out the binds of all ready members of a gang, if they are enough with those that are bound or on their way.
    fn pass_the_barrier(&mut self, id: GroupId) {
        let (Some(group), Some(unsent)) = (self.groups.get(id), self.departures.unsent.get(&id)) else {
            return;
        };
        let ready = group.satisfied_by().saturating_sub(unsent.preparing.len() as u32);
        if self.groups.quorum(group).is_some_and(|quorum| ready < quorum) {
            return;
        }
        let leave: Vec<PodId> = unsent.ready.iter().copied().collect();
        leave.into_iter().for_each(|member| self.send_bind(member));
    }

    /// A group has changed: members may leave now, or may not leave any more.
    pub(crate) fn look_at_departures(&mut self, now: Time, id: GroupId) {
        if !self.departures.unsent.contains_key(&id) {
            return;
        }
        let Some(group) = self.groups.get(id) else { return };
        match self.groups.ready(group) {
            Ok(_) if self.lacks_quorum(id) => self.hold_back(now, id),
            Ok(_) => self.pass_the_barrier(id),
            Err(_) => self.take_back_unsent(now, id, "the pod group cannot be completed any more"),
        }
    }

    /// A gang has lost a member while binds of others wait to be handed out: they wait at the barrier for its replacement.
    fn hold_back(&mut self, now: Time, id: GroupId) {
        let unsent = self.departures.unsent.get(&id);
        let leaving: Vec<PodId> = unsent.into_iter().flat_map(|unsent| &unsent.leaving).copied().collect();
        for member in leaving {
            let bind = self.cluster.pods.get(member).and_then(|pod| pod.place.as_ref()?.bind);
            if let Some(bind) = bind {
                self.awaited.remove(&bind.effect);
            }
            self.advance(member, EffectId(0), BindStage::Ready);
            self.set_deadline(member, now + self.volume_bind_timeout(member));
        }
    }

    /// A gang was tried and found no room for all that it needs: what was kept for it is given back.
    pub(crate) fn gang_found_no_room(&mut self, now: Time, id: GroupId) {
        if self.lacks_quorum(id) {
            self.take_back_unsent(now, id, "the other members of the pod group found no place");
        }
    }

    /// A node is gone: nobody is sent there.
    pub(crate) fn node_is_gone(&mut self, now: Time, name: &Text) {
        let unsent = |id: &PodId| self.stage(*id).is_some_and(BindStage::is_unsent);
        let lost: Vec<PodId> = self.cluster.pods_on(name).filter(unsent).collect();
        for id in lost {
            self.preparation_failed(now, id, "the node is gone".to_owned());
        }
    }

    /// A node has changed, or somebody else has put a pod there: whoever is to go there and could not be sent there now is
    /// sent elsewhere, as long as the bind has not been handed out. Who came last goes first. The rest of a gang keeps its
    /// places at the barrier while another is looked for.
    pub(crate) fn look_at_places_on(&mut self, now: Time, name: &Text) {
        if self.cluster.n_assumed() == 0 {
            return;
        }
        let unsent = |id: &PodId| self.stage(*id).is_some_and(BindStage::is_unsent);
        let holders: Vec<PodId> = self.cluster.pods_on(name).filter(unsent).collect();
        for id in holders.into_iter().rev() {
            if self.stage(id).is_some_and(BindStage::is_unsent) && !self.place_stands(id) {
                let message = format!("node {name:?} has become unfit for it since");
                self.place_failed(now, id, Again::AtOnce, message.clone());
                self.group_fails(now, id, &message, false);
            }
        }
    }

    /// Puts a pod's bind out, in the lane of its departure.
    fn send_bind(&mut self, id: PodId) {
        let by = self.binding_extender(id);
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let Some((place, bind)) = pod.place.as_ref().and_then(|place| Some((place, place.bind?))) else {
            return;
        };
        let (node, pod) = (place.node_name.clone(), pod.reference());
        let uid = pod.uid.clone();
        let effect = self.emit(bind.departure.lane(), EffectKind::Bind { pod, node, by });
        self.awaited.insert(effect, Awaited::Bind(uid));
        self.clear_deadline(id);
        self.advance(id, effect, BindStage::Leaving);
    }

    /// A bind is handed out: from here on it may happen.
    pub(crate) fn bind_sent(&mut self, now: Time, effect: EffectId, uid: &Text) {
        let Some(id) = self.cluster.pods.id(uid) else { return };
        self.advance(id, effect, BindStage::Sent);
        self.set_deadline(id, now + ANSWER_OVERDUE);
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
        let preparation = Preparation { open, written: false };
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
        if !std::mem::replace(&mut preparation.written, true) {
            self.set_deadline(id, now + timeout);
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

    /// A member's volumes are bound.
    fn prepared(&mut self, now: Time, id: PodId) {
        self.departures.preparing.remove(&id);
        self.forget_bindings(now, id);
        self.advance(id, EffectId(0), BindStage::Ready);
        self.leave_if_enough_are_ready(id);
    }

    /// Whether a gang has fewer members with places than it needs.
    fn lacks_quorum(&self, id: GroupId) -> bool {
        let Some(group) = self.groups.get(id) else { return false };
        let quorum = self.groups.quorum(group);
        quorum.is_some_and(|quorum| group.satisfied_by() < quorum)
    }

    /// A pod cannot go where it was to go, for a reason that its bind has nothing to do with. Members of its gang give
    /// their places back too, unless they are enough without it.
    pub(crate) fn preparation_failed(&mut self, now: Time, id: PodId, message: String) {
        let entity = self.entity_of(id);
        self.place_failed(now, id, Again::Later, message.clone());
        self.group_fails(now, id, &message, false);
        if let Entity::Group(group) = entity
            && self.lacks_quorum(group)
        {
            self.take_back_unsent(now, group, &message);
        }
    }

    /// Gives back the places of all members whose binds have not been handed out.
    fn take_back_unsent(&mut self, now: Time, group: GroupId, message: &str) {
        let Some(unsent) = self.departures.unsent.get(&group) else {
            return;
        };
        let members: Vec<PodId> = unsent.iter().collect();
        self.leave_places(now, &members);
        self.queue_again(now, &members, "ScheduleAttemptFailure");
        for member in members {
            if self.role_without_node(member) == Role::Pending {
                self.want(now, member, diagnosis::SCHEDULER_ERROR, message.to_owned(), true);
            }
        }
    }

    /// Nothing departs any more: gives back all places whose binds have not been handed out.
    pub(crate) fn cancel_departures(&mut self, now: Time) {
        let pods = self.cluster.pods.iter();
        let placed = pods.filter(|(_, pod)| pod.stage().is_some_and(BindStage::is_unsent));
        let placed: Vec<PodId> = placed.map(|(id, _)| id).collect();
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

    /// The bind of a pod is over, one way or another: nothing of it is kept.
    pub(crate) fn end_bind(&mut self, now: Time, id: PodId) {
        let place = self.cluster.pods.get(id).and_then(|pod| pod.place.as_ref());
        let Some(bind) = place.and_then(|place| place.bind) else {
            return;
        };
        self.clear_deadline(id);
        self.forget_unsent(id, bind.stage);
        if bind.stage == BindStage::Leaving {
            self.awaited.remove(&bind.effect);
        }
        if let Some(preparation) = self.departures.preparing.remove(&id) {
            for effect in preparation.open {
                self.awaited.remove(&effect);
            }
        }
        self.forget_bindings(now, id);
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
        let Departures { preparing, unsent, .. } = &self.departures;
        let mut counted = 0;
        for (id, pod) in self.cluster.pods.iter() {
            let (stage, name) = (pod.stage(), &pod.record.name);
            if preparing.contains_key(&id) != (stage == Some(BindStage::Preparing)) {
                return Err(format!("{name} prepares otherwise than its bind says: {stage:?}"));
            }
            if self.cluster.table.volumes().bindings_of(&pod.record.uid).is_some() && !preparing.contains_key(&id) {
                return Err(format!("{name} keeps volumes reserved, but does not prepare"));
            }
            let Some((group, _)) = pod.group else { continue };
            let of_group = unsent.get(&group);
            let expected = match stage {
                Some(BindStage::Preparing) => of_group.map(|unsent| &unsent.preparing),
                Some(BindStage::Ready) => of_group.map(|unsent| &unsent.ready),
                Some(BindStage::Leaving) => of_group.map(|unsent| &unsent.leaving),
                _ => continue,
            };
            if !expected.is_some_and(|members| members.contains(&id)) {
                return Err(format!("{name} at {stage:?} does not wait with its group"));
            }
            counted += 1;
        }
        let waiting: usize = unsent.values().map(|unsent| unsent.iter().count()).sum();
        if waiting != counted || unsent.values().any(Unsent::is_empty) {
            return Err(format!(
                "{waiting} members wait with their groups, but {counted} are to"
            ));
        }
        for (id, preparation) in preparing {
            let mut open = preparation.open.iter();
            if let Some(effect) = open.find(|effect| !self.awaited.contains_key(*effect)) {
                return Err(format!("{id:?} waits for {effect:?}, which nobody will answer"));
            }
        }
        self.check_barrier()
    }

    /// Whether the binds that have been put out belong to gangs that are enough, as far as we alone decide that.
    fn check_barrier(&self) -> Result<(), String> {
        for (id, unsent) in &self.departures.unsent {
            let Some(group) = self.groups.get(*id) else {
                return Err(format!("{id:?} is gone, and members wait in it"));
            };
            let enough = group.satisfied_by().saturating_sub(unsent.preparing.len() as u32);
            let quorum = self.groups.quorum(group);
            if !unsent.ready.is_empty() && quorum.is_some_and(|quorum| enough >= quorum) {
                return Err(format!("{} is ready, but waits", group.key));
            }
        }
        Ok(())
    }
}
