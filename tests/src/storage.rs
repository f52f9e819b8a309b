//! Claims and volumes for tests, and what a cluster has besides a scheduler to bring them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use muster_xtask::ControlPlane;
use muster_xtask::api::Api;
use serde_json::{Value, json};

const VOLUMES: &str = "/api/v1/persistentvolumes";
/// Written by the scheduler, read by provisioners.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A class whose volumes are bound when a pod is placed; with such a provisioner they are made then.
pub fn waiting_class(name: &str, provisioner: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": { "name": name },
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    })
}

/// A claim of this class.
pub fn claim(name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name },
        "spec": {
            "storageClassName": class,
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })
}

/// A volume that can be reached from one node only.
pub fn volume(name: &str, class: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name },
        "spec": {
            "storageClassName": class,
            "capacity": { "storage": "1Gi" },
            "accessModes": ["ReadWriteOnce"],
            "local": { "path": "/data" },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] },
            ] }] } },
        },
    })
}

/// The same pod with a claim.
pub fn with_claim(mut pod: Value, claim: &str) -> Value {
    pod["spec"]["volumes"] = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }]);
    pod
}

/// Stands in for the volume controller and a provisioner: makes volumes for claims whose node is selected, and binds claims
/// to volumes that are reserved for them. Ends when it is dropped.
pub struct VolumeController {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl VolumeController {
    /// Minds the claims of a namespace; those of `provisions` are provisioned.
    pub fn start(plane: &'static ControlPlane, namespace: &str, provisions: &str) -> VolumeController {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let claims = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims");
        let provisions = provisions.to_owned();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = turn(plane.api(), &claims, &provisions) {
                    eprintln!("the volume controller of the test: {error:#}");
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        VolumeController {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for VolumeController {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whatever it panicked with, it has said.
            let _ = thread.join();
        }
    }
}

fn turn(api: &Api, claims: &str, provisions: &str) -> Result<()> {
    let all = api.get(claims)?;
    for claim in all["items"].as_array().into_iter().flatten() {
        if claim["spec"]["volumeName"].is_string() {
            continue;
        }
        let name = claim["metadata"]["name"].as_str().context("a claim has a name")?;
        let selected = claim["metadata"]["annotations"][SELECTED_NODE].as_str();
        let reserved = reserved_volume(api, claim)?;
        let volume = match (reserved, selected) {
            (Some(volume), _) => volume,
            (None, Some(node)) if claim["spec"]["storageClassName"] == provisions => provision(api, claim, node)?,
            _ => continue,
        };
        bind(api, &format!("{claims}/{name}"), &volume)?;
    }
    Ok(())
}

/// The volume whose reference to a claim says this one.
fn reserved_volume(api: &Api, claim: &Value) -> Result<Option<String>> {
    let volumes = api.get(VOLUMES)?;
    let mut volumes = volumes["items"].as_array().into_iter().flatten();
    let reserved = volumes.find(|volume| volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]);
    Ok(reserved.and_then(|volume| volume["metadata"]["name"].as_str().map(str::to_owned)))
}

fn provision(api: &Api, claim: &Value, node: &str) -> Result<String> {
    let metadata = &claim["metadata"];
    let uid = metadata["uid"].as_str().context("a claim has a uid")?;
    let name = format!("pvc-{uid}");
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
    let mut volume = volume(&name, class, node);
    volume["spec"]["claimRef"] = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": uid,
    });
    api.post(VOLUMES, &volume)?;
    Ok(name)
}

fn bind(api: &Api, claim: &str, volume: &str) -> Result<()> {
    let bound = json!({ "status": { "phase": "Bound" } });
    api.merge_patch(&format!("{VOLUMES}/{volume}/status"), &bound)?;
    let completed = json!({
        "metadata": { "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
        "spec": { "volumeName": volume },
    });
    api.merge_patch(claim, &completed)?;
    api.merge_patch(&format!("{claim}/status"), &bound)?;
    Ok(())
}
