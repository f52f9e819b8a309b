//! What the tests against a real control plane share: the control plane itself, one Muster per test, and words for what
//! tests do and see.
//!
//! All tests of a binary share one control plane, started by the first and gone with the process. Each has a namespace, a
//! scheduler name and nodes of its own; they take turns, since a diagnosis counts all nodes.

pub mod aggregation;
pub mod book;
pub mod collector;
pub mod deployed;
pub mod endpoints;
pub mod exposition;
pub mod extender;
pub mod http_server;
pub mod kubelet;
pub mod metrics;
pub mod objects;
pub mod pod_files;
pub mod prometheus;
pub mod proxy;
pub mod rights;
pub mod shapes;
pub mod storage;
pub mod terminal;
pub mod tokens;
pub mod upstream;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use endpoints::Caller;
use muster_xtask::api::Api;
use muster_xtask::nest::{Launch, Process};
pub use muster_xtask::pod_group::gang;
use muster_xtask::{ControlPlane, KubeMinor, MINOR_VARIABLE, Options, SimulatedNode};
use objects::pod;
use proxy::Proxy;
use serde_json::{Map, Value};

/// How long anything may take that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a thing that must not happen is watched.
pub const WATCH: Duration = Duration::from_secs(2);
/// Tells where the scheduler is that is tested; without it, cargo builds it.
const BINARY_VARIABLE: &str = "MUSTER_TEST_BINARY";

/// A test's own part of the shared control plane. Its pods and nodes go when it is dropped.
pub struct Cluster {
    name: String,
    plane: &'static ControlPlane,
    kubeconfig: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Waits for its turn, and makes a namespace of this name.
    ///
    /// # Panics
    /// The control plane does not start: no test can go on.
    pub fn new(name: &str) -> Cluster {
        let turn = turn();
        let plane = shared_plane();
        plane.create_namespace(name).expect("a namespace for the test");
        let kubeconfig = plane.muster_kubeconfig().expect("Muster's own service account");
        Cluster {
            name: name.to_owned(),
            plane,
            kubeconfig,
            _turn: turn,
        }
    }

    /// Requests as an administrator.
    pub fn api(&self) -> &Api {
        self.plane.api()
    }

