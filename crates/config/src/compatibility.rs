//! The tables of `docs/compat.md` about configuration, made from what the code does, so that they cannot grow old.
//!
//! `UPDATE_GOLDEN=1 cargo test -p muster-config compatibility` writes them; without it the test compares.

use std::fmt::Write as _;

use muster_framework::rules::KubeMinor;
use muster_plugins::registry::default_plugins;

use crate::expansion::Expansion;
use crate::known_plugins::{Effect, KNOWN, KnownPlugin, MINORS, Point};
use crate::load;

const BEGIN: &str = "<!-- generated: configuration -->\n";
const END: &str = "<!-- end of generated: configuration -->\n";

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Same,
    Differs,
    NoEffect,
    Refused,
}

/// A field, what becomes of it, why, and a body of a file that shows it.
type Row = (&'static str, State, &'static str, &'static str);

const FIELDS: &[Row] = &[
    (
        "`profiles`: several",
        State::Same,
        "",
        "profiles: [{schedulerName: a}, {schedulerName: b}]",
    ),
    (
        "`profiles[].schedulerName`",
        State::Differs,
        "without one `muster`, not `default-scheduler`, which needs `allowDefaultSchedulerName`: two schedulers must not \
         fight for pods",
        "profiles: [{}]",
    ),
    (
        "`plugins`: `multiPoint` and each point, `enabled`, `disabled`, `*`, order, weights",
        State::Same,
        "the default profile is that of the server's minor, with its default feature gates",
        "profiles: [{plugins: {multiPoint: {enabled: [{name: NodeAffinity, weight: 9}]}}}]",
    ),
    (
        "`plugins`: Filter or Score without its preparation",
        State::Refused,
        "Muster has no preparations of their own; the table of plugins shows which points can go alone",
        "profiles: [{plugins: {preFilter: {disabled: [{name: NodeAffinity}]}}}]",
    ),
    (
        "`plugins`: another order at `preFilter` than at `filter`",
        State::Refused,
        "Muster has one order for both, and the first that rejects gives the reason",
        "profiles: [{plugins: {filter: {enabled: [{name: VolumeZone}]}}}]",
    ),
    (
        "plugins that are not in-tree",
        State::Refused,
        "also where upstream overlooks them: in `disabled` and `pluginConfig`",
        "profiles: [{plugins: {score: {disabled: [{name: Coscheduling}]}}}]",
    ),
    (
        "`percentageOfNodesToScore`",
        State::NoEffect,
        "every node is looked at",
        "percentageOfNodesToScore: 50",
    ),
    (
        "`parallelism`",
        State::NoEffect,
        "one thread schedules; from 32,768 nodes on its loops over nodes are shared out to as many threads as there are processors",
        "parallelism: 16",
    ),
    (
        "`podInitialBackoffSeconds`, `podMaxBackoffSeconds`",
        State::Same,
        "",
        "podInitialBackoffSeconds: 2",
    ),
    (
        "`leaderElection`",
        State::Same,
        "",
        "leaderElection: {leaderElect: true, leaseDuration: 30s, renewDeadline: 20s, retryPeriod: 4s}",
    ),
    (
        "`leaderElection.resourceName`, `resourceNamespace`",
        State::Differs,
        "without them the lease is called `muster`, and is kept in the namespace that Muster runs in",
        "leaderElection: {resourceName: muster, resourceNamespace: kube-system}",
    ),
    (
        "`clientConnection.qps`, `burst`",
        State::Differs,
        "no limit unless set: the API server's priority and fairness limits better; a FlowSchema is in `deploy/`",
        "clientConnection: {qps: 50, burst: 100}",
    ),
    (
        "`clientConnection.contentType`",
        State::NoEffect,
        "Muster speaks JSON",
        "clientConnection: {contentType: application/vnd.kubernetes.protobuf}",
    ),
    (
        "`enableProfiling`",
        State::NoEffect,
        "there is no profiling endpoint",
        "enableProfiling: true",
    ),
    (
        "`delayCacheUntilActive`",
        State::NoEffect,
        "a standby keeps its caches up to date",
        "delayCacheUntilActive: true",
    ),
    (
        "`extenders[]`: `filterVerb`, `prioritizeVerb`, `weight`, `bindVerb`, `httpTimeout`, `nodeCacheCapable`, `ignorable`",
        State::Same,
        "those that are ignorable are asked last",
        "extenders: [{urlPrefix: 'http://x', filterVerb: f}]",
    ),
    (
        "`extenders[].urlPrefix`",
        State::Differs,
        "must be an `http` or `https` URL, where upstream fails at every request",
        "extenders: [{urlPrefix: 'http://x'}]",
    ),
    (
        "`extenders[].managedResources`",
        State::Same,
        "with `ignoredByScheduler` they take the place of `ignoredResources`",
        "extenders: [{urlPrefix: 'http://x', managedResources: [{name: example.com/a, ignoredByScheduler: true}]}]",
    ),
    (
        "`extenders[].enableHTTPS`, `tlsConfig`",
        State::Same,
        "without a CA `enableHTTPS` verifies nothing, and a warning says so; a certificate without its key is refused",
        "extenders: [{urlPrefix: 'https://x', tlsConfig: {caFile: /ca}}]",
    ),
    (
        "`extenders[].preemptVerb`",
        State::NoEffect,
        "nobody is evicted yet",
        "extenders: [{urlPrefix: 'http://x', preemptVerb: p}]",
    ),
];

/// As [`FIELDS`], with an entry of `pluginConfig` instead of a body.
const ARGUMENTS: &[Row] = &[
    (
        "NodeAffinity `addedAffinity`",
        State::Same,
        "",
        "{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
         [{matchExpressions: [{key: a, operator: Exists}]}]}}}}",
    ),
    (
        "NodeResourcesFit `ignoredResources`, `ignoredResourceGroups`",
        State::Same,
        "",
        "{name: NodeResourcesFit, args: {ignoredResources: [example.com/a], ignoredResourceGroups: [example.com]}}",
    ),
    (
        "NodeResourcesFit `scoringStrategy`: all three types, `resources`, `requestedToCapacityRatio`",
        State::Same,
        "checked as by 1.36 and later: 1.35 overlooks `requestedToCapacityRatio` beside another type",
        "{name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 3}]}}}",
    ),
    (
        "NodeResourcesBalancedAllocation `resources`",
        State::Same,
        "",
        "{name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu}]}}",
    ),
    (
        "PodTopologySpread `defaultingType`, `defaultConstraints`",
        State::Same,
        "",
        "{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: zone, \
         whenUnsatisfiable: DoNotSchedule}]}}",
    ),
    (
        "PodTopologySpread `minDomains`, `nodeAffinityPolicy`, `nodeTaintsPolicy` in `defaultConstraints`",
        State::Refused,
        "unless they say what is the default",
        "{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: zone, \
         whenUnsatisfiable: DoNotSchedule, minDomains: 3}]}}",
    ),
    (
        "InterPodAffinity `hardPodAffinityWeight`, `ignorePreferredTermsOfExistingPods`",
        State::Same,
        "",
        "{name: InterPodAffinity, args: {hardPodAffinityWeight: 5, ignorePreferredTermsOfExistingPods: true}}",
    ),
    (
        "VolumeBinding `bindTimeoutSeconds`",
        State::Same,
        "",
        "{name: VolumeBinding, args: {bindTimeoutSeconds: 60}}",
    ),
    (
        "VolumeBinding `shape`",
        State::Differs,
        "from 1.37 on, where its feature gate is on; before, upstream refuses it, and here it has no effect and a warning",
        "{name: VolumeBinding, args: {shape: [{utilization: 0, score: 5}]}}",
    ),
    (
        "DefaultPreemption `minCandidateNodesPercentage`, `minCandidateNodesAbsolute`",
        State::NoEffect,
        "nobody is evicted yet",
        "{name: DefaultPreemption, args: {minCandidateNodesPercentage: 20}}",
    ),
    (
        "DynamicResources `filterTimeout`, `bindingTimeout`",
        State::NoEffect,
        "pods with resource claims wait",
        "{name: DynamicResources, args: {filterTimeout: 20s}}",
    ),
];

