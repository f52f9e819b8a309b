//! Version 3 of the format: what stands in a line. Each name here is part of the format; see [`mirror_struct`].

use super::mirror::{Mirror, Pairs, Shared, Slice, mirror_enum, mirror_fields, mirror_struct};
use super::storage::StorageImage;
use muster_engine::{self as engine, EffectId, ObjectKey};
use muster_framework::Text;
use muster_framework::group::{
    self, CoschedulingPhase, GroupLink as GroupLinkRecord, GroupStatus, GroupTerms, WhenBroken,
};
use muster_framework::record::{
    ClaimKey, ControllerRef, HostPort, Kind, NamespaceRecord, NamespaceScope, NodeImage as ImageOnNode, NodeRecord,
    PodAffinityTerm, PodGroupRecord, PodPhase, PodRecord, PodScheduledCondition, PodSpec, PodVolume,
    PriorityClassRecord, Protocol, SelectorOwnerRecord, SpreadConstraint, Unsupported, WeightedPodAffinityTerm,
    WhenUnsatisfiable, WorkloadRecord,
};
use muster_framework::resource::{Charge, ResourceList, ScoringRequest};
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, PreferredTerm, Requirement};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use serde::{Deserialize, Serialize};

mirror_enum! {
    KindImage of Kind {
        Node, Pod, Namespace, PriorityClass, Workload, PodGroup, PodGroupV1Alpha2,
        CoschedulingPodGroup, Service, ReplicationController, ReplicaSet, StatefulSet,
        PersistentVolume, PersistentVolumeClaim, StorageClass, CsiNode, CsiDriver, CsiStorageCapacity, VolumeAttachment,
    }
}

mirror_enum! {
    PhaseImage of PodPhase { Active, Succeeded, Failed }
}

mirror_enum! {
    ProtocolImage of Protocol { Tcp, Udp, Sctp }
}

mirror_enum! {
    OperatorImage of Operator { In, NotIn, Exists, DoesNotExist, Gt, Lt }
}

mirror_enum! {
    EffectImage of TaintEffect { NoSchedule, PreferNoSchedule, NoExecute }
}

mirror_enum! {
    TolerationOperatorImage of TolerationOperator { Equal, Exists }
}

mirror_struct! {
    #[derive(Default)]
    ResourcesImage of ResourceList {
        ;
        milli_cpu: i64,
        memory: i64,
        ephemeral_storage: i64,
        scalars: Pairs<i64>,
    }
}

mirror_struct! {
    #[derive(Default)]
    ChargeImage of Charge {
        ;
        requests: ResourcesImage,
        scoring_milli_cpu: i64,
        scoring_memory: i64,
    }
}

mirror_struct! {
    ScoringRequestImage of ScoringRequest {
        milli_cpu: i64,
        memory: i64;
    }
}

mirror_struct! {
    RequirementImage of Requirement {
        key: Text,
        operator: OperatorImage;
        values: Slice<Text>,
    }
}

mirror_struct! {
    LabelSelectorImage of LabelSelector {
        ;
        requirements: Slice<RequirementImage>,
    }
}

mirror_struct! {
    NodeSelectorTermImage of NodeSelectorTerm {
        ;
        match_expressions: Slice<RequirementImage>,
        match_fields: Slice<RequirementImage>,
    }
}

mirror_struct! {
    PreferredTermImage of PreferredTerm {
        weight: i32,
        term: NodeSelectorTermImage;
    }
}

mirror_struct! {
    TaintImage of Taint {
        key: Text,
        effect: EffectImage;
        value: Text,
    }
}

mirror_struct! {
    TolerationImage of Toleration {
        operator: TolerationOperatorImage;
        key: Text,
        value: Text,
        effect: Option<EffectImage>,
    }
}

mirror_struct! {
    HostPortImage of HostPort {
        ip: Text,
        protocol: ProtocolImage,
        port: u16;
    }
}

mirror_struct! {
    #[derive(Default)]
    NamespacesImage of NamespaceScope {
        ;
        names: Slice<Text>,
        selector: Option<LabelSelectorImage>,
    }
}

mirror_struct! {
    PodAffinityTermImage of PodAffinityTerm {
        topology_key: Text;
        selector: Option<LabelSelectorImage>,
        namespaces: NamespacesImage,
    }
}

