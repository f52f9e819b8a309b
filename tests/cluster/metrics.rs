//! Muster's metrics beside those of kube-scheduler 1.37, both under the same work: the same names, types, labels and
//! buckets, but for what docs/metrics.md says, also where they are read by somebody whom only the API server knows; and as
//! few series under much work as under little.
//!
//! `UPDATE_GOLDEN=1 cargo test -p muster-tests --test cluster metrics::` writes docs/metrics.md anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use muster_tests::deployed::token;
use muster_tests::endpoints::Caller;
use muster_tests::exposition::{Families, Family, growth, parse};
use muster_tests::objects::pod;
use muster_tests::{Cluster, PATIENCE, free_port, gang, turn};
use muster_xtask::nest::Launch;
use muster_xtask::workspace_root;
use muster_xtask::{ControlPlane, KubeMinor, Options, SimulatedNode};
use serde_json::{Value, json};

const PAGE: &str = "docs/metrics.md";
const BEGIN: &str = "<!-- generated: metrics -->\n";
const END: &str = "<!-- end of generated: metrics -->\n";

/// What kube-scheduler has and Muster has not, and why. A name that ends in `*` stands for all that begin so. Some of these
/// are shown only in certain clusters: they are from `pkg/scheduler/metrics/metrics.go`.
const NOT_HERE: &[(&str, &str)] = &[
    (
        "scheduler_async_api_call_execution_*",
        "every write is asynchronous here: `muster_effects_in_flight`, `rest_client_*`",
    ),
    ("scheduler_pending_async_api_calls", "`muster_effects_in_flight`"),
    (
        "scheduler_batch_rescore_*",
        "a verdict is brought up to date as a part of the attempt",
    ),
    (
        "scheduler_get_node_hint_duration_seconds",
        "part of the attempt, and too little to be measured by itself",
    ),
    ("scheduler_store_schedule_results_duration_seconds", "likewise"),
    (
        "scheduler_dra_bindingconditions_*",
        "no dynamic resource allocation yet",
    ),
    ("scheduler_resourceclaim_*", "likewise"),
    ("resourceclaim_controller_*", "likewise"),
    (
        "scheduler_event_handling_duration_seconds",
        "events are folded in batches between decisions: `muster_inputs_total` counts them",
    ),
    (
        "scheduler_inflight_events",
        "events that come during an attempt are held against its result at once",
    ),
    (
        "scheduler_queueing_hint_execution_duration_seconds",
        "an event asks classes of pods, not single pods: [architecture](architecture.md)",
    ),
    ("scheduler_pre_queueing_hint_evaluations_total", "likewise"),
    (
        "scheduler_framework_extension_point_duration_seconds",
        "filters and scores run in one pass over columns of nodes: there is no time that is one extension point's alone",
    ),
    ("scheduler_plugin_execution_duration_seconds", "likewise"),
    ("scheduler_plugin_evaluation_total", "likewise"),
    (
        "scheduler_goroutines",
        "no goroutines: `process_threads`, `muster_effects_in_flight`",
    ),
    (
        "scheduler_permit_wait_duration_seconds",
        "nobody waits at Permit: `muster_podgroup_wait_seconds`",
    ),
    ("scheduler_preemption_*", "Muster does not preempt yet"),
    ("scheduler_workload_preemption_*", "likewise"),
    ("scheduler_generated_placements_total", "no topology-aware groups yet"),
    ("scheduler_placement_evaluat*", "likewise"),
    (
        "scheduler_volume_binder_cache_requests_total",
        "volumes are looked up in the engine's own tables: there is no such cache",
    ),
    (
        "scheduler_volume_scheduling_stage_error_total",
        "counted as attempts with the result `error`",
    ),
    (
        "kubernetes_build_info",
        "it would have kubernetes-mixin's KubeVersionMismatch fire: `muster_build_info`",
    ),
    (
        "version_info",
        "`muster_build_info`, and /statusz says whose rules are followed",
    ),
    (
        "kubernetes_feature_enabled",
        "Muster has no gates of its own: /flagz, [compat](compat.md)",
    ),
    ("go_*", "no Go runtime"),
    (
        "process_network_*",
        "they are the node's, not the process's, with hostNetwork: the kubelet has them by pod",
    ),
    (
        "process_virtual_memory_max_bytes",
        "it says how much address space a limit leaves, and there is none",
    ),
    (
        "rest_client_exec_plugin_*",
        "a credential plugin is rare beside a scheduler",
    ),
    ("rest_client_request_size_bytes", "sizes of writes hardly differ"),
    ("rest_client_response_size_bytes", "answers are read as they come"),
    (
        "rest_client_request_retries_total",
        "a request that is tried again counts as one more",
    ),
    (
        "rest_client_dns_resolution_duration_seconds",
        "not told by the HTTP client",
    ),
    ("rest_client_transport_*", "inner workings of client-go"),
    (
        "informer_*",
        "inner workings of client-go: `muster_relists_total`, `muster_watch_*`, `muster_inputs_total`",
    ),
    ("workqueue_*", "there is no work queue"),
    (
        "aggregator_discovery_aggregation_count_total",
        "of the API server's libraries; always 0 in a scheduler",
    ),
    ("apiserver_audit_*", "likewise"),
    ("apiserver_client_certificate_expiration_seconds", "likewise"),
    ("apiserver_envelope_encryption_*", "likewise"),
    ("apiserver_storage_*", "likewise"),
    ("apiserver_validation_*", "likewise"),
    ("apiserver_webhooks_*", "likewise"),
    (
        "cardinality_enforcement_unexpected_categorizations_total",
        "labels cannot be limited by a flag; they are from closed lists",
    ),
    ("disabled_metrics_total", "metrics cannot be switched off one by one"),
    ("hidden_metrics_total", "likewise"),
    ("registered_metrics_total", "likewise"),
];

