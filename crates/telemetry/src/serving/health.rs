//! Health checks, and how their answers read.
//!
//! Anybody may ask for them, so `/readyz` names what fails and not why. `/readyz/<check>` tells, to those who may ask for
//! that path, and so does the log. Source: `k8s.io/apiserver/pkg/server/healthz/healthz.go`.

use super::answer::text;
use super::route::Answer;
use crate::metrics::Slis;
use http::StatusCode;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// One thing that is well, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, for example `informer-sync-Pod`.
    pub name: String,
    /// What is wrong; none when it is well.
    pub problem: Option<String>,
}

impl Check {
    /// A check with this name, and what is wrong, if anything.
    pub fn new(name: impl Into<String>, problem: Option<String>) -> Check {
        Check {
            name: name.into(),
            problem,
        }
    }
}

/// What can be asked for its health. Asked from the server's threads, so it must answer at once.
pub trait Health: Send + Sync {
    /// Whether the process does its work at all: a failure has it restarted.
    fn live(&self) -> Vec<Check>;

    /// Whether it knows what it needs to know to do that work.
    fn ready(&self) -> Vec<Check>;
}

/// One page of checks.
pub(crate) struct HealthPage {
    /// Its name: the path without the slash.
    name: &'static str,
    /// What failed when it was asked last: a failure that lasts is logged once.
    failed: Mutex<Vec<Check>>,
}

impl HealthPage {
    pub(crate) fn new(name: &'static str) -> HealthPage {
        HealthPage {
            name,
            failed: Mutex::default(),
        }
    }

    /// The answer to this page, or to one of its checks.
    pub(crate) fn answer(&self, checks: &[Check], check: Option<&str>, query: &str, slis: &Slis) -> Answer {
        match check {
            None => self.all(checks, query, slis),
            Some(name) => match checks.iter().find(|check| check.name == name) {
                Some(check) => one(check),
                None => super::answer::not_found(),
            },
        }
    }

    fn all(&self, checks: &[Check], query: &str, slis: &Slis) -> Answer {
        let name = self.name;
        let Wanted { verbose, mut excluded } = Wanted::read(query);
        let mut lines = String::new();
        let mut failed = Vec::new();
        for check in checks {
            if !excluded.contains(&check.name) {
                slis.checked(name, &check.name, check.problem.is_none());
            }
            // Writing to a string does not fail.
            let _ = match &check.problem {
                _ if excluded.remove(&check.name) => writeln!(lines, "[+]{} excluded: ok", check.name),
                None => writeln!(lines, "[+]{} ok", check.name),
                Some(_) => {
                    failed.push(check.clone());
                    writeln!(lines, "[-]{} failed: reason withheld", check.name)
                }
            };
        }
        if !excluded.is_empty() {
            let names: Vec<_> = excluded.iter().map(|name| format!("{name:?}")).collect();
            let names = names.join(",");
            let _ = writeln!(
                lines,
                "warn: some health checks cannot be excluded: no matches for {names}"
            );
        }
        let well = failed.is_empty();
        self.log(failed);
        match (well, verbose) {
            (false, _) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{lines}{name} check failed\n"),
            ),
            (true, true) => text(StatusCode::OK, format!("{lines}{name} check passed\n")),
            (true, false) => text(StatusCode::OK, "ok"),
        }
    }

    fn log(&self, failed: Vec<Check>) {
        let mut before = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let names = |checks: &[Check]| checks.iter().map(|check| check.name.clone()).collect::<Vec<_>>();
        if names(&before) != names(&failed) {
            let why: Vec<_> = failed
                .iter()
                .map(|check| format!("{}: {}", check.name, check.problem.as_deref().unwrap_or_default()))
                .collect();
            match why.as_slice() {
                [] => tracing::info!(endpoint = self.name, "the health check passes"),
                why => tracing::info!(endpoint = self.name, why = why.join("; "), "the health check fails"),
            }
        }
        *before = failed;
    }
}

fn one(check: &Check) -> Answer {
    match &check.problem {
        None => text(StatusCode::OK, "ok"),
        Some(problem) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("internal server error: {problem}\n"),
        ),
    }
}

/// What a query asks for: `?verbose`, and any number of `exclude=<check>`.
struct Wanted {
    verbose: bool,
    excluded: BTreeSet<String>,
}

impl Wanted {
    fn read(query: &str) -> Wanted {
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut wanted = Wanted {
            verbose: false,
            excluded: BTreeSet::new(),
        };
        for (key, value) in pairs {
            match key {
                "verbose" => wanted.verbose = true,
                // Names of checks hold nothing that a query would have to escape.
                "exclude" => {
                    wanted.excluded.insert(value.to_owned());
                }
                _ => {}
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::body_of;
    use super::*;
    use crate::metrics::Metrics;

    async fn say(page: &HealthPage, checks: &[Check], check: Option<&str>, query: &str) -> (u16, String) {
        let answer = page.answer(checks, check, query, Metrics::new(&[]).unwrap().slis());
        (answer.status().as_u16(), body_of(answer).await)
    }

    #[tokio::test]
    async fn a_page_says_little_when_all_is_well_and_more_when_something_fails() {
        let page = HealthPage::new("readyz");
        let ping = Check::new("ping", None);
        let pods = Check::new("informer-sync-Pod", Some("not listed yet".into()));
        let well = std::slice::from_ref(&ping);
        assert_eq!(say(&page, well, None, "").await, (200, "ok".into()));
        assert_eq!(
            say(&page, well, None, "verbose").await,
            (200, "[+]ping ok\nreadyz check passed\n".into())
        );
        let ill = &[ping, pods];
        assert_eq!(
            say(&page, ill, None, "").await,
            (
                500,
                "[+]ping ok\n[-]informer-sync-Pod failed: reason withheld\nreadyz check failed\n".into()
            )
        );
        assert_eq!(
            say(&page, ill, None, "exclude=informer-sync-Pod").await,
            (200, "ok".into())
        );
        assert_eq!(
            say(&page, ill, None, "exclude=informer-sync-Pod&exclude=no&verbose=1").await,
            (
                200,
                "[+]ping ok\n[+]informer-sync-Pod excluded: ok\nwarn: some health checks cannot be excluded: no matches \
                 for \"no\"\nreadyz check passed\n"
                    .into()
            )
        );
    }

    #[tokio::test]
    async fn each_check_can_be_asked_for_its_reason() {
        let page = HealthPage::new("readyz");
        let checks = [
            Check::new("ping", None),
            Check::new("pods", Some("not listed yet".into())),
        ];
        assert_eq!(say(&page, &checks, Some("ping"), "").await, (200, "ok".into()));
        assert_eq!(
            say(&page, &checks, Some("pods"), "").await,
            (500, "internal server error: not listed yet\n".into())
        );
        assert_eq!(say(&page, &checks, Some("no"), "").await.0, 404);
    }
}
