//! `cargo xtask control-plane`: a control plane that outlives the command, until it is taken down by its name.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::{Subcommand, ValueEnum};

use crate::api::Api;
use crate::binaries::{self, Program};
use crate::control_plane::{self, ControlPlane, Options, Running};
use crate::kube_minor::KubeMinor;

/// What to do with control planes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start one and return when it is ready.
    Up(UpArgs),
    /// Stop one, and remove everything that belongs to it.
    Down {
        /// Its name.
        #[arg(long, default_value = DEFAULT_NAME)]
        name: String,
    },
    /// List the running ones, including those of tests.
    Status,
    /// Build the programs without starting anything.
    Build {
        /// The Kubernetes minor: 1.35, 1.36 or 1.37.
        #[arg(long, default_value_t)]
        kube: KubeMinor,
        /// Build this program too.
        #[arg(long)]
        with: Vec<Extra>,
    },
}

/// How to start one.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// The Kubernetes minor: 1.35, 1.36 or 1.37.
    #[arg(long, default_value_t)]
    kube: KubeMinor,
    /// The number of simulated nodes.
    #[arg(long, default_value_t = 0)]
    nodes: usize,
    /// Its name: several run side by side under different names.
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
    /// Add this program to it.
    #[arg(long)]
    with: Vec<Extra>,
    /// Leave out kwok: bound pods stay Pending, and deleted ones have to be deleted by force.
    #[arg(long)]
    no_kwok: bool,
    /// Write a line for each binding, and each other write of a scheduler, into audit.log.
    #[arg(long)]
    audit_writes: bool,
}

/// A program that is there on request only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Extra {
    /// Upstream's scheduler.
    KubeScheduler,
    /// The command line client of the same release.
    Kubectl,
}

const DEFAULT_NAME: &str = "default";

/// Runs the command.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Up(args) => up(args),
        Command::Down { name } => down(&name),
        Command::Status => status(),
        Command::Build { kube, with } => build(kube, &with),
    }
}

fn up(args: UpArgs) -> Result<()> {
    if control_plane::exists(&args.name)? {
        let name = &args.name;
        bail!("the control plane {name:?} is up already: take it down (`down --name {name}`) or take another --name");
    }
    let kubectl = args
        .with
        .contains(&Extra::Kubectl)
        .then(|| binaries::ensure(Program::Kubectl, args.kube));
    let kubectl = kubectl.transpose()?;
    let options = Options {
        kube: args.kube,
        nodes: args.nodes,
        name: Some(args.name.clone()),
        kube_scheduler: args.with.contains(&Extra::KubeScheduler),
        kwok: !args.no_kwok,
        audit_writes: args.audit_writes,
        ..Options::default()
    };
    // So that what is timed is the start and not the builds.
    for program in options.programs() {
        binaries::ensure(program, options.kube)?;
    }
    let started = Instant::now();
    let control_plane = ControlPlane::start(&options)?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "Kubernetes {} with {} nodes is ready after {seconds:.1} s",
        args.kube.release(),
        args.nodes
    );
    let kubeconfig = control_plane.kubeconfig().to_owned();
    control_plane.give_away()?;
    say(&format!("export KUBECONFIG={}", kubeconfig.display()))?;
    if let Some(kubectl) = kubectl {
        eprintln!("kubectl of the same release: {}", kubectl.display());
    }
    eprintln!("take it down with: cargo xtask control-plane down --name {}", args.name);
    Ok(())
}

fn down(name: &str) -> Result<()> {
    let running = control_plane::find(name)?;
    if let Some(owner) = running
        .and_then(|running| running.state.owner)
        .filter(|owner| is_alive(*owner))
    {
        bail!("the control plane {name:?} belongs to the process {owner} and goes with it: end that one");
    }
    if control_plane::take_down(name)? {
        eprintln!("the control plane {name:?} is down");
    } else {
        eprintln!("there is no control plane {name:?}");
    }
    Ok(())
}

fn status() -> Result<()> {
    let all = control_plane::list()?;
    if all.is_empty() {
        eprintln!("no control plane is up");
    }
    for running in &all {
        say(&describe(running, &health(running)))?;
    }
    Ok(())
}

fn describe(running: &Running, health: &str) -> String {
    let state = &running.state;
    let owner = match state.owner {
        Some(pid) => format!("goes with process {pid}"),
        None => "until taken down".to_owned(),
    };
    let mut text = format!(
        "{}: Kubernetes {} at {}, {health}, {owner}\n  KUBECONFIG={}",
        state.name,
        state.kube,
        state.server,
        state.kubeconfig.display()
    );
    for (name, pid) in &running.processes {
        text += &format!("\n  {pid:>8} {name}");
    }
    text
}

fn health(running: &Running) -> String {
    match Api::connect(&running.state.kubeconfig) {
        Ok(api) if api.is_ready() => "ready".to_owned(),
        Ok(_) => "NOT READY".to_owned(),
        Err(error) => format!("NOT READY ({error:#})"),
    }
}

fn build(kube: KubeMinor, with: &[Extra]) -> Result<()> {
    let options = Options {
        kube,
        kube_scheduler: with.contains(&Extra::KubeScheduler),
        ..Options::default()
    };
    let kubectl = with.contains(&Extra::Kubectl).then_some(Program::Kubectl);
    for program in options.programs().into_iter().chain(kubectl) {
        say(&binaries::ensure(program, kube)?.display().to_string())?;
    }
    Ok(())
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

/// What a script may want to read goes to the standard output, all else to the standard error.
fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to the standard output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_plane::State;

    #[test]
    fn a_description_names_everything_needed_to_use_it() {
        let state = State {
            name: "two".into(),
            kube: "1.36".into(),
            server: "https://127.0.0.1:4000".into(),
            kubeconfig: "/nest/admin.kubeconfig".into(),
            owner: None,
        };
        let running = Running {
            dir: "/nest".into(),
            state,
            processes: vec![("etcd".into(), 7)],
        };
        let expected = "two: Kubernetes 1.36 at https://127.0.0.1:4000, ready, until taken down\n  \
                        KUBECONFIG=/nest/admin.kubeconfig\n         7 etcd";
        assert_eq!(describe(&running, "ready"), expected);
    }
}