/// Labels whose values are from closed lists, and the values that only Muster has, with the reason.
const CLOSED: &[(&str, &str, &[&str], &str)] = &[
    (
        "scheduler_batch_attempts_total",
        "result",
        &["hint_used", "hint_not_used"],
        "the same words, with other meanings in part: [compat](compat.md#batching)",
    ),
    (
        "scheduler_batch_cache_flushed_total",
        "reason",
        &["nodes_changed", "no_room", "contradicted"],
        "verdicts go for other reasons: [compat](compat.md#batching)",
    ),
    ("scheduler_cache_size", "type", &[], ""),
    (
        "scheduler_pending_pods",
        "queue",
        &[],
        "upstream's `incomplete` and `pending` are `gated` here: whoever waits for members is not to be tried",
    ),
    (
        "scheduler_podgroup_schedule_attempts_total",
        "result",
        &["error", "unschedulable"],
        "shown from the start, at 0",
    ),
    (
        "scheduler_queue_incoming_pods_total",
        "queue",
        &["backoff"],
        "shown as soon as it happens",
    ),
    ("scheduler_queue_incoming_entities_total", "type", &[], ""),
    (
        "scheduler_queue_incoming_pods_total",
        "event",
        &[
            "UnscheduledPodUpdate",
            "UnscheduledPodDelete",
            "AssignedPodAdd",
            "AssignedPodDelete",
            "NodeAdd",
            "NodeUpdateNodeAllocatable",
            "NodeUpdateNodeTaint",
            "BackoffComplete",
            "PopFromBackoffQ",
            "ScheduleAttemptFailure",
            "scheduling.k8s.io/PodGroupAdd",
        ],
        "those of 1.37, whatever the minor; only Muster has `NamespaceUpdate`, `NamespaceDelete`, `SelectorOwnerUpdate`, \
         `scheduling.k8s.io/WorkloadAdd` and `Recovery`",
    ),
    (
        "scheduler_queued_entities",
        "queue",
        &["backoff"],
        "shown from the start, at 0",
    ),
    ("scheduler_queued_entities", "type", &[], ""),
    (
        "scheduler_schedule_attempts_total",
        "result",
        &["error"],
        "shown from the start, at 0",
    ),
    (
        "authentication_attempts",
        "result",
        &["failure"],
        "`failure` is whoever shows nothing, who is `system:anonymous` upstream: [compat](compat.md#endpoints-and-logs)",
    ),
    ("authentication_duration_seconds", "result", &["failure"], "likewise"),
    ("authentication_token_cache_active_fetch_count", "status", &[], ""),
    ("authentication_token_cache_fetch_total", "status", &[], ""),
    ("authentication_token_cache_request_total", "status", &[], ""),
    ("authorization_attempts_total", "result", &[], ""),
    ("kubernetes_healthcheck", "type", &[], ""),
    ("kubernetes_healthchecks_total", "status", &[], ""),
    ("kubernetes_healthchecks_total", "type", &[], ""),
    ("rest_client_requests_total", "method", &[], ""),
    ("rest_client_request_duration_seconds", "verb", &[], ""),
    (
        "rest_client_rate_limiter_duration_seconds",
        "verb",
        &[],
        "of writes, and of reads of single pods, where `clientConnection.qps` or `--kube-api-qps` sets a limit: by default \
         there is none",
    ),
];

