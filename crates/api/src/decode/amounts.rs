//! What the containers of a pod ask for, added up to what the pod takes from a node.
//!
//! Source: `k8s.io/component-helpers/resource.PodRequests` of each minor, `PodInfo.CalculateResource` and
//! `resourceAllocationScorer.calculatePodResourceRequest` of kube-scheduler, and the defaults of the API server
//! (`SetDefaults_Pod`), which objects that never met one lack. As upstream, quantities are added up exactly, and the sum
//! is rounded up.

use super::brief;
use super::intern::intern;
use super::json::{Map, QuantityText, Str};
use super::names::is_scalar_resource;
use super::path::{Path, Problems};
use muster_framework::quantity::Quantity;
use muster_framework::resource::{
    Charge, DEFAULT_MEMORY_REQUEST, DEFAULT_MILLI_CPU_REQUEST, ResourceList, ScoringRequest,
};
use muster_framework::rules::KubeMinor;
use serde::Deserialize;

/// Quantities by the names of resources.
pub(super) type ResourceMap<'a> = Map<'a, QuantityText<'a>>;

/// One of them.
pub(super) type Stated<'a> = (Str<'a>, QuantityText<'a>);

/// `resources` of a container or of a pod.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ResourcesJson<'a> {
    #[serde(borrow)]
    pub(super) requests: Option<ResourceMap<'a>>,
    #[serde(borrow)]
    pub(super) limits: Option<ResourceMap<'a>>,
}

impl<'a> ResourcesJson<'a> {
    /// The requests; without any, none is stated.
    pub(super) fn requests(&self) -> &[Stated<'a>] {
        self.requests.as_deref().unwrap_or_default()
    }

    fn limits(&self) -> &[Stated<'a>] {
        self.limits.as_deref().unwrap_or_default()
    }
}

/// Sets the amount of the resource `name`.
pub(super) fn apply(list: &mut ResourceList, name: &str, quantity: Quantity) {
    match name {
        "cpu" => list.milli_cpu = quantity.milli_value(),
        "memory" => list.memory = quantity.value(),
        "ephemeral-storage" => list.ephemeral_storage = quantity.value(),
        _ if !is_scalar_resource(name) => {}
        _ => {
            let amount = quantity.value();
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

/// Quantities as they are stated, by resource: a stated zero is something else than nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Requests<'s>(Vec<(&'s str, Quantity)>);

impl<'s> Requests<'s> {
    fn get(&self, name: &str) -> Option<Quantity> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, quantity)| *quantity)
    }

    fn states(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn set(&mut self, name: &'s str, quantity: Quantity) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, known)) => *known = quantity,
            None => self.0.push((name, quantity)),
        }
    }

    fn join(&mut self, other: &Requests<'s>, combine: impl Fn(Quantity, Quantity) -> Quantity) {
        for (name, quantity) in &other.0 {
            let joined = self.get(name).map_or(*quantity, |known| combine(known, *quantity));
            self.set(name, joined);
        }
    }

    fn add(&mut self, other: &Requests<'s>) {
        self.join(other, Quantity::plus);
    }

    fn raise_to(&mut self, other: &Requests<'s>) {
        self.join(other, Quantity::max);
    }

    /// States what is stated nowhere yet.
    fn complete_with(&mut self, defaults: &Requests<'s>) {
        for (name, quantity) in &defaults.0 {
            if !self.states(name) {
                self.0.push((name, *quantity));
            }
        }
    }

    /// What `keep` lets through.
    fn filtered(mut self, keep: impl Fn(&str) -> bool) -> Requests<'s> {
        self.0.retain(|(name, _)| keep(name));
        self
    }

    /// Reads quantities and notes those that are none, or negative.
    pub(super) fn read<'a: 's>(
        resources: impl IntoIterator<Item = &'s Stated<'a>>,
        path: Path<'_>,
        problems: &Problems,
    ) -> Requests<'s> {
        let mut requests = Requests::default();
        for (name, text) in resources {
            match Quantity::parse(text) {
                Ok(quantity) if quantity.is_negative() => {
                    problems.add(path.field(name), format_args!("{:?} is negative", brief(text)));
                }
                Ok(quantity) => requests.set(name, quantity),
                Err(problem) => problems.add(path.field(name), problem),
            }
        }
        requests
    }

    /// What a container asks for: its requests, and its limits where it states only those.
    pub(super) fn of_container(resources: &'s ResourcesJson<'_>, path: Path<'_>, problems: &Problems) -> Requests<'s> {
        let stated = |name: &str| resources.requests().iter().any(|(n, _)| **n == *name);
        let missing = resources.limits().iter().filter(|(name, _)| !stated(name));
        let mut requests = Requests::read(resources.requests(), path.field("requests"), problems);
        requests.complete_with(&Requests::read(missing, path.field("limits"), problems));
        requests
    }

    fn list(&self) -> ResourceList {
        let mut list = ResourceList::default();
        for (name, quantity) in &self.0 {
            apply(&mut list, name, *quantity);
        }
        list
    }

    fn milli_cpu(&self) -> i64 {
        self.get("cpu").unwrap_or_default().milli_value()
    }

    fn memory(&self) -> i64 {
        self.get("memory").unwrap_or_default().value()
    }
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

/// What a kubelet reports of a container, or of a pod as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Reported<'s> {
    /// `resources` is there.
    pub(super) states_resources: bool,
    /// `resources.requests`: what is in force.
    pub(super) actuated: Option<Requests<'s>>,
    /// `allocatedResources`: what the node has granted.
    pub(super) allocated: Option<Requests<'s>>,
}

