//! Answers that are kept for a while, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A map whose entries are forgotten a fixed time after they came, and earlier if there are too many: then the oldest goes.
pub(crate) struct Expiring<K, V> {
    capacity: usize,
    inner: Mutex<Inner<K, V>>,
}

struct Inner<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys in the order in which they came, each with the number of its coming: what has been replaced since is
    /// recognised by it.
    order: VecDeque<(K, u64)>,
    comings: u64,
}

struct Entry<V> {
    value: V,
    until: Instant,
    coming: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Expiring<K, V> {
    /// Nothing yet, and never more than this many.
    pub(crate) fn new(capacity: usize) -> Expiring<K, V> {
        let inner = Inner {
            entries: HashMap::new(),
            order: VecDeque::new(),
            comings: 0,
        };
        Expiring {
            capacity: capacity.max(1),
            inner: Mutex::new(inner),
        }
    }

    /// What is known of this, if that is still valid.
    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<V> {
        let inner = self.lock();
        let entry = inner.entries.get(key)?;
        (now < entry.until).then(|| entry.value.clone())
    }

    /// Keeps this for so long; not at all if that is zero.
    pub(crate) fn put(&self, key: K, value: V, now: Instant, lifetime: Duration) {
        if lifetime.is_zero() {
            return;
        }
        let mut inner = self.lock();
        inner.comings += 1;
        let entry = Entry {
            value,
            until: now + lifetime,
            coming: inner.comings,
        };
        let coming = inner.comings;
        inner.order.push_back((key.clone(), coming));
        inner.entries.insert(key, entry);
        inner.make_room(self.capacity, now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Inner<K, V> {
    /// Drops the oldest as long as they have expired, have been replaced, or are too many. Both maps stay bounded: a key
    /// that has been replaced takes a place in the order until then, as an entry would.
    fn make_room(&mut self, capacity: usize, now: Instant) {
        while let Some((key, coming)) = self.order.front() {
            let current = self.entries.get(key).filter(|entry| entry.coming == *coming);
            if current.is_some_and(|entry| now < entry.until) && self.order.len() <= capacity {
                return;
            }
            if current.is_some() {
                self.entries.remove(key);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(10);

    #[test]
    fn what_was_kept_is_forgotten_in_time() {
        let cache = Expiring::new(4);
        let begun = Instant::now();
        cache.put("a", 1, begun, LIFETIME);
        assert_eq!(cache.get(&"a", begun + LIFETIME - Duration::from_millis(1)), Some(1));
        assert_eq!(cache.get(&"a", begun + LIFETIME), None);
        cache.put("b", 2, begun + LIFETIME, Duration::ZERO);
        assert_eq!(cache.get(&"b", begun + LIFETIME), None);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let cache = Expiring::new(3);
        let now = Instant::now();
        for key in 0..1_000 {
            cache.put(key, key, now, LIFETIME);
        }
        let kept: Vec<_> = (0..1_000).filter(|key| cache.get(key, now).is_some()).collect();
        assert_eq!(kept, [997, 998, 999]);
    }

    #[test]
    fn one_key_that_comes_again_and_again_takes_no_more_room() {
        let cache = Expiring::new(3);
        let now = Instant::now();
        for value in 0..1_000 {
            cache.put("a", value, now, LIFETIME);
        }
        assert_eq!(cache.get(&"a", now), Some(999));
        let inner = cache.lock();
        assert!(inner.entries.len() == 1 && inner.order.len() <= 3);
    }
}