    /// The control plane.
    pub fn plane(&self) -> &'static ControlPlane {
        self.plane
    }

    /// The kubeconfig of Muster's own service account.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The name of the namespace, and part of all other names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `schedulerName` of this test's pods.
    pub fn scheduler_name(&self) -> String {
        format!("muster-{}", self.name)
    }

    /// The path of a collection in the test's namespace, such as `pods`.
    pub fn path(&self, collection: &str) -> String {
        format!("/api/v1/namespaces/{}/{collection}", self.name)
    }

    /// The Kubernetes minor that runs.
    pub fn kube(&self) -> KubeMinor {
        self.plane.kube()
    }

    /// The path of the objects that hold the policies of the test's pod groups.
    pub fn group_policies(&self) -> String {
        self.kube().group_policies_path(&self.name)
    }

    /// Makes the policy object of a pod group, as users of this minor do.
    pub fn create_group(&self, name: &str, policy: &Value) -> Result<()> {
        let object = self.kube().group_policy(name, policy);
        self.api().post(&self.group_policies(), &object).map(drop)
    }

    /// Pods `w0`, `w1`, … of that group, each asking for so much CPU.
    pub fn members(&self, group: &str, n_members: usize, cpu: &str) -> Vec<Value> {
        self.members_called("w", group, n_members, cpu)
    }

    /// Likewise, with names that begin with this.
    pub fn members_called(&self, prefix: &str, group: &str, n_members: usize, cpu: &str) -> Vec<Value> {
        let pod = |n| pod(&format!("{prefix}{n}"), &self.scheduler_name(), cpu);
        (0..n_members).map(|n| self.kube().member_of(pod(n), group)).collect()
    }

    /// Makes nodes of so much CPU, named after the test and numbered from `first`.
    pub fn create_nodes(&self, first: usize, n_nodes: usize, cpu: &str) -> Result<()> {
        let nodes: Vec<SimulatedNode> = (first..first + n_nodes).map(|n| self.node(n).cpu(cpu)).collect();
        self.plane.create_nodes(&nodes)
    }

    /// A node of this test, to be made different before it is created.
    pub fn node(&self, n: usize) -> SimulatedNode {
        SimulatedNode::new(format!("{}-{n}", self.name)).memory("64Gi")
    }

    /// Starts Muster, as it is deployed: under its own service account, with the permissions of `deploy/`.
    pub fn start_muster(&self, more_flags: &[&str]) -> Result<Muster> {
        self.start_muster_at(&self.kubeconfig, more_flags)
    }

    /// Likewise, with the proxy between it and the API server.
    pub fn start_muster_behind(&self, proxy: &Proxy, more_flags: &[&str]) -> Result<Muster> {
        self.start_muster_at(&proxy.kubeconfig(&self.kubeconfig)?, more_flags)
    }

    /// Starts Muster, and does not wait for anything.
    pub fn launch_muster(&self, more_flags: &[&str]) -> Result<Muster> {
        self.launch_muster_as(&self.kubeconfig, more_flags)
    }

    fn start_muster_at(&self, kubeconfig: &Path, more_flags: &[&str]) -> Result<Muster> {
        let mut muster = self.launch_muster_as(kubeconfig, more_flags)?;
        muster.wait_until_ready()?;
        Ok(muster)
    }

    /// Likewise, with another kubeconfig.
    pub fn launch_muster_as(&self, kubeconfig: &Path, more_flags: &[&str]) -> Result<Muster> {
        let mut args = vec!["run".to_owned(), format!("--scheduler-name={}", self.scheduler_name())];
        // It is alone, unless a test says otherwise: it need not wait for a lease.
        if !more_flags.iter().any(|flag| flag.starts_with("--leader-elect")) {
            args.push("--leader-elect=false".into());
        }
        // Tests read metrics before it is known whose certificates are to be believed, and where the API server is away.
        if !more_flags
            .iter()
            .any(|flag| flag.starts_with("--authorization-always-allow-paths"))
        {
            args.push("--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics".into());
        }
        args.extend(more_flags.iter().map(|flag| (*flag).to_owned()));
        Muster::launch(self.plane, &format!("muster-{}", self.name), kubeconfig, args)
    }

    /// Writes a KubeSchedulerConfiguration with these fields; gives the flag that names it.
    pub fn write_configuration(&self, fields: &Value) -> Result<String> {
        self.write_documents(&[kube_document(fields)])
    }

    /// Likewise, with a MusterConfiguration of these fields beside it: what kube-scheduler has no field for.
    pub fn write_muster_configuration(&self, fields: &Value) -> Result<String> {
        let own = document("muster.dev/v1alpha1", "MusterConfiguration", fields);
        self.write_documents(&[kube_document(&Value::Object(Map::new())), own])
    }

    fn write_documents(&self, documents: &[String]) -> Result<String> {
        let path = self.kubeconfig.with_file_name(format!("{}-config.yaml", self.name));
        std::fs::write(&path, documents.join("\n---\n")).context("writing a configuration")?;
        Ok(format!("--config={}", path.display()))
    }

    /// Creates pods of the test's namespace, several at a time.
    pub fn create_pods(&self, pods: &[Value]) -> Result<()> {
        self.api().post_all(&self.path("pods"), pods)
    }

    /// The nodes of the pods that are bound, by pod.
    pub fn bound(&self) -> Result<BTreeMap<String, String>> {
        let pods = self.api().get(&self.path("pods"))?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let bound = pods.iter().filter_map(|pod| {
            let name = pod["metadata"]["name"].as_str()?;
            Some((name.to_owned(), pod["spec"]["nodeName"].as_str()?.to_owned()))
        });
        Ok(bound.collect())
    }

    /// Waits until so many pods are bound; gives their nodes.
    pub fn wait_bound(&self, n_pods: usize) -> Result<BTreeMap<String, String>> {
        self.api()
            .wait_until(&format!("{n_pods} pods are bound"), PATIENCE, |_| {
                Ok(Some(self.bound()?).filter(|bound| bound.len() == n_pods))
            })
    }

    /// Watches for a while that not more than so many pods are bound.
    pub fn stays_bound(&self, n_pods: usize) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < WATCH {
            let bound = self.bound()?;
            if bound.len() != n_pods {
                bail!("{} pods are bound instead of {n_pods}: {bound:?}", bound.len());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Waits until a pod's `PodScheduled` condition is False with a message for which `accept` is true; gives reason and
    /// message.
    pub fn wait_condition(&self, pod: &str, accept: impl Fn(&str) -> bool) -> Result<(String, String)> {
        let path = format!("{}/{pod}", self.path("pods"));
        self.api()
            .wait_until(&format!("pod {pod} says why it waits"), PATIENCE, |api| {
                Ok(condition(&api.get(&path)?).filter(|(_, message)| accept(message)))
            })
    }

    /// Waits until there is an event about a pod with this reason; gives it.
    pub fn wait_event(&self, pod: &str, reason: &str) -> Result<Value> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.name);
        self.api()
            .wait_until(&format!("pod {pod} has an event {reason}"), PATIENCE, |api| {
                let events = api.get(&path)?;
                let mut events = events["items"].as_array().cloned().unwrap_or_default().into_iter();
                Ok(events.find(|event| event["regarding"]["name"] == pod && event["reason"] == reason))
            })
    }
}

impl Drop for Cluster {
    /// Takes the nodes and the namespace away; a test that follows must not see them.
    fn drop(&mut self) {
        let clean = || -> Result<()> {
            self.api().delete("/api/v1/nodes")?;
            self.api()
                .request("DELETE", &self.path("pods?gracePeriodSeconds=0"), None)?;
            self.api()
                .delete(&format!("/api/v1/namespaces/{}", self.name))
                .map(drop)
        };
        if let Err(error) = clean() {
            eprintln!("cleaning up after the test {}: {error:#}", self.name);
        }
    }
}

