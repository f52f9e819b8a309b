//! The store: every object of a storage kind, and what plugins look things up by. Objects may come in any order.

use super::assumed::{Assumed, Reservation};
use super::attachable::Attachable;
use super::claims::{ClaimOrd, Claims};
use super::node_label_index::{NodeLabelIndex, Rank, required_of, required_of_terms};
use super::on_node::{NodeStorage, Nodes, attachable_in_tree, is_exclusive_disk};
use super::{
    AttachmentRecord, ClaimRecord, CsiDriverRecord, CsiNodeRecord, StorageCapacityRecord, StorageClassRecord,
    StorageObject, VolumePhase, VolumeRecord, VolumeSource, key_hash,
};
use crate::Text;
use crate::event::{ObjectChange, StorageEvent};
use crate::labels::Labels;
use crate::record::{ClaimKey, Kind, PodVolume, ResourceVersion};
use crate::table::NodeOrd;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// Everything about storage that plugins read.
#[derive(Debug, Default)]
pub struct Volumes {
    pub(super) claims: Claims,
    volumes: FxHashMap<Text, Arc<VolumeRecord>>,
    /// What counts as a volume, by the volume's name, whether that is there or not.
    dependents: FxHashMap<Text, Dependents>,
    /// Volumes by the claim that they are reserved for.
    reserved: FxHashMap<ClaimKey, SmallVec<[Text; 1]>>,
    /// Volumes that any claim may take, by class.
    free: FxHashMap<Text, NodeLabelIndex<Arc<VolumeRecord>>>,
    classes: FxHashMap<Text, StorageClassRecord>,
    csi_drivers: FxHashMap<Text, CsiDriverRecord>,
    capacities: FxHashMap<(Text, Text), Arc<StorageCapacityRecord>>,
    capacities_of_class: FxHashMap<Text, NodeLabelIndex<Arc<StorageCapacityRecord>>>,
    attachments: FxHashMap<Text, AttachmentRecord>,
    pub(super) nodes: Nodes,
    pub(super) assumed: Assumed,
    pub(super) reservations: FxHashMap<Text, Reservation>,
}

/// What counts as a volume.
#[derive(Debug, Default)]
struct Dependents {
    claims: SmallVec<[ClaimOrd; 1]>,
    attachments: SmallVec<[Text; 1]>,
}

/// What became of one object: what [`StorageEvent`] tells, but for the node.
pub(super) fn event_of(kind: Kind, change: ObjectChange, namespace: &str, name: &str) -> StorageEvent {
    StorageEvent {
        kind,
        change,
        key_hash: key_hash(namespace, name),
        node: None,
    }
}

// ---- reading -----------------------------------------------------------------------------------------------------

