//! Developers' programs that come from crates.io: found, or installed into our cache in the release that is pinned.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::binaries::cache_dir;
use crate::steps::{cargo, output, run};

/// Where a program is, after installing it if need be. Its crate has its name.
///
/// # Errors
/// It cannot be installed.
pub(crate) fn ensure(name: &str, release: &str) -> Result<PathBuf> {
    let is_right =
        |path: &Path| output(Command::new(path).arg("--version")).is_ok_and(|text| text.trim().ends_with(release));
    let installed = PathBuf::from(name);
    if is_right(&installed) {
        return Ok(installed);
    }
    let tools = cache_dir()?.join("tools");
    let own = tools.join("bin").join(name);
    if !is_right(&own) {
        eprintln!("installing {name} {release} (some minutes the first time) …");
        let root = tools.display().to_string();
        let mut install = cargo(&["install", name, "--locked", "--version", release, "--root", &root]);
        run(install.arg("--quiet"))?;
    }
    Ok(own)
}
