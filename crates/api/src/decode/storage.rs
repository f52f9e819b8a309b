//! The storage kinds: persistent volumes, claims, classes, and what CSI drivers say of nodes and of what is left.

use super::in_tree::{self, InTreePlugin};
use super::intern::intern;
use super::json::{List, Map, QuantityText, Str, Struct};
use super::path::{Path, Problems};
use super::pod_volume::{AzureDisk, GceDisk, VolumeId};
use super::selector::{LabelSelectorJson, NodeSelectorJson};
use super::{Fault, Metadata, kube_object};
use muster_framework::Text;
use muster_framework::labels::Labels;
use muster_framework::quantity::Quantity;
use muster_framework::record::ClaimKey;
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, Requirement};
use muster_framework::volume::{
    AccessModes, AttachmentRecord, ClaimPhase, ClaimRecord, CsiDriverRecord, CsiNodeDriver, CsiNodeRecord,
    StorageCapacityRecord, StorageClassRecord, VolumeClaimRef, VolumePhase, VolumeRecord, VolumeSource,
};
use serde::Deserialize;

kube_object! {
    /// `v1` PersistentVolume.
    Volume {
        #[serde(borrow)]
        spec: Struct<VolumeSpec<'a>>,
        #[serde(borrow)]
        status: Struct<Status<'a>>,
    }
}

/// Of a persistent volume, or of an attachment that has none.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct VolumeSpec<'a> {
    #[serde(borrow)]
    capacity: Map<'a, QuantityText<'a>>,
    #[serde(borrow)]
    access_modes: List<Str<'a>>,
    #[serde(borrow)]
    volume_mode: Str<'a>,
    #[serde(borrow)]
    storage_class_name: Str<'a>,
    #[serde(borrow)]
    volume_attributes_class_name: Str<'a>,
    #[serde(borrow)]
    node_affinity: Struct<VolumeAffinity<'a>>,
    #[serde(borrow)]
    claim_ref: Option<Struct<ClaimRef<'a>>>,
    #[serde(borrow)]
    csi: Option<Struct<Csi<'a>>>,
    #[serde(borrow)]
    gce_persistent_disk: Option<Struct<GceDisk<'a>>>,
    #[serde(borrow)]
    aws_elastic_block_store: Option<Struct<VolumeId<'a>>>,
    #[serde(borrow)]
    azure_disk: Option<Struct<AzureDisk<'a>>>,
    #[serde(borrow)]
    cinder: Option<Struct<VolumeId<'a>>>,
    #[serde(borrow)]
    portworx_volume: Option<Struct<VolumeId<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VolumeAffinity<'a> {
    #[serde(borrow)]
    required: Option<Struct<NodeSelectorJson<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimRef<'a> {
    #[serde(borrow)]
    namespace: Str<'a>,
    #[serde(borrow)]
    name: Str<'a>,
    #[serde(borrow)]
    uid: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Csi<'a> {
    #[serde(borrow)]
    driver: Str<'a>,
    #[serde(borrow)]
    volume_handle: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow)]
    phase: Str<'a>,
}

impl Volume<'_> {
    pub(super) fn record(&self) -> Result<VolumeRecord, Fault> {
        let Volume {
            metadata, spec, status, ..
        } = self;
        let labels = metadata.labels();
        let node_affinity = spec.node_affinity.required.as_ref().map(|required| affinity(required));
        let (source, in_tree) = spec.source(&labels);
        let migrated = in_tree.and_then(|plugin| plugin.migrated_affinity(node_affinity.as_deref(), &labels));
        Ok(VolumeRecord {
            name: intern(&metadata.name),
            uid: Text::from(&*metadata.uid),
            resource_version: metadata.version(),
            terminating: metadata.deletion_timestamp.is_some(),
            capacity: storage(&spec.capacity, Path::Root("spec.capacity"))?,
            access_modes: access_modes(&spec.access_modes),
            block: *spec.volume_mode == *"Block",
            storage_class: volume_class(metadata, &spec.storage_class_name),
            attributes_class: intern(&spec.volume_attributes_class_name),
            node_affinity,
            migrated_node_affinity: migrated,
            claim: spec.claim_ref.as_ref().map(|claim| claim.record()),
            phase: volume_phase(&status.phase),
            source,
            in_tree: in_tree.map_or_else(|| intern(""), |plugin| intern(plugin.name)),
            bound_by_controller: metadata.annotations.bound_by_controller.is_some(),
            labels,
        })
    }
}

