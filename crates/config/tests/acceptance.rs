//! What is accepted, and what comes of it.

use std::time::Duration;

use muster_config::{ClientConnection, Configuration, LeaderElection, Profile, Tracing, load};
use muster_engine::{BatchSettings, GangSettings};
use muster_framework::group::WhenBroken;
use muster_framework::rules::KubeMinor;
use proptest::prelude::*;

const HEADER: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

fn accepted(text: &str) -> Configuration {
    load(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_least_file_is_the_default() {
    assert_eq!(accepted(HEADER), Configuration::default());
}

#[test]
fn the_example_shows_every_default() {
    let example = include_str!("../../../config/muster.yaml");
    assert_eq!(accepted(example), Configuration::default());
}

/// `kube-scheduler --write-config-to` of 1.37, with the two lines changed that Muster cannot take over.
#[test]
fn the_default_file_of_upstream_is_accepted() {
    let upstream = include_str!("upstream-default-1.37.yaml");
    let configuration = accepted(upstream);
    let expected = Configuration {
        client: ClientConnection {
            kubeconfig: None,
            qps: Some(50.0),
            burst: Some(100),
        },
        leader_election: LeaderElection {
            elect: false,
            name: "kube-scheduler".to_owned(),
            namespace: Some("kube-system".to_owned()),
            ..LeaderElection::default()
        },
        ..Configuration::default()
    };
    assert_eq!(
        configuration.profiles(KubeMinor::V1_37),
        expected.profiles(KubeMinor::V1_37)
    );
    assert_eq!(
        Configuration {
            profiles: expected.profiles.clone(),
            warnings: Vec::new(),
            ..configuration
        },
        expected
    );
}

#[test]
fn everything_that_is_applied() {
    let text = format!(
        "{HEADER}podInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 20\nclientConnection: {{kubeconfig: /etc/k, qps: 7.5, \
         burst: 9}}\nprofiles: [{{schedulerName: a}}, {{schedulerName: default-scheduler}}]\nleaderElection: {{leaderElect: \
         true, leaseDuration: 30s, renewDeadline: 20s, retryPeriod: 4s, resourceName: x, resourceNamespace: here}}\n--- # Muster's own\napiVersion: \
         muster.dev/v1alpha1\nkind: MusterConfiguration\nseed: 42\npodMaxInUnschedulable: 1m30s\nbindsInFlight: 3\n\
         statusWritesInFlight: 2\nallowDefaultSchedulerName: true\ngangs: {{whenBroken: evict, brokenGrace: 5s, \
         succeededCount: false}}\nbatching: {{enabled: false, checkEvery: 7}}\n\
         tracing: {{endpoint: 'https://collector:4318', samplingRatePerMillion: 5}}\n"
    );
    let configuration = accepted(&text);
    let expected = Configuration {
        profiles: vec![Profile::named("a"), Profile::named("default-scheduler")],
        extenders: Vec::new(),
        pod_initial_backoff: Duration::from_secs(2),
        pod_max_backoff: Duration::from_secs(20),
        pod_max_in_unschedulable: Duration::from_secs(90),
        seed: 42,
        client: ClientConnection {
            kubeconfig: Some("/etc/k".to_owned()),
            qps: Some(7.5),
            burst: Some(9),
        },
        leader_election: LeaderElection {
            elect: true,
            lease_duration: Duration::from_secs(30),
            renew_deadline: Duration::from_secs(20),
            retry_period: Duration::from_secs(4),
            name: "x".to_owned(),
            namespace: Some("here".to_owned()),
        },
        gangs: GangSettings {
            when_broken: WhenBroken::Evict,
            broken_grace: Duration::from_secs(5),
            succeeded_count: false,
        },
        batching: BatchSettings {
            enabled: false,
            check_every: 7,
        },
        binds_in_flight: 3,
        status_writes_in_flight: 2,
        tracing: Some(Tracing {
            endpoint: "https://collector:4318/v1/traces".to_owned(),
            sampling_rate_per_million: 5,
        }),
        warnings: Vec::new(),
    };
    assert_eq!(configuration, expected);
    let settings = configuration.engine_settings(KubeMinor::V1_36);
    assert_eq!(settings.profiles, configuration.profiles(KubeMinor::V1_36));
    assert_eq!(
        (settings.seed, settings.pod_max_in_unschedulable),
        (42, Duration::from_secs(90))
    );
}

#[test]
fn the_order_of_the_documents_is_free_and_empty_ones_do_not_count() {
    let own = "apiVersion: muster.dev/v1alpha1\nkind: MusterConfiguration\nseed: 5\n";
    for text in [
        format!("---\n{own}---\n# nothing\n---\n{HEADER}---\n"),
        format!("{HEADER}...\n---\r\n{own}"),
    ] {
        assert_eq!(accepted(&text).seed, 5, "{text}");
    }
}

#[test]
fn json_is_read_too() {
    let text = "{\n\t\"apiVersion\": \"kubescheduler.config.k8s.io/v1\",\n\t\"kind\": \"KubeSchedulerConfiguration\",\n\t\
                \"profiles\": [{\"schedulerName\": \"b\"}]\n}";
    assert_eq!(accepted(text).scheduler_names().collect::<Vec<_>>(), ["b"]);
    let error = load(&text.replace("schedulerName", "name"))
        .expect_err("unknown field")
        .to_string();
    assert_eq!(
        error,
        "invalid configuration: .profiles[0].name: unknown field (line 4)"
    );
}

/// Keys and values that occur in configurations, put together at random, reach further than random text.
fn yaml() -> impl Strategy<Value = String> {
    const KEYS: [&str; 30] = [
        "profiles",
        "plugins",
        "score",
        "multiPoint",
        "enabled",
        "disabled",
        "name",
        "weight",
        "pluginConfig",
        "args",
        "leaderElection",
        "clientConnection",
        "extenders",
        "qps",
        "podMaxBackoffSeconds",
        "scoringStrategy",
        "resources",
        "requestedToCapacityRatio",
        "shape",
        "utilization",
        "addedAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
        "matchExpressions",
        "operator",
        "values",
        "defaultConstraints",
        "tlsConfig",
        "caData",
        "managedResources",
    ];
    const SCALARS: [&str; 12] = [
        "null",
        "true",
        "0",
        "-1",
        "1.5e300",
        "18446744073709551615",
        "\"*\"",
        "NodeAffinity",
        "NodeResourcesFit",
        "15s",
        "\"\"",
        "\"\\u0000\"",
    ];
    let scalar = prop::sample::select(&SCALARS[..]).prop_map(str::to_owned);
    scalar.prop_recursive(6, 48, 6, |inner| {
        let entry = (prop::sample::select(&KEYS[..]), inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(entry, 0..6).prop_map(|entries| format!("{{{}}}", entries.join(", "))),
        ]
    })
}

fn check(text: &str) {
    let Err(error) = load(text) else { return };
    assert!(!error.problems().is_empty());
    for problem in error.problems() {
        let starts = problem.path.starts_with(['.', '[']) || problem.path.starts_with("MusterConfiguration");
        assert!(starts, "{problem}");
        assert!(
            problem
                .line
                .is_none_or(|line| 0 < line && line <= 1 + text.lines().count() as u64),
            "{problem}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        check(&text);
        check(&format!("{HEADER}{text}"));
    }

    #[test]
    fn any_mixture_of_yaml_characters_is_answered(text in "[-:?&*!|>{}\\[\\],#'\"%@`~ \n\tab01.]{0,80}") {
        check(&text);
        check(&format!("{HEADER}{text}"));
    }

    #[test]
    fn any_structure_is_answered(profiles in yaml(), connection in yaml(), election in yaml()) {
        check(&format!("{HEADER}extenders: [{profiles}, {connection}]\n"));
        for plugin in ["NodeAffinity", "NodeResourcesFit", "PodTopologySpread", "VolumeBinding"] {
            check(&format!("{HEADER}profiles: [{{pluginConfig: [{{name: {plugin}, args: {election}}}]}}]\n"));
        }
        check(&format!("{HEADER}profiles: {profiles}\nclientConnection: {connection}\nleaderElection: {election}\n"));
        check(&format!("{HEADER}profiles:\n- plugins: {profiles}\n  pluginConfig: {connection}\n"));
    }
}
