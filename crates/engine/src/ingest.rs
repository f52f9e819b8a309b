//! Facts about objects: nodes and pods come, change and go; what waits is woken by what could help it.

use crate::cluster::{Cluster, is_stale};
use crate::deadlines::RETRY_AFTER;
use crate::diagnosis;
use crate::engine::{Engine, Timer};
use crate::facts::PodFacts;
use crate::groups::{GroupId, Hold, Member, PolicyObject, Stance};
use crate::input::{Object, ObjectKey};
use crate::observation::Observation;
use crate::pods::{BindStage, DefaultSelection, LazyReport, Pod, PodId, Role};
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::Text;
use muster_framework::event::{ClusterEvent, NodeChanges, ObjectChange, StorageEvent};
use muster_framework::group::{GroupKey, GroupPolicy};
use muster_framework::record::{Kind, NodeRecord, PodPhase, PodRecord};
use muster_framework::table::NodeOrd;
use std::collections::BTreeSet;

impl Engine {
    pub(crate) fn apply(&mut self, now: Time, object: Object) {
        let seen = self.lists[object.kind() as usize].begun;
        match object {
            Object::Node(record) => self.apply_node(now, &record, seen),
            Object::Pod(record) => self.apply_pod(now, *record, seen),
            Object::Namespace(record) => {
                if self.cluster.apply_namespace(record, seen) {
                    self.wake(now, &ClusterEvent::NamespaceUpdate, "NamespaceUpdate");
                }
            }
            Object::PriorityClass(record) => {
                let name = record.name.clone();
                let before = self.cluster.priority_classes.get(&name).cloned();
                let classes = &mut self.cluster.priority_classes;
                classes.apply(&name, record.resource_version, seen, record);
                if self.cluster.priority_classes.get(&name) != before.as_ref() {
                    self.priorities_changed(now);
                }
            }
            Object::Workload(record) => {
                self.apply_policy(now, PolicyObject::Workload(record), "scheduling.k8s.io/WorkloadAdd")
            }
            Object::PodGroup(record) => {
                self.apply_policy(now, PolicyObject::PodGroup(record), "scheduling.k8s.io/PodGroupAdd")
            }
            Object::SelectorOwner(record) => {
                if self.cluster.apply_owner(record, seen) {
                    self.wake(now, &ClusterEvent::SelectorOwnerUpdate, "SelectorOwnerUpdate");
                }
            }
            Object::Storage(object) => {
                if let Some(event) = self.cluster.apply_storage(object, seen) {
                    self.wake(now, &ClusterEvent::Storage(event), storage_label(event));
                }
                // A new version of an object that says the same is no news for plugins: it is for whoever wrote it.
                self.look_at_preparations(now);
            }
        }
    }

    fn apply_policy(&mut self, now: Time, object: PolicyObject, event: &'static str) {
        let kind = match &object {
            PolicyObject::Workload(_) => Kind::Workload,
            PolicyObject::PodGroup(record) => record.kind,
        };
        self.groups.set_served(kind, true);
        let seen = self.lists[kind as usize].begun;
        let news = self.groups.apply_policy(object, seen);
        for group in news.to_evaluate {
            self.evaluate_group(now, group, None, event);
        }
        for group in news.to_compare {
            self.compare_group_status(now, group);
        }
    }

    pub(crate) fn delete(&mut self, now: Time, key: &ObjectKey) {
        match key.kind {
            Kind::Node => {
                self.cluster.nodes.remove(&key.name);
                self.delete_node(now, &key.name);
            }
            Kind::Pod => {
                if let Some(id) = self.cluster.pods.id(&key.uid) {
                    self.delete_pod(now, id);
                }
            }
            Kind::Namespace => {
                if self.cluster.remove_namespace(&key.name) {
                    self.wake(now, &ClusterEvent::NamespaceUpdate, "NamespaceDelete");
                }
            }
            Kind::PriorityClass => {
                if self.cluster.priority_classes.remove(&key.name).is_some() {
                    self.priorities_changed(now);
                }
            }
            kind if kind.holds_group_policies() => {
                for group in self.groups.delete_policy(kind, &key.namespace, &key.name) {
                    self.evaluate_group(now, group, None, "scheduling.k8s.io/PodGroupDelete");
                }
            }
            Kind::Service | Kind::ReplicationController | Kind::ReplicaSet | Kind::StatefulSet => {
                if self.cluster.remove_owner(key.kind, &key.namespace, &key.name) {
                    self.wake(now, &ClusterEvent::SelectorOwnerUpdate, "SelectorOwnerUpdate");
                }
            }
            kind => {
                if let Some(event) = self.cluster.remove_storage(kind, &key.namespace, &key.name) {
                    self.wake(now, &ClusterEvent::Storage(event), storage_label(event));
                    self.look_at_preparations(now);
                }
            }
        }
    }