impl Volumes {
    /// Whether nothing is known of storage, in use or assumed: nothing is kept of what has gone.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
            && self.volumes.is_empty()
            && self.dependents.is_empty()
            && self.reserved.is_empty()
            && self.free.is_empty()
            && self.classes.is_empty()
            && self.csi_drivers.is_empty()
            && self.capacities.is_empty()
            && self.capacities_of_class.is_empty()
            && self.attachments.is_empty()
            && self.nodes.is_empty()
            && self.assumed.is_empty()
            && self.reservations.is_empty()
    }

    /// Every object that is there, as it was last seen: nothing that is assumed is in it. In no order that means anything.
    pub fn objects(&self) -> impl Iterator<Item = StorageObject> {
        let claims = self.claims.iter().filter_map(|(_, entry)| entry.record.as_deref());
        let claims = claims.map(|claim| StorageObject::Claim(Box::new(claim.clone())));
        let volumes = self.volumes.values();
        let volumes = volumes.map(|volume| StorageObject::Volume(Box::new((**volume).clone())));
        let capacities = self.capacities.values();
        self.classes
            .values()
            .cloned()
            .map(StorageObject::Class)
            .chain(self.csi_drivers.values().cloned().map(StorageObject::CsiDriver))
            .chain(self.nodes.csi_nodes().cloned().map(StorageObject::CsiNode))
            .chain(capacities.map(|capacity| StorageObject::Capacity((**capacity).clone())))
            .chain(self.attachments.values().cloned().map(StorageObject::Attachment))
            .chain(volumes)
            .chain(claims)
    }

    /// A claim, if it is there.
    pub fn claim(&self, key: &ClaimKey) -> Option<&ClaimRecord> {
        self.claims.by_key(key)?.record.as_deref()
    }

    /// A volume, if it is there.
    pub fn volume(&self, name: &str) -> Option<&VolumeRecord> {
        self.volumes.get(name).map(|volume| &**volume)
    }

    /// A storage class, if it is there.
    pub fn class(&self, name: &str) -> Option<&StorageClassRecord> {
        self.classes.get(name)
    }

    /// A CSI driver, if it is there.
    pub fn csi_driver(&self, name: &str) -> Option<&CsiDriverRecord> {
        self.csi_drivers.get(name)
    }

    /// What the CSI drivers on a node say of it.
    pub fn csi_node(&self, node: NodeOrd) -> Option<&CsiNodeRecord> {
        self.nodes.of(node)?.csi_node.as_ref()
    }

    /// What the volume of a claim counts as where drivers limit volumes; None: nothing, or the claim is not there.
    pub fn attachable(&self, claim: &ClaimKey) -> Option<&Attachable> {
        self.claims.by_key(claim)?.attachable.as_ref()
    }

    /// How often pods on nodes name a claim, those not counted for whose `ephemeral` volume it was made.
    pub fn n_named(&self, claim: &ClaimKey) -> u32 {
        self.claims.by_key(claim).map_or(0, |entry| entry.n_named)
    }

    /// The smallest volume of a class, of those with at least `request` bytes that wait for a claim and that `accept`
    /// takes; of equals the first by name. `accept` is offered those that may be meant for a node with these labels, and
    /// has to look whether they are.
    pub fn smallest_free_volume<'s>(
        &'s self,
        class: &str,
        labels: &Labels,
        request: i64,
        mut accept: impl FnMut(&'s VolumeRecord) -> bool,
    ) -> Option<&'s VolumeRecord> {
        let free = self.free.get(class)?;
        let found = free.first(labels, request, |volume| accept(volume));
        found.map(|volume| &**volume)
    }

    /// The volumes whose own `claimRef` names a claim.
    pub fn reserved_for(&self, claim: &ClaimKey) -> impl Iterator<Item = &VolumeRecord> {
        let names = self.reserved.get(claim).into_iter().flatten();
        names.filter_map(|name| self.volume(name))
    }

    /// A capacity of a class that `accept` takes, the first by name. `accept` is offered those that may be meant for a node
    /// with these labels, and has to look whether they are.
    pub fn capacity(
        &self,
        class: &str,
        labels: &Labels,
        mut accept: impl FnMut(&StorageCapacityRecord) -> bool,
    ) -> Option<&StorageCapacityRecord> {
        let capacities = self.capacities_of_class.get(class)?;
        capacities
            .first(labels, 0, |capacity| accept(capacity))
            .map(|capacity| &**capacity)
    }

    /// Nodes on which pods name disks that may exclude each other, in no order that means anything.
    pub fn nodes_with_disks(&self) -> impl Iterator<Item = NodeOrd> {
        self.nodes.with_disks()
    }

    /// Disks that pods on a node name and that may exclude each other, one entry for each mention.
    pub fn disks(&self, node: NodeOrd) -> &[PodVolume] {
        self.nodes.of(node).map_or(&[], |storage| &storage.disks)
    }
}

// ---- pods and nodes come and go ----------------------------------------------------------------------------------

impl Volumes {
    /// A node has come into the table.
    pub(crate) fn node_added(&mut self, node: NodeOrd, name: &Text) {
        self.nodes.node_added(node, name);
    }

