//! What the scheduler has to do, at a glance: as JSON with a version, and over HTTP. What waits and what is held is the
//! engine's; how much was counted, and how long it took, is the metrics'. docs/top.md describes the JSON.

pub(crate) mod document;
pub(crate) mod page;
pub(crate) mod paths;
