//! Inter-pod affinity judged by cells of nodes instead of node by node: counts are followed, not made anew.

use super::{AFFINITY, ANTI_AFFINITY, ANTI_AFFINITY_OF_PLACED, normalize};
use muster_framework::cells::{ByDomain, Cells, Changes, DomainFilter, DomainScore, Places};
use muster_framework::domains::{DomainCounts, NOWHERE};
use muster_framework::plugin::PodToPlace;
use muster_framework::rejection::{Code, Reason};
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::view::View;

// ---- required terms ----------------------------------------------------------------------------------------------

/// What a required term makes of the pods that it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// There must be some.
    Near,
    /// There must be none.
    Apart,
    /// There must be none, for these say so.
    Barred,
}

/// What a pod needs, what it avoids, and what bars it, in this order.
pub(super) struct RequiredTerms {
    pub(super) terms: Vec<(Rule, DomainCounts)>,
    /// The pod is one of those that it needs itself.
    pub(super) needs_itself: bool,
    /// While there is none that it needs, it may be the first.
    pub(super) is_first: bool,
}

/// Where places are counts, all that matters is whether there are any.
fn any(place: i64, counts: &DomainCounts) -> i64 {
    if counts.is_coarse() { place } else { place.min(1) }
}

impl ByDomain for RequiredTerms {
    fn follow(&mut self, _pod: &PodToPlace<'_>, view: &View<'_>, changes: Changes<'_>, moved: &mut Vec<NodeOrd>) {
        for (_, counts) in &mut self.terms {
            counts.follow(view, changes.nodes, None, moved);
        }
    }

    fn holds(&self, _view: &View<'_>) -> bool {
        true
    }

    fn place(&self, table: &NodeTable, node: NodeOrd, places: &mut Places) {
        let terms = self.terms.iter();
        places.extend(terms.map(|(_, counts)| any(counts.place(table, node), counts)));
    }
}

impl DomainFilter for RequiredTerms {
    fn judge(&mut self) {
        let mut near = self.terms.iter().filter(|(rule, _)| *rule == Rule::Near);
        self.is_first = self.needs_itself && near.all(|(_, counts)| counts.total() == 0);
    }

    fn rejects(&self, place: &[i64]) -> Option<(Code, &'static Reason)> {
        let terms = self.terms.iter().zip(place);
        let mut reasons = terms.filter_map(|((rule, counts), place)| {
            let holds_any = counts.pods_at(*place) > 0;
            match rule {
                Rule::Near if *place == NOWHERE || !(holds_any || self.is_first) => {
                    Some((Code::UnschedulableAndUnresolvable, &AFFINITY))
                }
                Rule::Apart if holds_any => Some((Code::Unschedulable, &ANTI_AFFINITY)),
                Rule::Barred if holds_any => Some((Code::Unschedulable, &ANTI_AFFINITY_OF_PLACED)),
                _ => None,
            }
        });
        reasons.next()
    }
}

// ---- preferred terms ---------------------------------------------------------------------------------------------

/// What pods in the domains of a node are worth.
pub(super) struct PreferredTerms {
    /// With what one pod is worth; those with many domains are counted together in `on_node`.
    pub(super) terms: Vec<(i64, DomainCounts)>,
}

impl PreferredTerms {
    /// What all terms with few domains are worth at a place, and those with many, which is the last number of it.
    fn worth(&self, place: &[i64]) -> i64 {
        let coarse = self.terms.iter().filter(|(_, counts)| counts.is_coarse());
        let coarse = coarse
            .zip(place)
            .map(|((weight, counts), place)| weight * counts.pods_at(*place));
        coarse.sum::<i64>() + place.last().copied().unwrap_or(0)
    }
}

impl ByDomain for PreferredTerms {
    fn follow(&mut self, _pod: &PodToPlace<'_>, view: &View<'_>, changes: Changes<'_>, moved: &mut Vec<NodeOrd>) {
        for (_, counts) in &mut self.terms {
            counts.follow(view, changes.nodes, None, moved);
        }
    }

    fn holds(&self, _view: &View<'_>) -> bool {
        true
    }

    fn place(&self, table: &NodeTable, node: NodeOrd, places: &mut Places) {
        let mut others = 0;
        for (weight, counts) in &self.terms {
            match counts.place(table, node) {
                place if counts.is_coarse() => places.push(place),
                NOWHERE => {}
                pods => others += weight * pods,
            }
        }
        places.push(others);
    }
}

impl DomainScore for PreferredTerms {
    fn score(&self, cells: &Cells<'_>, scores: &mut [i64]) {
        for (cell, place, _) in cells.iter() {
            scores[cell] = self.worth(place);
        }
        normalize(cells.feasible, scores);
    }
}
