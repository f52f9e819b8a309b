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
