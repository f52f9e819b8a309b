//! What a caller may do: settled by a list of open paths, by membership of `system:masters`, and else by the API server's
//! SubjectAccessReview, whose answers are kept for a while.
//!
//! Source: `DelegatingAuthorizationOptions` in `k8s.io/apiserver/pkg/server/options/authorization.go`.

use super::expiring::Expiring;
use super::reviewer::{Replied, Reviewer};
use crate::metrics::Serving;
use muster_api::review::{Access, AccessVerdict, UserInfo};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Who may do anything: the API server's own authorizers let them, too.
const PRIVILEGED_GROUP: &str = "system:masters";
/// How many answers are kept. Upstream keeps 8,192; the callers of a scheduler are few.
const ANSWERS_MAX: usize = 1024;
/// Questions about more text than this, which the caller chose, are asked anew each time. Source: `maxControlledAttrCacheSize`
/// in `k8s.io/apiserver/plugin/pkg/authorizer/webhook/webhook.go`.
const KEPT_BYTES_MAX: usize = 10_000;
/// How many questions are with the API server at once.
const QUESTIONS_MAX: usize = 8;

/// How long answers are believed, and whom they are asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationLifetimes {
    /// A yes. `--authorization-webhook-cache-authorized-ttl`.
    pub allowed: Duration,
    /// A no. `--authorization-webhook-cache-unauthorized-ttl`.
    pub denied: Duration,
}

impl Default for AuthorizationLifetimes {
    fn default() -> AuthorizationLifetimes {
        AuthorizationLifetimes {
            allowed: Duration::from_secs(10),
            denied: Duration::from_secs(10),
        }
    }
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// They may.
    Allowed,
    /// They may not; the reason may be empty.
    Denied(String),
    /// It could not be found out; for the log.
    Failed(String),
}

/// Says who may do what.
pub(crate) struct Authorizer {
    always_allow: AlwaysAllow,
    reviewer: Arc<dyn Reviewer>,
    lifetimes: AuthorizationLifetimes,
    answers: Expiring<(UserInfo, Access), AccessVerdict>,
    questions: Semaphore,
    metrics: Serving,
}

impl Authorizer {
    pub(crate) fn new(
        always_allow: AlwaysAllow,
        reviewer: Arc<dyn Reviewer>,
        lifetimes: AuthorizationLifetimes,
        metrics: Serving,
    ) -> Authorizer {
        Authorizer {
            always_allow,
            reviewer,
            lifetimes,
            answers: Expiring::new(ANSWERS_MAX),
            questions: Semaphore::new(QUESTIONS_MAX),
            metrics,
        }
    }

    /// Whether this is open to everybody.
    pub(crate) fn is_open(&self, access: &Access) -> bool {
        matches!(access, Access::Path { path, .. } if self.always_allow.covers(path))
    }

    /// Whether this user may.
    pub(crate) async fn decide(&self, user: &UserInfo, access: &Access) -> Decision {
        let begun = Instant::now();
        let decision = self.find_out(user, access).await;
        let result = match &decision {
            Decision::Allowed => "allowed",
            // The API server's authorizers say no by having no opinion.
            Decision::Denied(_) => "no-opinion",
            Decision::Failed(_) => "error",
        };
        self.metrics.authorization(result, begun.elapsed());
        decision
    }

    async fn find_out(&self, user: &UserInfo, access: &Access) -> Decision {
        if self.is_open(access) || user.groups.iter().any(|group| group == PRIVILEGED_GROUP) {
            return Decision::Allowed;
        }
        let key = (user.clone(), access.clone());
        if let Some(known) = self.answers.get(&key, Instant::now()) {
            return decision(known);
        }
        let Ok(_place) = self.questions.acquire().await else {
            return Decision::Failed("the server ends".to_owned());
        };
        // Whoever was before us in the line may have asked the same.
        if let Some(known) = self.answers.get(&key, Instant::now()) {
            return decision(known);
        }
        let Replied { code, took, result } = self.reviewer.access(user, access).await;
        self.metrics.access_review(code, took);
        let verdict = match result {
            Ok(verdict) => verdict,
            Err(problem) => return Decision::Failed(problem),
        };
        let lifetime = if verdict.allowed {
            self.lifetimes.allowed
        } else {
            self.lifetimes.denied
        };
        if size(access) < KEPT_BYTES_MAX {
            self.answers.put(key, verdict.clone(), Instant::now(), lifetime);
        }
        decision(verdict)
    }
}

fn decision(verdict: AccessVerdict) -> Decision {
    if verdict.allowed {
        Decision::Allowed
    } else {
        Decision::Denied(verdict.reason)
    }
}

/// How many bytes of a question are the caller's.
fn size(access: &Access) -> usize {
    match access {
        Access::Path { verb, path } => verb.len() + path.len(),
        Access::Resource(to) => [
            &to.verb,
            &to.group,
            &to.resource,
            &to.subresource,
            &to.namespace,
            &to.name,
        ]
        .iter()
        .map(|text| text.len())
        .sum(),
    }
}

