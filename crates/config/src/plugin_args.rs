//! `pluginConfig`: the arguments of each plugin, with upstream's defaults and checks.
//!
//! Sources: `k8s.io/kube-scheduler/config/v1/types_pluginargs.go`, `pkg/scheduler/apis/config/v1/defaults.go` and
//! `pkg/scheduler/apis/config/validation/validation_pluginargs.go`, all of 1.37. 1.35 overlooks
//! `requestedToCapacityRatio` beside another strategy and fails without it for its own; here 1.37's checks stand for all.

use std::time::Duration;

use muster_framework::record::WhenUnsatisfiable;
use muster_plugins::args::{
    BalancedAllocationArgs, DefaultConstraint, InterPodAffinityArgs, NodeAffinityArgs, NodeResourcesFitArgs,
    PluginArgs, PodTopologySpreadArgs, ResourceWeight, ShapePoint, StrategyType, VolumeBindingArgs,
};

use crate::field::{Field, Section};
use crate::plugin_sets::known;
use crate::scheduler::API_VERSION;
use crate::{names, node_selector};

/// Reads the entries of one profile.
pub(crate) fn read(list: &Field<'_>) -> PluginArgs {
    let mut args = PluginArgs::default();
    let mut seen = Vec::new();
    for entry in list.items() {
        let Some(section) = entry.section() else { continue };
        let given = section.get("args");
        let Some(name_field) = section.get("name") else {
            entry.problem("needs a name");
            continue;
        };
        let Some(name) = name_field.string() else { continue };
        if seen.contains(&name) {
            name_field.problem(format!("{name} is configured twice"));
        }
        seen.push(name);
        if known(&name_field, name).is_some()
            && let Some(section) = given.and_then(|field| field.section())
        {
            section.must_be("apiVersion", API_VERSION);
            section.must_be("kind", &format!("{name}Args"));
            one(name, &section, &mut args);
        }
    }
    args
}

/// The arguments of one plugin. For one that takes none, whatever is given is an unknown field.
fn one(name: &str, section: &Section<'_>, args: &mut PluginArgs) {
    match name {
        "NodeAffinity" => args.node_affinity = node_affinity(section),
        "NodeResourcesFit" => args.node_resources_fit = node_resources_fit(section),
        "NodeResourcesBalancedAllocation" => args.balanced_allocation = balanced_allocation(section),
        "PodTopologySpread" => args.pod_topology_spread = pod_topology_spread(section),
        "InterPodAffinity" => args.inter_pod_affinity = inter_pod_affinity(section),
        "VolumeBinding" => args.volume_binding = volume_binding(section),
        "DefaultPreemption" => default_preemption(section),
        "DynamicResources" => dynamic_resources(section),
        _ => {}
    }
}

fn node_affinity(section: &Section<'_>) -> NodeAffinityArgs {
    let Some(affinity) = section.get("addedAffinity").and_then(|field| field.section()) else {
        return NodeAffinityArgs::default();
    };
    let required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution");
    let preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution");
    NodeAffinityArgs {
        added_required: required.and_then(|field| node_selector::required(&field)),
        added_preferred: preferred
            .map(|field| node_selector::preferred(&field))
            .unwrap_or_default(),
    }
}

fn node_resources_fit(section: &Section<'_>) -> NodeResourcesFitArgs {
    let mut args = NodeResourcesFitArgs::default();
    for field in section.get("ignoredResources").iter().flat_map(Field::items) {
        let Some(name) = field.string() else { continue };
        if let Some(wrong) = names::qualified_name(name) {
            field.problem(wrong);
        }
        args.ignored_resources.push(name.into());
    }
    for field in section.get("ignoredResourceGroups").iter().flat_map(Field::items) {
        let Some(group) = field.string() else { continue };
        if group.contains('/') {
            field.problem("must be what stands before the '/' of a resource, without a '/'");
        } else if let Some(wrong) = names::qualified_name(group) {
            field.problem(wrong);
        }
        args.ignored_resource_groups.push(group.into());
    }
    if let Some(strategy) = section.get("scoringStrategy").and_then(|field| field.section()) {
        scoring_strategy(&strategy, &mut args);
    }
    args
}

