//! `cargo xtask deploy`: the chart and the kustomizations of `deploy/` say the same, and what is made of them is fresh.
//!
//! Both are written by hand, since people read them. Here Helm and kubectl render them, and they are compared object by
//! object; the chart's own tests run; and `deploy/muster.yaml` and the chart's README, which are made from them, must be
//! what would be made now. Each selector in them finds Muster's pods.

mod selection;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command as Process;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::binaries::{self, Program};
use crate::dockerfile;
use crate::kube_minor::KubeMinor;
use crate::manifest::{self, text};
use crate::monitoring;
use crate::steps::{output, run as run_command, step, workspace_root};

/// What to do with what is made.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum Command {
    /// Check that the chart and the kustomizations agree, run the chart's tests, and check that nothing is stale.
    Check,
    /// Write `deploy/muster.yaml`, the README of the chart and the copies of the rules anew.
    Write,
}

/// The programs that are needed, beside kubectl.
pub(crate) const PROGRAMS: [Program; 3] = [Program::Helm, Program::HelmUnittest, Program::HelmDocs];

/// Where Muster runs, by all manifests.
pub const NAMESPACE: &str = "muster-system";

const CHART: &str = "deploy/helm/muster";
const CHART_README: &str = "deploy/helm/muster/README.md";
/// Everything in one file, for those who have neither Helm nor kustomize.
pub(crate) const ONE_FILE: &str = "deploy/muster.yaml";
const ONE_FILE_FROM: &str = "overlays/default";
const ONE_FILE_HEAD: &str = "\
# Muster, whole: kubectl apply --server-side -f deploy/muster.yaml
#
# Written by `cargo xtask deploy write` from deploy/kustomize/overlays/default, where the comments are. Do not edit.
";

/// Each kustomization, and the values of the chart that mean the same.
const TWINS: [(&str, &[&str]); 5] = [
    (
        "base",
        &[
            "replicaCount=1",
            "rbac.volumes=false",
            "rbac.eviction=false",
            "rbac.coscheduling=false",
            "rbac.delegatedAuth=false",
        ],
    ),
    ("overlays/default", &[]),
    (
        "overlays/monitored",
        &[
            "metrics.serviceMonitor.enabled=true",
            "metrics.prometheusRule.enabled=true",
            "networkPolicy.enabled=true",
        ],
    ),
    ("overlays/explained", &["explain.enabled=true"]),
    (
        "overlays/dev",
        &[
            "replicaCount=1",
            "image.tag=dev",
            "image.pullPolicy=Never",
            "logging.verbosity=4",
        ],
    ),
];

/// Does what was asked for, with the kubectl of that minor.
pub fn run(command: Command) -> Result<()> {
    let kube = KubeMinor::default();
    match command {
        Command::Check => check(kube),
        Command::Write => made(kube)?.iter().try_for_each(|(file, content)| {
            let path = workspace_root().join(file);
            fs::write(&path, content).with_context(|| format!("writing {}", path.display()))
        }),
    }
}

/// All checks; the first that fails ends it.
pub(crate) fn check(kube: KubeMinor) -> Result<()> {
    step("lint of the chart", || {
        let mut helm = program(Program::Helm, kube)?;
        run_command(helm.args(["lint", "--strict", "--quiet", CHART]))
    })?;
    step("tests of the chart", || {
        run_command(program(Program::HelmUnittest, kube)?.args(["--strict", CHART]))
    })?;
    step("rules, runbooks and dashboards", monitoring::check)?;
    step("the Dockerfile", dockerfile::check)?;
    step("the chart against the kustomizations", || compare_twins(kube))?;
    step("what selects Muster's pods", || check_selection(kube))?;
    step("freshness of what is made", || {
        made(kube)?.iter().try_for_each(|(file, content)| {
            let path = workspace_root().join(file);
            let found = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            if found != *content {
                bail!("{file} is stale: run `cargo xtask deploy write`");
            }
            Ok(())
        })
    })
}

/// The chart and the kustomizations say the same, and no kustomization is left out.
fn compare_twins(kube: KubeMinor) -> Result<()> {
    for folder in kustomizations()? {
        if !TWINS.iter().any(|(twin, _)| *twin == folder) {
            bail!("nothing says which values of the chart mean the same as deploy/kustomize/{folder}");
        }
    }
    for (folder, values) in TWINS {
        let differences = differences(&chart(kube, values)?, &kustomization(kube, folder)?)?;
        if !differences.is_empty() {
            bail!(
                "deploy/kustomize/{folder} and the chart with the values {values:?} differ:\n{}",
                differences.join("\n")
            );
        }
    }
    Ok(())
}

