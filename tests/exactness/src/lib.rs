//! Shows that batching is exact: histories of random clusters, in which every answer of a verdict is held against a full
//! pass, and what happens is held against what happens without batching.
//!
//! A [`History`] begins with a case of the oracle's generator: its cluster, its configuration, and its pods as templates of
//! twins. Then come waves of twins, gangs, and changes of all that verdicts depend on. `cargo xtask batch-exactness` runs many.

mod acts;
mod cluster;
mod features;
mod history;
mod tally;
mod world;

pub use history::{Failure, History};
pub use tally::Tally;
