//! What is wrong with a configuration, and where.

use std::cell::RefCell;
use std::fmt;

/// One problem of a configuration, or something that is accepted but has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, as `.profiles[0].schedulerName`; fields of the second document begin with `MusterConfiguration`.
    /// `.` is the document itself.
    pub path: String,
    /// The line in the text, from 1, where it is known.
    pub line: Option<u64>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// Why a configuration cannot be used: one or several problems, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid configuration: {}", join(.problems))]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    /// The problems; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error {
            problems: vec![problem],
        }
    }
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

/// Collects what is found while a configuration is read, so that reading goes on after a problem.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl Report {
    pub(crate) fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn warning(&self, warning: Problem) {
        self.warnings.borrow_mut().push(warning);
    }

    /// The warnings when there was no problem, else the problems.
    pub(crate) fn finish(self) -> Result<Vec<Problem>, Error> {
        let mut problems = self.problems.into_inner();
        if problems.is_empty() {
            return Ok(self.warnings.into_inner());
        }
        problems.sort_by_key(|problem| problem.line);
        Err(Error { problems })
    }
}
