//! Finds, for a node, the objects that may be meant for it: by a node label that the object requires.
//!
//! Local volumes and storage capacities come by the thousand, one for each node: asking each of them for each node would
//! cost their product.

use crate::Text;
use crate::labels::Labels;
use crate::selector::{NodeSelectorTerm, Operator, Requirement};
use rustc_hash::{FxHashMap, FxHasher};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Bound;

/// The order in which objects are preferred: by size, then by name.
pub(crate) type Rank = (i64, Text);

/// Objects by a node label that they require.
#[derive(Debug)]
pub(crate) struct NodeLabelIndex<T> {
    /// Label keys that objects are found by, with how many of them.
    keys: Vec<(Text, usize)>,
    by_label: FxHashMap<u64, BTreeMap<Rank, T>>,
    /// Objects that require no certain label.
    rest: BTreeMap<Rank, T>,
}

impl<T> Default for NodeLabelIndex<T> {
    fn default() -> Self {
        NodeLabelIndex {
            keys: Vec::new(),
            by_label: FxHashMap::default(),
            rest: BTreeMap::new(),
        }
    }
}

impl<T: Clone> NodeLabelIndex<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.by_label.is_empty()
    }

    /// Adds an object that nodes must satisfy `required` for.
    pub(crate) fn insert(&mut self, required: Option<&Requirement>, rank: Rank, object: T) {
        let Some(required) = required else {
            self.rest.insert(rank, object);
            return;
        };
        match self.keys.iter_mut().find(|(key, _)| *key == required.key) {
            Some((_, count)) => *count += 1,
            None => self.keys.push((required.key.clone(), 1)),
        }
        for value in &required.values {
            let bucket = self.by_label.entry(hash_label(&required.key, value)).or_default();
            bucket.insert(rank.clone(), object.clone());
        }
    }

    /// Takes an object out that was added with the same requirement and rank.
    pub(crate) fn remove(&mut self, required: Option<&Requirement>, rank: &Rank) {
        let Some(required) = required else {
            self.rest.remove(rank);
            return;
        };
        if let Some(at) = self.keys.iter().position(|(key, _)| *key == required.key) {
            self.keys[at].1 -= 1;
            if self.keys[at].1 == 0 {
                self.keys.swap_remove(at);
            }
        }
        for value in &required.values {
            let label = hash_label(&required.key, value);
            if let Some(bucket) = self.by_label.get_mut(&label) {
                bucket.remove(rank);
                if bucket.is_empty() {
                    self.by_label.remove(&label);
                }
            }
        }
    }

    /// The first object, by rank and not below `from`, that may be meant for a node with these labels and that `accept`
    /// takes. What is offered need not be meant for the node: `accept` has to look.
    pub(crate) fn first<'s>(
        &'s self,
        labels: &Labels,
        from: i64,
        mut accept: impl FnMut(&'s T) -> bool,
    ) -> Option<&'s T> {
        let found_by = |(key, _): &(Text, usize)| self.by_label.get(&hash_label(key, labels.get(key)?));
        let buckets = std::iter::once(&self.rest).chain(self.keys.iter().filter_map(found_by));
        let from = Bound::Included((from, Text::from("")));
        let mut best: Option<(&Rank, &T)> = None;
        for bucket in buckets {
            let below_best = |rank: &Rank| best.is_none_or(|(best, _)| rank < best);
            let mut candidates = bucket
                .range((from.clone(), Bound::Unbounded))
                .take_while(|(rank, _)| below_best(rank));
            if let Some(found) = candidates.find(|(_, object)| accept(object)) {
                best = Some(found);
            }
        }
        best.map(|(_, object)| object)
    }
}

/// A requirement that any node must satisfy which one of `terms` matches.
pub(crate) fn required_of_terms(terms: Option<&[NodeSelectorTerm]>) -> Option<&Requirement> {
    match terms? {
        [term] => required_of(&term.match_expressions),
        _ => None,
    }
}

/// The first of `requirements` that names the values which a label must have.
pub(crate) fn required_of(requirements: &[Requirement]) -> Option<&Requirement> {
    requirements.iter().find(|r| r.operator == Operator::In)
}

fn hash_label(key: &str, value: &str) -> u64 {
    let mut hasher = FxHasher::default();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(host: &str) -> Requirement {
        Requirement {
            key: "host".into(),
            operator: Operator::In,
            values: Box::new([host.into()]),
        }
    }

    #[test]
    fn the_smallest_that_is_accepted_is_found_among_those_of_the_node_and_those_of_any() {
        let mut index = NodeLabelIndex::default();
        let labels = |host: &str| [("host", host)].into_iter().collect::<Labels>();
        index.insert(Some(&on("a")), (5, "five".into()), "five");
        index.insert(Some(&on("a")), (3, "three".into()), "three");
        index.insert(Some(&on("b")), (1, "one".into()), "one");
        index.insert(None, (4, "four".into()), "four");
        assert_eq!(index.first(&labels("a"), 0, |_| true), Some(&"three"));
        assert_eq!(index.first(&labels("a"), 4, |_| true), Some(&"four"));
        assert_eq!(index.first(&labels("a"), 0, |o| *o == "five"), Some(&"five"));
        assert_eq!(index.first(&labels("c"), 0, |_| true), Some(&"four"));
        index.remove(Some(&on("a")), &(3, "three".into()));
        index.remove(None, &(4, "four".into()));
        assert_eq!(index.first(&labels("a"), 0, |_| true), Some(&"five"));
        index.remove(Some(&on("a")), &(5, "five".into()));
        index.remove(Some(&on("b")), &(1, "one".into()));
        assert!(index.is_empty() && index.keys.is_empty());
    }
}
