//! What Muster writes to the API server, as values: nothing is sent here.

use crate::group_names::{condition_type, phase_name};
use crate::paths::{api_version_kind, list_path};
use jiff::Timestamp;
use muster_engine::{GroupRef, PodRef, Regarding, Severity};
use muster_framework::group::{CoschedulingPhase, GroupStatus};
use muster_framework::record::{ClaimKey, Kind, ResourceVersion};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The HTTP method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Create.
    Post,
    /// Change a part.
    Patch,
}

impl Method {
    /// The method as HTTP spells it.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
        }
    }
}

/// A request to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path, without host.
    pub path: String,
    /// The type of the body; empty where there is no body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

pub(crate) const JSON: &str = "application/json";
const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// On a volume: whoever bound it was a machine. Its value does not matter; upstream writes this one.
const BOUND_BY_CONTROLLER: (&str, &str) = ("pv.kubernetes.io/bound-by-controller", "yes");
/// On a claim: where the scheduler wants its volume to be made.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Longest note of an event, in bytes. Source: `k8s.io/kubernetes/pkg/apis/core/validation.NoteLengthLimit`.
const NOTE_BYTES_MAX: usize = 1024;
/// Longest message of a group's condition, in bytes. Source: `maxLen` of the message in
/// `k8s.io/apimachinery/pkg/apis/meta/v1/validation.ValidateCondition`.
const CONDITION_MESSAGE_BYTES_MAX: usize = 32 << 10;
/// What a shortened text ends with. Source: `k8s.io/kubernetes/pkg/scheduler.truncateMessage`.
const NOTE_CUT: &str = " ...";
/// Longest `reportingInstance` of an event, in bytes. Source: the same file as [`NOTE_BYTES_MAX`].
const REPORTING_INSTANCE_BYTES_MAX: usize = 128;
/// Longest name of an object.
const NAME_BYTES_MAX: usize = 253;

/// Binds `pod` to `node`.
///
/// The uid in the metadata is a precondition: a pod made anew under the old name is not bound (409 Conflict).
pub fn bind(pod: &PodRef, node: &str) -> Request {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Binding<'a> {
        api_version: &'static str,
        kind: &'static str,
        metadata: Metadata<'a>,
        target: ObjectReference<'a>,
    }
    let binding = Binding {
        api_version: "v1",
        kind: "Binding",
        metadata: Metadata {
            name: Some(&pod.name),
            namespace: Some(&pod.namespace),
            uid: Some(&pod.uid),
        },
        target: ObjectReference {
            api_version: "v1",
            kind: "Node",
            namespace: None,
            name: node,
            uid: None,
        },
    };
    Request {
        method: Method::Post,
        path: format!("{}/binding", pod_path(pod)),
        content_type: JSON,
        body: body_of(&binding),
    }
}

/// Reads `pod` consistently: without a resource version the server answers from its store, not from a cache.
///
/// The answer may be a pod with another uid; then the one asked for is gone.
pub fn get_pod(pod: &PodRef) -> Request {
    Request {
        method: Method::Get,
        path: pod_path(pod),
        content_type: "",
        body: Vec::new(),
    }
}

/// Writes `PodScheduled=False` to the pod's status. Other conditions stay as they are.
///
/// `last_transition` is when the condition last *turned* False: now, unless the pod carries it already.
/// A pod made anew under the old name has another uid, which cannot be changed: the server refuses (409 or 422).
pub fn pod_condition(
    pod: &PodRef,
    observed_generation: i64,
    reason: &str,
    message: &str,
    last_transition: Timestamp,
) -> Request {
    #[derive(Serialize)]
    struct Patch<'a> {
        metadata: Metadata<'a>,
        status: Status<'a>,
    }
    #[derive(Serialize)]
    struct Status<'a> {
        conditions: [Condition<'a>; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Condition<'a> {
        r#type: &'static str,
        status: &'static str,
        reason: &'a str,
        message: &'a str,
        last_probe_time: Option<()>,
        last_transition_time: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        observed_generation: Option<i64>,
    }
    let condition = Condition {
        r#type: "PodScheduled",
        status: "False",
        reason,
        message,
        last_probe_time: None,
        last_transition_time: in_seconds(last_transition),
        observed_generation: (observed_generation > 0).then_some(observed_generation),
    };
    let metadata = Metadata {
        name: None,
        namespace: None,
        uid: Some(&pod.uid),
    };
    Request {
        method: Method::Patch,
        path: format!("{}/status", pod_path(pod)),
        content_type: STRATEGIC_MERGE_PATCH,
        body: body_of(&Patch {
            metadata,
            status: Status {
                conditions: [condition],
            },
        }),
    }
}

