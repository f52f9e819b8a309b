//! What an answer of the API server means for the engine. All knowledge of that sort is here, and none of it sends.
//!
//! The rule for binds: only say that a pod is bound, gone or refused when the server said exactly that. Whatever is in
//! doubt is *unknown*, and the engine reads the pod back.

use crate::exchange::{Answer, Lost};
use http::StatusCode;
use muster_api::status_message;
use muster_engine::{BindOutcome, Object, Outcome, PodRead, PodRef};
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
        StatusCode::NOT_FOUND => match not_found(&answer, pod) {
            NotFound::Pod => BindOutcome::PodGone,
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
        StatusCode::NOT_FOUND if not_found(&answer, pod) == NotFound::Pod => PodRead::Gone,
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

/// What became of a status write.
pub(crate) fn of_write(pod: &PodRef, answer: Result<Answer, Lost>) -> Outcome {
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
        StatusCode::NOT_FOUND if not_found(&answer, pod) == NotFound::Pod => Outcome::ObjectGone,
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
    /// The pod that was asked for.
    Pod,
    /// The server says what it did not find, and it is not the pod: its namespace, say.
    SomethingElse,
    /// Not a word of the API server: a proxy's page, an unknown path.
    Unclear,
}

fn not_found(answer: &Answer, pod: &PodRef) -> NotFound {
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
        Some(details) if details.kind == "pods" && details.name == *pod.name => NotFound::Pod,
        Some(details) if !details.kind.is_empty() => NotFound::SomethingElse,
        _ => NotFound::Unclear,
    }
}

/// Whether a conflict or a validation error says that another pod has the name now.
///
/// Not just "uid" anywhere: that could be part of a pod's name.
fn is_about_uid(message: &str) -> bool {
    message.contains("UID in precondition") || message.contains("metadata.uid")
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
        let of = |answer| match of_write(&pod(), answer) {
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
        assert_eq!(of(status(403, "no", "null")), "failed");
        assert_eq!(of(answer(500, "")), "failed");
        assert_eq!(of(Err(Lost("x".into()))), "failed");
    }
}