mirror_struct! {
    WeightedTermImage of WeightedPodAffinityTerm {
        weight: i32,
        term: PodAffinityTermImage;
    }
}

mirror_enum! {
    WhenUnsatisfiableImage of WhenUnsatisfiable { DoNotSchedule, ScheduleAnyway }
}

mirror_struct! {
    SpreadConstraintImage of SpreadConstraint {
        pods: PodAffinityTermImage,
        max_skew: i32,
        when_unsatisfiable: WhenUnsatisfiableImage;
        min_domains: Option<i32>,
        honor_node_affinity: bool,
        honor_node_taints: bool,
    }
}

mirror_struct! {
    ControllerImage of ControllerRef {
        kind: KindImage,
        name: Text;
    }
}

mirror_struct! {
    ClaimKeyImage of ClaimKey {
        namespace: Text,
        name: Text;
    }
}

mirror_fields! {
    VolumeImage of PodVolume {
        Claim { claim: ClaimKeyImage, ephemeral: bool },
        GcePersistentDisk { name: Text, read_only: bool },
        AwsElasticBlockStore { id: Text, read_only: bool },
        AzureDisk { name: Text, uri: Text },
        Iscsi { iqn: Text, read_only: bool },
        Rbd { monitors: Slice<Text>, pool: Text, image: Text, read_only: bool },
        InTree { plugin: Text, driver: Text, handle: Text },
    }
}

mirror_struct! {
    UnsupportedImage of Unsupported {
        field: Text,
        problem: Text;
    }
}

mirror_struct! {
    #[derive(Default)]
    PodSpecImage of PodSpec {
        ;
        node_name: Option<Text>,
        node_selector: Pairs<Text>,
        node_affinity: Option<Slice<NodeSelectorTermImage>>,
        preferred_node_affinity: Slice<PreferredTermImage>,
        tolerations: Slice<TolerationImage>,
        host_ports: Slice<HostPortImage>,
        charge: ChargeImage,
        scoring: Option<ScoringRequestImage>,
        affinity: Slice<PodAffinityTermImage>,
        anti_affinity: Slice<PodAffinityTermImage>,
        preferred_affinity: Slice<WeightedTermImage>,
        preferred_anti_affinity: Slice<WeightedTermImage>,
        spread: Slice<SpreadConstraintImage>,
        images: Slice<Text>,
        volume_images: Slice<Text>,
        required_features: Slice<Text>,
        volumes: Slice<VolumeImage>,
        unsupported: Slice<UnsupportedImage>,
    }
}

mirror_struct! {
    ConditionImage of PodScheduledCondition {
        reason: Text;
        message: Text,
    }
}

mirror_struct! {
    PodImage of PodRecord {
        uid: Text,
        namespace: Text,
        name: Text,
        resource_version: u64,
        scheduler_name: Text,
        phase: PhaseImage,
        spec: Shared<PodSpecImage>,
        charge: ChargeImage;
        generation: i64,
        labels: Pairs<Text>,
        node_name: Option<Text>,
        nominated_node_name: Option<Text>,
        terminating: bool,
        running: bool,
        turned_away: Option<Text>,
        priority: Option<i32>,
        priority_class_name: Option<Text>,
        scheduling_gates: Slice<Text>,
        group: Option<GroupLink>,
        group_terms: Option<TermsImage>,
        controller: Option<ControllerImage>,
        condition: Option<ConditionImage>,
    }
}

mirror_struct! {
    ImageOnNodeImage of ImageOnNode {
        names: Slice<Text>,
        size: i64;
    }
}

mirror_struct! {
    NodeImage of NodeRecord {
        name: Text,
        resource_version: u64,
        allocatable: ResourcesImage,
        allowed_pods: i64;
        labels: Pairs<Text>,
        taints: Vec<TaintImage>,
        unschedulable: bool,
        images: Slice<ImageOnNodeImage>,
        declared_features: Slice<Text>,
    }
}

mirror_struct! {
    NamespaceImage of NamespaceRecord {
        name: Text,
        resource_version: u64;
        labels: Pairs<Text>,
    }
}

mirror_struct! {
    PriorityClassImage of PriorityClassRecord {
        name: Text,
        resource_version: u64,
        value: i32;
        global_default: bool,
    }
}

mirror_struct! {
    SelectorOwnerImage of SelectorOwnerRecord {
        kind: KindImage,
        namespace: Text,
        name: Text,
        resource_version: u64;
        selector: Option<LabelSelectorImage>,
    }
}