    /// An object that cannot be read is still there: what was known of it stays, and a list does not sweep it away.
    pub(crate) fn undecodable(&mut self, key: &ObjectKey, error: Text) {
        let seen = self.lists[key.kind as usize].begun;
        match key.kind {
            Kind::Node => self.cluster.nodes.mark(&key.name, seen),
            Kind::Namespace => self.cluster.namespaces.mark(&key.name, seen),
            Kind::PriorityClass => self.cluster.priority_classes.mark(&key.name, seen),
            kind if kind.holds_group_policies() => self.groups.mark_policy(kind, &key.namespace, &key.name, seen),
            Kind::Pod => {
                if let Some(pod) = self
                    .cluster
                    .pods
                    .id(&key.uid)
                    .and_then(|id| self.cluster.pods.get_mut(id))
                {
                    pod.seen = seen;
                }
            }
            kind => self.cluster.mark_other(kind, &key.namespace, &key.name, seen),
        }
        let object = if key.namespace.is_empty() {
            key.name.clone()
        } else {
            format!("{}/{}", key.namespace, key.name).into()
        };
        self.observations.push(Observation::Undecodable {
            kind: key.kind,
            object,
            error,
        });
    }

    pub(crate) fn list_begun(&mut self, kind: Kind) {
        let list = &mut self.lists[kind as usize];
        list.begun += 1;
        list.absent = false;
    }

    /// A list has been told: what it did not name is gone.
    pub(crate) fn list_done(&mut self, now: Time, kind: Kind) {
        let list = &mut self.lists[kind as usize];
        let begun = list.begun;
        list.done |= begun >= list.needed;
        let is_news = kind.holds_group_policies() && !self.groups.is_served(kind);
        let key = |namespace: &Text, name: &Text, uid: &Text| ObjectKey {
            kind,
            namespace: namespace.clone(),
            name: name.clone(),
            uid: uid.clone(),
            resource_version: 0,
        };
        let none = Text::from("");
        let named = |names: Vec<Text>| names.iter().map(|name| key(&none, name, &none)).collect();
        let gone: Vec<ObjectKey> = match kind {
            Kind::Node => named(self.cluster.nodes.unseen(begun)),
            Kind::Namespace => named(self.cluster.namespaces.unseen(begun)),
            Kind::PriorityClass => named(self.cluster.priority_classes.unseen(begun)),
            kind if kind.holds_group_policies() => {
                self.groups.set_served(kind, true);
                let unseen = self.groups.policies_unseen(kind, begun);
                unseen.iter().map(|(ns, name)| key(ns, name, &none)).collect()
            }
            Kind::Pod => {
                let unseen = self.cluster.pods.iter().filter(|(_, pod)| pod.seen < begun);
                unseen
                    .map(|(_, pod)| key(&pod.record.namespace, &pod.record.name, &pod.record.uid))
                    .collect()
            }
            kind => {
                let unseen = self.cluster.others_unseen(kind, begun).into_iter();
                unseen.map(|other| key(&other.namespace, &other.name, &none)).collect()
            }
        };
        for key in &gone {
            self.delete(now, key);
        }
        if is_news {
            // Groups wait for an object now, and no more for its kind.
            for group in self.groups.that_may_refer_to(kind) {
                self.evaluate_group(now, group, None, "scheduling.k8s.io/PodGroupAdd");
            }
        }
    }

    pub(crate) fn kind_not_served(&mut self, now: Time, kind: Kind) {
        let was_served = self.groups.is_served(kind);
        self.lists[kind as usize].begun += 1;
        self.list_done(now, kind);
        self.lists[kind as usize].absent = true;
        self.groups.set_served(kind, false);
        // Hearing again what is known is no reason to try anything again.
        if was_served {
            for group in self.groups.that_may_refer_to(kind) {
                self.evaluate_group(now, group, None, "scheduling.k8s.io/PodGroupDelete");
            }
        }
    }

