//! The start of a control plane, step by step until it is ready.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::flags::{self, Layout};
use super::state::{self, State};
use super::{ControlPlane, Options, START_TIMEOUT};
use crate::api::Api;
use crate::binaries::{self, Program};
use crate::kubeconfig;
use crate::nest::{self, Launch, Nest, Process};
use crate::pki::{Client, Pki};
use crate::simulated_node::SimulatedNode;

/// How often another port is tried when somebody else took the one that was free a moment ago.
const PORT_TRIES: usize = 5;

/// The administrator's name among the clients.
const ADMIN: &str = "admin";

/// Everybody who proves himself by a certificate. Only the humans' client and kwok may do everything.
const CLIENTS: [Client; 4] = [
    Client {
        file: ADMIN,
        user: "muster:admin",
        group: Some("system:masters"),
    },
    Client {
        file: "kube-controller-manager",
        user: "system:kube-controller-manager",
        group: None,
    },
    Client {
        file: "kube-scheduler",
        user: "system:kube-scheduler",
        group: None,
    },
    Client {
        file: "kwok",
        user: "muster:kwok",
        group: Some("system:masters"),
    },
];

impl ControlPlane {
    /// Starts a control plane and waits until it is ready, with its nodes and the default service account there.
    ///
    /// Programs that are missing are built first, which takes minutes the first time.
    pub fn start(options: &Options) -> Result<ControlPlane> {
        let binaries = ensure_binaries(options)?;
        let nest = Nest::create(&state::dir_for(options.name.as_deref())?)?;
        let layout = lay_out(options, nest.dir())?;
        let etcd = start_etcd(&nest, &binaries, &layout)?;
        let server = start_first_api_server(options, &nest, &binaries, &layout)?;
        let processes = [
            (Program::Etcd.name(), etcd),
            (Program::KubeApiserver.name(), server.process),
        ];
        let control_plane = ControlPlane {
            nest,
            processes: Mutex::new(BTreeMap::from(processes)),
            options: options.clone(),
            binaries,
            kubeconfig: layout.kubeconfig(ADMIN),
            layout,
            port: server.port,
            server_url: server_url(server.port),
            api: server.api,
        };
        control_plane.record()?;
        control_plane.start_clients()?;
        control_plane.wait_until_usable()?;
        control_plane.create_nodes(&SimulatedNode::fleet(options.nodes))?;
        control_plane.expect_all_running()?;
        Ok(control_plane)
    }

    fn record(&self) -> Result<()> {
        let state = State {
            name: state::name_of(self.nest.dir()),
            kube: self.options.kube.to_string(),
            server: self.server_url.clone(),
            kubeconfig: self.kubeconfig.clone(),
            owner: Some(std::process::id()),
        };
        state.write(self.nest.dir())
    }

    /// Everything that is a client of the API server.
    fn start_clients(&self) -> Result<()> {
        for program in self.options.programs() {
            let args = match program {
                Program::KubeControllerManager => flags::kube_controller_manager(&self.options, &self.layout),
                Program::KubeScheduler => {
                    let gates = self.options.kube.feature_gates();
                    flags::kube_scheduler(&self.layout, Some(gates))
                }
                Program::Kwok => flags::kwok(&self.layout),
                Program::Etcd
                | Program::KubeApiserver
                | Program::Kubectl
                | Program::Helm
                | Program::HelmUnittest
                | Program::HelmDocs => continue,
            };
            let process = self.start_component(program, args)?;
            self.processes().insert(program.name(), process);
        }
        Ok(())
    }

    fn wait_until_usable(&self) -> Result<()> {
        let what = if self.options.controller_manager {
            "/api/v1/namespaces/default/serviceaccounts/default"
        } else {
            "/api/v1/namespaces/default"
        };
        self.api.wait_until(&format!("{what} is there"), START_TIMEOUT, |api| {
            // Without this a controller manager that refuses its flags would be waited for in vain.
            match self.expect_all_running() {
                Ok(()) => api.get_if_found(what),
                Err(_) => Ok(Some(serde_json::Value::Null)),
            }
        })?;
        self.expect_all_running()
    }

    fn expect_all_running(&self) -> Result<()> {
        self.processes().values_mut().try_for_each(Process::expect_running)
    }
}

fn ensure_binaries(options: &Options) -> Result<BTreeMap<Program, PathBuf>> {
    options
        .programs()
        .into_iter()
        .map(|program| Ok((program, binaries::ensure(program, options.kube)?)))
        .collect()
}

