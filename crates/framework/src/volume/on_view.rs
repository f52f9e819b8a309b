//! Volumes as plugins see them: those of the base, with what a delta adds, takes away and assumes.

use super::assumed::{Assumed, Bindings};
use super::attachable::Attachable;
use super::claims::ClaimOrd;
use super::on_node::{attachable_in_tree, disks_conflict, is_exclusive_disk};
use super::{ClaimRecord, VolumeRecord, Volumes};
use crate::Text;
use crate::node_set::NodeSet;
use crate::record::{ClaimKey, PodVolume};
use crate::rules::KubeMinor;
use crate::table::NodeOrd;
use crate::view::{Delta, View};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Volumes of the pods that a delta adds to a node and takes off it.
#[derive(Debug, Clone, Default)]
struct Row {
    added: Vec<PodVolume>,
    removed: Vec<PodVolume>,
}

/// What a delta changes about volumes.
#[derive(Debug, Clone, Default)]
pub(crate) struct VolumeDelta {
    rows: FxHashMap<NodeOrd, Row>,
    /// How much more and less often pods name claims as `persistentVolumeClaim`.
    named: FxHashMap<ClaimKey, i64>,
    assumed: Assumed,
}

impl VolumeDelta {
    pub(crate) fn add(&mut self, node: NodeOrd, volumes: &[PodVolume]) {
        self.shift(node, volumes, 1);
    }

    pub(crate) fn remove(&mut self, node: NodeOrd, volumes: &[PodVolume]) {
        self.shift(node, volumes, -1);
    }

    fn shift(&mut self, node: NodeOrd, volumes: &[PodVolume], sign: i64) {
        if volumes.is_empty() {
            return;
        }
        let row = self.rows.entry(node).or_default();
        let changed = if sign > 0 { &mut row.added } else { &mut row.removed };
        changed.extend_from_slice(volumes);
        for volume in volumes {
            if let PodVolume::Claim {
                claim,
                ephemeral: false,
            } = volume
            {
                *self.named.entry(claim.clone()).or_default() += sign;
            }
        }
    }
}

impl Delta {
    /// Assumes bindings of a pod that was added, for the pod with this uid: pods judged on the delta find its volumes taken
    /// and its claims' node selected.
    pub fn assume(&mut self, owner: &Text, bindings: &Bindings) {
        self.volumes.assumed.assume(owner, bindings);
    }
}

/// The claim that a volume is reserved for, as the base, the assumptions and the delta have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved<'a> {
    /// The claim.
    pub claim: &'a ClaimKey,
    /// Its uid; empty where the volume is reserved by name only.
    pub uid: &'a str,
}

impl Reserved<'_> {
    /// Whether the volume is reserved for this very claim.
    /// Source: `k8s.io/component-helpers/storage/volume.IsVolumeBoundToClaim`.
    pub fn is_for(&self, claim: &ClaimRecord) -> bool {
        *self.claim == claim.key && (self.uid.is_empty() || *self.uid == *claim.uid)
    }
}

