//! Pod groups in all dialects: links, terms, policies, statuses.

use super::{Value, decode, error, json, mutate, pod_of, try_decode, unsupported};
use muster_engine::Object;
use muster_framework::group::{CoschedulingPhase, GroupLink, GroupPolicy, GroupStatus, GroupTerms, WhenBroken};
use muster_framework::record::{Kind, PodGroupRecord, PodRecord};
use proptest::prelude::*;

const KINDS: [Kind; 3] = [Kind::PodGroup, Kind::PodGroupV1Alpha2, Kind::CoschedulingPodGroup];

/// A pod with these labels, annotations and this spec.
fn labelled(labels: Value, annotations: Value, spec: Value) -> PodRecord {
    let metadata = json!({"name": "a", "namespace": "n", "uid": "u", "labels": labels, "annotations": annotations});
    pod_of(&json!({"metadata": metadata, "spec": spec}))
}

fn problems(pod: &PodRecord) -> String {
    let problems = pod.spec.unsupported.iter();
    let lines: Vec<_> = problems.map(|u| format!("{}: {}", u.field, u.problem)).collect();
    lines.join("\n")
}

fn group_of(kind: Kind, metadata: Value, spec: Value, status: Value) -> PodGroupRecord {
    let mut object = json!({"metadata": {"name": "g", "namespace": "n", "uid": "u"}, "spec": spec, "status": status});
    for (key, value) in metadata.as_object().into_iter().flatten() {
        object["metadata"][key] = value.clone();
    }
    match try_decode(kind, &object) {
        Ok(Object::PodGroup(group)) => group,
        other => panic!("{other:?}"),
    }
}

fn policy_of(kind: Kind, spec: Value) -> Result<GroupPolicy, String> {
    let policy = group_of(kind, json!({}), spec, json!(null)).policy;
    policy.map_err(|problem| problem.to_string())
}

// Links

#[test]
fn the_spec_wins_over_labels_and_the_coscheduling_label_over_musters() {
    let labels = json!({"scheduling.x-k8s.io/pod-group": "crd", "muster.dev/pod-group": "own"});
    let of = |labels: &Value, spec: Value| labelled(labels.clone(), json!({"muster.dev/min-count": "2"}), spec);
    let pod_group = of(&labels, json!({"schedulingGroup": {"podGroupName": "spec"}}));
    assert_eq!(pod_group.group, Some(GroupLink::PodGroup { name: "spec".into() }));
    let workload = of(&labels, json!({"workloadRef": {"name": "w", "podGroup": "p"}}));
    assert!(matches!(workload.group, Some(GroupLink::Workload { .. })));
    let coscheduling = of(&labels, json!({}));
    assert_eq!(coscheduling.group, Some(GroupLink::Coscheduling { name: "crd".into() }));
    let own = of(&json!({"muster.dev/pod-group": "own"}), json!({}));
    assert_eq!(own.group, Some(GroupLink::Labels { name: "own".into() }));
    // Terms are stated where nobody else states them.
    for pod in [&pod_group, &workload, &coscheduling] {
        assert_eq!((&pod.group_terms, &*problems(pod)), (&None, ""));
    }
    assert!(own.group_terms.is_some());
    assert_eq!(of(&json!({"app": "web"}), json!({"schedulingGroup": null})).group, None);
}

#[test]
fn a_link_that_names_nothing_holds_the_pod() {
    let nothing = json!({});
    insta::assert_snapshot!(
        [
            unsupported(json!({"schedulingGroup": {}})),
            unsupported(json!({"schedulingGroup": {"podGroupName": ""}})),
            unsupported(json!({"workloadRef": {"podGroup": "p"}})),
            problems(&labelled(json!({"scheduling.x-k8s.io/pod-group": ""}), nothing.clone(), nothing.clone())),
            problems(&labelled(json!({"muster.dev/pod-group": ""}), nothing.clone(), nothing.clone())),
        ]
        .join("\n"),
        @"
        spec.schedulingGroup.podGroupName: is missing
        spec.schedulingGroup.podGroupName: is missing
        spec.workloadRef.name: is missing
        metadata.labels[scheduling.x-k8s.io/pod-group]: is missing
        metadata.labels[muster.dev/pod-group]: is missing
        "
    );
    // It does not fall back to a label, which may mean another group.
    let broken = labelled(
        json!({"muster.dev/pod-group": "own"}),
        json!({"muster.dev/min-count": "2"}),
        json!({"schedulingGroup": {}}),
    );
    assert_eq!((broken.group, broken.group_terms), (None, None));
}

