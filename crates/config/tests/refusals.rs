//! Every refusal and every warning, as its reader sees it: tables of small files with their messages as snapshots.

use std::fmt::Write as _;

use muster_config::load;

const HEADER: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

/// What comes of each body under the header, which takes lines 1 and 2: problems, else warnings, else "accepted".
fn outcomes(bodies: &[&str]) -> String {
    raw_outcomes(&bodies.iter().map(|body| format!("{HEADER}{body}")).collect::<Vec<_>>())
}

/// Compares with the snapshot of this name. The inputs stand in it, and need not stand in its header again.
fn snapshot(name: &str, text: impl AsRef<str>) {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, text.as_ref()) });
}

fn raw_outcomes(texts: &[String]) -> String {
    let mut out = String::new();
    for text in texts {
        let shown = text.strip_prefix(HEADER).unwrap_or(text);
        writeln!(out, "{}", shown.trim_end()).expect("writing to a string");
        match load(text) {
            Ok(configuration) if configuration.warnings.is_empty() => out.push_str("    => accepted\n"),
            Ok(configuration) => configuration
                .warnings
                .iter()
                .for_each(|w| out.push_str(&format!("    => warning {w}\n"))),
            Err(error) => {
                assert!(!error.problems().is_empty());
                assert!(
                    error
                        .problems()
                        .iter()
                        .all(|problem| !problem.path.is_empty() && !problem.message.is_empty())
                );
                assert!(!error.to_string().contains('\n'), "one sentence");
                error
                    .problems()
                    .iter()
                    .for_each(|problem| out.push_str(&format!("    => {problem}\n")));
            }
        }
        out.push('\n');
    }
    out
}

#[test]
fn text_that_is_no_configuration() {
    snapshot(
        "text_that_is_no_configuration",
        raw_outcomes(&[
            String::new(),
            "# only a comment\n".to_owned(),
            "just text".to_owned(),
            "[1, 2]".to_owned(),
            "a: [1\nb: 2\n".to_owned(),
            "a:\n\t- b\n".to_owned(),
            "{}".to_owned(),
            "apiVersion: v1\nkind: Pod\n".to_owned(),
            "kind: KubeSchedulerConfiguration\n".to_owned(),
            "apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration\n".to_owned(),
            format!("{HEADER}---\n{HEADER}"),
            "apiVersion: muster.dev/v1alpha1\nkind: MusterConfiguration\n".to_owned(),
            format!("{HEADER}1: a\n\"1\": b\n"),
            format!("{HEADER}? [complex, key]\n: value\n"),
            format!("{HEADER}podMaxBackoffSeconds: 999999999999999999999999999999999999999999\n"),
            format!("{HEADER}clientConnection: {{qps: .nan}}\n"),
        ]),
    );
}

#[test]
fn strictness() {
    snapshot(
        "strictness",
        outcomes(&[
            "parallelizm: 3\n",
            "clientConnection:\n  qps: 50\n  QPS: 50\n",
            "leaderElection: {leaderElect: false, resourcName: x}\n",
            "podMaxBackoffSeconds: 3\npodMaxBackoffSeconds: 4\n",
            "profiles:\n- schedulerName: a\n  plugins:\n    score:\n      enabled: []\n      enabled: []\n",
            "profiles:\n- plugins:\n    score:\n      enabled:\n      - {name: NodeAffinity, weight: 2}\n      - name: TaintToleration\n        wieght: 3\n",
            "profiles:\n- plugins: {scores: {}}\n  schedulername: a\n",
            "profiles: {}\n",
            "profiles: [muster]\n",
            "profiles:\n- schedulerName: on\n",
            "profiles:\n- schedulerName: 7\n",
            "profiles: [{plugins: []}, {plugins: {filter: 3, score: {enabled: x, disabled: [y]}}}]\n",
            "leaderElection: true\nclientConnection: 3\nextenders: {}\n",
            "leaderElection: {leaderElect: \"false\", leaseDuration: 15, renewDeadline: soon, resourceName: 3}\n",
            "clientConnection: {kubeconfig: 3, qps: many, burst: 1.5, contentType: [], acceptContentTypes: 1}\n",
            "parallelism: 4294967296\nenableProfiling: 1\ndelayCacheUntilActive: \"\"\npodInitialBackoffSeconds: 1s\n",
            "profiles:\nextenders:\nclientConnection:\nleaderElection:\nparallelism: null\n",
        ]),
    );
}

