//! Persistent volumes and what is known about them: records of the storage kinds, and the store that plugins read.

use crate::Text;
use crate::labels::Labels;
use crate::record::{ClaimKey, Kind, ResourceVersion};
use crate::selector::{LabelSelector, NodeSelectorTerm};
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

pub mod assumed;
pub mod attachable;
mod claims;
mod node_label_index;
mod on_node;
pub mod on_view;
mod progress;
mod store;

pub use assumed::{BindingState, Bindings, Provision, StaticBinding};
pub use on_node::is_exclusive_disk;
pub use store::Volumes;

/// Ways in which a volume may be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct AccessModes {
    /// `ReadWriteOnce`.
    pub read_write_once: bool,
    /// `ReadOnlyMany`.
    pub read_only_many: bool,
    /// `ReadWriteMany`.
    pub read_write_many: bool,
    /// `ReadWriteOncePod`.
    pub read_write_once_pod: bool,
}

impl AccessModes {
    /// Whether every mode of `wanted` is here.
    pub fn contain(self, wanted: AccessModes) -> bool {
        (self.read_write_once || !wanted.read_write_once)
            && (self.read_only_many || !wanted.read_only_many)
            && (self.read_write_many || !wanted.read_write_many)
            && (self.read_write_once_pod || !wanted.read_write_once_pod)
    }
}

/// Where a volume stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VolumePhase {
    /// Not available yet, or not said.
    #[default]
    Pending,
    /// Free.
    Available,
    /// Bound to a claim.
    Bound,
    /// Its claim is gone.
    Released,
    /// Its reclaiming failed.
    Failed,
}

/// Where a claim stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClaimPhase {
    /// Not bound yet, or not said.
    #[default]
    Pending,
    /// Bound to a volume.
    Bound,
    /// Its volume is gone.
    Lost,
}

/// The claim that a volume is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeClaimRef {
    /// Which claim.
    pub claim: ClaimKey,
    /// Its uid; empty where the volume was reserved by name only.
    pub uid: Text,
}

/// What stands behind a volume, as far as nodes are judged for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum VolumeSource {
    /// A CSI driver, or an in-tree source translated to one.
    Csi {
        /// The driver.
        driver: Text,
        /// The volume's handle, unique within the driver.
        handle: Text,
    },
    /// Anything else.
    #[default]
    Other,
}

/// A persistent volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its name.
    pub name: Text,
    /// `metadata.uid`.
    pub uid: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// Its labels: zones among them.
    pub labels: Labels,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// `spec.capacity.storage`, bytes.
    pub capacity: i64,
    /// `spec.accessModes`.
    pub access_modes: AccessModes,
    /// `spec.volumeMode` is `Block`.
    pub block: bool,
    /// `spec.storageClassName`, or the old annotation; empty: none.
    pub storage_class: Text,
    /// `spec.volumeAttributesClassName`; empty: none.
    pub attributes_class: Text,
    /// `spec.nodeAffinity.required`; None: any node.
    pub node_affinity: Option<Box<[NodeSelectorTerm]>>,
    /// The same once an in-tree source is translated, zones by the CSI driver's own label: what counts on nodes that have
    /// migrated the in-tree plugin. None: no different.
    pub migrated_node_affinity: Option<Box<[NodeSelectorTerm]>>,
    /// `spec.claimRef`.
    pub claim: Option<VolumeClaimRef>,
    /// `status.phase`.
    pub phase: VolumePhase,
    /// What stands behind it.
    pub source: VolumeSource,
    /// The in-tree plugin before translation, such as `kubernetes.io/aws-ebs`; empty for CSI volumes.
    pub in_tree: Text,
    /// It carries the annotation `pv.kubernetes.io/bound-by-controller`.
    pub bound_by_controller: bool,
}

/// A persistent volume claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRecord {
    /// Its namespace and name.
    pub key: ClaimKey,
    /// `metadata.uid`.
    pub uid: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// The uid of the pod that controls it; empty: no pod does.
    pub owner_pod: Text,
    /// `spec.volumeName`; empty: none yet.
    pub volume: Text,
    /// `spec.storageClassName`, or the old annotation; None: not stated.
    pub storage_class: Option<Text>,
    /// `spec.volumeAttributesClassName`; empty: none.
    pub attributes_class: Text,
    /// `spec.accessModes`.
    pub access_modes: AccessModes,
    /// `spec.volumeMode` is `Block`.
    pub block: bool,
    /// `spec.resources.requests.storage`, bytes.
    pub request: i64,
    /// `spec.selector`.
    pub selector: Option<LabelSelector>,
    /// `status.phase`.
    pub phase: ClaimPhase,
    /// It carries the annotation `pv.kubernetes.io/bind-completed`.
    pub bind_completed: bool,
    /// The annotation `volume.kubernetes.io/selected-node`; empty: none.
    pub selected_node: Text,
}

