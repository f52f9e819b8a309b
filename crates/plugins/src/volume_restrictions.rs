//! VolumeRestrictions: disks named in pods that cannot be on a node twice, and claims that only one pod may use.

use crate::words::claim_not_found;
use muster_framework::event::{ClusterEvent, EventKinds, Hint, ObjectChange, StorageEvent};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Reads};
use muster_framework::record::{ClaimKey, Kind, PodSpec, PodVolume};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::view::View;
use muster_framework::volume::{is_exclusive_disk, key_hash};

/// The plugin. Source: `pkg/scheduler/framework/plugins/volumerestrictions`, the same in all minors.
#[derive(Debug)]
pub struct VolumeRestrictions;

const DISK_CONFLICT: Reason = Reason::Sentence("node(s) had no available disk");
const CLAIM_IN_USE: Reason = Reason::Sentence(
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
);

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for VolumeRestrictions {
    fn pre_filter(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> PreFilter {
        if pod.spec.volumes.is_empty() {
            return PreFilter::Skip;
        }
        if let Some(missing) = named_claims(pod).find(|claim| view.table().volumes().claim(claim).is_none()) {
            let reason = Reason::Text(claim_not_found(&missing.name).into());
            return PreFilter::Reject(Code::UnschedulableAndUnresolvable, vec![reason]);
        }
        if pod.spec.volumes.iter().any(is_exclusive_disk) || is_claim_taken(pod, view) {
            PreFilter::Judge
        } else {
            PreFilter::Skip
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        if pod.spec.volumes.iter().any(is_exclusive_disk) {
            let wanted = &pod.spec.volumes;
            for node in view.nodes_with_disks().iter() {
                if nodes.contains(node) && view.disks_conflict(node, wanted) {
                    nodes.remove(node);
                    rejections.reject(node, Code::Unschedulable, DISK_CONFLICT);
                }
            }
        }
        if is_claim_taken(pod, view) {
            nodes.retain(
                |_| false,
                |node| rejections.reject(node, Code::Unschedulable, CLAIM_IN_USE),
            );
        }
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD
            .and(EventKinds::NODE_DELETE)
            .and(EventKinds::POD_DELETE)
            .and(EventKinds::STORAGE)
    }

    /// A claim that is given free frees all nodes, a disk its own. Claims that a pod names never change their modes. Pods on a
    /// node that is gone use nothing any more, as upstream counts, which does not try others again for it.
    fn hint(&self, pod: &PodToPlace<'_>, event: &ClusterEvent, view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeDelete { .. } if exclusive_claims(pod, view).next().is_some() => Hint::Queue,
            ClusterEvent::AssignedPodDelete { pod: gone, .. } if gone.spec.volumes.is_empty() => Hint::Skip,
            ClusterEvent::AssignedPodDelete { pod: gone, .. } if shares_claim(pod, &gone.spec) => Hint::Queue,
            ClusterEvent::AssignedPodDelete { .. } | ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::Storage(StorageEvent {
                kind: Kind::PersistentVolumeClaim,
                change: ObjectChange::Added,
                key_hash: added,
                ..
            }) if named_claims(pod).any(|claim| key_hash(&claim.namespace, &claim.name) == *added) => Hint::Queue,
            _ => Hint::Skip,
        }
    }

    fn reads(&self, pod: &PodToPlace<'_>) -> Reads {
        if pod.spec.volumes.is_empty() {
            Reads::Nothing
        } else {
            Reads::Anything
        }
    }
}

/// Claims that the pod names as `persistentVolumeClaim`.
fn named_claims<'a>(pod: &PodToPlace<'a>) -> impl Iterator<Item = &'a ClaimKey> {
    pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Claim {
            claim,
            ephemeral: false,
        } => Some(claim),
        _ => None,
    })
}

/// Whether the pod names a claim that the other spec has too.
fn shares_claim(pod: &PodToPlace<'_>, other: &PodSpec) -> bool {
    let has = |claim: &ClaimKey| {
        let is_it = |volume: &PodVolume| matches!(volume, PodVolume::Claim { claim: other, .. } if other == claim);
        other.volumes.iter().any(is_it)
    };
    named_claims(pod).any(has)
}

/// Those that only one pod may use.
fn exclusive_claims<'a>(pod: &PodToPlace<'a>, view: &View<'_>) -> impl Iterator<Item = &'a ClaimKey> {
    let volumes = view.table().volumes();
    named_claims(pod).filter(|claim| volumes.claim(claim).is_some_and(|c| c.access_modes.read_write_once_pod))
}

/// Whether another pod has a claim of the pod that only one pod may use.
fn is_claim_taken(pod: &PodToPlace<'_>, view: &View<'_>) -> bool {
    exclusive_claims(pod, view).any(|claim| view.is_claim_in_use(claim))
}