/// Writes to the status of a group's object what its API has for it: a condition, or the phase and counts of the
/// coscheduling CRD. Conditions of other types, and other fields, stay as they are. None: objects of the kind have no such
/// status.
///
/// A condition's `lastTransitionTime` becomes `turned`; if that is None it stays, and must be there already. A condition is
/// refused (422) by an object made anew under the old name. The server does not compare uids where it writes the status of
/// a custom resource: a group made anew gets the status of the old one then, until its own is written.
/// Source: `updatePodGroupCondition` in `pkg/scheduler/schedule_one_podgroup.go`; `statusStrategy.PrepareForUpdate` of
/// apiextensions.
pub fn group_status(
    group: &GroupRef,
    observed_generation: i64,
    status: &GroupStatus,
    turned: Option<Timestamp>,
) -> Option<Request> {
    let (content_type, body) = match status {
        GroupStatus::Condition {
            scheduled,
            reason,
            message,
        } => {
            let condition = GroupCondition {
                r#type: condition_type(group.kind)?,
                status: if *scheduled { "True" } else { "False" },
                reason,
                message: &shortened(message, CONDITION_MESSAGE_BYTES_MAX),
                observed_generation: (observed_generation > 0).then_some(observed_generation),
                last_transition_time: turned.map(in_seconds),
            };
            // Merged by the condition's type, which plain merge patches cannot.
            (STRATEGIC_MERGE_PATCH, group_condition(&group.uid, condition))
        }
        GroupStatus::Phase {
            phase,
            running,
            succeeded,
            failed,
        } if group.kind == Kind::CoschedulingPodGroup => {
            (MERGE_PATCH, group_phase(*phase, [*running, *succeeded, *failed]))
        }
        GroupStatus::Phase { .. } => return None,
    };
    let (prefix, resource) = list_path(group.kind).rsplit_once('/')?;
    Some(Request {
        method: Method::Patch,
        path: format!(
            "{prefix}/namespaces/{}/{resource}/{}/status",
            segment(&group.namespace),
            segment(&group.name)
        ),
        content_type,
        body,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupCondition<'a> {
    r#type: &'static str,
    status: &'static str,
    reason: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transition_time: Option<String>,
}

fn group_condition(uid: &str, condition: GroupCondition<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Patch<'a> {
        metadata: Metadata<'a>,
        status: Status<'a>,
    }
    #[derive(Serialize)]
    struct Status<'a> {
        conditions: [GroupCondition<'a>; 1],
    }
    let metadata = Metadata {
        name: None,
        namespace: None,
        uid: Some(uid),
    };
    body_of(&Patch {
        metadata,
        status: Status {
            conditions: [condition],
        },
    })
}

fn group_phase(phase: CoschedulingPhase, [running, succeeded, failed]: [u32; 3]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Patch {
        status: Status,
    }
    #[derive(Serialize)]
    struct Status {
        phase: &'static str,
        running: u32,
        succeeded: u32,
        failed: u32,
    }
    body_of(&Patch {
        status: Status {
            phase: phase_name(phase),
            running,
            succeeded,
            failed,
        },
    })
}

/// Evicts `pod`: it ends in its own time, unless a disruption budget forbids it (429). A pod made anew under the old name
/// is not touched (409).
pub fn evict(pod: &PodRef) -> Request {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Eviction<'a> {
        api_version: &'static str,
        kind: &'static str,
        metadata: Metadata<'a>,
        delete_options: DeleteOptions<'a>,
    }
    #[derive(Serialize)]
    struct DeleteOptions<'a> {
        preconditions: Preconditions<'a>,
    }
    #[derive(Serialize)]
    struct Preconditions<'a> {
        uid: &'a str,
    }
    let eviction = Eviction {
        api_version: "policy/v1",
        kind: "Eviction",
        metadata: Metadata {
            name: Some(&pod.name),
            namespace: Some(&pod.namespace),
            uid: None,
        },
        delete_options: DeleteOptions {
            preconditions: Preconditions { uid: &pod.uid },
        },
    };
    Request {
        method: Method::Post,
        path: format!("{}/eviction", pod_path(pod)),
        content_type: JSON,
        body: body_of(&eviction),
    }
}

