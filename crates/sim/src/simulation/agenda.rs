//! What is going to happen, in the order in which it does.

use crate::object::Key;
use muster_engine::{Effect, EffectId, Input, Outcome, Time};
use muster_framework::Text;
use muster_framework::record::{Kind, PodPhase};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

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

/// Ordered by time, then by the order in which it was planned.
#[derive(Debug)]
struct Planned {
    at: Time,
    sequence: u64,
    occurrence: Occurrence,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// All that is planned.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    planned: BinaryHeap<Reverse<Planned>>,
    sequence: u64,
}

impl Agenda {
    /// Plans an occurrence.
    pub(super) fn plan(&mut self, at: Time, occurrence: Occurrence) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.planned.push(Reverse(Planned {
            at,
            sequence,
            occurrence,
        }));
    }

    /// When the next occurrence is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.planned.peek().map(|Reverse(planned)| planned.at)
    }

    /// The next occurrence, if it is due.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Occurrence> {
        self.next().filter(|at| *at <= now)?;
        self.planned.pop().map(|Reverse(planned)| planned.occurrence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_come_by_time_and_then_in_the_order_in_which_they_were_planned() {
        let mut agenda = Agenda::default();
        for (number, at) in [5, 3, 5, 3, 4].into_iter().enumerate() {
            agenda.plan(Time(at), Occurrence::Act(number));
        }
        let mut order = Vec::new();
        while let Some(Occurrence::Act(number)) = agenda.pop_due(Time(4)) {
            order.push(number);
        }
        assert_eq!((order, agenda.next()), (vec![1, 3, 4], Some(Time(5))));
    }
}
