//! What tests ask of a running control plane: objects from manifests, nodes, namespaces, identities.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::ControlPlane;
use crate::manifest::{self, PathFinder};
use crate::simulated_node::SimulatedNode;
use crate::{deploy, kubeconfig};

/// How long a controller may take for something small.
const CONTROLLER_TIMEOUT: Duration = Duration::from_secs(60);

/// Longer than any test, and short enough for every server.
const TOKEN_SECONDS: u32 = 24 * 3600;

impl ControlPlane {
    /// Creates the objects of a manifest of several YAML documents, or changes them to be so.
    ///
    /// When this returns, pods can be created in the namespaces that the manifest names.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.apply_objects(&manifest::parse(yaml)?)
    }

    /// Likewise of objects.
    pub fn apply_objects(&self, objects: &[Value]) -> Result<()> {
        let mut paths = PathFinder::new(&self.api);
        for object in objects {
            let kind = manifest::text(object, "/kind")?;
            let name = manifest::text(object, "/metadata/name")?;
            let path = paths.path(object)?;
            self.api
                .server_side_apply(&path, object)
                .with_context(|| format!("applying {kind} {name}"))?;
            if kind == "Namespace" {
                self.wait_for_service_account(name)?;
            }
        }
        Ok(())
    }

    /// Deletes the objects of a manifest, last one first; what isn't there is fine.
    pub fn delete(&self, yaml: &str) -> Result<()> {
        let mut paths = PathFinder::new(&self.api);
        for object in manifest::parse(yaml)?.iter().rev() {
            let path = paths.path(object)?;
            if self.api.get_if_found(&path)?.is_some() {
                self.api.delete(&path)?;
            }
        }
        Ok(())
    }

    /// Creates a namespace in which pods can be created at once.
    pub fn create_namespace(&self, name: &str) -> Result<()> {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.api.post("/api/v1/namespaces", &object)?;
        self.wait_for_service_account(name)
    }

    /// Creates simulated nodes, several at a time.
    pub fn create_nodes(&self, nodes: &[SimulatedNode]) -> Result<()> {
        let objects: Vec<_> = nodes.iter().map(SimulatedNode::object).collect();
        self.api.post_all("/api/v1/nodes", &objects)
    }

    /// Deletes a node.
    pub fn delete_node(&self, name: &str) -> Result<()> {
        self.api.delete(&format!("/api/v1/nodes/{name}")).map(drop)
    }

    /// Writes a kubeconfig with a token of a service account: what a program in a pod would be to the API server.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "expirationSeconds": TOKEN_SECONDS },
        });
        let answer = self.api.post(&path, &request)?;
        let token = manifest::text(&answer, "/status/token")?;
        let folder = self.dir().join("service-accounts");
        fs::create_dir_all(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
        let file = folder.join(format!("{namespace}-{name}.kubeconfig"));
        kubeconfig::write_for_token(&file, self.server_url(), &self.layout.pki.authority(), token)?;
        Ok(file)
    }

    /// Gives Muster the identity and the permissions that `deploy/muster.yaml` gives it in production, and writes the
    /// kubeconfig by which it has them here, where it runs beside the cluster rather than in it.
    pub fn muster_kubeconfig(&self) -> Result<PathBuf> {
        let mut objects = deploy::one_file()?;
        // No kubelet runs here: its pods would wait for ever.
        objects.retain(|object| object["kind"] != "Deployment");
        self.apply_objects(&objects)
            .with_context(|| format!("applying {}", deploy::ONE_FILE))?;
        self.service_account_kubeconfig(deploy::NAMESPACE, "muster")
    }

    /// A pod is refused as long as its namespace has no service account, and controllers take a moment to make one.
    fn wait_for_service_account(&self, namespace: &str) -> Result<()> {
        if !self.options.controller_manager {
            return Ok(());
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        let what = format!("the namespace {namespace} has its service account");
        self.api
            .wait_until(&what, CONTROLLER_TIMEOUT, |api| api.get_if_found(&path))
            .map(drop)
    }
}
