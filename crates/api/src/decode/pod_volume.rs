//! Volumes of a pod, as far as they constrain where it may run.
//!
//! Source of what constrains: the plugins VolumeBinding, VolumeRestrictions and NodeVolumeLimits of kube-scheduler. All
//! other sources can be had on any node, for all that the scheduler knows, inline CSI volumes among them.

use super::brief;
use super::in_tree::{self, InTreePlugin};
use super::intern::intern;
use super::json::{List, Str, Struct};
use super::path::{Path, Problems};
use muster_framework::Text;
use muster_framework::record::{ClaimKey, PodVolume};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// Sources that any node can serve: made on the node, read from the API server, or reached over the network. Most of the
/// others are of plugins that are gone; nothing was ever judged for them.
const UNCONSTRAINED: [&str; 21] = [
    "azureFile",
    "cephfs",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "nfs",
    "photonPersistentDisk",
    "projected",
    "quobyte",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
    // Of the entry itself, not a source.
    "name",
];

/// An entry of `spec.volumes`: its name, and whatever else stands there that is not null. It is one source, if it is in order.
#[derive(Debug, Default)]
pub(super) struct VolumeJson<'a> {
    name: Str<'a>,
    sources: Vec<Source<'a>>,
}

#[derive(Debug)]
enum Source<'a> {
    Claim(ClaimSource<'a>),
    Ephemeral,
    Image(ImageSource<'a>),
    GcePersistentDisk(GceDisk<'a>),
    AwsElasticBlockStore(VolumeId<'a>),
    AzureDisk(AzureDisk<'a>),
    Cinder(VolumeId<'a>),
    Portworx(VolumeId<'a>),
    Iscsi(Iscsi<'a>),
    Rbd(Rbd<'a>),
    Unknown(Str<'a>),
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSource<'a> {
    #[serde(borrow)]
    claim_name: Str<'a>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct ImageSource<'a> {
    #[serde(borrow)]
    reference: Str<'a>,
}

/// Of a pod or of a persistent volume.
#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct GceDisk<'a> {
    #[serde(borrow)]
    pub(super) pd_name: Str<'a>,
    read_only: Option<bool>,
}

/// Of an AWS, Cinder or Portworx disk, of a pod or of a persistent volume.
#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VolumeId<'a> {
    #[serde(borrow, rename = "volumeID")]
    pub(super) volume_id: Str<'a>,
    read_only: Option<bool>,
}

/// Of a pod or of a persistent volume.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct AzureDisk<'a> {
    #[serde(borrow, rename = "diskURI")]
    pub(super) disk_uri: Str<'a>,
    #[serde(borrow)]
    pub(super) kind: Option<Str<'a>>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct Iscsi<'a> {
    #[serde(borrow)]
    iqn: Str<'a>,
    read_only: Option<bool>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct Rbd<'a> {
    #[serde(borrow)]
    monitors: List<Str<'a>>,
    #[serde(borrow)]
    image: Str<'a>,
    /// The API's default is `rbd`.
    #[serde(borrow)]
    pool: Option<Str<'a>>,
    read_only: Option<bool>,
}

impl<'de: 'a, 'a> Deserialize<'de> for VolumeJson<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<VolumeJson<'a>, D::Error> {
        struct VolumeVisitor;

        impl<'de> Visitor<'de> for VolumeVisitor {
            type Value = VolumeJson<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume")
            }

            fn visit_unit<E>(self) -> Result<VolumeJson<'de>, E> {
                Ok(VolumeJson::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<VolumeJson<'de>, A::Error> {
                let mut volume = VolumeJson::default();
                while let Some(key) = entries.next_key::<Str<'de>>()? {
                    if *key == *"name" {
                        volume.name = entries.next_value()?;
                    } else {
                        volume.sources.extend(source(key, &mut entries)?);
                    }
                }
                Ok(volume)
            }
        }
        deserializer.deserialize_any(VolumeVisitor)
    }
}

/// Reads the source under `key`; none where it is null, or does not matter.
fn source<'de, A: MapAccess<'de>>(key: Str<'de>, entries: &mut A) -> Result<Option<Source<'de>>, A::Error> {
    fn read<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(
        entries: &mut A,
        make: impl Fn(T) -> Source<'de>,
    ) -> Result<Option<Source<'de>>, A::Error> {
        Ok(entries
            .next_value::<Option<Struct<T>>>()?
            .map(|source| make(source.into_inner())))
    }
    match &*key {
        "persistentVolumeClaim" => read(entries, Source::Claim),
        "image" => read(entries, Source::Image),
        "gcePersistentDisk" => read(entries, Source::GcePersistentDisk),
        "awsElasticBlockStore" => read(entries, Source::AwsElasticBlockStore),
        "azureDisk" => read(entries, Source::AzureDisk),
        "cinder" => read(entries, Source::Cinder),
        "portworxVolume" => read(entries, Source::Portworx),
        "iscsi" => read(entries, Source::Iscsi),
        "rbd" => read(entries, Source::Rbd),
        _ => {
            let there = entries.next_value::<Option<IgnoredAny>>()?.is_some();
            Ok(match &*key {
                _ if !there => None,
                "ephemeral" => Some(Source::Ephemeral),
                known if UNCONSTRAINED.contains(&known) => None,
                _ => Some(Source::Unknown(key)),
            })
        }
    }
}

/// The pod whose volumes are read.
#[derive(Clone, Copy)]
pub(super) struct Owner<'p> {
    /// Its namespace.
    pub(super) namespace: &'p Text,
    /// Its name.
    pub(super) name: &'p str,
}

/// All volumes that nodes are judged for, in their order.
pub(super) fn judged(
    volumes: &[VolumeJson<'_>],
    owner: Owner<'_>,
    path: Path<'_>,
    problems: &Problems,
) -> Box<[PodVolume]> {
    let mut judged = Vec::new();
    for (at, volume) in volumes.iter().enumerate() {
        for source in &volume.sources {
            source.judge(&volume.name, owner, path.item(at), problems, &mut judged);
        }
    }
    judged.into()
}

/// The images that are mounted, names normalised.
pub(super) fn images(volumes: &[VolumeJson<'_>]) -> Box<[Text]> {
    let sources = volumes.iter().flat_map(|volume| &volume.sources);
    let images = sources.filter_map(|source| match source {
        Source::Image(image) => Some(super::pod::image_name(&image.reference)),
        _ => None,
    });
    images.collect()
}

impl Source<'_> {
    fn judge(
        &self,
        volume_name: &str,
        owner: Owner<'_>,
        path: Path<'_>,
        problems: &Problems,
        judged: &mut Vec<PodVolume>,
    ) {
        let claim = |name: String, ephemeral| PodVolume::Claim {
            claim: ClaimKey {
                namespace: owner.namespace.clone(),
                name: name.into(),
            },
            ephemeral,
        };
        match self {
            Source::Claim(source) if source.claim_name.is_empty() => {
                problems.add(path.field("persistentVolumeClaim").field("claimName"), "is missing");
            }
            Source::Claim(source) => judged.push(claim(source.claim_name.to_string(), false)),
            // Source: `k8s.io/component-helpers/storage/ephemeral.VolumeClaimName`.
            Source::Ephemeral => judged.push(claim(format!("{}-{volume_name}", owner.name), true)),
            Source::Image(_) => {}
            Source::GcePersistentDisk(disk) => {
                judged.push(PodVolume::GcePersistentDisk {
                    name: intern(&disk.pd_name),
                    read_only: disk.read_only.unwrap_or(false),
                });
                judged.push(in_tree_volume(in_tree::GCE_PD, &in_tree::gce_handle(&disk.pd_name)));
            }
            Source::AwsElasticBlockStore(disk) => judge_aws(disk, path, problems, judged),
            Source::AzureDisk(disk) => judge_azure(disk, path, problems, judged),
            Source::Cinder(disk) => judged.push(in_tree_volume(in_tree::CINDER, &disk.volume_id)),
            Source::Portworx(disk) => judged.push(in_tree_volume(in_tree::PORTWORX, &disk.volume_id)),
            Source::Iscsi(target) => judged.push(PodVolume::Iscsi {
                iqn: intern(&target.iqn),
                read_only: target.read_only.unwrap_or(false),
            }),
            Source::Rbd(image) => judged.push(PodVolume::Rbd {
                monitors: image.monitors.iter().map(|monitor| intern(monitor)).collect(),
                pool: intern(image.pool.as_deref().filter(|pool| !pool.is_empty()).unwrap_or("rbd")),
                image: intern(&image.image),
                read_only: image.read_only.unwrap_or(false),
            }),
            Source::Unknown(name) => problems.add(path.field(name), "volumes of this kind are not supported yet"),
        }
    }
}

fn judge_aws(disk: &VolumeId<'_>, path: Path<'_>, problems: &Problems, judged: &mut Vec<PodVolume>) {
    let Some(handle) = in_tree::aws_handle(&disk.volume_id) else {
        let problem = format_args!("{:?} is not the id of an AWS volume", brief(&disk.volume_id));
        problems.add(path.field("awsElasticBlockStore").field("volumeID"), problem);
        return;
    };
    judged.push(PodVolume::AwsElasticBlockStore {
        id: intern(&disk.volume_id),
        read_only: disk.read_only.unwrap_or(false),
    });
    judged.push(in_tree_volume(in_tree::AWS_EBS, &handle));
}

fn judge_azure(disk: &AzureDisk<'_>, path: Path<'_>, problems: &Problems, judged: &mut Vec<PodVolume>) {
    if in_tree::azure_disk_is_managed(disk.kind.as_deref()) {
        judged.push(in_tree_volume(in_tree::AZURE_DISK, &disk.disk_uri));
    } else {
        problems.add(
            path.field("azureDisk").field("kind"),
            "only managed disks can be used: CSI knows no others",
        );
    }
}

fn in_tree_volume(plugin: InTreePlugin, handle: &str) -> PodVolume {
    PodVolume::InTree {
        plugin: intern(plugin.name),
        driver: intern(plugin.driver),
        handle: intern(handle),
    }
}