fn word(state: State) -> &'static str {
    match state {
        State::Same => "same",
        State::Differs => "differs",
        State::NoEffect => "no effect",
        State::Refused => "refused",
    }
}

/// The minors whose default profile has the plugin.
fn in_defaults(plugin: &KnownPlugin) -> String {
    let has = |minor: &KubeMinor| default_plugins(*minor).iter().any(|(name, _)| *name == plugin.name);
    let minors: Vec<KubeMinor> = MINORS.into_iter().filter(has).collect();
    match minors.as_slice() {
        [] => "–".to_owned(),
        [first, ..] if minors.len() < MINORS.len() => format!("from {first}"),
        _ => "yes".to_owned(),
    }
}

/// The points that the file may take from the plugin of the default profile while it keeps all others.
fn separable(plugin: &KnownPlugin) -> String {
    let keys = Point::ALL
        .into_iter()
        .filter(|point| plugin.is_at(*point))
        .map(Point::key);
    let accepted = keys.filter(|key| {
        let plugins = format!("{{{key}: {{disabled: [{{name: {}}}]}}}}", plugin.name);
        load(&file(&format!("profiles: [{{plugins: {plugins}}}]"))).is_ok()
    });
    accepted.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

fn file(body: &str) -> String {
    format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{body}\n")
}

fn with_arguments(entry: &str) -> String {
    file(&format!("profiles: [{{pluginConfig: [{entry}]}}]"))
}

fn tables() -> String {
    let mut out =
        String::from("\n| plugin | in the default profile | here | can be disabled alone at |\n|---|---|---|---|\n");
    for plugin in KNOWN {
        let here = match plugin.effect {
            Effect::SameSince(_) => "same".to_owned(),
            Effect::Missing(why) | Effect::Outside(why) => format!("no effect: {why}"),
        };
        let (defaults, alone) = (in_defaults(plugin), separable(plugin));
        writeln!(out, "| {} | {defaults} | {here} | {alone} |", plugin.name).expect("writing to a string");
    }
    for (title, rows) in [("argument", ARGUMENTS), ("field", FIELDS)] {
        write!(out, "\n| {title} | here | |\n|---|---|---|\n").expect("writing to a string");
        for (field, state, note, _) in rows {
            writeln!(out, "| {field} | {} | {note} |", word(*state)).expect("writing to a string");
        }
    }
    out.push('\n');
    out
}

#[test]
fn every_row_is_true() {
    let fields = FIELDS.iter().map(|row| (row, file(row.3)));
    let arguments = ARGUMENTS.iter().map(|row| (row, with_arguments(row.3)));
    for ((name, state, ..), text) in fields.chain(arguments) {
        let outcome = load(&text).map(|configuration| configuration.warnings.len());
        match state {
            State::Same => assert_eq!(outcome, Ok(0), "{name}"),
            State::Differs => assert!(outcome.is_ok(), "{name}: {outcome:?}"),
            State::NoEffect => assert_eq!(outcome, Ok(1), "{name}"),
            State::Refused => assert!(outcome.is_err(), "{name}"),
        }
    }
}

/// The other half of the rule: a refusal is for splits only, so the whole plugin can always go.
#[test]
fn every_plugin_but_the_needed_can_be_disabled() {
    for plugin in KNOWN {
        let needed = ["PrioritySort", "DefaultBinder"].contains(&plugin.name);
        let body = format!(
            "profiles: [{{plugins: {{multiPoint: {{disabled: [{{name: {}}}]}}}}}}]",
            plugin.name
        );
        assert_eq!(load(&file(&body)).is_err(), needed, "{}", plugin.name);
    }
    for minor in MINORS {
        assert_eq!(Expansion::new(&Default::default(), minor).refusals(), []);
    }
}

#[test]
fn the_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compat.md");
    let text = std::fs::read_to_string(path).expect("docs/compat.md");
    let (before, rest) = text.split_once(BEGIN).expect("the begin of the section");
    let (found, after) = rest.split_once(END).expect("the end of the section");
    let wanted = tables();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("docs/compat.md");
    } else {
        assert_eq!(
            found, wanted,
            "UPDATE_GOLDEN=1 cargo test -p muster-config brings it up to date"
        );
    }
}
