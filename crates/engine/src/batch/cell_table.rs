//! The feasible nodes of a verdict, cell by cell, each cell with its best node on top.
//!
//! A node that gets better, worse or another place is put in again, and what stood there before is recognised as stale
//! when it comes to the top: so a change costs the logarithm of the cell, and nothing is searched for.

use muster_framework::cells::Places;
use muster_framework::table::NodeOrd;
use rustc_hash::FxHashMap;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// More cells than this are not kept apart: judging them one by one costs as much as judging nodes.
pub(super) const MAX_CELLS: usize = 1024;
/// The cell of a node that is in none.
const NONE: u32 = u32::MAX;
/// Stale entries that a heap may hold, besides as many as it has nodes.
const SLACK: usize = 64;

/// Too many cells to be kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyCells;

/// A node of a cell. The order is that of the full pass: score, then the hash that breaks ties, then ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// The part of its score that depends on the node alone.
    pub(super) stable: i64,
    pub(super) tie: u64,
    pub(super) node: NodeOrd,
    stamp: u32,
}

/// Where a node is.
#[derive(Debug, Clone, Copy)]
struct Slot {
    cell: u32,
    /// How often it has been put in or taken out: older entries are stale.
    stamp: u32,
    stable: i64,
}

const NOWHERE: Slot = Slot {
    cell: NONE,
    stamp: 0,
    stable: 0,
};

#[derive(Debug)]
struct Cell {
    place: Places,
    size: usize,
    heap: BinaryHeap<Entry>,
}

/// Cells by number, and where each node is.
#[derive(Debug, Default)]
pub(super) struct CellTable {
    cells: Vec<Cell>,
    by_place: FxHashMap<Places, u32>,
    slots: Vec<Slot>,
}

impl CellTable {
    /// The cells of nodes, each with its place, the stable part of its score, and the hash that breaks ties.
    pub(super) fn of(nodes: impl Iterator<Item = (NodeOrd, Places, i64, u64)>) -> Result<CellTable, TooManyCells> {
        let mut table = CellTable::default();
        let mut heaps: Vec<Vec<Entry>> = Vec::new();
        for (node, place, stable, tie) in nodes {
            let cell = table.cell_at(place)?;
            heaps.resize_with(table.cells.len(), Vec::new);
            table.grow(node.index() + 1);
            let slot = &mut table.slots[node.index()];
            (slot.cell, slot.stable) = (cell, stable);
            let stamp = slot.stamp;
            heaps[cell as usize].push(Entry {
                stable,
                tie,
                node,
                stamp,
            });
        }
        for (cell, entries) in table.cells.iter_mut().zip(heaps) {
            cell.size = entries.len();
            cell.heap = BinaryHeap::from(entries);
        }
        Ok(table)
    }

    fn cell_at(&mut self, place: Places) -> Result<u32, TooManyCells> {
        if let Some(&cell) = self.by_place.get(&place) {
            return Ok(cell);
        }
        if self.cells.len() == MAX_CELLS {
            return Err(TooManyCells);
        }
        let cell = self.cells.len() as u32;
        self.by_place.insert(place.clone(), cell);
        self.cells.push(Cell {
            place,
            size: 0,
            heap: BinaryHeap::new(),
        });
        Ok(cell)
    }

    fn grow(&mut self, len: usize) {
        if self.slots.len() < len {
            self.slots.resize(len, NOWHERE);
        }
    }

    /// Puts a node where it belongs now.
    pub(super) fn put(&mut self, node: NodeOrd, place: Places, stable: i64, tie: u64) -> Result<(), TooManyCells> {
        let cell = self.cell_at(place)?;
        self.grow(node.index() + 1);
        let slot = self.slots[node.index()];
        if (slot.cell, slot.stable) == (cell, stable) {
            return Ok(());
        }
        self.take_out(node);
        let slot = &mut self.slots[node.index()];
        (slot.cell, slot.stable) = (cell, stable);
        let stamp = slot.stamp;
        let cell = &mut self.cells[cell as usize];
        cell.size += 1;
        cell.heap.push(Entry {
            stable,
            tie,
            node,
            stamp,
        });
        Ok(())
    }