fn scoring_strategy(section: &Section<'_>, args: &mut NodeResourcesFitArgs) {
    const TYPES: &str = "must be LeastAllocated, MostAllocated or RequestedToCapacityRatio";
    let strategy = match section.get("type").map(|field| field.string()) {
        Some(Some("LeastAllocated")) => Some(StrategyType::LeastAllocated),
        Some(Some("MostAllocated")) => Some(StrategyType::MostAllocated),
        Some(Some("RequestedToCapacityRatio")) => Some(StrategyType::RequestedToCapacityRatio),
        Some(None) => None,
        // Only a strategy that is left out as a whole has a default type.
        Some(Some(_)) | None => {
            section.wrong("type", TYPES);
            None
        }
    };
    if let Some(given) = section
        .get("resources")
        .map(|field| resources(&field))
        .filter(|list| !list.is_empty())
    {
        for (field, resource) in &given {
            if !(1..=100).contains(&resource.weight) {
                field.wrong("weight", format!("{} is not between 1 and 100", resource.weight));
            }
        }
        args.resources = given.into_iter().map(|(_, resource)| resource).collect();
    }
    let ratio = section
        .get("requestedToCapacityRatio")
        .and_then(|field| field.section());
    match (strategy, ratio.map(|ratio| ratio.get("shape"))) {
        (Some(StrategyType::RequestedToCapacityRatio), Some(Some(field))) => args.shape = shape(&field),
        (Some(StrategyType::RequestedToCapacityRatio), Some(None)) => {
            section.wrong("requestedToCapacityRatio.shape", "needs at least one point");
        }
        (Some(StrategyType::RequestedToCapacityRatio), None) => {
            section.wrong(
                "requestedToCapacityRatio",
                "is needed when type is RequestedToCapacityRatio",
            );
        }
        (Some(_), Some(_)) => {
            section.wrong(
                "requestedToCapacityRatio",
                "must not be set when type is not RequestedToCapacityRatio",
            );
        }
        _ => {}
    }
    args.strategy = strategy.unwrap_or_default();
}

/// A list of `ResourceSpec`, each with where it stands. No weight, and a weight of 0, is 1.
fn resources<'a>(list: &Field<'a>) -> Vec<(Section<'a>, ResourceWeight)> {
    let read = |field: Field<'a>| {
        let section = field.section()?;
        let weight = section.get("weight").and_then(|field| field.integer()).unwrap_or(0);
        let Some(name) = section.get("name") else {
            section.wrong("name", "is needed");
            return None;
        };
        let resource = ResourceWeight {
            name: name.string()?.into(),
            weight: if weight == 0 { 1 } else { weight },
        };
        Some((section, resource))
    };
    list.items().into_iter().filter_map(read).collect()
}

/// A list of `UtilizationShapePoint`.
fn shape(list: &Field<'_>) -> Vec<ShapePoint> {
    let mut points: Vec<ShapePoint> = Vec::new();
    for field in list.items() {
        let Some(section) = field.section() else { continue };
        let number = |key: &str, range: std::ops::RangeInclusive<i64>| {
            let value = section
                .get(key)
                .and_then(|field| field.integer::<i32>())
                .map_or(0, i64::from);
            if !range.contains(&value) {
                section.wrong(
                    key,
                    format!("{value} is not between {} and {}", range.start(), range.end()),
                );
            }
            value
        };
        let point = ShapePoint {
            utilization: number("utilization", 0..=100),
            score: number("score", 0..=10),
        };
        if points
            .last()
            .is_some_and(|earlier| point.utilization <= earlier.utilization)
        {
            section.wrong(
                "utilization",
                "the points must be sorted by utilization, each greater than the one before",
            );
        }
        points.push(point);
    }
    if points.is_empty() {
        list.problem("needs at least one point");
    }
    points
}

fn balanced_allocation(section: &Section<'_>) -> BalancedAllocationArgs {
    let given = section
        .get("resources")
        .map(|field| resources(&field))
        .unwrap_or_default();
    if given.is_empty() {
        return BalancedAllocationArgs::default();
    }
    for (i, (section, resource)) in given.iter().enumerate() {
        if given[..i].iter().any(|(_, earlier)| earlier.name == resource.name) {
            section.wrong("name", format!("{:?} is given twice", resource.name));
        }
        if resource.weight != 1 {
            section.wrong("weight", "must be 1");
        }
    }
    BalancedAllocationArgs {
        resources: given.into_iter().map(|(_, resource)| resource).collect(),
    }
}

