//! What `crates/muster` reads of a question for an explanation.

#[path = "../../../crates/muster/src/explain/paths.rs"]
pub(crate) mod paths;
#[path = "../../../crates/muster/src/explain/subject.rs"]
pub(crate) mod subject;
