//! Records: what the scheduler keeps of a Kubernetes object, self-contained and without interned ids.
//!
//! Decoders in `muster-api` make them, the engine folds them in, recordings hold them. A record never refers to another
//! object by anything but its name.

use crate::Text;
use crate::group::{GroupLink, GroupPolicy, GroupStatus, GroupTerms, WhenBroken};
use crate::labels::Labels;
use crate::resource::{Charge, ResourceList, ScoringRequest};
use crate::selector::{LabelSelector, NodeSelectorTerm, PreferredTerm};
use crate::taint::{Taint, Toleration};
use std::sync::Arc;

/// The kinds of objects that the engine is told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1` Node.
    Node,
    /// `v1` Pod.
    Pod,
    /// `v1` Namespace.
    Namespace,
    /// `scheduling.k8s.io/v1` PriorityClass.
    PriorityClass,
    /// `scheduling.k8s.io/v1alpha1` Workload.
    Workload,
    /// `scheduling.k8s.io/v1beta1` PodGroup, of Kubernetes 1.37.
    PodGroup,
    /// `scheduling.k8s.io/v1alpha2` PodGroup, of Kubernetes 1.36.
    PodGroupV1Alpha2,
    /// `scheduling.x-k8s.io/v1alpha1` PodGroup: the coscheduling CRD of scheduler-plugins.
    CoschedulingPodGroup,
    /// `v1` Service: default spreading looks for the pods that it selects.
    Service,
    /// `v1` ReplicationController: likewise.
    ReplicationController,
    /// `apps/v1` ReplicaSet: likewise.
    ReplicaSet,
    /// `apps/v1` StatefulSet: likewise.
    StatefulSet,
    /// `v1` PersistentVolume.
    PersistentVolume,
    /// `v1` PersistentVolumeClaim.
    PersistentVolumeClaim,
    /// `storage.k8s.io/v1` StorageClass.
    StorageClass,
    /// `storage.k8s.io/v1` CSINode.
    CsiNode,
    /// `storage.k8s.io/v1` CSIDriver.
    CsiDriver,
    /// `storage.k8s.io/v1` CSIStorageCapacity.
    CsiStorageCapacity,
    /// `storage.k8s.io/v1` VolumeAttachment.
    VolumeAttachment,
}

impl Kind {
    /// Every kind, in the order in which they are best listed.
    pub const ALL: [Kind; 19] = [
        Kind::PriorityClass,
        Kind::Namespace,
        Kind::Workload,
        Kind::PodGroup,
        Kind::PodGroupV1Alpha2,
        Kind::CoschedulingPodGroup,
        Kind::Service,
        Kind::ReplicationController,
        Kind::ReplicaSet,
        Kind::StatefulSet,
        Kind::StorageClass,
        Kind::CsiDriver,
        Kind::CsiNode,
        Kind::CsiStorageCapacity,
        Kind::VolumeAttachment,
        Kind::PersistentVolume,
        Kind::PersistentVolumeClaim,
        Kind::Node,
        Kind::Pod,
    ];