fn pod_topology_spread(section: &Section<'_>) -> PodTopologySpreadArgs {
    let system = match section.get("defaultingType").map(|field| field.string()) {
        None | Some(Some("" | "System") | None) => true,
        Some(Some("List")) => false,
        Some(Some(_)) => {
            section.wrong("defaultingType", "must be System or List");
            false
        }
    };
    let mut constraints: Vec<DefaultConstraint> = Vec::new();
    for field in section.get("defaultConstraints").iter().flat_map(Field::items) {
        let Some(constraint) = field.section().and_then(|section| default_constraint(&section)) else {
            continue;
        };
        let same = |other: &DefaultConstraint| {
            other.topology_key == constraint.topology_key && other.when_unsatisfiable == constraint.when_unsatisfiable
        };
        if constraints.iter().any(same) {
            field.problem("has the topologyKey and the whenUnsatisfiable of an earlier one");
        }
        constraints.push(constraint);
    }
    if !system {
        return PodTopologySpreadArgs {
            default_constraints: constraints,
            system_defaulted: false,
        };
    }
    if !constraints.is_empty() {
        section.wrong("defaultingType", "must be List when there are defaultConstraints");
    }
    PodTopologySpreadArgs::default()
}

fn default_constraint(section: &Section<'_>) -> Option<DefaultConstraint> {
    let max_skew: i32 = section.get("maxSkew").and_then(|field| field.integer()).unwrap_or(0);
    if max_skew <= 0 {
        section.wrong("maxSkew", "must be greater than zero");
    }
    let topology_key = section
        .get("topologyKey")
        .and_then(|field| field.string())
        .unwrap_or_default();
    if let Some(wrong) = names::qualified_name(topology_key) {
        section.wrong("topologyKey", wrong);
    }
    let when_unsatisfiable = match section.get("whenUnsatisfiable").and_then(|field| field.string()) {
        Some("DoNotSchedule") => Some(WhenUnsatisfiable::DoNotSchedule),
        Some("ScheduleAnyway") => Some(WhenUnsatisfiable::ScheduleAnyway),
        _ => {
            section.wrong("whenUnsatisfiable", "must be DoNotSchedule or ScheduleAnyway");
            None
        }
    };
    if section.get("labelSelector").is_some() {
        section.wrong("labelSelector", "must not be set: it follows from each pod");
    }
    rest_of_constraint(section);
    Some(DefaultConstraint {
        max_skew,
        topology_key: topology_key.into(),
        when_unsatisfiable: when_unsatisfiable?,
    })
}

/// What a pod may say in a constraint of its own. Upstream reads it here too, without checking it.
fn rest_of_constraint(section: &Section<'_>) {
    const NOT_YET: &str = "is not supported in default constraints";
    if let Some(field) = section.get("minDomains")
        && field.integer::<i32>().is_some_and(|n| n != 1)
    {
        field.problem(format!("{NOT_YET}: leave it out, or 1"));
    }
    for (key, default) in [("nodeAffinityPolicy", "Honor"), ("nodeTaintsPolicy", "Ignore")] {
        if let Some(field) = section.get(key)
            && field.string().is_some_and(|policy| policy != default)
        {
            field.problem(format!("{NOT_YET}: leave it out, or {default}"));
        }
    }
    if let Some(field) = section.get("matchLabelKeys")
        && !field.strings().is_empty()
    {
        field.warning("has no effect, as upstream: the selector follows from each pod");
    }
}

fn inter_pod_affinity(section: &Section<'_>) -> InterPodAffinityArgs {
    let mut args = InterPodAffinityArgs::default();
    if let Some(field) = section.get("hardPodAffinityWeight")
        && let Some(weight) = field.integer::<i32>()
    {
        if !(0..=100).contains(&weight) {
            field.problem(format!("{weight} is not between 0 and 100"));
        }
        args.hard_pod_affinity_weight = weight.into();
    }
    if let Some(ignore) = section
        .get("ignorePreferredTermsOfExistingPods")
        .and_then(|field| field.boolean())
    {
        args.ignore_preferred_terms_of_existing_pods = ignore;
    }
    args
}

