//! Questions about callers, put to the API server: whose is this token, may this user do that, and whose certificates are
//! to be believed.
//!
//! The answers go to the server for operators, which keeps them; nothing is kept here. Source for the times and the tries:
//! `DefaultAuthWebhookRetryBackoff` and `NewDelegatingAuthenticationOptions` in `k8s.io/apiserver/pkg/server/options`.

use crate::answer::said;
use crate::backoff::Backoff;
use crate::connect::{Clients, ConnectError, client_for};
use crate::dispatcher::http_request;
use crate::exchange::{Answer, Lost, exchange};
use crate::observer::Observer;
use http::StatusCode;
use kube::Client;
use muster_api::review::{
    Access, AccessVerdict, AuthenticationTrust, TokenVerdict, UserInfo, access_review, get_authentication_trust,
    read_access_review, read_authentication_trust, read_token_review, token_review,
};
use muster_api::write::Request;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a question may take, all tries together.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a single try may take.
const TRY_WITHIN: Duration = Duration::from_secs(5);
/// How often a question is put that the server could not answer.
const TRIES_MAX: u32 = 5;

/// What came of a question.
#[derive(Debug, Clone)]
pub struct Reviewed<T> {
    /// The HTTP status of the last answer; none if none came.
    pub code: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// The verdict, or why there is none, in words that hold no secret.
    pub result: Result<T, String>,
}

/// Asks the API server about callers.
pub struct Reviews {
    authentication: Client,
    authorization: Client,
    observer: Arc<dyn Observer>,
    complaints: Mutex<Vec<(&'static str, String)>>,
}

impl Reviews {
    /// Asks over connections of its own, or of these clients where no kubeconfig is named.
    ///
    /// # Errors
    /// A kubeconfig cannot be used.
    pub async fn connect(
        clients: &Clients,
        authentication_kubeconfig: Option<&Path>,
        authorization_kubeconfig: Option<&Path>,
        observer: Arc<dyn Observer>,
    ) -> Result<Reviews, ConnectError> {
        // These connections are as many as there are questions at once; lists and watches are not held up.
        let own = async |kubeconfig: Option<&Path>| match kubeconfig {
            Some(path) => client_for(path).await,
            None => Ok(clients.watches.clone()),
        };
        Ok(Reviews {
            authentication: own(authentication_kubeconfig).await?,
            authorization: own(authorization_kubeconfig).await?,
            observer,
            complaints: Mutex::default(),
        })
    }

    /// Whose is this token?
    pub async fn token(&self, token: &str) -> Reviewed<TokenVerdict> {
        let request = token_review(token);
        self.ask("whose a token is", &self.authentication, &request, read_token_review)
            .await
    }

    /// May this user do that?
    pub async fn access(&self, user: &UserInfo, access: &Access) -> Reviewed<AccessVerdict> {
        let request = access_review(user, access);
        self.ask(
            "what a caller may do",
            &self.authorization,
            &request,
            read_access_review,
        )
        .await
    }

    /// Whose certificates are to be believed?
    ///
    /// # Errors
    /// Why that is not known, in words that may be logged. It has been logged.
    pub async fn trust(&self) -> Result<AuthenticationTrust, String> {
        let request = get_authentication_trust();
        let reviewed = self.ask(
            "whose certificates are to be believed",
            &self.authentication,
            &request,
            read_authentication_trust,
        );
        reviewed.await.result
    }

    async fn ask<T>(
        &self,
        what: &'static str,
        client: &Client,
        request: &Request,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Reviewed<T> {
        let begun = Instant::now();
        let (code, result) = match self.send(client, request, begun).await {
            Ok(answer) => {
                let result = if answer.status.is_success() {
                    read(&answer.body)
                } else {
                    Err(said(&answer).to_string())
                };
                (Some(answer.status.as_u16()), result)
            }
            Err(Lost(problem)) => (None, Err(problem)),
        };
        self.complain(what, result.as_ref().err());
        Reviewed {
            code,
            took: begun.elapsed(),
            result,
        }
    }

    /// Sends until there is an answer, or no time.
    async fn send(&self, client: &Client, request: &Request, begun: Instant) -> Result<Answer, Lost> {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(2));
        let mut tries = 0;
        loop {
            let rest = WITHIN.saturating_sub(begun.elapsed()).min(TRY_WITHIN);
            let answer = exchange(client, &*self.observer, http_request(request, rest), rest).await;
            tries += 1;
            let wait = backoff.after_failure();
            let is_last = tries >= TRIES_MAX || WITHIN <= begun.elapsed() + wait;
            if is_last || !is_worth_another_try(&answer) {
                return answer;
            }
            sleep(wait).await;
        }
    }

