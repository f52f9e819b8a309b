//! Health checks, and how their answers read.

use std::fmt::Write as _;

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

/// The body of an answer in the form that Kubernetes' components use, and whether all is well.
///
/// The lines of the single checks come with `?verbose`, and always when something fails.
pub(crate) fn report(endpoint: &str, checks: &[Check], verbose: bool) -> (bool, String) {
    let well = checks.iter().all(|check| check.problem.is_none());
    if well && !verbose {
        return (true, "ok".to_owned());
    }
    let mut body = String::new();
    for check in checks {
        // Writing to a string does not fail.
        let _ = match &check.problem {
            None => writeln!(body, "[+]{} ok", check.name),
            Some(problem) => writeln!(body, "[-]{} failed: {problem}", check.name),
        };
    }
    let _ = writeln!(body, "{endpoint} check {}", if well { "passed" } else { "failed" });
    (well, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_little_when_all_is_well_and_all_when_something_fails() {
        let ping = Check::new("ping", None);
        let pods = Check::new("informer-sync-Pod", Some("not listed yet".into()));
        assert_eq!(
            report("readyz", std::slice::from_ref(&ping), false),
            (true, "ok".into())
        );
        assert_eq!(
            report("readyz", std::slice::from_ref(&ping), true),
            (true, "[+]ping ok\nreadyz check passed\n".into())
        );
        assert_eq!(
            report("readyz", &[ping, pods], false),
            (
                false,
                "[+]ping ok\n[-]informer-sync-Pod failed: not listed yet\nreadyz check failed\n".into()
            )
        );
    }
}
