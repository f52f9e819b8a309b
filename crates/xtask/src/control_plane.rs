//! A real control plane, started and taken down as one thing: etcd, API server, controllers, simulated kubelets.

mod flags;
mod requests;
mod start;
mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::api::Api;
use crate::binaries::{self, Program};
use crate::kube_minor::KubeMinor;
use crate::nest::{self, Launch, Nest, Process};

use flags::Layout;
pub use state::{Running, State, exists, find, list, take_down};

/// How long a control plane may take to become ready: a few seconds are usual, but not on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Kubernetes minor.
    pub kube: KubeMinor,
    /// How many simulated nodes to begin with, of 4 CPU and 16 GiB each, in three zones.
    pub nodes: usize,
    /// The name under which `cargo xtask control-plane status` and `down` find it; made up when there is none.
    pub name: Option<String>,
    /// Whether upstream's scheduler runs.
    pub kube_scheduler: bool,
    /// The pods that upstream's scheduler takes, by their `schedulerName`.
    pub kube_scheduler_name: String,
    /// Whether controllers run: without them no Job makes pods, no namespace goes, and pods get no service account.
    pub controller_manager: bool,
    /// Whether bound pods become Running and deleted ones go.
    pub kwok: bool,
    /// Whether each binding, and each other write of a scheduler, leaves a line in [`ControlPlane::audit_log`].
    pub audit_writes: bool,
    /// Flags for the API server, which win over ours.
    pub api_server_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            kube: KubeMinor::default(),
            nodes: 0,
            name: None,
            kube_scheduler: false,
            kube_scheduler_name: "default-scheduler".to_owned(),
            controller_manager: true,
            kwok: true,
            audit_writes: false,
            api_server_flags: Vec::new(),
        }
    }
}

impl Options {
    /// The programs that are needed, in the order of their start.
    pub fn programs(&self) -> Vec<Program> {
        let optional = [
            (self.controller_manager, Program::KubeControllerManager),
            (self.kube_scheduler, Program::KubeScheduler),
            (self.kwok, Program::Kwok),
        ];
        let chosen = optional
            .into_iter()
            .filter_map(|(wanted, program)| wanted.then_some(program));
        [Program::Etcd, Program::KubeApiserver]
            .into_iter()
            .chain(chosen)
            .collect()
    }
}

/// A running control plane, with TLS and RBAC as in production. It goes when this value or this process does.
#[derive(Debug)]
pub struct ControlPlane {
    // First, so that dropping kills the processes before their handles look after what is left of them.
    nest: Nest,
    processes: Mutex<BTreeMap<&'static str, Process>>,
    options: Options,
    binaries: BTreeMap<Program, PathBuf>,
    layout: Layout,
    kubeconfig: PathBuf,
    port: u16,
    server_url: String,
    api: Api,
}

impl ControlPlane {
    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The directory with everything that belongs to the control plane; it goes with it.
    pub fn dir(&self) -> &Path {
        self.nest.dir()
    }

    /// Where the API server is, such as `https://127.0.0.1:36443`.
    pub fn server_url(&self) -> &str {
        &self.server_url
    }

    /// The Kubernetes minor that runs.
    pub fn kube(&self) -> KubeMinor {
        self.options.kube
    }

    /// Requests as an administrator.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The file with one line of JSON for each binding and each write of a scheduler, if [`Options::audit_writes`] asked for it.
    pub fn audit_log(&self) -> PathBuf {
        self.layout.audit_log()
    }

    /// What a component has written, by the name of its program.
    pub fn log(&self, component: &str) -> Result<String> {
        match self.processes().get(component) {
            Some(process) => Ok(process.log()),
            None => bail!("{component} is no component of this control plane"),
        }
    }

    /// How upstream's scheduler is started later than the rest, by [`ControlPlane::launch`]: with the configuration that
    /// [`Options::kube_scheduler`] gives it, and with feature gates such as `GangScheduling=true`.
    pub fn kube_scheduler(&self, feature_gates: Option<&str>) -> Result<Launch> {
        let program = Program::KubeScheduler;
        let binary = binaries::ensure(program, self.options.kube)?;
        let args = flags::kube_scheduler(&self.layout, feature_gates);
        Ok(start::launch(&self.nest, program, &binary, args))
    }

    /// How kwok is started to serve what a kubelet serves, on a port of this machine, by [`ControlPlane::launch`].
    pub fn kubelet(&self, port: u16) -> Result<Launch> {
        let program = Program::Kwok;
        let binary = binaries::ensure(program, self.options.kube)?;
        let launch = start::launch(&self.nest, program, &binary, flags::kubelet(&self.layout, port));
        // One of that name runs already, in place of what a kubelet does.
        Ok(Launch {
            name: "kubelet".to_owned(),
            ..launch
        })
    }

    /// Starts another program that goes down with the control plane, such as the scheduler that is being tested.
    pub fn launch(&self, launch: &Launch) -> Result<Process> {
        self.nest.launch(launch)
    }

    /// Kills the API server, as a crash would; [`ControlPlane::start_api_server`] brings it back.
    pub fn kill_api_server(&self) -> Result<()> {
        match self.processes().get_mut(Program::KubeApiserver.name()) {
            Some(process) => process.kill(),
            None => bail!("the API server was never started"),
        }
    }

    /// Starts the API server again at the same address, and waits until it is ready.
    pub fn start_api_server(&self) -> Result<()> {
        let flags = flags::kube_apiserver(&self.options, &self.layout, self.port);
        let process = self.start_component(Program::KubeApiserver, flags)?;
        self.processes().insert(Program::KubeApiserver.name(), process);
        self.api
            .wait_until("the API server is ready again", START_TIMEOUT, |api| {
                Ok(api.is_ready().then_some(()))
            })
            .with_context(|| self.log_tail(Program::KubeApiserver))
    }

    /// Lets it run on when this process has ended, to be found by its name.
    pub fn give_away(self) -> Result<()> {
        let name = self
            .options
            .name
            .clone()
            .context("a control plane without a name would not be found again")?;
        let mut state = State::read(self.nest.dir())?;
        state.owner = None;
        state.write(self.nest.dir())?;
        self.nest
            .give_away()
            .with_context(|| format!("giving the control plane {name} away"))?;
        Ok(())
    }

    fn start_component(&self, program: Program, args: Vec<String>) -> Result<Process> {
        start::component(&self.nest, &self.binaries, program, args)
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<&'static str, Process>> {
        // A test that panicked in the middle leaves nothing half done in here.
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_tail(&self, program: Program) -> String {
        let log = self.log(program.name()).unwrap_or_default();
        format!("the end of the log of {}:\n{}", program.name(), nest::tail(&log, 20))
    }
}
