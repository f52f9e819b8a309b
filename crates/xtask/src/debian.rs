//! Programs that come from Debian: found, or installed where we may, as on a new machine of CI.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::{output, run};

/// Makes sure that a program starts; installs its package otherwise.
///
/// # Errors
/// The program is not there, and its package cannot be installed.
pub fn ensure_installed(program: &str, package: &str) -> Result<()> {
    let there = || output(Command::new(program).arg("--version")).is_ok();
    if there() {
        return Ok(());
    }
    eprintln!("installing {package} from Debian …");
    for args in [
        &["update", "--quiet=2"][..],
        &["install", "--yes", "--quiet=2", "--no-install-recommends", package],
    ] {
        // A package may bring a service: by its run level, a machine for one user starts none.
        let mut apt = Command::new("apt-get");
        run(apt
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1"))
        .with_context(|| format!("{package} is missing and cannot be installed: use your package manager"))?;
    }
    if !there() {
        bail!("{package} was installed, but {program} does not start");
    }
    Ok(())
}
