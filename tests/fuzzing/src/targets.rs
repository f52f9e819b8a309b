//! The targets, each with a `run` that is given an input.

pub mod answers;
pub mod configuration;
pub mod evaluate;
pub mod explain;
pub mod objects;
pub mod scenario;
pub mod snapshot;
pub mod trace;
pub mod unit;
pub mod vmodule;
pub mod wire;
pub mod words;
