//! Muster as a cluster has it that somebody installed it into: the objects are applied by kubectl, controllers make its
//! pods, and this module stands in for the kubelet that would run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use muster_xtask::binaries::{self, Program};
use muster_xtask::deploy::NAMESPACE;
use muster_xtask::{ControlPlane, workspace_root};
use serde_json::{Value, json};

use crate::{Muster, PATIENCE, metrics};

/// Runs kubectl as an administrator, from the root of the workspace; gives what it says.
pub fn kubectl(plane: &ControlPlane, args: &[&str]) -> Result<String> {
    let mut command = Command::new(binaries::ensure(Program::Kubectl, plane.kube())?);
    command
        .current_dir(workspace_root())
        .arg("--kubeconfig")
        .arg(plane.kubeconfig());
    let Output { status, stdout, stderr } = command.args(args).output().context("starting kubectl")?;
    if !status.success() {
        bail!(
            "kubectl {args:?} ended with {status}: {}",
            String::from_utf8_lossy(&stderr)
        );
    }
    String::from_utf8(stdout).context("reading what kubectl says")
}

/// A token of a service account.
pub fn token(plane: &ControlPlane, namespace: &str, account: &str) -> Result<String> {
    token_as(plane, namespace, account, &json!({}))
}

/// Likewise, with a TokenRequest of this spec.
pub(crate) fn token_as(plane: &ControlPlane, namespace: &str, account: &str, spec: &Value) -> Result<String> {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
    let answer = plane.api().post(&path, &request)?;
    Ok(answer["status"]["token"]
        .as_str()
        .context("an answer without a token")?
        .to_owned())
}

/// The priority level at which the API server serves a request that is made here, by its uid.
pub fn priority_level(kubeconfig: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a runtime for a request")?;
    runtime.block_on(async {
        let config = Kubeconfig::read_from(kubeconfig).context("reading the kubeconfig")?;
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
        let client = kube::Client::try_from(config.context("using the kubeconfig")?).context("a client")?;
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body)).context("a request")?;
        let asked = || format!("{method} {path}");
        let response = client.send(request).await.with_context(asked)?;
        let status = response.status();
        if !status.is_success() {
            bail!("{}: {status}", asked());
        }
        level_of(&response).with_context(|| format!("{}: an answer without a priority level", asked()))
    })
}

/// The priority level at which the API server has served a request, by its uid, as its answer says it.
pub(crate) fn level_of<B>(answer: &Response<B>) -> Option<String> {
    let level = answer.headers().get("x-kubernetes-pf-prioritylevel-uid")?;
    Some(level.to_str().ok()?.to_owned())
}

/// Waits until controllers have made as many pods as the Deployment wants; gives them.
///
/// That they are there says that admission takes them: the pod security level of the namespace, the priority class.
pub fn pods_of_deployment(plane: &ControlPlane) -> Result<Vec<Value>> {
    let deployment = plane
        .api()
        .get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/muster"))?;
    let replicas = deployment["spec"]["replicas"].as_u64().context("replicas")?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    plane.api().wait_until("the Deployment has its pods", PATIENCE, |api| {
        let pods = api.get(&path)?["items"].as_array().cloned().unwrap_or_default();
        Ok((pods.len() as u64 == replicas).then_some(pods))
    })
}

/// Runs what a pod says, as its service account: the container's arguments, with the files of its ConfigMap. Waits until
/// the pod's own probes pass.
///
/// What a kubelet and a network would add is added by flags: where the API server is, and the token; which namespace the
/// pod is in; a port of its own, as all pods are on one host here. The address of a pod is that of this host.
/// ([`PodFiles`](crate::pod_files::PodFiles) adds it as a kubelet does, where mounts are permitted.)
pub fn run_pod(plane: &ControlPlane, pod: &Value) -> Result<Muster> {
    let (name, container) = only_container(pod)?;
    let account = service_account(pod)?;
    let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, account)?;
    let files = files_of(plane, pod)?;
    let outside = format!("={}/etc/", files.display());
    let mut args = container_args(container)?;
    for arg in &mut args {
        *arg = arg.replacen("=/etc/", &outside, 1);
    }
    args.push(format!("--leader-elect-resource-namespace={NAMESPACE}"));
    let mut muster = Muster::launch(plane, name, &kubeconfig, args)?;
    pass_probes(&mut muster, pod)?;
    Ok(muster)
}