    /// The name as Kubernetes writes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::Namespace => "Namespace",
            Kind::PriorityClass => "PriorityClass",
            Kind::Workload => "Workload",
            Kind::PodGroup | Kind::PodGroupV1Alpha2 | Kind::CoschedulingPodGroup => "PodGroup",
            Kind::Service => "Service",
            Kind::ReplicationController => "ReplicationController",
            Kind::ReplicaSet => "ReplicaSet",
            Kind::StatefulSet => "StatefulSet",
            Kind::PersistentVolume => "PersistentVolume",
            Kind::PersistentVolumeClaim => "PersistentVolumeClaim",
            Kind::StorageClass => "StorageClass",
            Kind::CsiNode => "CSINode",
            Kind::CsiDriver => "CSIDriver",
            Kind::CsiStorageCapacity => "CSIStorageCapacity",
            Kind::VolumeAttachment => "VolumeAttachment",
        }
    }

    /// Whether its objects live in namespaces.
    pub fn is_namespaced(self) -> bool {
        match self {
            Kind::Pod
            | Kind::Workload
            | Kind::PodGroup
            | Kind::PodGroupV1Alpha2
            | Kind::CoschedulingPodGroup
            | Kind::Service
            | Kind::ReplicationController
            | Kind::ReplicaSet
            | Kind::StatefulSet
            | Kind::PersistentVolumeClaim
            | Kind::CsiStorageCapacity => true,
            Kind::Node
            | Kind::Namespace
            | Kind::PriorityClass
            | Kind::PersistentVolume
            | Kind::StorageClass
            | Kind::CsiNode
            | Kind::CsiDriver
            | Kind::VolumeAttachment => false,
        }
    }

    /// Whether its objects hold the policies of pod groups. A cluster may lack such a kind, and may get it, or lose it,
    /// while we run.
    pub fn holds_group_policies(self) -> bool {
        matches!(
            self,
            Kind::Workload | Kind::PodGroup | Kind::PodGroupV1Alpha2 | Kind::CoschedulingPodGroup
        )
    }
}

/// The version of an object, as a number: the API server's versions of one kind only grow. 0 is "unknown".
pub type ResourceVersion = u64;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// Its labels.
    pub labels: Labels,
    /// Its taints, in their order.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`: cordoned.
    pub unschedulable: bool,
    /// What pods may use in all.
    pub allocatable: ResourceList,
    /// How many pods it may run.
    pub allowed_pods: i64,
    /// Images that it has.
    pub images: Box<[NodeImage]>,
    /// `status.declaredFeatures`, sorted.
    pub declared_features: Box<[Text]>,
}

/// An image on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeImage {
    /// All its names, as the node reports them.
    pub names: Box<[Text]>,
    /// Bytes.
    pub size: i64,
}

/// Where a pod stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PodPhase {
    /// Pending, Running or Unknown: it holds, or will hold, its resources.
    Active,
    /// Finished well; holds nothing any more.
    Succeeded,
    /// Finished badly; holds nothing any more.
    Failed,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the node that a pod needs for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// The address; empty and `0.0.0.0` both mean all addresses and are stored as `0.0.0.0`.
    pub ip: Text,
    /// The protocol.
    pub protocol: Protocol,
    /// 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// Whether two pods with these ports cannot share a node.
    /// Source: `k8s.io/kubernetes/pkg/scheduler/framework.HostPortInfo.CheckConflict`.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        const ALL: &str = "0.0.0.0";
        self.protocol == other.protocol
            && self.port == other.port
            && (self.ip == other.ip || &*self.ip == ALL || &*other.ip == ALL)
    }
}

/// Which namespaces a pod affinity term looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct NamespaceScope {
    /// Namespaces by name, sorted. The decoder has put the pod's own here when the term states none at all.
    pub names: Box<[Text]>,
    /// Namespaces by label, beside those by name.
    pub selector: Option<LabelSelector>,
}

impl NamespaceScope {
    /// Whether the namespace of this name and with these labels is in scope.
    pub fn contains(&self, name: &str, labels: Option<&Labels>) -> bool {
        self.names.iter().any(|n| &**n == name)
            || self.selector.as_ref().is_some_and(|selector| match labels {
                Some(labels) => selector.matches(labels),
                // A namespace that has not been seen yet: treat it as without labels.
                None => selector.matches(&Labels::default()),
            })
    }
}

/// A required pod (anti-)affinity term.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodAffinityTerm {
    /// Which pods; none selects nothing.
    pub selector: Option<LabelSelector>,
    /// In which namespaces.
    pub namespaces: NamespaceScope,
    /// The node label whose equal values make a domain.
    pub topology_key: Text,
}