    /// Priority classes came, changed or went: pods whose priority nobody has filled in are queued anew.
    fn priorities_changed(&mut self, now: Time) {
        let members = self.count_priorities_again();
        let waits = |pod: &Pod| pod.record.priority.is_none() && pod.place.is_none() && self.is_ours(pod);
        let pods = self.cluster.pods.iter().filter(|(_, pod)| waits(pod));
        let entities: BTreeSet<Entity> = pods.map(|(id, _)| self.entity_of(id)).collect();
        for entity in entities {
            let (urgency, _) = self.urgency_and_size(entity);
            self.queue.reprioritize(entity, urgency);
            if self.cluster.has_promises() && self.queue.section(entity) == Some(crate::Section::Unschedulable) {
                // Nodes that are promised to pods of its old priority stand open to it now.
                self.queue.wake(now, entity, "UnscheduledPodUpdate");
            }
        }
        for group in members {
            let Some(known) = self.groups.get(group) else { continue };
            let was_held = known.stance == Some(Stance::Held);
            if self.groups.ready(known).is_err() != was_held {
                self.evaluate_group(now, group, None, "UnscheduledPodUpdate");
            }
        }
    }

    fn apply_node(&mut self, now: Time, record: &NodeRecord, seen: u32) {
        if !self
            .cluster
            .nodes
            .apply(&record.name, record.resource_version, seen, ())
        {
            return;
        }
        let known = self.cluster.table.by_name(&record.name);
        let old_labels = known
            .map(|node| self.cluster.table.labels(node).clone())
            .unwrap_or_default();
        let applied = self.cluster.apply_node(record);
        self.look_at_lost_node(now, &record.name);
        self.look_at_places_on(now, &record.name);
        self.look_at_preparations(now);
        if applied.added {
            self.wake(now, &ClusterEvent::NodeAdd(applied.node), "NodeAdd");
        } else if applied.changes.any() {
            let event = ClusterEvent::NodeUpdate {
                node: applied.node,
                changes: applied.changes,
                old_labels,
            };
            self.wake(now, &event, update_label(applied.changes));
        }
    }

    fn delete_node(&mut self, now: Time, name: &Text) {
        let Some(node) = self.cluster.table.by_name(name) else {
            return;
        };
        let had_anti_affinity = self.cluster.table.has_anti_affinity_on(node);
        let labels = self.cluster.table.labels(node).clone();
        self.planning_loses_node(node);
        self.cluster.delete_node(name);
        self.look_at_lost_node(now, name);
        self.node_is_gone(now, name);
        self.look_at_preparations(now);
        let event = ClusterEvent::NodeDelete {
            labels,
            had_anti_affinity,
        };
        self.wake(now, &event, "NodeDelete");
    }
}

/// Upstream's name of a node update; of several changes the first in upstream's order.
fn update_label(changes: NodeChanges) -> &'static str {
    match changes {
        NodeChanges { allocatable: true, .. } => "NodeUpdateNodeAllocatable",
        NodeChanges { labels: true, .. } => "NodeUpdateNodeLabel",
        _ => "NodeUpdateNodeTaint",
    }
}

/// Whether selectors see a pod that is known otherwise than they saw `old`.
fn seen_differently(old: &PodFacts, cluster: &Cluster, id: PodId) -> bool {
    let new = cluster.pods.get(id).map(|pod| &pod.record);
    new.is_some_and(|new| old.labels != new.labels || old.terminating != new.terminating)
}

