//! Golden files that show the format, and round trips over generated inputs.

use super::{CodecError, decode, encode};
use crate::decode::decode as decode_json;
use muster_engine::{BindOutcome, EffectId, ExtenderAnswer, Input, Object, ObjectKey, Outcome, PodRead, Time};
use muster_framework::Text;
use muster_framework::group::{CoschedulingPhase, GroupLink, GroupPolicy, GroupStatus, GroupTerms, WhenBroken};
use muster_framework::labels::Labels;
use muster_framework::record::{
    ClaimKey, ControllerRef, HostPort, Kind, NamespaceRecord, NamespaceScope, NodeImage, NodeRecord, PodAffinityTerm,
    PodGroupRecord, PodPhase, PodRecord, PodScheduledCondition, PodSpec, PodVolume, PriorityClassRecord, Protocol,
    SelectorOwnerRecord, SpreadConstraint, Unsupported, WeightedPodAffinityTerm, WhenUnsatisfiable, WorkloadRecord,
};
use muster_framework::resource::{Charge, ResourceList, ScoringRequest};
use muster_framework::selector::{LabelSelector, NodeSelectorTerm, Operator, PreferredTerm, Requirement};
use muster_framework::taint::{Taint, TaintEffect, Toleration, TolerationOperator};
use muster_framework::volume::{
    AccessModes, AttachmentRecord, ClaimPhase, ClaimRecord, CsiDriverRecord, CsiNodeDriver, CsiNodeRecord,
    StorageCapacityRecord, StorageClassRecord, StorageObject, VolumeClaimRef, VolumePhase, VolumeRecord, VolumeSource,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;
use std::path::Path;

fn charge() -> Charge {
    Charge {
        requests: ResourceList {
            milli_cpu: 500,
            memory: 1 << 30,
            ephemeral_storage: 0,
            scalars: vec![("example.com/gpu".into(), 2), ("hugepages-2Mi".into(), 4 << 20)],
        },
        scoring_milli_cpu: 600,
        scoring_memory: 1 << 30,
    }
}

fn requirement(operator: Operator, values: &[&str]) -> Requirement {
    Requirement {
        key: "zone".into(),
        operator,
        values: values.iter().map(|v| Text::from(*v)).collect(),
    }
}

fn selector(requirement: Requirement) -> LabelSelector {
    LabelSelector {
        requirements: Box::new([requirement]),
    }
}

fn node_term() -> NodeSelectorTerm {
    NodeSelectorTerm {
        match_expressions: Box::new([
            requirement(Operator::NotIn, &["a", "b"]),
            requirement(Operator::Gt, &["5"]),
        ]),
        match_fields: Box::new([requirement(Operator::In, &["node-1"])]),
    }
}

fn pod_term() -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(selector(requirement(Operator::Exists, &[]))),
        namespaces: NamespaceScope {
            names: Box::new(["shop".into()]),
            selector: Some(selector(requirement(Operator::DoesNotExist, &[]))),
        },
        topology_key: "kubernetes.io/hostname".into(),
    }
}

/// One volume of each sort.
fn pod_volumes() -> Box<[PodVolume]> {
    let text = Text::from;
    Box::new([
        PodVolume::Claim {
            claim: claim_key(),
            ephemeral: true,
        },
        PodVolume::GcePersistentDisk {
            name: text("disk"),
            read_only: true,
        },
        PodVolume::AwsElasticBlockStore {
            id: text("vol-1"),
            read_only: false,
        },
        PodVolume::AzureDisk {
            name: text("disk"),
            uri: text("/subscriptions/1"),
        },
        PodVolume::Iscsi {
            iqn: text("iqn.2001-04.com.example:storage"),
            read_only: false,
        },
        PodVolume::Rbd {
            monitors: Box::new([text("10.0.0.1")]),
            pool: text("rbd"),
            image: text("data"),
            read_only: true,
        },
        PodVolume::InTree {
            plugin: text("kubernetes.io/cinder"),
            driver: text("cinder.csi.openstack.org"),
            handle: text("v-1"),
        },
    ])
}

fn claim_key() -> ClaimKey {
    ClaimKey {
        namespace: "shop".into(),
        name: "web-0-data".into(),
    }
}

