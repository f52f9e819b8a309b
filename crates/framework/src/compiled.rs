//! A pod's spec compiled against the node table: names become ordinals once, not once per decision.

use crate::Text;
use crate::record::PodSpec;
use crate::resource::ResourceOrd;
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
    /// A hash of the spec's content: breaks ties, the same for every twin.
    pub content_hash: u64,
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
        let mut hasher = FxHasher::default();
        spec.hash(&mut hasher);
        CompiledSpec {
            needs,
            unknown_needs,
            node_selector,
            node_affinity,
            preferred,
            content_hash: hasher.finish(),
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
    }
}

impl CompiledTerm {
    fn compile(term: &NodeSelectorTerm, table: &mut NodeTable) -> CompiledTerm {
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