/// Upstream's name of a change of a storage object. Source: `k8s.io/kube-scheduler/framework.ClusterEvent.Label`.
fn storage_label(event: StorageEvent) -> &'static str {
    use ObjectChange::{Added, Removed, Updated};
    match (event.kind, event.change) {
        (Kind::PersistentVolume, Added) => "PersistentVolumeAdd",
        (Kind::PersistentVolume, Updated) => "PersistentVolumeUpdate",
        (Kind::PersistentVolume, Removed) => "PersistentVolumeDelete",
        (Kind::PersistentVolumeClaim, Added) => "PersistentVolumeClaimAdd",
        (Kind::PersistentVolumeClaim, Updated) => "PersistentVolumeClaimUpdate",
        (Kind::PersistentVolumeClaim, Removed) => "PersistentVolumeClaimDelete",
        (Kind::StorageClass, Added) => "storage.k8s.io/StorageClassAdd",
        (Kind::StorageClass, Updated) => "storage.k8s.io/StorageClassUpdate",
        (Kind::StorageClass, Removed) => "storage.k8s.io/StorageClassDelete",
        (Kind::CsiNode, Added) => "storage.k8s.io/CSINodeAdd",
        (Kind::CsiNode, Updated) => "storage.k8s.io/CSINodeUpdate",
        (Kind::CsiNode, Removed) => "storage.k8s.io/CSINodeDelete",
        (Kind::CsiDriver, Added) => "storage.k8s.io/CSIDriverAdd",
        (Kind::CsiDriver, Updated) => "storage.k8s.io/CSIDriverUpdate",
        (Kind::CsiDriver, Removed) => "storage.k8s.io/CSIDriverDelete",
        (Kind::CsiStorageCapacity, Added) => "storage.k8s.io/CSIStorageCapacityAdd",
        (Kind::CsiStorageCapacity, Updated) => "storage.k8s.io/CSIStorageCapacityUpdate",
        (Kind::CsiStorageCapacity, Removed) => "storage.k8s.io/CSIStorageCapacityDelete",
        (_, Added) => "storage.k8s.io/VolumeAttachmentAdd",
        (_, Updated) => "storage.k8s.io/VolumeAttachmentUpdate",
        (_, Removed) => "storage.k8s.io/VolumeAttachmentDelete",
    }
}

// ---- pods --------------------------------------------------------------------------------------------------------

impl Engine {
    pub(crate) fn apply_pod(&mut self, now: Time, record: PodRecord, seen: u32) {
        let Some(id) = self.cluster.pods.id(&record.uid) else {
            let id = self.add_pod(record, seen);
            self.settle(now, id, true, "UnscheduledPodAdd");
            return;
        };
        let Some(pod) = self.cluster.pods.get_mut(id) else {
            return;
        };
        // A list begun since then shows it: it is there after all.
        pod.gone &= pod.seen == seen;
        pod.seen = seen;
        if is_stale(record.resource_version, pod.record.resource_version) {
            return;
        }
        let (mut facts, condition) = PodFacts::of(record);
        self.pipeline.drop_promise_of_held(&mut facts);
        if pod.report.writing.is_none() && pod.report.written != condition {
            pod.report.written = condition;
            if pod.report.wanted.is_some() && pod.report.wanted != pod.report.written {
                // A write that was given up has been stored late, or another has written. Or this is from before our own
                // last write: so not at once.
                pod.report.write_after = now + RETRY_AFTER;
                self.timers.insert((now + RETRY_AFTER, Timer::WriteAgain(id)));
            }
        }
        let promised = self.cluster.promised_to(id);
        let Some(old) = self.cluster.replace(id, facts) else {
            return;
        };
        let promised = promised.filter(|node| self.cluster.promised_to(id) != Some(*node));
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let new = &pod.record;
        let charged = pod.place.as_ref().and_then(|place| place.charged);
        let changed = old.spec != new.spec
            || old.labels != new.labels
            || old.scheduling_gates() != new.scheduling_gates()
            || old.priority != new.priority
            || old.terminating != new.terminating
            || old.group() != new.group()
            || old.group_terms() != new.group_terms()
            || old.scheduler_name != new.scheduler_name;
        let is_turned_away = old.turned_away().is_none() && new.turned_away().is_some();
        if let Some(node) = charged.filter(|_| old.charge() != new.charge()) {
            let event = ClusterEvent::AssignedPodScaleDown(node);
            self.wake(now, &event, "AssignedPodUpdatePodScaleDown");
        }
        if let Some(node) = charged
            && (seen_differently(&old, &self.cluster, id) && self.cluster.table.looks_at_pods())
        {
            let new = self.cluster.pods.get(id).map(|pod| self.event_pod(&pod.record));
            if let Some(new) = new {
                let old = self.event_pod(&old);
                let event = ClusterEvent::AssignedPodUpdate { node, old, new };
                self.wake(now, &event, "AssignedPodUpdatePodLabel");
            }
        }
        self.follow_link(
            now,
            id,
            old.group() != self.cluster.pods.get(id).and_then(|pod| pod.record.group()),
        );
        self.settle(now, id, changed, "UnscheduledPodUpdate");
        if is_turned_away {
            self.turned_away(id);
        }
        let place = self.cluster.pods.get(id).and_then(|pod| pod.place.as_ref());
        let promised = promised.filter(|node| place.is_none_or(|place| place.charged != Some(*node)));
        self.wake_for_room(now, id, promised);
    }

