//! The oracle: random clusters and pods, on which Muster must say what upstream's own scheduler plugins say.
//!
//! `cargo xtask oracle` puts the parts together. A case goes to both programs as a line of JSON; their answers are
//! [compared](compare) in full, a case on which they differ is [shrunk](shrink) to its core, and [coverage] tells whether
//! every plugin was really asked. Cases that once differed are [kept](regressions), and [mutations] of Muster's plugins
//! prove that a wrong rule would be noticed. See docs/testing.md.

pub mod case;
pub mod compare;
pub mod coverage;
pub mod explained;
mod generator;
pub mod mutations;
pub mod program;
pub mod regressions;
pub mod shrink;

pub use case::{Answer, Case};
pub use compare::{Difference, differences};
pub use generator::{Dice, generate};