/// A pod that leaves nothing out.
fn full_pod() -> PodRecord {
    let term = node_term();
    let weighted = WeightedPodAffinityTerm {
        weight: 7,
        term: pod_term(),
    };
    let spec = PodSpec {
        node_name: Some("node-9".into()),
        node_selector: [("disk", "ssd")].into_iter().collect(),
        node_affinity: Some(Box::new([term.clone()])),
        preferred_node_affinity: Box::new([PreferredTerm { weight: 10, term }]),
        tolerations: Box::new([Toleration {
            key: "gpu".into(),
            operator: TolerationOperator::Equal,
            value: "a100".into(),
            effect: Some(TaintEffect::NoExecute),
        }]),
        host_ports: Box::new([HostPort {
            ip: "0.0.0.0".into(),
            protocol: Protocol::Udp,
            port: 53,
        }]),
        charge: charge(),
        scoring: Some(ScoringRequest {
            milli_cpu: 700,
            memory: 1 << 20,
        }),
        affinity: Box::new([pod_term()]),
        anti_affinity: Box::new([pod_term()]),
        preferred_affinity: Box::new([weighted.clone()]),
        preferred_anti_affinity: Box::new([weighted]),
        spread: Box::new([SpreadConstraint {
            pods: pod_term(),
            max_skew: 2,
            when_unsatisfiable: WhenUnsatisfiable::DoNotSchedule,
            min_domains: Some(3),
            honor_node_affinity: true,
            honor_node_taints: true,
        }]),
        images: Box::new(["nginx:1.27".into()]),
        volume_images: Box::new(["model:latest".into()]),
        required_features: Box::new(["RestartAllContainersOnContainerExits".into()]),
        volumes: pod_volumes(),
        unsupported: Box::new([Unsupported {
            field: "spec.resourceClaims".into(),
            problem: "not yet".into(),
        }]),
    };
    PodRecord {
        uid: "6c1f".into(),
        namespace: "shop".into(),
        name: "web-0".into(),
        resource_version: 8123,
        generation: 2,
        labels: [("app", "web"), ("quoted", "a \"b\" ü")].into_iter().collect(),
        scheduler_name: "muster".into(),
        node_name: Some("node-1".into()),
        nominated_node_name: Some("node-2".into()),
        phase: PodPhase::Succeeded,
        terminating: true,
        priority: Some(-10),
        priority_class_name: Some("batch".into()),
        scheduling_gates: Box::new(["quota".into()]),
        group: Some(GroupLink::Workload {
            workload: "train".into(),
            pod_group: "workers".into(),
            replica_key: "r1".into(),
        }),
        group_terms: None,
        running: true,
        turned_away: Some("OutOfcpu".into()),
        controller: Some(ControllerRef {
            kind: Kind::StatefulSet,
            name: "web".into(),
        }),
        spec: spec.into(),
        charge: charge(),
        condition: Some(PodScheduledCondition {
            reason: "Unschedulable".into(),
            message: "0/2 nodes are available.".into(),
        }),
    }
}

/// A pod as plain as a decoder makes one.
fn plain_pod() -> PodRecord {
    let json = br#"{"metadata":{"name":"p","namespace":"n","uid":"u"}}"#;
    match decode_json(Kind::Pod, json) {
        Ok(Object::Pod(pod)) => *pod,
        other => panic!("{other:?}"),
    }
}

/// Plain pods that belong to groups by each of the other links.
fn grouped_pods() -> Vec<PodRecord> {
    let pod = |group, group_terms| PodRecord {
        group: Some(group),
        group_terms,
        ..plain_pod()
    };
    let name = || Text::from("train");
    let terms = |policy, when_broken| Some(GroupTerms { policy, when_broken });
    let gang = Ok(GroupPolicy::Gang { min_count: 8 });
    let bad = Err("metadata.annotations[muster.dev/min-count]: is missing".into());
    vec![
        pod(GroupLink::PodGroup { name: name() }, None),
        pod(GroupLink::Coscheduling { name: name() }, None),
        pod(GroupLink::Labels { name: name() }, terms(gang, Some(WhenBroken::Evict))),
        pod(GroupLink::Labels { name: name() }, terms(bad, None)),
    ]
}

/// Pod groups of each API.
fn pod_groups() -> Vec<PodGroupRecord> {
    let group = |kind, policy, status| PodGroupRecord {
        kind,
        namespace: "shop".into(),
        name: "train".into(),
        uid: "88bb".into(),
        resource_version: 21,
        generation: 0,
        policy,
        when_broken: None,
        priority: None,
        terminating: false,
        unsupported: Box::new([]),
        status,
    };
    let said = GroupStatus::Condition {
        scheduled: false,
        reason: "Unschedulable".into(),
        message: "2 of 8 fit".into(),
    };
    let phase = |phase| {
        Some(GroupStatus::Phase {
            phase,
            running: 3,
            succeeded: 2,
            failed: 1,
        })
    };
    let full = PodGroupRecord {
        generation: 4,
        when_broken: Some(Ok(WhenBroken::Keep)),
        priority: Some(-10),
        terminating: true,
        unsupported: Box::new([Unsupported {
            field: "spec.resourceClaims".into(),
            problem: "not yet".into(),
        }]),
        ..group(Kind::PodGroup, Ok(GroupPolicy::Gang { min_count: 8 }), Some(said))
    };
    let odd = PodGroupRecord {
        when_broken: Some(Err("neither keep nor evict".into())),
        ..group(Kind::PodGroupV1Alpha2, Err("states nothing".into()), None)
    };
    let phases = [
        CoschedulingPhase::Pending,
        CoschedulingPhase::Scheduling,
        CoschedulingPhase::Running,
        CoschedulingPhase::Finished,
        CoschedulingPhase::Failed,
    ];
    let of_the_crd = phases.map(|at| group(Kind::CoschedulingPodGroup, Ok(GroupPolicy::Basic), phase(at)));
    [full, odd].into_iter().chain(of_the_crd).collect()
}