#[test]
fn a_pod_states_the_terms_of_a_group_by_labels() {
    let terms = |annotations: Value| {
        let pod = labelled(json!({"muster.dev/pod-group": "g"}), annotations, json!({}));
        assert!(pod.spec.unsupported.is_empty());
        pod.group_terms.expect("terms")
    };
    let gang = |min_count, when_broken| GroupTerms {
        policy: Ok(GroupPolicy::Gang { min_count }),
        when_broken,
    };
    assert_eq!(terms(json!({"muster.dev/min-count": "8"})), gang(8, None));
    for (word, when_broken) in [("keep", WhenBroken::Keep), ("evict", WhenBroken::Evict)] {
        let annotations = json!({"muster.dev/min-count": "1", "muster.dev/when-broken": word});
        assert_eq!(terms(annotations), gang(1, Some(when_broken)));
    }
    let bad = [
        json!({}),
        json!({"muster.dev/min-count": ""}),
        json!({"muster.dev/min-count": "all"}),
        json!({"muster.dev/min-count": "2.5"}),
        json!({"muster.dev/min-count": "0"}),
        json!({"muster.dev/min-count": "-1"}),
        json!({"muster.dev/min-count": "3000000000"}),
        json!({"muster.dev/min-count": "99999999999999999999"}),
        json!({"muster.dev/min-count": "4", "muster.dev/when-broken": "restart"}),
        json!({"muster.dev/min-count": "no", "muster.dev/when-broken": "restart"}),
    ];
    let lines = bad.map(|annotations| terms(annotations).policy.expect_err("a problem"));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    metadata.annotations[muster.dev/min-count]: is missing
    metadata.annotations[muster.dev/min-count]: "" is not a whole number
    metadata.annotations[muster.dev/min-count]: "all" is not a whole number
    metadata.annotations[muster.dev/min-count]: "2.5" is not a whole number
    metadata.annotations[muster.dev/min-count]: 0 is less than 1
    metadata.annotations[muster.dev/min-count]: -1 is less than 1
    metadata.annotations[muster.dev/min-count]: 3000000000 is more than 2147483647
    metadata.annotations[muster.dev/min-count]: "99999999999999999999" is not a whole number
    metadata.annotations[muster.dev/when-broken]: "restart" is neither keep nor evict
    metadata.annotations[muster.dev/min-count]: "no" is not a whole number
    "#);
}

#[test]
fn a_pod_that_the_kubelet_turned_away_says_why() {
    let of = |phase: &str, reason: &str, message: &str| {
        let status = json!({"phase": phase, "reason": reason, "message": message});
        let pod = pod_of(&json!({"metadata": {"name": "a", "uid": "u"}, "status": status}));
        pod.turned_away.map(|reason| reason.to_string())
    };
    for reason in [
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
        "OutOfephemeral-storage",
        "OutOfexample.com/gpu",
        "UnexpectedAdmissionError",
        "NodeAffinity",
        "NodePorts",
        "TaintToleration",
        "TopologyAffinityError",
    ] {
        assert_eq!(of("Failed", reason, "").as_deref(), Some(reason));
        assert_eq!(of("Pending", reason, ""), None);
    }
    let at_the_door = "Pod was rejected: The node had condition: [MemoryPressure]. ";
    assert_eq!(of("Failed", "Evicted", at_the_door).as_deref(), Some("Evicted"));
    assert_eq!(of("Failed", "Evicted", "The node was low on resource: memory. "), None);
    assert_eq!(of("Failed", "DeadlineExceeded", ""), None);
    assert_eq!(of("Failed", "", at_the_door), None);
}

#[test]
fn a_pod_that_runs_is_running() {
    let of = |phase: &str| pod_of(&json!({"metadata": {"name": "a", "uid": "u"}, "status": {"phase": phase}})).running;
    assert!(of("Running") && !of("Pending") && !of("Succeeded") && !of(""));
}

// Policies

