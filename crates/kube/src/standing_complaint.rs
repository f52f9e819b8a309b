//! Trouble that lasts is said once, not at every try.

use muster_framework::record::Kind;

/// What is wrong with the informer of a kind, as the log has it last.
#[derive(Debug)]
pub(crate) struct StandingComplaint {
    kind: Kind,
    said: Option<String>,
}

impl StandingComplaint {
    pub(crate) fn none(kind: Kind) -> StandingComplaint {
        StandingComplaint { kind, said: None }
    }

    /// Something is wrong: a warning if it is news.
    pub(crate) fn raise(&mut self, problem: &str) {
        let kind = self.kind.name();
        if self.said.as_deref() == Some(problem) {
            tracing::debug!(kind, error = %problem, "still cannot follow the objects of a kind");
        } else {
            tracing::warn!(
                kind,
                error = %problem,
                "cannot follow the objects of a kind; trying again"
            );
            self.said = Some(problem.to_owned());
        }
    }

    /// It works: said if the log has it otherwise.
    pub(crate) fn settle(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(kind = self.kind.name(), "following the objects of a kind again");
        }
    }
}