fn key() -> ObjectKey {
    ObjectKey {
        kind: Kind::Pod,
        namespace: "n".into(),
        name: "p".into(),
        uid: "u".into(),
        resource_version: 9,
    }
}

/// Inputs about objects: every kind of object, full and plain.
fn objects() -> Vec<Input> {
    let node = NodeRecord {
        name: "node-1".into(),
        resource_version: 17,
        labels: [("zone", "a")].into_iter().collect(),
        taints: vec![
            Taint {
                key: "gpu".into(),
                value: "yes".into(),
                effect: TaintEffect::NoSchedule,
            },
            Taint {
                key: "old".into(),
                value: "".into(),
                effect: TaintEffect::PreferNoSchedule,
            },
        ],
        unschedulable: true,
        allocatable: charge().requests,
        allowed_pods: 110,
        images: Box::new([NodeImage {
            names: Box::new(["nginx:1.27".into(), "nginx@sha256:4f21".into()]),
            size: 70_000_000,
        }]),
        declared_features: Box::new(["UserNamespacesHostNetworkSupport".into()]),
    };
    let workload = WorkloadRecord {
        namespace: "shop".into(),
        name: "train".into(),
        uid: "77aa".into(),
        resource_version: 5,
        pod_groups: vec![
            ("workers".into(), Ok(GroupPolicy::Gang { min_count: 8 })),
            ("logs".into(), Ok(GroupPolicy::Basic)),
            (
                "odd".into(),
                Err("spec.podGroups[2].policy: states both basic and gang".into()),
            ),
        ],
        when_broken: None,
    };
    let broken = WorkloadRecord {
        pod_groups: vec![],
        when_broken: Some(Ok(WhenBroken::Evict)),
        ..workload.clone()
    };
    let class = PriorityClassRecord {
        name: "batch".into(),
        resource_version: 3,
        value: -10,
        global_default: true,
    };
    let namespace = NamespaceRecord {
        name: "shop".into(),
        resource_version: 2,
        labels: [("team", "x")].into_iter().collect(),
    };
    let service = SelectorOwnerRecord {
        kind: Kind::Service,
        namespace: "shop".into(),
        name: "web".into(),
        resource_version: 6,
        selector: Some(selector(requirement(Operator::In, &["a"]))),
    };
    let others = [Kind::ReplicationController, Kind::ReplicaSet, Kind::StatefulSet];
    let others = others.map(|kind| {
        Object::SelectorOwner(SelectorOwnerRecord {
            kind,
            selector: None,
            ..service.clone()
        })
    });
    let first = [
        Object::Node(node),
        Object::Pod(Box::new(full_pod())),
        Object::Pod(Box::new(plain_pod())),
        Object::Namespace(namespace),
        Object::PriorityClass(class),
        Object::Workload(workload),
        Object::Workload(broken),
        Object::SelectorOwner(service),
    ];
    let storage = storage_objects().into_iter().map(Object::Storage);
    let grouped = grouped_pods().into_iter().map(|pod| Object::Pod(Box::new(pod)));
    first
        .into_iter()
        .chain(others)
        .chain(storage)
        .chain(grouped)
        .chain(pod_groups().into_iter().map(Object::PodGroup))
        .map(Input::Applied)
        .collect()
}

fn full_volume() -> VolumeRecord {
    VolumeRecord {
        name: "pv-1".into(),
        uid: "aa11".into(),
        resource_version: 31,
        labels: [("topology.kubernetes.io/zone", "a")].into_iter().collect(),
        terminating: true,
        capacity: 10 << 30,
        access_modes: AccessModes {
            read_write_once: true,
            read_only_many: true,
            read_write_many: true,
            read_write_once_pod: true,
        },
        block: true,
        storage_class: "fast".into(),
        attributes_class: "gold".into(),
        node_affinity: Some(Box::new([node_term()])),
        migrated_node_affinity: Some(Box::new([node_term()])),
        claim: Some(VolumeClaimRef {
            claim: claim_key(),
            uid: "bb22".into(),
        }),
        phase: VolumePhase::Bound,
        source: VolumeSource::Csi {
            driver: "ebs.csi.aws.com".into(),
            handle: "vol-1".into(),
        },
        in_tree: "kubernetes.io/aws-ebs".into(),
        bound_by_controller: true,
    }
}

fn full_claim() -> ClaimRecord {
    ClaimRecord {
        key: claim_key(),
        uid: "bb22".into(),
        resource_version: 32,
        terminating: true,
        owner_pod: "6c1f".into(),
        volume: "pv-1".into(),
        storage_class: Some("fast".into()),
        attributes_class: "gold".into(),
        access_modes: AccessModes {
            read_write_once_pod: true,
            ..AccessModes::default()
        },
        block: true,
        request: 8 << 30,
        selector: Some(selector(requirement(Operator::Exists, &[]))),
        phase: ClaimPhase::Bound,
        bind_completed: true,
        selected_node: "node-1".into(),
    }
}