/// Whatever is to select Muster's pods does, under other names too.
fn check_selection(kube: KubeMinor) -> Result<()> {
    let whole = ["networkPolicy.enabled=true", "metrics.serviceMonitor.enabled=true"];
    let other_names = ["nameOverride=other", "fullnameOverride=another"];
    for (what, objects) in [
        ("the chart", chart(kube, &whole)?),
        (
            "the chart under other names",
            chart(kube, &[whole, other_names].concat())?,
        ),
        (
            "deploy/kustomize/overlays/monitored",
            kustomization(kube, "overlays/monitored")?,
        ),
    ] {
        let problems = selection::problems(&objects)?;
        if !problems.is_empty() {
            bail!("{what}:\n{}", problems.join("\n"));
        }
    }
    Ok(())
}

/// The files that are made from others, and what they should say now.
fn made(kube: KubeMinor) -> Result<Vec<(&'static str, String)>> {
    let manifest = render_kustomization(kube, ONE_FILE_FROM)?;
    let mut docs = program(Program::HelmDocs, kube)?;
    let readme = output(docs.args(["--chart-search-root", CHART, "--dry-run", "--sort-values-order", "file"]))?;
    if let Some(row) = readme.lines().find(|line| line.ends_with("|  |")) {
        bail!("{CHART}/values.yaml does not say what a value is for: {row}");
    }
    let mut made = monitoring::made()?;
    made.extend([
        (ONE_FILE, format!("{ONE_FILE_HEAD}{manifest}")),
        (CHART_README, format!("{}\n", readme.trim())),
    ]);
    Ok(made)
}

/// What `helm template` makes of the chart with such values.
pub fn render_chart(kube: KubeMinor, values: &[&str]) -> Result<String> {
    let mut helm = program(Program::Helm, kube)?;
    helm.args(["template", "muster", CHART, "--namespace", NAMESPACE, "--kube-version"])
        .arg(kube.release());
    helm.args(values.iter().flat_map(|value| ["--set", value]));
    output(&mut helm)
}

/// The objects that `helm template` makes of the chart with such values.
pub fn chart(kube: KubeMinor, values: &[&str]) -> Result<Vec<Value>> {
    manifest::parse(&render_chart(kube, values)?)
}

/// What `kubectl kustomize` makes of a folder of `deploy/kustomize`.
fn render_kustomization(kube: KubeMinor, folder: &str) -> Result<String> {
    let mut kubectl = program(Program::Kubectl, kube)?;
    output(kubectl.args(["kustomize", &format!("deploy/kustomize/{folder}")]))
}

/// The objects that `kubectl kustomize` makes of a folder of `deploy/kustomize`.
pub fn kustomization(kube: KubeMinor, folder: &str) -> Result<Vec<Value>> {
    manifest::parse(&render_kustomization(kube, folder)?)
}

/// The folders of `deploy/kustomize` that can be applied as they are: the base, and every overlay.
pub fn kustomizations() -> Result<Vec<String>> {
    let overlays = workspace_root().join("deploy/kustomize/overlays");
    let mut folders = vec!["base".to_owned()];
    for entry in fs::read_dir(&overlays).with_context(|| format!("reading the folder {}", overlays.display()))? {
        let name = entry.context("reading the folder of overlays")?.file_name();
        folders.push(format!("overlays/{}", name.to_string_lossy()));
    }
    folders.sort();
    Ok(folders)
}

fn program(program: Program, kube: KubeMinor) -> Result<Process> {
    let mut command = Process::new(binaries::ensure(program, kube)?);
    command.current_dir(workspace_root());
    Ok(command)
}

/// The objects of `deploy/muster.yaml`.
pub fn one_file() -> Result<Vec<Value>> {
    let path: PathBuf = workspace_root().join(ONE_FILE);
    let yaml = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    manifest::parse(&yaml)
}

/// What is in one rendering and not in the other, one line each, but for what must differ.
fn differences(chart: &[Value], kustomization: &[Value]) -> Result<Vec<String>> {
    let chart = by_name(chart.iter().map(|object| without_marks_of_helm(object.clone())))?;
    // Helm makes the namespace itself, if it is told to.
    let without_namespace = kustomization.iter().filter(|object| object["kind"] != "Namespace");
    let mut kustomization = by_name(without_namespace.map(|object| without_hash(object.clone())))?;
    let mut lines = Vec::new();
    for (name, object) in &chart {
        match kustomization.remove(name) {
            None => lines.push(format!("only the chart has {name}")),
            Some(other) => {
                let (object, other) = (with_documents_read(object.clone())?, with_documents_read(other)?);
                lines.extend(first_difference(&object, &other).map(|place| format!("{name}: {place}")));
            }
        }
    }
    lines.extend(
        kustomization
            .keys()
            .map(|name| format!("only the kustomization has {name}")),
    );
    Ok(lines)
}