    /// Takes a node out; it may be in no cell.
    pub(super) fn take_out(&mut self, node: NodeOrd) {
        let Some(slot) = self.slots.get_mut(node.index()).filter(|slot| slot.cell != NONE) else {
            return;
        };
        let at = slot.cell;
        slot.cell = NONE;
        slot.stamp += 1;
        self.cells[at as usize].size -= 1;
        self.sweep(at);
    }

    /// Throws stale entries away before they are too many.
    fn sweep(&mut self, at: u32) {
        let CellTable { cells, slots, .. } = self;
        let cell = &mut cells[at as usize];
        if cell.heap.len() > 2 * cell.size + SLACK {
            cell.heap.retain(|entry| is_current(slots, at, entry));
        }
    }

    /// The stable part of the score of a node that is in a cell.
    pub(super) fn stable(&self, node: NodeOrd) -> Option<i64> {
        let slot = self.slots.get(node.index()).filter(|slot| slot.cell != NONE)?;
        Some(slot.stable)
    }

    /// The cell of a node.
    pub(super) fn cell_of(&self, node: NodeOrd) -> Option<usize> {
        let slot = self.slots.get(node.index()).filter(|slot| slot.cell != NONE)?;
        Some(slot.cell as usize)
    }

    /// The best node of a cell.
    pub(super) fn best(&mut self, at: usize) -> Option<Entry> {
        let CellTable { cells, slots, .. } = self;
        let heap = &mut cells[at].heap;
        loop {
            let top = heap.peek_mut()?;
            if is_current(slots, at as u32, &top) {
                return Some(*top);
            }
            PeekMut::pop(top);
        }
    }

    /// How many cells there are, empty ones among them.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// How many nodes are in a cell.
    pub(super) fn size(&self, cell: usize) -> usize {
        self.cells[cell].size
    }

    /// The place of a cell.
    pub(super) fn place(&self, cell: usize) -> &[i64] {
        &self.cells[cell].place
    }

    /// Whether so many cells are empty that it is better to begin anew.
    pub(super) fn is_worn(&self) -> bool {
        self.cells.len() > 64 && self.cells.iter().filter(|cell| cell.size == 0).count() * 4 > self.cells.len() * 3
    }
}

fn is_current(slots: &[Slot], cell: u32, entry: &Entry) -> bool {
    let slot = &slots[entry.node.index()];
    slot.cell == cell && slot.stamp == entry.stamp
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// The best of each cell is that of a plain map, whatever is put in, moved and taken out.
        #[test]
        fn the_best_node_is_on_top(
            first in prop::collection::vec((0u32..40, 0i64..3, 0i64..5), 0..30),
            steps in prop::collection::vec((0u32..40, prop::option::of((0i64..3, 0i64..5))), 0..400),
        ) {
            let tie = |node: u32| u64::from(node.wrapping_mul(2_654_435_761));
            let mut plain: BTreeMap<u32, (i64, i64)> =
                first.iter().map(|(node, place, stable)| (*node, (*place, *stable))).collect();
            let nodes = plain.iter();
            let nodes = nodes.map(|(n, (place, stable))| (NodeOrd(*n), Places::from_slice(&[*place]), *stable, tie(*n)));
            let mut table = CellTable::of(nodes).unwrap();
            for (node, new) in steps {
                match new {
                    Some((place, stable)) => {
                        table.put(NodeOrd(node), Places::from_slice(&[place]), stable, tie(node)).unwrap();
                        plain.insert(node, (place, stable));
                    }
                    None => {
                        table.take_out(NodeOrd(node));
                        plain.remove(&node);
                    }
                }
                for cell in 0..table.len() {
                    let place = table.place(cell)[0];
                    let members = || plain.iter().filter(|(_, (p, _))| *p == place);
                    let best = members().map(|(node, (_, stable))| (*stable, tie(*node), *node)).max();
                    let top = table.best(cell).map(|top| (top.stable, top.tie, top.node.0));
                    prop_assert_eq!(top, best);
                    prop_assert_eq!(table.size(cell), members().count());
                }
            }
        }
    }
}