/// A storage class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageClassRecord {
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// Who provisions.
    pub provisioner: Text,
    /// `volumeBindingMode` is `WaitForFirstConsumer`; None where the field is missing.
    pub wait_for_first_consumer: Option<bool>,
    /// `allowedTopologies`: one of the terms must match; each is a conjunction of `In`. Empty: anywhere.
    pub allowed_topologies: Box<[NodeSelectorTerm]>,
}

/// One driver of a CSI node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiNodeDriver {
    /// The driver's name.
    pub name: Text,
    /// How many of its volumes the node can hold; None: no limit is stated.
    pub limit: Option<i64>,
}

/// What the CSI drivers on a node say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiNodeRecord {
    /// The node's name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// Its drivers.
    pub drivers: Box<[CsiNodeDriver]>,
    /// In-tree plugins that are migrated on the node (annotation `storage.alpha.kubernetes.io/migrated-plugins`).
    pub migrated_plugins: Box<[Text]>,
}

/// A CSI driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiDriverRecord {
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// `spec.storageCapacity`: it publishes what is left.
    pub storage_capacity: bool,
    /// `spec.preventPodSchedulingIfMissing`.
    pub prevent_scheduling_if_missing: bool,
}

/// What is left of a storage class in a part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageCapacityRecord {
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// The class.
    pub storage_class: Text,
    /// Which nodes; None: no node.
    pub node_topology: Option<LabelSelector>,
    /// `capacity`, bytes.
    pub capacity: Option<i64>,
    /// `maximumVolumeSize`, bytes.
    pub maximum_volume_size: Option<i64>,
}

/// A volume that is attached to a node, or on its way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentRecord {
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// The driver.
    pub attacher: Text,
    /// The node.
    pub node_name: Text,
    /// The persistent volume; empty: an inline one.
    pub volume: Text,
    /// Of an inline volume: its source.
    pub inline: VolumeSource,
}

/// An object of a storage kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageObject {
    /// A persistent volume. Boxed: it is much larger than the others.
    Volume(Box<VolumeRecord>),
    /// A claim. Boxed likewise.
    Claim(Box<ClaimRecord>),
    /// A storage class.
    Class(StorageClassRecord),
    /// A CSI node.
    CsiNode(CsiNodeRecord),
    /// A CSI driver.
    CsiDriver(CsiDriverRecord),
    /// A storage capacity.
    Capacity(StorageCapacityRecord),
    /// An attachment.
    Attachment(AttachmentRecord),
}

impl StorageObject {
    /// Its namespace, empty where its kind has none, its name, and its version.
    pub fn identity(&self) -> (Text, Text, ResourceVersion) {
        let none = || Text::from("");
        match self {
            StorageObject::Volume(volume) => (none(), volume.name.clone(), volume.resource_version),
            StorageObject::Claim(claim) => (
                claim.key.namespace.clone(),
                claim.key.name.clone(),
                claim.resource_version,
            ),
            StorageObject::Class(class) => (none(), class.name.clone(), class.resource_version),
            StorageObject::CsiNode(node) => (none(), node.name.clone(), node.resource_version),
            StorageObject::CsiDriver(driver) => (none(), driver.name.clone(), driver.resource_version),
            StorageObject::Capacity(capacity) => (
                capacity.namespace.clone(),
                capacity.name.clone(),
                capacity.resource_version,
            ),
            StorageObject::Attachment(attachment) => (none(), attachment.name.clone(), attachment.resource_version),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            StorageObject::Volume(_) => Kind::PersistentVolume,
            StorageObject::Claim(_) => Kind::PersistentVolumeClaim,
            StorageObject::Class(_) => Kind::StorageClass,
            StorageObject::CsiNode(_) => Kind::CsiNode,
            StorageObject::CsiDriver(_) => Kind::CsiDriver,
            StorageObject::Capacity(_) => Kind::CsiStorageCapacity,
            StorageObject::Attachment(_) => Kind::VolumeAttachment,
        }
    }
}

/// A hash of an object's namespace (empty where it has none) and name.
pub fn key_hash(namespace: &str, name: &str) -> u64 {
    let mut hasher = FxHasher::default();
    (namespace, name).hash(&mut hasher);
    hasher.finish()
}
