//! Spread constraints judged by cells of nodes instead of node by node: counts are followed, not made anew.

use super::{Inclusion, SKEWED, Terms, UNLABELLED, domain_weight, normalize, round};
use muster_framework::cells::{ByDomain, Cells, Changes, DomainFilter, DomainScore, Places};
use muster_framework::domains::{Counted, DomainCounts, NOWHERE};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::PodToPlace;
use muster_framework::rejection::{Code, Reason};
use muster_framework::table::{NodeOrd, NodeTable};
use muster_framework::view::View;

/// The nodes whose pods count for each constraint. None: all that have its key.
#[derive(Default)]
struct Counting(Option<Vec<Option<NodeSet>>>);

impl Counting {
    /// Who counts is said by what nodes say of themselves: pods do not change it.
    fn follow(
        &mut self,
        terms: &[Terms],
        all_keys: bool,
        pod: &PodToPlace<'_>,
        view: &View<'_>,
        changes: Changes<'_>,
    ) -> &[Option<NodeSet>] {
        if changes.records {
            self.0 = None;
        }
        self.0.get_or_insert_with(|| {
            let constraints: Vec<_> = terms.iter().map(|terms| terms.on(view)).collect();
            let inclusion = Inclusion::new(pod, view.table(), &constraints, all_keys);
            constraints
                .iter()
                .map(|constraint| inclusion.nodes(constraint))
                .collect()
        })
    }
}

fn counts_of(terms: &Terms, table: &NodeTable) -> DomainCounts {
    DomainCounts::new(Counted::Selected(terms.selection), terms.column, table)
}

// ---- hard constraints --------------------------------------------------------------------------------------------

/// Constraints that nodes have to meet.
pub(super) struct HardSpread {
    terms: Vec<Terms>,
    counts: Vec<DomainCounts>,
    counting: Counting,
    /// How many pods a domain may hold that the pod joins, by constraint.
    most: Vec<i64>,
}

impl HardSpread {
    pub(super) fn new(terms: Vec<Terms>, table: &NodeTable) -> HardSpread {
        HardSpread {
            counts: terms.iter().map(|terms| counts_of(terms, table)).collect(),
            counting: Counting::default(),
            most: Vec::new(),
            terms,
        }
    }
}

impl ByDomain for HardSpread {
    fn follow(&mut self, pod: &PodToPlace<'_>, view: &View<'_>, changes: Changes<'_>, moved: &mut Vec<NodeOrd>) {
        let counting = self.counting.follow(&self.terms, true, pod, view, changes);
        for (counts, counting) in self.counts.iter_mut().zip(counting) {
            counts.follow(view, changes.nodes, counting.as_ref(), moved);
        }
    }

    fn holds(&self, _view: &View<'_>) -> bool {
        true
    }

    fn place(&self, table: &NodeTable, node: NodeOrd, places: &mut Places) {
        places.extend(self.counts.iter().map(|counts| counts.place(table, node)));
    }
}

impl DomainFilter for HardSpread {
    fn judge(&mut self) {
        self.most.clear();
        for (terms, counts) in self.terms.iter().zip(&self.counts) {
            let (n_domains, fewest) = counts.fewest();
            self.most.push(terms.most(n_domains, fewest));
        }
    }

    fn rejects(&self, place: &[i64]) -> Option<(Code, &'static Reason)> {
        let constraints = self.counts.iter().zip(&self.most).zip(place);
        let mut reasons = constraints.filter_map(|((counts, most), place)| match *place {
            NOWHERE => Some((Code::UnschedulableAndUnresolvable, &UNLABELLED)),
            place if counts.pods_at(place) > *most => Some((Code::Unschedulable, &SKEWED)),
            _ => None,
        });
        reasons.next()
    }
}

// ---- soft constraints --------------------------------------------------------------------------------------------

/// Where a soft constraint counts.
enum SoftCounts {
    /// By domain; these are few.
    Domains(DomainCounts),
    /// On each node, by its ordinal; [`NOWHERE`] without the label.
    OnNode(Vec<i64>),
}

/// Constraints that nodes are preferred by.
pub(super) struct SoftSpread {
    terms: Vec<Terms>,
    counts: Vec<SoftCounts>,
    counting: Counting,
    all_keys: bool,
}

