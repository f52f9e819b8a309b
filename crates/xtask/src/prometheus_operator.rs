//! The kinds of the Prometheus operator that `deploy/` has objects of, as its own release defines them.
//!
//! They stand in its Go module, which `crates/xtask/modules/prometheus-operator` pins, and which Go keeps once it has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::binaries::GO_ENVIRONMENT;
use crate::manifest::{self, text};
use crate::steps::output;

const MODULE: &str = "github.com/prometheus-operator/prometheus-operator";
/// In the module, by the plural of each kind.
const DEFINITIONS: &str = "example/prometheus-operator-crd/monitoring.coreos.com_";
const KINDS: [&str; 2] = ["servicemonitors", "prometheusrules"];

/// Their definitions.
///
/// # Errors
/// Go cannot fetch the module, or they are not in it.
pub fn definitions() -> Result<Vec<Value>> {
    let module = fetch()?;
    let mut definitions = Vec::new();
    for kind in KINDS {
        let path = module.join(format!("{DEFINITIONS}{kind}.yaml"));
        let yaml = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        definitions.extend(manifest::parse(&yaml)?);
    }
    Ok(definitions)
}

/// The folder with the module.
fn fetch() -> Result<PathBuf> {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("modules/prometheus-operator");
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", MODULE])
        .envs(GO_ENVIRONMENT)
        .current_dir(pinned);
    let said = output(&mut go).with_context(|| format!("fetching {MODULE}"))?;
    let said: Value = serde_json::from_str(&said).context("reading what go mod download says")?;
    Ok(text(&said, "/Dir")?.into())
}
