//! Muster behind the API server's aggregation layer, by the objects that the chart has for that, and callers who may ask it
//! there.

use crate::deployed::token;
use crate::endpoints::Caller;
use crate::{Cluster, Muster, PATIENCE};
use anyhow::{Context as _, Result, ensure};
use muster_xtask::deploy::{self, NAMESPACE};
use muster_xtask::{ControlPlane, KubeMinor};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The role of the chart that lets its holders ask; it is aggregated to `view`.
pub const ASKING: &str = "muster-explain";

/// Where the chart's two objects are, and the one that stands in for a network.
const REGISTRATION: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.explain.muster.dev";
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/muster-explain";
const OUTSIDE: &str = "muster-outside";

/// The API server passes requests for `explain.muster.dev` on to a Muster; until it is dropped.
pub struct Aggregated<'a>(&'a Cluster);

impl Aggregated<'_> {
    /// Registers this Muster.
    ///
    /// # Errors
    /// The API server does not take what the chart says.
    pub fn register<'a>(cluster: &'a Cluster, muster: &Muster) -> Result<Aggregated<'a>> {
        register(cluster.plane(), muster)?;
        Ok(Aggregated(cluster))
    }
}

impl Drop for Aggregated<'_> {
    fn drop(&mut self) {
        // The next test would find an API service that nobody serves.
        for path in [REGISTRATION, ROLE] {
            if let Err(error) = self.0.api().delete(path) {
                eprintln!("cannot delete {path}: {error:#}");
            }
        }
    }
}

/// Has the API server pass questions on to this Muster, and lets viewers ask, for good: as the chart does with
/// `explain.enabled`.
///
/// # Errors
/// The chart cannot be rendered, or the API server does not take what it says.
pub fn register(plane: &ControlPlane, muster: &Muster) -> Result<()> {
    // There is no network of services here, and no port 443 to be had: the name stands for this machine.
    let outside = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": OUTSIDE, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost"}});
    let [role, mut registration] = chart_objects(plane.kube())?;
    // All else is as it is shipped.
    registration["spec"]["service"] = json!({"name": OUTSIDE, "namespace": NAMESPACE, "port": muster.port()});
    plane.apply_objects(&[outside, role, registration])
}

/// The role and the APIService that the chart has more with explanations than without.
fn chart_objects(kube: KubeMinor) -> Result<[Value; 2]> {
    let without = deploy::chart(kube, &[])?;
    let mut objects = deploy::chart(kube, &["explain.enabled=true"])?;
    objects.retain(|object| !without.contains(object));
    let kinds: Vec<&Value> = objects.iter().map(|object| &object["kind"]).collect();
    ensure!(
        kinds == ["ClusterRole", "APIService"],
        "explain.enabled brings {kinds:?}"
    );
    <[Value; 2]>::try_from(objects).ok().context("two objects")
}

/// Gives a service account of the test's namespace this ClusterRole there; gives a caller that is it.
///
/// # Errors
/// The API server refuses one of the objects.
pub fn holder(cluster: &Cluster, account: &str, role: &str) -> Result<Caller> {
    let namespace = cluster.name();
    let metadata = json!({"name": account, "namespace": namespace});
    cluster.plane().apply_objects(&[
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]}),
    ])?;
    Ok(Caller::with_token(&token(cluster.plane(), namespace, account)?))
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