#[test]
fn pod_groups_state_a_policy() {
    for kind in [Kind::PodGroup, Kind::PodGroupV1Alpha2] {
        let of = |policy: Value| policy_of(kind, json!({"schedulingPolicy": policy}));
        assert_eq!(
            of(json!({"gang": {"minCount": 4}})),
            Ok(GroupPolicy::Gang { min_count: 4 })
        );
        assert_eq!(of(json!({"basic": {}, "gang": null})), Ok(GroupPolicy::Basic));
        let bad = [
            json!(null),
            json!({"basic": {}, "gang": {"minCount": 1}}),
            json!({"gang": {}}),
            json!({"gang": {"minCount": 0}}),
            json!({"gang": {"minCount": 3_000_000_000u64}}),
        ];
        let lines = bad.map(|policy| of(policy).expect_err("a problem"));
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines.join("\n"), @"
            spec.schedulingPolicy: states neither basic nor gang
            spec.schedulingPolicy: states both basic and gang
            spec.schedulingPolicy.gang.minCount: is missing
            spec.schedulingPolicy.gang.minCount: 0 is less than 1
            spec.schedulingPolicy.gang.minCount: 3000000000 is more than 2147483647
            ");
        }
    }
}

#[test]
fn a_group_of_the_crd_is_a_gang_of_min_member() {
    let of = |spec: Value| policy_of(Kind::CoschedulingPodGroup, spec);
    let full = json!({"minMember": 3, "minResources": {"cpu": 3}, "scheduleTimeoutSeconds": 10});
    assert_eq!(of(full), Ok(GroupPolicy::Gang { min_count: 3 }));
    // As the plugin of the CRD has it: nobody waits for others.
    for none in [
        json!({}),
        json!(null),
        json!({"minMember": null}),
        json!({"minMember": 0}),
    ] {
        assert_eq!(of(none), Ok(GroupPolicy::Basic));
    }
    assert_eq!(
        of(json!({"minMember": -2})),
        Err("spec.minMember: -2 is less than 1".into())
    );
    assert_eq!(
        of(json!({"minMember": 3_000_000_000u64})),
        Err("spec.minMember: 3000000000 is more than 2147483647".into())
    );
}

#[test]
fn policy_objects_say_what_becomes_of_a_broken_gang() {
    let of = |kind: Kind, annotations: Value| match try_decode(
        kind,
        &json!({"metadata": {"name": "g", "uid": "u", "annotations": annotations}}),
    ) {
        Ok(Object::PodGroup(group)) => group.when_broken,
        Ok(Object::Workload(workload)) => workload.when_broken,
        other => panic!("{other:?}"),
    };
    for kind in KINDS.into_iter().chain([Kind::Workload]) {
        assert_eq!(of(kind, json!({})), None);
        assert_eq!(
            of(kind, json!({"muster.dev/when-broken": "keep"})),
            Some(Ok(WhenBroken::Keep))
        );
        assert_eq!(
            of(kind, json!({"muster.dev/when-broken": "evict"})),
            Some(Ok(WhenBroken::Evict))
        );
        assert_eq!(
            of(kind, json!({"muster.dev/when-broken": "Evict"})),
            Some(Ok(WhenBroken::Evict))
        );
        for bad in ["", "EVICT", "restart"] {
            let problem = format!("metadata.annotations[muster.dev/when-broken]: {bad:?} is neither keep nor evict");
            assert_eq!(
                of(kind, json!({"muster.dev/when-broken": bad})),
                Some(Err(problem.into()))
            );
        }
    }
}

