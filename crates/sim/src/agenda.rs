//! What is going to happen, in the order in which it does.

use muster_engine::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Ordered by time, then by the order in which it was planned.
#[derive(Debug)]
struct Planned<T> {
    at: Time,
    sequence: u64,
    occurrence: T,
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Planned<T>) -> bool {
        self.sequence == other.sequence
    }
}

impl<T> Eq for Planned<T> {}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Planned<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Planned<T> {
    fn cmp(&self, other: &Planned<T>) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// All that is planned.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    planned: BinaryHeap<Reverse<Planned<T>>>,
    sequence: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Agenda {
            planned: BinaryHeap::new(),
            sequence: 0,
        }
    }
}

impl<T> Agenda<T> {
    /// Plans an occurrence.
    pub(crate) fn plan(&mut self, at: Time, occurrence: T) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.planned.push(Reverse(Planned {
            at,
            sequence,
            occurrence,
        }));
    }

    /// When the next occurrence is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.planned.peek().map(|Reverse(planned)| planned.at)
    }

    /// The next occurrence, if it is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<T> {
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
            agenda.plan(Time(at), number);
        }
        let mut order = Vec::new();
        while let Some(number) = agenda.pop_due(Time(4)) {
            order.push(number);
        }
        assert_eq!((order, agenda.next()), (vec![1, 3, 4], Some(Time(5))));
    }
}