/// A container and what it asks for.
#[derive(Debug, Clone)]
pub(super) struct ContainerDemand<'s> {
    pub(super) role: Role,
    pub(super) spec: Requests<'s>,
    /// None: nothing is reported of it.
    pub(super) reported: Option<Reported<'s>>,
}

/// Everything that a pod asks for and is reported to have, not yet added up.
#[derive(Debug, Clone, Default)]
pub(super) struct Demand<'s> {
    /// All containers; the init containers among them in their order.
    pub(super) containers: Vec<ContainerDemand<'s>>,
    /// Requests of the pod as a whole, each instead of what its containers add up to.
    pub(super) pod_level: Requests<'s>,
    pub(super) overhead: Requests<'s>,
    /// What is reported of the pod as a whole.
    pub(super) reported: Reported<'s>,
    /// The node has said that it can never do the resize that the spec asks for.
    pub(super) resize_is_infeasible: bool,
}

/// What is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// The spec alone: of a pod that is to be placed.
    Spec,
    /// The spec and what is reported, by the rules of a minor: of a pod on a node.
    Placed(KubeMinor),
}

impl<'s> Demand<'s> {
    /// Takes up requests of the pod as a whole. Where it states limits, the rest is defaulted as `defaultPodRequests` of the
    /// API server does: from what the containers ask for, else from the limits.
    pub(super) fn set_pod_level(&mut self, resources: &'s ResourcesJson<'_>, problems: &Problems) {
        let path = Path::Root("spec.resources");
        let requests = Requests::read(resources.requests(), path.field("requests"), problems);
        self.pod_level = requests.filtered(counts_for_pods);
        if resources.limits().is_empty() {
            return;
        }
        let total = self.aggregate(&Requests::default(), |container| container.spec.clone());
        // Huge pages cannot be overcommitted, and have their limit for a request anyway.
        let defaults = total.filtered(|name| matches!(name, "cpu" | "memory"));
        self.pod_level.complete_with(&defaults);
        let limits = Requests::read(resources.limits(), path.field("limits"), problems);
        self.pod_level.complete_with(&limits.filtered(counts_for_pods));
    }

    /// What the pod asks for when it is placed.
    pub(super) fn charge(&self) -> Charge {
        self.charge_on(Basis::Spec)
    }

    /// What the pod takes from the node that it is on: what is asked for, granted and in force differ during a resize.
    pub(super) fn charge_on_node(&self, minor: KubeMinor) -> Charge {
        let nothing_reported = self.containers.iter().all(|container| container.reported.is_none())
            && !self.reported.states_resources
            && !self.resize_is_infeasible;
        self.charge_on(if nothing_reported {
            Basis::Spec
        } else {
            Basis::Placed(minor)
        })
    }

    /// What the pod counts for when nodes are scored for it, where that is not what its charge says: every container has
    /// its defaults, and what the pod states for itself is overlooked, since the scorer of NodeResourcesFit is never told
    /// to look at it.
    /// Source: `resourceAllocationScorer.calculatePodResourceRequest`, and `NewFit`, which leaves `enablePodLevelResources`
    /// of its scorer unset.
    pub(super) fn scoring_request(&self) -> Option<ScoringRequest> {
        if self.pod_level.0.is_empty() {
            return None;
        }
        let mut total = self.aggregate(&defaults(|_| true), |container| container.spec.clone());
        total.add(&self.overhead);
        let request = ScoringRequest {
            milli_cpu: total.milli_cpu(),
            memory: total.memory(),
        };
        let charge = self.charge();
        let same = request.milli_cpu == charge.scoring_milli_cpu && request.memory == charge.scoring_memory;
        (!same).then_some(request)
    }