    /// A node has left the table.
    pub(crate) fn node_removed(&mut self, name: &str) {
        self.nodes.node_removed(name);
    }

    /// A pod with these volumes has come to a node.
    pub(crate) fn add_pod(&mut self, name: &Text, volumes: &[PodVolume]) {
        for volume in volumes {
            if let PodVolume::Claim { claim, ephemeral } = volume {
                let ord = self.claims.change(claim, |entry| {
                    entry.n_mentions += 1;
                    entry.n_named += u32::from(!ephemeral);
                });
                self.nodes.change(name, |storage| {
                    match storage.claims.iter_mut().find(|(o, _)| *o == ord) {
                        Some((_, count)) => *count += 1,
                        None => storage.claims.push((ord, 1)),
                    }
                });
            } else {
                self.nodes.change(name, |storage| {
                    if is_exclusive_disk(volume) {
                        storage.disks.push(volume.clone());
                    }
                    storage.in_tree.extend(attachable_in_tree(volume));
                });
            }
        }
    }

    /// A pod with these volumes has left a node: the exact reverse of [`Volumes::add_pod`].
    pub(crate) fn remove_pod(&mut self, name: &Text, volumes: &[PodVolume]) {
        for volume in volumes {
            if let PodVolume::Claim { claim, ephemeral } = volume {
                let ord = self.claims.change(claim, |entry| {
                    entry.n_mentions = entry.n_mentions.saturating_sub(1);
                    entry.n_named = entry.n_named.saturating_sub(u32::from(!ephemeral));
                });
                self.nodes.change(name, |storage| {
                    if let Some(at) = storage.claims.iter().position(|(o, _)| *o == ord) {
                        storage.claims[at].1 -= 1;
                        if storage.claims[at].1 == 0 {
                            storage.claims.swap_remove(at);
                        }
                    }
                });
            } else {
                self.nodes.change(name, |storage| {
                    take_one(&mut storage.disks, volume);
                    if let Some(attachable) = attachable_in_tree(volume) {
                        take_one(&mut storage.in_tree, &attachable);
                    }
                });
            }
        }
    }
}

fn take_one<T: PartialEq>(all: &mut Vec<T>, one: &T) {
    if let Some(at) = all.iter().position(|other| other == one) {
        all.swap_remove(at);
    }
}

// ---- objects come, change and go ---------------------------------------------------------------------------------

impl Volumes {
    /// Adds an object or changes it. None: nothing has changed that plugins read.
    pub fn apply(&mut self, object: StorageObject) -> Option<StorageEvent> {
        let kind = object.kind();
        let (namespace, name, _) = object.identity();
        let mut node = None;
        let change = match object {
            StorageObject::Volume(record) => self.apply_volume(*record),
            StorageObject::Claim(record) => self.apply_claim(*record),
            StorageObject::Class(record) => self.apply_class(record),
            StorageObject::CsiDriver(record) => replace(&mut self.csi_drivers, name.clone(), record),
            StorageObject::Capacity(record) => self.apply_capacity(record),
            StorageObject::CsiNode(record) => {
                node = self.nodes.ord(&record.name);
                self.apply_csi_node(record)
            }
            StorageObject::Attachment(record) => {
                node = self.nodes.ord(&record.node_name);
                self.apply_attachment(record)
            }
        };
        let event = event_of(kind, change?, &namespace, &name);
        Some(StorageEvent { node, ..event })
    }