    fn add_pod(&mut self, record: PodRecord, seen: u32) -> PodId {
        let (mut facts, condition) = PodFacts::of(record);
        self.pipeline.drop_promise_of_held(&mut facts);
        let shape = self.cluster.acquire_shape(&mut facts);
        let pod = Pod {
            record: facts,
            shape,
            group: None,
            place: None,
            gone: false,
            seen,
            report: LazyReport::that_says(condition),
            default_selection: DefaultSelection::default(),
        };
        let id = self.cluster.pods.insert(pod);
        self.cluster.index_nomination(id);
        self.join_group(id);
        id
    }

    /// Makes a pod a member of the group that it names, if it names one; what it is to it is found out later.
    fn join_group(&mut self, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let Some(link) = pod.record.group().cloned() else {
            return;
        };
        let key = GroupKey {
            namespace: pod.record.namespace.clone(),
            link,
        };
        let member = Member {
            role: Role::Lost,
            bound: false,
            running: pod.record.running,
            failed: pod.record.phase == PodPhase::Failed,
            scheduler: pod.record.scheduler_name.clone(),
            priority: self.cluster.priority(&pod.record),
            terms: pod.record.group_terms().cloned(),
        };
        let group = self.groups.join(key, id, member);
        if let Some(pod) = self.cluster.pods.get_mut(id) {
            pod.group = Some((group, Role::Lost));
        }
    }

    fn leave_group(&mut self, now: Time, id: PodId) {
        let Some((group, _)) = self.cluster.pods.get_mut(id).and_then(|pod| pod.group.take()) else {
            return;
        };
        self.leave(now, group, id);
    }

    /// A pod is no member of a group any more.
    fn leave(&mut self, now: Time, group: GroupId, id: PodId) {
        if self.groups.leave(group, id) {
            self.forget_planning(group);
            self.retries.forget_group(group);
            self.gang_is_whole(group);
            self.queue.remove(Entity::Group(group));
        } else {
            self.evaluate_group(now, group, Some(id), "UnscheduledPodDelete");
        }
    }

    /// A pod has changed: what its group counts of it does, too. A link that stands in labels may lead to another group now,
    /// and a place that was found for a member of the old one is no place for a member of the new one.
    fn follow_link(&mut self, now: Time, id: PodId, relinked: bool) {
        if relinked {
            let place = self.cluster.pods.get(id).and_then(|pod| pod.place.as_ref());
            let stage = place.and_then(|place| place.bind).map(|bind| bind.stage);
            if matches!(
                stage,
                Some(BindStage::Preparing | BindStage::Ready | BindStage::Leaving)
            ) {
                self.give_back(now, id);
            }
            self.queue.remove(Entity::Pod(id));
            self.leave_group(now, id);
            return self.join_group(id);
        }
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let Some((group, _)) = pod.group else { return };
        let record = &pod.record;
        let (running, failed) = (record.running, record.phase == PodPhase::Failed);
        let (scheduler, terms) = (record.scheduler_name.clone(), record.group_terms().cloned());
        let priority = self.cluster.priority(record);
        self.groups.change(group, id, |member| {
            member.running = running;
            member.failed = failed;
            member.scheduler = scheduler;
            member.priority = priority;
            member.terms = terms;
        });
    }

    /// Counts the priorities of members that admission has not filled in; gives the groups for which they are others now.
    fn count_priorities_again(&mut self) -> BTreeSet<GroupId> {
        let without = self
            .cluster
            .pods
            .iter()
            .filter(|(_, pod)| pod.record.priority.is_none());
        let members: Vec<(PodId, GroupId, i32)> = without
            .filter_map(|(id, pod)| Some((id, pod.group?.0, self.cluster.priority(&pod.record))))
            .collect();
        let mut groups = BTreeSet::new();
        for (id, group, priority) in members {
            let member = self.groups.get(group).and_then(|group| group.members.get(&id));
            if member.is_some_and(|member| member.priority != priority) {
                self.groups.change(group, id, |member| member.priority = priority);
                groups.insert(group);
            }
        }
        groups
    }