/// Who reads metrics: known by a token, and allowed to by a role, so that each scheduler has to ask the API server for both.
const READER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{nonResourceURLs: [/metrics, /metrics/slis], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: default}]
";

/// What a page said of both schedulers under the same work.
struct Scraped {
    upstream: Families,
    muster: Families,
}

/// What one scheduler says: `/metrics`, and `/metrics/slis`.
type Pages = [Families; 2];

/// Pods of a scheduler that are bound, find no place, are gated, wait for a volume, and gangs, whole and in part.
fn load(plane: &ControlPlane, namespace: &str, scheduler: &str) {
    let api = plane.api();
    plane.create_namespace(namespace).unwrap();
    let policies = plane.kube().group_policies_path(namespace);
    for group in ["whole", "part"] {
        api.post(&policies, &plane.kube().group_policy(group, &gang(2)))
            .unwrap();
    }
    let mut pods: Vec<Value> = (0..5).map(|n| pod(&format!("fits-{n}"), scheduler, "10m")).collect();
    pods.push(pod("big", scheduler, "4000"));
    let mut gated = pod("gated", scheduler, "10m");
    gated["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    let mut volume = pod("volume", scheduler, "10m");
    volume["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "missing"}}]);
    pods.extend([gated, volume]);
    for (name, group) in [("w0", "whole"), ("w1", "whole"), ("p0", "part")] {
        pods.push(plane.kube().member_of(pod(name, scheduler, "10m"), group));
    }
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    api.post_all(&path, &pods).unwrap();
    api.wait_until("seven pods are bound", PATIENCE, |api| {
        let pods = api.get(&path)?["items"].as_array().cloned().unwrap_or_default();
        let bound = pods.iter().filter(|pod| pod["spec"]["nodeName"].is_string()).count();
        let told = |name: &str| {
            let pod = pods.iter().find(|pod| pod["metadata"]["name"] == name);
            pod.is_some_and(|pod| pod["status"]["conditions"][0]["type"] == "PodScheduled")
        };
        Ok((bound == 7 && told("big") && told("volume")).then_some(()))
    })
    .unwrap();
}

/// The pages of whoever serves on this port and holds this lease.
fn read(plane: &ControlPlane, port: u16, lease: &str) -> Pages {
    let reader = Caller::with_token(&token(plane, "default", "reader").unwrap());
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(Caller::nobody().get(port, path).unwrap().0, 200, "{path}");
    }
    // Whoever finds its lease changed by somebody else has to read it before it renews it.
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{lease}");
    let changed = json!({"metadata": {"annotations": {"example.com/changed": "by somebody else"}}});
    plane.api().merge_patch(&lease, &changed).unwrap();
    // Some is counted once a second, and who reads is counted when that has been read.
    let late = [
        "scheduler_unschedulable_pods",
        "authentication_attempts",
        "leader_election_slowpath_total",
    ];
    let whole = |page: &str| late.iter().all(|name| page.contains(&format!("\n{name}{{")));
    let page = plane.api().wait_until("metrics can be read", PATIENCE, |_| {
        let answer = reader.get(port, "/metrics").ok();
        Ok(answer.filter(|(status, page)| *status == 200 && whole(page)))
    });
    let (status, slis) = reader.get(port, "/metrics/slis").unwrap();
    assert_eq!(status, 200, "{slis}");
    [page.unwrap().1, slis].map(|page| parse(&page).unwrap())
}

/// `/metrics`, and `/metrics/slis`.
fn scrape() -> [Scraped; 2] {
    let _turn = turn();
    let options = Options {
        kube: KubeMinor::V1_37,
        ..Options::default()
    };
    let plane = ControlPlane::start(&options).unwrap();
    let nodes: Vec<_> = (0..4).map(|n| SimulatedNode::new(format!("n-{n}")).cpu("4")).collect();
    plane.create_nodes(&nodes).unwrap();
    plane.apply(READER).unwrap();

    let port = free_port().unwrap();
    let _upstream = plane.launch(&kube_scheduler(&plane, port)).unwrap();
    load(&plane, "upstream", "default-scheduler");
    let [metrics, slis] = read(&plane, port, "kube-system/leases/kube-scheduler");

    let port = free_port().unwrap();
    let _muster = plane.launch(&muster(&plane, port)).unwrap();
    load(&plane, "muster", "muster");
    let [own_metrics, own_slis] = read(&plane, port, "muster-system/leases/muster");
    [(metrics, own_metrics), (slis, own_slis)].map(|(upstream, muster)| Scraped { upstream, muster })
}

fn kube_scheduler(plane: &ControlPlane, port: u16) -> Launch {
    let mut launch = plane.kube_scheduler(Some(plane.kube().feature_gates())).unwrap();
    let kubeconfig = plane.dir().join("kube-scheduler.kubeconfig");
    launch.args.extend([
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--authentication-kubeconfig={}", kubeconfig.display()),
        format!("--authorization-kubeconfig={}", kubeconfig.display()),
        "--leader-elect=true".to_owned(),
    ]);
    launch
}

fn muster(plane: &ControlPlane, port: u16) -> Launch {
    Launch {
        name: "muster".to_owned(),
        program: muster_tests::binary().unwrap(),
        args: vec![
            "run".to_owned(),
            format!("--kubeconfig={}", plane.muster_kubeconfig().unwrap().display()),
            "--leader-elect-resource-namespace=muster-system".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            // What is not limited has no rate limiter to tell of; kube-scheduler has one as it comes.
            "--kube-api-qps=50".to_owned(),
            "--kube-api-burst=100".to_owned(),
        ],
        ..Launch::default()
    }
}

/// Why Muster has no such metric, by the list.
fn reason(name: &str) -> Option<&'static str> {
    let stands_for = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    NOT_HERE
        .iter()
        .find(|(pattern, _)| stands_for(pattern))
        .map(|(_, why)| *why)
}

