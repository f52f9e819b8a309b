//! Version 1 of the format: what stands in a line. Each name here is part of the format; see [`mirror_struct`].

use super::mirror::{Mirror, Pairs, Shared, Slice, mirror_enum, mirror_struct};
use muster_engine::{self as engine, EffectId, ObjectKey};
use muster_framework::Text;
use muster_framework::group;
use muster_framework::record::{
    HostPort, Kind, NamespaceRecord, NamespaceScope, NodeRecord, PodAffinityTerm, PodPhase, PodRecord,
    PodScheduledCondition, PodSpec, PriorityClassRecord, Protocol, Unsupported, WorkloadRecord,
};
use muster_framework::resource::{Charge, ResourceList};
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, PreferredTerm, Requirement};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use serde::{Deserialize, Serialize};

mirror_enum! {
    KindImage of Kind { Node, Pod, Namespace, PriorityClass, Workload }
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
        anti_affinity: Slice<PodAffinityTermImage>,
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
        priority: Option<i32>,
        priority_class_name: Option<Text>,
        scheduling_gates: Slice<Text>,
        group: Option<GroupLink>,
        condition: Option<ConditionImage>,
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
    WorkloadImage of WorkloadRecord {
        namespace: Text,
        name: Text,
        uid: Text,
        resource_version: u64;
        pod_groups: Vec<PodGroup>,
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

/// The image of a [`group::GroupLink`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum GroupLink {
    Workload {
        workload: Text,
        pod_group: Text,
        #[serde(default, skip_serializing_if = "super::mirror::Empty::is_empty")]
        replica_key: Text,
    },
}

impl Mirror for GroupLink {
    type Record = group::GroupLink;

    fn write(record: &group::GroupLink) -> GroupLink {
        let group::GroupLink::Workload {
            workload,
            pod_group,
            replica_key,
        } = record.clone();
        GroupLink::Workload {
            workload,
            pod_group,
            replica_key,
        }
    }

    fn read(self) -> group::GroupLink {
        let GroupLink::Workload {
            workload,
            pod_group,
            replica_key,
        } = self;
        group::GroupLink::Workload {
            workload,
            pod_group,
            replica_key,
        }
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

impl Mirror for PodGroup {
    type Record = (Text, Result<group::GroupPolicy, Text>);

    fn write((name, policy): &Self::Record) -> PodGroup {
        let policy = match policy {
            Ok(group::GroupPolicy::Basic) => Policy::Basic,
            Ok(group::GroupPolicy::Gang { min_count }) => Policy::Gang { min_count: *min_count },
            Err(problem) => Policy::Malformed {
                problem: problem.clone(),
            },
        };
        PodGroup {
            name: name.clone(),
            policy,
        }
    }

    fn read(self) -> Self::Record {
        let policy = match self.policy {
            Policy::Basic => Ok(group::GroupPolicy::Basic),
            Policy::Gang { min_count } => Ok(group::GroupPolicy::Gang { min_count }),
            Policy::Malformed { problem } => Err(problem),
        };
        (self.name, policy)
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
        }
    }

    fn read(self) -> engine::Object {
        match self {
            Object::Node(node) => engine::Object::Node(node.read()),
            Object::Pod(pod) => engine::Object::Pod(pod.read()),
            Object::Namespace(namespace) => engine::Object::Namespace(namespace.read()),
            Object::PriorityClass(class) => engine::Object::PriorityClass(class.read()),
            Object::Workload(workload) => engine::Object::Workload(workload.read()),
        }
    }
}

/// The image of an [`engine::Outcome`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) enum Outcome {
    Bind(BindOutcome),
    PodRead(PodRead),
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
            Outcome::Written => engine::Outcome::Written,
            Outcome::ObjectGone => engine::Outcome::ObjectGone,
            Outcome::WriteFailed { message } => engine::Outcome::WriteFailed { message },
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
