//! What an answer of the API server means for the engine. All knowledge of that sort is here, and none of it sends.
//!
//! The rule for binds: only say that a pod is bound, gone or refused when the server said exactly that. Whatever is in
//! doubt is *unknown*, and the engine reads the pod back.

use crate::exchange::{Answer, Lost};
use http::StatusCode;
use muster_api::paths::list_path;
use muster_api::status_message;
use muster_engine::{BindOutcome, GroupRef, Object, Outcome, PodRead, PodRef};
use muster_framework::Text;
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use serde::Deserialize;

/// Longest message that is passed on: it ends up in conditions, events and logs.
const MESSAGE_BYTES_MAX: usize = 1024;

/// What became of a bind.
pub(crate) fn of_bind(pod: &PodRef, answer: Result<Answer, Lost>) -> BindOutcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Lost(message)) => {
            return BindOutcome::Unknown {
                message: message.into(),
            };
        }
    };
    let message = said(&answer);
    match answer.status {
        status if status.is_success() => BindOutcome::Bound,
        StatusCode::NOT_FOUND => match not_found(&answer, "pods", &pod.name) {
            NotFound::Object => BindOutcome::PodGone,
            NotFound::SomethingElse => BindOutcome::Refused { message },
            NotFound::Unclear => BindOutcome::Unknown { message },
        },
        // Bound already (here or elsewhere), another pod of that name, gated, terminating: the pod itself says which.
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => BindOutcome::Unknown { message },
        StatusCode::UNPROCESSABLE_ENTITY if is_about_uid(&message) => BindOutcome::Unknown { message },
        // The proxy or the server gave up waiting; what it waited for may have happened.
        StatusCode::REQUEST_TIMEOUT => BindOutcome::Unknown { message },
        status if status.is_client_error() => BindOutcome::Refused { message },
        _ => BindOutcome::Unknown { message },
    }
}

/// What a read of a pod found.
pub(crate) fn of_read(pod: &PodRef, minor: KubeMinor, answer: Result<Answer, Lost>) -> PodRead {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Lost(message)) => {
            return PodRead::Failed {
                message: message.into(),
            };
        }
    };
    match answer.status {
        StatusCode::OK => found(pod, minor, &answer.body),
        StatusCode::NOT_FOUND if not_found(&answer, "pods", &pod.name) == NotFound::Object => PodRead::Gone,
        _ => PodRead::Failed { message: said(&answer) },
    }
}

fn found(pod: &PodRef, minor: KubeMinor, body: &[u8]) -> PodRead {
    match muster_api::decode_for(minor, Kind::Pod, body) {
        Ok(Object::Pod(record)) if record.uid == pod.uid => PodRead::Found(record),
        Ok(Object::Pod(_)) => PodRead::Gone,
        Ok(_) => PodRead::Failed {
            message: "the answer is not a pod".into(),
        },
        // Its uid may still be legible, and tell that this is another pod.
        Err(error) if !error.key.uid.is_empty() && error.key.uid != pod.uid => PodRead::Gone,
        Err(error) => PodRead::Failed {
            message: error.to_string().into(),
        },
    }
}

/// What became of a write to a pod's status, or of its eviction.
pub(crate) fn of_pod_write(pod: &PodRef, answer: Result<Answer, Lost>) -> Outcome {
    of_write("pods", &pod.name, answer)
}

/// What became of a write to the status of a group's object.
pub(crate) fn of_group_write(group: &GroupRef, answer: Result<Answer, Lost>) -> Outcome {
    let resource = list_path(group.kind).rsplit('/').next().unwrap_or_default();
    of_write(resource, &group.name, answer)
}

fn of_write(resource: &str, name: &str, answer: Result<Answer, Lost>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Lost(message)) => {
            return Outcome::WriteFailed {
                message: message.into(),
            };
        }
    };
    let message = said(&answer);
    match answer.status {
        status if status.is_success() => Outcome::Written,
        StatusCode::NOT_FOUND if not_found(&answer, resource, name) == NotFound::Object => Outcome::ObjectGone,
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY if is_about_uid(&message) => Outcome::ObjectGone,
        _ => Outcome::WriteFailed { message },
    }
}

/// What became of a patch of a volume or a claim.
pub(crate) fn of_patch(kind: Kind, answer: Result<Answer, Lost>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Lost(message)) => {
            return Outcome::WriteFailed {
                message: message.into(),
            };
        }
    };
    let says_what = || status_message(&answer.body).is_some();
    match answer.status {
        status if status.is_success() => Outcome::Patched {
            resource_version: muster_api::object_key(kind, &answer.body).resource_version,
        },
        StatusCode::NOT_FOUND if says_what() => Outcome::ObjectGone,
        _ => Outcome::WriteFailed { message: said(&answer) },
    }
}

/// What a 404 is about.
#[derive(Debug, PartialEq, Eq)]
enum NotFound {
    /// The object that was asked for.
    Object,
    /// The server says what it did not find, and it is not the object: its namespace, say.
    SomethingElse,
    /// Not a word of the API server: a proxy's page, an unknown path.
    Unclear,
}