/// What a dashboard would trip over: another type, other labels, other buckets, and values that are not upstream's.
fn differences(name: &str, upstream: &Family, muster: &Family) -> Vec<String> {
    let mut found = Vec::new();
    if upstream.kind != muster.kind {
        found.push(format!("{name} is a {} and not a {}", muster.kind, upstream.kind));
    }
    let names = |family: &Family| family.labels.keys().cloned().collect::<Vec<_>>().join(", ");
    if names(upstream) != names(muster) {
        found.push(format!(
            "{name} has the labels {} and not {}",
            names(muster),
            names(upstream)
        ));
    }
    if upstream.buckets != muster.buckets {
        found.push(format!(
            "{name} has the buckets {:?} and not {:?}",
            muster.buckets, upstream.buckets
        ));
    }
    for (_, label, own, _) in CLOSED.iter().filter(|(closed, ..)| *closed == name) {
        let none = BTreeSet::new();
        let [theirs, ours] = [upstream, muster].map(|family| family.labels.get(*label).unwrap_or(&none));
        let more: Vec<_> = ours
            .difference(theirs)
            .filter(|value| !own.contains(&value.as_str()))
            .collect();
        if !more.is_empty() {
            found.push(format!("{name} has values of {label} that upstream has not: {more:?}"));
        }
    }
    found
}