mirror_struct! {
    WorkloadImage of WorkloadRecord {
        namespace: Text,
        name: Text,
        uid: Text,
        resource_version: u64;
        pod_groups: Vec<PodGroup>,
        when_broken: Option<WhenBrokenOrProblem>,
    }
}

mirror_struct! {
    PodGroupImage of PodGroupRecord {
        kind: KindImage,
        namespace: Text,
        name: Text,
        uid: Text,
        resource_version: u64,
        policy: Policy;
        generation: i64,
        when_broken: Option<WhenBrokenOrProblem>,
        priority: Option<i32>,
        terminating: bool,
        unsupported: Slice<UnsupportedImage>,
        status: Option<GroupStatusImage>,
    }
}

mirror_enum! {
    WhenBrokenImage of WhenBroken { Keep, Evict }
}

/// What an annotation says, or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) enum WhenBrokenOrProblem {
    Says(WhenBrokenImage),
    Malformed { problem: Text },
}

impl Mirror for WhenBrokenOrProblem {
    type Record = Result<WhenBroken, Text>;

    fn write(record: &Self::Record) -> WhenBrokenOrProblem {
        match record {
            Ok(says) => WhenBrokenOrProblem::Says(Mirror::write(says)),
            Err(problem) => WhenBrokenOrProblem::Malformed {
                problem: problem.clone(),
            },
        }
    }

    fn read(self) -> Self::Record {
        match self {
            WhenBrokenOrProblem::Says(says) => Ok(says.read()),
            WhenBrokenOrProblem::Malformed { problem } => Err(problem),
        }
    }
}

mirror_struct! {
    TermsImage of GroupTerms {
        policy: Policy;
        when_broken: Option<WhenBrokenImage>,
    }
}

mirror_enum! {
    CoschedulingPhaseImage of CoschedulingPhase { Pending, Scheduling, Running, Finished, Failed }
}

mirror_fields! {
    GroupStatusImage of GroupStatus {
        Condition { scheduled: bool, reason: Text, message: Text },
        Phase { phase: CoschedulingPhaseImage, running: u32, succeeded: u32, failed: u32 },
    }
}

mirror_struct! {
    KeyImage of ObjectKey {
        kind: KindImage;
        namespace: Text,
        name: Text,
        uid: Text,
        resource_version: u64,
    }
}

mirror_fields! {
    /// The image of a [`group::GroupLink`].
    GroupLink of GroupLinkRecord {
        Workload { workload: Text, pod_group: Text, replica_key: Text },
        PodGroup { name: Text },
        Coscheduling { name: Text },
        Labels { name: Text },
    }
}

/// A pod group of a workload: its name, and its policy or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PodGroup {
    name: Text,
    policy: Policy,
}

/// The image of a policy that could be read or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Policy {
    Basic,
    Gang { min_count: i32 },
    Malformed { problem: Text },
}

impl Mirror for Policy {
    type Record = Result<group::GroupPolicy, Text>;

    fn write(policy: &Self::Record) -> Policy {
        match policy {
            Ok(group::GroupPolicy::Basic) => Policy::Basic,
            Ok(group::GroupPolicy::Gang { min_count }) => Policy::Gang { min_count: *min_count },
            Err(problem) => Policy::Malformed {
                problem: problem.clone(),
            },
        }
    }

    fn read(self) -> Self::Record {
        match self {
            Policy::Basic => Ok(group::GroupPolicy::Basic),
            Policy::Gang { min_count } => Ok(group::GroupPolicy::Gang { min_count }),
            Policy::Malformed { problem } => Err(problem),
        }
    }
}

impl Mirror for PodGroup {
    type Record = (Text, Result<group::GroupPolicy, Text>);

    fn write((name, policy): &Self::Record) -> PodGroup {
        PodGroup {
            name: name.clone(),
            policy: Mirror::write(policy),
        }
    }

    fn read(self) -> Self::Record {
        (self.name, self.policy.read())
    }
}

/// The image of an [`engine::Input`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) enum Input {
    Applied(Object),
    Deleted(KeyImage),
    Undecodable { key: KeyImage, error: Text },
    ListBegun(KindImage),
    ListDone(KindImage),
    KindNotServed(KindImage),
    Leadership { leads: bool },
    EffectDone { id: u64, outcome: Outcome },
}

