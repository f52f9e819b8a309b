//! What is answered to whom: first who asks, then whether they may, then the page.
//!
//! Source for the order and for what follows from it: `buildHandlerChain` in `cmd/kube-scheduler/app/server.go`. Other than
//! there, whoever shows nothing is nobody (401), and not `system:anonymous`: strangers cannot make Muster ask the API server
//! anything but whose their tokens are.

use super::answer::{failure, forbidden, internal_error, not_found, respond, text, unauthorized};
use super::authentication::{Authenticator, Caller};
use super::authorization::{Authorizer, Decision};
use super::health::{Health, HealthPage};
use super::route::{Answer, Question, Routes};
use super::zpages::About;
use crate::logging::Verbosity;
use crate::metrics::Metrics;
use http::header::{ACCEPT, ALLOW};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes};
use muster_api::review::{Access, UserInfo};
use rustls::pki_types::CertificateDer;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pages that anybody may be told of, in order.
const LISTED: [&str; 7] = [
    "/configz", "/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz",
];
/// The longest body of a request, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// How long a body may be on its way.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer may take, the questions to the API server among it.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What there is to read.
pub struct Pages {
    metrics: Arc<Metrics>,
    health: Arc<dyn Health>,
    about: Arc<About>,
    verbosity: Verbosity,
    routes: Arc<dyn Routes>,
    livez: HealthPage,
    readyz: HealthPage,
    healthz: HealthPage,
}

