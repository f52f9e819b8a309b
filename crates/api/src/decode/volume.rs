//! Volumes, as far as they constrain where a pod may run: which of them Muster cannot honour yet.

use super::json::{Map, Presence};
use super::path::{Path, Problems};

/// An entry of `spec.volumes`: the source of the volume is the one key beside its name.
pub(super) type VolumeJson<'a> = Map<'a, Presence>;

/// Sources that any node can serve: made on the node, read from the API server, or reached over the network.
const UNCONSTRAINED: [&str; 12] = [
    "azureFile",
    "cephfs",
    "configMap",
    "downwardAPI",
    "emptyDir",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "nfs",
    "projected",
    "secret",
];

/// Notes each volume that limits the choice of nodes. A source that is not known is taken to do so.
pub(super) fn note_constraints(volumes: &[VolumeJson<'_>], path: Path<'_>, problems: &Problems) {
    for (at, volume) in volumes.iter().enumerate() {
        for (source, presence) in volume.iter() {
            if **source == *"name" || presence.is_none() || UNCONSTRAINED.contains(&&**source) {
                continue;
            }
            let problem = match &**source {
                "persistentVolumeClaim" => "persistent volume claims are not supported yet",
                "ephemeral" => "ephemeral volumes are not supported yet: each comes with a claim of its own",
                "csi" => "inline CSI volumes are not supported yet: they count against the volume limits of nodes",
                "awsElasticBlockStore"
                | "azureDisk"
                | "cinder"
                | "fc"
                | "gcePersistentDisk"
                | "iscsi"
                | "photonPersistentDisk"
                | "portworxVolume"
                | "rbd"
                | "scaleIO"
                | "storageos"
                | "vsphereVolume" => "attached disks are not supported yet: they limit which nodes can be used",
                _ => "volumes of this kind are not supported yet",
            };
            problems.add(path.item(at).field(source), problem);
        }
    }
}