/// One object of each storage kind, and a bare volume.
fn storage_objects() -> Vec<StorageObject> {
    let bare = VolumeRecord {
        terminating: false,
        access_modes: AccessModes::default(),
        block: false,
        node_affinity: None,
        migrated_node_affinity: None,
        claim: None,
        phase: VolumePhase::Available,
        source: VolumeSource::Other,
        in_tree: "".into(),
        bound_by_controller: false,
        ..full_volume()
    };
    vec![
        StorageObject::Volume(Box::new(full_volume())),
        StorageObject::Volume(Box::new(bare)),
        StorageObject::Claim(Box::new(full_claim())),
        StorageObject::Class(StorageClassRecord {
            name: "fast".into(),
            resource_version: 33,
            provisioner: "ebs.csi.aws.com".into(),
            wait_for_first_consumer: Some(true),
            allowed_topologies: Box::new([node_term()]),
        }),
        StorageObject::CsiNode(CsiNodeRecord {
            name: "node-1".into(),
            resource_version: 34,
            drivers: Box::new([CsiNodeDriver {
                name: "ebs.csi.aws.com".into(),
                limit: Some(25),
            }]),
            migrated_plugins: Box::new(["kubernetes.io/aws-ebs".into()]),
        }),
        StorageObject::CsiDriver(CsiDriverRecord {
            name: "ebs.csi.aws.com".into(),
            resource_version: 35,
            storage_capacity: true,
            prevent_scheduling_if_missing: true,
        }),
        StorageObject::Capacity(StorageCapacityRecord {
            namespace: "kube-system".into(),
            name: "csisc-1".into(),
            resource_version: 36,
            storage_class: "fast".into(),
            node_topology: Some(selector(requirement(Operator::In, &["a"]))),
            capacity: Some(100 << 30),
            maximum_volume_size: Some(50 << 30),
        }),
        StorageObject::Attachment(AttachmentRecord {
            name: "csi-4f".into(),
            resource_version: 37,
            attacher: "ebs.csi.aws.com".into(),
            node_name: "node-1".into(),
            volume: "pv-1".into(),
            inline: VolumeSource::Other,
        }),
    ]
}

/// Inputs about lists and deletions.
fn lists() -> Vec<Input> {
    let unknown = ObjectKey {
        kind: Kind::Node,
        ..ObjectKey {
            namespace: "".into(),
            uid: "".into(),
            ..key()
        }
    };
    vec![
        Input::KindNotServed(Kind::Workload),
        Input::Leadership { leads: true },
        Input::ListBegun(Kind::PriorityClass),
        Input::ListDone(Kind::Namespace),
        Input::Deleted(key()),
        Input::Undecodable {
            key: unknown,
            error: "spec.taints[0].effect: \"Never\" is not an effect of taints".into(),
        },
    ]
}

/// What became of effects.
fn outcomes() -> Vec<Input> {
    let message = || Text::from("connection reset");
    let outcomes = [
        Outcome::Bind(BindOutcome::Bound),
        Outcome::Bind(BindOutcome::PodGone),
        Outcome::Bind(BindOutcome::Refused { message: message() }),
        Outcome::Bind(BindOutcome::Unknown { message: message() }),
        Outcome::PodRead(PodRead::Found(Box::new(plain_pod()))),
        Outcome::Extender(ExtenderAnswer::Filtered {
            nodes: vec!["node-1".into()],
            failed: vec![("node-2".into(), "no licence".into())],
            unresolvable: vec![("node-3".into(), "too old".into())],
        }),
        Outcome::Extender(ExtenderAnswer::Prioritized {
            scores: vec![("node-1".into(), 7)],
        }),
        Outcome::Extender(ExtenderAnswer::Failed { message: message() }),
        Outcome::Patched { resource_version: 9 },
        Outcome::PodRead(PodRead::Gone),
        Outcome::PodRead(PodRead::Failed { message: message() }),
        Outcome::Written,
        Outcome::ObjectGone,
        Outcome::WriteFailed { message: message() },
    ];
    (40u64..)
        .zip(outcomes)
        .map(|(id, outcome)| Input::EffectDone {
            id: EffectId(id),
            outcome,
        })
        .collect()
}

/// Compares a golden file with inputs, one millisecond apart; with `UPDATE_GOLDEN` set, writes it anew instead.
fn check_golden(file: &str, inputs: &[Input]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    let times = (1..).map(|n: u64| Time(n * 1_000));
    let written: Vec<String> = times
        .clone()
        .zip(inputs)
        .map(|(now, input)| encode(now, input))
        .collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, written.join("\n") + "\n").expect("golden files can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    let lines: Vec<&str> = golden.lines().collect();
    assert_eq!(
        written, lines,
        "{file}: if the change is meant, run with UPDATE_GOLDEN=1"
    );
    for ((now, input), line) in times.zip(inputs).zip(lines) {
        assert_eq!(decode(line), Ok((now, input.clone())), "{line}");
    }
}

