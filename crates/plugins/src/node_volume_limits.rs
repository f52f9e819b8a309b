//! NodeVolumeLimits: no more volumes on a node than their CSI drivers can attach there.

use crate::registry::Recipe;
use crate::words::{claim_not_found, filter_error, not_the_pods_claim};
use muster_framework::event::{ClusterEvent, EventKinds, Hint, ObjectChange, StorageEvent};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Reads};
use muster_framework::record::{Kind, PodVolume};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::rules::KubeMinor;
use muster_framework::table::NodeOrd;
use muster_framework::view::View;
use muster_framework::volume::attachable::Attachable;
use muster_framework::volume::{CsiNodeRecord, VolumeSource, key_hash};

/// The plugin. Source: `pkg/scheduler/framework/plugins/nodevolumelimits`.
///
/// Of the minors, 1.37 looks whether a driver is on the node at all (`VolumeLimitScaling`), and 1.35 wants a node to say
/// that it has migrated Portworx.
///
/// Upstream answers with an error when a pod that is on the node has an `ephemeral` volume whose claim is not its own. What
/// is in use on nodes is counted without asking whose it is, so such a pod counts here as any other.
#[derive(Debug)]
pub struct NodeVolumeLimits {
    minor: KubeMinor,
}

const NAME: &str = "NodeVolumeLimits";
const TOO_MANY: Reason = Reason::Sentence("node(s) exceed max volume count");

