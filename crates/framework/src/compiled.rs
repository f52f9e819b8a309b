//! A pod's spec compiled against the node table: names become ordinals once, not once per decision.

use crate::Text;
use crate::record::{PodAffinityTerm, PodSpec};
use crate::resource::ResourceOrd;
use crate::selection::{PodSelector, Selection, SelectionOrd, TermOrd, terms_of};
use crate::selector::{NodeSelectorTerm, Operator, Requirement};
use crate::table::{ColumnOrd, NodeTable};
use rustc_hash::FxHasher;
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};

/// A requirement on a label, with the column that it reads.
#[derive(Debug, Clone)]
pub struct CompiledRequirement {
    /// The column of the key.
    pub column: ColumnOrd,
    /// The requirement.
    pub requirement: Requirement,
}

/// A node selector term; a term that states nothing is not compiled, since it matches nothing.
#[derive(Debug, Clone)]
pub struct CompiledTerm {
    /// Requirements on labels.
    pub labels: Vec<CompiledRequirement>,
    /// Requirements on fields: only `metadata.name` exists, any other field is absent.
    pub fields: Vec<Requirement>,
}

/// Which pods, and by which key they are counted.
#[derive(Debug, Clone, Copy)]
pub struct CompiledPodTerm {
    /// The pods.
    pub selection: SelectionOrd,
    /// The column of the topology key.
    pub column: ColumnOrd,
}

/// Required pod affinity: a node's domains must hold pods that *every* term selects.
#[derive(Debug, Clone)]
pub struct CompiledAffinity {
    /// Pods that every term selects.
    pub selection: SelectionOrd,
    /// The column of each term's topology key.
    pub columns: Vec<ColumnOrd>,
}

/// A compiled spec. Holds columns of the table: give it back with [`CompiledSpec::release`].
#[derive(Debug)]
pub struct CompiledSpec {
    /// What the pod needs of each resource, one pod slot included, zero amounts left out.
    pub needs: SmallVec<[(ResourceOrd, i64); 4]>,
    /// Extended resources that it needs and no node has.
    pub unknown_needs: Vec<Text>,
    /// The node selector: all must hold.
    pub node_selector: Vec<CompiledRequirement>,
    /// Required node affinity: one of the terms must match. None states nothing.
    pub node_affinity: Option<Vec<CompiledTerm>>,
    /// Preferred node affinity: weight and term.
    pub preferred: Vec<(i64, CompiledTerm)>,
    /// Required pod affinity.
    pub affinity: Option<CompiledAffinity>,
    /// Required pod anti-affinity, as the terms of the spec.
    pub anti_affinity: Vec<CompiledPodTerm>,
    /// Preferred pod affinity, and anti-affinity with its weights negated.
    pub preferred_pods: Vec<(i64, CompiledPodTerm)>,
    /// Spread constraints, as those of the spec.
    pub spread: Vec<CompiledPodTerm>,
    /// The terms that the pod brings along when it is placed.
    pub own_terms: Vec<TermOrd>,
    /// A hash of the spec's content: breaks ties, the same for every twin.
    pub content_hash: u64,
    /// A number that no other compiled spec has had.
    pub serial: u64,
    n_resources: usize,
}

