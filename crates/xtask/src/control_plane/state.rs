//! What is known of the control planes on this machine, whoever started them: a file in the directory of each.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::nest;

/// The file that says what runs in a directory.
const FILE: &str = "state.json";

/// What a control plane writes down about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Its name.
    pub name: String,
    /// The Kubernetes minor.
    pub kube: String,
    /// Where its API server is.
    pub server: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The process with which it goes, if it goes with one.
    pub owner: Option<u32>,
}

impl State {
    pub(super) fn read(dir: &Path) -> Result<State> {
        let path = dir.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        // Renamed into place, so that nobody reads half of it.
        let (path, draft) = (dir.join(FILE), dir.join("state.json.new"));
        let text = serde_json::to_string_pretty(self).context("encoding the state")?;
        fs::write(&draft, text + "\n").with_context(|| format!("writing {}", draft.display()))?;
        fs::rename(&draft, &path).with_context(|| format!("writing {}", path.display()))
    }
}

/// A control plane that was found on this machine.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its directory.
    pub dir: PathBuf,
    /// What it says about itself.
    pub state: State,
    /// Its living processes: name and pid.
    pub processes: Vec<(String, u32)>,
}

/// The control planes of this user, by name. Those that are still starting have no state yet and are left out.
pub fn list() -> Result<Vec<Running>> {
    let folder = parent_folder();
    let prefix = prefix()?;
    let entries = fs::read_dir(&folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .filter_map(|entry| {
            let dir = entry.path();
            let state = State::read(&dir).ok()?;
            let processes = nest::processes(&dir);
            Some(Running { dir, state, processes })
        })
        .collect();
    found.sort_by(|a, b| a.state.name.cmp(&b.state.name));
    Ok(found)
}

/// The control plane of that name, whether or not it still runs.
pub fn find(name: &str) -> Result<Option<Running>> {
    Ok(list()?.into_iter().find(|running| running.state.name == name))
}

/// Whether the name is taken, be it by one that is still starting.
pub fn exists(name: &str) -> Result<bool> {
    Ok(dir_for(Some(name))?.exists())
}

/// Kills what runs under that name and removes what is left; tells whether there was anything.
pub fn take_down(name: &str) -> Result<bool> {
    let dir = dir_for(Some(name))?;
    if !dir.exists() {
        return Ok(false);
    }
    nest::reap(&dir).with_context(|| format!("taking the control plane {name} down"))?;
    Ok(true)
}

/// The directory of a control plane, by its name or by a new one.
pub(super) fn dir_for(name: Option<&str>) -> Result<PathBuf> {
    let name = name.map_or_else(crate::unique, str::to_owned);
    check_name(&name)?;
    Ok(parent_folder().join(prefix()? + &name))
}

pub(super) fn name_of(dir: &Path) -> String {
    let file = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match prefix()
        .ok()
        .and_then(|prefix| file.strip_prefix(&prefix).map(str::to_owned))
    {
        Some(name) => name,
        None => file,
    }
}

fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || 40 < name.len() || !name.chars().all(is_plain) {
        bail!("{name:?} is no name for a control plane: take up to 40 small letters, digits and dashes");
    }
    Ok(())
}

/// Memory where it can be had: nothing in a control plane is worth a disk.
fn parent_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let probe = tempfile::Builder::new().prefix("muster-probe-").tempdir_in(memory);
    if probe.is_ok() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// The folder is shared with other users, who may have taken a liking to the same names.
fn prefix() -> Result<String> {
    let user = fs::metadata("/proc/self").context("asking for the user's id")?.uid();
    Ok(format!("muster-{user}-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_survives_being_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        for owner in [None, Some(42)] {
            let state = State {
                name: "default".into(),
                kube: "1.35".into(),
                server: "https://127.0.0.1:4000".into(),
                kubeconfig: dir.path().join("admin.kubeconfig"),
                owner,
            };
            state.write(dir.path()).unwrap();
            assert_eq!(State::read(dir.path()).unwrap(), state);
        }
    }

    #[test]
    fn names_stay_inside_their_folder() {
        for name in ["", "..", "a/b", "Ümlaut", "UPPER", &"x".repeat(41)] {
            assert!(dir_for(Some(name)).is_err(), "{name}");
        }
        let dir = dir_for(Some("two-1")).unwrap();
        assert_eq!(name_of(&dir), "two-1");
        assert_ne!(dir_for(None).unwrap(), dir_for(None).unwrap());
    }
}
