//! A set of nodes as bits, worked on a block at a time.

use crate::ranges::{PARALLEL_FROM, bits_of_blocks};
use crate::table::NodeOrd;
use fixedbitset::{Block, FixedBitSet};

/// How many nodes share a block: columns of the node table are padded to a multiple of it.
pub const BLOCK_BITS: usize = Block::BITS as usize;

/// A set of nodes by ordinal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSet(FixedBitSet);

impl NodeSet {
    /// An empty set for ordinals below `len`.
    pub fn with_len(len: usize) -> NodeSet {
        NodeSet(FixedBitSet::with_capacity(len))
    }

    /// Makes this set equal to `other`, keeping its memory.
    pub fn copy_from(&mut self, other: &NodeSet) {
        self.0.clone_from(&other.0);
    }

    /// Makes room for ordinals below `len`.
    pub fn grow(&mut self, len: usize) {
        self.0.grow(len);
    }

    /// Adds a node.
    pub fn insert(&mut self, node: NodeOrd) {
        self.0.grow_and_insert(node.index());
    }

    /// Takes a node out.
    pub fn remove(&mut self, node: NodeOrd) {
        if node.index() < self.0.len() {
            self.0.remove(node.index());
        }
    }

    /// Whether the node is in.
    pub fn contains(&self, node: NodeOrd) -> bool {
        self.0.contains(node.index())
    }

    /// How many nodes are in.
    pub fn len(&self) -> usize {
        self.0.count_ones(..)
    }

    /// Whether no node is in.
    pub fn is_empty(&self) -> bool {
        self.0.is_clear()
    }

    /// Takes all nodes out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The nodes in the order of their ordinals.
    pub fn iter(&self) -> impl Iterator<Item = NodeOrd> {
        self.0.ones().map(|at| NodeOrd(at as u32))
    }

    /// The blocks that hold a node: the ordinal that each begins at, and the bits of its nodes, lowest first.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, Block)> {
        let blocks = self.0.as_slice().iter().enumerate();
        blocks
            .filter(|(_, bits)| **bits != 0)
            .map(|(at, bits)| (at * BLOCK_BITS, *bits))
    }

    /// The bits of the block that begins at `first`, lowest bit first.
    pub fn block(&self, first: usize) -> Block {
        self.0.as_slice().get(first / BLOCK_BITS).copied().unwrap_or(0)
    }

    /// The nodes that the bits of the block beginning at `first` stand for.
    pub fn nodes_of_block(first: usize, mut bits: Block) -> impl Iterator<Item = NodeOrd> {
        std::iter::from_fn(move || {
            let at = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(NodeOrd((first + at) as u32))
        })
    }

    /// Keeps the nodes for which `keep` has a bit, a block at a time; `removed` is told each node that falls out.
    ///
    /// `keep(first)` gives the bits of the nodes `first .. first + BLOCK_BITS`, lowest bit first. It is asked only for
    /// blocks that still hold a node.
    pub fn retain_blocks(&mut self, keep: impl Fn(usize) -> Block + Sync, removed: impl FnMut(NodeOrd)) {
        if self.0.len() < PARALLEL_FROM {
            return self.retain_bits(|first, _| keep(first), removed);
        }
        let kept = bits_of_blocks(self.0.as_slice(), keep);
        self.retain_bits(|first, _| kept[first / BLOCK_BITS], removed);
    }

    /// Keeps the nodes for which `keep` has a bit, as [`NodeSet::retain_blocks`], and gives those that fell out.
    pub fn split_blocks(&mut self, mut keep: impl FnMut(usize) -> Block) -> NodeSet {
        let mut out = NodeSet::with_len(self.0.len());
        let blocks = self.0.as_mut_slice().iter_mut().zip(out.0.as_mut_slice());
        for (at, (block, out)) in blocks.enumerate().filter(|(_, (block, _))| **block != 0) {
            *out = *block & !keep(at * BLOCK_BITS);
            *block &= !*out;
        }
        out
    }

    /// Keeps the nodes for which `keep` is true; `removed` is told each node that falls out.
    pub fn retain(&mut self, mut keep: impl FnMut(NodeOrd) -> bool, removed: impl FnMut(NodeOrd)) {
        self.retain_bits(
            |first, mut bits| {
                let mut kept = 0;
                while bits != 0 {
                    let bit = bits.trailing_zeros();
                    if keep(NodeOrd((first + bit as usize) as u32)) {
                        kept |= 1 << bit;
                    }
                    bits &= bits - 1;
                }
                kept
            },
            removed,
        );
    }

    /// Keeps, of each block that still holds a node, the bits that `keep(first, bits)` gives.
    fn retain_bits(&mut self, mut keep: impl FnMut(usize, Block) -> Block, mut removed: impl FnMut(NodeOrd)) {
        for (at, block) in self.0.as_mut_slice().iter_mut().enumerate() {
            if *block == 0 {
                continue;
            }
            let first = at * BLOCK_BITS;
            let mut out = *block & !keep(first, *block);
            *block &= !out;
            while out != 0 {
                removed(NodeOrd((first + out.trailing_zeros() as usize) as u32));
                out &= out - 1;
            }
        }
    }
}

impl FromIterator<NodeOrd> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeOrd>>(nodes: I) -> Self {
        let mut set = NodeSet::default();
        nodes.into_iter().for_each(|node| set.insert(node));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn retain_splits_a_set_in_kept_and_removed(nodes in prop::collection::btree_set(0u32..300, 0..80), modulus in 1u32..7) {
            let mut set: NodeSet = nodes.iter().map(|n| NodeOrd(*n)).collect();
            let mut removed = Vec::new();
            set.retain(|n| n.0 % modulus == 0, |n| removed.push(n.0));
            let kept: Vec<u32> = set.iter().map(|n| n.0).collect();
            let (expected, others): (Vec<u32>, Vec<u32>) = nodes.iter().partition(|n| **n % modulus == 0);
            prop_assert_eq!(kept, expected);
            prop_assert_eq!(&removed, &others);
            let mut split: NodeSet = nodes.iter().map(|n| NodeOrd(*n)).collect();
            let bit = |at: usize| usize::from((at as u32).is_multiple_of(modulus));
            let out = split.split_blocks(|first| (0..BLOCK_BITS).fold(0, |bits, at| bits | bit(first + at) << at));
            prop_assert_eq!(split.iter().collect::<Vec<_>>(), set.iter().collect::<Vec<_>>());
            prop_assert_eq!(out.iter().map(|n| n.0).collect::<Vec<_>>(), others);
        }
    }
}