    /// Brings a pod where its record says that it belongs: on a node, in the queue, or nowhere.
    fn settle(&mut self, now: Time, id: PodId, changed: bool, event: &'static str) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let old_role = pod.group.map(|(_, role)| role);
        let mut new_on = None;
        let role = if pod.record.phase != PodPhase::Active {
            let succeeded = pod.record.phase == PodPhase::Succeeded;
            self.avoid_who_turned_away(now, id);
            self.give_back(now, id);
            if succeeded { Role::Succeeded } else { Role::Lost }
        } else if let Some(node) = pod.record.node_name.clone() {
            new_on = self.assign(now, id, &node).then_some(node);
            self.role_with_node(id)
        } else if self.keeps_place(id) {
            self.role_with_node(id)
        } else {
            self.give_back(now, id);
            self.role_without_node(id)
        };
        self.set_role(id, role);
        if role == Role::Lost {
            self.member_is_lost(now, id);
        }
        if self.cluster.pods.get(id).is_some_and(Pod::is_bound) {
            self.member_is_bound(now, id);
        }
        if changed || role != Role::Pending {
            // What extenders were asked about is not what it was.
            self.end_consultation(id);
        }
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        match group {
            Some((group, _)) if changed || old_role != Some(role) => self.evaluate_group(now, group, Some(id), event),
            Some((group, _)) => self.compare_group_status(now, group),
            None => self.requeue(now, id, role, changed, event),
        }
        if matches!(role, Role::Gated | Role::Unsupported) {
            self.report_unsupported(now, id);
        } else if self.cluster.pods.get(id).is_some_and(Pod::is_bound) {
            self.queue.remove(Entity::Pod(id));
        }
        if let Some(node) = new_on {
            self.look_at_places_on(now, &node);
        }
    }

    /// A member that is being deleted keeps its room until it is gone, and counts for nothing: its replacement must not
    /// take it for one of those that it starts with.
    fn role_with_node(&self, id: PodId) -> Role {
        let terminating = self.cluster.pods.get(id).is_none_or(|pod| pod.record.terminating);
        if terminating { Role::Lost } else { Role::Placed }
    }

    pub(crate) fn role_without_node(&self, id: PodId) -> Role {
        let Some(pod) = self.cluster.pods.get(id) else {
            return Role::Lost;
        };
        if pod.record.terminating || pod.gone {
            Role::Lost
        } else if !self.is_ours(pod) {
            Role::Foreign
        } else if self.is_gated(&pod.record) {
            Role::Gated
        } else if !pod.record.spec.unsupported.is_empty() {
            Role::Unsupported
        } else {
            Role::Pending
        }
    }

    fn is_gated(&self, record: &PodFacts) -> bool {
        let profile = self.pipeline.profile_of(&record.scheduler_name);
        profile.is_some_and(|profile| self.pipeline.held_by(profile, &record.to_enqueue()).is_some())
    }

    fn report_unsupported(&mut self, now: Time, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        if !pod.record.spec.unsupported.is_empty() {
            let message = diagnosis::unsupported(&pod.record.spec.unsupported);
            self.want(now, id, diagnosis::NOT_READY, message, true);
        }
    }

    /// Whether a pod that the record shows without a node keeps the place that we gave it: a bind is on its way, or the
    /// server has said that it is bound and nothing newer says otherwise.
    fn keeps_place(&self, id: PodId) -> bool {
        let Some(place) = self.cluster.pods.get(id).and_then(|pod| pod.place.as_ref()) else {
            return false;
        };
        match place.bind.map(|bind| bind.stage) {
            // Nothing has been told to anybody yet: what may not be tried now need not be bound in the end.
            Some(BindStage::Preparing | BindStage::Ready | BindStage::Leaving) => {
                self.role_without_node(id) == Role::Pending
            }
            Some(BindStage::Sent) => true,
            Some(BindStage::Reading { lists_begun, .. } | BindStage::Confirmed { lists_begun }) => {
                self.lists[Kind::Pod as usize].begun == lists_begun
            }
            None => false,
        }
    }

