//! The path of a field, built on the way down at no cost and written out only where something is wrong there.

use super::brief;
use muster_framework::Text;
use muster_framework::record::Unsupported;
use std::cell::RefCell;
use std::fmt;

/// A field of an object: `spec.containers[0].resources.requests.cpu`.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// A field of the object itself.
    Root(&'a str),
    /// A field of what stands at a path.
    Field(&'a Path<'a>, &'a str),
    /// An item of the list at a path.
    Item(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(super) fn field(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub(super) fn item(&'a self, at: usize) -> Path<'a> {
        Path::Item(self, at)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root(name) => f.write_str(name),
            Path::Item(list, at) => write!(f, "{list}[{at}]"),
            // Keys like nvidia.com/gpu would read as more than one field.
            Path::Field(parent, name) if name.contains(['.', '/']) => write!(f, "{parent}[{}]", brief(name)),
            Path::Field(parent, name) => write!(f, "{parent}.{}", brief(name)),
        }
    }
}

/// What is found wrong with a pod's values while it is read.
#[derive(Default)]
pub(super) struct Problems(RefCell<Vec<Unsupported>>);

impl Problems {
    /// Notes a problem with a field.
    pub(super) fn add(&self, field: Path<'_>, problem: impl fmt::Display) {
        let field = Text::from(field.to_string());
        let problem = Text::from(problem.to_string());
        self.0.borrow_mut().push(Unsupported { field, problem });
    }

    /// All problems, in the order in which they were found.
    pub(super) fn into_list(self) -> Box<[Unsupported]> {
        self.0.into_inner().into()
    }
}