impl Mirror for Input {
    type Record = engine::Input;

    fn write(record: &engine::Input) -> Input {
        match record {
            engine::Input::Applied(object) => Input::Applied(Mirror::write(object)),
            engine::Input::Deleted(key) => Input::Deleted(Mirror::write(key)),
            engine::Input::Undecodable { key, error } => Input::Undecodable {
                key: Mirror::write(key),
                error: error.clone(),
            },
            engine::Input::ListBegun(kind) => Input::ListBegun(Mirror::write(kind)),
            engine::Input::ListDone(kind) => Input::ListDone(Mirror::write(kind)),
            engine::Input::KindNotServed(kind) => Input::KindNotServed(Mirror::write(kind)),
            engine::Input::Leadership { leads } => Input::Leadership { leads: *leads },
            engine::Input::EffectDone { id, outcome } => Input::EffectDone {
                id: id.0,
                outcome: Mirror::write(outcome),
            },
        }
    }

    fn read(self) -> engine::Input {
        match self {
            Input::Applied(object) => engine::Input::Applied(object.read()),
            Input::Deleted(key) => engine::Input::Deleted(key.read()),
            Input::Undecodable { key, error } => engine::Input::Undecodable { key: key.read(), error },
            Input::ListBegun(kind) => engine::Input::ListBegun(kind.read()),
            Input::ListDone(kind) => engine::Input::ListDone(kind.read()),
            Input::KindNotServed(kind) => engine::Input::KindNotServed(kind.read()),
            Input::Leadership { leads } => engine::Input::Leadership { leads },
            Input::EffectDone { id, outcome } => engine::Input::EffectDone {
                id: EffectId(id),
                outcome: outcome.read(),
            },
        }
    }
}

/// The image of an [`engine::Object`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Object {
    Node(NodeImage),
    Pod(Box<PodImage>),
    Namespace(NamespaceImage),
    PriorityClass(PriorityClassImage),
    Workload(WorkloadImage),
    PodGroup(PodGroupImage),
    SelectorOwner(SelectorOwnerImage),
    Storage(StorageImage),
}

impl Mirror for Object {
    type Record = engine::Object;

    fn write(record: &engine::Object) -> Object {
        match record {
            engine::Object::Node(node) => Object::Node(Mirror::write(node)),
            engine::Object::Pod(pod) => Object::Pod(Mirror::write(pod)),
            engine::Object::Namespace(namespace) => Object::Namespace(Mirror::write(namespace)),
            engine::Object::PriorityClass(class) => Object::PriorityClass(Mirror::write(class)),
            engine::Object::Workload(workload) => Object::Workload(Mirror::write(workload)),
            engine::Object::PodGroup(group) => Object::PodGroup(Mirror::write(group)),
            engine::Object::SelectorOwner(owner) => Object::SelectorOwner(Mirror::write(owner)),
            engine::Object::Storage(object) => Object::Storage(Mirror::write(object)),
        }
    }

    fn read(self) -> engine::Object {
        match self {
            Object::Node(node) => engine::Object::Node(node.read()),
            Object::Pod(pod) => engine::Object::Pod(pod.read()),
            Object::Namespace(namespace) => engine::Object::Namespace(namespace.read()),
            Object::PriorityClass(class) => engine::Object::PriorityClass(class.read()),
            Object::Workload(workload) => engine::Object::Workload(workload.read()),
            Object::PodGroup(group) => engine::Object::PodGroup(group.read()),
            Object::SelectorOwner(owner) => engine::Object::SelectorOwner(owner.read()),
            Object::Storage(object) => engine::Object::Storage(object.read()),
        }
    }
}

/// The image of an [`engine::Outcome`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Outcome {
    Bind(BindOutcome),
    PodRead(PodRead),
    Extender(ExtenderAnswer),
    Patched { resource_version: u64 },
    Written,
    ObjectGone,
    WriteFailed { message: Text },
}

impl Mirror for Outcome {
    type Record = engine::Outcome;

    fn write(record: &engine::Outcome) -> Outcome {
        match record {
            engine::Outcome::Bind(outcome) => Outcome::Bind(Mirror::write(outcome)),
            engine::Outcome::PodRead(read) => Outcome::PodRead(Mirror::write(read)),
            engine::Outcome::Extender(answer) => Outcome::Extender(Mirror::write(answer)),
            engine::Outcome::Patched { resource_version } => Outcome::Patched {
                resource_version: *resource_version,
            },
            engine::Outcome::Written => Outcome::Written,
            engine::Outcome::ObjectGone => Outcome::ObjectGone,
            engine::Outcome::WriteFailed { message } => Outcome::WriteFailed {
                message: message.clone(),
            },
        }
    }