    /// Takes an object out. `namespace` is empty where its kind has none. None: it was not there.
    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) -> Option<StorageEvent> {
        let mut event = event_of(kind, ObjectChange::Removed, namespace, name);
        match kind {
            Kind::PersistentVolume => self.remove_volume(name)?,
            Kind::PersistentVolumeClaim => self.remove_claim(&ClaimKey {
                namespace: namespace.into(),
                name: name.into(),
            })?,
            Kind::StorageClass => {
                self.classes.remove(name)?;
                self.recount_class(name);
            }
            Kind::CsiDriver => drop(self.csi_drivers.remove(name)?),
            Kind::CsiStorageCapacity => self.remove_capacity(namespace, name)?,
            Kind::CsiNode => {
                event.node = self.nodes.ord(name);
                let gone = self.nodes.change(&name.into(), |storage| storage.csi_node.take());
                gone?;
            }
            Kind::VolumeAttachment => {
                let record = self.attachments.get(name)?;
                event.node = self.nodes.ord(&record.node_name);
                self.remove_attachment(name)?;
            }
            _ => return None,
        }
        Some(event)
    }

    fn apply_volume(&mut self, record: VolumeRecord) -> Option<ObjectChange> {
        let name = record.name.clone();
        let old = self.volumes.get(&name).cloned();
        if let Some(old) = &old {
            self.unindex_volume(old);
        }
        self.assumed.volume_seen(&name, Some(record.resource_version));
        let change = change_of(old.as_deref(), &record);
        let record = Arc::new(record);
        if let Some(claim) = &record.claim {
            self.reserved.entry(claim.claim.clone()).or_default().push(name.clone());
        } else if is_free(&record) {
            let free = self.free.entry(record.storage_class.clone()).or_default();
            free.insert(required_by(&record), rank_of(&record), record.clone());
        }
        self.volumes.insert(name.clone(), record);
        self.recount_volume(&name);
        change
    }

    fn remove_volume(&mut self, name: &str) -> Option<()> {
        let record = self.volumes.remove(name)?;
        self.unindex_volume(&record);
        self.assumed.volume_seen(name, None);
        self.recount_volume(name);
        Some(())
    }

    fn unindex_volume(&mut self, record: &VolumeRecord) {
        if let Some(claim) = &record.claim {
            if let Some(names) = self.reserved.get_mut(&claim.claim) {
                names.retain(|name| *name != record.name);
                if names.is_empty() {
                    self.reserved.remove(&claim.claim);
                }
            }
        } else if is_free(record)
            && let Some(free) = self.free.get_mut(&record.storage_class)
        {
            free.remove(required_by(record), &rank_of(record));
            if free.is_empty() {
                self.free.remove(&record.storage_class);
            }
        }
    }

    fn apply_claim(&mut self, record: ClaimRecord) -> Option<ObjectChange> {
        let key = record.key.clone();
        let old = self.claims.by_key(&key).and_then(|entry| entry.record.clone());
        self.assumed.claim_seen(&key, Some(record.resource_version));
        let change = change_of(old.as_deref(), &record);
        let record = Arc::new(record);
        let ord = self.claims.change(&key, |entry| entry.record = Some(record.clone()));
        let old_volume = old.as_ref().map_or("", |old| &old.volume);
        if *old_volume != *record.volume {
            self.depend(old_volume, |dependents| dependents.claims.retain(|o| *o != ord));
            if !record.volume.is_empty() {
                self.depend(&record.volume, |dependents| dependents.claims.push(ord));
            }
        }
        self.recount_claim(ord);
        change
    }

    fn remove_claim(&mut self, key: &ClaimKey) -> Option<()> {
        let record = self.claims.by_key(key)?.record.clone()?;
        let ord = self.claims.change(key, |entry| {
            entry.record = None;
            entry.attachable = None;
        });
        self.depend(&record.volume, |dependents| dependents.claims.retain(|o| *o != ord));
        self.assumed.claim_seen(key, None);
        Some(())
    }

    fn apply_class(&mut self, record: StorageClassRecord) -> Option<ObjectChange> {
        let name = record.name.clone();
        let change = replace(&mut self.classes, name.clone(), record);
        if change.is_some() {
            self.recount_class(&name);
        }
        change
    }

    fn apply_capacity(&mut self, record: StorageCapacityRecord) -> Option<ObjectChange> {
        let key = (record.namespace.clone(), record.name.clone());
        let old = self.capacities.get(&key).cloned();
        let change = change_of(old.as_deref(), &record);
        if let Some(old) = old {
            self.unindex_capacity(&old);
        }
        let record = Arc::new(record);
        let of_class = self
            .capacities_of_class
            .entry(record.storage_class.clone())
            .or_default();
        of_class.insert(required_by_capacity(&record), rank_of_capacity(&record), record.clone());
        self.capacities.insert(key, record);
        change
    }

    fn remove_capacity(&mut self, namespace: &str, name: &str) -> Option<()> {
        let record = self.capacities.remove(&(namespace.into(), name.into()))?;
        self.unindex_capacity(&record);
        Some(())
    }

    fn unindex_capacity(&mut self, record: &StorageCapacityRecord) {
        if let Some(of_class) = self.capacities_of_class.get_mut(&record.storage_class) {
            of_class.remove(required_by_capacity(record), &rank_of_capacity(record));
            if of_class.is_empty() {
                self.capacities_of_class.remove(&record.storage_class);
            }
        }
    }

    fn apply_csi_node(&mut self, record: CsiNodeRecord) -> Option<ObjectChange> {
        let name = record.name.clone();
        self.nodes.change(&name, |storage| {
            let change = change_of(storage.csi_node.as_ref(), &record);
            storage.csi_node = Some(record);
            change
        })
    }

    fn apply_attachment(&mut self, record: AttachmentRecord) -> Option<ObjectChange> {
        let name = record.name.clone();
        let old = self.attachments.get(&name).cloned();
        let change = change_of(old.as_ref(), &record);
        if old.is_some() {
            self.remove_attachment(&name);
        }
        if !record.volume.is_empty() {
            self.depend(&record.volume, |dependents| dependents.attachments.push(name.clone()));
        }
        let counted = self.counted_attachment(&record);
        self.nodes.change(&record.node_name, |storage| {
            storage.attached.push((name.clone(), counted));
        });
        self.attachments.insert(name, record);
        change
    }

    fn remove_attachment(&mut self, name: &str) -> Option<()> {
        let record = self.attachments.remove(name)?;
        self.depend(&record.volume, |dependents| {
            dependents.attachments.retain(|other| **other != *name)
        });
        self.nodes.change(&record.node_name, |storage| {
            storage.attached.retain(|(other, _)| **other != *name);
        });
        Some(())
    }

    /// Changes what depends on a volume; nothing depends on one without a name.
    fn depend(&mut self, volume: &str, change: impl FnOnce(&mut Dependents)) {
        if volume.is_empty() {
            return;
        }
        let dependents = match self.dependents.get_mut(volume) {
            Some(dependents) => dependents,
            None => self.dependents.entry(volume.into()).or_default(),
        };
        change(dependents);
        if dependents.claims.is_empty() && dependents.attachments.is_empty() {
            self.dependents.remove(volume);
        }
    }
}