/// An event about a pod: the fields of [`EffectKind::Event`](muster_engine::EffectKind::Event).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventText<'a> {
    /// The name of the scheduler that reports.
    pub reporting_controller: &'a str,
    /// Normal or Warning.
    pub severity: Severity,
    /// Why, in one word.
    pub reason: &'a str,
    /// What was done, in one word.
    pub action: &'a str,
    /// What a person reads; cut to the API's limit here.
    pub note: &'a str,
}

/// Creates an event about an object, named `<object>.<unique_suffix>`, in the object's namespace.
pub fn event(
    regarding: &Regarding,
    text: EventText<'_>,
    reporting_instance: &str,
    unique_suffix: &str,
    now: Timestamp,
) -> Request {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Event<'a> {
        api_version: &'static str,
        kind: &'static str,
        metadata: Metadata<'a>,
        event_time: String,
        reporting_controller: &'a str,
        reporting_instance: &'a str,
        action: &'a str,
        reason: &'a str,
        regarding: ObjectReference<'a>,
        note: &'a str,
        r#type: &'static str,
    }
    let regarding = reference(regarding);
    let namespace = regarding.namespace.unwrap_or_default();
    let name = event_name(regarding.name, unique_suffix);
    let event = Event {
        api_version: "events.k8s.io/v1",
        kind: "Event",
        metadata: Metadata {
            name: Some(&name),
            namespace: Some(namespace),
            uid: None,
        },
        // Not finer than microseconds: the server would compare what it cannot store.
        event_time: now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        reporting_controller: text.reporting_controller,
        reporting_instance: head(reporting_instance, REPORTING_INSTANCE_BYTES_MAX),
        action: text.action,
        reason: text.reason,
        regarding,
        note: &shortened(text.note, NOTE_BYTES_MAX),
        r#type: text.severity.name(),
    };
    Request {
        method: Method::Post,
        path: format!("/apis/events.k8s.io/v1/namespaces/{}/events", segment(namespace)),
        content_type: JSON,
        body: body_of(&event),
    }
}

fn reference(regarding: &Regarding) -> ObjectReference<'_> {
    let (kind, namespace, name, uid) = match regarding {
        Regarding::Pod(pod) => (Kind::Pod, &pod.namespace, &pod.name, &pod.uid),
        Regarding::Group(group) => (group.kind, &group.namespace, &group.name, &group.uid),
    };
    let (api_version, kind) = api_version_kind(kind);
    ObjectReference {
        api_version,
        kind,
        namespace: Some(namespace),
        name,
        uid: Some(uid),
    }
}

/// An object as it was seen. A patch that names it is refused (409) if another object has its name now, or if it has been
/// changed since: who decided on what stood there is to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsSeen<'a> {
    /// Its uid; empty: its version says enough, for no two objects of a kind have the same.
    pub uid: &'a str,
    /// Its version.
    pub resource_version: ResourceVersion,
}

impl AsSeen<'_> {
    /// As seen in this version, by whatever uid.
    pub fn version(resource_version: ResourceVersion) -> AsSeen<'static> {
        AsSeen {
            uid: "",
            resource_version,
        }
    }
}

/// Binds the volume of this name to a claim: the controller of volumes does the rest. `mark` unless somebody had reserved
/// the volume for the claim before.
/// Source: `volume.GetBindVolumeToClaim` of component-helpers and `volumeBinder.bindAPIUpdate`, which send whole objects.
pub fn bind_volume(
    volume: &str,
    volume_seen: AsSeen<'_>,
    claim: &ClaimKey,
    claim_seen: AsSeen<'_>,
    mark: bool,
) -> Request {
    #[derive(Serialize)]
    struct Patch<'a> {
        metadata: PatchedMetadata<'a>,
        spec: Spec<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec<'a> {
        claim_ref: ClaimReference<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ClaimReference<'a> {
        api_version: &'static str,
        kind: &'static str,
        namespace: &'a str,
        name: &'a str,
        uid: &'a str,
        resource_version: String,
    }
    let (annotation, value) = BOUND_BY_CONTROLLER;
    let annotations = mark.then_some((annotation, Some(value))).into_iter().collect();
    let patch = Patch {
        metadata: PatchedMetadata::new(volume_seen, annotations),
        spec: Spec {
            claim_ref: ClaimReference {
                api_version: "v1",
                kind: "PersistentVolumeClaim",
                namespace: &claim.namespace,
                name: &claim.name,
                uid: claim_seen.uid,
                resource_version: claim_seen.resource_version.to_string(),
            },
        },
    };
    Request {
        method: Method::Patch,
        path: format!("/api/v1/persistentvolumes/{}", segment(volume)),
        content_type: MERGE_PATCH,
        body: body_of(&patch),
    }
}

