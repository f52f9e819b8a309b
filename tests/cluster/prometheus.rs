//! A real Prometheus that scrapes a running Muster, over TLS and with the token of a service account: it takes what Muster
//! says, evaluates the rules of deploy/monitoring, and knows every metric that rules and dashboards ask for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use muster_tests::deployed::{kubectl, token};
use muster_tests::endpoints::get_plain;
use muster_tests::objects::pod;
use muster_tests::{Cluster, Muster, PATIENCE, free_port, gang};
use muster_xtask::monitoring::{RULES, dashboards, ensure_prometheus};
use muster_xtask::nest::{Launch, Process};
use muster_xtask::workspace_root;
use serde_json::{Value, json};

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

/// A Prometheus, and the port that it serves on.
struct Prometheus {
    _process: Process,
    port: u16,
}

impl Prometheus {
    /// Starts one that reads Muster's metrics each second as this service account.
    fn start(cluster: &Cluster, muster: &Muster, account: &str) -> Prometheus {
        ensure_prometheus().unwrap();
        let folder = cluster.plane().dir().join("prometheus");
        fs::create_dir_all(&folder).unwrap();
        let file = |name: &str| folder.join(name).display().to_string();
        fs::write(file("token"), token(cluster.plane(), cluster.name(), account).unwrap()).unwrap();
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [workspace_root().join(RULES)],
            "scrape_configs": [{
                "job_name": "muster",
                "scheme": "https",
                "authorization": { "credentials_file": file("token") },
                // As the ServiceMonitor says: Muster has made its certificate itself.
                "tls_config": { "insecure_skip_verify": true },
                "static_configs": [{ "targets": [format!("127.0.0.1:{}", muster.port())] }],
            }],
        });
        fs::write(file("prometheus.yaml"), config.to_string()).unwrap();
        let port = free_port().unwrap();
        let launch = Launch {
            name: "prometheus".to_owned(),
            program: Path::new("/usr/bin/prometheus").to_owned(),
            args: vec![
                format!("--config.file={}", file("prometheus.yaml")),
                format!("--storage.tsdb.path={}", file("data")),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ],
            ..Launch::default()
        };
        Prometheus {
            _process: cluster.plane().launch(&launch).unwrap(),
            port,
        }
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let (status, body) = get_plain(self.port, path).ok()?;
        assert!(status == 200 || status == 503, "{path}: {status}: {body}");
        serde_json::from_str(&body).ok()
    }

    /// Waits until Prometheus says something of a path.
    fn wait_for<T>(&self, cluster: &Cluster, what: &str, path: &str, accept: impl Fn(&Value) -> Option<T>) -> T {
        let api = cluster.api();
        api.wait_until(what, PATIENCE, |_| Ok(self.ask(path).as_ref().and_then(&accept)))
            .unwrap()
    }

    /// The series that an expression gives.
    fn query(&self, expression: &str) -> Vec<Value> {
        let query: String = form_urlencoded(expression);
        let answer = self.ask(&format!("/api/v1/query?query={query}")).expect("an answer");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

fn form_urlencoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

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

    let prometheus = Prometheus::start(&cluster, &muster, "prometheus");
    prometheus.wait_for(
        &cluster,
        "Prometheus has read the metrics",
        "/api/v1/targets",
        |answer| {
            let target = &answer["data"]["activeTargets"][0];
            let refused = target["lastError"].as_str().is_some_and(|error| error.contains("403"));
            assert!(!refused, "{target}");
            (target["health"] == "up").then_some(())
        },
    );

    let rules = prometheus.wait_for(&cluster, "the rules have been evaluated", "/api/v1/rules", |answer| {
        let groups = answer["data"]["groups"].as_array()?;
        let rules: Vec<Value> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        let done = |rule: &Value| rule["evaluationTime"].as_f64().is_some_and(|time| time > 0.0);
        (!rules.is_empty() && rules.iter().all(done)).then_some(rules)
    });
    for expression in MIXIN {
        // A rate takes two readings.
        let answered = |_: &_| Ok((!prometheus.query(expression).is_empty()).then_some(()));
        cluster.api().wait_until(expression, PATIENCE, answered).unwrap();
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
                prometheus.query(&expression);
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
        .filter(|metric| prometheus.query(metric).is_empty())
        .collect();
    assert!(missing.is_empty(), "nobody has such metrics: {missing:?}");
    kubectl(cluster.plane(), &["delete", "clusterrolebinding", "prometheus-test"]).unwrap();
}
