//! Nodes as the API server writes them, for extenders that are told whole nodes.
//!
//! The engine keeps records, not objects. Only where an extender is not `nodeCacheCapable` is there one of these: the
//! informer of nodes fills it, each node before the engine is told of it.

use crate::extender::without_managed_fields;
use bytes::Bytes;
use muster_framework::Text;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All nodes, by name.
#[derive(Debug, Default)]
pub(crate) struct WholeNodes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    nodes: HashMap<Text, Node>,
    /// Counts lists.
    list: u64,
}

#[derive(Debug)]
struct Node {
    json: Bytes,
    /// The list that was going on, or had been the last, when it was seen.
    list: u64,
}

impl WholeNodes {
    /// A list begins: what is not seen before its end is gone.
    pub(crate) fn list_begun(&self) {
        self.kept().list += 1;
    }

    /// A list has been read to its end.
    pub(crate) fn list_done(&self) {
        let mut kept = self.kept();
        let list = kept.list;
        kept.nodes.retain(|_, node| node.list == list);
    }

    /// A node as it stands now.
    pub(crate) fn put(&self, name: Text, object: &[u8]) {
        let json = without_managed_fields(object);
        let mut kept = self.kept();
        let list = kept.list;
        kept.nodes.insert(name, Node { json, list });
    }

    /// A node was deleted.
    pub(crate) fn remove(&self, name: &str) {
        self.kept().nodes.remove(name);
    }

    /// These nodes; those that are gone meanwhile are left out.
    pub(crate) fn get(&self, names: &[Text]) -> Vec<Bytes> {
        let kept = self.kept();
        names
            .iter()
            .filter_map(|name| kept.nodes.get(name))
            .map(|node| node.json.clone())
            .collect()
    }

    /// Every change is whole before anything could panic.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_ends_leaves_what_it_named() {
        let nodes = WholeNodes::default();
        let names = ["a", "b", "c"].map(Text::from);
        let get = || nodes.get(&names);
        nodes.list_begun();
        nodes.put("a".into(), br#"{"v":1}"#);
        nodes.put("b".into(), br#"{"v":1}"#);
        nodes.list_done();
        nodes.put("c".into(), br#"{"v":1}"#);
        assert_eq!(get().len(), 3);
        nodes.list_begun();
        nodes.put("b".into(), br#"{"v":2}"#);
        assert_eq!(get().len(), 3, "until the list is done nothing is known to be gone");
        // A list that broke off is begun anew.
        nodes.list_begun();
        nodes.put("b".into(), br#"{"v":2}"#);
        nodes.put("c".into(), br#"{"v":2}"#);
        nodes.list_done();
        assert_eq!(get(), [&br#"{"v":2}"#[..], br#"{"v":2}"#]);
        nodes.remove("b");
        assert_eq!(get().len(), 1);
    }
}
