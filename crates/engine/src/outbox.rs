//! What has been decided and not been handed out yet: effects in lanes, so that a gang of a thousand keeps nobody waiting.
//!
//! Each departure has a lane for its binds and the writes before them, and questions (reads, extenders, evictions) have one
//! of their own. The lanes take turns, an effect each; within a lane the order is kept. Events leave when all lanes are
//! empty: whom they tell of waits for nothing. The engine decides no more while [`Outbox::is_full`], so that what it decides
//! on is never far ahead of what has been said to the server.

use crate::effect::Effect;
use std::collections::{BTreeMap, VecDeque};

/// So many effects may wait before nothing further is decided. One decision may add as many as a gang has members.
const FULL: usize = 1024;

/// Effects that leave in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// What somebody waits for the answer of, besides binds.
    Questions,
    /// What brings one departure to its nodes, by the departure's number.
    Departure(u64),
    /// What tells the world.
    Events,
}

/// Effects that wait to be handed out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lanes: BTreeMap<Lane, VecDeque<Effect>>,
    /// The lanes that are not empty, whose turn it is first; without that of events.
    turns: VecDeque<Lane>,
    events: VecDeque<Effect>,
    len: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, lane: Lane, effect: Effect) {
        self.len += 1;
        if lane == Lane::Events {
            return self.events.push_back(effect);
        }
        let waiting = self.lanes.entry(lane).or_default();
        if waiting.is_empty() {
            self.turns.push_back(lane);
        }
        waiting.push_back(effect);
    }

    /// The next effect: of the lane whose turn it is, or else an event.
    pub(crate) fn pop(&mut self) -> Option<Effect> {
        let effect = self.pop_from_lanes().or_else(|| self.events.pop_front())?;
        self.len -= 1;
        Some(effect)
    }

    fn pop_from_lanes(&mut self) -> Option<Effect> {
        let lane = self.turns.pop_front()?;
        let waiting = self.lanes.get_mut(&lane)?;
        let effect = waiting.pop_front();
        if waiting.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        effect
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether so much waits that nothing further is to be decided.
    pub(crate) fn is_full(&self) -> bool {
        self.len >= FULL
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        *self = Outbox::default();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.lanes.values().flatten().chain(&self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{EffectId, EffectKind, PodRef};
    use proptest::prelude::*;

    fn effect(id: u64) -> Effect {
        let pod = PodRef {
            namespace: "default".into(),
            name: "a".into(),
            uid: "u".into(),
        };
        Effect {
            id: EffectId(id),
            kind: EffectKind::ReadPod { pod },
        }
    }

    fn lane(n: u8) -> Lane {
        match n {
            0 => Lane::Questions,
            1 => Lane::Events,
            n => Lane::Departure(u64::from(n)),
        }
    }

    #[test]
    fn a_small_lane_passes_a_long_one() {
        let mut outbox = Outbox::default();
        for id in 0..1000 {
            outbox.push(Lane::Departure(1), effect(id));
        }
        outbox.push(Lane::Departure(2), effect(2000));
        let first: Vec<u64> = (0..3).filter_map(|_| Some(outbox.pop()?.id.0)).collect();
        assert_eq!(first, [0, 2000, 1]);
    }

    proptest! {
        /// Nothing is lost or doubled, each lane keeps its order, no lane waits for more than one turn of each other one,
        /// and an event leaves only when nothing else waits.
        #[test]
        fn lanes_keep_their_order_and_take_turns(steps in prop::collection::vec(prop::option::weighted(0.6, 0u8..6), 0..300)) {
            let mut outbox = Outbox::default();
            let mut model: BTreeMap<Lane, VecDeque<u64>> = BTreeMap::new();
            let mut passed: BTreeMap<Lane, BTreeMap<Lane, u32>> = BTreeMap::new();
            let rest = model.len() + steps.len();
            let steps = steps.into_iter().chain(std::iter::repeat_n(None, rest));
            for (id, step) in steps.enumerate() {
                if let Some(n) = step {
                    outbox.push(lane(n), effect(id as u64));
                    model.entry(lane(n)).or_default().push_back(id as u64);
                    continue;
                }
                let Some(popped) = outbox.pop() else {
                    prop_assert!(model.is_empty());
                    continue;
                };
                let from = model.iter().find(|(_, ids)| ids.front() == Some(&popped.id.0)).map(|(lane, _)| *lane);
                let Some(from) = from else {
                    return Err(TestCaseError::fail("an effect out of order"));
                };
                prop_assert!(from != Lane::Events || model.len() == 1);
                passed.remove(&from);
                for other in model.keys().filter(|other| **other != from && **other != Lane::Events) {
                    let times = passed.entry(*other).or_default().entry(from).or_default();
                    *times += 1;
                    prop_assert!(*times <= 1, "{other:?} was passed twice by {from:?}");
                }
                if let Some(ids) = model.get_mut(&from) {
                    ids.pop_front();
                }
                model.retain(|_, ids| !ids.is_empty());
            }
            prop_assert!(outbox.is_empty());
        }
    }
}