fn labels(family: &Family) -> String {
    let labels = family.labels.keys().map(|label| format!("`{label}`"));
    labels.collect::<Vec<_>>().join(", ")
}

/// What is Muster's alone, by its name.
fn is_own(name: &str) -> bool {
    name.starts_with("muster_") || name == "process_threads"
}

/// A row for each metric of this page that is not Muster's alone.
fn common(scraped: &Scraped) -> String {
    let mut rows = String::new();
    for (name, family) in scraped.muster.iter().filter(|(name, _)| !is_own(name)) {
        let remarks = CLOSED
            .iter()
            .filter(|(closed, _, _, remark)| closed == name && !remark.is_empty());
        let remarks: Vec<String> = remarks
            .map(|(_, label, _, remark)| format!("`{label}`: {remark}"))
            .collect();
        let (labels, remarks) = (labels(family), remarks.join("; "));
        writeln!(rows, "| `{name}` | {} | {labels} | {remarks} |", family.kind).unwrap();
    }
    rows
}

/// The tables of docs/metrics.md.
fn tables(metrics: &Scraped, slis: &Scraped) -> String {
    let head = |title: &str, columns: &str, n: usize| format!("\n## {title}\n\n{columns}\n|{}\n", "---|".repeat(n));
    let columns = "| metric | type | labels | remarks |";
    let mut page = head("The same as kube-scheduler's", columns, 4) + &common(metrics);
    page += &(head("The same on `/metrics/slis`", columns, 4) + &common(slis));
    page += &head("What kube-scheduler has and Muster has not", "| metric | because |", 2);
    for (name, why) in NOT_HERE {
        writeln!(page, "| `{name}` | {why} |").unwrap();
    }
    page += &head("What only Muster has", "| metric | type | labels | what it is |", 4);
    for (name, family) in metrics.muster.iter().filter(|(name, _)| is_own(name)) {
        let labels = labels(family);
        writeln!(page, "| `{name}` | {} | {labels} | {} |", family.kind, family.help).unwrap();
    }
    page + "\n"
}

/// Where a page differs from upstream's, and nothing says why.
fn complaints(scraped: &Scraped) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, upstream) in &scraped.upstream {
        match (scraped.muster.get(name), reason(name)) {
            (Some(_), Some(why)) => complaints.push(format!("{name} is here, and the list says that it is not: {why}")),
            (None, None) => complaints.push(format!("{name} is not here, and the list does not say why")),
            (Some(muster), None) => complaints.extend(differences(name, upstream, muster)),
            (None, Some(_)) => {}
        }
    }
    let unknown = scraped
        .muster
        .keys()
        .filter(|name| !is_own(name) && !scraped.upstream.contains_key(*name));
    complaints.extend(unknown.map(|name| format!("{name} is Muster's own, and its name does not say so")));
    complaints
}

