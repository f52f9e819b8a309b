//! Muster among faults: a virtual API server that is slow, forgetful and refuses, schedulers that crash and freeze,
//! kubelets that turn pods away, users and a rival who do as they please; and a judge who looks after every step.
//!
//! A [`World`] is made from a seed and a [`Profile`]. Both the [plan](plan) of what people do and every
//! [fault](chaos) follow from the seed by content, not by the order in which they are drawn: leaving one out leaves the
//! others as they are. So a world that goes wrong can be [shrunk](shrink) to few actions and few faults.
//!
//! **Architecture invariant:** same seed, same profile, same trace, byte for byte.

mod actors;
mod chaos;
mod judge;
mod leases;
mod mirror;
mod objects;
mod plan;
mod process;
mod profile;
mod rest;
mod run;
mod shrink;
mod watches;
mod world;
mod writes;

pub use chaos::{FaultId, Strike};
pub use judge::{Breach, Rule};
pub use profile::{Excuse, FaultKind, Profile};
pub use run::{Failure, Outcome, Tally, run_seed};
pub use shrink::{Shrunk, shrink};
pub use world::{Script, World};
