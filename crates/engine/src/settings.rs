//! What an engine is told once, when it is made.

use muster_framework::Text;
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
    /// Breaks ties between equally good nodes: the same seed, the same choices.
    pub seed: u64,
    /// The first wait after a failed attempt.
    pub pod_initial_backoff: Duration,
    /// The longest wait after a failed attempt.
    pub pod_max_backoff: Duration,
    /// How long a pod may lie in the unschedulable section before it is tried again without any event.
    pub pod_max_in_unschedulable: Duration,
}

impl Settings {
    /// The scheduler names that it answers to.
    pub fn scheduler_names(&self) -> impl Iterator<Item = &Text> {
        self.profiles.iter().map(|profile| &profile.scheduler_name)
    }
}