impl Pages {
    /// These, and whatever `routes` adds.
    pub fn new(
        metrics: Arc<Metrics>,
        health: Arc<dyn Health>,
        about: Arc<About>,
        verbosity: Verbosity,
        routes: Arc<dyn Routes>,
    ) -> Arc<Pages> {
        Arc::new(Pages {
            metrics,
            health,
            about,
            verbosity,
            routes,
            livez: HealthPage::new("livez"),
            readyz: HealthPage::new("readyz"),
            healthz: HealthPage::new("healthz"),
        })
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A page that only says something.
    fn read(&self, question: &Question) -> Option<Answer> {
        let query = &question.query;
        let path = question.path.as_str();
        Some(match path {
            "/metrics" => rendered(self.metrics.render().map_err(|error| error.to_string())),
            "/metrics/slis" => rendered(self.metrics.slis().render().map_err(|error| error.to_string())),
            "/configz" => self.about.configz(),
            "/statusz" => self.about.statusz(&question.accept, &LISTED),
            "/flagz" => self.about.flagz(&question.accept),
            "/debug/flags/v" => text(StatusCode::OK, format!("{}\n", self.verbosity.level())),
            "/debug/flags/vmodule" => text(StatusCode::OK, format!("{}\n", self.verbosity.modules())),
            _ => {
                let (page, check) = match path.strip_prefix('/')?.split_once('/') {
                    None => (&path[1..], None),
                    Some((page, check)) => (page, Some(check)),
                };
                let slis = self.metrics.slis();
                match page {
                    "livez" => self.livez.answer(&self.health.live(), check, query, slis),
                    // Upstream's older name; it has the meaning of liveness there, too.
                    "healthz" => self.healthz.answer(&self.health.live(), check, query, slis),
                    "readyz" => self.readyz.answer(&self.health.ready(), check, query, slis),
                    _ => return None,
                }
            }
        })
    }

    /// `PUT /debug/flags/v`. Source: `StringFlagPutHandler` in `k8s.io/apiserver/pkg/server/routes/flags.go`.
    fn set_flag(&self, question: &Question) -> Option<Answer> {
        let body = String::from_utf8_lossy(&question.body);
        let value = body.trim();
        let (flag, set) = match question.path.as_str() {
            "/debug/flags/v" => ("verbosity", self.verbosity.set_level(value)),
            "/debug/flags/vmodule" => ("vmodule", self.verbosity.set_modules(value)),
            _ => return None,
        };
        let user = question.user.as_ref().map_or("", |user| &user.username);
        Some(match set {
            Ok(()) => {
                tracing::warn!(flag, value, user, "what is logged has been changed");
                text(
                    StatusCode::OK,
                    format!("successfully set klog.logging.{flag} to {value}\n"),
                )
            }
            Err(problem) => text(
                StatusCode::BAD_REQUEST,
                format!("failed set klog.logging.{flag} {value}: {problem}\n"),
            ),
        })
    }
}

/// Asks who a caller is, and whether they may.
pub(crate) struct Guard {
    pub(crate) authenticator: Authenticator,
    pub(crate) authorizer: Authorizer,
}

/// Who is let in.
pub(crate) enum Door {
    /// Whoever is known and may.
    Guarded(Box<Guard>),
    /// Anybody, to read what is Muster's own: not to change anything, and not what is added about objects.
    Open,
}

/// One server's answers.
pub(crate) struct Site {
    pub(crate) pages: Arc<Pages>,
    pub(crate) door: Door,
}

impl Site {
    /// Answers a request that came over a connection with these certificates.
    pub(crate) async fn answer<B>(&self, request: Request<B>, chain: &[CertificateDer<'_>]) -> Answer
    where
        B: Body<Error: Error + Send + Sync + 'static>,
    {
        let begun = Instant::now();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let answer = match tokio::time::timeout(ANSWER_WITHIN, self.admit(request, chain)).await {
            Ok(answer) => answer,
            Err(_) => failure(StatusCode::GATEWAY_TIMEOUT, "Timeout", "the answer took too long", None),
        };
        let (resp, latency) = (answer.status().as_u16(), begun.elapsed());
        tracing::debug!(verb = %method, path, ?latency, resp, "HTTP");
        answer
    }

    async fn admit<B>(&self, request: Request<B>, chain: &[CertificateDer<'_>]) -> Answer
    where
        B: Body<Error: Error + Send + Sync + 'static>,
    {
        let (head, body) = request.into_parts();
        let (method, path) = (head.method, head.uri.path().to_owned());
        let added = match self.door {
            Door::Guarded(_) => self.pages.routes.access(&method, &path),
            Door::Open => None,
        };
        let is_added = added.is_some();
        let access = added.unwrap_or_else(|| Access::Path {
            verb: method.as_str().to_ascii_lowercase(),
            path: path.clone(),
        });
        let user = match self.let_in(chain, &head.headers, &access).await {
            Ok(user) => user,
            Err(refusal) => return refusal,
        };
        // Not before it is known that somebody may ask: strangers' bodies are not read.
        let body = match read_body(body).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let accept = head.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let question = Question {
            method,
            path,
            query: head.uri.query().unwrap_or_default().to_owned(),
            accept: accept.unwrap_or_default().to_owned(),
            body,
            user,
        };
        if is_added {
            return self.pages.routes.answer(question).await;
        }
        self.page(&question)
    }

    /// Who asks, if they may.
    async fn let_in(
        &self,
        chain: &[CertificateDer<'_>],
        headers: &HeaderMap,
        access: &Access,
    ) -> Result<Option<UserInfo>, Answer> {
        let Door::Guarded(guard) = &self.door else {
            return Ok(None);
        };
        let Guard {
            authenticator,
            authorizer,
        } = &**guard;
        let user = match authenticator.identify(chain, headers).await {
            Caller::Known(user) => user,
            Caller::Nobody if authorizer.is_open(access) => return Ok(None),
            Caller::Nobody => return Err(unauthorized()),
            Caller::Refused(objection) => {
                tracing::debug!(error = %objection, "a caller could not be identified");
                return Err(unauthorized());
            }
        };
        match authorizer.decide(&user, access).await {
            Decision::Allowed => Ok(Some(user)),
            Decision::Denied(reason) => {
                tracing::debug!(user = %user.username, ?access, reason, "a caller may not");
                Err(forbidden(&user, access, &reason))
            }
            Decision::Failed(problem) => {
                tracing::warn!(user = %user.username, error = %problem, "cannot find out what a caller may do");
                Err(internal_error("cannot find out whether this is allowed"))
            }
        }
    }

    fn page(&self, question: &Question) -> Answer {
        let may_change = matches!(self.door, Door::Guarded(_));
        let known = match question.method {
            Method::GET | Method::HEAD => return self.pages.read(question).unwrap_or_else(not_found),
            Method::PUT if may_change => self.pages.set_flag(question),
            _ => None,
        };
        known.unwrap_or_else(|| {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            answer
        })
    }
}

fn rendered(metrics: Result<String, String>) -> Answer {
    match metrics {
        Ok(metrics) => respond(StatusCode::OK, prometheus::TEXT_FORMAT, metrics),
        Err(error) => {
            tracing::error!(%error, "cannot render the metrics");
            internal_error("cannot render the metrics")
        }
    }
}

async fn read_body<B>(body: B) -> Result<Bytes, Answer>
where
    B: Body<Error: Error + Send + Sync + 'static>,
{
    let read = Limited::new(body, BODY_MAX).collect();
    match tokio::time::timeout(BODY_WITHIN, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(failure(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "the body is too long",
            None,
        )),
        Ok(Err(_)) | Err(_) => Err(failure(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "the body did not come, or not all of it",
            None,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::authentication::Trust;
    use super::super::authorization::{AlwaysAllow, AuthorizationLifetimes};
    use super::super::health::Check;
    use super::super::reviewer::Reviewer;
    use super::super::testing::{Script, about, body_of};
    use super::*;
    use http::header::AUTHORIZATION;
    use http_body_util::Full;
    use muster_api::review::{ResourceAccess, TokenVerdict};
    use std::future::Future;
    use std::pin::Pin;

    struct Pods(bool);

    impl Health for Pods {
        fn live(&self) -> Vec<Check> {
            vec![Check::new("ping", None)]
        }

        fn ready(&self) -> Vec<Check> {
            vec![Check::new("pods", (!self.0).then(|| "not listed yet".to_owned()))]
        }
    }

    /// A page about pods, which says who asks.
    struct Explain;

    impl Routes for Explain {
        fn access(&self, method: &Method, path: &str) -> Option<Access> {
            let namespace = path.strip_prefix("/explain/")?;
            (method == Method::GET).then(|| {
                Access::Resource(ResourceAccess {
                    verb: "get".into(),
                    resource: "pods".into(),
                    namespace: namespace.into(),
                    ..ResourceAccess::default()
                })
            })
        }

        fn answer(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
            let user = question.user.map(|user| user.username).unwrap_or_default();
            Box::pin(async move { text(StatusCode::OK, format!("{user} asks for {}", question.path)) })
        }
    }

    fn pages(routes: Arc<dyn Routes>) -> Arc<Pages> {
        Pages::new(
            Arc::new(Metrics::new(&[]).unwrap()),
            Arc::new(Pods(false)),
            Arc::new(about()),
            Verbosity::new(2),
            routes,
        )
    }

    /// `jane` may read metrics and the pods in `shop`, `root` may do anything; a token is its owner's name.
    fn guarded(routes: Arc<dyn Routes>) -> Site {
        let script = Script::new(
            |token| match token {
                "jane" | "root" => Ok(TokenVerdict::Of(UserInfo {
                    username: token.to_owned(),
                    ..UserInfo::default()
                })),
                "broken" => Err("no answer".into()),
                _ => Ok(TokenVerdict::Invalid(String::new())),
            },
            |user, access| match access {
                _ if user.username == "root" => Ok(true),
                Access::Path { verb, path } if path == "/nowhere" => Err(format!("cannot ask whether to {verb}")),
                Access::Path { verb, path } => Ok(verb == "get" && path == "/metrics"),
                Access::Resource(to) => Ok(to.namespace == "shop"),
            },
        );
        let pages = pages(routes);
        let reviewer: Arc<dyn Reviewer> = script;
        let serving = pages.metrics.serving();
        let lifetime = Duration::from_secs(60);
        let authenticator = Authenticator::new(Trust::default(), Arc::clone(&reviewer), lifetime, serving.clone());
        let open = AlwaysAllow::new(["/healthz", "/readyz", "/livez"]).unwrap();
        let authorizer = Authorizer::new(open, reviewer, AuthorizationLifetimes::default(), serving);
        let door = Door::Guarded(Box::new(Guard {
            authenticator: authenticator.unwrap(),
            authorizer,
        }));
        Site { pages, door }
    }

    async fn ask(site: &Site, method: Method, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        if !token.is_empty() {
            let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        let answer = site.answer(request, &[]).await;
        (answer.status().as_u16(), body_of(answer).await)
    }

    async fn get(site: &Site, path: &str, token: &str) -> (u16, String) {
        ask(site, Method::GET, path, token, "").await
    }

    #[tokio::test]
    async fn strangers_read_health_and_nothing_else() {
        let site = guarded(Arc::<[Arc<dyn Routes>; 0]>::new([]));
        assert_eq!(get(&site, "/livez", "").await, (200, "ok".into()));
        assert_eq!(get(&site, "/readyz?verbose", "").await.0, 500);
        for path in [
            "/metrics",
            "/readyz/pods",
            "/configz",
            "/nothing",
            "/debug/flags/v",
            "/",
        ] {
            assert_eq!(get(&site, path, "").await.0, 401, "{path}");
        }
        // Who shows something that is not accepted is told so even where nothing had to be shown, as upstream.
        assert_eq!(get(&site, "/livez", "unknown").await.0, 401);
        assert_eq!(get(&site, "/livez", "broken").await.0, 401);
    }

    #[tokio::test]
    async fn the_known_read_what_they_may() {
        let site = guarded(Arc::<[Arc<dyn Routes>; 0]>::new([]));
        let (status, metrics) = get(&site, "/metrics", "jane").await;
        assert!(status == 200 && metrics.contains("scheduler_pending_pods"));
        let (status, refusal) = get(&site, "/configz", "jane").await;
        assert_eq!(status, 403);
        assert!(
            refusal.contains("forbidden: User \\\"jane\\\" cannot get path \\\"/configz\\\""),
            "{refusal}"
        );
        assert_eq!(get(&site, "/livez", "jane").await.0, 200);
        assert_eq!(get(&site, "/readyz", "jane").await.0, 500);
        let (_, slis) = get(&site, "/metrics/slis", "root").await;
        for line in [
            "kubernetes_healthcheck{name=\"ping\",type=\"livez\"} 1",
            "kubernetes_healthcheck{name=\"pods\",type=\"readyz\"} 0",
            "kubernetes_healthchecks_total{name=\"pods\",status=\"error\",type=\"readyz\"} 1",
        ] {
            assert!(slis.lines().any(|l| l == line), "{line} is not in\n{slis}");
        }
        assert_eq!(get(&site, "/nothing", "jane").await.0, 403);
        assert_eq!(get(&site, "/nothing", "root").await.0, 404);
        assert_eq!(get(&site, "/livez/nothing", "root").await.0, 404);
        assert_eq!(
            get(&site, "/readyz/pods", "root").await,
            (500, "internal server error: not listed yet\n".into())
        );
        assert_eq!(ask(&site, Method::POST, "/metrics", "root", "").await.0, 405);
        let (status, failed) = get(&site, "/nowhere", "jane").await;
        assert!(
            status == 500 && !failed.contains("cannot ask"),
            "why is not the caller's business: {failed}"
        );
    }

    #[tokio::test]
    async fn the_verbosity_is_changed_by_those_who_may() {
        let site = guarded(Arc::<[Arc<dyn Routes>; 0]>::new([]));
        let put = |token, body| ask(&site, Method::PUT, "/debug/flags/v", token, body);
        assert_eq!(put("", "4").await.0, 401);
        assert_eq!(put("jane", "4").await.0, 403);
        assert_eq!(site.pages.verbosity.level(), 2);
        assert_eq!(
            put("root", "4\n").await,
            (200, "successfully set klog.logging.verbosity to 4\n".into())
        );
        assert_eq!(site.pages.verbosity.level(), 4);
        assert_eq!(get(&site, "/debug/flags/v", "root").await, (200, "4\n".into()));
        let (status, refusal) = put("root", "high").await;
        assert!(
            status == 400 && refusal.starts_with("failed set klog.logging.verbosity high: "),
            "{refusal}"
        );
        let long = "4".repeat(BODY_MAX + 1);
        assert_eq!(put("root", &long).await.0, 413);
        assert_eq!(site.pages.verbosity.level(), 4);
    }

    #[tokio::test]
    async fn added_pages_are_for_those_who_may_read_the_objects() {
        let site = guarded(Arc::new(Explain));
        assert_eq!(
            get(&site, "/explain/shop", "jane").await,
            (200, "jane asks for /explain/shop".into())
        );
        let (status, refusal) = get(&site, "/explain/bank", "jane").await;
        assert_eq!(status, 403);
        assert!(
            refusal.contains("cannot get resource \\\"pods\\\" in API group \\\"\\\" in the namespace \\\"bank\\\""),
            "{refusal}"
        );
        assert_eq!(get(&site, "/explain/shop", "").await.0, 401);
        // Another method is no page of theirs, and so a path like any other.
        assert_eq!(ask(&site, Method::POST, "/explain/shop", "root", "").await.0, 405);
    }

    #[tokio::test]
    async fn an_open_door_shows_pages_and_takes_nothing() {
        let site = Site {
            pages: pages(Arc::new(Explain)),
            door: Door::Open,
        };
        assert_eq!(get(&site, "/metrics", "").await.0, 200);
        assert_eq!(get(&site, "/statusz", "").await.0, 200);
        assert_eq!(ask(&site, Method::PUT, "/debug/flags/v", "", "4").await.0, 405);
        assert_eq!(site.pages.verbosity.level(), 2);
        assert_eq!(get(&site, "/explain/shop", "").await.0, 404);
    }
}