#[test]
fn objects_look_as_they_did() {
    check_golden("objects.jsonl", &objects());
}

#[test]
fn lists_look_as_they_did() {
    check_golden("lists.jsonl", &lists());
}

#[test]
fn outcomes_look_as_they_did() {
    check_golden("outcomes.jsonl", &outcomes());
}

/// The variants that an input is made of. A new variant does not compile here until it is named.
fn variants(input: &Input) -> Vec<String> {
    let words = match input {
        Input::Applied(object) => return vec!["Applied".to_owned(), format!("{:?}", object.kind())],
        Input::Deleted(_) => vec!["Deleted"],
        Input::Undecodable { .. } => vec!["Undecodable"],
        Input::ListBegun(_) => vec!["ListBegun"],
        Input::ListDone(_) => vec!["ListDone"],
        Input::KindNotServed(_) => vec!["KindNotServed"],
        Input::Leadership { .. } => vec!["Leadership"],
        Input::EffectDone { outcome, .. } => match outcome {
            Outcome::Bind(BindOutcome::Bound) => vec!["Bound"],
            Outcome::Bind(BindOutcome::PodGone) => vec!["PodGone"],
            Outcome::Bind(BindOutcome::Refused { .. }) => vec!["Refused"],
            Outcome::Bind(BindOutcome::Unknown { .. }) => vec!["Unknown"],
            Outcome::PodRead(PodRead::Found(_)) => vec!["Found"],
            Outcome::PodRead(PodRead::Gone) => vec!["Gone"],
            Outcome::Extender(ExtenderAnswer::Filtered { .. }) => vec!["Filtered"],
            Outcome::Extender(ExtenderAnswer::Prioritized { .. }) => vec!["Prioritized"],
            Outcome::Extender(ExtenderAnswer::Failed { .. }) => vec!["ExtenderFailed"],
            Outcome::Patched { .. } => vec!["Patched"],
            Outcome::PodRead(PodRead::Failed { .. }) => vec!["Failed"],
            Outcome::Written => vec!["Written"],
            Outcome::ObjectGone => vec!["ObjectGone"],
            Outcome::WriteFailed { .. } => vec!["WriteFailed"],
        },
    };
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_golden_files_leave_no_variant_out() {
    let inputs: Vec<Input> = [objects(), lists(), outcomes()].concat();
    let seen: BTreeSet<String> = inputs.iter().flat_map(variants).collect();
    assert_eq!(seen.len(), 7 + Kind::ALL.len() + 14, "{seen:?}");
}

#[test]
fn what_is_not_known_is_an_error_that_names_it() {
    let error = |line: &str| decode(line).expect_err(line).to_string();
    let lines = [
        r#"{"v":4,"now":0,"input":{"applied":{"pod":{"new":1}}}}"#,
        r#"{"v":3,"now":0,"input":{"listDone":"Pod"},"extra":1}"#,
        r#"{"v":3,"now":0,"input":{"listEnded":"Pod"}}"#,
        r#"{"v":3,"now":0,"input":{"listDone":"Secret"}}"#,
        r#"{"v":3,"now":0,"input":{"applied":{"namespace":{"name":"a","resourceVersion":1,"colour":"red"}}}}"#,
        r#"{"v":3,"now":0,"input":{"applied":{"namespace":{"name":"a"}}}}"#,
        r#"{"v":3,"now":0,"input":{"applied":{"namespace":{"name":"a","resourceVersion":1,"labels":{"a":"","a":""}}}}}"#,
        r#"{"v":3,"now":-1,"input":{"listDone":"Pod"}}"#,
        r#"{"v":3,"now":0,"input":{"listDone":"Pod"}} {}"#,
        r#"{"now":0}"#,
        "",
    ];
    insta::assert_snapshot!(lines.map(error).join("\n"), @r#"
    the recording has version 4, this Muster reads version 3
    extra: unknown field `extra`, expected one of `v`, `now`, `input` at line 1 column 49
    input: unknown variant `listEnded`, expected one of `applied`, `deleted`, `undecodable`, `listBegun`, `listDone`, `kindNotServed`, `leadership`, `effectDone` at line 1 column 35
    input.listDone: unknown variant `Secret`, expected one of `Node`, `Pod`, `Namespace`, `PriorityClass`, `Workload`, `PodGroup`, `PodGroupV1Alpha2`, `CoschedulingPodGroup`, `Service`, `ReplicationController`, `ReplicaSet`, `StatefulSet`, `PersistentVolume`, `PersistentVolumeClaim`, `StorageClass`, `CsiNode`, `CsiDriver`, `CsiStorageCapacity`, `VolumeAttachment` at line 1 column 43
    input.applied.namespace.colour: unknown field `colour`, expected one of `name`, `resourceVersion`, `labels` at line 1 column 87
    input.applied.namespace: missing field `resourceVersion` at line 1 column 59
    input.applied.namespace.labels: "a" stands there twice at line 1 column 103
    now: invalid value: integer `-1`, expected u64 at line 1 column 15
    not a line of a recording: trailing characters at line 1 column 44
    not a line of a recording: missing field `v` at line 1 column 9
    not a line of a recording: EOF while parsing a value at line 1 column 0
    "#);
    assert_eq!(decode(lines[0]), Err(CodecError::UnknownVersion { found: 4 }));
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        select(&["", "a", "kubernetes.io/hostname", "ü\"\\\n\u{1F980}"][..]).prop_map(Text::from),
        "[a-z]{1,3}".prop_map(Text::from)
    ]
}

fn slice<T: std::fmt::Debug>(item: impl Strategy<Value = T>) -> impl Strategy<Value = Box<[T]>> {
    vec(item, 0..3).prop_map(Into::into)
}

fn labels() -> impl Strategy<Value = Labels> {
    vec((text(), text()), 0..3).prop_map(|pairs| pairs.into_iter().collect())
}

fn kind() -> impl Strategy<Value = Kind> {
    select(&Kind::ALL[..])
}

fn resources() -> impl Strategy<Value = ResourceList> {
    let scalars = prop::collection::btree_map(text(), any::<i64>(), 0..3);
    (any::<i64>(), any::<i64>(), 0i64..3, scalars).prop_map(|(milli_cpu, memory, ephemeral_storage, scalars)| {
        ResourceList {
            milli_cpu,
            memory,
            ephemeral_storage,
            scalars: scalars.into_iter().collect(),
        }
    })
}

fn charges() -> impl Strategy<Value = Charge> {
    (resources(), any::<i64>(), 0i64..2).prop_map(|(requests, scoring_milli_cpu, scoring_memory)| Charge {
        requests,
        scoring_milli_cpu,
        scoring_memory,
    })
}

fn requirements() -> impl Strategy<Value = Box<[Requirement]>> {
    use Operator::{DoesNotExist, Exists, Gt, In, Lt, NotIn};
    let operator = select(&[In, NotIn, Exists, DoesNotExist, Gt, Lt][..]);
    slice((text(), operator, slice(text())).prop_map(|(key, operator, values)| Requirement { key, operator, values }))
}

fn label_selectors() -> impl Strategy<Value = LabelSelector> {
    requirements().prop_map(|requirements| LabelSelector { requirements })
}

fn terms() -> impl Strategy<Value = NodeSelectorTerm> {
    (requirements(), requirements()).prop_map(|(match_expressions, match_fields)| NodeSelectorTerm {
        match_expressions,
        match_fields,
    })
}

fn taint_effects() -> impl Strategy<Value = TaintEffect> {
    select(
        &[
            TaintEffect::NoSchedule,
            TaintEffect::PreferNoSchedule,
            TaintEffect::NoExecute,
        ][..],
    )
}

fn tolerations() -> impl Strategy<Value = Toleration> {
    let operator = select(&[TolerationOperator::Equal, TolerationOperator::Exists][..]);
    (text(), operator, text(), option::of(taint_effects())).prop_map(|(key, operator, value, effect)| Toleration {
        key,
        operator,
        value,
        effect,
    })
}

fn host_ports() -> impl Strategy<Value = HostPort> {
    (
        text(),
        select(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp][..]),
        any::<u16>(),
    )
        .prop_map(|(ip, protocol, port)| HostPort { ip, protocol, port })
}

