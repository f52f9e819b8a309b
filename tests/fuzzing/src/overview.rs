//! What `crates/muster` reads of a question for an overview.

#[path = "../../../crates/muster/src/overview/paths.rs"]
pub(crate) mod paths;
