//! What has changed in the node table lately, node by node: whoever has judged all nodes once judges only these again.
//!
//! A position counts the changes that were ever noted. The log keeps the last few thousand of them: who has fallen behind
//! further judges everything anew, which costs less by then.

use crate::table::NodeOrd;

/// How many changes are kept.
const KEPT: u64 = 8192;

/// A node is not what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The node. It may be gone, or another node may have taken its ordinal.
    pub node: NodeOrd,
    /// What the node says of itself has changed, and not only the pods on it.
    pub record: bool,
}

/// The last changes.
#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    /// By position modulo [`KEPT`].
    ring: Vec<Change>,
    position: u64,
}

impl ChangeLog {
    pub(crate) fn note(&mut self, change: Change) {
        let at = (self.position % KEPT) as usize;
        match self.ring.get_mut(at) {
            Some(old) => *old = change,
            None => self.ring.push(change),
        }
        self.position += 1;
    }

    /// How many changes were noted.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The changes from `position` on, oldest first. None: some of them are not kept any more.
    pub(crate) fn since(&self, position: u64) -> Option<impl Iterator<Item = Change>> {
        let kept = self.position.saturating_sub(position) <= KEPT;
        kept.then(|| (position..self.position).map(|at| self.ring[(at % KEPT) as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: u64) -> Change {
        Change {
            node: NodeOrd(at as u32),
            record: at.is_multiple_of(3),
        }
    }

    #[test]
    fn the_last_changes_are_kept_in_order() {
        let mut log = ChangeLog::default();
        for at in 0..KEPT * 2 + 5 {
            log.note(change(at));
        }
        assert_eq!(log.position(), KEPT * 2 + 5);
        let kept: Vec<Change> = log.since(KEPT + 5).unwrap().collect();
        assert_eq!(kept, (KEPT + 5..KEPT * 2 + 5).map(change).collect::<Vec<_>>());
        assert_eq!(log.since(log.position()).unwrap().count(), 0);
        assert!(log.since(KEPT + 4).is_none());
    }
}