fn not_found(answer: &Answer, resource: &str, name: &str) -> NotFound {
    #[derive(Deserialize)]
    struct Status {
        kind: String,
        #[serde(default)]
        details: Option<Details>,
    }
    #[derive(Deserialize)]
    struct Details {
        #[serde(default)]
        name: String,
        #[serde(default)]
        kind: String,
    }
    let status: Option<Status> = serde_json::from_slice(&answer.body).ok();
    match status
        .filter(|status| status.kind == "Status")
        .and_then(|status| status.details)
    {
        Some(details) if details.kind == resource && details.name == name => NotFound::Object,
        Some(details) if !details.kind.is_empty() => NotFound::SomethingElse,
        _ => NotFound::Unclear,
    }
}

/// Whether a conflict or a validation error says that another object has the name now.
///
/// Not just "uid" anywhere: that could be part of an object's name. Evictions say it in words of their own.
/// Source: `addConditionAndDeletePod` in `pkg/registry/core/pod/storage/eviction.go`.
fn is_about_uid(message: &str) -> bool {
    ["UID in precondition", "UID in the precondition", "metadata.uid"]
        .iter()
        .any(|words| message.contains(words))
}

/// The code, and what the server said.
pub(crate) fn said(answer: &Answer) -> Text {
    let code = answer.status.as_u16();
    let mut text = match status_message(&answer.body) {
        Some(status) if !status.message.is_empty() => format!("{} ({code})", status.message),
        Some(status) if !status.reason.is_empty() => format!("{} ({code})", status.reason),
        // A proxy's page may hold anything, so only its code is repeated.
        _ => format!("HTTP {}", answer.status),
    };
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX - 4));
        text.push_str(" ...");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodRef {
        PodRef {
            namespace: "shop".into(),
            name: "web-0".into(),
            uid: "u-1".into(),
        }
    }

    fn answer(code: u16, body: &str) -> Result<Answer, Lost> {
        let status = StatusCode::from_u16(code).unwrap();
        Ok(Answer {
            status,
            retry_after: None,
            body: body.to_owned().into(),
        })
    }

    fn status(code: u16, message: &str, details: &str) -> Result<Answer, Lost> {
        answer(
            code,
            &format!(r#"{{"kind":"Status","code":{code},"message":"{message}","details":{details}}}"#),
        )
    }

    fn bind(answer: Result<Answer, Lost>) -> &'static str {
        match of_bind(&pod(), answer) {
            BindOutcome::Bound => "bound",
            BindOutcome::PodGone => "gone",
            BindOutcome::Refused { .. } => "refused",
            BindOutcome::Unknown { .. } => "unknown",
        }
    }

    const POD: &str = r#"{"name":"web-0","kind":"pods"}"#;

    #[test]
    fn binds_are_bound_gone_refused_or_in_doubt() {
        assert_eq!(bind(answer(201, "")), "bound");
        assert_eq!(bind(answer(200, "")), "bound");
        assert_eq!(bind(status(404, "pods web-0 not found", POD)), "gone");
        assert_eq!(
            bind(status(
                404,
                "namespaces shop not found",
                r#"{"name":"shop","kind":"namespaces"}"#
            )),
            "refused"
        );
        assert_eq!(bind(answer(404, "404 page not found")), "unknown");
        assert_eq!(
            bind(status(409, "pod web-0 is already assigned to node n1", POD)),
            "unknown"
        );
        assert_eq!(
            bind(status(
                409,
                "Precondition failed: UID in precondition: a, UID in object meta: b",
                POD
            )),
            "unknown"
        );
        assert_eq!(bind(status(422, "metadata.uid: Invalid value", POD)), "unknown");
        for refused in [400, 401, 403, 405, 413, 422, 429] {
            assert_eq!(bind(status(refused, "no", "null")), "refused", "{refused}");
        }
        for doubtful in [302, 408, 412, 500, 502, 503, 504] {
            assert_eq!(bind(answer(doubtful, "")), "unknown", "{doubtful}");
        }
        assert_eq!(bind(Err(Lost("no answer within 10s".into()))), "unknown");
    }

    #[test]
    fn refusals_repeat_what_the_server_said() {
        let BindOutcome::Refused { message } = of_bind(&pod(), status(403, "quota is used up", "null")) else {
            panic!()
        };
        assert_eq!(&*message, "quota is used up (403)");
        let BindOutcome::Unknown { message } = of_bind(&pod(), answer(502, "<html>secret</html>")) else {
            panic!()
        };
        assert_eq!(&*message, "HTTP 502 Bad Gateway");
        let BindOutcome::Refused { message } = of_bind(&pod(), status(403, &"ä".repeat(4000), "null")) else {
            panic!()
        };
        assert!(message.len() <= MESSAGE_BYTES_MAX && message.ends_with(" ..."));
    }

    #[test]
    fn reads_find_the_pod_or_say_that_it_is_gone() {
        let of = |answer| match of_read(&pod(), KubeMinor::default(), answer) {
            PodRead::Found(_) => "found",
            PodRead::Gone => "gone",
            PodRead::Failed { .. } => "failed",
        };
        let with_uid = |uid: &str| {
            format!(
                r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"web-0","namespace":"shop","uid":"{uid}",
                "resourceVersion":"5"}},"spec":{{"containers":[{{"name":"a"}}]}}}}"#
            )
        };
        assert_eq!(of(answer(200, &with_uid("u-1"))), "found");
        assert_eq!(of(answer(200, &with_uid("u-2"))), "gone");
        assert_eq!(
            of(answer(200, r#"{"metadata":{"name":"web-0","uid":"u-2"},"spec":7}"#)),
            "gone"
        );
        assert_eq!(
            of(answer(200, r#"{"metadata":{"name":"web-0","uid":"u-1"},"spec":7}"#)),
            "failed"
        );
        assert_eq!(of(answer(200, "junk")), "failed");
        assert_eq!(of(status(404, "not found", POD)), "gone");
        assert_eq!(of(answer(404, "404 page not found")), "failed");
        assert_eq!(of(answer(500, "")), "failed");
        assert_eq!(of(Err(Lost("x".into()))), "failed");
    }

    #[test]
    fn patches_tell_the_version_that_stands_now() {
        let of = |answer| match of_patch(Kind::PersistentVolume, answer) {
            Outcome::Patched { resource_version } => format!("version {resource_version}"),
            Outcome::ObjectGone => "gone".to_owned(),
            Outcome::WriteFailed { message } => message.to_string(),
            other => panic!("{other:?}"),
        };
        let volume = r#"{"metadata":{"name":"pv-1","resourceVersion":"78"}}"#;
        assert_eq!(of(answer(200, volume)), "version 78");
        assert_eq!(of(answer(200, "junk")), "version 0");
        let details = r#"{"name":"pv-1","kind":"persistentvolumes"}"#;
        assert_eq!(of(status(404, "not found", details)), "gone");
        assert_eq!(of(answer(404, "404 page not found")), "HTTP 404 Not Found");
        assert_eq!(
            of(status(409, "the object has been modified", details)),
            "the object has been modified (409)"
        );
        assert_eq!(of(Err(Lost("no answer".into()))), "no answer");
    }

    #[test]
    fn status_writes_stand_fail_or_find_the_pod_gone() {
        let of = |answer| match of_pod_write(&pod(), answer) {
            Outcome::Written => "written",
            Outcome::ObjectGone => "gone",
            Outcome::WriteFailed { .. } => "failed",
            other => panic!("{other:?}"),
        };
        assert_eq!(of(answer(200, "")), "written");
        assert_eq!(of(status(404, "not found", POD)), "gone");
        assert_eq!(
            of(status(
                409,
                "Precondition failed: UID in precondition: a, UID in object meta: b",
                POD
            )),
            "gone"
        );
        assert_eq!(
            of(status(422, "metadata.uid: Invalid value: field is immutable", POD)),
            "gone"
        );
        assert_eq!(
            of(status(409, "pods uid-1: the object has been modified", POD)),
            "failed"
        );
        let evicting = "Operation cannot be fulfilled on Pod: the UID in the precondition (u-1) does not match the UID in \
                        record (u-2). The object might have been deleted and then recreated";
        assert_eq!(of(status(409, evicting, POD)), "gone");
        let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
        assert_eq!(of(status(429, budget, "null")), "failed");
        assert_eq!(of(status(403, "no", "null")), "failed");
        assert_eq!(of(answer(500, "")), "failed");
        assert_eq!(of(Err(Lost("x".into()))), "failed");
    }

    #[test]
    fn a_group_is_gone_only_if_the_server_says_so_of_it() {
        let of = |kind, answer| {
            let group = GroupRef {
                kind,
                namespace: "shop".into(),
                name: "train".into(),
                uid: "u-1".into(),
            };
            match of_group_write(&group, answer) {
                Outcome::Written => "written".to_owned(),
                Outcome::ObjectGone => "gone".to_owned(),
                Outcome::WriteFailed { message } => message.to_string(),
                other => panic!("{other:?}"),
            }
        };
        const GROUP: &str = r#"{"name":"train","kind":"podgroups","group":"scheduling.k8s.io"}"#;
        for kind in [Kind::PodGroup, Kind::PodGroupV1Alpha2, Kind::CoschedulingPodGroup] {
            assert_eq!(of(kind, answer(200, "")), "written");
            assert_eq!(of(kind, status(404, "not found", GROUP)), "gone");
            assert_eq!(of(kind, status(404, "not found", POD)), "not found (404)");
            // So the server says when it does not serve the kind any more.
            assert_eq!(of(kind, answer(404, "404 page not found")), "HTTP 404 Not Found");
            let immutable = "PodGroup train is invalid: metadata.uid: Invalid value: field is immutable";
            assert_eq!(of(kind, status(422, immutable, GROUP)), "gone");
        }
    }
}
