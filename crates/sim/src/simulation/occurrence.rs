//! What can happen in a simulation.

use crate::object::Key;
use muster_engine::{Effect, EffectId, Input, Outcome};
use muster_framework::Text;
use muster_framework::record::{Kind, PodPhase};

/// One thing that is to happen.
#[derive(Debug)]
pub(super) enum Occurrence {
    /// The scenario's action of this number.
    Act(usize),
    /// The engine is told of a change. A relist ends the stream of a kind and the events that are under way in it.
    Tell { input: Input, kind: Kind, stream: u64 },
    /// A write of the scheduler of this number reaches the API server.
    Carry { effect: Effect, scheduler: u64 },
    /// Its answer reaches it, if it still lives.
    Answer {
        id: EffectId,
        outcome: Outcome,
        scheduler: u64,
    },
    /// A scheduler that was started lists everything and begins to watch.
    List,
    /// A pod starts to run.
    Start { pod: Key, uid: Text },
    /// A pod ends.
    Finish { pod: Key, uid: Text, phase: PodPhase },
    /// A pod's grace period is over.
    Remove { pod: Key, uid: Text },
}
