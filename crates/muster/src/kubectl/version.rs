//! `kubectl muster version`: of this binary, of the API server, and of the Muster that runs there.

use super::age::age;
use super::flags::ConnectArgs;
use super::{API_VERSION, Failure};
use crate::text;
use crate::version::VERSION;
use jiff::Timestamp;
use muster_kube::{ReadError, Reader};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::Write as _;

/// Print the versions of this program, of the API server, and of the Muster that runs there
///
/// Muster is found by its Deployments, which have the label app.kubernetes.io/name=muster, and by its Lease.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Ask nobody, and print the version of this program alone
    #[arg(long)]
    client: bool,

    /// How to print
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,

    /// The name of the Lease that Muster's leader holds
    #[arg(long, value_name = "NAME", default_value = "muster")]
    lease_name: String,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// All that is found. What cannot be told is left out, and told as a problem.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes_version: Option<String>,
    deployments: Vec<Installed>,
    leases: Vec<Lease>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Installed {
    namespace: String,
    name: String,
    images: Vec<String>,
    replicas: i64,
    ready_replicas: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Lease {
    namespace: String,
    name: String,
    /// Empty when nobody holds it.
    holder: String,
    renewed: Option<Timestamp>,
}

/// Runs the command.
///
/// # Errors
/// The API server cannot be asked for its version.
pub(crate) async fn run(args: &Args, connect: &ConnectArgs) -> Result<(), Failure> {
    let mut versions = Versions {
        client_version: VERSION.to_owned(),
        ..Versions::default()
    };
    if !args.client {
        let reader = Reader::connect(&connect.options()).await?;
        ask(&reader, &args.lease_name, &mut versions).await?;
    }
    let printed = match args.output {
        None => lines(&versions, Timestamp::now(), args.client),
        Some(output) => {
            let mut object = serde_json::to_value(&versions).map_err(|error| Failure::Other(error.into()))?;
            object["apiVersion"] = json!(API_VERSION);
            object["kind"] = json!("Versions");
            match output {
                Output::Json => format!("{object:#}\n"),
                Output::Yaml => serde_saphyr::to_string(&object).map_err(|error| Failure::Other(error.into()))?,
            }
        }
    };
    text::print(&printed).map_err(Failure::Other)
}

async fn ask(reader: &Reader, lease_name: &str, versions: &mut Versions) -> Result<(), ReadError> {
    let answer = reader.get("/version").await?;
    versions.kubernetes_version = git_version(&answer);
    let selector = "app.kubernetes.io%2Fname%3Dmuster";
    let found = reader
        .get(&format!("/apis/apps/v1/deployments?labelSelector={selector}"))
        .await;
    match found {
        Ok(body) => versions.deployments = deployments(&body),
        Err(error) => versions.problems.push(error.to_string()),
    }
    let found = reader
        .get(&format!(
            "/apis/coordination.k8s.io/v1/leases?fieldSelector=metadata.name%3D{lease_name}"
        ))
        .await;
    match found {
        Ok(body) => versions.leases = leases(&body),
        Err(error) => versions.problems.push(error.to_string()),
    }
    Ok(())
}

fn git_version(body: &[u8]) -> Option<String> {
    let version: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(version["gitVersion"].as_str()?.to_owned())
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    namespace: String,
    name: String,
}

/// What is ill-formed is no Deployment of Muster.
fn deployments(body: &[u8]) -> Vec<Installed> {
    let items = serde_json::from_slice::<List<serde_json::Value>>(body)
        .map(|list| list.items)
        .unwrap_or_default();
    let installed = |item: serde_json::Value| {
        let Named { namespace, name } = serde_json::from_value(item["metadata"].clone()).ok()?;
        let containers = item["spec"]["template"]["spec"]["containers"].as_array()?;
        let images = containers.iter().filter_map(|container| container["image"].as_str());
        Some(Installed {
            namespace,
            name,
            images: images.map(str::to_owned).collect(),
            replicas: item["spec"]["replicas"].as_i64().unwrap_or(1),
            ready_replicas: item["status"]["readyReplicas"].as_i64().unwrap_or(0),
        })
    };
    items.into_iter().filter_map(installed).collect()
}

fn leases(body: &[u8]) -> Vec<Lease> {
    let items = serde_json::from_slice::<List<serde_json::Value>>(body)
        .map(|list| list.items)
        .unwrap_or_default();
    let lease = |item: serde_json::Value| {
        let Named { namespace, name } = serde_json::from_value(item["metadata"].clone()).ok()?;
        Some(Lease {
            namespace,
            name,
            holder: item["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned(),
            renewed: item["spec"]["renewTime"].as_str().and_then(|time| time.parse().ok()),
        })
    };
    items.into_iter().filter_map(lease).collect()
}

fn lines(versions: &Versions, now: Timestamp, client_only: bool) -> String {
    let mut out = format!("Client Version: {}\n", versions.client_version);
    if client_only {
        return out;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "Kubernetes Version: {}",
        versions.kubernetes_version.as_deref().unwrap_or("unknown")
    );
    for Installed {
        namespace,
        name,
        images,
        replicas,
        ready_replicas,
    } in &versions.deployments
    {
        let images = images.join(", ");
        let _ = writeln!(
            out,
            "Muster: {namespace}/{name}, {images}, {ready_replicas} of {replicas} ready"
        );
    }
    if versions.deployments.is_empty() && versions.problems.is_empty() {
        out.push_str("Muster: no Deployment with the label app.kubernetes.io/name=muster\n");
    }
    for Lease {
        namespace,
        name,
        holder,
        renewed,
    } in &versions.leases
    {
        let _ = match (holder.as_str(), renewed) {
            ("", _) => writeln!(out, "Lease {namespace}/{name}: nobody leads"),
            (_, None) => writeln!(out, "Lease {namespace}/{name}: {holder} leads"),
            (_, Some(renewed)) => {
                let age = age(*renewed, now);
                writeln!(out, "Lease {namespace}/{name}: {holder} leads, renewed {age} ago")
            }
        };
    }
    for problem in &versions.problems {
        let _ = writeln!(out, "unknown: {problem}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_printed() {
        let deployments_body = json!({"items": [{"metadata": {"namespace": "muster-system", "name": "muster"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": "muster:0.1.0"}]}}},
            "status": {"readyReplicas": 1}}, {"metadata": {}}]});
        let leases_body = json!({"items": [
            {"metadata": {"namespace": "a", "name": "muster"}, "spec": {"holderIdentity": "pod_1",
             "renewTime": "2026-01-01T00:00:00.000000Z"}},
            {"metadata": {"namespace": "b", "name": "muster"}, "spec": {"holderIdentity": ""}}]});
        let versions = Versions {
            client_version: "0.1.0".to_owned(),
            kubernetes_version: git_version(br#"{"gitVersion": "v1.37.0"}"#),
            deployments: deployments(deployments_body.to_string().as_bytes()),
            leases: leases(leases_body.to_string().as_bytes()),
            problems: vec!["Error from server (Forbidden): no".to_owned()],
        };
        let now = "2026-01-01T00:00:03Z".parse().unwrap();
        insta::assert_snapshot!(lines(&versions, now, false));
        assert_eq!(lines(&versions, now, true), "Client Version: 0.1.0\n");
    }

    #[test]
    fn nothing_found_is_said() {
        let versions = Versions::default();
        let text = lines(&versions, Timestamp::UNIX_EPOCH, false);
        assert!(
            text.contains("Kubernetes Version: unknown\nMuster: no Deployment"),
            "{text}"
        );
        assert!(deployments(b"<html>").is_empty() && leases(b"{}").is_empty());
    }
}