    /// Source: `PodInfo.CalculateResource` and `getNonMissingContainerRequests`. Where the pod states requests of its own,
    /// only a resource that nobody states at all gets its defaults.
    fn charge_on(&self, basis: Basis) -> Charge {
        let total = self.total(basis, &Requests::default());
        let defaults = defaults(|name| self.pod_level.0.is_empty() || !total.states(name));
        let scoring = self.total(basis, &defaults);
        Charge {
            scoring_milli_cpu: scoring.milli_cpu(),
            scoring_memory: scoring.memory(),
            requests: total.list(),
        }
    }

    /// Source: `resource.PodRequests`.
    fn total(&self, basis: Basis, defaults: &Requests<'s>) -> Requests<'s> {
        let mut total = match basis {
            Basis::Spec => self.aggregate(defaults, |container| container.spec.clone()),
            Basis::Placed(minor) if minor < KubeMinor::V1_37 => {
                self.aggregate(defaults, |container| self.effective(container))
            }
            Basis::Placed(_) => self.aggregate_by_state(defaults),
        };
        if !self.pod_level.0.is_empty() {
            for (name, quantity) in self.effective_pod_level(basis).0 {
                total.set(name, quantity);
            }
        }
        total.add(&self.overhead);
        total
    }

    /// The most that the containers use at any time: all that keep running, or an init container in its turn beside the
    /// sidecars that were started before it. Source: `resource.AggregateContainerRequests`.
    fn aggregate(
        &self,
        defaults: &Requests<'s>,
        requests_of: impl Fn(&ContainerDemand<'s>) -> Requests<'s>,
    ) -> Requests<'s> {
        let mut running = Requests::default();
        let mut sidecars = Requests::default();
        let mut peak = Requests::default();
        for container in &self.containers {
            let mut requests = requests_of(container);
            requests.complete_with(defaults);
            match container.role {
                Role::Main => running.add(&requests),
                Role::Sidecar => {
                    running.add(&requests);
                    sidecars.add(&requests);
                }
                Role::Init => {
                    requests.add(&sidecars);
                    peak.raise_to(&requests);
                }
            }
        }
        running.raise_to(&peak);
        running
    }

    /// Up to 1.36, per container that reports its resources: the most of what it asks for, has and was granted.
    /// Source: `determineEffectiveRequests`.
    fn effective(&self, container: &ContainerDemand<'s>) -> Requests<'s> {
        match &container.reported {
            Some(reported) if reported.states_resources && container.role != Role::Init => {
                self.most(&container.spec, reported)
            }
            _ => container.spec.clone(),
        }
    }

    /// The most of what is asked for, in force and granted; without what is asked for if the node can never do it.
    fn most(&self, spec: &Requests<'s>, reported: &Reported<'s>) -> Requests<'s> {
        let mut most = if self.resize_is_infeasible {
            Requests::default()
        } else {
            spec.clone()
        };
        for state in [&reported.actuated, &reported.allocated].into_iter().flatten() {
            most.raise_to(state);
        }
        most
    }

    /// From 1.37 on: what is asked for, granted and in force is added up each by itself, and the most of the three sums
    /// counts. What is not reported of a container is what it has otherwise.
    /// Source: `AggregateContainerRequests`, `containerAllocatedRequests`, `containerActuatedRequests` of 1.37.
    fn aggregate_by_state(&self, defaults: &Requests<'s>) -> Requests<'s> {
        let fallback = |container: &ContainerDemand<'s>| {
            if self.resize_is_infeasible {
                Requests::default()
            } else {
                container.spec.clone()
            }
        };
        let allocated_of = |container: &ContainerDemand<'s>| {
            let allocated = container.reported.as_ref().and_then(|r| r.allocated.clone());
            allocated.unwrap_or_else(|| fallback(container))
        };
        let actuated_of = |container: &ContainerDemand<'s>| {
            let actuated = container.reported.as_ref().and_then(|r| r.actuated.clone());
            actuated.unwrap_or_else(|| allocated_of(container))
        };
        let states = match (&self.reported.allocated, &self.reported.actuated) {
            (Some(allocated), Some(actuated)) => [allocated.clone(), actuated.clone()],
            _ => [
                self.aggregate(defaults, allocated_of),
                self.aggregate(defaults, actuated_of),
            ],
        };
        let mut most = if self.resize_is_infeasible {
            Requests::default()
        } else {
            self.aggregate(defaults, |container| container.spec.clone())
        };
        for state in &states {
            most.raise_to(state);
        }
        most
    }

    /// Requests of the pod as a whole. On a node they may be resized too from 1.36 on (InPlacePodLevelResourcesVerticalScaling):
    /// in 1.36 only resources that the spec states count, from 1.37 on all that are reported.
    /// Source: `resource.PodRequests` and `effectivePodLevelResources`.
    fn effective_pod_level(&self, basis: Basis) -> Requests<'s> {
        let minor = match basis {
            Basis::Placed(minor) if self.reported.states_resources => minor,
            _ => return self.pod_level.clone(),
        };
        if minor < KubeMinor::V1_36 {
            return self.pod_level.clone();
        }
        let most = self.most(&self.pod_level, &self.reported);
        if minor >= KubeMinor::V1_37 {
            return most.filtered(counts_for_pods);
        }
        let stated = self.pod_level.0.iter();
        let effective = stated.map(|(name, _)| (*name, most.get(name).unwrap_or_default()));
        Requests(effective.collect())
    }
}