    fn read(self) -> engine::Outcome {
        match self {
            Outcome::Bind(outcome) => engine::Outcome::Bind(outcome.read()),
            Outcome::PodRead(read) => engine::Outcome::PodRead(read.read()),
            Outcome::Extender(answer) => engine::Outcome::Extender(answer.read()),
            Outcome::Patched { resource_version } => engine::Outcome::Patched { resource_version },
            Outcome::Written => engine::Outcome::Written,
            Outcome::ObjectGone => engine::Outcome::ObjectGone,
            Outcome::WriteFailed { message } => engine::Outcome::WriteFailed { message },
        }
    }
}

/// The image of an [`engine::ExtenderAnswer`]. Nodes stand in the order of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) enum ExtenderAnswer {
    Filtered {
        nodes: Vec<Text>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failed: Vec<(Text, Text)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unresolvable: Vec<(Text, Text)>,
    },
    Prioritized {
        scores: Vec<(Text, i64)>,
    },
    Failed {
        message: Text,
    },
}

impl Mirror for ExtenderAnswer {
    type Record = engine::ExtenderAnswer;

    fn write(record: &engine::ExtenderAnswer) -> ExtenderAnswer {
        match record.clone() {
            engine::ExtenderAnswer::Filtered {
                nodes,
                failed,
                unresolvable,
            } => ExtenderAnswer::Filtered {
                nodes,
                failed,
                unresolvable,
            },
            engine::ExtenderAnswer::Prioritized { scores } => ExtenderAnswer::Prioritized { scores },
            engine::ExtenderAnswer::Failed { message } => ExtenderAnswer::Failed { message },
        }
    }

    fn read(self) -> engine::ExtenderAnswer {
        match self {
            ExtenderAnswer::Filtered {
                nodes,
                failed,
                unresolvable,
            } => engine::ExtenderAnswer::Filtered {
                nodes,
                failed,
                unresolvable,
            },
            ExtenderAnswer::Prioritized { scores } => engine::ExtenderAnswer::Prioritized { scores },
            ExtenderAnswer::Failed { message } => engine::ExtenderAnswer::Failed { message },
        }
    }
}

/// The image of an [`engine::BindOutcome`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) enum BindOutcome {
    Bound,
    PodGone,
    Refused { message: Text },
    Unknown { message: Text },
}

impl Mirror for BindOutcome {
    type Record = engine::BindOutcome;

    fn write(record: &engine::BindOutcome) -> BindOutcome {
        match record.clone() {
            engine::BindOutcome::Bound => BindOutcome::Bound,
            engine::BindOutcome::PodGone => BindOutcome::PodGone,
            engine::BindOutcome::Refused { message } => BindOutcome::Refused { message },
            engine::BindOutcome::Unknown { message } => BindOutcome::Unknown { message },
        }
    }

    fn read(self) -> engine::BindOutcome {
        match self {
            BindOutcome::Bound => engine::BindOutcome::Bound,
            BindOutcome::PodGone => engine::BindOutcome::PodGone,
            BindOutcome::Refused { message } => engine::BindOutcome::Refused { message },
            BindOutcome::Unknown { message } => engine::BindOutcome::Unknown { message },
        }
    }
}

/// The image of an [`engine::PodRead`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) enum PodRead {
    Found(Box<PodImage>),
    Gone,
    Failed { message: Text },
}

impl Mirror for PodRead {
    type Record = engine::PodRead;

    fn write(record: &engine::PodRead) -> PodRead {
        match record {
            engine::PodRead::Found(pod) => PodRead::Found(Mirror::write(pod)),
            engine::PodRead::Gone => PodRead::Gone,
            engine::PodRead::Failed { message } => PodRead::Failed {
                message: message.clone(),
            },
        }
    }

    fn read(self) -> engine::PodRead {
        match self {
            PodRead::Found(pod) => engine::PodRead::Found(pod.read()),
            PodRead::Gone => engine::PodRead::Gone,
            PodRead::Failed { message } => engine::PodRead::Failed { message },
        }
    }
}