impl PodAffinityTerm {
    /// Whether a pod with these labels in this namespace is one that the term speaks of.
    pub fn selects(&self, namespace: &str, namespace_labels: Option<&Labels>, labels: &Labels) -> bool {
        self.selector.as_ref().is_some_and(|s| s.matches(labels))
            && self.namespaces.contains(namespace, namespace_labels)
    }
}

/// A preference for nodes by the pods in their domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightedPodAffinityTerm {
    /// 1 to 100.
    pub weight: i32,
    /// Which pods, in which domain.
    pub term: PodAffinityTerm,
}

/// What becomes of a pod that a spread constraint speaks against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WhenUnsatisfiable {
    /// It is not placed there.
    DoNotSchedule,
    /// It is rather placed elsewhere.
    ScheduleAnyway,
}

/// One of `spec.topologySpreadConstraints`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpreadConstraint {
    /// Which pods are counted and by which node label. The namespace is the pod's own, and the decoder has joined the
    /// values of `matchLabelKeys` to the selector.
    pub pods: PodAffinityTerm,
    /// By how many pods domains may differ.
    pub max_skew: i32,
    /// Hard or soft.
    pub when_unsatisfiable: WhenUnsatisfiable,
    /// The fewest domains that are to be used; none means 1. Hard constraints only.
    pub min_domains: Option<i32>,
    /// Whether only nodes count that the pod's node selector and required node affinity allow (default).
    pub honor_node_affinity: bool,
    /// Whether only nodes count whose taints the pod tolerates (not the default).
    pub honor_node_taints: bool,
}

/// A controller whose selector default spreading uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControllerRef {
    /// ReplicationController, ReplicaSet or StatefulSet; pods of other controllers carry none.
    pub kind: Kind,
    /// Its name, in the namespace of the pod.
    pub name: Text,
}

/// A claim by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey {
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
}

/// A volume of a pod that nodes are judged for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PodVolume {
    /// A persistent volume claim.
    Claim {
        /// Which.
        claim: ClaimKey,
        /// The claim is made from the pod's `ephemeral` volume, and has to be owned by the pod.
        ephemeral: bool,
    },
    /// A GCE disk named in the pod.
    GcePersistentDisk {
        /// `pdName`.
        name: Text,
        /// `readOnly`.
        read_only: bool,
    },
    /// An AWS disk named in the pod.
    AwsElasticBlockStore {
        /// `volumeID`.
        id: Text,
        /// `readOnly`.
        read_only: bool,
    },
    /// An Azure disk named in the pod.
    AzureDisk {
        /// `diskName`.
        name: Text,
        /// `diskURI`.
        uri: Text,
    },
    /// An iSCSI target named in the pod.
    Iscsi {
        /// `iqn`.
        iqn: Text,
        /// `readOnly`.
        read_only: bool,
    },
    /// A Ceph image named in the pod.
    Rbd {
        /// `monitors`.
        monitors: Box<[Text]>,
        /// `pool`.
        pool: Text,
        /// `image`.
        image: Text,
        /// `readOnly`.
        read_only: bool,
    },
    /// A volume named in the pod that counts against a CSI driver's limit after translation. A disk that has a variant of
    /// its own for what else is judged stands here as well.
    InTree {
        /// The in-tree plugin before translation, such as `kubernetes.io/cinder`: nodes tell which they have migrated.
        plugin: Text,
        /// The CSI driver that it is translated to.
        driver: Text,
        /// The handle that it is translated to.
        handle: Text,
    },
}

/// Something in a pod's spec that keeps it from being scheduled by this version of Muster, said for a person.
///
/// Such a pod waits: it is never placed as if the constraint were not there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unsupported {
    /// The field, for example `spec.volumes[0].persistentVolumeClaim`.
    pub field: Text,
    /// What stands there, for example `persistent volume claims are not supported yet`, or what is wrong with it.
    pub problem: Text,
}