    /// The API server shows the pod on a node. Says whether it was not there before.
    fn assign(&mut self, now: Time, id: PodId, node: &Text) -> bool {
        let Some(pod) = self.cluster.pods.get_mut(id) else {
            return false;
        };
        pod.report.end();
        let unsent = pod.stage().is_some_and(BindStage::is_unsent);
        self.retries.forget(id);
        let Some(pod) = self.cluster.pods.get(id) else {
            return false;
        };
        let was_on = pod.place.as_ref().map(|place| place.node_name == *node);
        match was_on {
            Some(true) => {
                let stage = self.cluster.pods.get(id).and_then(Pod::stage);
                self.end_bind(now, id);
                self.cluster.confirm(id);
                let announced = matches!(
                    stage,
                    None | Some(BindStage::Confirmed { .. } | BindStage::Reading { announced: true, .. })
                );
                if !announced {
                    self.announce_bound(now, id);
                }
            }
            Some(false) => {
                self.give_back(now, id);
                self.cluster.place(id, node, None);
                self.wake_for_company(now, id);
            }
            None => {
                self.cluster.place(id, node, None);
                self.wake_for_company(now, id);
            }
        }
        // It was not ready, and is bound: that may make the others of its gang enough.
        if unsent && let Some((group, _)) = self.cluster.pods.get(id).and_then(|pod| pod.group) {
            self.set_role(id, Role::Placed);
            self.look_at_departures(now, group);
        }
        was_on != Some(true)
    }

    /// A pod is on a node that it was not on: wakes who waits for company.
    pub(crate) fn wake_for_company(&mut self, now: Time, id: PodId) {
        let Some(pod) = self.cluster.pods.get(id) else { return };
        let Some(node) = pod.place.as_ref().and_then(|place| place.charged) else {
            return;
        };
        let namespace = self.cluster.namespaces.get(&pod.record.namespace);
        if self.cluster.table.is_counted(&pod.identity(namespace)) {
            let pod = self.event_pod(&pod.record);
            self.wake(now, &ClusterEvent::AssignedPodAdd { node, pod }, "AssignedPodAdd");
        }
    }

    /// Takes a pod off its node, if it has one, and wakes who could use the room.
    pub(crate) fn give_back(&mut self, now: Time, id: PodId) {
        self.end_bind(now, id);
        let place = self.cluster.unplace(id);
        if place.as_ref().is_some_and(|place| place.bind.is_some()) {
            // From here on it does not count for its gang; the caller knows what it is instead.
            self.set_role(id, Role::Lost);
        }
        self.wake_for_room(now, id, place.and_then(|place| place.charged));
    }

    /// A pod left a node, or a node is not kept for a pod any more: wakes who could use the room.
    ///
    /// Source: `pkg/scheduler.deletePodFromSchedulingQueue`.
    pub(crate) fn wake_for_room(&mut self, now: Time, id: PodId, node: Option<NodeOrd>) {
        let (Some(node), Some(pod)) = (node, self.cluster.pods.get(id)) else {
            return;
        };
        let pod = self.event_pod(&pod.record);
        self.wake(now, &ClusterEvent::AssignedPodDelete { node, pod }, "AssignedPodDelete");
    }

    pub(crate) fn delete_pod(&mut self, now: Time, id: PodId) {
        let promised = self.cluster.promised_to(id);
        self.cluster.unindex_nomination(id);
        self.wake_for_room(now, id, promised);
        self.give_back(now, id);
        self.end_consultation(id);
        self.retries.forget(id);
        self.queue.remove(Entity::Pod(id));
        self.unreported.remove(&id);
        self.member_is_lost(now, id);
        let group = self.cluster.pods.get(id).and_then(|pod| pod.group);
        self.cluster.forget(id);
        if let Some((group, _)) = group {
            self.leave(now, group, id);
        }
    }

    /// Puts a pod that is in no gang where its role says.
    pub(crate) fn requeue(&mut self, now: Time, id: PodId, role: Role, changed: bool, event: &'static str) {
        let entity = Entity::Pod(id);
        match role {
            Role::Pending => {
                let section = self.queue.section(entity);
                // Answers of extenders bring back what waits for them.
                let is_lost = section.is_none() && !self.is_consulting(id);
                if is_lost || changed || section == Some(crate::Section::Gated) {
                    let urgency = self.urgency_of_pod(id);
                    self.queue.enqueue(now, entity, urgency, 1, event);
                }
            }
            Role::Gated | Role::Unsupported => self.queue.gate(now, entity, 1, event),
            Role::Placed if !self.cluster.pods.get(id).is_some_and(Pod::is_bound) => {}
            _ => self.queue.remove(entity),
        }
    }
}

// ---- groups ------------------------------------------------------------------------------------------------------

