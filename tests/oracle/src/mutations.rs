//! Deliberate mistakes in Muster's plugins, each of which the oracle must notice.
//!
//! A file of `mutations/` for each plugin lists them: a path in the workspace, a text that stands there exactly once, and
//! what is put in its place. They are applied to a copy of the workspace; the released code has no hooks for them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// A mistake in a plugin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// What is wrong then.
    pub name: String,
    /// The file, from the root of the workspace.
    pub path: PathBuf,
    /// The minors in which it makes a difference, such as `1.37`; none: in all.
    #[serde(default)]
    pub minors: Vec<String>,
    /// A text that stands in the file exactly once.
    pub old: String,
    /// What stands there instead.
    pub new: String,
}

/// The mutations of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutated {
    /// The plugin's name, by the name of the file.
    pub plugin: String,
    /// Its mutations, at least one.
    pub mutations: Vec<Mutation>,
}

impl Mutation {
    /// Whether it makes a difference in that minor.
    pub fn matters_in(&self, minor: &str) -> bool {
        self.minors.is_empty() || self.minors.iter().any(|named| named == minor)
    }

    /// The text of the file with the mistake in it.
    pub fn applied_to(&self, text: &str) -> Result<String> {
        // The end of the block in the file of mutations is no part of the text.
        let (old, new) = (self.old.trim_end_matches('\n'), self.new.trim_end_matches('\n'));
        let count = text.matches(old).count();
        if old.is_empty() || count != 1 {
            bail!(
                "the mutation {:?} wants to replace a text that stands in {} {count} times and not once:\n{old}",
                self.name,
                self.path.display()
            );
        }
        Ok(text.replacen(old, new, 1))
    }
}

/// The folder with the mutations.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations")
}

/// All mutations, in the order of the plugins' names.
pub fn load(folder: &Path) -> Result<Vec<Mutated>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    let mut paths = BTreeSet::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("reading the folder {}", folder.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            paths.insert(path);
        }
    }
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Mutated> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mutations: Vec<Mutation> =
        serde_saphyr::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    if mutations.is_empty() {
        bail!("{} lists no mutation", path.display());
    }
    let plugin = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    Ok(Mutated {
        plugin: plugin.to_owned(),
        mutations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
- name: a zero counts as one
  path: src/a.rs
  old: |
    let a = 0;
      a + 1
  new: |
    let a = 1;
";

    #[test]
    fn a_table_is_read_and_applied() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("NodeName.yaml"), TABLE).unwrap();
        let loaded = load(folder.path()).unwrap();
        assert_eq!(loaded[0].plugin, "NodeName");
        let mutation = &loaded[0].mutations[0];
        let text = "fn f() {\n let a = 0;\n  a + 1\n}\n";
        assert_eq!(mutation.applied_to(text).unwrap(), "fn f() {\n let a = 1;\n}\n");
    }

    #[test]
    fn a_text_that_does_not_stand_there_once_is_refused() {
        let mutation = Mutation {
            name: "m".into(),
            path: "a.rs".into(),
            minors: vec![],
            old: "x".into(),
            new: "y".into(),
        };
        assert!(mutation.applied_to("a b").is_err());
        assert!(mutation.applied_to("x x").is_err());
        assert_eq!(mutation.applied_to("a x").unwrap(), "a y");
    }

    #[test]
    fn every_mutation_still_finds_its_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut lost = Vec::new();
        for folder in [
            folder(),
            root.join("crates/sim/mutations"),
            root.join("tests/exactness/mutations"),
        ] {
            for mutation in load(&folder).unwrap().iter().flat_map(|mutated| &mutated.mutations) {
                let text = fs::read_to_string(root.join(&mutation.path)).unwrap();
                lost.extend(mutation.applied_to(&text).err().map(|error| error.to_string()));
            }
        }
        assert!(lost.is_empty(), "{}", lost.join("\n"));
    }
}
