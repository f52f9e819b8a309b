//! Claims by dense ordinal: what is known of them, who uses them, and what their volumes count as.

use super::ClaimRecord;
use super::attachable::Attachable;
use crate::record::ClaimKey;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A claim as its ordinal. Ordinals of claims that are neither there nor in use are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClaimOrd(u32);

/// What is known of a claim.
#[derive(Debug)]
pub(crate) struct ClaimEntry {
    key: ClaimKey,
    /// The object; None: pods use a claim that is not there.
    pub(crate) record: Option<Arc<ClaimRecord>>,
    /// How often pods on nodes name it.
    pub(crate) n_mentions: u32,
    /// How often pods on nodes name it as `persistentVolumeClaim`, which is the rest of it being an `ephemeral` volume's.
    pub(crate) n_named: u32,
    /// What its volume counts as; None: nothing.
    pub(crate) attachable: Option<Attachable>,
}

/// All claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    entries: Vec<Option<ClaimEntry>>,
    free: Vec<ClaimOrd>,
    by_key: FxHashMap<ClaimKey, ClaimOrd>,
}

impl Claims {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(crate) fn find(&self, key: &ClaimKey) -> Option<ClaimOrd> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn get(&self, ord: ClaimOrd) -> Option<&ClaimEntry> {
        self.entries.get(ord.0 as usize)?.as_ref()
    }

    pub(crate) fn by_key(&self, key: &ClaimKey) -> Option<&ClaimEntry> {
        self.get(self.find(key)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClaimOrd, &ClaimEntry)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(at, entry)| Some((ClaimOrd(at as u32), entry.as_ref()?)))
    }

    /// Changes what is known of a claim by `change`, and forgets the claim when that leaves nothing.
    pub(crate) fn change(&mut self, key: &ClaimKey, change: impl FnOnce(&mut ClaimEntry)) -> ClaimOrd {
        let ord = self.find(key).unwrap_or_else(|| self.create(key));
        let slot = &mut self.entries[ord.0 as usize];
        if let Some(entry) = slot {
            change(entry);
            if entry.record.is_none() && entry.n_mentions == 0 {
                self.by_key.remove(&entry.key);
                *slot = None;
                self.free.push(ord);
            }
        }
        ord
    }

    pub(crate) fn set_attachable(&mut self, ord: ClaimOrd, attachable: Option<Attachable>) {
        if let Some(Some(entry)) = self.entries.get_mut(ord.0 as usize) {
            entry.attachable = attachable;
        }
    }

    fn create(&mut self, key: &ClaimKey) -> ClaimOrd {
        let entry = Some(ClaimEntry {
            key: key.clone(),
            record: None,
            n_mentions: 0,
            n_named: 0,
            attachable: None,
        });
        let ord = match self.free.pop() {
            Some(ord) => {
                self.entries[ord.0 as usize] = entry;
                ord
            }
            None => {
                self.entries.push(entry);
                ClaimOrd((self.entries.len() - 1) as u32)
            }
        };
        self.by_key.insert(key.clone(), ord);
        ord
    }
}