impl VolumeSpec<'_> {
    /// What stands behind the volume, and through which in-tree plugin it is named. A source that upstream's scheduler
    /// does not take for migrated, or that cannot be translated, is none that counts.
    /// Source: `CSITranslator.TranslateInTreePVToCSI`.
    fn source(&self, labels: &Labels) -> (VolumeSource, Option<InTreePlugin>) {
        if let Some(csi) = &self.csi {
            return (csi_source(&csi.driver, &csi.volume_handle), None);
        }
        let translated = if let Some(disk) = &self.gce_persistent_disk {
            in_tree::gce_volume_handle(&disk.pd_name, labels).map(|handle| (in_tree::GCE_PD, handle))
        } else if let Some(disk) = &self.aws_elastic_block_store {
            in_tree::aws_handle(&disk.volume_id).map(|handle| (in_tree::AWS_EBS, handle.into_owned()))
        } else if let Some(disk) = &self.azure_disk {
            in_tree::azure_disk_is_managed(disk.kind.as_deref())
                .then(|| (in_tree::AZURE_DISK, disk.disk_uri.to_string()))
        } else if let Some(disk) = &self.cinder {
            Some((in_tree::CINDER, disk.volume_id.to_string()))
        } else {
            let disk = self.portworx_volume.as_ref();
            disk.map(|disk| (in_tree::PORTWORX, disk.volume_id.to_string()))
        };
        match translated {
            Some((plugin, handle)) => (csi_source(plugin.driver, &handle), Some(plugin)),
            None => (VolumeSource::Other, None),
        }
    }
}

impl ClaimRef<'_> {
    fn record(&self) -> VolumeClaimRef {
        VolumeClaimRef {
            claim: ClaimKey {
                namespace: intern(&self.namespace),
                name: Text::from(&*self.name),
            },
            uid: Text::from(&*self.uid),
        }
    }
}

fn csi_source(driver: &str, handle: &str) -> VolumeSource {
    VolumeSource::Csi {
        driver: intern(driver),
        handle: Text::from(handle),
    }
}

/// The node affinity of a volume. Only labels are looked at: a condition on fields always holds. A term that cannot be
/// read matches no node. Source: `CheckNodeAffinity` of `k8s.io/component-helpers/storage/volume`, which asks about a node
/// without a name, and `LazyErrorNodeSelector.Match`.
fn affinity(required: &NodeSelectorJson<'_>) -> Box<[NodeSelectorTerm]> {
    let terms = required.node_selector_terms.iter().map(|term| {
        let mut term = term
            .read(Path::Root("spec.nodeAffinity"), &Problems::default())
            .unwrap_or_default();
        if !std::mem::take(&mut term.match_fields).is_empty() && term.match_expressions.is_empty() {
            term.match_expressions = Box::new([holds_everywhere()]);
        }
        term
    });
    terms.collect()
}

/// No label has an empty key.
fn holds_everywhere() -> Requirement {
    Requirement {
        key: intern(""),
        operator: Operator::DoesNotExist,
        values: Box::new([]),
    }
}

/// Source: `GetPersistentVolumeClass`: the old annotation comes first.
fn volume_class(metadata: &Metadata<'_>, stated: &str) -> Text {
    intern(metadata.annotations.beta_storage_class.as_deref().unwrap_or(stated))
}

fn volume_phase(phase: &str) -> VolumePhase {
    match phase {
        "Available" => VolumePhase::Available,
        "Bound" => VolumePhase::Bound,
        "Released" => VolumePhase::Released,
        "Failed" => VolumePhase::Failed,
        _ => VolumePhase::Pending,
    }
}

