//! Explanations for people and machines: as JSON with a version, as text, over HTTP, and from files. What is said is the
//! engine's; docs/explain.md describes the JSON.

pub(crate) mod document;
pub(crate) mod offline;
pub(crate) mod page;
pub(crate) mod paths;
mod subject;
pub(crate) mod text;

pub(crate) use subject::subject;
