//! Loops over columns of nodes, on several threads where there are so many nodes that it pays.
//!
//! What is read does not change meanwhile, and each range of a column is written by one thread: so the outcome does not
//! depend on how many threads there are, and with fewer nodes than [`PARALLEL_FROM`] no other thread is even woken.

use crate::node_set::{BLOCK_BITS, NodeSet};
use fixedbitset::Block;
use rayon::prelude::*;

/// From so many nodes on, loops are shared out. Measured: docs/performance.md.
pub const PARALLEL_FROM: usize = 1 << 15;
/// So many nodes go to a thread at a time: some 10 µs of work, much more than it takes to hand them over.
const RANGE: usize = 64 * BLOCK_BITS;

/// Scores the blocks that hold one of `nodes`: `score` is told where a block begins and which of its nodes are meant, and
/// writes to the block's part of the column `scores`.
pub fn score_blocks(nodes: &NodeSet, scores: &mut [i64], score: impl Fn(usize, Block, &mut [i64; BLOCK_BITS]) + Sync) {
    score_blocks_from(PARALLEL_FROM, nodes, scores, score);
}

fn score_blocks_from(
    parallel_from: usize,
    nodes: &NodeSet,
    scores: &mut [i64],
    score: impl Fn(usize, Block, &mut [i64; BLOCK_BITS]) + Sync,
) {
    let score_range = |(nth, range): (usize, &mut [i64])| {
        let (blocks, _) = range.as_chunks_mut();
        for (at, block) in blocks.iter_mut().enumerate() {
            let first = nth * RANGE + at * BLOCK_BITS;
            let bits = nodes.block(first);
            if bits != 0 {
                score(first, bits, block);
            }
        }
    };
    if scores.len() < parallel_from {
        scores.chunks_mut(RANGE).enumerate().for_each(score_range);
    } else {
        scores.par_chunks_mut(RANGE).enumerate().for_each(score_range);
    }
}

/// Changes a column, a range at a time.
pub fn change(column: &mut [i64], change: impl Fn(&mut [i64]) + Sync + Send) {
    if column.len() < PARALLEL_FROM {
        change(column);
    } else {
        column.par_chunks_mut(RANGE).for_each(change);
    }
}

/// Changes a column by another one of the same length, a range at a time.
pub fn change_by(column: &mut [i64], other: &[i64], change: impl Fn(&mut [i64], &[i64]) + Sync) {
    if column.len() < PARALLEL_FROM {
        change(column, other);
    } else {
        let ranges = column.par_chunks_mut(RANGE).zip(other.par_chunks(RANGE));
        ranges.for_each(|(range, other)| change(range, other));
    }
}

/// Bits for each block of `nodes` that holds a node, as `keep` gives them for the block that begins there; for others any.
pub(crate) fn bits_of_blocks(blocks: &[Block], keep: impl Fn(usize) -> Block + Sync) -> Vec<Block> {
    let bits = |(at, block): (usize, &Block)| if *block == 0 { 0 } else { keep(at * BLOCK_BITS) };
    let blocks = blocks.par_iter().enumerate().with_min_len(RANGE / BLOCK_BITS);
    blocks.map(bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::NodeOrd;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn threads_make_no_difference(nodes in prop::collection::btree_set(0u32..20_000, 0..300), n_threads in 1usize..5) {
            let nodes: NodeSet = nodes.into_iter().map(NodeOrd).collect();
            let score = |first: usize, bits: Block, block: &mut [i64; BLOCK_BITS]| {
                for node in NodeSet::nodes_of_block(first, bits) {
                    block[node.index() - first] = i64::from(node.0) * 3 + 1;
                }
            };
            let (mut serial, mut parallel) = (vec![0; 20_032], vec![0; 20_032]);
            score_blocks_from(usize::MAX, &nodes, &mut serial, score);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads");
            pool.install(|| score_blocks_from(0, &nodes, &mut parallel, score));
            prop_assert!(nodes.iter().all(|node| serial[node.index()] == i64::from(node.0) * 3 + 1));
            prop_assert_eq!(serial, parallel);
        }
    }
}