/// The paths that anybody may ask for: `--authorization-always-allow-paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlwaysAllow(Vec<String>);

impl AlwaysAllow {
    /// These paths; one that ends in `*` stands for everything that begins like it. A leading `/` may be left out.
    ///
    /// # Errors
    /// A path with a `*` elsewhere; says which.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<AlwaysAllow, String> {
        let mut kept = Vec::new();
        for path in paths {
            let path = path.trim();
            if path.is_empty() {
                continue;
            }
            let inner = path.strip_suffix('*').unwrap_or(path);
            if inner.contains('*') {
                return Err(format!("only trailing * allowed in {path:?}"));
            }
            kept.push(path.strip_prefix('/').unwrap_or(path).to_owned());
        }
        Ok(AlwaysAllow(kept))
    }

    fn covers(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        self.0.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == allowed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, metrics};
    use super::*;
    use muster_api::review::ResourceAccess;

    fn get(path: &str) -> Access {
        Access::Path {
            verb: "get".into(),
            path: path.into(),
        }
    }

    fn user(name: &str) -> UserInfo {
        UserInfo {
            username: name.into(),
            ..UserInfo::default()
        }
    }

    fn authorizer(script: &Arc<Script>, lifetime: Duration) -> Authorizer {
        let lifetimes = AuthorizationLifetimes {
            allowed: lifetime,
            denied: lifetime,
        };
        let open = AlwaysAllow::new(["/livez"]).unwrap();
        let reviewer: Arc<dyn Reviewer> = Arc::<Script>::clone(script);
        Authorizer::new(open, reviewer, lifetimes, metrics())
    }

    #[test]
    fn a_path_is_not_a_prefix_unless_it_says_so() {
        let covers = |paths: &[&str], path| AlwaysAllow::new(paths.iter().copied()).unwrap().covers(path);
        assert!(covers(&["/healthz", "/livez"], "/livez"));
        assert!(covers(&["livez"], "/livez"));
        assert!(!covers(&["/healthz"], "/healthz/more"));
        assert!(!covers(&["/healthz"], "/metrics"));
        assert!(covers(&["/healthz*"], "/healthz/more"));
        assert!(covers(&["*"], "/metrics"));
        assert!(covers(&["/"], "/") && !covers(&["/"], "/metrics"));
        assert!(!covers(&["", " "], "/metrics"));
        assert_eq!(
            AlwaysAllow::new(["/a*b*"]).unwrap_err(),
            "only trailing * allowed in \"/a*b*\""
        );
    }

    #[tokio::test]
    async fn answers_are_asked_for_once_and_believed_for_a_while() {
        let script = Script::new(|_| unreachable!(), |user, _| Ok(user.username == "jane"));
        let long = authorizer(&script, Duration::from_secs(60));
        for _ in 0..3 {
            assert_eq!(long.decide(&user("jane"), &get("/metrics")).await, Decision::Allowed);
            let denied = Decision::Denied("as the script says".into());
            assert_eq!(long.decide(&user("john"), &get("/metrics")).await, denied);
        }
        assert_eq!(script.access_questions(), 2);
        long.decide(&user("jane"), &get("/configz")).await;
        assert_eq!(script.access_questions(), 3, "another path is another question");

        let none = authorizer(&script, Duration::ZERO);
        none.decide(&user("jane"), &get("/metrics")).await;
        none.decide(&user("jane"), &get("/metrics")).await;
        assert_eq!(script.access_questions(), 5);
    }

    #[tokio::test]
    async fn open_paths_and_masters_need_no_question() {
        let script = Script::new(|_| unreachable!(), |_, _| unreachable!());
        let authorizer = authorizer(&script, Duration::from_secs(60));
        assert_eq!(
            authorizer.decide(&user("jane"), &get("/livez")).await,
            Decision::Allowed
        );
        let mut master = user("root");
        master.groups.push("system:masters".into());
        assert_eq!(authorizer.decide(&master, &get("/metrics")).await, Decision::Allowed);
        // A resource is no path, whatever it is called.
        let pods = Access::Resource(ResourceAccess {
            resource: "/livez".into(),
            ..ResourceAccess::default()
        });
        assert!(!authorizer.is_open(&pods));
    }

    #[tokio::test]
    async fn failures_are_not_kept_and_huge_questions_neither() {
        let script = Script::new(|_| unreachable!(), |_, _| Err("no answer".into()));
        let failing = authorizer(&script, Duration::from_secs(60));
        for _ in 0..2 {
            let failed = Decision::Failed("no answer".into());
            assert_eq!(failing.decide(&user("jane"), &get("/metrics")).await, failed);
        }
        assert_eq!(script.access_questions(), 2);

        let script = Script::new(|_| unreachable!(), |_, _| Ok(true));
        let allowing = authorizer(&script, Duration::from_secs(60));
        let huge = get(&format!("/{}", "x".repeat(KEPT_BYTES_MAX)));
        for _ in 0..2 {
            allowing.decide(&user("jane"), &huge).await;
        }
        assert_eq!(script.access_questions(), 2);
    }
}
