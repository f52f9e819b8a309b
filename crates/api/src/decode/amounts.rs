//! What the containers of a pod ask for, added up to what the pod takes from a node.
//!
//! Source: `k8s.io/component-helpers/resource.PodRequests`, `PodInfo.CalculateResource` of kube-scheduler, and the
//! defaults of the API server (`SetDefaults_Pod`), which objects that never met one lack. Amounts are rounded up per
//! container, where upstream rounds the sum: the difference is below 1m and one byte a container.

use super::intern::intern;
use super::json::{Map, QuantityText};
use super::path::{Path, Problems};
use muster_framework::Text;
use muster_framework::quantity::Quantity;
use muster_framework::resource::{Charge, DEFAULT_MEMORY_REQUEST, DEFAULT_MILLI_CPU_REQUEST, ResourceList};
use serde::Deserialize;

/// Quantities by the names of resources.
pub(super) type ResourceMap<'a> = Map<'a, QuantityText<'a>>;

/// `resources` of a container or of a pod.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ResourcesJson<'a> {
    #[serde(borrow)]
    pub(super) requests: ResourceMap<'a>,
    #[serde(borrow)]
    pub(super) limits: ResourceMap<'a>,
}

/// Sets the amount of the resource `name`.
pub(super) fn apply(list: &mut ResourceList, name: &str, quantity: Quantity) {
    set(list, name, amount_of(name, quantity));
}

/// A quantity in the unit in which a resource is counted: thousandths for CPU.
fn amount_of(name: &str, quantity: Quantity) -> i64 {
    if name == "cpu" {
        quantity.milli_value()
    } else {
        quantity.value()
    }
}

fn set(list: &mut ResourceList, name: &str, amount: i64) {
    match name {
        "cpu" => list.milli_cpu = amount,
        "memory" => list.memory = amount,
        "ephemeral-storage" => list.ephemeral_storage = amount,
        _ => {
            let at = list.scalars.binary_search_by(|(n, _)| (**n).cmp(name));
            // What is not listed is 0: so zeros are not listed, and equal demands are equal.
            match (at, amount) {
                (Ok(at), 0) => drop(list.scalars.remove(at)),
                (Ok(at), _) => list.scalars[at].1 = amount,
                (Err(_), 0) => {}
                (Err(at), _) => list.scalars.insert(at, (intern(name), amount)),
            }
        }
    }
}

/// Amounts that remember whether CPU and memory were stated at all: a stated zero gets no default for scoring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    list: ResourceList,
    states_cpu: bool,
    states_memory: bool,
}

impl Amounts {
    fn set(&mut self, name: &str, amount: i64) {
        set(&mut self.list, name, amount);
        self.states_cpu |= name == "cpu";
        self.states_memory |= name == "memory";
    }

    fn join(&mut self, other: &Amounts, combine: impl Fn(&mut ResourceList, &ResourceList)) {
        combine(&mut self.list, &other.list);
        self.states_cpu |= other.states_cpu;
        self.states_memory |= other.states_memory;
    }

    fn add(&mut self, other: &Amounts) {
        self.join(other, ResourceList::add);
    }

    pub(super) fn raise_to(&mut self, other: &Amounts) {
        self.join(other, ResourceList::raise_to);
    }

    /// With the amounts put in that scoring assumes where none is stated.
    fn with_defaults(&self, defaults: ScoringDefaults) -> Amounts {
        let mut amounts = self.clone();
        if defaults.cpu && !self.states_cpu {
            amounts.set("cpu", DEFAULT_MILLI_CPU_REQUEST);
        }
        if defaults.memory && !self.states_memory {
            amounts.set("memory", DEFAULT_MEMORY_REQUEST);
        }
        amounts
    }

    /// Reads quantities and notes those that are none; pods, which are counted otherwise, are left out.
    pub(super) fn read(resources: &ResourceMap<'_>, path: Path<'_>, problems: &Problems) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, text) in resources.iter().filter(|(name, _)| **name != *"pods") {
            if let Some(amount) = read_amount(name, text, path, problems) {
                amounts.set(name, amount);
            }
        }
        amounts
    }

    /// What a container asks for: its requests, and its limits where it states only those.
    pub(super) fn requested(resources: &ResourcesJson<'_>, path: Path<'_>, problems: &Problems) -> Amounts {
        let mut amounts = Amounts::read(&resources.requests, path.field("requests"), problems);
        let limits = path.field("limits");
        for (name, text) in resources.limits.iter() {
            if **name == *"pods" || resources.requests.get(name).is_some() {
                continue;
            }
            if let Some(amount) = read_amount(name, text, limits, problems) {
                amounts.set(name, amount);
            }
        }
        amounts
    }
}

