//! Who can be measured: how they are built, and how they are started.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::nest::Launch;
use crate::steps::cargo;
use crate::test::{built, executable};

/// The `schedulerName` of the pods in a bench.
pub(super) const SCHEDULER_NAME: &str = "bench";

/// A scheduler that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contestant {
    /// Muster as it is deployed.
    Muster,
    /// Binds round robin and decides nothing: `crates/kube/examples/null_scheduler.rs`.
    Null,
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Contestant::Muster => "muster",
            Contestant::Null => "null",
        })
    }
}

/// The programs of all contestants, optimised.
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

    /// How a contestant is started, with Muster's own identity.
    pub(super) fn launch(&self, contestant: Contestant, kubeconfig: &Path) -> Launch {
        let kubeconfig = kubeconfig.display();
        let (program, args) = match contestant {
            Contestant::Muster => (
                &self.muster,
                vec![
                    "run".to_owned(),
                    format!("--kubeconfig={kubeconfig}"),
                    format!("--scheduler-name={SCHEDULER_NAME}"),
                    "--secure-port=0".to_owned(),
                    // It runs alone, and the other one asks for no lease either.
                    "--leader-elect=false".to_owned(),
                ],
            ),
            Contestant::Null => (&self.null, vec![kubeconfig.to_string(), SCHEDULER_NAME.to_owned()]),
        };
        Launch {
            name: contestant.to_string(),
            program: program.clone(),
            args,
            ..Launch::default()
        }
    }
}
