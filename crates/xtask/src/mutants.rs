//! A copy of the workspace under `target`, into which deliberate mistakes are put, one at a time.
//!
//! It keeps its own builds, so that from one mistake to the next only what depends on it is compiled.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use muster_oracle::mutations::{self, Mutation};

use crate::steps::workspace_root;

/// What the copy leaves out.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// A copy of the workspace.
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Brings the copy up to date, and leaves what hasn't changed untouched: cargo goes by the time of files.
    pub(crate) fn refresh(folder: &Path) -> Result<Scratch> {
        let scratch = Scratch {
            folder: folder.to_owned(),
        };
        mirror(workspace_root(), &scratch.workspace())?;
        Ok(scratch)
    }

    /// Where the copy is.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.join("workspace")
    }

    /// Where it is built.
    pub(crate) fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// Builds with the mistake and takes it back.
    pub(crate) fn with<T>(&self, mutation: &Mutation, build: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.workspace().join(&mutation.path);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let write = |text: &str| fs::write(&path, text).with_context(|| format!("writing {}", path.display()));
        write(&mutation.applied_to(&text)?)?;
        let built = build();
        write(&text)?;
        built.with_context(|| format!("building the mutation {:?}", mutation.name))
    }
}

/// Builds with each mistake of a folder in turn, and fails unless all are found. `finds` says what was noticed of a mistake.
pub(crate) fn find_all(
    mistakes: &Path,
    folder: &Path,
    build: impl Fn(&Scratch) -> Result<PathBuf>,
    finds: impl Fn(&Path, &Mutation) -> Result<Option<String>>,
) -> Result<()> {
    let table = mutations::load(mistakes)?;
    let scratch = Scratch::refresh(folder)?;
    let mut unnoticed = Vec::new();
    for mutation in table.iter().flat_map(|entry| &entry.mutations) {
        let runner = scratch.with(mutation, || build(&scratch))?;
        let found = finds(&runner, mutation)?;
        eprintln!("{:<80}{}", mutation.name, found.as_deref().unwrap_or("NO"));
        if found.is_none() {
            unnoticed.push(mutation.name.as_str());
        }
    }
    if !unnoticed.is_empty() {
        bail!("nobody noticed that\n{}", unnoticed.join("\n"));
    }
    Ok(())
}

/// Makes the second folder hold what the first one holds.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making the folder {}", to.display()))?;
    let mut names = BTreeSet::new();
    let reading = || format!("reading the folder {}", from.display());
    for entry in fs::read_dir(from).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let (name, path) = (entry.file_name(), entry.path());
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let copy = to.join(&name);
        if path.is_dir() {
            mirror(&path, &copy)?;
        } else {
            copy_if_changed(&path, &copy)?;
        }
        names.insert(name);
    }
    remove_all_but(&names.iter().map(|name| name.as_os_str()).collect(), to)
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|copied| copied == content) {
        return Ok(());
    }
    fs::write(to, content).with_context(|| format!("writing {}", to.display()))
}

fn remove_all_but(names: &BTreeSet<&OsStr>, folder: &Path) -> Result<()> {
    let reading = || format!("reading the folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.file_name().is_some_and(|name| names.contains(name)) {
            continue;
        }
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_follows_and_leaves_what_has_not_changed() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        fs::create_dir_all(from.join("target")).unwrap();
        fs::write(from.join("src/a.rs"), "a").unwrap();
        fs::write(from.join("src/b.rs"), "b").unwrap();
        mirror(&from, &to).unwrap();
        assert!(!to.join("target").exists());
        let modified = |name: &str| fs::metadata(to.join(name)).unwrap().modified().unwrap();
        let before = modified("src/a.rs");
        fs::write(from.join("src/c.rs"), "c").unwrap();
        fs::remove_file(from.join("src/b.rs")).unwrap();
        mirror(&from, &to).unwrap();
        assert_eq!(modified("src/a.rs"), before);
        assert!(to.join("src/c.rs").exists() && !to.join("src/b.rs").exists());
    }
}