fn affinity_terms() -> impl Strategy<Value = PodAffinityTerm> {
    (
        option::of(label_selectors()),
        slice(text()),
        option::of(label_selectors()),
        text(),
    )
        .prop_map(|(selector, names, among, topology_key)| PodAffinityTerm {
            selector,
            namespaces: NamespaceScope { names, selector: among },
            topology_key,
        })
}

fn weighted_terms() -> impl Strategy<Value = Box<[WeightedPodAffinityTerm]>> {
    let term = (any::<i32>(), affinity_terms());
    slice(term.prop_map(|(weight, term)| WeightedPodAffinityTerm { weight, term }))
}

fn spread_constraints() -> impl Strategy<Value = SpreadConstraint> {
    let when = select(&[WhenUnsatisfiable::DoNotSchedule, WhenUnsatisfiable::ScheduleAnyway][..]);
    let policies = (any::<bool>(), any::<bool>());
    (affinity_terms(), any::<i32>(), when, option::of(any::<i32>()), policies).prop_map(
        |(pods, max_skew, when_unsatisfiable, min_domains, (honor_node_affinity, honor_node_taints))| {
            SpreadConstraint {
                pods,
                max_skew,
                when_unsatisfiable,
                min_domains,
                honor_node_affinity,
                honor_node_taints,
            }
        },
    )
}

