//! Which minor of Kubernetes the server is, to follow its rules.

use crate::exchange::{Answer, Lost, exchange};
use crate::observer::Observer;
use http::{Request, StatusCode};
use kube::Client;
use kube::client::Body;
use muster_framework::rules::KubeMinor;
use serde::Deserialize;
use std::time::Duration;

/// Why the server's version is not known. A whole sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot tell which version the API server has: {0}")]
pub struct VersionError(String);

/// Asks the API server which minor of Kubernetes 1 it is.
///
/// # Errors
/// It does not answer, or with something else.
pub async fn server_minor(
    client: &Client,
    observer: &dyn Observer,
    within: Duration,
) -> Result<KubeMinor, VersionError> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/version");
    match exchange(client, observer, request, within).await {
        Ok(Answer { status, body, .. }) if status == StatusCode::OK => minor_of(&body)
            .ok_or_else(|| VersionError("the answer to /version is not a version of Kubernetes 1".into())),
        Ok(answer) => Err(VersionError(format!("HTTP {}", answer.status))),
        Err(Lost(problem)) => Err(VersionError(problem)),
    }
}

/// The minor in a `version.Info`. Some providers write `35+`.
fn minor_of(body: &[u8]) -> Option<KubeMinor> {
    #[derive(Deserialize)]
    struct Info {
        major: String,
        minor: String,
    }
    let info: Info = serde_json::from_slice(body).ok()?;
    let digits = info.minor.trim_end_matches(|c: char| !c.is_ascii_digit());
    (info.major == "1")
        .then(|| digits.parse().ok().map(KubeMinor))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeServer, Notes, PATIENCE, Reply};

    #[test]
    fn minors_are_read_with_what_providers_append() {
        let of = |body: &str| minor_of(body.as_bytes()).map(|minor| minor.0);
        assert_eq!(of(r#"{"major":"1","minor":"35","gitVersion":"v1.35.4"}"#), Some(35));
        assert_eq!(of(r#"{"major":"1","minor":"36+"}"#), Some(36));
        for body in [
            r#"{"major":"2","minor":"1"}"#,
            r#"{"major":"1","minor":""}"#,
            r#"{"major":"1"}"#,
            "<html>",
        ] {
            assert_eq!(of(body), None, "{body}");
        }
    }

    #[tokio::test]
    async fn the_server_is_asked() {
        let server = FakeServer::start(|asked| match &*asked.path {
            "/version" => Reply::Say(200, r#"{"major":"1","minor":"36"}"#.to_owned()),
            _ => Reply::Silence,
        })
        .await;
        let minor = server_minor(&server.client, &Notes::default(), PATIENCE).await;
        assert_eq!(minor, Ok(KubeMinor::V1_36));
        let refusing = FakeServer::start(|_| Reply::Say(403, String::new())).await;
        let error = server_minor(&refusing.client, &Notes::default(), PATIENCE)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot tell which version the API server has: HTTP 403 Forbidden"
        );
    }
}
