//! Cases that are kept as files: minimal ones on which Muster once differed, with the answers that upstream gave.
//!
//! `cargo xtask oracle --update-regressions` asks upstream anew. `cargo test -p muster-oracle` holds Muster against the
//! stored answers, and so needs no Go.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::case::{Answer, Case};

/// A kept case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// What the case is about.
    pub note: String,
    /// The minors in which it is asked, such as `1.35`.
    pub minors: Vec<String>,
    /// The case as the programs read it.
    pub case: Value,
    /// What upstream answers, by the minor.
    #[serde(default)]
    pub upstream: BTreeMap<String, Value>,
}

impl Regression {
    /// The case itself.
    pub fn case(&self) -> Result<Case> {
        Case::from_json(&self.case)
    }

    /// What upstream of that minor was heard to answer.
    pub fn stored_answer(&self, minor: &str) -> Option<Answer> {
        self.upstream.get(minor).cloned().map(Answer::new)
    }
}

/// The folder with the kept cases.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions")
}

/// All kept cases with their files, in the order of their names.
pub fn load(folder: &Path) -> Result<Vec<(PathBuf, Regression)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("reading the folder {}", folder.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let regression = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        Ok((path, regression))
    };
    paths.into_iter().map(read).collect()
}

/// Writes a kept case.
pub fn store(path: &Path, regression: &Regression) -> Result<()> {
    let text = serde_json::to_string_pretty(regression).context("writing a kept case as JSON")?;
    fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_stored_is_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let regression = Regression {
            note: "a note".into(),
            minors: vec!["1.35".into()],
            case: json!({"id": "a", "objects": [], "pod": {}}),
            upstream: BTreeMap::from([("1.35".into(), json!({"id": "a", "nodes": {}, "error": null}))]),
        };
        let path = folder.path().join("a.json");
        store(&path, &regression).unwrap();
        fs::write(folder.path().join("README.md"), "no case").unwrap();
        assert_eq!(load(folder.path()).unwrap(), [(path, regression.clone())]);
        assert_eq!(regression.stored_answer("1.35"), Some(Answer::new(json!({}))));
        assert_eq!(regression.stored_answer("1.36"), None);
    }

    #[test]
    fn every_kept_case_has_an_answer_for_each_of_its_minors() {
        for (path, regression) in load(&folder()).unwrap() {
            regression.case().unwrap();
            assert!(!regression.note.is_empty(), "{}", path.display());
            let answered: Vec<&String> = regression.upstream.keys().collect();
            let mut asked: Vec<&String> = regression.minors.iter().collect();
            asked.sort();
            assert_eq!(
                answered,
                asked,
                "{}: run `cargo xtask oracle --update-regressions`",
                path.display()
            );
        }
    }
}
