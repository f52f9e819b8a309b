//! The vocabulary of scheduling: what a pod asks for, what a node has, and how plugins judge one against the other.
//!
//! Everything here is plain, deterministic data and arithmetic. **Architecture invariant:** this crate knows nothing of
//! time, threads, randomness, networks, serialization or Kubernetes JSON; `cargo xtask lint` proves it.
//!
//! Two worlds meet here and are kept apart:
//! * [`record`]s are self-contained and id-free: what decoders make of Kubernetes objects, and what a recording holds;
//! * the [`table`] of nodes, [`compiled`] pods and [`view`]s are dense and full of ordinals: what plugins read.

pub mod cells;
pub mod change_log;
pub mod compiled;
pub mod counts;
mod distinct;
pub mod domains;
pub mod event;
pub mod group;
pub mod image;
pub mod labels;
pub mod lanes;
pub mod node_match;
pub mod node_set;
pub mod plugin;
pub mod quantity;
pub mod ranges;
pub mod record;
pub mod rejection;
pub mod resource;
pub mod rules;
pub mod selection;
pub mod selector;
pub mod table;
pub mod taint;
pub mod utilization;
pub mod view;
pub mod volume;

use std::sync::Arc;

/// A shared, immutable string: names and label values, cheap to clone, equal by content.
pub type Text = Arc<str>;
