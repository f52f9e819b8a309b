//! What if: a snapshot, edits to it, and what the scheduler makes of both.
//!
//! An engine is told the snapshot's objects and works for a while of virtual time; what it binds is bound. There are no
//! controllers and no kubelets here: nothing is made anew, nothing ends. [`Comparison`] holds the outcome without the edits
//! against the outcome with them. Same snapshot, same edits, same seed: the same bytes.

mod capacity;
mod comparison;
mod edit;
mod explained;
mod play;
mod world;

pub use capacity::{Capacity, Unit};
pub use comparison::{Comparison, Counted, PodChange, SnapshotNote, Standing};
pub use edit::{Edit, NewNodes};
pub use explained::explain;
pub use play::Play;
pub use world::World;
