//! Muster behind the API server's aggregation layer, and callers who may ask it there.

use crate::endpoints::Caller;
use crate::{Cluster, Muster, PATIENCE};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const NAME: &str = "v1alpha1.explain.muster.dev";

/// The API server passes requests for `explain.muster.dev` on to a Muster; until it is dropped.
pub struct Aggregated<'a>(&'a Cluster);

impl Aggregated<'_> {
    /// Registers this Muster.
    ///
    /// # Errors
    /// The API server does not take it.
    pub fn register<'a>(cluster: &'a Cluster, muster: &Muster) -> Result<Aggregated<'a>> {
        // There is no network of services here: the name stands for this machine.
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "muster"},
            "spec": {"type": "ExternalName", "externalName": "localhost"}});
        cluster.api().post(&cluster.path("services"), &service)?;
        let registration = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": NAME},
            "spec": {"group": "explain.muster.dev", "version": "v1alpha1", "groupPriorityMinimum": 1000, "versionPriority": 10,
                     "insecureSkipTLSVerify": true,
                     "service": {"name": "muster", "namespace": cluster.name(), "port": muster.port()}}});
        cluster.api().post(SERVICES, &registration)?;
        Ok(Aggregated(cluster))
    }
}

impl Drop for Aggregated<'_> {
    fn drop(&mut self) {
        // The next test would find an API service that nobody serves.
        if let Err(error) = self.0.api().delete(&format!("{SERVICES}/{NAME}")) {
            eprintln!("cannot delete the APIService {NAME}: {error:#}");
        }
    }
}

/// Lets a service account of the test's namespace do this there; gives a caller that is it.
///
/// # Errors
/// The API server refuses one of the objects.
pub fn viewer(cluster: &Cluster, name: &str, rules: &Value) -> Result<Caller> {
    let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", cluster.name());
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    cluster.api().post(&accounts, &account)?;
    let group = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", cluster.name());
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
        "rules": rules});
    cluster.api().post(&format!("{group}/roles"), &role)?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": cluster.name()}]});
    cluster.api().post(&format!("{group}/rolebindings"), &binding)?;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = cluster.api().post(&format!("{accounts}/{name}/token"), &request)?;
    let token = answer["status"]["token"].as_str().context("no token")?;
    Ok(Caller::with_token(token))
}

/// What the API server answers to this caller, once it passes the question on: it takes a while to find out who serves it.
///
/// # Errors
/// It takes too long; says what was answered last.
pub fn passed_on(caller: &Caller, port: u16, path: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let (status, body) = caller.get(port, path)?;
        if status == 200 {
            return serde_json::from_str(&body).context("the answer is no JSON");
        }
        ensure!(begun.elapsed() < PATIENCE, "{status}: {body}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// The port that the API server listens on.
///
/// # Errors
/// Its URL has none.
pub fn api_port(cluster: &Cluster) -> Result<u16> {
    let server = cluster.plane().server_url();
    let port = server.trim_end_matches('/').rsplit(':').next();
    port.context("no port")?.parse().context("no port")
}
