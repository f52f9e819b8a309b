//! Lists that many nodes share, kept once each: what is judged of a list is judged once for all its nodes.

use rustc_hash::FxHashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Distinct lists by id, counted by their nodes.
#[derive(Debug)]
pub(crate) struct Distinct<T> {
    lists: Vec<(Arc<[T]>, u32)>,
    by_content: FxHashMap<Arc<[T]>, u32>,
    free: Vec<u32>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Distinct {
            lists: Vec::new(),
            by_content: FxHashMap::default(),
            free: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Distinct<T> {
    /// The id of a list, with one node more.
    pub(crate) fn acquire(&mut self, list: &[T]) -> u32 {
        if let Some(&id) = self.by_content.get(list) {
            self.lists[id as usize].1 += 1;
            return id;
        }
        let content: Arc<[T]> = list.into();
        let id = match self.free.pop() {
            Some(id) => {
                self.lists[id as usize] = (content.clone(), 1);
                id
            }
            None => {
                self.lists.push((content.clone(), 1));
                (self.lists.len() - 1) as u32
            }
        };
        self.by_content.insert(content, id);
        id
    }

    /// One node less.
    pub(crate) fn release(&mut self, id: u32) {
        let (content, count) = &mut self.lists[id as usize];
        *count -= 1;
        if *count == 0 {
            self.by_content.remove(content);
            *content = Arc::from([]);
            self.free.push(id);
        }
    }

    /// The lists by id; ids that are free have an empty one.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> {
        self.lists.iter().map(|(list, _)| &**list)
    }

    /// The list of an id.
    pub(crate) fn get(&self, id: u32) -> &[T] {
        &self.lists[id as usize].0
    }
}
