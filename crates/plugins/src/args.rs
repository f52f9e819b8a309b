//! Arguments of the plugins (`pluginConfig`), typed and validated by `muster-config`; the defaults are upstream's.
//!
//! Source: `k8s.io/kube-scheduler/config/v1` and `pkg/scheduler/apis/config/v1/defaults.go`.

use muster_framework::Text;
use muster_framework::record::WhenUnsatisfiable;
use muster_framework::selector::{NodeSelectorTerm, PreferredTerm};

/// The arguments of all plugins of one profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginArgs {
    /// `NodeAffinityArgs`.
    pub node_affinity: NodeAffinityArgs,
    /// `NodeResourcesFitArgs`.
    pub node_resources_fit: NodeResourcesFitArgs,
    /// `NodeResourcesBalancedAllocationArgs`.
    pub balanced_allocation: BalancedAllocationArgs,
    /// `PodTopologySpreadArgs`.
    pub pod_topology_spread: PodTopologySpreadArgs,
    /// `InterPodAffinityArgs`.
    pub inter_pod_affinity: InterPodAffinityArgs,
    /// `VolumeBindingArgs`.
    pub volume_binding: VolumeBindingArgs,
}

/// Affinity that the profile adds to every pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeAffinityArgs {
    /// `addedAffinity.requiredDuringSchedulingIgnoredDuringExecution`.
    pub added_required: Option<Box<[NodeSelectorTerm]>>,
    /// `addedAffinity.preferredDuringSchedulingIgnoredDuringExecution`.
    pub added_preferred: Box<[PreferredTerm]>,
}

/// A resource and how much it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceWeight {
    /// `cpu`, `memory`, `ephemeral-storage`, or an extended resource.
    pub name: Text,
    /// 1 to 100.
    pub weight: i64,
}

/// A point of a piecewise linear function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapePoint {
    /// 0 to 100.
    pub utilization: i64,
    /// 0 to 10.
    pub score: i64,
}

/// How `NodeResourcesFit` scores nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StrategyType {
    /// Emptier nodes are better.
    #[default]
    LeastAllocated,
    /// Fuller nodes are better.
    MostAllocated,
    /// By a function of the utilization.
    RequestedToCapacityRatio,
}

fn cpu_and_memory() -> Vec<ResourceWeight> {
    ["cpu", "memory"]
        .map(|name| ResourceWeight {
            name: name.into(),
            weight: 1,
        })
        .into()
}

/// Arguments of `NodeResourcesFit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeResourcesFitArgs {
    /// Extended resources that the filter leaves out.
    pub ignored_resources: Vec<Text>,
    /// Likewise, by what stands before the `/`.
    pub ignored_resource_groups: Vec<Text>,
    /// `scoringStrategy.type`.
    pub strategy: StrategyType,
    /// `scoringStrategy.resources`.
    pub resources: Vec<ResourceWeight>,
    /// `scoringStrategy.requestedToCapacityRatio.shape`, sorted by utilization.
    pub shape: Vec<ShapePoint>,
}

impl Default for NodeResourcesFitArgs {
    fn default() -> Self {
        NodeResourcesFitArgs {
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
            strategy: StrategyType::default(),
            resources: cpu_and_memory(),
            shape: Vec::new(),
        }
    }
}

/// Arguments of `NodeResourcesBalancedAllocation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancedAllocationArgs {
    /// Which resources are balanced; the weights have no effect.
    pub resources: Vec<ResourceWeight>,
}

impl Default for BalancedAllocationArgs {
    fn default() -> Self {
        BalancedAllocationArgs {
            resources: cpu_and_memory(),
        }
    }
}

/// A spread constraint for pods that state none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultConstraint {
    /// By how many pods domains may differ.
    pub max_skew: i32,
    /// The node label whose equal values make a domain.
    pub topology_key: Text,
    /// Hard or soft.
    pub when_unsatisfiable: WhenUnsatisfiable,
}

/// Arguments of `PodTopologySpread`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTopologySpreadArgs {
    /// Constraints for pods that state none: with `defaultingType: System` those that upstream fills in.
    pub default_constraints: Vec<DefaultConstraint>,
    /// `defaultingType` is `System`: nodes without a key count as a domain of their own.
    pub system_defaulted: bool,
}

impl Default for PodTopologySpreadArgs {
    fn default() -> Self {
        let soft = |topology_key: &str, max_skew| DefaultConstraint {
            max_skew,
            topology_key: topology_key.into(),
            when_unsatisfiable: WhenUnsatisfiable::ScheduleAnyway,
        };
        PodTopologySpreadArgs {
            default_constraints: vec![
                soft("kubernetes.io/hostname", 3),
                soft("topology.kubernetes.io/zone", 5),
            ],
            system_defaulted: true,
        }
    }
}

/// Arguments of `InterPodAffinity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterPodAffinityArgs {
    /// How much the required affinity of pods already placed counts for a pod that it selects: 0 to 100.
    pub hard_pod_affinity_weight: i64,
    /// Leave the preferred terms of pods already placed out when the pod has none itself.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArgs {
    fn default() -> Self {
        InterPodAffinityArgs {
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
        }
    }
}

/// Arguments of `VolumeBinding`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeBindingArgs {
    /// How long PreBind waits for volumes to be bound.
    pub bind_timeout_seconds: i64,
    /// How capacity is scored, where storage capacity is scored; sorted by utilization. Empty: upstream's default.
    pub shape: Vec<ShapePoint>,
}

impl Default for VolumeBindingArgs {
    fn default() -> Self {
        VolumeBindingArgs {
            bind_timeout_seconds: 600,
            shape: Vec::new(),
        }
    }
}