/// The name of a pod, and the one container that it has.
pub(crate) fn only_container(pod: &Value) -> Result<(&str, &Value)> {
    let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
    match pod["spec"]["containers"].as_array().map(Vec::as_slice) {
        Some([container]) => Ok((name, container)),
        _ => bail!("{name} has not one container"),
    }
}

/// The service account that a pod runs as.
pub(crate) fn service_account(pod: &Value) -> Result<&str> {
    pod["spec"]["serviceAccountName"]
        .as_str()
        .context("a pod has a service account")
}

/// Waits until a Muster that runs as a pod says is ready, and passes all probes of that pod.
pub(crate) fn pass_probes(muster: &mut Muster, pod: &Value) -> Result<()> {
    let (name, container) = only_container(pod)?;
    muster.wait_until_ready()?;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"]
            .as_str()
            .with_context(|| format!("{name} has no {probe}"))?;
        metrics::get(muster.port(), path).with_context(|| format!("the {probe} of {name}"))?;
    }
    Ok(())
}

/// Writes the files of the ConfigMaps that a pod mounts below a folder, each at its path; gives the folder.
pub(crate) fn files_of(plane: &ControlPlane, pod: &Value) -> Result<PathBuf> {
    let (name, container) = only_container(pod)?;
    let root = plane.dir().join("mounts").join(name);
    mount_config_maps(plane, &pod["spec"], container, &root)?;
    Ok(root)
}

/// Writes the files of each mounted ConfigMap below a folder, at the path where the container has it.
fn mount_config_maps(plane: &ControlPlane, spec: &Value, container: &Value, root: &Path) -> Result<()> {
    let volumes = spec["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    for volume in volumes {
        let Some(config_map) = volume["configMap"]["name"].as_str() else {
            continue;
        };
        let object = plane
            .api()
            .get(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{config_map}"))?;
        let folder = root.join(mount_path(container, &volume["name"])?.trim_start_matches('/'));
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        for (file, content) in object["data"].as_object().into_iter().flatten() {
            std::fs::write(folder.join(file), content.as_str().unwrap_or_default())
                .with_context(|| format!("writing {file} of {config_map}"))?;
        }
    }
    Ok(())
}

fn mount_path<'a>(container: &'a Value, volume: &Value) -> Result<&'a str> {
    let mounts = container["volumeMounts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mount = mounts.iter().find(|mount| mount["name"] == *volume);
    mount
        .and_then(|mount| mount["mountPath"].as_str())
        .with_context(|| format!("{volume} is not mounted"))
}

/// The container's arguments, in which variables are what they stand for.
pub(crate) fn container_args(container: &Value) -> Result<Vec<String>> {
    let args = container["args"].as_array().context("a container has arguments")?;
    let variables = variables(container)?;
    let arg = |arg: &str| {
        variables.iter().fold(arg.to_owned(), |arg, (name, value)| {
            arg.replace(&format!("$({name})"), value)
        })
    };
    Ok(args.iter().filter_map(Value::as_str).map(arg).collect())
}

/// The container's variables, of which the kubelet fills in the address of the pod.
fn variables(container: &Value) -> Result<Vec<(&str, &str)>> {
    let variables = container["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let value = |variable: &'_ Value| match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
        Some("status.podIP") => Ok("127.0.0.1"),
        _ => bail!("nothing is known to fill in {variable}"),
    };
    let variables = variables.iter().map(|variable| {
        let name = variable["name"].as_str().context("a variable has a name")?;
        Ok((name, value(variable)?))
    });
    variables.collect()
}