/// What a container without a request is taken to use, in scoring.
fn defaults(wanted: impl Fn(&str) -> bool) -> Requests<'static> {
    let all = [
        ("cpu", Quantity::millis(DEFAULT_MILLI_CPU_REQUEST)),
        ("memory", Quantity::units(DEFAULT_MEMORY_REQUEST)),
    ];
    Requests(all.into_iter().filter(|(name, _)| wanted(name)).collect())
}

/// Which resources can be requested for a pod as a whole. Source: `resource.IsSupportedPodLevelResource`.
fn counts_for_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests(cpu: Option<i64>, memory: Option<i64>, gpus: i64) -> Requests<'static> {
        let mut requests = Requests::default();
        if let Some(cpu) = cpu {
            requests.set("cpu", Quantity::millis(cpu));
        }
        if let Some(memory) = memory {
            requests.set("memory", Quantity::units(memory));
        }
        requests.set("example.com/gpu", Quantity::units(gpus));
        requests
    }

    fn some_requests() -> impl Strategy<Value = Requests<'static>> {
        (prop::option::of(0i64..5_000), prop::option::of(0i64..1 << 34), 0i64..8)
            .prop_map(|(cpu, memory, gpus)| requests(cpu, memory, gpus))
    }

    type Containers = Vec<(Role, Requests<'static>)>;

    fn some_containers(roles: &'static [Role]) -> impl Strategy<Value = Containers> {
        prop::collection::vec((prop::sample::select(roles), some_requests()), 0..6)
    }

    fn demand(containers: Containers) -> Demand<'static> {
        let containers = containers.into_iter().map(|(role, spec)| ContainerDemand {
            role,
            spec,
            reported: None,
        });
        Demand {
            containers: containers.collect(),
            ..Demand::default()
        }
    }

    fn charge(containers: Containers) -> Charge {
        demand(containers).charge()
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
            let sum: i64 = lasting.map(|(_, requests)| requests.milli_cpu()).sum();
            prop_assert!(total.requests.milli_cpu >= sum);
            for (_, one) in &containers {
                let one = one.list();
                prop_assert!(total.requests.milli_cpu >= one.milli_cpu);
                prop_assert!(total.requests.memory >= one.memory);
                prop_assert!(total.requests.scalar("example.com/gpu") >= one.scalar("example.com/gpu"));
            }
            prop_assert!(total.scoring_milli_cpu >= total.requests.milli_cpu);
            prop_assert!(total.scoring_memory >= total.requests.memory);
        }

        #[test]
        fn another_container_never_makes_a_pod_smaller(
            containers in some_containers(&[Role::Main, Role::Sidecar, Role::Init]),
            more in some_requests(),
            role in prop::sample::select(&[Role::Main, Role::Sidecar, Role::Init][..]),
        ) {
            let before = charge(containers.clone());
            let after = charge(containers.into_iter().chain([(role, more)]).collect());
            prop_assert!(before.requests.milli_cpu <= after.requests.milli_cpu);
            prop_assert!(before.requests.memory <= after.requests.memory);
            prop_assert!(before.scoring_milli_cpu <= after.scoring_milli_cpu);
        }

        #[test]
        fn what_reports_nothing_is_charged_as_it_asks_by_every_minor(
            containers in some_containers(&[Role::Main, Role::Sidecar, Role::Init]),
        ) {
            let demand = demand(containers);
            for minor in [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37] {
                prop_assert_eq!(demand.charge_on(Basis::Placed(minor)), demand.charge());
            }
        }
    }

    #[test]
    fn zeros_are_not_listed() {
        let mut list = ResourceList::default();
        apply(&mut list, "example.com/gpu", Quantity::ZERO);
        assert!(list.scalars.is_empty());
        apply(&mut list, "example.com/gpu", Quantity::units(2));
        apply(&mut list, "example.com/gpu", Quantity::ZERO);
        assert_eq!(list, ResourceList::default());
    }

    #[test]
    fn sums_are_rounded_once() {
        let third = || {
            let mut requests = Requests::default();
            requests.set("cpu", Quantity::parse("100100u").expect("valid"));
            requests.set("memory", Quantity::parse("100m").expect("valid"));
            (Role::Main, requests)
        };
        let charge = charge(vec![third(), third(), third()]);
        assert_eq!((charge.requests.milli_cpu, charge.requests.memory), (301, 1));
    }
}
