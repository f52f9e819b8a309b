//! From JSON to what the engine reads, by the decoder that the real path uses.

use muster_engine::Object;
use muster_framework::record::Kind;
use serde_json::Value;
use std::fmt;

/// Why an object cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The field that is wrong, as a written path; empty for the object as a whole.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) problem: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.field, self.problem)
        }
    }
}

/// Decodes an object from its bytes, as if a watch had brought them.
pub(crate) fn decode(kind: Kind, object: &Value) -> Result<Object, Unreadable> {
    let bytes = object.to_string().into_bytes();
    muster_api::decode(kind, &bytes).map_err(|error| Unreadable {
        field: error.field,
        problem: error.problem,
    })
}
