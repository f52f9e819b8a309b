//! What the API server says when it answers with a `Status` instead of an object.

use serde::Deserialize;

/// The parts of a `metav1.Status` that decide what a failed request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusMessage {
    /// The HTTP code that the server meant, 0 when it states none.
    pub code: u16,
    /// One word for a machine, for example `Conflict`, `NotFound`, `AlreadyExists`, `Expired`; may be empty.
    pub reason: String,
    /// A sentence for a person; may be empty.
    pub message: String,
}

/// Reads a `metav1.Status` from the body of an answer. None if the body is anything else: an object, a proxy's page.
pub fn status_message(body: &[u8]) -> Option<StatusMessage> {
    #[derive(Deserialize)]
    struct Status {
        kind: String,
        #[serde(default)]
        code: Option<u16>,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        message: Option<String>,
    }
    let status: Status = serde_json::from_slice(body)
        .ok()
        .filter(|s: &Status| s.kind == "Status")?;
    Some(StatusMessage {
        code: status.code.unwrap_or(0),
        reason: status.reason.unwrap_or_default(),
        message: status.message.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_conflict() {
        let body = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
            "message":"Operation cannot be fulfilled on pods/binding \"web-0\": pod web-0 is already assigned to node \"a\"",
            "reason":"Conflict","details":{"name":"web-0","kind":"pods/binding"},"code":409}"#;
        let status = status_message(body).expect("a status");
        assert_eq!((status.code, &*status.reason), (409, "Conflict"));
        assert!(status.message.ends_with("already assigned to node \"a\""));
    }

    #[test]
    fn tolerates_missing_parts_and_refuses_other_things() {
        let bare = status_message(br#"{"kind":"Status","code":null}"#);
        assert_eq!(
            bare,
            Some(StatusMessage {
                code: 0,
                reason: String::new(),
                message: String::new()
            })
        );
        for body in [
            &b"{\"kind\":\"Pod\"}"[..],
            b"<html>",
            b"",
            b"[]",
            b"{\"code\":500}",
            b"{\"kind\":\"Status\",\"code\":-1}",
        ] {
            assert_eq!(status_message(body), None);
        }
    }
}
