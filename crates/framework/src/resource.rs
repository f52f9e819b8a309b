//! Amounts of resources: named in records, columns by ordinal in the node table.

use crate::Text;

/// A resource as the ordinal of its column in the node table. The first four are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceOrd(pub u16);

impl ResourceOrd {
    /// CPU in thousandths of a core.
    pub const CPU: ResourceOrd = ResourceOrd(0);
    /// Memory in bytes.
    pub const MEMORY: ResourceOrd = ResourceOrd(1);
    /// Local storage in bytes.
    pub const EPHEMERAL_STORAGE: ResourceOrd = ResourceOrd(2);
    /// Pod slots.
    pub const PODS: ResourceOrd = ResourceOrd(3);
    /// How many ordinals are fixed; extended resources follow.
    pub const FIXED: usize = 4;

    /// The ordinal as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// CPU that a container without a request is taken to use when nodes are *scored*, in thousandths of a core.
/// Source: `pkg/scheduler/util.DefaultMilliCPURequest`.
pub const DEFAULT_MILLI_CPU_REQUEST: i64 = 100;
/// Memory that a container without a request is taken to use when nodes are *scored*, in bytes.
/// Source: `pkg/scheduler/util.DefaultMemoryRequest`.
pub const DEFAULT_MEMORY_REQUEST: i64 = 200 * 1024 * 1024;

/// Whether a resource that is counted is an extended one: not one of Kubernetes' own, like huge pages.
/// Source: `k8s.io/kubernetes/pkg/apis/core/v1/helper.IsExtendedResourceName`.
pub fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

/// Amounts by resource. CPU in thousandths of a core, all others in base units.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct ResourceList {
    /// CPU, thousandths of a core.
    pub milli_cpu: i64,
    /// Memory, bytes.
    pub memory: i64,
    /// Local storage, bytes.
    pub ephemeral_storage: i64,
    /// Extended resources and huge pages, sorted by name.
    pub scalars: Vec<(Text, i64)>,
}

impl ResourceList {
    /// The amount of the extended resource `name`, 0 when it is not listed.
    pub fn scalar(&self, name: &str) -> i64 {
        match self.scalars.binary_search_by(|(n, _)| (**n).cmp(name)) {
            Ok(at) => self.scalars[at].1,
            Err(_) => 0,
        }
    }

    /// Joins every amount of `other` to the same resource here with `combine`; what one side lacks counts as 0.
    pub fn combine(&mut self, other: &ResourceList, combine: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = combine(self.milli_cpu, other.milli_cpu);
        self.memory = combine(self.memory, other.memory);
        self.ephemeral_storage = combine(self.ephemeral_storage, other.ephemeral_storage);
        for (_, amount) in self
            .scalars
            .iter_mut()
            .filter(|(name, _)| other.scalars.iter().all(|(n, _)| n != name))
        {
            *amount = combine(*amount, 0);
        }
        for (name, amount) in &other.scalars {
            match self.scalars.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(at) => self.scalars[at].1 = combine(self.scalars[at].1, *amount),
                Err(at) => self.scalars.insert(at, (name.clone(), combine(0, *amount))),
            }
        }
    }

    /// Adds `other`, saturating.
    pub fn add(&mut self, other: &ResourceList) {
        self.combine(other, i64::saturating_add);
    }

    /// Raises every amount to at least that of `other`.
    pub fn raise_to(&mut self, other: &ResourceList) {
        self.combine(other, i64::max);
    }
}

/// What a pod takes from the node that it is on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Charge {
    /// What is subtracted from the node's allocatable amounts.
    pub requests: ResourceList,
    /// CPU for scoring: containers without a request count [`DEFAULT_MILLI_CPU_REQUEST`].
    pub scoring_milli_cpu: i64,
    /// Memory for scoring: containers without a request count [`DEFAULT_MEMORY_REQUEST`].
    pub scoring_memory: i64,
}

/// What a pod counts for when nodes are scored for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct ScoringRequest {
    /// CPU, thousandths of a core.
    pub milli_cpu: i64,
    /// Memory, bytes.
    pub memory: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combining_keeps_scalars_sorted_and_counts_absent_ones_as_zero() {
        let list = |scalars: &[(&str, i64)]| ResourceList {
            scalars: scalars.iter().map(|(n, a)| (Text::from(*n), *a)).collect(),
            ..ResourceList::default()
        };
        let mut sum = list(&[("b", 1), ("d", 2)]);
        sum.add(&list(&[("a", 5), ("b", 6)]));
        assert_eq!(sum, list(&[("a", 5), ("b", 7), ("d", 2)]));
        sum.raise_to(&list(&[("b", 9), ("c", 1)]));
        assert_eq!(sum, list(&[("a", 5), ("b", 9), ("c", 1), ("d", 2)]));
        assert_eq!((sum.scalar("c"), sum.scalar("z")), (1, 0));
    }
}