#[test]
fn what_cannot_be_honoured_of_a_group_is_named() {
    let spec = json!({
        "parentCompositePodGroupName": "tree",
        "workloadRef": {"workloadName": "w", "templateName": "t"},
        "schedulingPolicy": {"gang": {"minCount": 2}},
        "schedulingConstraints": {"topology": [{"key": "rack"}]},
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}],
        "disruptionMode": {"all": {}},
        "priority": 7,
        "preemptionPolicy": "Never",
    });
    let group = group_of(
        Kind::PodGroup,
        json!({"generation": 5, "resourceVersion": "9"}),
        spec,
        json!(null),
    );
    assert_eq!(
        (group.generation, group.resource_version, group.priority),
        (5, 9, Some(7))
    );
    assert_eq!(group.policy, Ok(GroupPolicy::Gang { min_count: 2 }));
    let lines = group.unsupported.iter().map(|u| format!("{}: {}", u.field, u.problem));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    spec.parentCompositePodGroupName: composite pod groups are not supported yet
    spec.schedulingConstraints.topology: topology constraints of pod groups are not supported yet
    spec.resourceClaims: devices by resource claims (dynamic resource allocation) are not supported yet
    ");
    // In 1.36 the mode is a word.
    let spec = json!({"schedulingConstraints": {"topology": []}, "resourceClaims": null, "disruptionMode": "PodGroup"});
    let group = group_of(Kind::PodGroupV1Alpha2, json!({}), spec, json!(null));
    assert!(group.unsupported.is_empty() && !group.terminating);
    let deleted = json!({"deletionTimestamp": "2026-03-01T12:00:00Z", "finalizers": ["f"]});
    assert!(group_of(Kind::PodGroup, deleted, json!({}), json!(null)).terminating);
}

// Statuses

#[test]
fn the_condition_of_a_group_is_that_of_its_api() {
    let condition = |name: &str, status: &str| {
        json!({"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": ""},
            {"type": name, "status": status, "reason": "Unschedulable", "message": "no room", "observedGeneration": 1,
             "lastTransitionTime": "2026-03-01T12:00:00Z"},
        ]})
    };
    let of = |kind, status| group_of(kind, json!({}), json!({}), status).status;
    let said = |scheduled| {
        Some(GroupStatus::Condition {
            scheduled,
            reason: "Unschedulable".into(),
            message: "no room".into(),
        })
    };
    let (alpha, beta) = ("PodGroupScheduled", "PodGroupInitiallyScheduled");
    assert_eq!(of(Kind::PodGroupV1Alpha2, condition(alpha, "False")), said(false));
    assert_eq!(of(Kind::PodGroup, condition(beta, "True")), said(true));
    assert_eq!(of(Kind::PodGroup, condition(alpha, "True")), None);
    assert_eq!(of(Kind::PodGroupV1Alpha2, condition(beta, "True")), None);
    assert_eq!(of(Kind::PodGroup, condition(beta, "Unknown")), None);
    assert_eq!(of(Kind::CoschedulingPodGroup, condition(beta, "True")), None);
}

#[test]
fn the_phase_of_a_group_of_the_crd_is_read_with_its_counts() {
    let of = |status: Value| group_of(Kind::CoschedulingPodGroup, json!({}), json!({}), status).status;
    let phase = |phase, [running, succeeded, failed]: [u32; 3]| {
        Some(GroupStatus::Phase {
            phase,
            running,
            succeeded,
            failed,
        })
    };
    let full = json!({"phase": "Running", "running": 2, "succeeded": 1, "failed": 0, "occupiedBy": "n/job",
        "scheduled": 3, "scheduleStartTime": null});
    assert_eq!(of(full), phase(CoschedulingPhase::Running, [2, 1, 0]));
    assert_eq!(
        of(json!({"phase": "Pending"})),
        phase(CoschedulingPhase::Pending, [0, 0, 0])
    );
    assert_eq!(
        of(json!({"phase": "Failed", "failed": -1})),
        phase(CoschedulingPhase::Failed, [0, 0, u32::MAX])
    );
    for none in [
        json!(null),
        json!({}),
        json!({"phase": "Unknown"}),
        json!({"phase": "PreScheduling"}),
    ] {
        assert_eq!(of(none), None);
    }
    let on_another_kind = json!({"phase": "Running"});
    assert_eq!(
        group_of(Kind::PodGroup, json!({}), json!({}), on_another_kind).status,
        None
    );
}

// Errors