impl SoftSpread {
    /// None: the domains are too many to know which of them feasible nodes are in.
    pub(super) fn new(terms: Vec<Terms>, all_keys: bool, table: &NodeTable) -> Option<SoftSpread> {
        let counts = terms.iter().map(|terms| {
            if terms.by_hostname {
                return Some(SoftCounts::OnNode(Vec::new()));
            }
            let counts = counts_of(terms, table);
            counts.is_coarse().then_some(SoftCounts::Domains(counts))
        });
        let soft = SoftSpread {
            counts: counts.collect::<Option<_>>()?,
            counting: Counting::default(),
            all_keys,
            terms,
        };
        soft.tells_unlabelled(table).then_some(soft)
    }

    /// Where not all keys are needed, nodes without a label share a domain with those whose label is empty: as long as
    /// there are none of these, they are by themselves.
    fn tells_unlabelled(&self, table: &NodeTable) -> bool {
        let has_empty = |terms: &Terms| table.column(terms.column).code_of("").is_some();
        self.all_keys || !self.terms.iter().any(has_empty)
    }

    /// Adds up what the pods in its domains are worth to a cell, in the order of the constraints.
    fn sum(&self, weights: &[f64], place: &[i64]) -> f64 {
        let constraints = self.terms.iter().zip(&self.counts).zip(weights).zip(place);
        constraints.fold(0.0, |sum, (((terms, counts), weight), place)| match (counts, *place) {
            (_, NOWHERE) => sum,
            (SoftCounts::OnNode(_), pods) => sum + terms.credit(pods, *weight),
            (SoftCounts::Domains(counts), place) => sum + terms.credit(counts.pods_at(place), *weight),
        })
    }

    /// The weight of each constraint: it grows with the number of domains that nodes to be scored are in.
    fn weights(&self, cells: &Cells<'_>, scored: &NodeSet) -> Vec<f64> {
        let of_scored = || cells.iter().filter(|(cell, ..)| scored.contains(NodeOrd(*cell as u32)));
        let counts = self.counts.iter().enumerate();
        let n_domains = counts.map(|(at, counts)| match counts {
            SoftCounts::OnNode(_) => of_scored().map(|(.., size)| size).sum(),
            SoftCounts::Domains(_) => {
                let mut places: Vec<i64> = of_scored().map(|(_, place, _)| place[at]).collect();
                places.sort_unstable();
                places.dedup();
                places.len()
            }
        });
        n_domains.map(domain_weight).collect()
    }
}

impl ByDomain for SoftSpread {
    fn follow(&mut self, pod: &PodToPlace<'_>, view: &View<'_>, changes: Changes<'_>, moved: &mut Vec<NodeOrd>) {
        let table = view.table();
        let counting = self.counting.follow(&self.terms, self.all_keys, pod, view, changes);
        for ((terms, counts), counting) in self.terms.iter().zip(&mut self.counts).zip(counting) {
            match counts {
                SoftCounts::Domains(counts) => counts.follow(view, changes.nodes, counting.as_ref(), moved),
                SoftCounts::OnNode(on_node) => {
                    on_node.resize(table.padded_len(), NOWHERE);
                    let (labels, pods) = (table.column(terms.column), view.selected(terms.selection));
                    for node in changes.nodes {
                        let labelled = table.live().contains(*node) && labels.code(*node) != 0;
                        on_node[node.index()] = if labelled { pods.on(*node) } else { NOWHERE };
                    }
                }
            }
        }
    }

    fn holds(&self, view: &View<'_>) -> bool {
        self.tells_unlabelled(view.table())
    }

    fn place(&self, table: &NodeTable, node: NodeOrd, places: &mut Places) {
        places.extend(self.counts.iter().map(|counts| match counts {
            SoftCounts::Domains(counts) => counts.place(table, node),
            SoftCounts::OnNode(on_node) => on_node.get(node.index()).copied().unwrap_or(NOWHERE),
        }));
    }
}

impl DomainScore for SoftSpread {
    fn score(&self, cells: &Cells<'_>, scores: &mut [i64]) {
        let mut scored = cells.feasible.clone();
        if self.all_keys {
            scored.retain(|cell| !(cells.place)(cell.index()).contains(&NOWHERE), |_| {});
        }
        let weights = self.weights(cells, &scored);
        for (cell, place, _) in cells.iter() {
            scores[cell] = if scored.contains(NodeOrd(cell as u32)) {
                round(self.sum(&weights, place))
            } else {
                0
            };
        }
        normalize(&scored, scores);
        let aside = cells
            .iter()
            .filter(|(cell, ..)| !scored.contains(NodeOrd(*cell as u32)));
        aside.for_each(|(cell, ..)| scores[cell] = 0);
    }
}