/// Asks whoever provisions volumes to make one for the claim, for pods on `node`.
/// Source: `volumeBinder.AssumePodVolumes` and `bindAPIUpdate`, which send whole objects.
pub fn select_node(claim: &ClaimKey, seen: AsSeen<'_>, node: &str) -> Request {
    annotate_claim(claim, seen, (SELECTED_NODE, Some(node)))
}

/// Takes [`select_node`] back.
pub fn deselect_node(claim: &ClaimKey, seen: AsSeen<'_>) -> Request {
    annotate_claim(claim, seen, (SELECTED_NODE, None))
}

/// Sets an annotation of a claim, or removes it.
fn annotate_claim(claim: &ClaimKey, seen: AsSeen<'_>, annotation: (&'static str, Option<&str>)) -> Request {
    #[derive(Serialize)]
    struct Patch<'a> {
        metadata: PatchedMetadata<'a>,
    }
    Request {
        method: Method::Patch,
        path: format!(
            "/api/v1/namespaces/{}/persistentvolumeclaims/{}",
            segment(&claim.namespace),
            segment(&claim.name)
        ),
        content_type: MERGE_PATCH,
        body: body_of(&Patch {
            metadata: PatchedMetadata::new(seen, [annotation].into_iter().collect()),
        }),
    }
}

/// Metadata in a patch of an object as it was seen; an annotation without a value is removed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PatchedMetadata<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    resource_version: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, Option<&'a str>>,
}

impl<'a> PatchedMetadata<'a> {
    fn new(seen: AsSeen<'a>, annotations: BTreeMap<&'static str, Option<&'a str>>) -> PatchedMetadata<'a> {
        PatchedMetadata {
            uid: seen.uid,
            resource_version: seen.resource_version.to_string(),
            annotations,
        }
    }
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReference<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

pub(crate) fn body_of(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("structs of strings and numbers always serialize")
}

fn pod_path(pod: &PodRef) -> String {
    format!(
        "/api/v1/namespaces/{}/pods/{}",
        segment(&pod.namespace),
        segment(&pod.name)
    )
}

/// A name as a segment of a path. Names that the API server has let in pass unchanged; whatever else a name may hold
/// cannot lead to another path.
pub(crate) fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'~')
            || (byte == b'.' && name != "." && name != "..");
        if plain {
            segment.push(char::from(byte));
        } else {
            write!(segment, "%{byte:02X}").expect("writing to a string succeeds");
        }
    }
    segment
}

/// The longest beginning of `text` that has at most `bytes` bytes and cuts no character.
fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// `text`, or as much of it as goes into so many bytes with a mark that it was cut.
fn shortened(text: &str, bytes: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= bytes {
        return text.into();
    }
    format!("{}{NOTE_CUT}", head(text, bytes - NOTE_CUT.len())).into()
}