/// What plugins read of a pod's spec. Twins (replicas of one template) have equal specs, and share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PodSpec {
    /// `spec.nodeName` of a pod that is judged although it names its node. Decoders leave it out: a pod that names its
    /// node is assigned, and its twins that are not should share its spec.
    pub node_name: Option<Text>,
    /// `spec.nodeSelector`.
    pub node_selector: Labels,
    /// The required node affinity: one of the terms must match. None states nothing.
    pub node_affinity: Option<Box<[NodeSelectorTerm]>>,
    /// The preferred node affinity.
    pub preferred_node_affinity: Box<[PreferredTerm]>,
    /// `spec.tolerations`.
    pub tolerations: Box<[Toleration]>,
    /// Host ports of all containers that keep running, sorted.
    pub host_ports: Box<[HostPort]>,
    /// What the pod asks for when it is placed.
    pub charge: Charge,
    /// The required affinity: the node's domains must hold pods of every term.
    pub affinity: Box<[PodAffinityTerm]>,
    /// The required anti-affinity: bars matching pods that come later, too, whoever placed this one.
    pub anti_affinity: Box<[PodAffinityTerm]>,
    /// The preferred affinity.
    pub preferred_affinity: Box<[WeightedPodAffinityTerm]>,
    /// The preferred anti-affinity.
    pub preferred_anti_affinity: Box<[WeightedPodAffinityTerm]>,
    /// The topology spread constraints.
    pub spread: Box<[SpreadConstraint]>,
    /// What the pod counts for when nodes are scored for it, where that is not what [`PodSpec::charge`] says of scoring;
    /// see [`PodSpec::scoring_request`].
    pub scoring: Option<ScoringRequest>,
    /// Images of init and regular containers in their order, names normalised as upstream does for locality.
    pub images: Box<[Text]>,
    /// Images that are mounted as volumes, likewise. Upstream counts them from 1.36 on.
    pub volume_images: Box<[Text]>,
    /// Features that the node has to declare, sorted.
    pub required_features: Box<[Text]>,
    /// Volumes that nodes are judged for, in their order.
    pub volumes: Box<[PodVolume]>,
    /// What Muster cannot honour.
    pub unsupported: Box<[Unsupported]>,
}

impl PodSpec {
    /// What the pod counts for when nodes are scored for it. Mostly what it will count for once it is placed; but of a pod
    /// that states requests of its own for some resource, upstream counts only the containers then.
    /// Source: `resourceAllocationScorer.calculatePodResourceRequest` and `PodInfo.CalculateResource`.
    pub fn scoring_request(&self) -> ScoringRequest {
        self.scoring.unwrap_or(ScoringRequest {
            milli_cpu: self.charge.scoring_milli_cpu,
            memory: self.charge.scoring_memory,
        })
    }
}

/// The `PodScheduled` condition as a pod carries it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodScheduledCondition {
    /// `Unschedulable`, `SchedulerError`, `NotReadyForScheduling`, `SchedulingGated` …
    pub reason: Text,
    /// What a person reads.
    pub message: Text,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRecord {
    /// `metadata.uid`: a pod made anew under an old name is another pod.
    pub uid: Text,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// `metadata.generation`, 0 when the server sets none; conditions say which one they saw.
    pub generation: i64,
    /// Its labels.
    pub labels: Labels,
    /// `spec.schedulerName`.
    pub scheduler_name: Text,
    /// `spec.nodeName`, once it is bound.
    pub node_name: Option<Text>,
    /// `status.nominatedNodeName`.
    pub nominated_node_name: Option<Text>,
    /// Where it stands in its life.
    pub phase: PodPhase,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// Its containers have been started: `status.phase` is Running.
    pub running: bool,
    /// Why the kubelet turned it away after it was bound, in the words of `status.reason`: `OutOfcpu`, `OutOfpods`,
    /// `UnexpectedAdmissionError` … Only of a pod that failed.
    pub turned_away: Option<Text>,
    /// `spec.priority`; None where no admission plugin has filled it in.
    pub priority: Option<i32>,
    /// `spec.priorityClassName`, to find the priority when it is not filled in.
    pub priority_class_name: Option<Text>,
    /// Names of `spec.schedulingGates`, in their order.
    pub scheduling_gates: Box<[Text]>,
    /// The pod group that it belongs to.
    pub group: Option<GroupLink>,
    /// What it states of its group's policy itself; only with [`GroupLink::Labels`].
    pub group_terms: Option<GroupTerms>,
    /// The controller that made it, if default spreading knows its kind.
    pub controller: Option<ControllerRef>,
    /// What plugins read of its spec.
    pub spec: Arc<PodSpec>,
    /// What it takes from its node now: an in-place resize changes it. Equals `spec.charge` for a pod without a node.
    pub charge: Charge,
    /// Its `PodScheduled` condition when that is False.
    pub condition: Option<PodScheduledCondition>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRecord {
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// Its labels.
    pub labels: Labels,
}

/// A priority class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityClassRecord {
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// The priority of its pods.
    pub value: i32,
    /// Whether it is meant for pods that name no class.
    pub global_default: bool,
}