impl NodeVolumeLimits {
    /// The plugin with the arguments of its profile.
    pub fn new(recipe: Recipe<'_>) -> NodeVolumeLimits {
        NodeVolumeLimits { minor: recipe.minor }
    }
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for NodeVolumeLimits {
    fn pre_filter(&self, pod: &PodToPlace<'_>, _view: &View<'_>) -> PreFilter {
        let counts = |volume: &PodVolume| matches!(volume, PodVolume::Claim { .. } | PodVolume::InTree { .. });
        if pod.spec.volumes.iter().any(counts) {
            PreFilter::Judge
        } else {
            PreFilter::Skip
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let wanted = match wanted(pod, view) {
            Ok(wanted) => wanted,
            Err((code, reason)) => {
                nodes.retain(|_| false, |node| rejections.reject(node, code, reason.clone()));
                return;
            }
        };
        if wanted.is_empty() {
            return;
        }
        let refused: Vec<(NodeOrd, Reason)> = nodes
            .iter()
            .filter_map(|node| Some((node, self.refusal(&wanted, view, node)?)))
            .collect();
        for (node, reason) in refused {
            nodes.remove(node);
            rejections.reject(node, Code::Unschedulable, reason);
        }
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD
            .and(EventKinds::POD_DELETE)
            .and(EventKinds::STORAGE)
    }

    fn hint(&self, pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::AssignedPodDelete { pod: gone, .. } if gone.spec.volumes.is_empty() => Hint::Skip,
            ClusterEvent::NodeAdd(_) | ClusterEvent::AssignedPodDelete { .. } => Hint::OnEventNode,
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
    // A CSI node of a node that is not there yet will help when the node comes.
    let on_node = if event.node.is_some() {
        Hint::OnEventNode
    } else {
        Hint::Skip
    };
    let is_own = |volume: &PodVolume| match volume {
        PodVolume::Claim { claim, .. } => key_hash(&claim.namespace, &claim.name) == event.key_hash,
        _ => false,
    };
    match (event.kind, event.change) {
        (Kind::CsiNode, _) | (Kind::VolumeAttachment, ObjectChange::Removed | ObjectChange::Updated) => on_node,
        (Kind::PersistentVolumeClaim, _) if pod.spec.volumes.iter().any(is_own) => Hint::Queue,
        (Kind::CsiDriver, ObjectChange::Updated | ObjectChange::Removed) => Hint::Queue,
        _ => Hint::Skip,
    }
}

/// The volumes of the pod that may count, each once; what is wrong with its claims.
fn wanted(pod: &PodToPlace<'_>, view: &View<'_>) -> Result<Vec<Attachable>, (Code, Reason)> {
    let store = view.table().volumes();
    let error = |why: &str| Err((Code::Error, filter_error(NAME, why)));
    let mut wanted: Vec<Attachable> = Vec::new();
    for volume in &pod.spec.volumes {
        let attachable = match volume {
            PodVolume::Claim { claim: key, ephemeral } => {
                if key.name.is_empty() {
                    return error("PersistentVolumeClaim had no name");
                }
                let Some(claim) = store.claim(key) else {
                    let why = claim_not_found(&key.name);
                    let why = format!("looking up PVC {}/{}: {why}", key.namespace, key.name);
                    return Err((Code::UnschedulableAndUnresolvable, Reason::Text(why.into())));
                };
                if *ephemeral && *claim.owner_pod != *pod.uid {
                    return error(&not_the_pods_claim(key, pod.namespace, pod.name));
                }
                store.attachable(key).cloned()
            }
            PodVolume::InTree { plugin, driver, handle } => Attachable::of(
                &VolumeSource::Csi {
                    driver: driver.clone(),
                    handle: handle.clone(),
                },
                plugin,
            ),
            _ => None,
        };
        wanted.extend(attachable.filter(|attachable| !wanted.contains(attachable)));
    }
    Ok(wanted)
}

impl NodeVolumeLimits {
    /// Why the node cannot take the volumes of `wanted`.
    fn refusal(&self, wanted: &[Attachable], view: &View<'_>, node: NodeOrd) -> Option<Reason> {
        let csi_node = view.table().volumes().csi_node(node);
        let counted = || wanted.iter().filter(|volume| volume.counts_on(csi_node, self.minor));
        if self.minor >= KubeMinor::V1_37
            && let Some(missing) = counted().find(|volume| is_missing(volume, view, csi_node))
        {
            let why = format!("{} CSI driver is not installed on the node", missing.driver);
            return Some(Reason::Text(why.into()));
        }
        let csi_node = csi_node?;
        let limits = counted().filter_map(|volume| csi_node.limit(&volume.driver));
        let lowest = limits.min()?;
        if view.n_attached_at_most(node) + wanted.len() <= usize::try_from(lowest).unwrap_or(0) {
            return None;
        }
        let mut drivers: Vec<&str> = counted().map(|volume| &*volume.driver).collect();
        drivers.sort_unstable();
        drivers.dedup();
        let exceeded = |driver: &&str| {
            let limit = csi_node.limit(driver);
            limit.is_some_and(|limit| self.exceeds(limit, driver, counted().map(|v| (&*v.driver, v.id)), view, node))
        };
        drivers.iter().any(exceeded).then_some(TOO_MANY)
    }

    /// Whether the volumes of `wanted` that a driver counts are too many beside those that are on the node.
    fn exceeds<'w>(
        &self,
        limit: i64,
        driver: &str,
        wanted: impl Iterator<Item = (&'w str, u64)>,
        view: &View<'_>,
        node: NodeOrd,
    ) -> bool {
        let mut used: Vec<u64> = Vec::new();
        view.each_attachable(node, self.minor, |volume| {
            if *volume.driver == *driver {
                used.push(volume.id);
            }
        });
        used.sort_unstable();
        used.dedup();
        let is_new = |id: &u64| used.binary_search(id).is_err();
        let attached = view.attachments(node).filter(|volume| *volume.driver == *driver);
        let mut attached: Vec<u64> = attached.map(|volume| volume.id).filter(is_new).collect();
        attached.sort_unstable();
        attached.dedup();
        let mut new: Vec<u64> = wanted
            .filter(|(d, _)| *d == driver)
            .map(|(_, id)| id)
            .filter(is_new)
            .collect();
        new.sort_unstable();
        new.dedup();
        // Upstream counts a new volume that is attached already twice: with the attachments and as a new one.
        !new.is_empty() && (used.len() + attached.len() + new.len()) as i64 > limit
    }
}

/// Whether the driver wants pods to stay off nodes that it is not on, and is not on this one.
///
/// Source: `nodevolumelimits.CSILimits.checkCSIDriverOnNode`.
fn is_missing(volume: &Attachable, view: &View<'_>, csi_node: Option<&CsiNodeRecord>) -> bool {
    let driver = view.table().volumes().csi_driver(&volume.driver);
    driver.is_some_and(|driver| driver.prevent_scheduling_if_missing)
        && !csi_node.is_some_and(|node| node.has_driver(&volume.driver))
}
