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
            "leaderElection: {resourceName: kube-scheduler}\n",
            "leaderElection: {leaderElect: false, resourceName: kube-scheduler, resourceLock: x, leaseDuration: 1s}\n",
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
            "leaderElection: {retryPeriod: 9s}\n",
            "leaderElection: {renewDeadline: 2s}\n",
            "leaderElection: {leaseDuration: 0s, resourceLock: \"\", resourceName: \"\", resourceNamespace: \"\"}\n",
            "extenders: []\n",
        ]),
    );
}

/// The bodies of `plugins` of one profile.
fn plugins(bodies: &[&str]) -> String {
    let texts: Vec<String> = bodies
        .iter()
        .map(|body| format!("profiles:\n- plugins: {{{body}}}\n"))
        .collect();
    outcomes(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn plugin_lists() {
    snapshot(
        "plugin_lists",
        plugins(&[
            "",
            "multiPoint: {enabled: [{name: Coscheduling}]}",
            "multiPoint: {enabled: [{name: EBSLimits}], disabled: [{name: GCEPDLimits}]}",
            "score: {disabled: [{name: nodeaffinity}]}",
            "score: {enabled: [{name: NodeResourcesFit}, {name: NodeResourcesFit, weight: 1}]}",
            "multiPoint: {enabled: [{name: NodeAffinity}, {name: NodeAffinity}]}",
            "score: {enabled: [{name: NodeAffinity, weight: two}]}",
            "score: {enabled: [{name: NodeAffinity, weight: 2147483648}]}",
            "score: {enabled: [{name: NodePorts}]}",
            "score: {enabled: [{weight: 1}]}",
            "multiPoint: {disabled: [{name: TaintToleration, weight: 3}]}",
            "multiPoint: {enabled: [{name: '*'}]}",
            "postBind: {disabled: [{name: '*'}]}",
        ]),
    );
}

/// What upstream's framework refuses to start with.
#[test]
fn profiles_that_cannot_run() {
    snapshot(
        "profiles_that_cannot_run",
        plugins(&[
            "multiPoint: {disabled: [{name: DefaultBinder}]}",
            "bind: {disabled: [{name: '*'}]}",
            "bind: {disabled: [{name: '*'}], enabled: [{name: DefaultBinder}]}",
            "queueSort: {disabled: [{name: PrioritySort}]}",
            "multiPoint: {disabled: [{name: '*'}]}",
            "multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}, {name: DefaultBinder}]}",
            "score: {enabled: [{name: NodeAffinity, weight: -2}]}",
            "multiPoint: {enabled: [{name: ImageLocality, weight: -2}]}",
        ]),
    );
}

#[test]
fn plugins_taken_apart() {
    snapshot(
        "plugins_taken_apart",
        plugins(&[
            "filter: {disabled: [{name: NodePorts}]}",
            "preFilter: {disabled: [{name: NodePorts}]}",
            "filter: {disabled: [{name: NodeAffinity}]}",
            "filter: {disabled: [{name: NodeAffinity}]}, preFilter: {disabled: [{name: NodeAffinity}]}",
            "preFilter: {disabled: [{name: '*'}]}",
            "filter: {disabled: [{name: VolumeBinding}]}, preFilter: {disabled: [{name: VolumeBinding}]}",
            "preBind: {disabled: [{name: VolumeBinding}]}",
            "reserve: {disabled: [{name: '*'}]}",
            "multiPoint: {disabled: [{name: VolumeBinding}]}",
            "score: {disabled: [{name: PodTopologySpread}]}",
            "preScore: {disabled: [{name: PodTopologySpread}]}",
            "preScore: {disabled: [{name: PodTopologySpread}]}, score: {disabled: [{name: PodTopologySpread}]}",
            "filter: {enabled: [{name: VolumeZone}]}",
            "filter: {enabled: [{name: VolumeZone}]}, preFilter: {enabled: [{name: VolumeZone}]}",
            "filter: {enabled: [{name: NodePorts}]}",
            "multiPoint: {disabled: [{name: NodeDeclaredFeatures}]}, filter: {enabled: [{name: NodeDeclaredFeatures}]}",
            "preFilter: {disabled: [{name: NodeDeclaredFeatures}]}",
        ]),
    );
}

#[test]
fn plugins_without_effect() {
    snapshot(
        "plugins_without_effect",
        plugins(&[
            "multiPoint: {enabled: [{name: DynamicResources, weight: 2}, {name: DefaultPreemption}]}",
            "multiPoint: {disabled: [{name: DynamicResources}, {name: DefaultPreemption}, {name: GangScheduling}]}",
            "placementScore: {enabled: [{name: PodGroupPodsCount, weight: 1}]}",
            "filter: {enabled: [{name: DeferredPodScheduling}]}, permit: {enabled: [{name: GangScheduling}]}",
            "podGroupPostFilter: {disabled: [{name: DynamicResources}]}",
        ]),
    );
}

#[test]
fn one_queue_for_all_profiles() {
    snapshot(
        "one_queue_for_all_profiles",
        outcomes(&[
            "profiles:\n- schedulerName: a\n- schedulerName: b\n  plugins:\n    queueSort: {disabled: [{name: '*'}], enabled: \
             [{name: PrioritySort}]}\n",
            "profiles:\n- schedulerName: a\n  plugins:\n    queueSort: {enabled: [{name: PrioritySort}]}\n- schedulerName: b\n",
            "profiles:\n- schedulerName: a\n  plugins: {queueSort: {enabled: [{name: PrioritySort}]}}\n- schedulerName: b\n  \
             plugins: {queueSort: {enabled: [{name: PrioritySort}]}}\n",
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
fn plugin_arguments() {
    snapshot(
        "plugin_arguments",
        plugin_config(&[
            "{args: {}}",
            "{name: Coscheduling, args: {permitWaitingTimeSeconds: 10}}",
            "{name: CinderLimits}",
            "{name: NodeName, args: {strict: true}}",
            "{name: NodePorts, args: 3}",
            "{name: NodePorts}, {name: NodePorts}",
            "{name: NodeAffinity}, {name: NodeResourcesFit, args: null}, {name: VolumeBinding, args: {}}",
            "{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}",
            "{name: InterPodAffinity, args: {hardPodAffinityWeight: -1, ignorePreferredTermsOfExistingPods: 1}}",
            "{name: InterPodAffinity, args: {hardPodAffinityWeigth: 1}}",
            "{name: InterPodAffinity, args: {kind: NodeAffinityArgs, apiVersion: kubescheduler.config.k8s.io/v1beta3}}",
            "{name: NodeResourcesBalancedAllocation, args: {resources: [{name: cpu, weight: 2}, {name: cpu}, {weight: 1}]}}",
            "{name: VolumeBinding, args: {bindTimeoutSeconds: -1, shape: [{utilization: 0}]}}",
            "{name: VolumeBinding, args: {shape: [{utilization: 0, score: 10}, {utilization: 100, score: 0}]}}",
            "{name: DefaultPreemption, args: {minCandidateNodesPercentage: 101, minCandidateNodesAbsolute: -1}}",
            "{name: DefaultPreemption, args: {minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}}",
            "{name: DefaultPreemption, args: {minCandidateNodesPercentage: 0}}",
            "{name: DynamicResources, args: {filterTimeout: -1s, bindingTimeout: 999ms}}",
            "{name: DynamicResources, args: {filterTimeout: 0s}}",
        ]),
    );
}

#[test]
fn arguments_of_node_resources_fit() {
    let args: Vec<String> = [
        "{ignoredResources: [example.com/foo, '', a b], ignoredResourceGroups: [example.com/foo, '-x']}",
        "{ignoredResources: example.com}",
        "{scoringStrategy: {}}",
        "{scoringStrategy: {type: Least, resources: [{name: cpu, weight: 101}, {name: memory, weight: -1}]}}",
        "{scoringStrategy: {type: MostAllocated, resources: [{weight: 1}, {name: nvidia.com/gpu, wait: 3}]}}",
        "{scoringStrategy: {type: LeastAllocated, requestedToCapacityRatio: {shape: []}}}",
        "{scoringStrategy: {type: RequestedToCapacityRatio}}",
        "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {}}}",
        "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: []}}}",
        "{scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 5, score: 11}, \
         {utilization: 5, score: -1}, {utilization: 101}]}}}",
    ]
    .iter()
    .map(|args| format!("{{name: NodeResourcesFit, args: {args}}}"))
    .collect();
    snapshot(
        "arguments_of_node_resources_fit",
        plugin_config(&args.iter().map(String::as_str).collect::<Vec<_>>()),
    );
}

#[test]
fn arguments_of_pod_topology_spread() {
    let args: Vec<String> = [
        "defaultingType: Lists",
        "defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]",
        "defaultingType: List, defaultConstraints: [{}, {maxSkew: -1, topologyKey: 'a b', whenUnsatisfiable: Never}]",
        "defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}, \
         {maxSkew: 2, topologyKey: z, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]",
        "defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, \
         minDomains: 2, nodeAffinityPolicy: Ignore, nodeTaintsPolicy: Honor, matchLabelKeys: [a], maxSkwe: 1}]",
        "defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, \
         minDomains: 1, nodeAffinityPolicy: Honor, nodeTaintsPolicy: Ignore, matchLabelKeys: [a]}]",
    ]
    .iter()
    .map(|args| format!("{{name: PodTopologySpread, args: {{{args}}}}}"))
    .collect();
    snapshot(
        "arguments_of_pod_topology_spread",
        plugin_config(&args.iter().map(String::as_str).collect::<Vec<_>>()),
    );
}

#[test]
fn arguments_of_node_affinity() {
    let args: Vec<String> = [
        "requiredDuringSchedulingIgnoredDuringExecution: []",
        "requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Is}, \
         {key: b}]}]}",
        "requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: 'a b', operator: \
         Exists}, {key: c, operator: Exists, values: [x]}, {key: d, operator: In}, {key: e, operator: Gt, values: [x]}, {key: \
         f, operator: Lt, values: ['1', '2']}, {key: g, operator: NotIn, values: ['-']}, {key: h, operator: Gt, values: \
         ['-1']}]}]}",
        "requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: \
         Exists}, {key: metadata.name, operator: In, values: [a, b]}]}]}",
        "preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: '', operator: \
         Exists}]}}, {weight: 0, preference: {matchExpressions: [{key: '', operator: Exists}]}}, {preferences: {}}]",
    ]
    .iter()
    .map(|args| format!("{{name: NodeAffinity, args: {{addedAffinity: {{{args}}}}}}}"))
    .collect();
    snapshot(
        "arguments_of_node_affinity",
        plugin_config(&args.iter().map(String::as_str).collect::<Vec<_>>()),
    );
}

#[test]
fn extenders() {
    let texts: Vec<String> = [
        "{}",
        "{urlPrefix: 127.0.0.1:80}",
        "{urlPrefix: 'http://'}",
        "{urlPrefix: 'http://x', verbs: [filter]}",
        "{urlPrefix: 'http://x', prioritizeVerb: p}",
        "{urlPrefix: 'http://x', prioritizeVerb: p, weight: -1, httpTimeout: 5}",
        "{urlPrefix: 'http://x', preemptVerb: p, weight: 1, httpTimeout: 0s}",
        "{urlPrefix: 'http://x', bindVerb: b}, {urlPrefix: 'http://y', bindVerb: b}",
        "{urlPrefix: 'http://x', managedResources: [{name: cpu}, {}, {name: example.com/a}, {name: example.com/a}]}",
        "{urlPrefix: 'http://x', managedResources: [{name: example.com/a}]}, {urlPrefix: 'http://y', managedResources: [{name: \
         example.com/a}]}",
        "{urlPrefix: 'https://x', enableHTTPS: true}",
        "{urlPrefix: 'https://x', enableHTTPS: true, tlsConfig: {insecure: true, caFile: /ca, keyFile: /k}}",
        "{urlPrefix: 'https://x', tlsConfig: {caData: '%', certFiles: /c}}",
    ]
    .iter()
    .map(|entries| format!("extenders: [{entries}]\n"))
    .collect();
    snapshot(
        "extenders",
        outcomes(&texts.iter().map(String::as_str).collect::<Vec<_>>()),
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
        "tracing: {}\n",
        "tracing: null\n",
        "tracing: {endpoint: \"http://c:1/x\", samplingRatePerMillion: 1000000}\n",
        "tracing: {endpoint: \"localhost:4317\", samplingRatePerMillion: 1000001}\n",
        "tracing:\n  endpoint: \"http://me:secret@c\"\n  samplingRatePerMillion: -1\n  x: 1\n",
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