/// A Service, ReplicationController, ReplicaSet or StatefulSet: something whose selector tells which pods belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorOwnerRecord {
    /// Which of the four.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// `spec.selector`. None: it states none, and selects nothing.
    pub selector: Option<LabelSelector>,
}

/// A `Workload` of Kubernetes 1.35.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadRecord {
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// `metadata.uid`.
    pub uid: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// Its pod groups by name, each with its policy or what is wrong with it.
    pub pod_groups: Vec<(Text, Result<GroupPolicy, Text>)>,
    /// What its annotation says about [`WhenBroken`], or what is wrong with that.
    pub when_broken: Option<Result<WhenBroken, Text>>,
}

/// A `PodGroup`: of Kubernetes 1.36, of 1.37, or of the coscheduling CRD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodGroupRecord {
    /// Which of the three.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// `metadata.uid`.
    pub uid: Text,
    /// Its version.
    pub resource_version: ResourceVersion,
    /// `metadata.generation`; 0 where the server counts none.
    pub generation: i64,
    /// Its policy, or what is wrong with it, naming the field.
    pub policy: Result<GroupPolicy, Text>,
    /// What its annotation says about [`WhenBroken`], or what is wrong with that.
    pub when_broken: Option<Result<WhenBroken, Text>>,
    /// `spec.priority`, where the API has one and admission has filled it in.
    pub priority: Option<i32>,
    /// It has a deletion timestamp.
    pub terminating: bool,
    /// What Muster cannot honour: members wait, and say so.
    pub unsupported: Box<[Unsupported]>,
    /// What its status says of its scheduling.
    pub status: Option<GroupStatus>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_ports_conflict_by_protocol_port_and_address() {
        let port = |ip: &str, protocol, port| HostPort {
            ip: ip.into(),
            protocol,
            port,
        };
        let all = port("0.0.0.0", Protocol::Tcp, 80);
        assert!(all.conflicts(&port("10.0.0.1", Protocol::Tcp, 80)));
        assert!(port("10.0.0.1", Protocol::Tcp, 80).conflicts(&all));
        assert!(!port("10.0.0.1", Protocol::Tcp, 80).conflicts(&port("10.0.0.2", Protocol::Tcp, 80)));
        assert!(!all.conflicts(&port("0.0.0.0", Protocol::Udp, 80)));
        assert!(!all.conflicts(&port("0.0.0.0", Protocol::Tcp, 81)));
    }

    #[test]
    fn a_namespace_scope_unites_names_and_selector() {
        let scope = NamespaceScope {
            names: Box::new(["a".into()]),
            selector: None,
        };
        assert!(scope.contains("a", None) && !scope.contains("b", None));
        let everywhere = NamespaceScope {
            names: Box::new([]),
            selector: Some(LabelSelector::default()),
        };
        assert!(everywhere.contains("b", None));
    }
}
