//! A small cluster with storage, and what the plugins say of a pod in it, as text.

use muster_framework::Text;
use muster_framework::compiled::CompiledSpec;
use muster_framework::labels::Labels;
use muster_framework::plugin::{PodToPlace, PreFilter};
use muster_framework::record::{ClaimKey, NodeRecord, PodSpec, PodVolume};
use muster_framework::rejection::Rejections;
use muster_framework::resource::ResourceList;
use muster_framework::rules::KubeMinor;
use muster_framework::selection::PodIdentity;
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, Requirement};
use muster_framework::table::{Footprint, NodeOrd, NodeTable};
use muster_framework::view::{Delta, View};
use muster_framework::volume::{
    AccessModes, AttachmentRecord, ClaimPhase, ClaimRecord, CsiDriverRecord, CsiNodeDriver, CsiNodeRecord,
    StorageCapacityRecord, StorageClassRecord, StorageObject, VolumeClaimRef, VolumePhase, VolumeRecord, VolumeSource,
};
use muster_plugins::args::{PluginArgs, ShapePoint};
use muster_plugins::{Profile, ProfileSpec};

pub(crate) const ALL: [&str; 4] = ["VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone"];
pub(crate) const MINORS: [KubeMinor; 3] = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];

/// A pod with volumes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pod {
    pub(crate) uid: Text,
    pub(crate) spec: PodSpec,
}

pub(crate) fn pod(volumes: impl IntoIterator<Item = PodVolume>) -> Pod {
    Pod {
        uid: "pod-uid".into(),
        spec: PodSpec {
            volumes: volumes.into_iter().collect(),
            ..PodSpec::default()
        },
    }
}

pub(crate) struct Scene {
    pub(crate) table: NodeTable,
    pub(crate) minor: KubeMinor,
    pub(crate) shape: Vec<ShapePoint>,
}

impl Scene {
    /// Nodes `n0`, `n1` … with these labels.
    pub(crate) fn new(minor: KubeMinor, nodes: &[&[(&str, &str)]]) -> Scene {
        let mut table = NodeTable::new();
        for (at, labels) in nodes.iter().enumerate() {
            table.apply(&node(&format!("n{at}"), labels));
        }
        Scene {
            table,
            minor,
            shape: vec![],
        }
    }

    pub(crate) fn with(mut self, objects: impl IntoIterator<Item = StorageObject>) -> Scene {
        for object in objects {
            self.table.volumes_mut().apply(object);
        }
        self
    }

    pub(crate) fn with_pod(mut self, node: u32, volumes: impl IntoIterator<Item = PodVolume>) -> Scene {
        place(&mut self.table, NodeOrd(node), &pod(volumes));
        self
    }

    /// What these plugins say of the pod.
    pub(crate) fn judge(&mut self, plugins: &[&str], pod: &Pod) -> String {
        self.judge_on(plugins, pod, &Delta::default())
    }

    pub(crate) fn judge_on(&mut self, plugins: &[&str], pod: &Pod, delta: &Delta) -> String {
        let mut spec = ProfileSpec {
            scheduler_name: "test".into(),
            pre_enqueue: vec![],
            filters: plugins.iter().map(|name| Text::from(*name)).collect(),
            scores: vec![("VolumeBinding".into(), 1)],
            args: PluginArgs::default(),
        };
        spec.args.volume_binding.shape = self.shape.clone();
        let profile = Profile::new(&spec, self.minor, &mut self.table);
        let compiled = CompiledSpec::compile(&pod.spec, &mut self.table);
        let labels = Labels::default();
        let pod = to_place(pod, &compiled, &labels);
        judge(&profile, &View::new(&self.table, delta), &pod)
    }
}

pub(crate) fn to_place<'a>(pod: &'a Pod, compiled: &'a CompiledSpec, labels: &'a Labels) -> PodToPlace<'a> {
    PodToPlace {
        uid: &pod.uid,
        namespace: "ns",
        name: "pod",
        namespace_labels: None,
        labels,
        terminating: false,
        spec: &pod.spec,
        compiled,
        default_selection: None,
    }
}