prop_compose! {
    fn pod_specs()(
        node_name in option::of(text()),
        node_selector in labels(),
        node_affinity in option::of(slice(terms())),
        preferred in slice((any::<i32>(), terms())),
        tolerations in slice(tolerations()),
        host_ports in slice(host_ports()),
        (charge, scoring) in (charges(), option::of((any::<i64>(), any::<i64>()))),
        (affinity, anti_affinity) in (slice(affinity_terms()), slice(affinity_terms())),
        (preferred_affinity, preferred_anti_affinity) in (weighted_terms(), weighted_terms()),
        spread in slice(spread_constraints()),
        (images, volume_images, required_features) in (slice(text()), slice(text()), slice(text())),
        volumes in slice(select(pod_volumes().into_vec())),
        unsupported in slice((text(), text())),
    ) -> PodSpec {
        let preferred = preferred.into_iter().map(|(weight, term)| PreferredTerm { weight, term });
        let unsupported = unsupported.into_iter().map(|(field, problem)| Unsupported { field, problem });
        PodSpec {
            node_name,
            node_selector,
            node_affinity,
            preferred_node_affinity: preferred.collect(),
            tolerations,
            host_ports,
            charge,
            scoring: scoring.map(|(milli_cpu, memory)| ScoringRequest { milli_cpu, memory }),
            affinity,
            anti_affinity,
            preferred_affinity,
            preferred_anti_affinity,
            spread,
            images,
            volume_images,
            required_features,
            volumes,
            unsupported: unsupported.collect(),
        }
    }
}

fn links() -> impl Strategy<Value = GroupLink> {
    let workload = (text(), text(), text()).prop_map(|(workload, pod_group, replica_key)| GroupLink::Workload {
        workload,
        pod_group,
        replica_key,
    });
    prop_oneof![
        workload,
        text().prop_map(|name| GroupLink::PodGroup { name }),
        text().prop_map(|name| GroupLink::Coscheduling { name }),
        text().prop_map(|name| GroupLink::Labels { name }),
    ]
}

fn group_policies() -> impl Strategy<Value = Result<GroupPolicy, Text>> {
    prop_oneof![
        Just(Ok(GroupPolicy::Basic)),
        any::<i32>().prop_map(|min_count| Ok(GroupPolicy::Gang { min_count })),
        text().prop_map(Err),
    ]
}

fn when_broken() -> impl Strategy<Value = WhenBroken> {
    select(&[WhenBroken::Keep, WhenBroken::Evict][..])
}

fn group_terms() -> impl Strategy<Value = GroupTerms> {
    (group_policies(), option::of(when_broken())).prop_map(|(policy, when_broken)| GroupTerms { policy, when_broken })
}

fn group_statuses() -> impl Strategy<Value = GroupStatus> {
    use CoschedulingPhase::{Failed, Finished, Pending, Running, Scheduling};
    let phase = select(&[Pending, Scheduling, Running, Finished, Failed][..]);
    prop_oneof![
        (any::<bool>(), text(), text()).prop_map(|(scheduled, reason, message)| GroupStatus::Condition {
            scheduled,
            reason,
            message,
        }),
        (phase, any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(phase, running, succeeded, failed)| {
            GroupStatus::Phase {
                phase,
                running,
                succeeded,
                failed,
            }
        }),
    ]
}

prop_compose! {
    fn some_pod_groups()(
        kind in select(&[Kind::PodGroup, Kind::PodGroupV1Alpha2, Kind::CoschedulingPodGroup][..]),
        (namespace, name, uid) in (text(), text(), text()),
        (resource_version, generation, terminating) in (any::<u64>(), any::<i64>(), any::<bool>()),
        policy in group_policies(),
        broken in option::of(prop_oneof![when_broken().prop_map(Ok), text().prop_map(Err)]),
        priority in option::of(any::<i32>()),
        unsupported in slice((text(), text())),
        status in option::of(group_statuses()),
    ) -> PodGroupRecord {
        let unsupported = unsupported.into_iter().map(|(field, problem)| Unsupported { field, problem });
        PodGroupRecord {
            kind, namespace, name, uid, resource_version, generation, policy, when_broken: broken, priority, terminating,
            unsupported: unsupported.collect(), status,
        }
    }
}

prop_compose! {
    fn pods()(
        (uid, namespace, name, scheduler_name) in (text(), text(), text(), text()),
        (resource_version, generation, terminating) in (any::<u64>(), any::<i64>(), any::<bool>()),
        labels in labels(),
        (node_name, nominated_node_name) in (option::of(text()), option::of(text())),
        phase in select(&[PodPhase::Active, PodPhase::Succeeded, PodPhase::Failed][..]),
        (priority, priority_class_name) in (option::of(any::<i32>()), option::of(text())),
        scheduling_gates in slice(text()),
        (group, group_terms, controller) in
            (option::of(links()), option::of(group_terms()), option::of((kind(), text()))),
        (running, turned_away) in (any::<bool>(), option::of(text())),
        spec in pod_specs(),
        charge in charges(),
        condition in option::of((text(), text())),
    ) -> PodRecord {
        let condition = condition.map(|(reason, message)| PodScheduledCondition { reason, message });
        let controller = controller.map(|(kind, name)| ControllerRef { kind, name });
        PodRecord {
            uid, namespace, name, resource_version, generation, labels, scheduler_name, node_name, nominated_node_name,
            phase, terminating, running, turned_away, priority, priority_class_name, scheduling_gates, group, group_terms,
            controller, spec: spec.into(), charge, condition,
        }
    }
}