/// Puts an object in its place; says what that changes.
fn replace<R: Versioned>(all: &mut FxHashMap<Text, R>, name: Text, record: R) -> Option<ObjectChange> {
    let change = change_of(all.get(&name), &record);
    all.insert(name, record);
    change
}

fn is_free(record: &VolumeRecord) -> bool {
    record.claim.is_none() && record.phase == VolumePhase::Available && !record.terminating
}

fn rank_of(record: &VolumeRecord) -> Rank {
    (record.capacity, record.name.clone())
}

fn required_by(record: &VolumeRecord) -> Option<&crate::selector::Requirement> {
    required_of_terms(record.node_affinity.as_deref())
}

/// Capacities are not preferred by size: upstream takes any.
fn rank_of_capacity(record: &StorageCapacityRecord) -> Rank {
    (0, format!("{}/{}", record.namespace, record.name).into())
}

fn required_by_capacity(record: &StorageCapacityRecord) -> Option<&crate::selector::Requirement> {
    required_of(&record.node_topology.as_ref()?.requirements)
}

// ---- what volumes count as ---------------------------------------------------------------------------------------

impl Volumes {
    /// Source: `nodevolumelimits.CSILimits.getCSIDriverInfo`.
    fn counted_claim(&self, claim: &ClaimRecord) -> Option<Attachable> {
        if let Some(volume) = self.volume(&claim.volume) {
            return Attachable::of(&volume.source, &volume.in_tree);
        }
        let class = self.class(claim.storage_class.as_ref()?)?;
        Attachable::to_be_made(&class.provisioner, &claim.key.namespace, &claim.key.name)
    }