/// One line for the pod, or one for each node, and one with the scores.
pub(crate) fn judge(profile: &Profile, view: &View<'_>, pod: &PodToPlace<'_>) -> String {
    let table = view.table();
    let mut nodes = table.live().clone();
    nodes.grow(table.padded_len());
    let mut rejections = Rejections::detailed();
    let mut judging = Vec::new();
    for (plugin, filter) in profile.filters() {
        match filter.pre_filter(pod, view) {
            PreFilter::Skip => {}
            PreFilter::Judge => judging.push((plugin, filter)),
            PreFilter::Narrow(_) => panic!("no volume plugin narrows"),
            PreFilter::Reject(code, reasons) => {
                let reasons: Vec<String> = reasons.iter().map(|reason| reason.text(table)).collect();
                return format!("{} {plugin}: {}", code.name(), reasons.join(" + "));
            }
        }
    }
    for (plugin, filter) in &judging {
        rejections.begin(plugin);
        filter.filter(pod, view, &mut nodes, &mut rejections);
    }
    let mut lines: Vec<String> = nodes.iter().map(|node| format!("{} ok", table.name(node))).collect();
    for rejection in rejections.details() {
        let reasons: Vec<String> = rejection.reasons.iter().map(|reason| reason.text(table)).collect();
        let (node, code) = (table.name(rejection.node), rejection.code.name());
        lines.push(format!("{node} {code} {}: {}", rejection.plugin, reasons.join(" + ")));
    }
    lines.sort();
    for (plugin, _, score) in profile.scores().filter(|(_, _, score)| !score.skips(pod, view, &nodes)) {
        let mut column = vec![-7; table.padded_len()];
        score.score(pod, view, &nodes, &mut column);
        let scores: Vec<i64> = nodes.iter().map(|node| column[node.index()]).collect();
        lines.push(format!("{plugin} {scores:?}"));
    }
    if judging.is_empty() {
        lines.insert(0, "skip".to_owned());
    }
    lines.join("\n")
}

pub(crate) fn place(table: &mut NodeTable, node: NodeOrd, pod: &Pod) {
    let labels = Labels::default();
    table.add_pod(node, footprint(pod, &labels));
}

pub(crate) fn take_off(table: &mut NodeTable, node: NodeOrd, pod: &Pod) {
    let labels = Labels::default();
    table.remove_pod(node, footprint(pod, &labels));
}

pub(crate) fn footprint<'a>(pod: &'a Pod, labels: &'a Labels) -> Footprint<'a> {
    Footprint {
        identity: PodIdentity {
            namespace: "ns",
            namespace_labels: None,
            labels,
            terminating: false,
        },
        charge: &pod.spec.charge,
        spec: &pod.spec,
    }
}

// ---- objects -----------------------------------------------------------------------------------------------------

pub(crate) fn node(name: &str, labels: &[(&str, &str)]) -> NodeRecord {
    NodeRecord {
        name: name.into(),
        resource_version: 1,
        labels: labels.iter().copied().collect(),
        taints: vec![],
        unschedulable: false,
        allocatable: ResourceList::default(),
        allowed_pods: 100,
        images: Box::default(),
        declared_features: Box::default(),
    }
}

pub(crate) fn key(name: &str) -> ClaimKey {
    ClaimKey {
        namespace: "ns".into(),
        name: name.into(),
    }
}

/// A pod's mention of a claim.
pub(crate) fn uses(name: &str) -> PodVolume {
    PodVolume::Claim {
        claim: key(name),
        ephemeral: false,
    }
}

pub(crate) fn ephemeral(name: &str) -> PodVolume {
    PodVolume::Claim {
        claim: key(name),
        ephemeral: true,
    }
}

pub(crate) fn in_tree(plugin: &str, driver: &str, handle: &str) -> PodVolume {
    PodVolume::InTree {
        plugin: plugin.into(),
        driver: driver.into(),
        handle: handle.into(),
    }
}

/// An unbound claim of class `wait` that asks for 10.
pub(crate) fn claim(name: &str) -> ClaimRecord {
    ClaimRecord {
        key: key(name),
        uid: format!("{name}-uid").into(),
        resource_version: 1,
        terminating: false,
        owner_pod: "".into(),
        volume: "".into(),
        storage_class: Some("wait".into()),
        attributes_class: "".into(),
        access_modes: AccessModes {
            read_write_once: true,
            ..AccessModes::default()
        },
        block: false,
        request: 10,
        selector: None,
        phase: ClaimPhase::Pending,
        bind_completed: false,
        selected_node: "".into(),
    }
}

pub(crate) fn bound(name: &str, volume: &str) -> ClaimRecord {
    ClaimRecord {
        volume: volume.into(),
        bind_completed: true,
        phase: ClaimPhase::Bound,
        ..claim(name)
    }
}