fn read_amount(name: &str, text: &str, path: Path<'_>, problems: &Problems) -> Option<i64> {
    match Quantity::parse(text) {
        Ok(quantity) if quantity.milli_value() < 0 => {
            problems.add(path.field(name), format_args!("{text:?} is negative"));
            None
        }
        Ok(quantity) => Some(amount_of(name, quantity)),
        Err(problem) => {
            problems.add(path.field(name), problem);
            None
        }
    }
}

/// For which resources containers without a request count the default, in scoring.
#[derive(Clone, Copy)]
struct ScoringDefaults {
    cpu: bool,
    memory: bool,
}

/// When a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// For as long as the pod.
    Main,
    /// From its turn among the init containers for as long as the pod.
    Sidecar,
    /// In its turn, until it is done.
    Init,
}

/// Everything that a pod asks for, not yet added up.
#[derive(Debug, Clone, Default)]
pub(super) struct Demand {
    /// All containers; the init containers among them in their order.
    pub(super) containers: Vec<(Role, Amounts)>,
    /// Requests of the pod as a whole, each instead of what its containers add up to.
    pod_level: Vec<(Text, i64)>,
    overhead: Amounts,
}

impl Demand {
    pub(super) fn new(
        containers: Vec<(Role, Amounts)>,
        pod_level: &ResourcesJson<'_>,
        overhead: &ResourceMap<'_>,
        problems: &Problems,
    ) -> Demand {
        let overhead = Amounts::read(overhead, Path::Root("spec.overhead"), problems);
        let mut demand = Demand {
            containers,
            pod_level: Vec::new(),
            overhead,
        };
        demand.pod_level = demand.pod_level_requests(pod_level, problems);
        demand
    }

    /// Requests of the pod as a whole. Where it states limits, the rest is defaulted as `defaultPodRequests` of the API
    /// server does: from what the containers ask for, else from the limits.
    fn pod_level_requests(&self, resources: &ResourcesJson<'_>, problems: &Problems) -> Vec<(Text, i64)> {
        let path = Path::Root("spec.resources");
        let mut requests = Vec::new();
        read_missing(&mut requests, &resources.requests, path.field("requests"), problems);
        if resources.limits.is_empty() {
            return requests;
        }
        let total = self.aggregate(ScoringDefaults {
            cpu: false,
            memory: false,
        });
        for (name, stated, amount) in [
            ("cpu", total.states_cpu, total.list.milli_cpu),
            ("memory", total.states_memory, total.list.memory),
        ] {
            if stated && !states(&requests, name) {
                requests.push((intern(name), amount));
            }
        }
        read_missing(&mut requests, &resources.limits, path.field("limits"), problems);
        requests
    }

    /// What the pod takes from its node.
    pub(super) fn charge(&self) -> Charge {
        let total = self.total(ScoringDefaults {
            cpu: false,
            memory: false,
        });
        // Upstream: with requests of the pod as a whole, only a resource that nobody states at all gets its defaults.
        let defaults = if self.pod_level.is_empty() {
            ScoringDefaults {
                cpu: true,
                memory: true,
            }
        } else {
            ScoringDefaults {
                cpu: !total.states_cpu,
                memory: !total.states_memory,
            }
        };
        let scoring = self.total(defaults).list;
        Charge {
            scoring_milli_cpu: scoring.milli_cpu,
            scoring_memory: scoring.memory,
            requests: total.list,
        }
    }

    fn total(&self, defaults: ScoringDefaults) -> Amounts {
        let mut total = self.aggregate(defaults);
        for (name, amount) in &self.pod_level {
            total.set(name, *amount);
        }
        total.add(&self.overhead);
        total
    }

    /// The most that the containers use at any time: all that keep running, or an init container in its turn beside the
    /// sidecars that were started before it.
    fn aggregate(&self, defaults: ScoringDefaults) -> Amounts {
        let mut running = Amounts::default();
        let mut sidecars = Amounts::default();
        let mut peak = Amounts::default();
        for (role, amounts) in &self.containers {
            let amounts = amounts.with_defaults(defaults);
            match role {
                Role::Main => running.add(&amounts),
                Role::Sidecar => {
                    running.add(&amounts);
                    sidecars.add(&amounts);
                }
                Role::Init => {
                    let mut turn = sidecars.clone();
                    turn.add(&amounts);
                    peak.raise_to(&turn);
                }
            }
        }
        running.raise_to(&peak);
        running
    }
}

