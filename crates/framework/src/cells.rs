//! Cells: nodes that plugins which count pods by domain cannot tell apart, and what such plugins say of them.
//!
//! A plugin that counts by domain gives each node a *place*: a few numbers, such as the code of its zone, or how many pods
//! it counts on the node itself. Nodes with the same places for all plugins of a profile are one cell. Whatever the plugin
//! says of a node it says of the whole cell, so it is asked once per cell, and there are tens of these, not thousands.
//!
//! It follows the counts node by node: told which nodes have changed, it says which others have got another place by that.

use crate::node_set::NodeSet;
use crate::plugin::PodToPlace;
use crate::rejection::{Code, Reason};
use crate::table::{NodeOrd, NodeTable};
use crate::view::View;
use smallvec::SmallVec;

/// The places of a node for several plugins, one after the other.
pub type Places = SmallVec<[i64; 8]>;

/// Nodes that have changed since the last time.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// The nodes, each once. Some may be gone.
    pub nodes: &'a [NodeOrd],
    /// Some of them say something else of themselves.
    pub records: bool,
}

/// What a plugin knows of the domains of nodes, for one pod and its twins.
pub trait ByDomain: Send {
    /// Brings the counts up to date. Nodes that have not changed themselves, but have another place now, are added to
    /// `moved`; some may be added twice, or have the place that they had.
    fn follow(&mut self, pod: &PodToPlace<'_>, view: &View<'_>, changes: Changes<'_>, moved: &mut Vec<NodeOrd>);

    /// Whether it still speaks of all that there is. If not, it has to be made anew.
    fn holds(&self, view: &View<'_>) -> bool;

    /// Adds the place of a node: always as many numbers.
    fn place(&self, table: &NodeTable, node: NodeOrd, places: &mut Places);
}

/// A filter by domain.
pub trait DomainFilter: ByDomain {
    /// Makes up its mind about the counts as they are.
    fn judge(&mut self);

    /// Why nodes at this place are rejected. None: they are not.
    fn rejects(&self, place: &[i64]) -> Option<(Code, &'static Reason)>;
}

/// The cells to be scored: those that no filter rejects.
pub struct Cells<'a> {
    /// The cells by number, as a set.
    pub feasible: &'a NodeSet,
    /// The place of each cell, by number.
    pub place: &'a dyn Fn(usize) -> &'a [i64],
    /// How many nodes each cell has, by number.
    pub size: &'a dyn Fn(usize) -> usize,
}

impl<'a> Cells<'a> {
    /// The cells with their places and sizes.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &'a [i64], usize)> {
        let cells = self.feasible.iter().map(NodeOrd::index);
        cells.map(|cell| (cell, (self.place)(cell), (self.size)(cell)))
    }
}

/// A score by domain.
pub trait DomainScore: ByDomain {
    /// Writes the score of each feasible cell, normalised, at its number in `scores`.
    fn score(&self, cells: &Cells<'_>, scores: &mut [i64]);
}
