//! What profiles come to: the default ones, upstream's merge rules, arguments, and what extenders change in them.

use std::fmt::Write as _;

use muster_config::{Configuration, Problem, load, load_for_evaluation};
use muster_framework::rules::KubeMinor;
use muster_plugins::ProfileSpec;
use muster_plugins::args::PluginArgs;
use muster_plugins::registry::{Recipe, make};

const HEADER: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
const MINORS: [KubeMinor; 3] = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];

fn accepted(text: &str) -> Configuration {
    load(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// The one profile with these `plugins`, in flow style.
fn with_plugins(plugins: &str, minor: KubeMinor) -> ProfileSpec {
    accepted(&format!("{HEADER}profiles: [{{plugins: {plugins}}}]\n"))
        .profiles(minor)
        .remove(0)
}

/// The one profile with these `pluginConfig`, in flow style.
fn with_args(entries: &str, minor: KubeMinor) -> PluginArgs {
    accepted(&format!("{HEADER}profiles: [{{pluginConfig: [{entries}]}}]\n"))
        .profiles(minor)
        .remove(0)
        .args
}

fn lines(warnings: &[Problem]) -> String {
    warnings.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

fn list(names: &[muster_framework::Text]) -> String {
    names.join(" ")
}

fn weights(profile: &ProfileSpec) -> String {
    let scores = profile.scores.iter().map(|(name, weight)| format!("{name}:{weight}"));
    scores.collect::<Vec<_>>().join(" ")
}

/// Compared by hand with `pkg/scheduler/apis/config/testing/defaults/defaults.go` of each minor.
#[test]
fn the_default_profile_of_each_minor() {
    let mut out = String::new();
    for minor in MINORS {
        let profile = Configuration::default().profiles(minor).remove(0);
        writeln!(out, "{minor}").expect("writing to a string");
        writeln!(out, "  pre_enqueue: {}", list(&profile.pre_enqueue)).expect("writing to a string");
        writeln!(out, "  filters: {}", list(&profile.filters)).expect("writing to a string");
        writeln!(out, "  scores: {}\n", weights(&profile)).expect("writing to a string");
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(out) });
}

/// Two ways to the same profile: by the points of upstream's plugins, and by what the plugins here do.
#[test]
fn the_default_profile_is_that_of_the_plugins() {
    for minor in MINORS {
        let args = PluginArgs::default();
        let made = |name: &str| make(name, Recipe { args: &args, minor });
        let mut profile = Configuration::default().profiles(minor).remove(0);
        profile
            .pre_enqueue
            .retain(|name| made(name).is_some_and(|plugin| plugin.pre_enqueue().is_some()));
        profile
            .filters
            .retain(|name| made(name).is_some_and(|plugin| plugin.filter().is_some()));
        profile
            .scores
            .retain(|(name, _)| made(name).is_some_and(|plugin| plugin.score().is_some()));
        assert_eq!(profile, ProfileSpec::default_for("muster", minor), "{minor}");
    }
}

#[test]
fn minors_out_of_sight_count_as_the_nearest() {
    let profiles = |minor| Configuration::default().profiles(KubeMinor(minor));
    assert_eq!(profiles(30), profiles(35));
    assert_eq!(profiles(99), profiles(37));
}

/// A small profile instead of the default one, so that orders can be read.
const FEW: &str = "multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}, {name: DefaultBinder}, \
                   {name: NodeName}, {name: NodePorts}, {name: ImageLocality, weight: 5}, {name: TaintToleration, weight: 3}]}";

#[test]
fn orders_of_filters() {
    for (plugins, filters) in [
        // Everything of multiPoint, in its order.
        ("", "NodeName NodePorts TaintToleration"),
        // What multiPoint and the point name comes first, in the order of the point.
        (
            "filter: {enabled: [{name: TaintToleration}, {name: NodePorts}]}",
            "TaintToleration NodePorts NodeName",
        ),
        // What only the point names comes last.
        (
            "filter: {enabled: [{name: NodeUnschedulable}, {name: TaintToleration}]}",
            "TaintToleration NodeName NodePorts NodeUnschedulable",
        ),
        // What the point disables of multiPoint is gone,
        ("filter: {disabled: [{name: NodeName}]}", "NodePorts TaintToleration"),
        // and what it also enables comes last.
        (
            "filter: {disabled: [{name: NodeName}], enabled: [{name: NodeName}]}",
            "NodePorts TaintToleration NodeName",
        ),
        // A star leaves the point its own.
        (
            "filter: {disabled: [{name: '*'}], enabled: [{name: NodeUnschedulable}]}",
            "NodeUnschedulable",
        ),
        ("filter: {disabled: [{name: '*'}]}", ""),
        // What is disabled elsewhere, or never was enabled, changes nothing.
        (
            "score: {disabled: [{name: NodeName}]}, filter: {disabled: [{name: VolumeZone}]}",
            "NodeName NodePorts TaintToleration",
        ),
    ] {
        let profile = with_plugins(&format!("{{{FEW}, {plugins}}}"), KubeMinor::V1_37);
        assert_eq!(list(&profile.filters), filters, "{plugins}");
    }
}

#[test]
fn weights_of_scores() {
    for (plugins, scores) in [
        ("", "ImageLocality:5 TaintToleration:3"),
        // The weight of the point counts, and its absence is 1.
        (
            "score: {enabled: [{name: ImageLocality, weight: 7}]}",
            "ImageLocality:7 TaintToleration:3",
        ),
        (
            "score: {enabled: [{name: TaintToleration}]}",
            "TaintToleration:1 ImageLocality:5",
        ),
        (
            "score: {enabled: [{name: TaintToleration, weight: 0}]}",
            "TaintToleration:1 ImageLocality:5",
        ),
        // A weight elsewhere means nothing.
        (
            "filter: {enabled: [{name: TaintToleration, weight: 9}]}",
            "ImageLocality:5 TaintToleration:3",
        ),
        // Its weight is that of multiPoint again when only the order was meant to change? No: it is 1.
        (
            "score: {disabled: [{name: '*'}], enabled: [{name: TaintToleration}, {name: ImageLocality, weight: 2}]}",
            "TaintToleration:1 ImageLocality:2",
        ),
        // Without Score its preparation is harmless.
        ("score: {disabled: [{name: TaintToleration}]}", "ImageLocality:5"),
        ("score: {disabled: [{name: '*'}]}", ""),
        // Below zero is allowed as long as the sum never is.
        (
            "score: {enabled: [{name: ImageLocality, weight: 2}, {name: TaintToleration, weight: -2}]}",
            "ImageLocality:2 TaintToleration:-2",
        ),
    ] {
        let profile = with_plugins(&format!("{{{FEW}, {plugins}}}"), KubeMinor::V1_37);
        assert_eq!(weights(&profile), scores, "{plugins}");
    }
}

#[test]
fn changes_of_the_default_set() {
    let default = with_plugins("{}", KubeMinor::V1_35);
    // Replaced in its place; without a weight it has 1.
    let same_order = with_plugins("{multiPoint: {enabled: [{name: NodeAffinity}]}}", KubeMinor::V1_35);
    assert_eq!(same_order.filters, default.filters);
    assert_eq!(
        weights(&same_order),
        weights(&default).replace("NodeAffinity:2", "NodeAffinity:1")
    );
    // Disabled and enabled: after the defaults.
    let moved = with_plugins(
        "{multiPoint: {disabled: [{name: NodeName}], enabled: [{name: NodeName}]}}",
        KubeMinor::V1_35,
    );
    assert_eq!(
        list(&moved.filters),
        list(&default.filters).replace("NodeName ", "") + " NodeName"
    );
    // Disabled: gone from all points.
    let without = with_plugins("{multiPoint: {disabled: [{name: TaintToleration}]}}", KubeMinor::V1_35);
    assert!(!list(&without.filters).contains("TaintToleration") && !weights(&without).contains("TaintToleration"));
    // Also when upstream does all of it in several steps.
    let volumes = with_plugins(
        "{multiPoint: {disabled: [{name: VolumeBinding}, {name: DynamicResources}, {name: DefaultPreemption}]}}",
        KubeMinor::V1_36,
    );
    assert_eq!(list(&volumes.pre_enqueue), "SchedulingGates");
    assert!(!list(&volumes.filters).contains("VolumeBinding"));
}

#[test]
fn a_plugin_of_a_later_minor_waits_for_it() {
    let plugins = "{multiPoint: {enabled: [{name: NodeDeclaredFeatures}]}}";
    let has = |minor| list(&with_plugins(plugins, minor).filters).contains("NodeDeclaredFeatures");
    assert_eq!(MINORS.map(has), [false, true, true]);
}

/// These PreFilters compute what Filter needs and nothing else.
#[test]
fn filters_that_can_go_alone() {
    for name in [
        "NodePorts",
        "NodeResourcesFit",
        "NodeVolumeLimits",
        "PodTopologySpread",
        "InterPodAffinity",
        "NodeName",
    ] {
        let profile = with_plugins(
            &format!("{{filter: {{disabled: [{{name: {name}}}]}}}}"),
            KubeMinor::V1_37,
        );
        assert!(!list(&profile.filters).contains(name), "{name}");
    }
}

#[test]
fn profiles_differ() {
    let configuration = accepted(&format!(
        "{HEADER}profiles: [{{schedulerName: packed, pluginConfig: [{{name: NodeResourcesFit, args: {{scoringStrategy: \
         {{type: MostAllocated}}}}}}]}}, {{schedulerName: plain}}, {{schedulerName: blind, plugins: {{score: {{disabled: \
         [{{name: '*'}}]}}}}}}]\n"
    ));
    let profiles = configuration.profiles(KubeMinor::V1_37);
    assert_eq!(
        configuration.scheduler_names().collect::<Vec<_>>(),
        ["packed", "plain", "blind"]
    );
    assert_eq!(
        format!("{:?}", profiles[0].args.node_resources_fit.strategy),
        "MostAllocated"
    );
    assert_eq!(profiles[1].args, PluginArgs::default());
    assert_eq!(profiles[2].scores, []);
    assert_eq!(profiles[0].filters, profiles[2].filters);
}

#[test]
fn arguments() {
    let entries = "{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: \
        {nodeSelectorTerms: [{}, {matchExpressions: [{key: a, operator: In, values: [b, '']}], matchFields: \
        [{key: metadata.name, operator: NotIn, values: [node-1]}]}]}, preferredDuringSchedulingIgnoredDuringExecution: \
        [{weight: 0, preference: {matchExpressions: [{key: '-', operator: In}]}}, {weight: 4, preference: {}}, \
        {weight: 5, preference: {matchExpressions: [{key: g, operator: Gt, values: ['7']}]}}]}}}, \
        {name: NodeResourcesFit, args: {ignoredResources: [example.com/a], ignoredResourceGroups: [b.io], scoringStrategy: \
        {type: RequestedToCapacityRatio, resources: [{name: cpu, weight: 100}, {name: example.com/a}], \
        requestedToCapacityRatio: {shape: [{utilization: 0}, {utilization: 100, score: 10}]}}}}, \
        {name: NodeResourcesBalancedAllocation, args: {resources: [{name: memory}]}}, \
        {name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: z, \
        whenUnsatisfiable: DoNotSchedule, minDomains: 1, nodeAffinityPolicy: Honor}, {maxSkew: 2, topologyKey: z, \
        whenUnsatisfiable: ScheduleAnyway}]}}, \
        {name: InterPodAffinity, args: {hardPodAffinityWeight: 0, ignorePreferredTermsOfExistingPods: true}}, \
        {name: VolumeBinding, args: {bindTimeoutSeconds: 0, shape: [{utilization: 50, score: 5}]}}";
    let args = with_args(entries, KubeMinor::V1_37);
    insta::with_settings!({ omit_expression => true }, { insta::assert_debug_snapshot!(args) });
    let older = with_args(entries, KubeMinor::V1_36);
    assert_eq!(older.volume_binding.shape, []);
    assert_eq!(older.node_affinity, args.node_affinity);
}

#[test]
fn no_term_is_not_no_requirement() {
    let added = |text: &str| {
        let entry = format!("{{name: NodeAffinity, args: {{addedAffinity: {text}}}}}");
        with_args(&entry, KubeMinor::V1_37)
            .node_affinity
            .added_required
            .map(|terms| terms.len())
    };
    assert_eq!(added("{}"), None);
    assert_eq!(added("{requiredDuringSchedulingIgnoredDuringExecution: {}}"), Some(0));
    assert_eq!(
        added("{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}"),
        Some(0)
    );
    assert_eq!(
        added("{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{}]}}"),
        Some(0)
    );
}

#[test]
fn no_default_constraints_at_all() {
    let args = with_args(
        "{name: PodTopologySpread, args: {defaultingType: List}}",
        KubeMinor::V1_37,
    );
    assert!(args.pod_topology_spread.default_constraints.is_empty() && !args.pod_topology_spread.system_defaulted);
}

#[test]
fn extenders() {
    let configuration = accepted(&format!(
        "{HEADER}profiles: [{{schedulerName: a}}, {{schedulerName: b, pluginConfig: [{{name: NodeResourcesFit, args: \
         {{ignoredResources: [example.com/own]}}}}]}}]\nextenders:\n- urlPrefix: http://first/x\n  filterVerb: filter\n  \
         preemptVerb: preempt\n  ignorable: true\n- urlPrefix: https://second:8443\n  prioritizeVerb: prioritize\n  \
         weight: 3\n  bindVerb: bind\n  enableHTTPS: true\n  httpTimeout: 1m500ms\n  nodeCacheCapable: true\n  \
         managedResources: [{{name: example.com/gpu, ignoredByScheduler: true}}, {{name: example.com/nic}}]\n  tlsConfig: \
         {{serverName: s, certData: Q0VSVA==, certFile: /overruled, keyFile: /k, caFile: /ca}}\n- urlPrefix: https://third\n  \
         enableHTTPS: true\n"
    ));
    insta::with_settings!({ omit_expression => true }, { insta::assert_debug_snapshot!(&configuration.extenders) });
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(lines(&configuration.warnings)) });
    for profile in configuration.profiles(KubeMinor::V1_36) {
        assert_eq!(
            list(&profile.args.node_resources_fit.ignored_resources),
            "example.com/gpu"
        );
    }
}