fn kube_document(fields: &Value) -> String {
    document("kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration", fields)
}

fn document(api_version: &str, kind: &str, fields: &Value) -> String {
    let mut document = fields.clone();
    document["apiVersion"] = api_version.into();
    document["kind"] = kind.into();
    document.to_string()
}

/// Reason and message of a pod's `PodScheduled` condition, if that is False.
fn condition(pod: &Value) -> Option<(String, String)> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let waiting = |c: &&Value| c["type"] == "PodScheduled" && c["status"] == "False";
    let condition = conditions.iter().find(waiting)?;
    Some((
        condition["reason"].as_str()?.to_owned(),
        condition["message"].as_str()?.to_owned(),
    ))
}

/// A Muster that runs. It is killed when it is dropped.
pub struct Muster {
    process: Process,
    port: u16,
    /// Somebody who may read everything.
    administrator: Caller,
}

impl Muster {
    /// Starts Muster beside a control plane with these arguments, under this identity, on a port of its own; does not wait for
    /// anything. The name is the beginning of that of its log.
    pub fn launch(plane: &ControlPlane, name: &str, kubeconfig: &Path, mut args: Vec<String>) -> Result<Muster> {
        args.push(format!("--kubeconfig={}", kubeconfig.display()));
        Muster::launch_inside(plane, name, args, |launch| launch)
    }

    /// Likewise, without an identity: what is around the program has to bring one.
    pub(crate) fn launch_inside(
        plane: &ControlPlane,
        name: &str,
        mut args: Vec<String>,
        around: impl FnOnce(Launch) -> Launch,
    ) -> Result<Muster> {
        let port = free_port()?;
        args.extend(["--bind-address=127.0.0.1".to_owned(), format!("--secure-port={port}")]);
        let launch = around(Launch {
            name: format!("{name}-{port}"),
            program: binary()?,
            args,
            ..Launch::default()
        });
        Ok(Muster {
            process: plane.launch(&launch)?,
            port,
            administrator: Caller::with_certificate(plane, "admin"),
        })
    }

    /// Its metrics now.
    pub fn metrics(&self) -> Result<metrics::Metrics> {
        metrics::Metrics::scrape(self.port, &self.administrator)
    }

    /// How many pods it has bound that no event had woken, only the flush of those that wait for long: each is an event
    /// that was missed.
    pub fn rescued_by_flush(&self) -> Result<f64> {
        Ok(self.metrics()?.sum("scheduler_pod_scheduled_after_flush_total", &[]))
    }

    /// Kills it as a crash would: at once.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it to end, and waits until it has; gives its exit code.
    pub fn terminate(mut self) -> Result<Option<i32>> {
        let pid = self.process.pid().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .context("sending SIGTERM")?;
        if !sent.success() {
            bail!("kill -TERM {pid} failed");
        }
        self.wait_until_ended()
    }

    /// Waits until it has ended; gives its exit code.
    pub fn wait_until_ended(&mut self) -> Result<Option<i32>> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.process.ended()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("Muster did not end within {PATIENCE:?}:\n{}", self.process.log());
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        metrics::get(self.port, "/readyz").is_ok()
    }

    /// The port that it serves on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It ends, or takes too long.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.process.ended()? {
                bail!(
                    "Muster ended with {status} before it was ready:\n{}",
                    self.process.log()
                );
            }
            if self.is_ready() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("Muster was not ready within {PATIENCE:?}:\n{}", self.process.log());
    }
}

impl Drop for Muster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the log of Muster ----\n{}", self.process.log());
        }
        if let Err(error) = self.process.kill() {
            eprintln!("killing Muster: {error:#}");
        }
    }
}

/// Waits until no other test runs: two control planes at once would be slow, and tests know how long things take.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The control plane of this test binary. It goes with the process: statics are not dropped, but nothing is left behind.
fn shared_plane() -> &'static ControlPlane {
    static PLANE: OnceLock<ControlPlane> = OnceLock::new();
    PLANE.get_or_init(|| {
        let kube = match std::env::var(MINOR_VARIABLE) {
            Ok(minor) => minor.parse::<KubeMinor>().expect("a Kubernetes minor"),
            Err(_) => KubeMinor::default(),
        };
        ControlPlane::start(&Options {
            kube,
            ..Options::default()
        })
        .expect("a control plane for the tests")
    })
}

/// The program that is tested.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(path.into());
    }
    if let Some(path) = BINARY.get() {
        return Ok(path.clone());
    }
    let built = muster_xtask::test::build_muster()?;
    Ok(BINARY.get_or_init(|| built).clone())
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("asking for a free port")?;
    Ok(listener.local_addr().context("asking which port it is")?.port())
}