fn by_name(objects: impl Iterator<Item = Value>) -> Result<BTreeMap<String, Value>> {
    let mut named = BTreeMap::new();
    for object in objects {
        let namespace = text(&object, "/metadata/namespace").unwrap_or_default();
        let name = format!(
            "{} {namespace}/{}",
            text(&object, "/kind")?,
            text(&object, "/metadata/name")?
        );
        if named.insert(name.clone(), object).is_some() {
            bail!("{name} is there twice");
        }
    }
    Ok(named)
}

/// Labels by which Helm finds what it has made, and the annotation by which a new configuration makes new pods.
fn without_marks_of_helm(mut object: Value) -> Value {
    if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        for label in [
            "helm.sh/chart",
            "app.kubernetes.io/managed-by",
            "app.kubernetes.io/version",
        ] {
            labels.remove(label);
        }
    }
    let annotations = object.pointer_mut("/spec/template/metadata/annotations");
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.remove("checksum/config");
    }
    object
}

/// The name of the ConfigMap, which kustomize ends with a hash to the same end.
fn without_hash(mut object: Value) -> Value {
    const NAME: &str = "muster-config";
    for place in ["/metadata/name", "/spec/template/spec/volumes/0/configMap/name"] {
        if let Some(name) = object.pointer_mut(place)
            && name.as_str().is_some_and(|name| name.starts_with(&format!("{NAME}-")))
        {
            *name = NAME.into();
        }
    }
    object
}

/// The configuration as what it means: Helm writes it anew, in another order and without comments.
fn with_documents_read(mut object: Value) -> Result<Value> {
    if let Some(data) = object.pointer_mut("/data").and_then(Value::as_object_mut) {
        for (key, value) in data {
            let yaml = value.as_str().unwrap_or_default();
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(yaml).with_context(|| format!("reading {key} in a ConfigMap"))?;
            *value = documents.into();
        }
    }
    Ok(object)
}

/// The first place, as a JSON pointer, where two values differ, and what stands there.
fn first_difference(one: &Value, other: &Value) -> Option<String> {
    let deeper = |key: &str, one: Option<&Value>, other: Option<&Value>| {
        let null = &Value::Null;
        first_difference(one.unwrap_or(null), other.unwrap_or(null)).map(|place| format!("/{key}{place}"))
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let mut keys = one.keys().chain(other.keys());
            keys.find_map(|key| deeper(key, one.get(key), other.get(key)))
        }
        (Value::Array(one), Value::Array(other)) => {
            (0..one.len().max(other.len())).find_map(|i| deeper(&i.to_string(), one.get(i), other.get(i)))
        }
        _ if one == other => None,
        _ => Some(format!(" is {one} in the chart and {other} in the kustomization")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config_map(name: &str, yaml: &str) -> Value {
        let metadata = json!({ "name": name, "namespace": "n", "labels": { "helm.sh/chart": "muster-0.1.0" } });
        json!({ "kind": "ConfigMap", "metadata": metadata, "data": { "muster.yaml": yaml } })
    }

    #[test]
    fn what_must_differ_is_no_difference() {
        let chart = [config_map("muster-config", "a: 1\nb: 2\n---\nc: 3\n")];
        let mut other = config_map("muster-config-2g2d7mf945", "# why\nb: 2\na: 1\n---\nc: 3\n");
        other["metadata"]["labels"] = json!({});
        let namespace = json!({ "kind": "Namespace", "metadata": { "name": "n" } });
        assert_eq!(differences(&chart, &[namespace, other]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_other_difference_is_named_with_its_place() {
        let role = |verbs: Value| json!({ "kind": "Role", "metadata": { "name": "r" }, "rules": [{ "verbs": verbs }] });
        let extra = json!({ "kind": "Service", "metadata": { "name": "s" } });
        let found = differences(&[role(json!(["get"])), extra], &[role(json!(["get", "list"]))]).unwrap();
        assert_eq!(
            found,
            [
                r#"Role /r: /rules/0/verbs/1 is null in the chart and "list" in the kustomization"#,
                "only the chart has Service /s",
            ]
        );
        let found = differences(&[], &[role(json!([]))]).unwrap();
        assert_eq!(found, ["only the kustomization has Role /r"]);
        let twice = [role(json!([])), role(json!([]))];
        assert!(differences(&twice, &[]).is_err());
        let found = differences(&[config_map("c", "a: 1")], &[config_map("c", "a: 2")]).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn the_hash_goes_from_the_name_and_from_where_it_is_mounted() {
        let volumes = json!([{ "configMap": { "name": "muster-config-abc" } }]);
        let object = without_hash(json!({ "spec": { "template": { "spec": { "volumes": volumes } } } }));
        assert_eq!(
            object["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"],
            "muster-config"
        );
    }
}