#[test]
fn names_types_labels_and_buckets_are_upstreams_but_for_what_is_said() {
    let [metrics, slis] = scrape();
    let complaints = [complaints(&metrics), complaints(&slis)].concat();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));

    let path = workspace_root().join(PAGE);
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("where the tables begin");
    let (_, tail) = rest.split_once(END).expect("where the tables end");
    let fresh = format!("{head}{BEGIN}{}{END}{tail}", tables(&metrics, &slis));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, fresh).unwrap();
    } else {
        assert!(text == fresh, "{PAGE} is stale: UPDATE_GOLDEN=1 brings it up to date");
    }
}

/// The labels that there are: each has values from a closed list, or one value for the whole process.
const LABELS: [&str; 19] = [
    "attempts", "code", "event", "host", "input", "kind", "method", "name", "plugin", "profile", "queue", "reason",
    "result", "stage", "status", "type", "username", "verb", "version",
];
/// So many values of a label may be seen for the first time in the second round: a rare event or answer, because of another
/// test's objects too. Whatever names nodes, groups or pods has more.
const RARE_VALUES: usize = 10;

/// What can be told apart in these metrics: `metric label="value"`.
fn words(families: &Families) -> BTreeSet<String> {
    let labels = families
        .iter()
        .flat_map(|(name, family)| family.labels.iter().map(move |(label, values)| (name, label, values)));
    labels
        .flat_map(|(name, label, values)| values.iter().map(move |value| format!("{name} {label}={value:?}")))
        .collect()
}

#[test]
fn much_work_makes_no_more_series_than_little() {
    let cluster = Cluster::new("cardinality");
    // Each takes 110 pods.
    cluster.create_nodes(0, 10, "64").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    let scrape = || muster.metrics().unwrap().families().unwrap();
    let round = |round: usize, n_pods: usize, n_groups: usize| {
        let mut pods: Vec<Value> = (0..n_pods)
            .map(|n| {
                let mut pod = pod(&format!("r{round}-{n}"), &cluster.scheduler_name(), "1m");
                pod["metadata"]["labels"] = json!({ "app": format!("app-{round}-{n}") });
                pod
            })
            .collect();
        for n in 0..n_groups {
            let group = format!("g{round}-{n}");
            cluster.create_group(&group, &gang(2)).unwrap();
            pods.extend(cluster.members_called(&format!("m{round}-{n}-"), &group, 2, "1m"));
        }
        pods.push(pod(&format!("big-{round}"), &cluster.scheduler_name(), "4000"));
        cluster.create_pods(&pods).unwrap();
        pods.len() - 1
    };
    let few = round(0, 20, 3);
    cluster.wait_bound(few).unwrap();
    cluster.wait_condition("big-0", |_| true).unwrap();
    // Some numbers are counted now and then, and have every plugin from the first time on.
    let counted = |families: &Families| {
        let unschedulable = families.get("scheduler_unschedulable_pods");
        unschedulable.is_some_and(|family| family.series > 0)
    };
    let before = cluster
        .api()
        .wait_until("the unschedulable pods are counted", PATIENCE, |_| {
            Ok(Some(scrape()).filter(counted))
        })
        .unwrap();
    cluster.create_nodes(10, 30, "64").unwrap();
    let many = round(1, 1500, 150);
    cluster.wait_bound(few + many).unwrap();
    cluster.wait_condition("big-1", |_| true).unwrap();
    let after = scrape();
    // There are 30 more nodes, 150 groups and 1,500 pods, each with a label of its own.
    assert_eq!(growth(&before, &after, RARE_VALUES), Vec::<String>::new());
    for (name, family) in &after {
        let other = family.labels.keys().find(|label| !LABELS.contains(&label.as_str()));
        assert_eq!(
            other, None,
            "a label of {name} that is not among those with closed lists"
        );
    }
    let n_series: usize = after.values().map(|family| family.series).sum();
    assert!(n_series < 1500, "{n_series} series");
    for word in &words(&after) {
        for name in ["r1-", "g1-", "m1-", "app-", "=\"cardinality-"] {
            assert!(!word.contains(name), "{word}");
        }
    }
}