impl Engine {
    /// Puts a group where its members and its policy say. `trigger` is the member that changed; without one, the policy
    /// or the membership did, and every member is looked at.
    pub(crate) fn evaluate_group(&mut self, now: Time, id: GroupId, trigger: Option<PodId>, event: &'static str) {
        let Some(group) = self.groups.get(id) else { return };
        let ready = self.groups.ready(group);
        let stance = match &ready {
            Err(_) => Stance::Held,
            Ok(GroupPolicy::Basic) => Stance::OneByOne,
            Ok(GroupPolicy::Gang { .. }) => Stance::AsOne,
        };
        let before = group.stance;
        // Who was queued alone is looked at when that ends or begins; else only who changed.
        let alone = before != Some(stance) && [before, Some(stance)].contains(&Some(Stance::OneByOne));
        let looked_at = self.pending_of(id, trigger.filter(|_| !alone));
        if let Some(group) = self.groups.get_mut(id) {
            group.stance = Some(stance);
        }
        match ready {
            Err(hold) => self.hold_group(now, id, &looked_at, (hold, before != Some(stance)), event),
            Ok(GroupPolicy::Basic) => self.release_members(now, id, &looked_at, trigger, event),
            Ok(GroupPolicy::Gang { .. }) => self.queue_gang(now, id, &looked_at, trigger, event),
        }
        self.look_at_departures(now, id);
        self.look_at_broken(now, id);
        if let Some(pod) = trigger
            && self.groups.get(id).is_some_and(|group| !group.pending.contains(&pod))
        {
            let role = self
                .cluster
                .pods
                .get(pod)
                .and_then(|pod| pod.group)
                .map_or(Role::Lost, |(_, role)| role);
            self.requeue(now, pod, role, false, event);
        }
        self.compare_group_status(now, id);
    }

    fn hold_group(
        &mut self,
        now: Time,
        id: GroupId,
        looked_at: &[PodId],
        (hold, is_new): (Hold, bool),
        event: &'static str,
    ) {
        self.forget_planning(id);
        self.has_recovered(id);
        for pod in looked_at {
            self.queue.remove(Entity::Pod(*pod));
        }
        if is_new && !self.consultations.is_empty() {
            // Nobody knows how old their answers are when the group may be tried again.
            for pod in self.pending_of(id, None) {
                self.end_consultation(pod);
            }
        }
        let Some(group) = self.groups.get(id) else { return };
        let size = group.pending.len() as u32;
        let is_broken = self.groups.quorum(group).is_some_and(|quorum| group.is_broken(quorum));
        if size == 0 {
            self.queue.remove(Entity::Group(id));
        } else {
            self.queue.gate(now, Entity::Group(id), size, event);
        }
        if is_new && let Some(group) = self.groups.get_mut(id) {
            // Who came while it could be tried has been told nothing.
            group.report.untold = true;
        }
        if size > 0 || is_broken {
            self.group_is_held(now, id, hold, looked_at);
        } else {
            self.group_waits_no_more(id);
        }
    }

    fn release_members(
        &mut self,
        now: Time,
        id: GroupId,
        looked_at: &[PodId],
        trigger: Option<PodId>,
        event: &'static str,
    ) {
        self.forget_planning(id);
        self.group_waits_no_more(id);
        self.queue.remove(Entity::Group(id));
        for pod in looked_at {
            self.requeue(now, *pod, Role::Pending, trigger == Some(*pod), event);
        }
    }

    fn queue_gang(&mut self, now: Time, id: GroupId, looked_at: &[PodId], trigger: Option<PodId>, event: &'static str) {
        for pod in looked_at {
            self.queue.remove(Entity::Pod(*pod));
        }
        let Some(group) = self.groups.get(id) else { return };
        if group.pending.is_empty() {
            self.forget_planning(id);
            self.queue.remove(Entity::Group(id));
            return self.group_may_be_tried(id);
        }
        self.group_may_be_tried(id);
        if self.is_planning(id) {
            // The plan goes on without the member; it is looked at when the plan is finished.
            return self.disturb_planning(trigger);
        }
        let (urgency, size) = self.urgency_and_size(Entity::Group(id));
        self.queue.enqueue(now, Entity::Group(id), urgency, size, event);
    }

    /// The members that are to be looked at: the one that changed if it is pending, or all that are.
    fn pending_of(&self, id: GroupId, trigger: Option<PodId>) -> Vec<PodId> {
        let Some(group) = self.groups.get(id) else {
            return Vec::new();
        };
        match trigger {
            Some(pod) => group.pending.get(&pod).copied().into_iter().collect(),
            None => group.pending.iter().copied().collect(),
        }
    }
}
