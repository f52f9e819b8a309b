//! Resources by which nodes are scored: columns of what nodes have and what is used of it, and what a pod would add.

use crate::Text;
use crate::lanes::{self, Lanes};
use crate::node_set::BLOCK_BITS;
use crate::plugin::PodToPlace;
use crate::resource::ResourceOrd;
use crate::table::NodeOrd;
use crate::view::View;

/// What pods are taken to use of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// What they ask for.
    Requested,
    /// For CPU and memory, containers without a request count [`crate::resource::DEFAULT_MILLI_CPU_REQUEST`] and
    /// [`crate::resource::DEFAULT_MEMORY_REQUEST`].
    WithDefaults,
}

/// A resource by which nodes are scored.
#[derive(Debug, Clone, Copy)]
pub struct ScoredResource<'a> {
    resource: ResourceOrd,
    counted: Counted,
    allocatable: &'a [i64],
    hundred_by_allocatable: &'a [f64],
    used: &'a [i64],
    /// What the pod would add.
    pub wanted: i64,
    /// How much the resource counts.
    pub weight: i64,
}

impl<'a> ScoredResource<'a> {
    /// The resource `name` for a pod. None where nodes are not scored by it: an extended resource that the pod does not
    /// ask for, or that no node has.
    ///
    /// Source: `pkg/scheduler/framework/plugins/noderesources.resourceAllocationScorer.calculateResourceAllocatableRequest`.
    pub fn new(
        name: &str,
        weight: i64,
        counted: Counted,
        pod: &PodToPlace<'_>,
        view: &View<'a>,
    ) -> Option<ScoredResource<'a>> {
        let (table, charge) = (view.table(), &pod.spec.charge);
        let wanted = match counted {
            Counted::Requested => [charge.requests.milli_cpu, charge.requests.memory],
            Counted::WithDefaults => {
                let request = pod.spec.scoring_request();
                [request.milli_cpu, request.memory]
            }
        };
        let (resource, wanted) = match name {
            "cpu" => (ResourceOrd::CPU, wanted[0]),
            "memory" => (ResourceOrd::MEMORY, wanted[1]),
            "ephemeral-storage" => (ResourceOrd::EPHEMERAL_STORAGE, charge.requests.ephemeral_storage),
            name => match charge.requests.scalar(name) {
                0 => return None,
                wanted => (table.resource(name)?, wanted),
            },
        };
        let used = match counted {
            Counted::WithDefaults if resource == ResourceOrd::CPU => table.scoring_columns()[0],
            Counted::WithDefaults if resource == ResourceOrd::MEMORY => table.scoring_columns()[1],
            _ => table.requested(resource),
        };
        Some(ScoredResource {
            resource,
            counted,
            allocatable: table.allocatable(resource),
            hundred_by_allocatable: table.hundred_by_allocatable(resource),
            used,
            wanted,
            weight,
        })
    }

    /// What a node has, and what is used of it without the pod, on base ⊕ delta.
    pub fn on_node(&self, view: &View<'_>, node: NodeOrd) -> (i64, i64) {
        let used = match (self.counted, self.resource) {
            (Counted::WithDefaults, ResourceOrd::CPU) => view.scoring_requested(node)[0],
            (Counted::WithDefaults, ResourceOrd::MEMORY) => view.scoring_requested(node)[1],
            _ => view.requested(node, self.resource),
        };
        (self.allocatable[node.index()], used)
    }

    /// The same resource with another weight.
    pub fn with_weight(self, weight: i64) -> ScoredResource<'a> {
        ScoredResource { weight, ..self }
    }

    /// The columns for the block that begins at `first`, going by the base alone.
    pub fn block(&self, first: usize) -> ScoredBlock<'a> {
        ScoredBlock {
            allocatable: lanes::block(self.allocatable, first).unwrap_or(&[0; BLOCK_BITS]),
            hundred_by_allocatable: lanes::block(self.hundred_by_allocatable, first).unwrap_or(&[0.0; BLOCK_BITS]),
            used: lanes::block(self.used, first).unwrap_or(&[0; BLOCK_BITS]),
        }
    }
}

/// The part of a resource's columns that holds a block of nodes.
#[derive(Debug, Clone, Copy)]
pub struct ScoredBlock<'a> {
    /// What the nodes have.
    pub allocatable: &'a [i64; BLOCK_BITS],
    /// 100 divided by that; 0 where it is 0.
    pub hundred_by_allocatable: &'a Lanes,
    /// What is used without the pod.
    pub used: &'a [i64; BLOCK_BITS],
}

/// Whether the pod asks for none of these resources.
///
/// Source: `pkg/scheduler/framework/plugins/noderesources.resourceAllocationScorer.isBestEffortPod`.
pub fn asks_for_none<'n>(pod: &PodToPlace<'_>, mut names: impl Iterator<Item = &'n Text>) -> bool {
    let requests = &pod.spec.charge.requests;
    names.all(|name| {
        let wanted = match &**name {
            "cpu" => requests.milli_cpu,
            "memory" => requests.memory,
            "ephemeral-storage" => requests.ephemeral_storage,
            name => requests.scalar(name),
        };
        wanted == 0
    })
}