impl CompiledSpec {
    /// Compiles `spec` for `table`.
    pub fn compile(spec: &PodSpec, table: &mut NodeTable) -> CompiledSpec {
        let requests = &spec.charge.requests;
        let mut needs: SmallVec<[(ResourceOrd, i64); 4]> = SmallVec::new();
        let mut unknown_needs = Vec::new();
        needs.push((ResourceOrd::PODS, 1));
        needs.push((ResourceOrd::CPU, requests.milli_cpu));
        needs.push((ResourceOrd::MEMORY, requests.memory));
        needs.push((ResourceOrd::EPHEMERAL_STORAGE, requests.ephemeral_storage));
        for (name, amount) in requests.scalars.iter().filter(|(_, amount)| *amount > 0) {
            match table.resource(name) {
                Some(resource) => needs.push((resource, *amount)),
                None => unknown_needs.push(name.clone()),
            }
        }
        needs.retain(|(_, amount)| *amount > 0);
        let node_selector = spec.node_selector.iter().map(|(key, value)| CompiledRequirement {
            column: table.acquire_column(key),
            requirement: Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: Box::new([value.clone()]),
            },
        });
        let node_selector = node_selector.collect();
        let node_affinity = spec.node_affinity.as_ref().map(|terms| {
            terms
                .iter()
                .filter(|term| !term.is_empty())
                .map(|term| CompiledTerm::compile(term, table))
                .collect()
        });
        let preferred = spec.preferred_node_affinity.iter().filter(|p| !p.term.is_empty());
        let preferred = preferred
            .map(|p| (i64::from(p.weight), CompiledTerm::compile(&p.term, table)))
            .collect();
        let affinity = (!spec.affinity.is_empty()).then(|| {
            let columns: Vec<ColumnOrd> = spec
                .affinity
                .iter()
                .map(|t| table.acquire_column(&t.topology_key))
                .collect();
            let selection = table.acquire_selection(Selection::of_terms(&spec.affinity), &columns);
            CompiledAffinity { selection, columns }
        });
        let mut pod_term =
            |term: &PodAffinityTerm| CompiledPodTerm::acquire(Selection::of_terms([term]), &term.topology_key, table);
        let anti_affinity = spec.anti_affinity.iter().map(&mut pod_term).collect();
        let wanted = spec.preferred_affinity.iter().map(|p| (i64::from(p.weight), &p.term));
        let avoided = spec
            .preferred_anti_affinity
            .iter()
            .map(|p| (-i64::from(p.weight), &p.term));
        let preferred_pods = wanted
            .chain(avoided)
            .map(|(weight, term)| (weight, pod_term(term)))
            .collect();
        let spread = spec.spread.iter().map(|constraint| {
            let pods = Selection::of_spread(PodSelector::from(&constraint.pods));
            CompiledPodTerm::acquire(pods, &constraint.pods.topology_key, table)
        });
        let spread = spread.collect();
        let own_terms = terms_of(spec)
            .map(|(kind, term)| table.acquire_term(kind, term))
            .collect();
        let mut hasher = FxHasher::default();
        spec.hash(&mut hasher);
        CompiledSpec {
            affinity,
            anti_affinity,
            preferred_pods,
            spread,
            own_terms,
            needs,
            unknown_needs,
            node_selector,
            node_affinity,
            preferred,
            content_hash: hasher.finish(),
            serial: table.next_compiled(),
            n_resources: table.n_resources(),
        }
    }

    /// Whether the table has learnt of resources since: then compile again.
    pub fn is_stale(&self, table: &NodeTable) -> bool {
        !self.unknown_needs.is_empty() && self.n_resources != table.n_resources()
    }

    /// Gives the columns back.
    pub fn release(self, table: &mut NodeTable) {
        let terms = self
            .node_affinity
            .into_iter()
            .flatten()
            .chain(self.preferred.into_iter().map(|(_, term)| term));
        for requirement in self.node_selector.into_iter().chain(terms.flat_map(|term| term.labels)) {
            table.release_column(requirement.column);
        }
        if let Some(affinity) = self.affinity {
            table.release_selection(affinity.selection);
            affinity
                .columns
                .into_iter()
                .for_each(|column| table.release_column(column));
        }
        let preferred = self.preferred_pods.into_iter().map(|(_, term)| term);
        for term in self.anti_affinity.into_iter().chain(preferred).chain(self.spread) {
            table.release_selection(term.selection);
            table.release_column(term.column);
        }
        self.own_terms.into_iter().for_each(|term| table.release_term(term));
    }
}

impl CompiledPodTerm {
    fn acquire(pods: Selection, topology_key: &Text, table: &mut NodeTable) -> CompiledPodTerm {
        let column = table.acquire_column(topology_key);
        CompiledPodTerm {
            selection: table.acquire_selection(pods, &[column]),
            column,
        }
    }
}

impl CompiledTerm {
    /// Compiles a term that states something.
    pub fn compile(term: &NodeSelectorTerm, table: &mut NodeTable) -> CompiledTerm {
        let labels = term.match_expressions.iter().map(|requirement| CompiledRequirement {
            column: table.acquire_column(&requirement.key),
            requirement: requirement.clone(),
        });
        CompiledTerm {
            labels: labels.collect(),
            fields: term.match_fields.to_vec(),
        }
    }
}