fn volume_binding(section: &Section<'_>) -> VolumeBindingArgs {
    let mut args = VolumeBindingArgs::default();
    if let Some(field) = section.get("bindTimeoutSeconds")
        && let Some(seconds) = field.integer::<i64>()
    {
        if seconds < 0 {
            field.problem("must not be negative");
        }
        args.bind_timeout_seconds = seconds;
    }
    if let Some(field) = section.get("shape").filter(|field| !field.items().is_empty()) {
        let points = shape(&field);
        if points != DEFAULT_CAPACITY_SHAPE {
            field.warning("has an effect from Kubernetes 1.37 on, where StorageCapacityScoring is on by default");
            args.shape = points;
        }
    }
    args
}

/// What an empty `shape` stands for. Source: `SetDefaults_VolumeBindingArgs`.
pub(crate) const DEFAULT_CAPACITY_SHAPE: [ShapePoint; 2] = [
    ShapePoint {
        utilization: 0,
        score: 10,
    },
    ShapePoint {
        utilization: 100,
        score: 0,
    },
];

fn default_preemption(section: &Section<'_>) {
    let read = |key: &str, default: i32, range: std::ops::RangeInclusive<i32>| {
        let Some(value) = section.get(key).and_then(|field| field.integer::<i32>()) else {
            return default;
        };
        if !range.contains(&value) {
            section.wrong(key, format!("{value} is out of range"));
        }
        value
    };
    let percentage = read("minCandidateNodesPercentage", 10, 0..=100);
    let absolute = read("minCandidateNodesAbsolute", 100, 0..=i32::MAX);
    if (percentage, absolute) == (0, 0) {
        section.wrong(
            "minCandidateNodesPercentage",
            "cannot be zero at the same time as minCandidateNodesAbsolute",
        );
    } else if (percentage, absolute) != (10, 100) {
        section.field().warning("has no effect: nobody is evicted yet");
    }
}

fn dynamic_resources(section: &Section<'_>) {
    let timeout = |key: &str, default: u64| match section.get(key).map(|field| field.duration()) {
        Some(given) => given,
        None => Some(Duration::from_secs(default)),
    };
    let filter = timeout("filterTimeout", 10);
    let binding = timeout("bindingTimeout", 600);
    if binding.is_some_and(|timeout| timeout < Duration::from_secs(1)) {
        section.wrong("bindingTimeout", "must be at least 1s");
    } else if [filter, binding] != [10, 600].map(|seconds| Some(Duration::from_secs(seconds))) {
        section.field().warning("has no effect: pods with resource claims wait");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;
    use crate::problem::Report;

    /// The arguments that upstream writes for its defaults are ours.
    #[test]
    fn defaults_spelled_out_are_the_defaults() {
        let text = "
- name: NodeResourcesFit
  args: {scoringStrategy: {type: LeastAllocated, resources: [{name: cpu, weight: 1}, {name: memory}]}}
- name: NodeResourcesBalancedAllocation
  args: {resources: [{name: cpu, weight: 0}, {name: memory, weight: 1}]}
- name: PodTopologySpread
  args: {defaultingType: System, defaultConstraints: []}
- name: InterPodAffinity
  args: {hardPodAffinityWeight: 1, ignorePreferredTermsOfExistingPods: false}
- name: NodeAffinity
  args: {addedAffinity: null}
- name: VolumeBinding
  args: {bindTimeoutSeconds: 600, shape: [{utilization: 0, score: 10}, {utilization: 100, score: 0}]}
- name: DefaultPreemption
  args: {minCandidateNodesPercentage: 10, minCandidateNodesAbsolute: 100}
- name: DynamicResources
  args: {filterTimeout: 10s, bindingTimeout: 10m0s}
";
        let nodes = document::read(text).expect("YAML");
        let report = Report::default();
        assert_eq!(read(&Field::root("", &nodes[0], &report)), PluginArgs::default());
        assert_eq!(report.finish().expect("no problems"), []);
    }
}