fn access_modes(names: &[Str<'_>]) -> AccessModes {
    let has = |name: &str| names.iter().any(|n| **n == *name);
    AccessModes {
        read_write_once: has("ReadWriteOnce"),
        read_only_many: has("ReadOnlyMany"),
        read_write_many: has("ReadWriteMany"),
        read_write_once_pod: has("ReadWriteOncePod"),
    }
}

/// The amount of storage among resources, 0 if none is stated.
fn storage(resources: &Map<'_, QuantityText<'_>>, path: Path<'_>) -> Result<i64, Fault> {
    let stated = resources.get("storage");
    stated.map_or(Ok(0), |text| bytes(text, path.field("storage")))
}

fn bytes(text: &str, path: Path<'_>) -> Result<i64, Fault> {
    let quantity = Quantity::parse(text).map_err(|problem| Fault::new(path, problem))?;
    Ok(quantity.value())
}

kube_object! {
    /// `v1` PersistentVolumeClaim.
    Claim {
        #[serde(borrow)]
        spec: Struct<ClaimSpec<'a>>,
        #[serde(borrow)]
        status: Struct<Status<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSpec<'a> {
    #[serde(borrow)]
    volume_name: Str<'a>,
    #[serde(borrow)]
    storage_class_name: Option<Str<'a>>,
    #[serde(borrow)]
    volume_attributes_class_name: Str<'a>,
    #[serde(borrow)]
    access_modes: List<Str<'a>>,
    #[serde(borrow)]
    volume_mode: Str<'a>,
    #[serde(borrow)]
    resources: Struct<ClaimResources<'a>>,
    #[serde(borrow)]
    selector: Option<Struct<LabelSelectorJson<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimResources<'a> {
    #[serde(borrow)]
    requests: Map<'a, QuantityText<'a>>,
}

impl Claim<'_> {
    pub(super) fn record(&self) -> Result<ClaimRecord, Fault> {
        let Claim {
            metadata, spec, status, ..
        } = self;
        let annotations = &metadata.annotations;
        // Source: `GetPersistentVolumeClaimClass`: the old annotation comes first.
        let class = annotations
            .beta_storage_class
            .as_ref()
            .or(spec.storage_class_name.as_ref());
        Ok(ClaimRecord {
            key: ClaimKey {
                namespace: metadata.namespace(),
                name: Text::from(&*metadata.name),
            },
            uid: Text::from(&*metadata.uid),
            resource_version: metadata.version(),
            terminating: metadata.deletion_timestamp.is_some(),
            owner_pod: metadata
                .controller()
                .map_or_else(|| intern(""), |owner| Text::from(&*owner.uid)),
            volume: Text::from(&*spec.volume_name),
            storage_class: class.map(|class| intern(class)),
            attributes_class: intern(&spec.volume_attributes_class_name),
            access_modes: access_modes(&spec.access_modes),
            block: *spec.volume_mode == *"Block",
            request: storage(&spec.resources.requests, Path::Root("spec.resources.requests"))?,
            selector: legible(spec.selector.as_ref(), Path::Root("spec.selector"))?,
            phase: match &*status.phase {
                "Bound" => ClaimPhase::Bound,
                "Lost" => ClaimPhase::Lost,
                _ => ClaimPhase::Pending,
            },
            bind_completed: annotations.bind_completed.is_some(),
            selected_node: intern(&annotations.selected_node),
        })
    }
}

/// A selector that has to be legible: who asks for volumes by it gets none otherwise, and should be told why.
fn legible(selector: Option<&Struct<LabelSelectorJson<'_>>>, path: Path<'_>) -> Result<Option<LabelSelector>, Fault> {
    let problems = Problems::default();
    let read = selector.map(|selector| selector.read(path, &problems));
    match (read, problems.into_list().first()) {
        (_, Some(problem)) => Err(Fault::new(&problem.field, &problem.problem)),
        (read, None) => Ok(read.flatten()),
    }
}

kube_object! {
    /// `storage.k8s.io/v1` StorageClass.
    StorageClass {
        #[serde(borrow)]
        provisioner: Str<'a>,
        #[serde(borrow)]
        volume_binding_mode: Option<Str<'a>>,
        #[serde(borrow)]
        allowed_topologies: List<Struct<TopologyTermJson<'a>>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct TopologyTermJson<'a> {
    #[serde(borrow)]
    match_label_expressions: List<Struct<TopologyRequirementJson<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TopologyRequirementJson<'a> {
    #[serde(borrow)]
    key: Str<'a>,
    #[serde(borrow)]
    values: List<Str<'a>>,
}

impl StorageClass<'_> {
    pub(super) fn record(&self) -> Result<StorageClassRecord, Fault> {
        let mode = self.volume_binding_mode.as_ref();
        Ok(StorageClassRecord {
            name: intern(&self.metadata.name),
            resource_version: self.metadata.version(),
            provisioner: intern(&self.provisioner),
            wait_for_first_consumer: mode.map(|mode| **mode == *"WaitForFirstConsumer"),
            allowed_topologies: self.allowed_topologies.iter().map(|term| term.record()).collect(),
        })
    }
}

impl TopologyTermJson<'_> {
    /// The term; without values for a key it matches no node.
    /// Source: `MatchTopologySelectorTerms` of `k8s.io/kubernetes/pkg/apis/core/v1/helper`.
    fn record(&self) -> NodeSelectorTerm {
        let requirements = self.match_label_expressions.iter();
        if requirements.clone().any(|r| r.key.is_empty() || r.values.is_empty()) {
            return NodeSelectorTerm::default();
        }
        let requirements = requirements.map(|r| Requirement {
            key: intern(&r.key),
            operator: Operator::In,
            values: r.values.iter().map(|value| intern(value)).collect(),
        });
        NodeSelectorTerm {
            match_expressions: requirements.collect(),
            match_fields: Box::new([]),
        }
    }
}

kube_object! {
    /// `storage.k8s.io/v1` CSINode.
    CsiNode {
        #[serde(borrow)]
        spec: Struct<CsiNodeSpec<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CsiNodeSpec<'a> {
    #[serde(borrow)]
    drivers: List<Struct<DriverJson<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DriverJson<'a> {
    #[serde(borrow)]
    name: Str<'a>,
    allocatable: Struct<Allocatable>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Allocatable {
    count: Option<i64>,
}

impl CsiNode<'_> {
    pub(super) fn record(&self) -> Result<CsiNodeRecord, Fault> {
        let drivers = self.spec.drivers.iter().map(|driver| CsiNodeDriver {
            name: intern(&driver.name),
            limit: driver.allocatable.count,
        });
        let migrated = self.metadata.annotations.migrated_plugins.split(',');
        Ok(CsiNodeRecord {
            name: intern(&self.metadata.name),
            resource_version: self.metadata.version(),
            drivers: drivers.collect(),
            migrated_plugins: migrated.filter(|name| !name.is_empty()).map(intern).collect(),
        })
    }
}

kube_object! {
    /// `storage.k8s.io/v1` CSIDriver.
    CsiDriver {
        spec: Struct<CsiDriverSpec>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct CsiDriverSpec {
    storage_capacity: Option<bool>,
    prevent_pod_scheduling_if_missing: Option<bool>,
}

impl CsiDriver<'_> {
    pub(super) fn record(&self) -> Result<CsiDriverRecord, Fault> {
        Ok(CsiDriverRecord {
            name: intern(&self.metadata.name),
            resource_version: self.metadata.version(),
            storage_capacity: self.spec.storage_capacity.unwrap_or(false),
            prevent_scheduling_if_missing: self.spec.prevent_pod_scheduling_if_missing.unwrap_or(false),
        })
    }
}

kube_object! {
    /// `storage.k8s.io/v1` CSIStorageCapacity.
    StorageCapacity {
        #[serde(borrow)]
        storage_class_name: Str<'a>,
        #[serde(borrow)]
        node_topology: Option<Struct<LabelSelectorJson<'a>>>,
        #[serde(borrow)]
        capacity: Option<QuantityText<'a>>,
        #[serde(borrow)]
        maximum_volume_size: Option<QuantityText<'a>>,
    }
}

impl StorageCapacity<'_> {
    /// A topology that cannot be read is no node. Source: `volumeBinder.nodeHasAccess`.
    pub(super) fn record(&self) -> Result<StorageCapacityRecord, Fault> {
        let topology = self.node_topology.as_ref();
        let size = |text: &Option<QuantityText<'_>>, field| {
            text.as_ref().map(|text| bytes(text, Path::Root(field))).transpose()
        };
        Ok(StorageCapacityRecord {
            namespace: self.metadata.namespace(),
            name: Text::from(&*self.metadata.name),
            resource_version: self.metadata.version(),
            storage_class: intern(&self.storage_class_name),
            node_topology: topology.and_then(|t| t.read(Path::Root("nodeTopology"), &Problems::default())),
            capacity: size(&self.capacity, "capacity")?,
            maximum_volume_size: size(&self.maximum_volume_size, "maximumVolumeSize")?,
        })
    }
}

kube_object! {
    /// `storage.k8s.io/v1` VolumeAttachment.
    Attachment {
        #[serde(borrow)]
        spec: Struct<AttachmentSpec<'a>>,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AttachmentSpec<'a> {
    #[serde(borrow)]
    attacher: Str<'a>,
    #[serde(borrow)]
    node_name: Str<'a>,
    #[serde(borrow)]
    source: Struct<AttachmentSource<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AttachmentSource<'a> {
    #[serde(borrow)]
    persistent_volume_name: Str<'a>,
    #[serde(borrow)]
    inline_volume_spec: Option<Struct<VolumeSpec<'a>>>,
}

impl Attachment<'_> {
    pub(super) fn record(&self) -> Result<AttachmentRecord, Fault> {
        let source = &self.spec.source;
        let inline = source.inline_volume_spec.as_ref();
        Ok(AttachmentRecord {
            name: Text::from(&*self.metadata.name),
            resource_version: self.metadata.version(),
            attacher: intern(&self.spec.attacher),
            node_name: intern(&self.spec.node_name),
            volume: Text::from(&*source.persistent_volume_name),
            inline: inline.map_or(VolumeSource::Other, |spec| spec.source(&Labels::default()).0),
        })
    }
}