/// Writes the files that the components start with.
fn lay_out(options: &Options, dir: &Path) -> Result<Layout> {
    let pki = Pki::create(&dir.join("pki"), &CLIENTS)?;
    let layout = Layout {
        dir: dir.to_owned(),
        pki,
    };
    write(&layout.kwok_config(), include_str!("../../assets/kwok.yaml"))?;
    write(&layout.audit_policy(), include_str!("../../assets/audit-policy.yaml"))?;
    write(
        &layout.scheduler_config(),
        &flags::kube_scheduler_config(options, &layout),
    )?;
    Ok(layout)
}

/// Starts one component in the nest, with its log and its name in the nest after its program.
pub(super) fn component(
    nest: &Nest,
    binaries: &BTreeMap<Program, PathBuf>,
    program: Program,
    args: Vec<String>,
) -> Result<Process> {
    let binary = binaries
        .get(&program)
        .with_context(|| format!("{} was not asked for", program.name()))?;
    nest.launch(&launch(nest, program, binary, args))
}

/// How a component is started.
pub(super) fn launch(nest: &Nest, program: Program, binary: &Path, args: Vec<String>) -> Launch {
    Launch {
        name: program.name().to_owned(),
        program: binary.to_owned(),
        args,
        // kwok would read, and mix in, a configuration of the developer's own.
        environment: vec![("HOME".to_owned(), nest.dir().display().to_string())],
        working_dir: None,
    }
}

fn start_etcd(nest: &Nest, binaries: &BTreeMap<Program, PathBuf>, layout: &Layout) -> Result<Process> {
    let socket = layout.etcd_socket();
    // The kernel's limit for the name of a socket; what comes of breaking it is hard to understand.
    if 100 < socket.as_os_str().len() {
        bail!(
            "{} is too long a name for a socket: set TMPDIR to a shorter path",
            socket.display()
        );
    }
    let mut process = component(nest, binaries, Program::Etcd, flags::etcd(layout))?;
    let deadline = Instant::now() + START_TIMEOUT;
    while !socket.exists() {
        process.expect_running()?;
        if deadline <= Instant::now() {
            bail!(
                "etcd doesn't listen; the end of its log:\n{}",
                nest::tail(&process.log(), 20)
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(process)
}

struct ApiServer {
    process: Process,
    port: u16,
    api: Api,
}

fn start_first_api_server(
    options: &Options,
    nest: &Nest,
    binaries: &BTreeMap<Program, PathBuf>,
    layout: &Layout,
) -> Result<ApiServer> {
    for _ in 0..PORT_TRIES {
        let port = free_port()?;
        for client in CLIENTS {
            let path = layout.kubeconfig(client.file);
            kubeconfig::write_for_certificate(&path, &server_url(port), &layout.pki, client.file)?;
        }
        let args = flags::kube_apiserver(options, layout, port);
        let mut process = component(nest, binaries, Program::KubeApiserver, args)?;
        let api = Api::connect(&layout.kubeconfig(ADMIN))?;
        match wait_until_ready(&mut process, &api) {
            Ok(()) => return Ok(ApiServer { process, port, api }),
            Err(error) if lost_its_port(&process.log(), port) => drop(error),
            Err(error) => return Err(error),
        }
    }
    bail!("no port for the API server stayed free in {PORT_TRIES} tries")
}

fn wait_until_ready(process: &mut Process, api: &Api) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    while !api.is_ready() {
        process.expect_running()?;
        if deadline <= Instant::now() {
            bail!(
                "kube-apiserver doesn't become ready; the end of its log:\n{}",
                nest::tail(&process.log(), 20)
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether the server says that somebody else had this port.
fn lost_its_port(log: &str, port: u16) -> bool {
    log.lines()
        .any(|line| line.contains(&format!(":{port}")) && line.contains("address already in use"))
}

/// A port that is free now; somebody may still be faster.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("asking for a free port")?;
    Ok(listener.local_addr().context("reading which port is free")?.port())
}

fn server_url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_port_is_told_from_other_failures() {
        let lost = "failed to create listener: failed to listen on 127.0.0.1:4000: bind: address already in use";
        assert!(lost_its_port(lost, 4000));
        assert!(!lost_its_port(lost, 4001));
        assert!(!lost_its_port("unknown flag: --nonsense", 4000));
    }
}