/// A time as `metav1.Time` writes it.
fn in_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A pod's name may be as long as names get: then the event's keeps its suffix, which makes it unique.
fn event_name(pod: &str, suffix: &str) -> String {
    let room = NAME_BYTES_MAX.saturating_sub(suffix.len() + 1);
    format!("{}.{suffix}", head(pod, room).trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodRef {
        PodRef {
            namespace: "shop".into(),
            name: "web-0".into(),
            uid: "6c1f".into(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// The request with its body as it is sent.
    fn shown(request: &Request) -> String {
        let body = String::from_utf8_lossy(&request.body);
        format!(
            "{} {}\n{}\n{body}",
            request.method.name(),
            request.path,
            request.content_type
        )
    }

    #[test]
    fn a_binding_names_the_node_and_the_uid() {
        insta::assert_snapshot!(shown(&bind(&pod(), "node-1")), @r#"
        POST /api/v1/namespaces/shop/pods/web-0/binding
        application/json
        {"apiVersion":"v1","kind":"Binding","metadata":{"name":"web-0","namespace":"shop","uid":"6c1f"},"target":{"apiVersion":"v1","kind":"Node","name":"node-1"}}
        "#);
    }

    #[test]
    fn a_read_states_no_resource_version() {
        insta::assert_snapshot!(shown(&get_pod(&pod())), @"GET /api/v1/namespaces/shop/pods/web-0");
    }

    #[test]
    fn a_condition_is_a_strategic_merge_patch_with_the_uid() {
        let now = at("2026-03-01T12:00:00.987654Z");
        let request = pod_condition(
            &pod(),
            3,
            "Unschedulable",
            "0/2 nodes are available: 2 Insufficient cpu.",
            now,
        );
        insta::assert_snapshot!(shown(&request), @r#"
        PATCH /api/v1/namespaces/shop/pods/web-0/status
        application/strategic-merge-patch+json
        {"metadata":{"uid":"6c1f"},"status":{"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/2 nodes are available: 2 Insufficient cpu.","lastProbeTime":null,"lastTransitionTime":"2026-03-01T12:00:00Z","observedGeneration":3}]}}
        "#);
        let without = pod_condition(&pod(), 0, "Unschedulable", "", now);
        assert!(!String::from_utf8_lossy(&without.body).contains("observedGeneration"));
    }

    fn group(kind: Kind) -> GroupRef {
        GroupRef {
            kind,
            namespace: "shop".into(),
            name: "train".into(),
            uid: "7d20".into(),
        }
    }

    fn unschedulable() -> GroupStatus {
        GroupStatus::Condition {
            scheduled: false,
            reason: "Unschedulable".into(),
            message: "2 of 8 fit".into(),
        }
    }

    #[test]
    fn a_groups_condition_has_the_type_of_its_api() {
        let turned = Some(at("2026-03-01T12:00:00.987654Z"));
        let beta = group_status(&group(Kind::PodGroup), 3, &unschedulable(), turned).expect("a request");
        insta::assert_snapshot!(shown(&beta), @r#"
        PATCH /apis/scheduling.k8s.io/v1beta1/namespaces/shop/podgroups/train/status
        application/strategic-merge-patch+json
        {"metadata":{"uid":"7d20"},"status":{"conditions":[{"type":"PodGroupInitiallyScheduled","status":"False","reason":"Unschedulable","message":"2 of 8 fit","observedGeneration":3,"lastTransitionTime":"2026-03-01T12:00:00Z"}]}}
        "#);
        let scheduled = GroupStatus::Condition {
            scheduled: true,
            reason: "Scheduled".into(),
            message: "".into(),
        };
        let alpha = group_status(&group(Kind::PodGroupV1Alpha2), 0, &scheduled, None).expect("a request");
        insta::assert_snapshot!(shown(&alpha), @r#"
        PATCH /apis/scheduling.k8s.io/v1alpha2/namespaces/shop/podgroups/train/status
        application/strategic-merge-patch+json
        {"metadata":{"uid":"7d20"},"status":{"conditions":[{"type":"PodGroupScheduled","status":"True","reason":"Scheduled","message":""}]}}
        "#);
    }

    #[test]
    fn a_group_of_the_crd_has_a_phase_and_counts() {
        let phase = GroupStatus::Phase {
            phase: CoschedulingPhase::Running,
            running: 3,
            succeeded: 1,
            failed: 0,
        };
        let request = group_status(&group(Kind::CoschedulingPodGroup), 3, &phase, None).expect("a request");
        insta::assert_snapshot!(shown(&request), @r#"
        PATCH /apis/scheduling.x-k8s.io/v1alpha1/namespaces/shop/podgroups/train/status
        application/merge-patch+json
        {"status":{"phase":"Running","running":3,"succeeded":1,"failed":0}}
        "#);
        // What an API has no place for is not written somewhere else.
        assert_eq!(group_status(&group(Kind::PodGroup), 3, &phase, None), None);
        for kind in [Kind::Workload, Kind::CoschedulingPodGroup] {
            assert_eq!(group_status(&group(kind), 3, &unschedulable(), None), None);
        }
    }

    #[test]
    fn a_long_message_of_a_condition_is_cut_to_what_the_api_takes() {
        let status = GroupStatus::Condition {
            scheduled: false,
            reason: "Unschedulable".into(),
            message: "語".repeat(20_000).into(),
        };
        let request = group_status(&group(Kind::PodGroup), 1, &status, None).expect("a request");
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let message = body["status"]["conditions"][0]["message"].as_str().expect("a message");
        assert!(message.len() <= 32 << 10 && message.len() > 32_760 && message.ends_with("語 ..."));
    }

    #[test]
    fn an_eviction_is_for_the_pod_with_the_uid() {
        insta::assert_snapshot!(shown(&evict(&pod())), @r#"
        POST /api/v1/namespaces/shop/pods/web-0/eviction
        application/json
        {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-0","namespace":"shop"},"deleteOptions":{"preconditions":{"uid":"6c1f"}}}
        "#);
    }

    fn claim() -> ClaimKey {
        ClaimKey {
            namespace: "shop".into(),
            name: "data-web-0".into(),
        }
    }

    const SEEN: AsSeen<'static> = AsSeen {
        uid: "bb22",
        resource_version: 81,
    };

    #[test]
    fn a_volume_is_bound_by_a_patch_of_what_was_seen() {
        let volume = AsSeen {
            uid: "aa11",
            resource_version: 77,
        };
        insta::assert_snapshot!(shown(&bind_volume("pv-1", volume, &claim(), SEEN, true)), @r#"
        PATCH /api/v1/persistentvolumes/pv-1
        application/merge-patch+json
        {"metadata":{"uid":"aa11","resourceVersion":"77","annotations":{"pv.kubernetes.io/bound-by-controller":"yes"}},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","namespace":"shop","name":"data-web-0","uid":"bb22","resourceVersion":"81"}}}
        "#);
        let reserved = bind_volume("pv-1", volume, &claim(), SEEN, false);
        assert!(!String::from_utf8_lossy(&reserved.body).contains("annotations"));
    }

    #[test]
    fn a_node_is_selected_and_deselected() {
        insta::assert_snapshot!(shown(&select_node(&claim(), SEEN, "node-1")), @r#"
        PATCH /api/v1/namespaces/shop/persistentvolumeclaims/data-web-0
        application/merge-patch+json
        {"metadata":{"uid":"bb22","resourceVersion":"81","annotations":{"volume.kubernetes.io/selected-node":"node-1"}}}
        "#);
        insta::assert_snapshot!(shown(&deselect_node(&claim(), SEEN)), @r#"
        PATCH /api/v1/namespaces/shop/persistentvolumeclaims/data-web-0
        application/merge-patch+json
        {"metadata":{"uid":"bb22","resourceVersion":"81","annotations":{"volume.kubernetes.io/selected-node":null}}}
        "#);
    }

    fn event_with(note: &str, name: &str) -> Request {
        let text = EventText {
            reporting_controller: "muster",
            severity: Severity::Warning,
            reason: "FailedScheduling",
            action: "Scheduling",
            note,
        };
        let pod = PodRef {
            name: name.into(),
            ..pod()
        };
        event(
            &Regarding::Pod(pod),
            text,
            "muster-host-1",
            "17a9",
            at("2026-03-01T12:00:00.9876543Z"),
        )
    }

    #[test]
    fn an_event_is_about_the_pod() {
        insta::assert_snapshot!(shown(&event_with("0/2 nodes are available.", "web-0")), @r#"
        POST /apis/events.k8s.io/v1/namespaces/shop/events
        application/json
        {"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"web-0.17a9","namespace":"shop"},"eventTime":"2026-03-01T12:00:00.987654Z","reportingController":"muster","reportingInstance":"muster-host-1","action":"Scheduling","reason":"FailedScheduling","regarding":{"apiVersion":"v1","kind":"Pod","namespace":"shop","name":"web-0","uid":"6c1f"},"note":"0/2 nodes are available.","type":"Warning"}
        "#);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note_of = |note: &str| {
            let body: serde_json::Value = serde_json::from_slice(&event_with(note, "web-0").body).expect("JSON");
            body["note"].as_str().expect("a note").to_owned()
        };
        assert_eq!(note_of(&"x".repeat(1024)), "x".repeat(1024));
        assert_eq!(note_of(&"x".repeat(1025)), format!("{} ...", "x".repeat(1020)));
        // Each of these has three bytes: 340 fit into 1020.
        assert_eq!(note_of(&"語".repeat(500)), format!("{} ...", "語".repeat(340)));
        assert_eq!(
            note_of(&format!("x{}", "語".repeat(500))),
            format!("x{} ...", "語".repeat(339))
        );
    }

    #[test]
    fn the_name_of_an_event_is_never_too_long() {
        let name = event_name(&format!("{}.b", "a".repeat(247)), "17a9");
        assert_eq!(name, format!("{}.17a9", "a".repeat(247)));
        assert_eq!(event_name(&"a".repeat(253), "17a9").len(), 253);
    }

    #[test]
    fn a_strange_name_stays_in_its_segment() {
        let strange = PodRef {
            namespace: "..".into(),
            name: "a/../b?c".into(),
            uid: "u".into(),
        };
        assert_eq!(get_pod(&strange).path, "/api/v1/namespaces/%2E%2E/pods/a%2F..%2Fb%3Fc");
    }
}
