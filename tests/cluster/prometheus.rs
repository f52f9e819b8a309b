//! A real Prometheus that scrapes a running Muster, over TLS and with the token of a service account: it takes what Muster
//! says, evaluates the rules of deploy/monitoring, and knows every metric that rules and dashboards ask for.

use std::collections::BTreeSet;

use muster_tests::deployed::{kubectl, token};
use muster_tests::objects::pod;
use muster_tests::prometheus::Prometheus;
use muster_tests::{Cluster, PATIENCE, gang};
use muster_xtask::deploy;
use muster_xtask::monitoring::dashboards;
use serde_json::Value;

/// What kubernetes-mixin's dashboard for kube-scheduler asks, with another job: all but goroutines, and a histogram that
/// kube-scheduler itself has no more.
const MIXIN: &[&str] = &[
    "sum(up{job='muster'})",
    "sum(rate(scheduler_scheduling_attempt_duration_seconds_count{job='muster', instance=~'.*'}[5m])) by (instance)",
    "sum(rate(scheduler_pod_scheduling_sli_duration_seconds_count{job='muster', instance=~'.*'}[5m])) by (instance)",
    "sum(rate(scheduler_scheduling_algorithm_duration_seconds_count{job='muster', instance=~'.*'}[5m])) by (instance)",
    "histogram_quantile(0.99, sum(rate(scheduler_scheduling_attempt_duration_seconds_bucket{job='muster'}[5m])) by (le))",
    "histogram_quantile(0.99, sum(rate(scheduler_pod_scheduling_sli_duration_seconds_bucket{job='muster'}[5m])) by (le))",
    "sum(rate(rest_client_requests_total{job='muster', instance=~'.*', code=~'2..'}[5m]))",
    "histogram_quantile(0.99, sum(rate(rest_client_request_duration_seconds_bucket{verb='POST'}[5m])) by (verb, le))",
    "histogram_quantile(0.99, sum(rate(rest_client_request_duration_seconds_bucket{verb='GET'}[5m])) by (verb, le))",
    "process_resident_memory_bytes{job='muster', instance=~'.*'}",
    "rate(process_cpu_seconds_total{job='muster', instance=~'.*'}[5m])",
];

/// The metrics that an expression names: words that are followed by a selector, or by nothing that would make them a
/// function or a label.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    let beginnings = ["scheduler_", "muster_", "rest_client_", "leader_election_", "process_"];
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words = words.filter(|word| beginnings.iter().any(|beginning| word.starts_with(beginning)));
    words.map(str::to_owned).collect()
}

/// As Grafana would ask it.
fn without_variables(expression: &str) -> String {
    expression
        .replace("$job", "muster")
        .replace("$instance", ".*")
        .replace("$__rate_interval", "5m")
}

/// The rules, as soon as each has been evaluated.
fn evaluated_rules(cluster: &Cluster, prometheus: &Prometheus<'_>) -> Vec<Value> {
    let evaluated = |_: &_| {
        let answer = prometheus.ask("/api/v1/rules")?;
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        let rules: Vec<Value> = rules.collect();
        let done = |rule: &Value| rule["evaluationTime"].as_f64().is_some_and(|time| time > 0.0);
        Ok((!rules.is_empty() && rules.iter().all(done)).then_some(rules))
    };
    let api = cluster.api();
    api.wait_until("the rules have been evaluated", PATIENCE, evaluated)
        .unwrap()
}

#[test]
fn a_prometheus_reads_muster_and_knows_all_that_rules_and_dashboards_ask_for() {
    let cluster = Cluster::new("prometheus");
    let name = cluster.name();
    kubectl(
        cluster.plane(),
        &["--namespace", name, "create", "serviceaccount", "prometheus"],
    )
    .unwrap();
    // The role for readers of metrics is part of the manifests.
    let subject = format!("--serviceaccount={name}:prometheus");
    let role = "--clusterrole=muster-metrics-reader";
    kubectl(
        cluster.plane(),
        &["create", "clusterrolebinding", "prometheus-test", role, &subject],
    )
    .unwrap();
    let muster = cluster
        .start_muster(&[
            "--authorization-always-allow-paths=/healthz,/readyz,/livez",
            "--leader-elect=true",
            "--leader-elect-resource-namespace=muster-system",
        ])
        .unwrap();
    cluster.create_nodes(0, 2, "4").unwrap();
    cluster.create_group("whole", &gang(2)).unwrap();
    let mut pods = cluster.members("whole", 2, "100m");
    pods.push(pod("big", &cluster.scheduler_name(), "4000"));
    cluster.create_pods(&pods).unwrap();
    cluster.wait_bound(2).unwrap();

    let rendered = deploy::chart(cluster.kube(), &["metrics.serviceMonitor.enabled=true"]).unwrap();
    let monitor = rendered
        .iter()
        .find(|object| object["kind"] == "ServiceMonitor")
        .unwrap();
    let token = token(cluster.plane(), name, "prometheus").unwrap();
    let prometheus = Prometheus::start(cluster.plane(), monitor, &muster, &token).unwrap();
    prometheus.wait_for_series("up{job='muster'} == 1").unwrap();
    let rules = evaluated_rules(&cluster, &prometheus);
    for expression in MIXIN {
        // A rate takes two readings.
        prometheus.wait_for_series(expression).unwrap();
    }
    let mut asked = BTreeSet::new();
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
        asked.extend(metrics_of(rule["query"].as_str().unwrap()));
    }
    assert!(asked.contains("muster_bind_failures_total"), "{asked:?}");

    for (file, dashboard) in dashboards().unwrap() {
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = without_variables(target["expr"].as_str().unwrap());
                prometheus.query(&expression).unwrap();
                let metrics = metrics_of(&expression);
                assert!(
                    !metrics.is_empty() || expression.starts_with("sum(up"),
                    "{file}: {expression}"
                );
                asked.extend(metrics);
            }
        }
    }
    // What a Muster that does what it ought to has no series of.
    let missing: Vec<&String> = asked
        .iter()
        .filter(|metric| prometheus.query(metric).unwrap().is_empty())
        .collect();
    assert!(missing.is_empty(), "nobody has such metrics: {missing:?}");
    kubectl(cluster.plane(), &["delete", "clusterrolebinding", "prometheus-test"]).unwrap();
}