prop_compose! {
    fn nodes()(
        (name, resource_version) in (text(), any::<u64>()),
        labels in labels(),
        taints in vec((text(), text(), taint_effects()), 0..3),
        (unschedulable, allowed_pods) in (any::<bool>(), any::<i64>()),
        allocatable in resources(),
        images in slice((slice(text()), any::<i64>())),
        declared_features in slice(text()),
    ) -> NodeRecord {
        let taints = taints.into_iter().map(|(key, value, effect)| Taint { key, value, effect }).collect();
        let images = images.into_iter().map(|(names, size)| NodeImage { names, size }).collect();
        NodeRecord {
            name, resource_version, labels, taints, unschedulable, allocatable, allowed_pods, images, declared_features,
        }
    }
}

fn workloads() -> impl Strategy<Value = WorkloadRecord> {
    let broken = option::of(prop_oneof![when_broken().prop_map(Ok), text().prop_map(Err)]);
    let groups = vec((text(), group_policies()), 0..3);
    (text(), text(), text(), any::<u64>(), groups, broken).prop_map(
        |(namespace, name, uid, resource_version, pod_groups, when_broken)| WorkloadRecord {
            namespace,
            name,
            uid,
            resource_version,
            pod_groups,
            when_broken,
        },
    )
}

fn selector_owners() -> impl Strategy<Value = SelectorOwnerRecord> {
    (kind(), text(), text(), any::<u64>(), option::of(label_selectors())).prop_map(
        |(kind, namespace, name, resource_version, selector)| SelectorOwnerRecord {
            kind,
            namespace,
            name,
            resource_version,
            selector,
        },
    )
}

fn keys() -> impl Strategy<Value = ObjectKey> {
    (kind(), text(), text(), text(), any::<u64>()).prop_map(|(kind, namespace, name, uid, resource_version)| {
        ObjectKey {
            kind,
            namespace,
            name,
            uid,
            resource_version,
        }
    })
}

fn some_objects() -> impl Strategy<Value = Object> {
    let namespace = (text(), any::<u64>(), labels());
    let class = (text(), any::<u64>(), any::<i32>(), any::<bool>());
    prop_oneof![
        nodes().prop_map(Object::Node),
        pods().prop_map(|pod| Object::Pod(Box::new(pod))),
        namespace.prop_map(|(name, resource_version, labels)| {
            Object::Namespace(NamespaceRecord {
                name,
                resource_version,
                labels,
            })
        }),
        class.prop_map(|(name, resource_version, value, global_default)| {
            Object::PriorityClass(PriorityClassRecord {
                name,
                resource_version,
                value,
                global_default,
            })
        }),
        workloads().prop_map(Object::Workload),
        some_pod_groups().prop_map(Object::PodGroup),
        selector_owners().prop_map(Object::SelectorOwner),
        select(storage_objects()).prop_map(Object::Storage),
    ]
}

fn some_outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        pods().prop_map(|pod| Outcome::PodRead(PodRead::Found(Box::new(pod)))),
        text().prop_map(|message| Outcome::Bind(BindOutcome::Unknown { message })),
        select(outcomes()).prop_map(|input| match input {
            Input::EffectDone { outcome, .. } => outcome,
            other => panic!("{other:?}"),
        }),
    ]
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => some_objects().prop_map(Input::Applied),
        1 => keys().prop_map(Input::Deleted),
        1 => (keys(), text()).prop_map(|(key, error)| Input::Undecodable { key, error }),
        1 => kind().prop_map(Input::ListBegun),
        1 => kind().prop_map(Input::ListDone),
        1 => kind().prop_map(Input::KindNotServed),
        1 => any::<bool>().prop_map(|leads| Input::Leadership { leads }),
        2 => (any::<u64>(), some_outcomes()).prop_map(|(id, outcome)| Input::EffectDone { id: EffectId(id), outcome }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(now in any::<u64>(), input in inputs()) {
        let line = encode(Time(now), &input);
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(decode(&line), Ok((Time(now), input)));
    }

    #[test]
    fn no_line_makes_it_panic(line in any::<String>()) {
        let _ = decode(&line);
    }

    #[test]
    fn a_cut_line_is_an_error(input in inputs(), at in any::<prop::sample::Index>()) {
        let line = encode(Time(1), &input);
        let end = line.floor_char_boundary(at.index(line.len()));
        prop_assert!(decode(&line[..end]).is_err());
    }
}
