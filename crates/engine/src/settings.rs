//! What an engine is told once, when it is made.

use muster_framework::Text;
use muster_framework::group::WhenBroken;
use muster_framework::rules::KubeMinor;
use muster_plugins::ProfileSpec;
use std::time::Duration;

/// Settings of an engine. There is no `Default`: whoever makes one decides (`muster-config` has the defaults).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The profiles: each answers to one scheduler name (`spec.schedulerName`).
    pub profiles: Vec<ProfileSpec>,
    /// Whose rules and words are followed, where Kubernetes minors differ.
    pub kube: KubeMinor,
    /// Other processes that have a say, in the order in which they are asked.
    pub extenders: Vec<ExtenderSettings>,
    /// Breaks ties between equally good nodes: the same seed, the same choices.
    pub seed: u64,
    /// The first wait after a failed attempt.
    pub pod_initial_backoff: Duration,
    /// The longest wait after a failed attempt.
    pub pod_max_backoff: Duration,
    /// How long a pod may lie in the unschedulable section before it is tried again without any event.
    pub pod_max_in_unschedulable: Duration,
    /// Whether it leads from the start. If not, it waits to be told, by [`Input::Leadership`](crate::Input::Leadership).
    pub leads: bool,
    /// How gangs are treated.
    pub gangs: GangSettings,
    /// Whether twins are placed by one verdict.
    pub batching: BatchSettings,
}

/// How twins are placed by one verdict. Placements are the same with it and without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    /// If not, every pod takes the full pass.
    pub enabled: bool,
    /// Every so many questions, what a verdict says is held against a full pass; 0: never. In builds with debug assertions
    /// every answer is.
    pub check_every: u32,
}

impl Default for BatchSettings {
    fn default() -> BatchSettings {
        BatchSettings {
            enabled: true,
            check_every: 1024,
        }
    }
}

/// How gangs are treated, where neither the API nor their objects say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GangSettings {
    /// What becomes of the bound members of a gang that has fallen below its `minCount` and cannot be completed.
    pub when_broken: WhenBroken,
    /// How long such a gang has to become whole again, by replacements that are made and find a place, before its bound
    /// members are evicted (with [`WhenBroken::Evict`]).
    pub broken_grace: Duration,
    /// Whether members that have succeeded count towards `minCount` while their pods exist. Upstream does not count them.
    pub succeeded_count: bool,
}

impl Default for GangSettings {
    fn default() -> GangSettings {
        GangSettings {
            when_broken: WhenBroken::Keep,
            broken_grace: Duration::from_secs(60),
            succeeded_count: true,
        }
    }
}

/// What the engine knows of an extender. How it is reached is the driver's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtenderSettings {
    /// How messages name it: its URL.
    pub name: Text,
    /// It narrows the nodes.
    pub filters: bool,
    /// It scores nodes.
    pub prioritizes: bool,
    /// It binds the pods that it has a say in.
    pub binds: bool,
    /// How much its scores count.
    pub weight: i64,
    /// Pods are scheduled without it when it cannot be reached.
    pub ignorable: bool,
    /// It has a say only in pods that ask for one of these. Empty: in all.
    pub managed_resources: Vec<Text>,
    /// How long a question may take.
    pub timeout: Duration,
}

impl Settings {
    /// The scheduler names that it answers to.
    pub fn scheduler_names(&self) -> impl Iterator<Item = &Text> {
        self.profiles.iter().map(|profile| &profile.scheduler_name)
    }
}