    /// Source: `nodevolumelimits.CSILimits.getNodeVolumeAttachmentInfo`: in-tree and inline volumes are left out.
    fn counted_attachment(&self, attachment: &AttachmentRecord) -> Option<Attachable> {
        let volume = self.volume(&attachment.volume)?;
        let VolumeSource::Csi { handle, .. } = &volume.source else {
            return None;
        };
        let source = VolumeSource::Csi {
            driver: attachment.attacher.clone(),
            handle: handle.clone(),
        };
        volume.in_tree.is_empty().then(|| Attachable::of(&source, ""))?
    }

    fn recount_claim(&mut self, ord: ClaimOrd) {
        let record = self.claims.get(ord).and_then(|entry| entry.record.clone());
        let attachable = record.and_then(|record| self.counted_claim(&record));
        self.claims.set_attachable(ord, attachable);
    }

    /// A volume has changed, come or gone: what depends on it is counted anew.
    fn recount_volume(&mut self, volume: &str) {
        let Some(dependents) = self.dependents.get(volume) else {
            return;
        };
        let (claims, attachments) = (dependents.claims.clone(), dependents.attachments.clone());
        claims.into_iter().for_each(|claim| self.recount_claim(claim));
        for name in attachments {
            let Some(record) = self.attachments.get(&name) else {
                continue;
            };
            let (node, counted) = (record.node_name.clone(), self.counted_attachment(record));
            self.nodes.change(&node, |storage| {
                if let Some((_, attached)) = storage.attached.iter_mut().find(|(other, _)| *other == name) {
                    *attached = counted;
                }
            });
        }
    }

    /// A class has changed, come or gone: claims that wait for a volume of it are counted anew.
    fn recount_class(&mut self, class: &str) {
        let of_class = self.claims.iter().filter(|(_, entry)| {
            let stated = entry.record.as_ref().and_then(|record| record.storage_class.as_ref());
            stated.is_some_and(|stated| **stated == *class)
        });
        let of_class: Vec<ClaimOrd> = of_class.map(|(ord, _)| ord).collect();
        of_class.into_iter().for_each(|claim| self.recount_claim(claim));
    }

    /// What the volume of a claim counts as.
    pub(super) fn attachable_of(&self, claim: ClaimOrd) -> Option<&Attachable> {
        self.claims.get(claim)?.attachable.as_ref()
    }

    /// The storage of a node, as pods on it use it.
    pub(super) fn on_node(&self, node: NodeOrd) -> Option<&NodeStorage> {
        self.nodes.of(node)
    }
}

// ---- versions ----------------------------------------------------------------------------------------------------

/// A record with a version.
trait Versioned: PartialEq + Clone {
    fn version(&mut self) -> &mut ResourceVersion;
}

macro_rules! versioned {
    ($($record:ty),*) => {
        $(impl Versioned for $record {
            fn version(&mut self) -> &mut ResourceVersion {
                &mut self.resource_version
            }
        })*
    };
}

versioned!(
    VolumeRecord,
    ClaimRecord,
    StorageClassRecord,
    CsiNodeRecord,
    CsiDriverRecord,
    StorageCapacityRecord,
    AttachmentRecord
);

/// What putting `new` in the place of `old` changes; None: nothing but the version.
fn change_of<R: Versioned>(old: Option<&R>, new: &R) -> Option<ObjectChange> {
    let Some(old) = old else {
        return Some(ObjectChange::Added);
    };
    let (mut old, mut new) = (old.clone(), new.clone());
    *old.version() = 0;
    *new.version() = 0;
    (old != new).then_some(ObjectChange::Updated)
}
