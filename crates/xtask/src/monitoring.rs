//! What `deploy/monitoring` says is checked here, and copied to where the chart and the kustomization need it.
//!
//! promtool, from Debian's package of Prometheus, reads the rules and runs their tests; whether the metrics are there that
//! rules and dashboards ask for is found out in `tests/cluster/prometheus.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::debian::ensure_installed;
use crate::manifest::text;
use crate::steps::{run, workspace_root};

/// The rules, as Prometheus reads them.
pub const RULES: &str = "deploy/monitoring/rules.yaml";
/// The folder with the dashboards.
pub const DASHBOARDS: &str = "deploy/monitoring/dashboards";
const TESTS: &str = "deploy/monitoring/tests/rules_test.yaml";
const RUNBOOKS: &str = "docs/runbooks";
/// Where runbooks are read, as alerts say it: the pages of the book, as mdBook writes them.
const RUNBOOK_URL: &str = "https://muster.dev/runbooks";
/// Copies, and what stands above the rules in each.
const CHART_COPY: &str = "deploy/helm/muster/files/rules.yaml";
const KUSTOMIZE_COPY: &str = "deploy/kustomize/components/prometheus/prometheus-rule.yaml";
const HEAD: &str = "# Written by `cargo xtask deploy write` from deploy/monitoring/rules.yaml. Do not edit.\n";
const OBJECT: &str = "\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: muster
  namespace: muster-system
  labels:
    app.kubernetes.io/name: muster
    app.kubernetes.io/instance: muster
spec:
";

/// Makes sure that there are a Prometheus and a promtool.
///
/// # Errors
/// They cannot be installed.
pub fn ensure_prometheus() -> Result<()> {
    ensure_installed("prometheus", "prometheus")?;
    ensure_installed("promtool", "prometheus")
}

/// Checks rules, tests of rules, runbooks and the form of dashboards.
pub(crate) fn check() -> Result<()> {
    ensure_prometheus()?;
    let promtool = |args: &[&str]| run(Command::new("promtool").args(args).current_dir(workspace_root()));
    promtool(&["check", "rules", RULES])?;
    promtool(&["test", "rules", TESTS])?;
    let alerts = alerts()?;
    check_tests(&alerts)?;
    check_runbooks(&alerts)?;
    dashboards()?
        .iter()
        .try_for_each(|(name, dashboard)| check_dashboard(name, dashboard))
}

/// The copies of the rules, and what they should say.
pub(crate) fn made() -> Result<Vec<(&'static str, String)>> {
    let rules = read(RULES)?;
    let body: String = rules
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let indented: String = body.lines().map(|line| format!("  {line}\n")).collect();
    Ok(vec![
        (CHART_COPY, format!("{HEAD}{body}")),
        (KUSTOMIZE_COPY, format!("{HEAD}{OBJECT}{indented}")),
    ])
}

/// The dashboards, by file.
///
/// # Errors
/// One cannot be read, or is no JSON.
pub fn dashboards() -> Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(workspace_root().join(DASHBOARDS)).context("reading the folder of dashboards")? {
        let name = entry
            .context("reading the folder of dashboards")?
            .file_name()
            .to_string_lossy()
            .into_owned();
        let json = read(&format!("{DASHBOARDS}/{name}"))?;
        found.push((
            name.clone(),
            serde_json::from_str(&json).with_context(|| format!("reading {name}"))?,
        ));
    }
    Ok(found)
}

/// The rules that are alerts.
fn alerts() -> Result<Vec<Value>> {
    let rules: Value = serde_saphyr::from_str(&read(RULES)?).with_context(|| format!("reading {RULES}"))?;
    let groups = rules["groups"].as_array().cloned().unwrap_or_default();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
    Ok(rules.filter(|rule| rule["alert"].is_string()).collect())
}

/// Each alert is seen to fire and seen to be quiet.
fn check_tests(alerts: &[Value]) -> Result<()> {
    let tests: Value = serde_saphyr::from_str(&read(TESTS)?).with_context(|| format!("reading {TESTS}"))?;
    let cases = tests["tests"].as_array().cloned().unwrap_or_default();
    let cases: Vec<Value> = cases
        .iter()
        .flat_map(|case| case["alert_rule_test"].as_array().cloned().unwrap_or_default())
        .collect();
    for alert in alerts {
        let of_it = || cases.iter().filter(|case| case["alertname"] == alert["alert"]);
        let fires = |case: &&Value| case["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
        if !of_it().any(|case| fires(&case)) || !of_it().any(|case| !fires(&case)) {
            bail!(
                "{TESTS} does not show both when {} fires and when it does not",
                alert["alert"]
            );
        }
    }
    Ok(())
}

/// Each alert has a runbook of its name, with all its parts, and each runbook an alert.
fn check_runbooks(alerts: &[Value]) -> Result<()> {
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = text(alert, "/alert")?;
        let url = text(alert, "/annotations/runbook_url")?;
        if url != format!("{RUNBOOK_URL}/{name}.html") {
            bail!("the runbook of {name} is not {RUNBOOK_URL}/{name}.html but {url}");
        }
        let page = read(&format!("{RUNBOOKS}/{name}.md"))?;
        for part in [
            "## What you see",
            "## What it means",
            "## How to look",
            "## How to mend it",
        ] {
            if !page.contains(part) {
                bail!("{RUNBOOKS}/{name}.md has no part {part:?}");
            }
        }
        names.insert(format!("{name}.md"));
    }
    for entry in fs::read_dir(workspace_root().join(RUNBOOKS)).context("reading the folder of runbooks")? {
        let name = entry
            .context("reading the folder of runbooks")?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name != "README.md" && !names.contains(&name) {
            bail!("{RUNBOOKS}/{name} is the runbook of no alert");
        }
    }
    Ok(())
}

/// Each panel says what it shows and in what unit, and asks by the variables.
fn check_dashboard(name: &str, dashboard: &Value) -> Result<()> {
    let panels = dashboard["panels"].as_array().cloned().unwrap_or_default();
    let mut ids = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = text(panel, "/title")?;
        text(panel, "/fieldConfig/defaults/unit")
            .with_context(|| format!("{name}: the panel {title:?} has no unit"))?;
        if !ids.insert(panel["id"].to_string()) {
            bail!("{name}: two panels have the number {}", panel["id"]);
        }
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        if targets.is_empty() {
            bail!("{name}: the panel {title:?} asks for nothing");
        }
        for target in &targets {
            if !text(target, "/expr")?.contains("job=\"$job\"") {
                bail!("{name}: the panel {title:?} asks for all jobs: {}", target["expr"]);
            }
        }
    }
    Ok(())
}

fn read(file: &str) -> Result<String> {
    let path = workspace_root().join(file);
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}
