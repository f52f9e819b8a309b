//! Pods of one kind, counted by the domains of one label key and kept up to date node by node, on base ⊕ delta.

use crate::node_set::NodeSet;
use crate::selection::{SelectionOrd, TermOrd};
use crate::table::{ColumnOrd, NodeOrd, NodeTable};
use crate::view::{PodCounts, View};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Up to so many domains a node's place is its domain; beyond, it is what is counted there.
const COARSE: usize = 48;

/// The place of a node without the label.
pub const NOWHERE: i64 = -1;

/// Which pods are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Those of a selection.
    Selected(SelectionOrd),
    /// Those that bear a term.
    Bearing(TermOrd),
}

impl Counted {
    fn on<'a>(self, view: &View<'a>) -> PodCounts<'a> {
        match self {
            Counted::Selected(selection) => view.selected(selection),
            Counted::Bearing(term) => view.bearers(term),
        }
    }
}

/// What was counted of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    code: u32,
    counts: bool,
    pods: i64,
}

/// One domain.
#[derive(Debug, Clone, Default)]
struct Domain {
    /// Pods on the nodes that count.
    pods: i64,
    /// Nodes that count.
    nodes: u32,
    /// All nodes, where places are counts.
    members: SmallVec<[NodeOrd; 2]>,
}

/// Pods by domain.
#[derive(Debug)]
pub struct DomainCounts {
    counted: Counted,
    column: ColumnOrd,
    is_coarse: bool,
    seen: Vec<Seen>,
    domains: Vec<Domain>,
    /// Where there are many domains: how many domains with nodes that count have how many pods.
    by_pods: BTreeMap<i64, u32>,
    total: i64,
}

impl DomainCounts {
    /// Counts nothing yet: nodes have to be followed first.
    pub fn new(counted: Counted, column: ColumnOrd, table: &NodeTable) -> DomainCounts {
        DomainCounts {
            counted,
            column,
            is_coarse: table.column(column).n_values() <= COARSE,
            seen: Vec::new(),
            domains: Vec::new(),
            by_pods: BTreeMap::new(),
            total: 0,
        }
    }

    /// Whether there are so few domains that a node's place is its domain, and not what is counted there.
    pub fn is_coarse(&self) -> bool {
        self.is_coarse
    }

    /// Brings the counts of these nodes up to date; `counting` are the nodes whose pods count (None: all). Other nodes of
    /// domains that hold more or less by that are added to `moved`, where places are counts.
    pub fn follow(&mut self, view: &View<'_>, nodes: &[NodeOrd], counting: Option<&NodeSet>, moved: &mut Vec<NodeOrd>) {
        let table = view.table();
        let (codes, pods) = (table.column(self.column), self.counted.on(view));
        for node in nodes {
            let is_live = table.live().contains(*node);
            let code = if is_live { codes.code(*node) } else { 0 };
            let counts = code != 0 && counting.is_none_or(|counting| counting.contains(*node));
            let pods = if counts { pods.on(*node) } else { 0 };
            self.set(*node, Seen { code, counts, pods }, moved);
        }
    }

    fn set(&mut self, node: NodeOrd, new: Seen, moved: &mut Vec<NodeOrd>) {
        if self.seen.len() <= node.index() {
            self.seen.resize(node.index() + 1, Seen::default());
        }
        let old = std::mem::replace(&mut self.seen[node.index()], new);
        if old == new {
            return;
        }
        let codes = [old.code, new.code];
        self.domains.resize(
            self.domains.len().max(old.code.max(new.code) as usize + 1),
            Domain::default(),
        );
        let codes = if codes[0] == codes[1] { &codes[..1] } else { &codes[..] };
        codes.iter().for_each(|code| self.uncount_domain(*code));
        for (seen, sign) in [(old, -1), (new, 1)] {
            let domain = &mut self.domains[seen.code as usize];
            domain.pods += sign * seen.pods;
            self.total += sign * seen.pods;
            if seen.counts {
                domain.nodes = domain.nodes.wrapping_add_signed(sign as i32);
            }
        }
        codes.iter().for_each(|code| self.count_domain(*code));
        if !self.is_coarse {
            self.tell_members(node, old.code, new.code, moved);
        }
    }

    fn uncount_domain(&mut self, code: u32) {
        let Domain { pods, nodes, .. } = self.domains[code as usize];
        if !self.is_coarse
            && code != 0
            && nodes > 0
            && let Some(n) = self.by_pods.get_mut(&pods)
        {
            *n -= 1;
            if *n == 0 {
                self.by_pods.remove(&pods);
            }
        }
    }

    fn count_domain(&mut self, code: u32) {
        let Domain { pods, nodes, .. } = self.domains[code as usize];
        if !self.is_coarse && code != 0 && nodes > 0 {
            *self.by_pods.entry(pods).or_default() += 1;
        }
    }

    fn tell_members(&mut self, node: NodeOrd, old: u32, new: u32, moved: &mut Vec<NodeOrd>) {
        if old != new {
            self.domains[old as usize].members.retain(|member| *member != node);
            if new != 0 {
                self.domains[new as usize].members.push(node);
            }
        }
        for code in [old, new] {
            let members = self.domains[code as usize].members.iter();
            moved.extend(members.filter(|member| **member != node));
        }
    }

    /// The place of a node: the code of its domain, or what is counted there, and [`NOWHERE`] without the label.
    pub fn place(&self, table: &NodeTable, node: NodeOrd) -> i64 {
        match table.column(self.column).code(node) {
            0 => NOWHERE,
            code if self.is_coarse => i64::from(code),
            code => self.domains.get(code as usize).map_or(0, |domain| domain.pods),
        }
    }

    /// How many pods the domain of this place holds.
    pub fn pods_at(&self, place: i64) -> i64 {
        if self.is_coarse {
            let domain = usize::try_from(place).ok().and_then(|code| self.domains.get(code));
            domain.map_or(0, |domain| domain.pods)
        } else {
            place.max(0)
        }
    }

    /// How many domains have nodes that count, and how many pods the one with the fewest holds.
    pub fn fewest(&self) -> (usize, Option<i64>) {
        if self.is_coarse {
            let domains = self.domains.iter().skip(1).filter(|domain| domain.nodes > 0);
            return domains.fold((0, None), |(n, fewest), domain| {
                (
                    n + 1,
                    Some(fewest.map_or(domain.pods, |fewest: i64| fewest.min(domain.pods))),
                )
            });
        }
        let n: u32 = self.by_pods.values().sum();
        (n as usize, self.by_pods.keys().next().copied())
    }

    /// How many pods there are in all domains.
    pub fn total(&self) -> i64 {
        self.total
    }
}
