//! VolumeZone: nodes in a zone or region take only volumes whose labels name it.

use crate::words::{claim_not_found, class_not_found, no_binding_mode, volume_not_found};
use muster_framework::event::{ClusterEvent, EventKinds, Hint, ObjectChange, StorageEvent};
use muster_framework::labels::Labels;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, PreFilter, Reads};
use muster_framework::record::{ClaimKey, Kind, PodVolume};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::view::View;
use muster_framework::volume::{Volumes, key_hash};

/// The plugin. Source: `pkg/scheduler/framework/plugins/volumezone`, the same in all minors.
#[derive(Debug)]
pub struct VolumeZone;

const CONFLICT: Reason = Reason::Sentence("node(s) had no available volume zone");

/// Labels that tell zones and regions, each with the one that a node may have in its place.
const TOPOLOGY_LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// What stands between several zones of one volume.
const ZONE_DELIMITER: &str = "__";

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }
}

impl Filter for VolumeZone {
    fn pre_filter(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> PreFilter {
        if pod.spec.volumes.is_empty() {
            return PreFilter::Skip;
        }
        match topologies(pod, view.table().volumes()) {
            Ok(topologies) if topologies.is_empty() => PreFilter::Skip,
            Ok(_) => PreFilter::Judge,
            Err(why) => PreFilter::Reject(Code::UnschedulableAndUnresolvable, vec![Reason::Text(why.into())]),
        }
    }

    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let Ok(topologies) = topologies(pod, view.table().volumes()) else {
            return;
        };
        nodes.retain(
            |node| {
                let labels = view.table().labels(node);
                let has_zone = || TOPOLOGY_LABELS.iter().any(|(key, _)| labels.get(key).is_some());
                topologies.iter().all(|topology| topology.holds(labels)) || !has_zone()
            },
            |node| rejections.reject(node, Code::UnschedulableAndUnresolvable, CONFLICT),
        );
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD
            .and(EventKinds::NODE_LABELS)
            .and(EventKinds::STORAGE)
    }

    fn hint(&self, pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate { changes, .. } if changes.labels => Hint::OnEventNode,
            ClusterEvent::Storage(StorageEvent {
                change: ObjectChange::Removed,
                ..
            }) => Hint::Skip,
            ClusterEvent::Storage(StorageEvent {
                kind, key_hash: key, ..
            }) => match kind {
                Kind::PersistentVolume | Kind::StorageClass => Hint::Queue,
                Kind::PersistentVolumeClaim
                    if named_claims(pod).any(|claim| key_hash(&claim.namespace, &claim.name) == *key) =>
                {
                    Hint::Queue
                }
                _ => Hint::Skip,
            },
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

/// Claims that the pod names as `persistentVolumeClaim`; those of `ephemeral` volumes are not looked at.
fn named_claims<'a>(pod: &PodToPlace<'a>) -> impl Iterator<Item = &'a ClaimKey> {
    pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Claim {
            claim,
            ephemeral: false,
        } => Some(claim),
        _ => None,
    })
}

/// Where a volume can be used, by one of its labels.
struct Topology<'a> {
    key: &'static str,
    /// The label that a node may have in its place.
    instead: &'static str,
    values: Vec<&'a str>,
}

impl Topology<'_> {
    fn holds(&self, node: &Labels) -> bool {
        let value = node.get(self.key).or_else(|| node.get(self.instead));
        value.is_some_and(|value| self.values.contains(&&**value))
    }
}

/// Where the volumes of the pod's claims can be used; what is wrong with them, in upstream's words.
fn topologies<'a>(pod: &PodToPlace<'_>, store: &'a Volumes) -> Result<Vec<Topology<'a>>, String> {
    let mut topologies = Vec::new();
    for key in named_claims(pod) {
        if key.name.is_empty() {
            return Err("PersistentVolumeClaim had no name".to_owned());
        }
        let claim = store.claim(key).ok_or_else(|| claim_not_found(&key.name))?;
        if claim.volume.is_empty() {
            check_unbound(claim.storage_class.as_deref().unwrap_or(""), store)?;
            continue;
        }
        let volume = store.volume(&claim.volume);
        let volume = volume.ok_or_else(|| volume_not_found(&claim.volume))?;
        topologies.extend(topologies_of(&volume.labels));
    }
    Ok(topologies)
}

/// A claim without a volume is fine as long as its class waits for the first consumer.
fn check_unbound(class: &str, store: &Volumes) -> Result<(), String> {
    if class.is_empty() {
        return Err("PersistentVolumeClaim had no pv name and storageClass name".to_owned());
    }
    let found = store.class(class).ok_or_else(|| class_not_found(class))?;
    match found.wait_for_first_consumer {
        None => Err(no_binding_mode(class)),
        Some(true) => Ok(()),
        Some(false) => Err("PersistentVolume had no name".to_owned()),
    }
}

/// Source: `k8s.io/cloud-provider/volume/helpers.LabelZonesToSet`: a list with an empty entry is no list.
fn topologies_of(labels: &Labels) -> impl Iterator<Item = Topology<'_>> {
    TOPOLOGY_LABELS.iter().filter_map(|(key, instead)| {
        let values: Vec<&str> = labels.get(key)?.split(ZONE_DELIMITER).map(str::trim).collect();
        let topology = Topology { key, instead, values };
        (!topology.values.contains(&"")).then_some(topology)
    })
}