#[test]
fn values_as_upstream() {
    snapshot(
        "values_as_upstream",
        outcomes(&[
            "podInitialBackoffSeconds: 0\n",
            "podInitialBackoffSeconds: -1\npodMaxBackoffSeconds: 0\n",
            "podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 4\n",
            "podInitialBackoffSeconds: 11\n",
            "podMaxBackoffSeconds: 9223372037\n",
            "podInitialBackoffSeconds: 10\n",
            "parallelism: 0\n",
            "percentageOfNodesToScore: 101\n",
            "profiles:\n- percentageOfNodesToScore: -1\n",
            "clientConnection: {burst: -1}\n",
            "clientConnection: {qps: 1e39}\n",
            "profiles:\n- schedulerName: a\n- schedulerName: b\n- schedulerName: a\n",
            "profiles:\n- schedulerName: a\n- {}\n",
            "profiles:\n- schedulerName: \"\"\n",
            "profiles:\n- schedulerName: default-scheduler\n",
            "profiles: []\n",
        ]),
    );
}

#[test]
fn accepted_without_effect() {
    snapshot(
        "accepted_without_effect",
        outcomes(&[
            "parallelism: 16\npercentageOfNodesToScore: 0\nenableProfiling: true\nenableContentionProfiling: true\n",
            "percentageOfNodesToScore: 100\nenableProfiling: false\ndelayCacheUntilActive: false\n",
            "delayCacheUntilActive: true\nprofiles:\n- percentageOfNodesToScore: 50\n",
            "clientConnection: {contentType: application/vnd.kubernetes.protobuf, acceptContentTypes: \"\"}\n",
            "clientConnection: {contentType: application/json, burst: 100}\n",
            "clientConnection: {qps: -1, burst: 0}\n",
            "leaderElection: {resourceName: muster}\n",
            "leaderElection: {leaderElect: false, resourceName: muster, resourceLock: leases, leaseDuration: 15s}\n",
        ]),
    );
}

#[test]
fn not_supported_yet() {
    snapshot(
        "not_supported_yet",
        outcomes(&[
            "leaderElection: {leaderElect: true}\n",
            "leaderElection: {leaderElect: true, resourceLock: endpoints, leaseDuration: 10s, retryPeriod: 2s}\n",
            "leaderElection: {leaderElect: true, renewDeadline: 20s}\n",
            "extenders: []\n",
            "extenders:\n- urlPrefix: http://extender\n  filterVerb: filter\n",
        ]),
    );
}

