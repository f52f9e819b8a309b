//! Who a caller is: named by a front proxy, by a client certificate of the cluster, or by a bearer token that the API
//! server knows.
//!
//! They are asked in this order, and the first that names somebody counts. What one of them objects to matters only if no
//! other names anybody. Tokens are kept for a while, as keyed digests: a memory dump holds none.
//!
//! Source: `DelegatingAuthenticatorConfig` in `k8s.io/apiserver/pkg/authentication/authenticatorfactory/delegating.go`.

use super::expiring::Expiring;
use super::peer::{Authorities, owner};
use super::request_header::RequestHeader;
use super::reviewer::{Replied, Reviewer};
use crate::metrics::Serving;
use http::{HeaderMap, header};
use muster_api::review::{AuthenticationTrust, TokenVerdict, UserInfo};
use ring::{hmac, rand};
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long what a token says is believed, unless `--authentication-token-webhook-cache-ttl` says otherwise.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(10);

/// How many tokens are kept.
const TOKENS_MAX: usize = 1024;
/// How many questions are with the API server at once: tokens that nobody knows cost it no more than that.
const QUESTIONS_MAX: usize = 8;
/// A group of everybody who is known by name.
const AUTHENTICATED: &str = "system:authenticated";
/// The group, and the user, of everybody else.
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";

/// What is known of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Who it is.
    Known(UserInfo),
    /// The caller shows nothing.
    Nobody,
    /// The caller shows something that is not accepted, for this reason; for the log.
    Refused(String),
}

/// Whose word is taken: it changes while the server runs.
#[derive(Clone, Default)]
pub struct Trust(Arc<RwLock<Arc<Believed>>>);

#[derive(Default)]
struct Believed {
    clients: Option<Authorities>,
    front_proxy: Option<RequestHeader>,
}

impl Trust {
    /// Believes these from now on, and nobody else.
    ///
    /// # Errors
    /// A bundle that cannot be read; says which. What it was about is not believed then, the rest is.
    pub fn set(&self, trust: &AuthenticationTrust) -> Result<(), String> {
        let mut problems = Vec::new();
        let mut problem = |of: &str, error: String| problems.push(format!("{of}: {error}"));
        let clients = if trust.client_authorities.is_empty() {
            None
        } else {
            Authorities::read(&trust.client_authorities)
                .map_err(|error| problem("client-ca-file", error))
                .ok()
        };
        let front_proxy = trust.front_proxy.clone().and_then(|proxy| {
            RequestHeader::new(proxy)
                .map_err(|error| problem("requestheader-client-ca-file", error))
                .ok()
        });
        let believed = Arc::new(Believed { clients, front_proxy });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = believed;
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }

    fn now(&self) -> Arc<Believed> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says who callers are.
pub(crate) struct Authenticator {
    trust: Trust,
    reviewer: Arc<dyn Reviewer>,
    lifetime: Duration,
    key: hmac::Key,
    tokens: Expiring<[u8; 32], TokenVerdict>,
    questions: Semaphore,
    metrics: Serving,
}

/// No random numbers are to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

impl Authenticator {
    pub(crate) fn new(
        trust: Trust,
        reviewer: Arc<dyn Reviewer>,
        lifetime: Duration,
        metrics: Serving,
    ) -> Result<Authenticator, NoRandomness> {
        let random = rand::SystemRandom::new();
        Ok(Authenticator {
            trust,
            reviewer,
            lifetime,
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| NoRandomness)?,
            tokens: Expiring::new(TOKENS_MAX),
            questions: Semaphore::new(QUESTIONS_MAX),
            metrics,
        })
    }