    /// Trouble that lasts is said once.
    fn complain(&self, what: &'static str, problem: Option<&String>) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let known = complaints.iter().position(|(of, _)| *of == what);
        match (problem, known) {
            (Some(problem), Some(at)) if complaints[at].1 == *problem => {
                tracing::debug!(error = %problem, "still cannot ask the API server {what}");
            }
            (Some(problem), at) => {
                tracing::warn!(error = %problem, "cannot ask the API server {what}");
                if let Some(at) = at {
                    complaints.swap_remove(at);
                }
                complaints.push((what, problem.clone()));
            }
            (None, Some(at)) => {
                complaints.swap_remove(at);
                tracing::info!("the API server says again {what}");
            }
            (None, None) => {}
        }
    }
}

/// Source: `DefaultShouldRetry` in `k8s.io/apiserver/pkg/util/webhook/webhook.go`.
fn is_worth_another_try(answer: &Result<Answer, Lost>) -> bool {
    match answer {
        Ok(answer) => answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeServer, Notes, Reply, status};

    async fn reviews(script: impl FnMut(&crate::testing::Asked) -> Reply + Send + 'static) -> (Reviews, FakeServer) {
        let server = FakeServer::start(script).await;
        let clients = server.clients();
        let reviews = Reviews::connect(&clients, None, None, Arc::new(Notes::default())).await;
        (reviews.unwrap(), server)
    }

    #[tokio::test]
    async fn questions_are_answered() {
        let (reviews, server) = reviews(|asked| {
            let body = match asked.path.rsplit('/').next() {
                Some("tokenreviews") => r#"{"status":{"authenticated":true,"user":{"username":"jane"}}}"#,
                Some("subjectaccessreviews") => r#"{"status":{"allowed":false,"reason":"no"}}"#,
                _ => r#"{"data":{"client-ca-file":"CA"}}"#,
            };
            Reply::Say(201, body.to_owned())
        })
        .await;
        let token = reviews.token("hush").await;
        assert_eq!(token.code, Some(201));
        let Ok(TokenVerdict::Of(jane)) = token.result else {
            panic!("{token:?}")
        };
        let path = Access::Path {
            verb: "get".into(),
            path: "/metrics".into(),
        };
        let access = reviews.access(&jane, &path).await.result.unwrap();
        assert_eq!((access.allowed, &*access.reason), (false, "no"));
        assert_eq!(reviews.trust().await.unwrap().client_authorities, "CA");
        let asked: Vec<_> = server.asked().iter().map(|asked| asked.method.clone()).collect();
        assert_eq!(asked, ["POST", "POST", "GET"]);
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again_and_a_refusal_is_not() {
        let mut replies = vec![
            Reply::Say(201, r#"{"status":{"allowed":true}}"#.to_owned()),
            Reply::Say(500, String::new()),
        ];
        let path = Access::Path {
            verb: "get".into(),
            path: "/metrics".into(),
        };
        let (busy, server) = reviews(move |_| replies.pop().unwrap_or(Reply::Silence)).await;
        assert!(busy.access(&UserInfo::default(), &path).await.result.unwrap().allowed);
        assert_eq!(server.asked().len(), 2);

        let (refusing, server) = reviews(|_| Reply::Say(403, status(403, "not yours", "null"))).await;
        let refused = refusing.access(&UserInfo::default(), &path).await;
        assert_eq!(
            (refused.code, refused.result.unwrap_err()),
            (Some(403), "not yours (403)".to_owned())
        );
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn no_error_repeats_a_token() {
        for reply in [
            Reply::Say(201, r#"{"spec":{"token":"hush-hush"},"status":"hush-hush"}"#.to_owned()),
            Reply::Say(201, "hush-hush".to_owned()),
            Reply::Say(400, "hush-hush".to_owned()),
        ] {
            let (reviews, _server) = reviews(move |_| reply.clone()).await;
            let problem = reviews.token("hush-hush").await.result.unwrap_err();
            assert!(!problem.contains("hush-hush"), "{problem}");
        }
    }
}
