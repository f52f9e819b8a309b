//! What is in use on each node: claims, disks named in pods, attachments, and what the node's CSI drivers say of it.

use super::attachable::Attachable;
use super::claims::ClaimOrd;
use super::{CsiNodeRecord, VolumeSource};
use crate::Text;
use crate::record::PodVolume;
use crate::table::NodeOrd;
use rustc_hash::{FxHashMap, FxHashSet};

/// The storage of one node. Exists for nodes that have any.
#[derive(Debug, Default)]
pub(crate) struct NodeStorage {
    name: Text,
    ord: Option<NodeOrd>,
    pub(crate) csi_node: Option<CsiNodeRecord>,
    /// Claims that pods on the node use, with how often.
    pub(crate) claims: Vec<(ClaimOrd, u32)>,
    /// Disks named in pods that may exclude each other, one entry for each mention.
    pub(crate) disks: Vec<PodVolume>,
    /// Volumes named in pods that count against a driver's limit, one entry for each mention.
    pub(crate) in_tree: Vec<Attachable>,
    /// Volumes that are attached, by the name of the attachment; None: it does not count.
    pub(crate) attached: Vec<(Text, Option<Attachable>)>,
}

impl NodeStorage {
    fn is_empty(&self) -> bool {
        self.csi_node.is_none()
            && self.claims.is_empty()
            && self.disks.is_empty()
            && self.in_tree.is_empty()
            && self.attached.is_empty()
    }
}

/// All nodes that have storage, by name and by ordinal.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    slots: Vec<NodeStorage>,
    free: Vec<u32>,
    by_name: FxHashMap<Text, u32>,
    /// Nodes that are in the table.
    ords: FxHashMap<Text, NodeOrd>,
    /// One more than the slot of each node; 0: none.
    by_ord: Vec<u32>,
    with_disks: FxHashSet<NodeOrd>,
}

impl Nodes {
    /// Whether no node has storage.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.with_disks.is_empty()
    }

    /// The storage of a node, if it has any.
    pub(crate) fn of(&self, node: NodeOrd) -> Option<&NodeStorage> {
        let slot = self.by_ord.get(node.index())?.checked_sub(1)?;
        self.slots.get(slot as usize)
    }

    /// What CSI drivers say of nodes, in no order that means anything.
    pub(crate) fn csi_nodes(&self) -> impl Iterator<Item = &CsiNodeRecord> {
        self.slots.iter().filter_map(|storage| storage.csi_node.as_ref())
    }

    /// The ordinal of a node that is in the table.
    pub(crate) fn ord(&self, name: &str) -> Option<NodeOrd> {
        self.ords.get(name).copied()
    }

    /// The nodes on which pods name disks that may exclude each other, in no order that means anything.
    pub(crate) fn with_disks(&self) -> impl Iterator<Item = NodeOrd> {
        self.with_disks.iter().copied()
    }

    /// A node has come into the table.
    pub(crate) fn node_added(&mut self, node: NodeOrd, name: &Text) {
        self.ords.insert(name.clone(), node);
        if let Some(&slot) = self.by_name.get(name) {
            self.bind(slot, node);
        }
    }

    /// A node has left the table; its pods were taken off before.
    pub(crate) fn node_removed(&mut self, name: &str) {
        if let Some(node) = self.ords.remove(name)
            && let Some(&slot) = self.by_name.get(name)
        {
            self.by_ord[node.index()] = 0;
            self.slots[slot as usize].ord = None;
        }
    }

    /// Changes the storage of a node by `change`.
    pub(crate) fn change<R>(&mut self, name: &Text, change: impl FnOnce(&mut NodeStorage) -> R) -> R {
        let slot = match self.by_name.get(name) {
            Some(&slot) => slot,
            None => self.create(name),
        };
        let storage = &mut self.slots[slot as usize];
        let result = change(storage);
        if let Some(node) = storage.ord {
            if storage.disks.is_empty() {
                self.with_disks.remove(&node);
            } else {
                self.with_disks.insert(node);
            }
        }
        self.tidy(slot);
        result
    }

    fn create(&mut self, name: &Text) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(NodeStorage::default());
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize].name = name.clone();
        self.by_name.insert(name.clone(), slot);
        if let Some(node) = self.ord(name) {
            self.bind(slot, node);
        }
        slot
    }

    fn bind(&mut self, slot: u32, node: NodeOrd) {
        if self.by_ord.len() <= node.index() {
            self.by_ord.resize(node.index() + 1, 0);
        }
        self.by_ord[node.index()] = slot + 1;
        self.slots[slot as usize].ord = Some(node);
    }

    /// Frees the slot when nothing is in it.
    fn tidy(&mut self, slot: u32) {
        let storage = &mut self.slots[slot as usize];
        if !storage.is_empty() {
            return;
        }
        if let Some(node) = storage.ord {
            self.by_ord[node.index()] = 0;
        }
        self.by_name.remove(&storage.name);
        *storage = NodeStorage::default();
        self.free.push(slot);
    }
}

/// Whether two mentions of a disk, in two pods, exclude each other on one node.
///
/// Source: `pkg/scheduler/framework/plugins/volumerestrictions.isVolumeConflict`.
pub(crate) fn disks_conflict(one: &PodVolume, other: &PodVolume) -> bool {
    match (one, other) {
        (
            PodVolume::GcePersistentDisk { name, read_only },
            PodVolume::GcePersistentDisk {
                name: other,
                read_only: other_read_only,
            },
        ) => name == other && !(*read_only && *other_read_only),
        (PodVolume::AwsElasticBlockStore { id, .. }, PodVolume::AwsElasticBlockStore { id: other, .. }) => id == other,
        (
            PodVolume::Iscsi { iqn, read_only },
            PodVolume::Iscsi {
                iqn: other,
                read_only: other_read_only,
            },
        ) => iqn == other && !(*read_only && *other_read_only),
        (
            PodVolume::Rbd {
                monitors,
                pool,
                image,
                read_only,
            },
            PodVolume::Rbd {
                monitors: other_monitors,
                pool: other_pool,
                image: other_image,
                read_only: other_read_only,
            },
        ) => {
            monitors.iter().any(|monitor| other_monitors.contains(monitor))
                && pool == other_pool
                && image == other_image
                && !(*read_only && *other_read_only)
        }
        _ => false,
    }
}

/// Whether a volume named in a pod may exclude others on its node.
///
/// Source: `pkg/scheduler/framework/plugins/volumerestrictions.needsRestrictionsCheck`.
pub fn is_exclusive_disk(volume: &PodVolume) -> bool {
    matches!(
        volume,
        PodVolume::GcePersistentDisk { .. }
            | PodVolume::AwsElasticBlockStore { .. }
            | PodVolume::Iscsi { .. }
            | PodVolume::Rbd { .. }
    )
}

/// The volume named in a pod that counts against a driver's limit, if it does.
pub(crate) fn attachable_in_tree(volume: &PodVolume) -> Option<Attachable> {
    let PodVolume::InTree { plugin, driver, handle } = volume else {
        return None;
    };
    let source = VolumeSource::Csi {
        driver: driver.clone(),
        handle: handle.clone(),
    };
    Attachable::of(&source, plugin)
}