#[test]
fn names_from_the_command_line() {
    let two = || {
        accepted(&format!(
            "{HEADER}profiles: [{{schedulerName: a}}, {{schedulerName: b}}]\n"
        ))
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut configuration = two();
    assert_eq!(configuration.answer_to(&names(&["b"])), Ok(()));
    assert_eq!(configuration.scheduler_names().collect::<Vec<_>>(), ["b"]);
    assert_eq!(configuration.answer_to(&names(&["x", "y"])), Ok(()));
    assert_eq!(configuration.scheduler_names().collect::<Vec<_>>(), ["x", "y"]);
    let mut configuration = two();
    assert_eq!(configuration.answer_to(&names(&["a", "x"])), Err("x"));
    assert_eq!(configuration, two());
}

/// A file that was written for kube-scheduler says what kube-scheduler would do.
#[test]
fn a_file_of_kube_scheduler_can_be_evaluated() {
    let text = "{\"apiVersion\":\"kubescheduler.config.k8s.io/v1\",\"kind\":\"KubeSchedulerConfiguration\",\
                \"leaderElection\":{\"leaderElect\":true},\"profiles\":[{\"plugins\":{\"score\":{\"disabled\":\
                [{\"name\":\"ImageLocality\"}]}}}]}";
    let run = load(text).expect("a configuration");
    assert_eq!(run.scheduler_names().collect::<Vec<_>>(), ["muster"]);
    let configuration = load_for_evaluation(text).expect("a configuration");
    assert_eq!(
        configuration.scheduler_names().collect::<Vec<_>>(),
        ["default-scheduler"]
    );
    assert!(!weights(&configuration.profiles(KubeMinor::V1_37)[0]).contains("ImageLocality"));
    let error = load_for_evaluation(&text.replace("\"score\"", "\"scores\"")).expect_err("an unknown field");
    assert_eq!(error.problems()[0].path, ".profiles[0].plugins.scores");
    let least = format!("{HEADER}---\napiVersion: muster.dev/v1alpha1\nkind: MusterConfiguration\n");
    assert_eq!(
        load_for_evaluation(&least)
            .expect("a configuration")
            .scheduler_names()
            .next(),
        Some("default-scheduler")
    );
}

/// Random plugin lists and what upstream's own framework (`ListPlugins`, 1.35 and 1.37) makes of them: 120 of 6,000 that
/// were compared. Plugins that are no part of a profile here are left out of its answers.
#[test]
fn what_upstream_makes_of_plugin_lists() {
    for line in include_str!("upstream-plugin-lists.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("a case");
        let minor = KubeMinor(
            case["minor"]
                .as_u64()
                .and_then(|n| u8::try_from(n).ok())
                .expect("a minor"),
        );
        let loaded = load(&format!("{HEADER}profiles: [{{\"plugins\": {}}}]\n", case["plugins"]));
        if case.get("filters").is_none() {
            assert!(loaded.is_err(), "{line}");
            continue;
        }
        let profile = loaded
            .unwrap_or_else(|error| panic!("{line}\n{error}"))
            .profiles(minor)
            .remove(0);
        let names = |names: &[muster_framework::Text]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let scores = profile
            .scores
            .iter()
            .map(|(name, weight)| serde_json::json!([**name, weight]));
        assert_eq!(
            serde_json::json!(names(&profile.pre_enqueue)),
            case["pre_enqueue"],
            "{line}"
        );
        assert_eq!(serde_json::json!(names(&profile.filters)), case["filters"], "{line}");
        assert_eq!(serde_json::Value::from_iter(scores), case["scores"], "{line}");
    }
}