impl<'a> View<'a> {
    fn volumes(&self) -> &'a Volumes {
        self.table().volumes()
    }

    /// Whether a pod on any node names the claim, not counting the pod for whose `ephemeral` volume it was made.
    pub fn is_claim_in_use(&self, claim: &ClaimKey) -> bool {
        let shift = self.volume_delta().named.get(claim).copied().unwrap_or(0);
        i64::from(self.volumes().n_named(claim)) + shift > 0
    }

    /// The node that is selected for a claim to be provisioned on.
    pub fn selected_node(&self, claim: &'a ClaimRecord) -> Option<&'a Text> {
        let delta = &self.volume_delta().assumed;
        let assumed = delta.selected_node(&claim.key);
        let assumed = assumed.or_else(|| self.volumes().assumed.selected_node(&claim.key));
        assumed.or((!claim.selected_node.is_empty()).then_some(&claim.selected_node))
    }

    /// The claim that a volume is reserved for.
    pub fn reserved(&self, volume: &'a VolumeRecord) -> Option<Reserved<'a>> {
        let delta = &self.volume_delta().assumed;
        let assumed = delta.claim_of_volume(&volume.name);
        if let Some(assumed) = assumed.or_else(|| self.volumes().assumed.claim_of_volume(&volume.name)) {
            return Some(Reserved {
                claim: &assumed.claim,
                uid: &assumed.uid,
            });
        }
        volume.claim.as_ref().map(|claim| Reserved {
            claim: &claim.claim,
            uid: &claim.uid,
        })
    }

    /// The volumes that are reserved for a claim, by name.
    pub fn reserved_for(&self, claim: &ClaimRecord) -> SmallVec<[&'a VolumeRecord; 2]> {
        let store = self.volumes();
        let mut found: SmallVec<[&VolumeRecord; 2]> = store.reserved_for(&claim.key).collect();
        for assumed in [&self.volume_delta().assumed, &store.assumed] {
            let names = assumed.volumes_of_claim(&claim.key).iter();
            found.extend(names.filter_map(|name| store.volume(name)));
        }
        found.retain(|volume| self.reserved(volume).is_some_and(|reserved| reserved.is_for(claim)));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        found
    }

    /// Nodes where [`View::disks_conflict`] can be true.
    pub fn nodes_with_disks(&self) -> NodeSet {
        let rows = self.volume_delta().rows.iter();
        let added = rows.filter(|(_, row)| row.added.iter().any(is_exclusive_disk));
        let added = added.map(|(node, _)| *node);
        self.volumes().nodes_with_disks().chain(added).collect()
    }

    /// Whether a disk that pods on the node name excludes one of `wanted`.
    pub fn disks_conflict(&self, node: NodeOrd, wanted: &[PodVolume]) -> bool {
        let row = self.volume_delta().rows.get(&node);
        let added = row.map_or(&[][..], |row| &row.added);
        let mut removed: SmallVec<[&PodVolume; 4]> = row.iter().flat_map(|row| &row.removed).collect();
        self.volumes().disks(node).iter().chain(added).any(|used| {
            if let Some(at) = removed.iter().position(|other| *other == used) {
                removed.swap_remove(at);
                return false;
            }
            wanted.iter().any(|wanted| disks_conflict(wanted, used))
        })
    }

    /// An upper bound, quick to tell, of how many volumes are attached to the node, or about to be.
    pub fn n_attached_at_most(&self, node: NodeOrd) -> usize {
        let base = self.volumes().on_node(node);
        let base = base.map_or(0, |on| on.claims.len() + on.in_tree.len() + on.attached.len());
        let row = self.volume_delta().rows.get(&node);
        base + row.map_or(0, |row| row.added.len())
    }

    /// The volumes that attachments say are on the node; of one volume there may be several.
    pub fn attachments(&self, node: NodeOrd) -> impl Iterator<Item = &'a Attachable> {
        let attached = self.volumes().on_node(node).map_or(&[][..], |on| &on.attached);
        attached.iter().filter_map(|(_, attachable)| attachable.as_ref())
    }

    /// Tells `each` of the volumes that pods on the node use, as far as drivers count them there; of one volume several
    /// times.
    pub fn each_attachable(&self, node: NodeOrd, minor: KubeMinor, mut each: impl FnMut(&Attachable)) {
        let store = self.volumes();
        let csi_node = store.csi_node(node);
        let mut each = |attachable: &Attachable| {
            if attachable.counts_on(csi_node, minor) {
                each(attachable);
            }
        };
        let (base_claims, base_in_tree) = match store.on_node(node) {
            Some(on) => (&on.claims[..], &on.in_tree[..]),
            None => (&[][..], &[][..]),
        };
        let shift = self.volume_delta().rows.get(&node).map(|row| Shift::of(row, store));
        let shift = shift.unwrap_or_default();
        for (claim, count) in base_claims {
            if i64::from(*count) + shift.of_claim(*claim) > 0 {
                store.attachable_of(*claim).into_iter().for_each(&mut each);
            }
        }
        let is_new = |claim: &ClaimOrd| !base_claims.iter().any(|(c, _)| c == claim);
        for (claim, _) in shift.claims.iter().filter(|(claim, more)| *more > 0 && is_new(claim)) {
            store.attachable_of(*claim).into_iter().for_each(&mut each);
        }
        let mut removed = shift.in_tree_removed;
        for attachable in base_in_tree.iter().chain(&shift.in_tree_added) {
            match removed.iter().position(|other| other == attachable) {
                Some(at) => drop(removed.swap_remove(at)),
                None => each(attachable),
            }
        }
    }
}

/// A row by claims, each once, and by volumes named in pods.
#[derive(Default)]
struct Shift {
    claims: SmallVec<[(ClaimOrd, i64); 8]>,
    in_tree_added: Vec<Attachable>,
    in_tree_removed: Vec<Attachable>,
}

impl Shift {
    fn of(row: &Row, store: &Volumes) -> Shift {
        let mut shift = Shift {
            in_tree_added: row.added.iter().filter_map(attachable_in_tree).collect(),
            in_tree_removed: row.removed.iter().filter_map(attachable_in_tree).collect(),
            ..Shift::default()
        };
        let added = row.added.iter().map(|volume| (volume, 1));
        for (volume, sign) in added.chain(row.removed.iter().map(|volume| (volume, -1))) {
            let PodVolume::Claim { claim, .. } = volume else {
                continue;
            };
            // A claim that the store does not know is not there, and counts as nothing.
            let Some(claim) = store.claims.find(claim) else {
                continue;
            };
            match shift.claims.iter_mut().find(|(other, _)| *other == claim) {
                Some((_, sum)) => *sum += sign,
                None => shift.claims.push((claim, sign)),
            }
        }
        shift
    }

    fn of_claim(&self, claim: ClaimOrd) -> i64 {
        let found = self.claims.iter().find(|(other, _)| *other == claim);
        found.map_or(0, |(_, sum)| *sum)
    }
}