/// The bodies of `plugins` of one profile.
fn plugins(bodies: &[&str]) -> String {
    let texts: Vec<String> = bodies
        .iter()
        .map(|body| format!("profiles:\n- plugins:\n    {body}\n"))
        .collect();
    outcomes(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn plugins_that_differ() {
    snapshot(
        "plugins_that_differ",
        plugins(&[
            "multiPoint: {enabled: [{name: Coscheduling}]}",
            "multiPoint: {enabled: [{name: EBSLimits}], disabled: [{name: Coscheduling}]}",
            "score: {enabled: [{name: NodeResourcesFit}, {name: NodeResourcesFit, weight: 1}]}",
            "score: {enabled: [{name: TaintToleration, weight: 5}]}",
            "score: {enabled: [{name: TaintToleration}]}",
            "multiPoint: {enabled: [{name: NodeAffinity, weight: 0}]}",
            "multiPoint: {enabled: [{name: NodeAffinity, weight: -2}]}",
            "score: {enabled: [{name: NodeAffinity, weight: two}]}",
            "score: {enabled: [{name: NodePorts}]}",
            "score: {enabled: [{weight: 1}]}",
            "filter: {disabled: [{name: NodePorts}]}",
            "multiPoint: {disabled: [{name: TaintToleration, weight: 3}]}",
            "multiPoint: {disabled: [{name: DefaultBinder}]}",
            "permit: {disabled: [{name: GangScheduling}]}",
            "queueSort: {disabled: [{name: '*'}], enabled: [{name: Coscheduling}]}",
            "bind: {disabled: [{name: '*'}]}",
        ]),
    );
}

#[test]
fn plugins_that_say_the_same_in_other_words() {
    snapshot(
        "plugins_that_say_the_same_in_other_words",
        plugins(&[
            "{}",
            "score: {enabled: [{name: NodeResourcesFit}, {name: TaintToleration, weight: 3}]}",
            "filter: {enabled: [{name: TaintToleration, weight: 9}]}",
            "bind: {disabled: [{name: '*'}], enabled: [{name: DefaultBinder}]}",
            "preEnqueue: {disabled: [{name: SchedulingGates}], enabled: [{name: SchedulingGates}]}",
            "postBind: {disabled: [{name: '*'}]}",
            "permit: {disabled: [{name: NodeName}]}",
        ]),
    );
}

/// Plugins that some version of Muster lacks: the messages name one that is far away, so that gaining others does not
/// change this test.
#[test]
fn plugins_that_muster_does_not_have() {
    snapshot(
        "plugins_that_muster_does_not_have",
        plugins(&[
            "multiPoint: {enabled: [{name: DynamicResources, weight: 2}], disabled: [{name: NodeDeclaredFeatures}]}",
            "placementScore: {enabled: [{name: PodGroupPodsCount, weight: 1}]}",
            "podGroupPostFilter: {disabled: [{name: DynamicResources}]}",
        ]),
    );
}

/// The entries of `pluginConfig` of one profile.
fn plugin_config(entries: &[&str]) -> String {
    let texts: Vec<String> = entries
        .iter()
        .map(|entry| format!("profiles:\n- pluginConfig: [{entry}]\n"))
        .collect();
    outcomes(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn plugin_arguments_that_differ() {
    snapshot(
        "plugin_arguments_that_differ",
        plugin_config(&[
            "{args: {}}",
            "{name: Coscheduling, args: {permitWaitingTimeSeconds: 10}}",
            "{name: NodeName, args: {strict: true}}",
            "{name: NodePorts, args: 3}",
            "{name: NodePorts}, {name: NodePorts}",
            "{name: InterPodAffinity, args: {hardPodAffinityWeight: 5}}",
            "{name: InterPodAffinity, args: {hardPodAffinityWeigth: 1}}",
            "{name: InterPodAffinity, args: {kind: NodeAffinityArgs, apiVersion: kubescheduler.config.k8s.io/v1beta3}}",
            "{name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated}}}",
            "{name: NodeResourcesFit, args: {scoringStrategy: {resources: [{name: cpu, weight: 5}, {name: memory}]}}}",
            "{name: NodeResourcesFit, args: {scoringStrategy: {resources: [{name: nvidia.com/gpu}]}}}",
            "{name: NodeResourcesFit, args: {ignoredResources: [example.com/foo], ignoredResourceGroups: example.com}}",
            "{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {}}}}",
            "{name: PodTopologySpread, args: {defaultingType: List}}",
            "{name: VolumeBinding, args: {bindTimeoutSeconds: 60}}",
            "{name: DynamicResources, args: {filterTimeout: 1m}}",
        ]),
    );
}

#[test]
fn muster_section() {
    let own = "apiVersion: muster.dev/v1alpha1\nkind: MusterConfiguration\n";
    let bodies = [
        "",
        "sed: 1\n",
        "seed: -1\n",
        "seed: 18446744073709551616\n",
        "seed: 18446744073709551615\n",
        "seed: 1\nseed: 2\n",
        "podMaxInUnschedulable: 300\n",
        "podMaxInUnschedulable: 0s\n",
        "podMaxInUnschedulable: -5m\n",
        "bindsInFlight: 0\nstatusWritesInFlight: 65536\n",
        "allowDefaultSchedulerName: yes\n",
        "allowDefaultSchedulerName: \"yes\"\n",
    ];
    let mut texts: Vec<String> = bodies.iter().map(|body| format!("{HEADER}---\n{own}{body}")).collect();
    texts.push(format!("{HEADER}---\nkind: MusterConfiguration\n"));
    texts.push(format!(
        "{HEADER}---\napiVersion: muster.dev/v1\nkind: MusterConfiguration\n"
    ));
    texts.push(format!("{HEADER}---\n{own}---\n{own}"));
    texts.push(format!("{HEADER}---\n- kind: MusterConfiguration\n"));
    snapshot("muster_section", raw_outcomes(&texts));
}

#[test]
fn several_problems_are_reported_in_the_order_of_the_text() {
    let text = format!("{HEADER}extenders: [{{}}]\nfoo: 1\nprofiles:\n- schedulerName: ''\n  bar: 2\nparallelism: 0\n");
    snapshot(
        "several_problems_are_reported_in_the_order_of_the_text",
        load(&text).expect_err("four problems").to_string(),
    );
}

#[test]
fn disabling_everything_names_what_must_come_back() {
    let text = format!(
        "{HEADER}profiles:\n- plugins:\n    multiPoint: {{disabled: [{{name: '*'}}], enabled: [{{name: NodeName}}]}}\n"
    );
    let error = load(&text).expect_err("the other plugins are missing").to_string();
    assert!(
        error.contains("TaintToleration") && error.contains("NodeResourcesFit"),
        "{error}"
    );
    assert!(
        !error.contains("NodeName") && !error.contains("DynamicResources"),
        "{error}"
    );
}
