//! Files of `muster snapshot`, for the commands that look at one in the place of a cluster: what is in it, and whose
//! configuration counts.

use anyhow::{Context as _, anyhow};
use muster_api::snapshot::{self, Header, Snapshot};
use muster_config::Configuration;
use serde_json::Value;
use std::fs::File;
use std::path::Path;

/// Reads a snapshot file; `-` is the standard input.
///
/// # Errors
/// It cannot be read, or is none; with the file and the line.
pub(crate) fn read(path: &Path) -> anyhow::Result<Snapshot> {
    let name = path.display();
    let read = if path == Path::new("-") {
        snapshot::read(std::io::stdin().lock())
    } else {
        snapshot::read(File::open(path).with_context(|| format!("{name} cannot be read"))?)
    };
    read.map_err(|error| anyhow!("{name}: {error}"))
}

/// The configuration in a snapshot file, where `--config` names no other. None: it has none.
///
/// # Errors
/// It is not one that this Muster takes.
pub(crate) fn configuration(path: &Path, header: &Header) -> anyhow::Result<Option<Configuration>> {
    let own = header.configuration.as_ref().map(|shown| {
        without_extenders(shown).with_context(|| {
            format!(
                "{}: its configuration cannot be used here, give --config",
                path.display()
            )
        })
    });
    own.transpose()
}

/// Whether the configuration in a snapshot names extenders.
pub(crate) fn names_extenders(header: &Header) -> bool {
    let extenders = header
        .configuration
        .as_ref()
        .and_then(|shown| shown.pointer("/componentconfig/extenders"));
    extenders
        .and_then(Value::as_array)
        .is_some_and(|extenders| !extenders.is_empty())
}

/// What it says of extenders is left out: they are not asked, and their keys are not in it.
fn without_extenders(shown: &Value) -> anyhow::Result<Configuration> {
    let documents = ["componentconfig", "muster.dev"]
        .iter()
        .filter_map(|group| shown.get(group));
    let documents = documents.map(|document| {
        let mut document = document.clone();
        if let Some(fields) = document.as_object_mut() {
            fields.remove("extenders");
        }
        document.to_string()
    });
    Ok(muster_config::load(&documents.collect::<Vec<_>>().join("\n---\n"))?)
}