#[test]
fn errors_of_groups_name_their_field() {
    let meta = json!({"name": "g", "namespace": "n", "uid": "u"});
    let lines = [
        error(Kind::PodGroup, &json!({"metadata": {"name": "g", "namespace": "n"}})),
        error(
            Kind::PodGroup,
            &json!({"metadata": meta, "spec": {"schedulingPolicy": {"gang": {"minCount": "4"}}}}),
        ),
        error(
            Kind::PodGroup,
            &json!({"metadata": meta, "spec": {"schedulingPolicy": []}}),
        ),
        error(
            Kind::CoschedulingPodGroup,
            &json!({"metadata": meta, "spec": {"minMember": 2.5}}),
        ),
        error(
            Kind::CoschedulingPodGroup,
            &json!({"metadata": meta, "status": {"phase": 3}}),
        ),
        error(
            Kind::PodGroup,
            &json!({"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup", "metadata": meta}),
        ),
        error(
            Kind::Pod,
            &json!({"metadata": meta, "spec": {"schedulingGroup": {"podGroupName": 1}}}),
        ),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    PodGroup n/g: metadata.uid: is missing
    PodGroup n/g: spec.schedulingPolicy.gang.minCount: invalid type: string "4", expected i64
    PodGroup n/g: spec.schedulingPolicy: invalid type: sequence, expected an object
    PodGroup n/g: spec.minMember: invalid type: floating point `2.5`, expected i64
    PodGroup n/g: status.phase: invalid type: integer `3`, expected a string
    PodGroup n/g: apiVersion: "scheduling.x-k8s.io/v1alpha1" is not "scheduling.k8s.io/v1beta1"
    Pod n/g: spec.schedulingGroup.podGroupName: invalid type: integer `1`, expected a string
    "#);
}

/// A pod group with all that is read of any of the three.
fn full_group() -> Value {
    json!({
        "metadata": {"name": "g", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
            "annotations": {"muster.dev/when-broken": "evict"}},
        "spec": {
            "parentCompositePodGroupName": "tree",
            "schedulingPolicy": {"gang": {"minCount": 2}},
            "schedulingConstraints": {"topology": [{"key": "rack"}]},
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}],
            "priority": 7,
            "minMember": 2,
        },
        "status": {
            "conditions": [
                {"type": "PodGroupInitiallyScheduled", "status": "True", "reason": "Scheduled", "message": ""},
                {"type": "PodGroupScheduled", "status": "True", "reason": "Scheduled", "message": ""},
            ],
            "phase": "Running", "running": 2, "succeeded": 0, "failed": 0,
        },
    })
}

proptest! {
    #[test]
    fn a_changed_group_decodes_or_names_a_field(
        way in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        new in super::any_json(),
    ) {
        let mut value = full_group();
        mutate(&mut value, &way, new);
        for kind in KINDS {
            match try_decode(kind, &value) {
                Ok(Object::PodGroup(group)) => prop_assert_eq!(group.kind, kind),
                Ok(other) => prop_assert!(false, "{:?}", other),
                Err(error) => {
                    prop_assert!(!error.field.is_empty(), "{}", error);
                    prop_assert!(error.problem.len() <= 300, "{}", error);
                }
            }
        }
    }

    /// Whatever stands in them, annotations never make a pod unreadable, and never start part of a gang.
    #[test]
    fn any_words_in_annotations_give_terms_or_a_problem(count in any::<String>(), broken in any::<String>()) {
        let annotations = json!({"muster.dev/min-count": count, "muster.dev/when-broken": broken});
        let pod = labelled(json!({"muster.dev/pod-group": "g"}), annotations, json!({}));
        match pod.group_terms.expect("terms").policy {
            Ok(GroupPolicy::Gang { min_count }) => prop_assert_eq!(count.parse(), Ok(min_count)),
            Ok(GroupPolicy::Basic) => prop_assert!(false),
            Err(problem) => {
                prop_assert!(problem.starts_with("metadata.annotations[muster.dev/"), "{}", problem);
                prop_assert!(problem.len() < 1000, "{}", problem.len());
            }
        }
    }
}

#[test]
fn null_is_absent_in_a_group() {
    let nothing = |kind| group_of(kind, json!({}), json!(null), json!(null));
    for kind in KINDS {
        let nulls = json!({"schedulingPolicy": null, "schedulingConstraints": null, "resourceClaims": null,
            "parentCompositePodGroupName": null, "priority": null, "minMember": null});
        let statuses = json!({"conditions": null, "phase": null, "running": null});
        let metadata = json!({"annotations": null, "labels": null, "generation": null});
        assert_eq!(group_of(kind, metadata, nulls, statuses), nothing(kind));
    }
    assert!(decode(Kind::PodGroup, b"null").is_err());
}
