//! What the kubelets of simulated nodes do for pods of Muster: they run them, and serve their logs and ways to their ports.
//! kwok does the serving, as objects of its own kinds say of each pod.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use muster_xtask::ControlPlane;
use muster_xtask::deploy::NAMESPACE;
use serde_json::{Value, json};

use crate::deployed::run_pod;
use crate::objects::{crd_of_any_fields, install_crds};
use crate::{Muster, PATIENCE, free_port};

/// kwok's group, and the kinds in it that say of a pod where its log is, and to what its ports lead.
const GROUP: &str = "kwok.x-k8s.io";
const VERSION: &str = "v1alpha1";
const LOGS: &str = "Logs";
const PORT_FORWARD: &str = "PortForward";

/// The kubelet of all nodes of a control plane.
pub struct Kubelet {
    /// The port that it serves on.
    port: u16,
    /// The folder of the pods' logs.
    logs: PathBuf,
    /// What runs, by the names of the pods.
    pods: BTreeMap<String, Muster>,
}

impl Kubelet {
    /// Starts what serves; that goes with the control plane.
    ///
    /// # Errors
    /// kwok does not start, or the API server refuses its kinds.
    pub fn start(plane: &ControlPlane) -> Result<Kubelet> {
        install_crds(
            plane,
            &[LOGS, PORT_FORWARD].map(|kind| crd_of_any_fields(GROUP, VERSION, kind)),
        )?;
        let logs = plane.dir().join("pod-logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        let port = free_port()?;
        let mut process = plane.launch(&plane.kubelet(port)?)?;
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            process.expect_running()?;
            ensure!(
                begun.elapsed() < PATIENCE,
                "kwok serves nothing of a kubelet:\n{}",
                process.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let pods = BTreeMap::new();
        Ok(Kubelet { port, logs, pods })
    }

    /// The port that it serves on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What runs in the pods.
    pub fn pods(&self) -> impl Iterator<Item = &Muster> {
        self.pods.values()
    }

    /// Runs the pods of Muster that have a node, and no longer those that are gone; their logs are what they have said until
    /// now.
    ///
    /// # Errors
    /// A pod does not become ready, or the API server refuses what kwok is to know of it.
    pub fn run_pods(&mut self, plane: &ControlPlane) -> Result<()> {
        let pods = plane.api().get(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.pods.retain(|known, _| pods.iter().any(|pod| name(pod) == *known));
        for pod in pods.iter().filter(|pod| pod["spec"]["nodeName"].is_string()) {
            let name = name(pod);
            if !self.pods.contains_key(&name) {
                let muster = run_pod(plane, pod)?;
                self.serve(plane, pod, &name, muster.port())?;
                self.pods.insert(name, muster);
            }
        }
        for (name, muster) in &self.pods {
            let path = self.log_file(name);
            std::fs::write(&path, as_runtimes_log(&muster.log()))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Tells kwok where the log of a pod is, and what its port stands for.
    fn serve(&self, plane: &ControlPlane, pod: &Value, name: &str, muster: u16) -> Result<()> {
        let port = &pod["spec"]["containers"][0]["ports"][0]["containerPort"];
        ensure!(port.is_number(), "the pod {name} has no port");
        let target = json!({"address": "127.0.0.1", "port": muster});
        let object = |kind: &str, spec: Value| {
            json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind,
                "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
        };
        plane.apply_objects(&[
            object(LOGS, json!({"logs": [{"logsFile": self.log_file(name)}]})),
            object(PORT_FORWARD, json!({"forwards": [{"ports": [port], "target": target}]})),
        ])
    }

    fn log_file(&self, pod: &str) -> PathBuf {
        self.logs.join(format!("{pod}.log"))
    }
}

/// What a process has written in the form of a container runtime, which has the time before each line.
///
/// ```
/// # use muster_tests::kubelet::as_runtimes_log;
/// assert_eq!(as_runtimes_log("a b\nc"), "2025-01-01T00:00:00Z stderr F a b\n2025-01-01T00:00:00Z stderr F c\n");
/// ```
pub fn as_runtimes_log(log: &str) -> String {
    // Any time will do: no page asks when a line was written.
    log.lines()
        .map(|line| format!("2025-01-01T00:00:00Z stderr F {line}\n"))
        .collect()
}
