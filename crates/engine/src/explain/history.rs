//! The last attempts at each entity that waits: a few a piece, and in all no more than so many bytes. Whoever has not been
//! tried for the longest time is forgotten first, and whoever leaves the queue at once.

use super::Attempt;
use crate::observation::AttemptResult;
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::Text;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};

/// Attempts of an entity that are kept.
const KEPT: usize = 8;
/// Of a message so many bytes are kept.
const LONGEST: usize = 512;
/// What all take together, in bytes, as counted here.
const ROOM: usize = 8 << 20;
/// What an attempt takes beside its message, and an entity beside its attempts.
const OVERHEAD: usize = 96;

#[derive(Debug, Clone)]
struct Tried {
    at: Time,
    result: AttemptResult,
    message: Text,
}

impl Tried {
    fn bytes(&self) -> usize {
        self.message.len() + OVERHEAD
    }
}

#[derive(Debug, Default)]
struct Ring {
    /// When it was added to last, in a count of all additions.
    stamp: u64,
    tried: VecDeque<Tried>,
}

/// All that is remembered.
#[derive(Debug, Default)]
pub(crate) struct History {
    rings: FxHashMap<Entity, Ring>,
    by_stamp: BTreeMap<u64, Entity>,
    stamps: u64,
    bytes: usize,
}

impl History {
    /// Remembers an attempt.
    pub(crate) fn add(&mut self, at: Time, entity: Entity, result: AttemptResult, message: &str) {
        self.stamps += 1;
        let ring = self.rings.entry(entity).or_default();
        self.by_stamp.remove(&ring.stamp);
        ring.stamp = self.stamps;
        self.by_stamp.insert(self.stamps, entity);
        if ring.tried.len() == KEPT
            && let Some(oldest) = ring.tried.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
        let message = shortened(message);
        // What is said again and again is kept once.
        let same = ring.tried.back().filter(|last| &*last.message == message);
        let message = same.map_or_else(|| message.into(), |last| last.message.clone());
        let tried = Tried { at, result, message };
        self.bytes += tried.bytes();
        ring.tried.push_back(tried);
        while self.bytes > ROOM
            && let Some((_, longest_ago)) = self.by_stamp.first_key_value()
        {
            self.forget(*longest_ago);
        }
    }

    /// Forgets an entity.
    pub(crate) fn forget(&mut self, entity: Entity) {
        if let Some(ring) = self.rings.remove(&entity) {
            self.by_stamp.remove(&ring.stamp);
            self.bytes -= ring.tried.iter().map(Tried::bytes).sum::<usize>();
        }
    }

    /// What is remembered of an entity, the latest first.
    pub(crate) fn of(&self, now: Time, entity: Entity) -> Vec<Attempt> {
        let tried = self.rings.get(&entity).map(|ring| ring.tried.iter());
        let tried = tried.into_iter().flatten().rev();
        let attempt = |tried: &Tried| Attempt {
            ago: now.since(tried.at),
            result: tried.result,
            message: tried.message.clone(),
        };
        tried.map(attempt).collect()
    }
}

/// As much of a message as is kept.
fn shortened(message: &str) -> &str {
    let end = (0..=LONGEST.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::PodId;
    use proptest::prelude::*;
    use std::time::Duration;

    fn pod(id: u32) -> Entity {
        Entity::Pod(PodId(id))
    }

    #[test]
    fn the_last_few_are_kept_and_go_with_the_entity() {
        let mut history = History::default();
        for at in 0..10u64 {
            history.add(
                Time(at * 1_000_000),
                pod(1),
                AttemptResult::Unschedulable,
                &format!("try {at}"),
            );
        }
        let kept = history.of(Time(10_000_000), pod(1));
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0].ago, &*kept[0].message), (Duration::from_secs(1), "try 9"));
        assert_eq!(&*kept[KEPT - 1].message, "try 2");
        history.forget(pod(1));
        assert!(history.of(Time(0), pod(1)).is_empty());
        assert_eq!((history.bytes, history.by_stamp.len()), (0, 0));
    }

    #[test]
    fn there_is_room_for_so_much_and_the_oldest_go() {
        let mut history = History::default();
        let long = "é".repeat(LONGEST);
        let entities = (ROOM / LONGEST) as u32;
        for id in 0..entities {
            history.add(Time(u64::from(id)), pod(id), AttemptResult::Unschedulable, &long);
        }
        assert!(history.bytes <= ROOM);
        assert!(history.of(Time(0), pod(0)).is_empty());
        assert_eq!(history.of(Time(0), pod(entities - 1))[0].message.len(), LONGEST);
    }

    proptest! {
        #[test]
        fn the_books_balance(ops in prop::collection::vec((0u32..6, any::<bool>(), ".{0,9}"), 0..80)) {
            let mut history = History::default();
            for (id, forget, message) in ops {
                if forget {
                    history.forget(pod(id));
                } else {
                    history.add(Time(0), pod(id), AttemptResult::Error, &message);
                }
                let bytes: usize = history.rings.values().flat_map(|ring| &ring.tried).map(Tried::bytes).sum();
                prop_assert_eq!(bytes, history.bytes);
                prop_assert_eq!(history.by_stamp.len(), history.rings.len());
            }
        }
    }
}