/// A free volume of class `wait` with 10.
pub(crate) fn volume(name: &str) -> VolumeRecord {
    VolumeRecord {
        name: name.into(),
        uid: format!("{name}-uid").into(),
        resource_version: 1,
        labels: Labels::default(),
        terminating: false,
        capacity: 10,
        access_modes: AccessModes {
            read_write_once: true,
            ..AccessModes::default()
        },
        block: false,
        storage_class: "wait".into(),
        attributes_class: "".into(),
        node_affinity: None,
        migrated_node_affinity: None,
        claim: None,
        phase: VolumePhase::Available,
        source: VolumeSource::Csi {
            driver: "csi".into(),
            handle: name.into(),
        },
        in_tree: "".into(),
        bound_by_controller: false,
    }
}

pub(crate) fn reserved_for(claim: &str, uid: &str) -> Option<VolumeClaimRef> {
    Some(VolumeClaimRef {
        claim: key(claim),
        uid: uid.into(),
    })
}

pub(crate) fn class(name: &str, waits: Option<bool>, provisioner: &str) -> StorageClassRecord {
    StorageClassRecord {
        name: name.into(),
        resource_version: 1,
        provisioner: provisioner.into(),
        wait_for_first_consumer: waits,
        allowed_topologies: Box::default(),
    }
}

pub(crate) fn requires(key: &str, values: &[&str]) -> Requirement {
    Requirement {
        key: key.into(),
        operator: Operator::In,
        values: values.iter().map(|value| Text::from(*value)).collect(),
    }
}

/// One term with one requirement.
pub(crate) fn only_on(key: &str, values: &[&str]) -> Box<[NodeSelectorTerm]> {
    Box::new([NodeSelectorTerm {
        match_expressions: Box::new([requires(key, values)]),
        match_fields: Box::default(),
    }])
}

pub(crate) fn csi_node(name: &str, drivers: &[(&str, Option<i64>)]) -> CsiNodeRecord {
    let drivers = drivers.iter().map(|(name, limit)| CsiNodeDriver {
        name: (*name).into(),
        limit: *limit,
    });
    CsiNodeRecord {
        name: name.into(),
        resource_version: 1,
        drivers: drivers.collect(),
        migrated_plugins: Box::default(),
    }
}

pub(crate) fn csi_driver(name: &str, storage_capacity: bool, prevent: bool) -> StorageObject {
    StorageObject::CsiDriver(CsiDriverRecord {
        name: name.into(),
        resource_version: 1,
        storage_capacity,
        prevent_scheduling_if_missing: prevent,
    })
}

pub(crate) fn capacity(
    name: &str,
    topology: Option<Requirement>,
    capacity: i64,
    maximum: Option<i64>,
) -> StorageObject {
    StorageObject::Capacity(StorageCapacityRecord {
        namespace: "csi-system".into(),
        name: name.into(),
        resource_version: 1,
        storage_class: "wait".into(),
        node_topology: topology.map(|requirement| LabelSelector {
            requirements: Box::new([requirement]),
        }),
        capacity: Some(capacity),
        maximum_volume_size: maximum,
    })
}

pub(crate) fn attachment(name: &str, attacher: &str, node: &str, volume: &str) -> StorageObject {
    StorageObject::Attachment(AttachmentRecord {
        name: name.into(),
        resource_version: 1,
        attacher: attacher.into(),
        node_name: node.into(),
        volume: volume.into(),
        inline: VolumeSource::Other,
    })
}

impl From<ClaimRecord> for Object {
    fn from(record: ClaimRecord) -> Object {
        Object(StorageObject::Claim(Box::new(record)))
    }
}

impl From<VolumeRecord> for Object {
    fn from(record: VolumeRecord) -> Object {
        Object(StorageObject::Volume(Box::new(record)))
    }
}

impl From<StorageClassRecord> for Object {
    fn from(record: StorageClassRecord) -> Object {
        Object(StorageObject::Class(record))
    }
}

impl From<CsiNodeRecord> for Object {
    fn from(record: CsiNodeRecord) -> Object {
        Object(StorageObject::CsiNode(record))
    }
}

/// Lets records of several kinds stand in one list.
pub(crate) struct Object(StorageObject);

pub(crate) fn object(record: impl Into<Object>) -> StorageObject {
    record.into().0
}
