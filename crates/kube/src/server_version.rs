//! Which minor release of Kubernetes the API server is, and so whose rules are followed.

use crate::answer::said;
use crate::backoff::Backoff;
use crate::connect::Clients;
use crate::exchange::{Lost, exchange};
use crate::health::Health;
use crate::observer::Observer;
use http::{Request, StatusCode};
use kube::client::Body;
use muster_framework::rules::KubeMinor;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::sleep;

/// How long one try may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The longest wait between tries: shorter than the patience of probes, to which each try shows that somebody is there.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Asks the API server for its version until it answers, and says whose rules are to be followed.
///
/// Of what Muster does not know it takes the nearest: the rules of 1.35 for an older server, the newest rules for a newer
/// one, or one that does not tell. One that refuses the credentials may tell as soon as they are others: tokens of service
/// accounts are renewed in their file.
pub async fn server_minor(clients: &Clients, observer: &dyn Observer, health: &Health) -> KubeMinor {
    let mut backoff = Backoff::new(Duration::from_millis(200), MAX_BACKOFF);
    // As the log has it last: trouble that lasts is said once.
    let mut last = None;
    loop {
        health.tick();
        match ask(clients, observer).await {
            Ok(version) => return version.rules(),
            Err(trouble) if last.as_ref() == Some(&trouble) => {
                tracing::debug!(?trouble, "still no version of the API server");
            }
            Err(trouble) => {
                trouble.warn(clients);
                last = Some(trouble);
            }
        }
        sleep(backoff.after_failure()).await;
    }
}

/// Why the server has not told its version yet; another try is worth it.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// It does not answer, or has too much to do.
    NoAnswer(String),
    /// It does not take the credentials: they are wrong, or have expired.
    Unauthorized(String),
}

impl Trouble {
    /// In one line that names the server and, if it is about these, the credentials; never what they are.
    fn warn(&self, clients: &Clients) {
        let server = &clients.server;
        match self {
            Trouble::NoAnswer(problem) => {
                tracing::warn!(%server, error = %problem, "cannot ask the API server for its version; trying again");
            }
            Trouble::Unauthorized(problem) => {
                let credentials = &clients.credentials_from;
                tracing::warn!(%server, %credentials, error = %problem, "the API server refuses our credentials; trying again");
            }
        }
    }
}

/// What the server says of itself.
#[derive(Debug, PartialEq, Eq)]
enum Version {
    /// Kubernetes 1 with this minor.
    Known(u32),
    /// Something that is not understood, or nothing.
    Unclear(String),
}

impl Version {
    fn rules(&self) -> KubeMinor {
        let newest = KubeMinor::default();
        match self {
            Version::Known(minor) if *minor < u32::from(KubeMinor::V1_35.0) => {
                let rules = KubeMinor::V1_35;
                tracing::warn!(server = %format!("1.{minor}"), %rules, "the API server is older than any that is supported");
                rules
            }
            Version::Known(minor) if *minor > u32::from(newest.0) => {
                tracing::warn!(server = %format!("1.{minor}"), rules = %newest, "the API server is newer than any that is known");
                newest
            }
            Version::Known(minor) => {
                let rules = KubeMinor(u8::try_from(*minor).unwrap_or(newest.0));
                tracing::info!(%rules, "following the rules of the API server's Kubernetes release");
                rules
            }
            Version::Unclear(problem) => {
                tracing::warn!(error = %problem, rules = %newest, "the API server does not tell its version");
                newest
            }
        }
    }
}

/// An error is worth another try.
async fn ask(clients: &Clients, observer: &dyn Observer) -> Result<Version, Trouble> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/version");
    let answer = exchange(&clients.watches, observer, request, WITHIN).await;
    let answer = answer.map_err(|Lost(problem)| Trouble::NoAnswer(problem))?;
    let problem = || said(&answer).to_string();
    match answer.status {
        StatusCode::OK => Ok(read(&answer.body)),
        StatusCode::UNAUTHORIZED => Err(Trouble::Unauthorized(problem())),
        StatusCode::TOO_MANY_REQUESTS => Err(Trouble::NoAnswer(problem())),
        status if status.is_server_error() => Err(Trouble::NoAnswer(problem())),
        _ => Ok(Version::Unclear(problem())),
    }
}

/// The rules to follow with a server that answers `/version` with this.
pub fn minor_of(body: &[u8]) -> KubeMinor {
    read(body).rules()
}

fn read(body: &[u8]) -> Version {
    #[derive(Deserialize)]
    struct Info {
        major: String,
        minor: String,
    }
    let info: Info = match serde_json::from_slice(body) {
        Ok(info) => info,
        Err(error) => return Version::Unclear(format!("this is not a version: {error}")),
    };
    // Some providers append a sign: "35+".
    let digits = info
        .minor
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(info.minor.len());
    match (info.major.as_str(), info.minor[..digits].parse()) {
        ("1", Ok(minor)) => Version::Known(minor),
        _ => Version::Unclear("its version is not that of a Kubernetes 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeServer, Notes, Reply};

    #[test]
    fn unknown_versions_follow_the_nearest_rules() {
        let rules = |body: &str| read(body.as_bytes()).rules().0;
        let version = |minor: &str| format!(r#"{{"major":"1","minor":"{minor}","gitVersion":"v1.x"}}"#);
        for (minor, followed) in [
            ("35", 35),
            ("36", 36),
            ("37", 37),
            ("36+", 36),
            ("34", 35),
            ("9", 35),
            ("38", 37),
            ("300", 37),
        ] {
            assert_eq!(rules(&version(minor)), followed, "{minor}");
        }
        for unclear in ["", "{}", r#"{"major":"2","minor":"0"}"#, r#"{"major":"1","minor":"x"}"#] {
            assert_eq!(rules(unclear), KubeMinor::default().0, "{unclear}");
        }
    }

    #[tokio::test]
    async fn it_is_asked_until_it_answers() {
        let version = r#"{"major":"1","minor":"35"}"#.to_owned();
        let mut replies = vec![Reply::Say(200, version), Reply::Say(503, String::new()), Reply::HangUp];
        let server = FakeServer::start(move |_| replies.pop().unwrap_or(Reply::Silence)).await;
        let clients = server.clients();
        let minor = server_minor(&clients, &Notes::default(), &Health::default()).await;
        assert_eq!((minor, server.asked().len()), (KubeMinor::V1_35, 3));
        assert_eq!(server.asked()[0].path, "/version");
    }

    #[tokio::test]
    async fn a_server_that_refuses_the_credentials_is_asked_until_it_does_not() {
        let version = r#"{"major":"1","minor":"36"}"#.to_owned();
        let mut replies = vec![
            Reply::Say(200, version),
            Reply::Say(401, String::new()),
            Reply::Say(401, String::new()),
        ];
        let server = FakeServer::start(move |_| replies.pop().unwrap_or(Reply::Silence)).await;
        let minor = server_minor(&server.clients(), &Notes::default(), &Health::default()).await;
        assert_eq!((minor, server.asked().len()), (KubeMinor::V1_36, 3));
    }

    #[tokio::test]
    async fn a_server_that_does_not_tell_is_not_asked_again() {
        for refusal in [403, 404] {
            let server = FakeServer::start(move |_| Reply::Say(refusal, String::new())).await;
            let minor = server_minor(&server.clients(), &Notes::default(), &Health::default()).await;
            assert_eq!((minor, server.asked().len()), (KubeMinor::default(), 1));
        }
    }
}
