//! Images of the storage kinds; the rest of the format is in `wire`.

use super::mirror::{Mirror, Pairs, Slice, mirror_enum, mirror_fields, mirror_struct};
use super::wire::{ClaimKeyImage, LabelSelectorImage, NodeSelectorTermImage};
use muster_framework::Text;
use muster_framework::volume::{
    AccessModes, AttachmentRecord, ClaimPhase, ClaimRecord, CsiDriverRecord, CsiNodeDriver, CsiNodeRecord,
    StorageCapacityRecord, StorageClassRecord, StorageObject, VolumeClaimRef, VolumePhase, VolumeRecord, VolumeSource,
};
use serde::{Deserialize, Serialize};

mirror_struct! {
    #[derive(Default)]
    AccessModesImage of AccessModes {
        ;
        read_write_once: bool,
        read_only_many: bool,
        read_write_many: bool,
        read_write_once_pod: bool,
    }
}

mirror_enum! {
    VolumePhaseImage of VolumePhase { Pending, Available, Bound, Released, Failed }
}

mirror_enum! {
    ClaimPhaseImage of ClaimPhase { Pending, Bound, Lost }
}

mirror_struct! {
    ClaimRefImage of VolumeClaimRef {
        claim: ClaimKeyImage;
        uid: Text,
    }
}

mirror_fields! {
    SourceImage of VolumeSource {
        Csi { driver: Text, handle: Text },
        Other {},
    }
}

mirror_struct! {
    VolumeImage of VolumeRecord {
        name: Text,
        resource_version: u64,
        capacity: i64,
        phase: VolumePhaseImage,
        source: SourceImage;
        uid: Text,
        labels: Pairs<Text>,
        terminating: bool,
        access_modes: AccessModesImage,
        block: bool,
        storage_class: Text,
        attributes_class: Text,
        node_affinity: Option<Slice<NodeSelectorTermImage>>,
        migrated_node_affinity: Option<Slice<NodeSelectorTermImage>>,
        claim: Option<ClaimRefImage>,
        in_tree: Text,
        bound_by_controller: bool,
    }
}

mirror_struct! {
    ClaimImage of ClaimRecord {
        key: ClaimKeyImage,
        resource_version: u64,
        request: i64,
        phase: ClaimPhaseImage;
        uid: Text,
        terminating: bool,
        owner_pod: Text,
        volume: Text,
        storage_class: Option<Text>,
        attributes_class: Text,
        access_modes: AccessModesImage,
        block: bool,
        selector: Option<LabelSelectorImage>,
        bind_completed: bool,
        selected_node: Text,
    }
}

mirror_struct! {
    ClassImage of StorageClassRecord {
        name: Text,
        resource_version: u64,
        provisioner: Text;
        wait_for_first_consumer: Option<bool>,
        allowed_topologies: Slice<NodeSelectorTermImage>,
    }
}

mirror_struct! {
    DriverImage of CsiNodeDriver {
        name: Text;
        limit: Option<i64>,
    }
}

mirror_struct! {
    CsiNodeImage of CsiNodeRecord {
        name: Text,
        resource_version: u64;
        drivers: Slice<DriverImage>,
        migrated_plugins: Slice<Text>,
    }
}

mirror_struct! {
    CsiDriverImage of CsiDriverRecord {
        name: Text,
        resource_version: u64;
        storage_capacity: bool,
        prevent_scheduling_if_missing: bool,
    }
}

mirror_struct! {
    CapacityImage of StorageCapacityRecord {
        namespace: Text,
        name: Text,
        resource_version: u64,
        storage_class: Text;
        node_topology: Option<LabelSelectorImage>,
        capacity: Option<i64>,
        maximum_volume_size: Option<i64>,
    }
}

mirror_struct! {
    AttachmentImage of AttachmentRecord {
        name: Text,
        resource_version: u64,
        attacher: Text,
        node_name: Text,
        inline: SourceImage;
        volume: Text,
    }
}

/// The image of a [`StorageObject`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum StorageImage {
    Volume(Box<VolumeImage>),
    Claim(Box<ClaimImage>),
    Class(ClassImage),
    CsiNode(CsiNodeImage),
    CsiDriver(CsiDriverImage),
    Capacity(CapacityImage),
    Attachment(AttachmentImage),
}

impl Mirror for StorageImage {
    type Record = StorageObject;

    fn write(record: &StorageObject) -> StorageImage {
        match record {
            StorageObject::Volume(volume) => StorageImage::Volume(Mirror::write(volume)),
            StorageObject::Claim(claim) => StorageImage::Claim(Mirror::write(claim)),
            StorageObject::Class(class) => StorageImage::Class(Mirror::write(class)),
            StorageObject::CsiNode(node) => StorageImage::CsiNode(Mirror::write(node)),
            StorageObject::CsiDriver(driver) => StorageImage::CsiDriver(Mirror::write(driver)),
            StorageObject::Capacity(capacity) => StorageImage::Capacity(Mirror::write(capacity)),
            StorageObject::Attachment(attachment) => StorageImage::Attachment(Mirror::write(attachment)),
        }
    }

    fn read(self) -> StorageObject {
        match self {
            StorageImage::Volume(volume) => StorageObject::Volume(volume.read()),
            StorageImage::Claim(claim) => StorageObject::Claim(claim.read()),
            StorageImage::Class(class) => StorageObject::Class(class.read()),
            StorageImage::CsiNode(node) => StorageObject::CsiNode(node.read()),
            StorageImage::CsiDriver(driver) => StorageObject::CsiDriver(driver.read()),
            StorageImage::Capacity(capacity) => StorageObject::Capacity(capacity.read()),
            StorageImage::Attachment(attachment) => StorageObject::Attachment(attachment.read()),
        }
    }
}
