//! Who can be measured: how they are built, and how they are started.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::case::Case;
use crate::control_plane::ControlPlane;
use crate::nest::Launch;
use crate::steps::cargo;
use crate::test::{built, executable};

/// The `schedulerName` of the pods in a bench.
pub(super) const SCHEDULER_NAME: &str = "bench";

/// A scheduler that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Contestant {
    /// Muster as it is deployed.
    Muster,
    /// Upstream's scheduler of the same release as the API server, as it comes, without a limit on its requests.
    KubeScheduler,
    /// Binds round robin and decides nothing, with an event for each bind: `crates/kube/examples/null_scheduler.rs`.
    Null,
    /// The same without events.
    NullWithoutEvents,
}

impl Contestant {
    /// Everybody.
    pub(super) const ALL: [Contestant; 4] = [
        Contestant::Muster,
        Contestant::KubeScheduler,
        Contestant::Null,
        Contestant::NullWithoutEvents,
    ];

    /// Whether it looks at what the pods ask for, so that its placements can be right or wrong.
    pub(super) fn decides(self) -> bool {
        matches!(self, Contestant::Muster | Contestant::KubeScheduler)
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.pad(name.as_ref().map_or("", |name| name.get_name()))
    }
}

/// The programs that are built from this repository, optimised.
#[derive(Debug)]
pub(super) struct Programs {
    muster: PathBuf,
    null: PathBuf,
}

impl Programs {
    /// Builds them in the release profile.
    pub(super) fn build() -> Result<Programs> {
        // In one command: for each package alone, cargo would build what they share with other features.
        let packages = ["--package", "muster", "--package", "muster-kube"];
        let mut command = cargo(&["build", "--release", "--bin", "muster", "--example", "null_scheduler"]);
        command.args(packages);
        let messages = built(&mut command)?;
        Ok(Programs {
            muster: executable(&messages, "muster")?,
            null: executable(&messages, "null_scheduler")?,
        })
    }

    /// How a contestant is started. Muster and the null scheduler have the same identity.
    pub(super) fn launch(&self, contestant: Contestant, case: Case, plane: &ControlPlane) -> Result<Launch> {
        let kubeconfig = || plane.muster_kubeconfig();
        let (program, args) = match contestant {
            Contestant::KubeScheduler => {
                // Only where nothing can be done without them: they are off as it comes.
                let gates = (case == Case::Gang).then(|| plane.kube().feature_gates());
                return plane.kube_scheduler(gates);
            }
            Contestant::Muster => (&self.muster, muster_args(&kubeconfig()?)),
            Contestant::Null => (&self.null, null_args(&kubeconfig()?)),
            Contestant::NullWithoutEvents => {
                let mut args = null_args(&kubeconfig()?);
                args.push("--without-events".to_owned());
                (&self.null, args)
            }
        };
        Ok(Launch {
            name: contestant.to_string(),
            program: program.clone(),
            args,
            ..Launch::default()
        })
    }
}

fn muster_args(kubeconfig: &Path) -> Vec<String> {
    vec![
        "run".to_owned(),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--scheduler-name={SCHEDULER_NAME}"),
        "--secure-port=0".to_owned(),
        // It runs alone, and the others ask for no lease either.
        "--leader-elect=false".to_owned(),
    ]
}

fn null_args(kubeconfig: &Path) -> Vec<String> {
    vec![kubeconfig.display().to_string(), SCHEDULER_NAME.to_owned()]
}
