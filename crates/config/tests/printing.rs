//! What is printed reads back as the same, whatever the configuration; and no text makes reading panic.

use muster_config::{Configuration, Place, Secrets, convert, load};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../config/muster.yaml");
const UPSTREAM: &str = include_str!("upstream-default-1.37.yaml");
const HEADER: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn printed(configuration: &Configuration) -> String {
    configuration.to_yaml(Secrets::Shown).expect("text")
}

/// Prints, reads, and compares. Warnings are about the text and not of the configuration, so printed text may have fewer.
fn check_round_trip(configuration: &Configuration) {
    let text = printed(configuration);
    let again = load(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let without_warnings = |configuration: &Configuration| Configuration {
        warnings: Vec::new(),
        ..configuration.clone()
    };
    assert_eq!(without_warnings(&again), without_warnings(configuration), "{text}");
    assert_eq!(printed(&again), text);
    assert!(
        again.warnings.len() <= configuration.warnings.len(),
        "{:?}",
        again.warnings
    );
}

/// A conversion gives a file that is read as it says, and what it lists are fields of the file.
fn check_conversion(text: &str, place: Place) {
    let Ok(conversion) = convert(text, place) else { return };
    let again = load(&conversion.text).unwrap_or_else(|error| panic!("{error}\n{}", conversion.text));
    assert_eq!(again.profiles, conversion.configuration.profiles, "{}", conversion.text);
    assert_eq!(again.extenders, conversion.configuration.extenders);
    assert_eq!(again.leader_election, conversion.configuration.leader_election);
    assert!(conversion.findings.iter().all(|finding| !finding.path.is_empty()));
}

#[test]
fn the_defaults_spelled_out() {
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(printed(&Configuration::default()))
    });
    check_round_trip(&Configuration::default());
}

#[test]
fn the_examples_come_back() {
    for text in [EXAMPLE, UPSTREAM] {
        check_round_trip(&load(text).expect("an example"));
        check_conversion(text, Place::Beside);
    }
}

#[test]
fn private_keys_are_shown_to_nobody_who_does_not_ask() {
    let text = format!(
        "{HEADER}extenders: [{{urlPrefix: 'https://x', tlsConfig: {{certData: Q0VSVA==, keyData: c2VjcmV0, caFile: /ca}}}}]\n"
    );
    let configuration = load(&text).expect("a configuration");
    check_round_trip(&configuration);
    assert!(printed(&configuration).contains("c2VjcmV0"));
    let redacted = configuration.to_yaml(Secrets::Redacted).expect("text");
    assert!(
        !redacted.contains("c2VjcmV0") && redacted.contains("Q0VSVA=="),
        "{redacted}"
    );
    load(&redacted).expect("a configuration");
}

/// Pieces of files that say something, in many combinations. Each is a field of the first document.
fn fields() -> impl Strategy<Value = String> {
    let plugin = prop::sample::select(vec![
        "NodeAffinity",
        "ImageLocality",
        "PodTopologySpread",
        "TaintToleration",
        "NodeResourcesFit",
        "VolumeZone",
        "InterPodAffinity",
        "'*'",
        "DefaultPreemption",
        "NodePorts",
    ]);
    let point = prop::sample::select(vec!["multiPoint", "score", "filter", "preScore", "preFilter", "permit"]);
    let set = (point, plugin.clone(), plugin, -2..5i32).prop_map(|(point, enabled, disabled, weight)| {
        format!("{point}: {{enabled: [{{name: {enabled}, weight: {weight}}}], disabled: [{{name: {disabled}}}]}}")
    });
    let sets = prop::collection::vec(set, 0..3).prop_map(|sets| format!("plugins: {{{}}}", sets.join(", ")));
    let args = prop::sample::subsequence(
        vec![
            "{name: NodeAffinity, args: {addedAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 3, \
             preference: {matchExpressions: [{key: a, operator: In, values: [b, 'true']}]}}, {weight: 0}]}}}",
            "{name: NodeResourcesFit, args: {ignoredResources: [example.com/a], scoringStrategy: {type: \
             RequestedToCapacityRatio, resources: [{name: cpu, weight: 7}], requestedToCapacityRatio: {shape: \
             [{utilization: 0, score: 1}, {utilization: 50, score: 9}]}}}}",
            "{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 2, topologyKey: zone, \
             whenUnsatisfiable: DoNotSchedule}]}}",
            "{name: InterPodAffinity, args: {hardPodAffinityWeight: 9, ignorePreferredTermsOfExistingPods: true}}",
            "{name: VolumeBinding, args: {bindTimeoutSeconds: 7, shape: [{utilization: 3, score: 4}]}}",
        ],
        0..=5,
    )
    .prop_map(|args| format!("pluginConfig: [{}]", args.join(", ")));
    let name = prop::sample::select(vec!["a", "default-scheduler", "'null'", "'1'", "\"x: y\""]);
    let profile =
        (name, sets, args).prop_map(|(name, sets, args)| format!("{{schedulerName: {name}, {sets}, {args}}}"));
    let profiles = prop::collection::vec(profile, 0..3).prop_map(|all| format!("profiles: [{}]", all.join(", ")));
    let rest = prop::sample::subsequence(
        vec![
            "clientConnection: {qps: 7.1, burst: 9, kubeconfig: '/a: b'}",
            "leaderElection: {leaderElect: false, resourceName: kube-scheduler, resourceNamespace: kube-system}",
            "podInitialBackoffSeconds: 3",
            "parallelism: 4",
            "unknown: 1",
            "extenders: [{urlPrefix: 'https://x', prioritizeVerb: p, weight: 2, enableHTTPS: true, httpTimeout: 1h1.5s, \
             managedResources: [{name: example.com/b, ignoredByScheduler: true}]}, {urlPrefix: 'nonsense'}]",
        ],
        0..=6,
    );
    (profiles, rest).prop_map(|(profiles, rest)| format!("{HEADER}{profiles}\n{}\n", rest.join("\n")))
}

/// A document in which a few bytes have been changed, as by a slip of a finger.
fn mutated() -> impl Strategy<Value = String> {
    let original = prop::sample::select(vec![EXAMPLE, UPSTREAM]);
    let edit = (any::<prop::sample::Index>(), 0..3u8, any::<char>());
    (original, prop::collection::vec(edit, 1..6)).prop_map(|(original, edits)| {
        let mut chars: Vec<char> = original.chars().collect();
        for (at, how, new) in edits {
            let at = at.index(chars.len());
            match how {
                0 => chars[at] = new,
                1 => chars.insert(at, new),
                _ => drop(chars.remove(at)),
            }
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_comes_back(text in fields()) {
        let allowed = format!("{text}---\napiVersion: muster.dev/v1alpha1\nkind: MusterConfiguration\nallowDefaultSchedulerName: true\n");
        if let Ok(configuration) = load(&allowed) {
            check_round_trip(&configuration);
        }
        check_conversion(&text, Place::Beside);
        check_conversion(&text, Place::Instead);
    }

    #[test]
    fn slips_of_a_finger_are_told_with_their_place(text in mutated()) {
        match load(&text) {
            Ok(configuration) => check_round_trip(&configuration),
            Err(error) => {
                prop_assert!(!error.problems().is_empty());
                prop_assert!(error.problems().iter().all(|problem| !problem.path.is_empty() && !problem.message.contains('\n')));
            }
        }
        check_conversion(&text, Place::Beside);
    }

    #[test]
    fn bytes_of_any_sort_are_an_error_and_no_more(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = load(&text);
        let _ = convert(&text, Place::Instead);
    }
}