/// Adds those requests of a pod as a whole that are not there yet.
fn read_missing(requests: &mut Vec<(Text, i64)>, map: &ResourceMap<'_>, path: Path<'_>, problems: &Problems) {
    for (name, text) in map.iter().filter(|(name, _)| counts_for_pods(name)) {
        if states(requests, name) {
            continue;
        }
        if let Some(amount) = read_amount(name, text, path, problems) {
            requests.push((intern(name), amount));
        }
    }
}

fn states(requests: &[(Text, i64)], name: &str) -> bool {
    requests.iter().any(|(n, _)| **n == *name)
}

/// Which resources can be requested for a pod as a whole. Source: `resource.IsSupportedPodLevelResource`.
fn counts_for_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amounts(cpu: Option<i64>, memory: Option<i64>, gpus: i64) -> Amounts {
        let mut amounts = Amounts::default();
        if let Some(cpu) = cpu {
            amounts.set("cpu", cpu);
        }
        if let Some(memory) = memory {
            amounts.set("memory", memory);
        }
        amounts.set("example.com/gpu", gpus);
        amounts
    }

    fn some_amounts() -> impl Strategy<Value = Amounts> {
        (prop::option::of(0i64..5_000), prop::option::of(0i64..1 << 34), 0i64..8)
            .prop_map(|(cpu, memory, gpus)| amounts(cpu, memory, gpus))
    }

    fn some_containers(roles: &'static [Role]) -> impl Strategy<Value = Vec<(Role, Amounts)>> {
        prop::collection::vec((prop::sample::select(roles), some_amounts()), 0..6)
    }

    fn charge(containers: Vec<(Role, Amounts)>) -> Charge {
        Demand {
            containers,
            ..Demand::default()
        }
        .charge()
    }

    proptest! {
        #[test]
        fn the_order_of_lasting_containers_is_irrelevant(
            containers in some_containers(&[Role::Main, Role::Sidecar]),
            seed in any::<prop::sample::Index>(),
        ) {
            let mut turned = containers.clone();
            if !turned.is_empty() {
                let by = seed.index(turned.len());
                turned.rotate_left(by);
            }
            prop_assert_eq!(charge(containers), charge(turned));
        }

        #[test]
        fn main_containers_may_stand_anywhere_among_the_others(
            main in some_containers(&[Role::Main]),
            init in some_containers(&[Role::Init, Role::Sidecar]),
        ) {
            let first = main.iter().chain(&init).cloned().collect();
            let last = init.iter().chain(&main).cloned().collect();
            prop_assert_eq!(charge(first), charge(last));
        }

        #[test]
        fn a_pod_never_takes_less_than_any_moment_needs(
            containers in some_containers(&[Role::Main, Role::Sidecar, Role::Init]),
        ) {
            let total = charge(containers.clone());
            let lasting = containers.iter().filter(|(role, _)| *role != Role::Init);
            let sum: i64 = lasting.map(|(_, a)| a.list.milli_cpu).sum();
            prop_assert!(total.requests.milli_cpu >= sum);
            for (_, one) in &containers {
                prop_assert!(total.requests.milli_cpu >= one.list.milli_cpu);
                prop_assert!(total.requests.memory >= one.list.memory);
                prop_assert!(total.requests.scalar("example.com/gpu") >= one.list.scalar("example.com/gpu"));
            }
            prop_assert!(total.scoring_milli_cpu >= total.requests.milli_cpu);
            prop_assert!(total.scoring_memory >= total.requests.memory);
        }

        #[test]
        fn another_container_never_makes_a_pod_smaller(
            containers in some_containers(&[Role::Main, Role::Sidecar, Role::Init]),
            more in some_amounts(),
            role in prop::sample::select(&[Role::Main, Role::Sidecar, Role::Init][..]),
        ) {
            let before = charge(containers.clone());
            let after = charge(containers.into_iter().chain([(role, more)]).collect());
            prop_assert!(before.requests.milli_cpu <= after.requests.milli_cpu);
            prop_assert!(before.requests.memory <= after.requests.memory);
            prop_assert!(before.scoring_milli_cpu <= after.scoring_milli_cpu);
        }
    }

    #[test]
    fn zeros_are_not_listed() {
        let mut list = ResourceList::default();
        set(&mut list, "example.com/gpu", 0);
        assert!(list.scalars.is_empty());
        set(&mut list, "example.com/gpu", 2);
        set(&mut list, "example.com/gpu", 0);
        assert_eq!(list, ResourceList::default());
    }
}
