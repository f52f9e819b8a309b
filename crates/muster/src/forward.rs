//! What a standby does with a question that only the leader can answer: it asks the leader, and gives back what that says.
//!
//! By then the standby knows who asks and that they may, for just this path; the leader is asked for the same path and takes
//! out what that path does not show. It asks as itself, so it must be allowed the same. A question goes on once: one that
//! says that it was passed on already is answered here, if only with a no.

use crate::unanswered::{come_again, unanswered};
use bytes::Bytes;
use http::StatusCode;
use muster_kube::{Leader, LeaderAnswer, LeaderError, NoAnswer};
use muster_telemetry::serving::{Answer, Question, failure, respond};
use std::time::Duration;

/// In the query of a question that comes from another replica.
const FORWARDED: &str = "forwarded=true";

/// What may come back, and how soon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// The content type of an answer that is not a refusal.
    pub(crate) content_type: &'static str,
    /// In bytes.
    pub(crate) longest: usize,
    /// The server answers within a minute, whatever happens; finding out who asks is part of that.
    pub(crate) within: Duration,
}

/// Passes a question on to the leader.
pub(crate) async fn forward(leader: &Leader, question: &Question, expected: Expected) -> Answer {
    if is_forwarded(question) {
        return unanswered(NoAnswer::NotLeading);
    }
    let path = format!("{}?{FORWARDED}", question.path);
    match leader.get(&path, expected.longest, expected.within).await {
        Ok(LeaderAnswer { status, body }) => passed_back(status, body, expected.content_type),
        Err(LeaderError::Busy) => come_again(&LeaderError::Busy.to_string()),
        Err(error) => {
            let why = format!("this replica is a standby, which tries nothing, and {error}");
            failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &why, None)
        }
    }
}

fn is_forwarded(question: &Question) -> bool {
    question.query.split('&').any(|word| word == FORWARDED)
}

/// The leader says no as we do: by a `Status`.
fn passed_back(status: StatusCode, body: Bytes, content_type: &'static str) -> Answer {
    let content_type = match status {
        StatusCode::OK => content_type,
        _ => "application/json",
    };
    respond(status, content_type, body)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use http::Method;
    use http_body_util::BodyExt as _;
    use muster_api::{Contact, Fingerprint};
    use muster_kube::Leading;
    use std::net::TcpListener;
    use tokio::sync::watch;

    fn question(query: &str) -> Question {
        Question {
            method: Method::GET,
            path: "/debug/snapshot".to_owned(),
            query: query.to_owned(),
            accept: String::new(),
            body: Bytes::new(),
            user: None,
        }
    }

    /// Somebody who asks who is said to be the leader.
    pub(crate) async fn asking(leading: Leading) -> Leader {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let text = "{current-context: c, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1', \
            insecure-skip-tls-verify: true}}], users: [{name: c, user: {token: hush}}], \
            contexts: [{name: c, context: {cluster: c, user: c}}]}";
        std::fs::write(&kubeconfig, text).unwrap();
        let clients = muster_kube::connect(Some(&kubeconfig)).await.unwrap();
        Leader::new(watch::Sender::new(leading).subscribe(), clients.credentials)
    }

    /// Asks the leader; gives the status, the body, and whether anybody came to this listener.
    async fn forwarded(leading: Leading, listener: &TcpListener, query: &str) -> (u16, String, bool) {
        let leader = asking(leading).await;
        let expected = Expected {
            content_type: "application/gzip",
            longest: 10,
            within: Duration::from_millis(300),
        };
        let answer = forward(&leader, &question(query), expected).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        listener.set_nonblocking(true).unwrap();
        (
            status,
            String::from_utf8_lossy(&body).into_owned(),
            listener.accept().is_ok(),
        )
    }

    #[tokio::test]
    async fn a_question_goes_on_once_and_a_no_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let leading = Leading::At(Contact {
            address: listener.local_addr().unwrap(),
            certificate: Fingerprint([7; 32]),
        });
        // Nobody shakes hands there.
        let (status, body, came) = forwarded(leading, &listener, "").await;
        assert!(status == 503 && came, "{status} {body}");
        assert!(
            body.contains("a standby, which tries nothing, and the leader cannot be asked: no answer"),
            "{body}"
        );
        let (status, body, came) = forwarded(leading, &listener, FORWARDED).await;
        assert!(status == 503 && !came, "{status} {body}");
        assert!(body.contains("ask the one that holds the lease"), "{body}");
        let (status, body, came) = forwarded(Leading::Silent, &listener, "").await;
        assert!(
            status == 503 && !came && body.contains("--advertise-address"),
            "{status} {body}"
        );
    }

    #[tokio::test]
    async fn what_the_leader_says_is_passed_back() {
        for (code, content_type) in [(200, "application/gzip"), (404, "application/json")] {
            let status = StatusCode::from_u16(code).unwrap();
            let answer = passed_back(status, Bytes::from_static(b"said"), "application/gzip");
            assert_eq!(
                (answer.status(), &answer.headers()["content-type"]),
                (status, &http::HeaderValue::from_static(content_type))
            );
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "said");
        }
    }

    #[test]
    fn a_question_that_was_passed_on_is_known() {
        for (query, forwarded) in [
            ("", false),
            ("forwarded=true", true),
            ("timeout=10s&forwarded=true", true),
            ("forwarded=truely", false),
            ("x=forwarded=true", false),
        ] {
            assert_eq!(is_forwarded(&question(query)), forwarded, "{query}");
        }
    }
}
