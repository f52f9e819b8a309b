//! A real Prometheus, Debian's, that reads a running Muster as its operator would have it do by a ServiceMonitor.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use muster_xtask::monitoring::{RULES, ensure_prometheus};
use muster_xtask::nest::{self, Launch, Process};
use muster_xtask::{ControlPlane, workspace_root};
use serde_json::{Value, json};

use crate::endpoints::get_plain;
use crate::{Muster, PATIENCE, free_port};

/// Where a pod finds the token of its service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A Prometheus, and the port that it serves on.
pub struct Prometheus<'a> {
    plane: &'a ControlPlane,
    port: u16,
    process: Process,
}

impl Prometheus<'_> {
    /// Starts one that reads this Muster each second, as a ServiceMonitor says and with this token, and follows the rules of
    /// deploy/monitoring.
    ///
    /// # Errors
    /// It cannot be installed or started, or the ServiceMonitor says what is not known here.
    pub fn start<'a>(plane: &'a ControlPlane, monitor: &Value, muster: &Muster, token: &str) -> Result<Prometheus<'a>> {
        ensure_prometheus()?;
        let folder = plane.dir().join("prometheus");
        fs::create_dir_all(&folder).context("making a folder for Prometheus")?;
        let file = |name: &str| folder.join(name).display().to_string();
        let write = |name: &str, text: &str| fs::write(file(name), text).with_context(|| format!("writing {name}"));
        write("token", token)?;
        let mut scrape = scrape_config(plane, monitor)?;
        scrape["authorization"] = json!({ "credentials_file": file("token") });
        // The operator would name the address of each pod.
        scrape["static_configs"] = json!([{ "targets": [format!("127.0.0.1:{}", muster.port())] }]);
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [workspace_root().join(RULES)],
            "scrape_configs": [scrape],
        });
        write("prometheus.yaml", &config.to_string())?;
        let port = free_port()?;
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
        Ok(Prometheus {
            plane,
            port,
            process: plane.launch(&launch)?,
        })
    }

    /// What it answers to a path.
    ///
    /// # Errors
    /// It does not answer, or is not ready yet.
    pub fn ask(&self, path: &str) -> Result<Value> {
        let (status, body) = get_plain(self.port, path)?;
        ensure!(status == 200, "Prometheus answers {status} to {path}: {body}");
        serde_json::from_str(&body).with_context(|| format!("reading what Prometheus answers to {path}"))
    }

    /// The series that an expression gives.
    ///
    /// # Errors
    /// It does not answer.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.ask(&format!("/api/v1/query?query={}", form_urlencoded(expression)))?;
        let series = answer["data"]["result"].as_array().cloned();
        series.with_context(|| format!("{expression}: {answer}"))
    }

    /// Waits until an expression gives a series.
    ///
    /// # Errors
    /// It never does; says what became of the target.
    pub fn wait_for_series(&self, expression: &str) -> Result<()> {
        self.plane.api().wait_until(expression, PATIENCE, |_| {
            if self.query(expression)?.is_empty() {
                bail!("no series; {}", self.ask("/api/v1/targets")?["data"]["activeTargets"]);
            }
            Ok(Some(()))
        })
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "---- the log of Prometheus ----\n{}",
                nest::tail(&self.process.log(), 30)
            );
        }
        // The control plane may outlive the test.
        if let Err(error) = self.process.kill() {
            eprintln!("killing Prometheus: {error:#}");
        }
    }
}

/// What the operator makes of a ServiceMonitor with one endpoint: the Service that it selects must be there, with that port,
/// and gives the job its name.
fn scrape_config(plane: &ControlPlane, monitor: &Value) -> Result<Value> {
    let spec = &monitor["spec"];
    let [endpoint] = spec["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        bail!("a ServiceMonitor with one endpoint is expected: {monitor}");
    };
    let service = selected_service(plane, monitor)?;
    let ports = service["spec"]["ports"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    ensure!(
        ports.iter().any(|port| port["name"] == endpoint["port"]),
        "the Service has no port {}: {service}",
        endpoint["port"]
    );
    ensure!(
        endpoint["bearerTokenFile"] == TOKEN,
        "another token than Prometheus' own: {endpoint}"
    );
    let label = spec["jobLabel"]
        .as_str()
        .context("a ServiceMonitor names the label of the job")?;
    Ok(json!({
        "job_name": service["metadata"]["labels"][label],
        "scheme": endpoint["scheme"],
        "metrics_path": endpoint["path"],
        "tls_config": { "insecure_skip_verify": endpoint["tlsConfig"]["insecureSkipVerify"] },
    }))
}

/// The one Service of the ServiceMonitor's namespace that has all the labels.
fn selected_service(plane: &ControlPlane, monitor: &Value) -> Result<Value> {
    let namespace = monitor["metadata"]["namespace"].as_str().context("a namespace")?;
    let labels = monitor["spec"]["selector"]["matchLabels"]
        .as_object()
        .context("a selector")?;
    let services = plane.api().get(&format!("/api/v1/namespaces/{namespace}/services"))?;
    let services = services["items"].as_array().cloned().unwrap_or_default();
    let is_selected = |service: &Value| {
        let mut labels = labels.iter();
        labels.all(|(label, value)| service["metadata"]["labels"][label] == *value)
    };
    let mut selected: Vec<Value> = services.into_iter().filter(is_selected).collect();
    ensure!(
        selected.len() == 1,
        "{labels:?} select {} Services in {namespace}",
        selected.len()
    );
    Ok(selected.remove(0))
}

fn form_urlencoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}
