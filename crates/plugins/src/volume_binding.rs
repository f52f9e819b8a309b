//! VolumeBinding: a pod's claims must be bound to volumes that its node can use, or be bindable there.
//!
//! What is decided for the node that is chosen is said by [`plan_bindings`]; `muster_framework::volume::assumed` says what
//! becomes of it.

mod capacity_score;
mod node_fit;
mod pod_claims;

use crate::registry::Recipe;
use capacity_score::CapacityScore;
use muster_framework::event::{ClusterEvent, EventKinds, Hint, ObjectChange, StorageEvent};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Reads, Score};
use muster_framework::record::{Kind, PodVolume};
use muster_framework::rejection::{Code, Rejections};
use muster_framework::rules::KubeMinor;
use muster_framework::table::NodeOrd;
use muster_framework::view::View;
use muster_framework::volume::{Bindings, Provision, StaticBinding, key_hash};
use node_fit::{Conflicts, NodeFit};
use pod_claims::PodClaims;

/// The plugin. Source: `pkg/scheduler/framework/plugins/volumebinding`; of the minors, 1.37 scores nodes by their capacity
/// (`StorageCapacityScoring`).
#[derive(Debug)]
pub struct VolumeBinding {
    /// None: capacity is not scored, and the plugin is skipped where nodes are scored.
    score: Option<CapacityScore>,
}

const NAME: &str = "VolumeBinding";

impl VolumeBinding {
    /// The plugin with the arguments of its profile.
    pub fn new(recipe: Recipe<'_>) -> VolumeBinding {
        let shape = &recipe.args.volume_binding.shape;
        VolumeBinding {
            score: (recipe.minor >= KubeMinor::V1_37).then(|| CapacityScore::new(shape)),
        }
    }
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

impl Filter for VolumeBinding {
    fn pre_filter(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> PreFilter {
        if !names_claims(pod) {
            return PreFilter::Skip;
        }
        match PodClaims::of(pod, view) {
            Ok(_) => PreFilter::Judge,
            Err((code, reason)) => PreFilter::Reject(code, vec![reason]),
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let Ok(claims) = PodClaims::of(pod, view) else {
            return;
        };
        let fit = NodeFit::new(&claims, view);
        let refused: Vec<(NodeOrd, Conflicts)> = nodes
            .iter()
            .filter_map(|node| Some((node, fit.on(node).err()?)))
            .collect();
        for (node, conflicts) in refused {
            nodes.remove(node);
            rejections.reject_all(node, Code::UnschedulableAndUnresolvable, conflicts.reasons());
        }
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD
            .and(EventKinds::NODE_LABELS)
            .and(EventKinds::STORAGE)
    }

    /// Upstream asks of CSI drivers only whether the pod has inline volumes of theirs, and so misses that its claims need no
    /// capacity any more.
    fn hint(&self, pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate { changes, .. } if changes.labels => Hint::OnEventNode,
            ClusterEvent::Storage(event) => hint_of_storage(pod, *event),
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

fn hint_of_storage(pod: &PodToPlace<'_>, event: StorageEvent) -> Hint {
    let is_own = |volume: &PodVolume| match volume {
        PodVolume::Claim { claim, .. } => key_hash(&claim.namespace, &claim.name) == event.key_hash,
        _ => false,
    };
    let removed = event.change == ObjectChange::Removed;
    match event.kind {
        Kind::PersistentVolume | Kind::StorageClass | Kind::CsiStorageCapacity if !removed => Hint::Queue,
        Kind::PersistentVolumeClaim if !removed && pod.spec.volumes.iter().any(is_own) => Hint::Queue,
        Kind::CsiDriver if event.change != ObjectChange::Added => Hint::Queue,
        // A CSI node of a node that is not there yet will help when the node comes.
        Kind::CsiNode if event.node.is_some() => Hint::OnEventNode,
        _ => Hint::Skip,
    }
}

impl Score for VolumeBinding {
    /// Source: `VolumeBinding.PreScore`: where capacity is scored, no pod is skipped, not even one without volumes.
    fn skips(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, _nodes: &NodeSet) -> bool {
        self.score.is_none()
    }

    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        scores.fill(0);
        let Some(score) = self.score.as_ref().filter(|_| names_claims(pod)) else {
            return;
        };
        let Ok(claims) = PodClaims::of(pod, view) else { return };
        if claims.delayed.is_empty() {
            return;
        }
        let fit = NodeFit::new(&claims, view);
        for node in nodes.iter() {
            if let Ok(found) = fit.on(node) {
                scores[node.index()] = score.of(&found);
            }
        }
    }

    fn reads(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> Reads {
        if self.score.is_none() || !names_claims(pod) {
            Reads::Nothing
        } else {
            Reads::Anything
        }
    }
}

fn names_claims(pod: &PodToPlace<'_>) -> bool {
    let is_claim = |volume: &PodVolume| matches!(volume, PodVolume::Claim { .. });
    pod.spec.volumes.iter().any(is_claim)
}

/// What has to be bound and made when the pod goes to this node, as the filter has found it on the same view; nothing when
/// the pod has no claims that wait for it, or could not go there. What to do with it is said in
/// `muster_framework::volume::assumed`.
///
/// Source: `volumeBinder.AssumePodVolumes` and `k8s.io/component-helpers/storage/volume.GetBindVolumeToClaim`.
pub fn plan_bindings(pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> Bindings {
    if !names_claims(pod) {
        return Bindings::default();
    }
    let Ok(claims) = PodClaims::of(pod, view) else {
        return Bindings::default();
    };
    if claims.delayed.is_empty() {
        return Bindings::default();
    }
    let Ok(found) = NodeFit::new(&claims, view).on(node) else {
        return Bindings::default();
    };
    let node = view.table().name(node).clone();
    let volumes = found.volumes.iter().map(|(claim, volume)| {
        let stated = volume.claim.as_ref();
        let mark = stated.is_none_or(|c| c.claim != claim.key || !(c.uid.is_empty() || c.uid == claim.uid))
            && !volume.bound_by_controller;
        StaticBinding {
            volume: volume.name.clone(),
            volume_version: volume.resource_version,
            claim: claim.key.clone(),
            claim_uid: claim.uid.clone(),
            claim_version: claim.resource_version,
            write: mark || stated.is_none_or(|c| c.claim != claim.key || c.uid != claim.uid),
            mark_bound_by_controller: mark,
        }
    });
    let provision = found.provision.iter().map(|(claim, _)| Provision {
        claim: claim.key.clone(),
        claim_version: claim.resource_version,
        write: claim.selected_node != node,
    });
    Bindings {
        volumes: volumes.collect(),
        provision: provision.collect(),
        node,
    }
}