    /// Who asks, by the certificates of the connection and the headers of the request.
    pub(crate) async fn identify(&self, chain: &[CertificateDer<'_>], headers: &HeaderMap) -> Caller {
        let begun = Instant::now();
        let caller = self.find_out(chain, headers).await;
        let (result, user) = match &caller {
            Caller::Known(user) => ("success", Some(&*user.username)),
            Caller::Nobody => ("failure", None),
            Caller::Refused(_) => ("error", None),
        };
        self.metrics.authentication(result, user, begun.elapsed());
        caller
    }

    async fn find_out(&self, chain: &[CertificateDer<'_>], headers: &HeaderMap) -> Caller {
        let mut objections = Vec::new();
        let believed = self.trust.now();
        if let Some(proxy) = &believed.front_proxy {
            match proxy.identify(chain, headers) {
                Ok(Some(user)) => return known(user),
                Ok(None) => {}
                Err(objection) => objections.push(objection),
            }
        }
        if let (Some(authorities), Some(certificate)) = (&believed.clients, chain.first()) {
            match authorities.verify(chain).and_then(|()| owner(certificate)) {
                Ok(Some(user)) => return known(user),
                Ok(None) => {}
                Err(objection) => objections.push(objection),
            }
        }
        if let Some(token) = bearer_token(headers) {
            match self.owner_of(token).await {
                Ok(TokenVerdict::Of(user)) => return known(user),
                Ok(TokenVerdict::Invalid(reason)) if reason.is_empty() => {
                    objections.push("invalid bearer token".to_owned());
                }
                Ok(TokenVerdict::Invalid(reason)) => objections.push(reason),
                Err(problem) => objections.push(problem),
            }
        }
        if objections.is_empty() {
            Caller::Nobody
        } else {
            Caller::Refused(objections.join("; "))
        }
    }

    async fn owner_of(&self, token: &str) -> Result<TokenVerdict, String> {
        let begun = Instant::now();
        let key = self.digest(token);
        if let Some(known) = self.tokens.get(&key, begun) {
            self.metrics.token_cache(true, begun.elapsed());
            return Ok(known);
        }
        let _awaited = self.metrics.token_awaited();
        let verdict = self.ask_for_owner(token, key).await;
        self.metrics.token_cache(false, begun.elapsed());
        verdict
    }

    async fn ask_for_owner(&self, token: &str, key: [u8; 32]) -> Result<TokenVerdict, String> {
        let Ok(_place) = self.questions.acquire().await else {
            return Err("the server ends".to_owned());
        };
        // Whoever was before us in the line may have shown the same one.
        if let Some(known) = self.tokens.get(&key, Instant::now()) {
            return Ok(known);
        }
        let asked = self.metrics.token_asked_about();
        let Replied { code, took, result } = self.reviewer.token(token).await;
        drop(asked);
        self.metrics.token_review(code, took, result.is_ok());
        let verdict = result?;
        self.tokens.put(key, verdict.clone(), Instant::now(), self.lifetime);
        Ok(verdict)
    }

    fn digest(&self, token: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.key, token.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
    }
}

/// The caller with the group of those who are known. Source: `AuthenticatedGroupAdder` in
/// `k8s.io/apiserver/pkg/authentication/group/authenticated_group_adder.go`.
fn known(mut user: UserInfo) -> Caller {
    let says_so = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
    if user.username != ANONYMOUS && !user.groups.iter().any(says_so) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    Caller::Known(user)
}

/// The token in `Authorization: Bearer …`, if there is one.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let mut parts = value.splitn(3, ' ');
    let (scheme, token) = (parts.next()?, parts.next()?);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::super::reviewer::Reviewing;
    use super::super::testing::{Authority, Script, metrics};
    use super::*;
    use crate::metrics::Metrics;
    use http::HeaderValue;
    use muster_api::review::{Access, AccessVerdict, FrontProxy};
    use tokio::task::{JoinSet, yield_now};

    fn user(name: &str) -> UserInfo {
        UserInfo {
            username: name.into(),
            ..UserInfo::default()
        }
    }

    fn bearing(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::try_from(authorization).unwrap())])
    }

    /// Knows the token `good`.
    fn script() -> Arc<Script> {
        Script::new(
            |token| match token {
                "good" => Ok(TokenVerdict::Of(user("jane"))),
                "down" => Err("no answer within 10s".into()),
                _ => Ok(TokenVerdict::Invalid(String::new())),
            },
            |_, _| unreachable!(),
        )
    }

    fn authenticator(script: &Arc<Script>, lifetime: Duration) -> Authenticator {
        let reviewer: Arc<dyn Reviewer> = Arc::<Script>::clone(script);
        Authenticator::new(Trust::default(), reviewer, lifetime, metrics()).unwrap()
    }

    fn name(caller: Caller) -> String {
        match caller {
            Caller::Known(user) => format!("{} in {}", user.username, user.groups.join(",")),
            Caller::Nobody => "nobody".to_owned(),
            Caller::Refused(objection) => format!("refused: {objection}"),
        }
    }

    #[tokio::test]
    async fn tokens_are_asked_about_once_in_a_while() {
        let script = script();
        let authenticator = authenticator(&script, Duration::from_secs(60));
        for _ in 0..3 {
            let caller = authenticator.identify(&[], &bearing("Bearer good")).await;
            assert_eq!(name(caller), "jane in system:authenticated");
            let caller = authenticator.identify(&[], &bearing("bearer bad")).await;
            assert_eq!(name(caller), "refused: invalid bearer token");
        }
        assert_eq!(script.token_questions(), 2);
        for _ in 0..2 {
            let caller = authenticator.identify(&[], &bearing("Bearer down")).await;
            assert_eq!(name(caller), "refused: no answer within 10s");
        }
        assert_eq!(script.token_questions(), 4, "a failure is not kept");
    }

    #[tokio::test]
    async fn a_token_that_was_good_is_asked_about_again() {
        let script = script();
        let authenticator = authenticator(&script, Duration::from_millis(20));
        authenticator.identify(&[], &bearing("Bearer good")).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        authenticator.identify(&[], &bearing("Bearer good")).await;
        assert_eq!(script.token_questions(), 2);
    }

    /// Never answers.
    struct Silent;

    impl Reviewer for Silent {
        fn token<'a>(&'a self, _: &'a str) -> Reviewing<'a, TokenVerdict> {
            Box::pin(std::future::pending())
        }

        fn access<'a>(&'a self, _: &'a UserInfo, _: &'a Access) -> Reviewing<'a, AccessVerdict> {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn callers_who_wait_for_an_answer_are_counted_until_they_go() {
        let metrics = Metrics::new(&[]).unwrap();
        let serving = metrics.serving();
        let authenticator = Authenticator::new(Trust::default(), Arc::new(Silent), TOKEN_LIFETIME, serving).unwrap();
        let authenticator = Arc::new(authenticator);
        let counted = |status: &str, n: usize| {
            let text = metrics.render().unwrap();
            let line = format!("authentication_token_cache_active_fetch_count{{status=\"{status}\"}} {n}");
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        };
        let mut callers = JoinSet::new();
        for _ in 0..QUESTIONS_MAX + 2 {
            let authenticator = Arc::clone(&authenticator);
            callers.spawn(async move { authenticator.identify(&[], &bearing("Bearer good")).await });
        }
        yield_now().await;
        counted("blocked", QUESTIONS_MAX + 2);
        counted("in_flight", QUESTIONS_MAX);
        callers.shutdown().await;
        counted("blocked", 0);
        counted("in_flight", 0);
    }

    #[tokio::test]
    async fn other_schemes_name_nobody() {
        let script = script();
        let authenticator = authenticator(&script, Duration::from_secs(60));
        for nothing in ["Basic Z29vZA==", "Bearer", "Bearer ", "Bearer  good", "good", ""] {
            let caller = authenticator.identify(&[], &bearing(nothing)).await;
            assert_eq!(name(caller), "nobody", "{nothing:?}");
        }
        assert_eq!(name(authenticator.identify(&[], &HeaderMap::new()).await), "nobody");
        assert_eq!(script.token_questions(), 0);
    }

    #[tokio::test]
    async fn certificates_and_proxies_count_as_long_as_they_are_trusted() {
        let script = script();
        let authenticator = authenticator(&script, Duration::from_secs(60));
        let (clients, proxies) = (Authority::new("clients"), Authority::new("proxies"));
        let (client, _) = clients.client("john", &["dev"]);
        let (proxy, _) = proxies.client("front", &[]);
        let ask = async |chain: &CertificateDer<'static>, headers: &HeaderMap| {
            name(authenticator.identify(std::slice::from_ref(chain), headers).await)
        };
        let mut for_jim = bearing("Bearer bad");
        for_jim.insert("x-remote-user", HeaderValue::from_static("jim"));
        assert_eq!(
            ask(&client, &HeaderMap::new()).await,
            "nobody",
            "nothing is trusted yet"
        );

        let trust = AuthenticationTrust {
            client_authorities: clients.pem.clone(),
            front_proxy: Some(FrontProxy {
                authorities: proxies.pem.clone(),
                username_headers: vec!["X-Remote-User".into()],
                ..FrontProxy::default()
            }),
        };
        authenticator.trust.set(&trust).unwrap();
        assert_eq!(
            ask(&client, &HeaderMap::new()).await,
            "john in dev,system:authenticated"
        );
        // A client of the cluster speaks for nobody else, whatever it writes.
        assert_eq!(ask(&client, &for_jim).await, "john in dev,system:authenticated");
        assert_eq!(ask(&proxy, &for_jim).await, "jim in system:authenticated");
        // Without a name it is a client like any other, and not one of the cluster's.
        assert!(ask(&proxy, &HeaderMap::new()).await.starts_with("refused: "));
        // What is wrong with a certificate does not matter to whoever has a token.
        assert_eq!(
            ask(&proxy, &bearing("Bearer good")).await,
            "jane in system:authenticated"
        );

        let garbled = AuthenticationTrust {
            client_authorities: "garbled".into(),
            ..trust
        };
        let error = authenticator.trust.set(&garbled).unwrap_err();
        assert!(error.starts_with("client-ca-file: "), "{error}");
        assert!(ask(&client, &HeaderMap::new()).await.starts_with("refused: "));
        assert_eq!(ask(&proxy, &for_jim).await, "jim in system:authenticated");
    }

    #[test]
    fn a_token_is_not_found_in_what_is_kept() {
        let script = script();
        let (one, other) = (
            authenticator(&script, TOKEN_LIFETIME),
            authenticator(&script, TOKEN_LIFETIME),
        );
        assert_eq!(one.digest("good"), one.digest("good"));
        assert_ne!(
            one.digest("good"),
            other.digest("good"),
            "each process has a key of its own"
        );
    }
}
