//! Why nodes fell out, node by node, so that "nothing fits" costs what has changed.

use super::verdict::Asked;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::Filter;
use muster_framework::rejection::{Code, NodeRejection, Reason, Rejections};
use muster_framework::table::NodeOrd;
use smallvec::SmallVec;

/// What one filter has against a node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blame {
    plugin: &'static str,
    code: Code,
    reasons: SmallVec<[Reason; 1]>,
}

/// What filters that read the node and its pods have against nodes.
#[derive(Debug, Default)]
pub(super) struct Blames {
    /// The distinct ones; there are few.
    known: Vec<(Blame, u32)>,
    /// By node, one more than the index into `known`; 0: nothing.
    of_node: Vec<u32>,
}

/// A filter with its name.
pub(super) type Named<'a> = (&'static str, &'a dyn Filter);

impl Blames {
    /// Judges all nodes.
    pub(super) fn of_all(filters: &[Named<'_>], asked: &Asked<'_>) -> Blames {
        let mut blames = Blames::default();
        let mut nodes = asked.view.table().live().clone();
        nodes.grow(asked.view.table().padded_len());
        for rejection in judge(filters, asked, &mut nodes) {
            blames.note(rejection);
        }
        blames
    }

    /// Judges a node again.
    pub(super) fn judge_again(&mut self, filters: &[Named<'_>], asked: &Asked<'_>, node: NodeOrd) {
        let old = self.of_node.get_mut(node.index()).map_or(0, std::mem::take);
        if let Some(old) = old.checked_sub(1) {
            self.known[old as usize].1 -= 1;
        }
        if asked.view.table().live().contains(node) {
            let mut one = NodeSet::with_len(asked.view.table().padded_len());
            one.insert(node);
            for rejection in judge(filters, asked, &mut one) {
                self.note(rejection);
            }
        }
    }

    fn note(&mut self, rejection: NodeRejection) {
        let node = rejection.node.index();
        let blame = Blame {
            plugin: rejection.plugin,
            code: rejection.code,
            reasons: rejection.reasons,
        };
        let at = self.known.iter().position(|(known, _)| *known == blame);
        let at = at.unwrap_or_else(|| {
            self.known.push((blame, 0));
            self.known.len() - 1
        });
        self.known[at].1 += 1;
        if self.of_node.len() <= node {
            self.of_node.resize(node + 1, 0);
        }
        self.of_node[node] = at as u32 + 1;
    }

    /// Tells what the filter `plugin` has against nodes.
    pub(super) fn tell(&self, plugin: &'static str, rejections: &mut Rejections) {
        rejections.begin(plugin);
        let of_plugin = self
            .known
            .iter()
            .filter(|(blame, nodes)| blame.plugin == plugin && *nodes > 0);
        for (blame, nodes) in of_plugin {
            rejections.reject_counted(*nodes, blame.code, &blame.reasons);
        }
    }
}

fn judge(filters: &[Named<'_>], asked: &Asked<'_>, nodes: &mut NodeSet) -> Vec<NodeRejection> {
    let mut rejections = Rejections::detailed();
    for (name, filter) in filters {
        rejections.begin(name);
        filter.filter(asked.pod, asked.view, nodes, &mut rejections);
    }
    rejections.details().to_vec()
}
