//! What fuzz targets begin with: inputs that parsers accept, and words, both out of files of the repository.
//!
//! Inputs are documents (examples, cases of the oracle, recordings), and strings in the sources of tests. Words, for
//! libFuzzer's dictionary, are what inputs and sources consist of. What no such file has lies in `fuzz/seeds`, together with
//! inputs that once made a target fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::steps::workspace_root;

/// A fuzz target.
pub(super) struct Target {
    /// As in `fuzz/Cargo.toml`.
    pub(super) name: &'static str,
    /// The longest input, in bytes.
    pub(super) length_max: usize,
    /// Files, and folders of files, that hold inputs.
    documents: &'static [&'static str],
    /// The inputs in the text of such a file.
    inputs: fn(&str) -> Vec<String>,
    /// Rust sources, and folders of sources, whose strings are words or inputs.
    sources: &'static [&'static str],
    /// The input that such a string is, if it is one.
    input_of_string: fn(&str) -> Option<String>,
}

/// All of them, by name.
pub(super) const TARGETS: [Target; 12] = [
    Target {
        name: "answers",
        length_max: 4096,
        documents: &["crates/api/src/decode/testdata"],
        inputs: whole,
        sources: &[
            "crates/api/src/http_status.rs",
            "crates/api/src/lease.rs",
            "crates/api/src/review.rs",
            "crates/kube/src/answer.rs",
            "crates/kube/src/extender",
        ],
        input_of_string: json_text,
    },
    Target {
        name: "configuration",
        length_max: 8192,
        documents: &[
            "config",
            "crates/config/tests/upstream-default-1.37.yaml",
            "tests/oracle/regressions",
            "tests/oracle/upstream/testdata/cases",
        ],
        inputs: configurations,
        sources: &[
            "crates/config/src",
            "crates/config/tests",
            "crates/muster/tests/bad_input.rs",
        ],
        input_of_string: configuration,
    },
    Target {
        name: "evaluate",
        length_max: 8192,
        documents: &[
            "docs/examples",
            "tests/oracle/regressions",
            "tests/oracle/upstream/testdata/cases",
        ],
        inputs: cases_and_manifests,
        sources: &["crates/muster/src/evaluate", "crates/muster/tests/evaluate.rs"],
        input_of_string: manifest,
    },
    Target {
        name: "explain",
        length_max: 256,
        documents: &[],
        inputs: whole,
        sources: &[
            "crates/muster/src/explain/page.rs",
            "crates/muster/src/explain/paths.rs",
            "crates/muster/src/explain/subject.rs",
            "crates/muster/src/kubectl/explain.rs",
            "crates/muster/src/overview/paths.rs",
        ],
        input_of_string: line,
    },
    Target {
        name: "objects",
        length_max: 8192,
        documents: &[
            "crates/api/golden",
            "crates/api/src/decode/testdata",
            "tests/oracle/regressions",
            "tests/oracle/upstream/testdata/cases",
        ],
        inputs: objects,
        sources: &["crates/api/src/decode", "crates/api/src/codec"],
        input_of_string: json_text,
    },
    Target {
        name: "scenario",
        length_max: 8192,
        documents: &["benches/workloads", "docs/examples"],
        inputs: manifests,
        sources: &[
            "crates/muster/tests/simulate.rs",
            "crates/sim/src/scenario.rs",
            "crates/sim/tests",
        ],
        input_of_string: manifest,
    },
    Target {
        name: "snapshot",
        length_max: 8192,
        documents: &["crates/api/golden"],
        inputs: snapshots,
        sources: &["crates/api/src/codec", "crates/api/src/snapshot.rs"],
        input_of_string: no_input,
    },
    Target {
        name: "trace",
        length_max: 4096,
        documents: &["docs/examples/trace-pods.csv"],
        inputs: traces,
        sources: &["crates/sim/src/trace/read.rs"],
        input_of_string: no_input,
    },
    Target {
        name: "unit",
        length_max: 4096,
        documents: &["docs/examples"],
        inputs: manifests,
        sources: &["crates/muster/tests/what_if.rs", "crates/sim/tests/what_if.rs"],
        input_of_string: manifest,
    },
    Target {
        name: "vmodule",
        length_max: 256,
        documents: &[],
        inputs: whole,
        sources: &[
            "crates/telemetry/src/logging/modules.rs",
            "crates/telemetry/src/logging/verbosity.rs",
        ],
        input_of_string: line,
    },
    Target {
        name: "wire",
        length_max: 2048,
        documents: &["crates/api/src/decode/testdata", "tests/oracle/upstream/testdata/cases"],
        inputs: lists_and_watches,
        sources: &[
            "crates/api/src/envelope.rs",
            "crates/kube/src/items.rs",
            "crates/kube/src/wire.rs",
        ],
        input_of_string: json_text,
    },
    Target {
        name: "words",
        length_max: 128,
        documents: &["crates/config/src/feature_gates.txt"],
        inputs: feature_gates,
        sources: &[
            "crates/api/src/lease.rs",
            "crates/config/src/duration.rs",
            "crates/config/src/feature_gates.rs",
            "crates/config/src/names.rs",
            "crates/framework/src/quantity.rs",
            "crates/muster/src/kubectl/selector.rs",
            "crates/sim/src/span.rs",
            "crates/sim/src/what_if/edit.rs",
        ],
        input_of_string: line,
    },
];

/// So many words are given to libFuzzer, the most frequent ones.
const WORDS_MAX: usize = 2000;
/// Longer words are nobody's keyword.
const WORD_LENGTH_MAX: usize = 60;

impl Target {
    /// The inputs to begin with, without those that are too long to be changed much.
    pub(super) fn seeds(&self) -> Result<BTreeSet<String>> {
        let mut seeds = BTreeSet::new();
        for path in files(self.documents)? {
            seeds.extend((self.inputs)(&read(&path)?));
        }
        for text in self.strings()? {
            seeds.extend((self.input_of_string)(&text));
        }
        let kept = format!("fuzz/seeds/{}", self.name);
        if workspace_root().join(&kept).exists() {
            for path in files(&[&kept])? {
                seeds.insert(read(&path)?);
            }
        }
        seeds.retain(|seed| seed.len() <= self.length_max);
        Ok(seeds)
    }

    /// The words of inputs and sources, in the form of libFuzzer's dictionaries.
    pub(super) fn dictionary(&self, seeds: &BTreeSet<String>) -> Result<String> {
        let strings = self.strings()?;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for text in seeds.iter().chain(&strings) {
            words(text).for_each(|word| *counts.entry(word).or_default() += 1);
        }
        let mut words: Vec<_> = counts.into_iter().collect();
        words.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(words
            .iter()
            .take(WORDS_MAX)
            .map(|(word, _)| format!("\"{word}\"\n"))
            .collect())
    }

    fn strings(&self) -> Result<Vec<String>> {
        let mut strings = Vec::new();
        for path in files(self.sources)? {
            if path.extension().is_some_and(|extension| extension == "rs") {
                strings.extend(strings_of(&read(&path)?));
            }
        }
        Ok(strings)
    }
}

/// The files of these names, or in the folders of these names and below.
fn files(names: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = names.iter().map(|name| workspace_root().join(name)).collect();
    while let Some(path) = left.pop() {
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        for entry in fs::read_dir(&path).with_context(|| format!("reading the folder {}", path.display()))? {
            left.push(
                entry
                    .with_context(|| format!("reading the folder {}", path.display()))?
                    .path(),
            );
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_./".contains(c))
        .filter(|word| (2..=WORD_LENGTH_MAX).contains(&word.len()))
}

// ---- the inputs in a document -------------------------------------------------------------------------------------

fn whole(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

/// The file as a whole, and each of its YAML documents.
fn manifests(text: &str) -> Vec<String> {
    whole(text)
        .into_iter()
        .chain(text.split("\n---\n").map(str::to_owned))
        .collect()
}

/// The nodes that the pods of the example are for.
const NODES: &str = include_str!("../../../../docs/examples/trace-nodes.csv");

/// The pods of a file on these nodes: all, and the first few.
fn traces(pods: &str) -> Vec<String> {
    const FEW: usize = 10;
    let few = pods.split_inclusive('\n').take(FEW).collect::<String>();
    [pods, few.as_str()].map(|pods| format!("{NODES}---\n{pods}")).to_vec()
}

/// The JSON values of a file that is one, or has one a line.
fn values(text: &str) -> Vec<Value> {
    match serde_json::from_str(text) {
        Ok(value) => vec![value],
        Err(_) => text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
    }
}

/// The cases of the oracle in a file of them, or in a kept one.
fn cases(text: &str) -> impl Iterator<Item = Value> {
    let case = |mut value: Value| match value.get_mut("case") {
        Some(case) => case.take(),
        None => value,
    };
    values(text)
        .into_iter()
        .map(case)
        .filter(|case| case["objects"].is_array())
}

fn cases_and_manifests(text: &str) -> Vec<String> {
    let cases: Vec<String> = cases(text).map(|case| case.to_string()).collect();
    if cases.is_empty() { manifests(text) } else { cases }
}

fn configurations(text: &str) -> Vec<String> {
    let stated: Vec<String> = cases(text)
        .filter(|case| case["config"].is_object())
        .map(|case| case["config"].to_string())
        .collect();
    if text.starts_with('{') { stated } else { manifests(text) }
}

/// The objects of cases, or what the file holds.
fn objects(text: &str) -> Vec<String> {
    let of_case = |case: Value| {
        let objects = case["objects"].as_array().cloned().unwrap_or_default();
        objects.into_iter().chain([case["pod"].clone()]).collect::<Vec<_>>()
    };
    let mut objects: Vec<Value> = cases(text).flat_map(of_case).collect();
    if objects.is_empty() {
        objects = values(text);
    }
    objects.iter().map(Value::to_string).collect()
}

/// Snapshots of the objects in a recording: each alone, and all.
fn snapshots(text: &str) -> Vec<String> {
    let values = values(text);
    let objects: Vec<&Value> = values
        .iter()
        .filter_map(|line| line.pointer("/input/applied"))
        .collect();
    objects.chunks(1).chain([&objects[..]]).map(snapshot).collect()
}

fn snapshot(objects: &[&Value]) -> String {
    let header = json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Snapshot", "takenAt": "2026-11-21T18:00:00Z", "version": "0.1.0",
        "kubernetes": "1.37", "source": "scheduler",
    });
    let objects = objects
        .iter()
        .map(|object| json!({"object": object}).to_string() + "\n");
    let end = json!({"end": {"objects": objects.len(), "queued": 0, "reservations": 0}});
    format!("{header}\n{}{end}\n", objects.collect::<String>())
}

/// Objects, few at a time, in a list, in a page of one, and in a watch.
fn lists_and_watches(text: &str) -> Vec<String> {
    let objects = objects(text);
    let together = objects.chunks(3).flat_map(|some| {
        let some: Vec<Value> = some
            .iter()
            .filter_map(|object| serde_json::from_str(object).ok())
            .collect();
        let page = json!({"items": some, "metadata": {"resourceVersion": "7", "continue": "t"}});
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": some});
        let event = |object: &Value| format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n");
        [page.to_string(), format!("{list:#}"), some.iter().map(event).collect()]
    });
    together.collect()
}

fn feature_gates(text: &str) -> Vec<String> {
    let gates: Vec<String> = text.lines().map(|gate| format!("{gate}=true")).collect();
    gates.chunks(3).map(|some| some.join(",")).collect()
}

// ---- the input that a string is -----------------------------------------------------------------------------------

fn no_input(_: &str) -> Option<String> {
    None
}

fn json_text(text: &str) -> Option<String> {
    let is_json = serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object() || value.is_array());
    is_json.then(|| text.to_owned())
}

fn manifest(text: &str) -> Option<String> {
    text.contains("kind: ").then(|| text.to_owned())
}

/// Tests of the configuration leave out how every file begins.
fn configuration(text: &str) -> Option<String> {
    const HEADER: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    let is_yaml = text.contains(": ") && text.contains('\n');
    let whole = || match text.starts_with("apiVersion") {
        true => text.to_owned(),
        false => format!("{HEADER}{text}"),
    };
    is_yaml.then(whole)
}

fn line(text: &str) -> Option<String> {
    (!text.contains('\n')).then(|| text.to_owned())
}

// ---- strings in Rust ----------------------------------------------------------------------------------------------

/// The strings in a source.
fn strings_of(source: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'', '/', 'r']) {
        rest = &rest[at..];
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (string, after) = string(quoted);
            strings.push(string);
            rest = after;
        } else if let Some((string, after)) = raw_string(rest) {
            strings.push(string.to_owned());
            rest = after;
        } else {
            // A quotation mark as a character begins no string.
            let character = ["'\"'", "'\\\"'", "'\\''"]
                .into_iter()
                .find(|character| rest.starts_with(character));
            rest = &rest[character.map_or(1, str::len)..];
        }
    }
    strings
}

/// A string after its quotation mark, and what follows it.
fn string(text: &str) -> (String, &str) {
    let mut string = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        string.push_str(&rest[..at]);
        if rest[at..].starts_with('"') {
            return (string, &rest[at + 1..]);
        }
        let mut after = rest[at + 1..].chars();
        match after.next() {
            // The line goes on in the next one, after its indentation.
            Some('\n') => {
                rest = after.as_str().trim_start();
                continue;
            }
            Some('n') => string.push('\n'),
            Some('t') => string.push('\t'),
            Some('r') => string.push('\r'),
            Some('0') => string.push('\0'),
            other => string.extend(other),
        }
        rest = after.as_str();
    }
    (string, "")
}

/// A raw string, if one begins here, and what follows it.
fn raw_string(text: &str) -> Option<(&str, &str)> {
    let after = text.strip_prefix('r')?;
    let quoted = after.trim_start_matches('#');
    let marks = &after[..after.len() - quoted.len()];
    quoted.strip_prefix('"')?.split_once(&format!("\"{marks}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_in_sources() {
        let source = r##"
            // "no" string
            let quote = '"'; let escaped = '\''; fn f<'a>(r: &'a str) {}
            f("a\"b\n", b"c", r"d\e", r#"{"f":1}"#, "g \
               h", "");
        "##;
        assert_eq!(strings_of(source), ["a\"b\n", "c", "d\\e", "{\"f\":1}", "g h", ""]);
    }

    #[test]
    fn every_target_has_seeds_and_words() {
        for target in TARGETS {
            let seeds = target.seeds().unwrap();
            assert!(5 <= seeds.len(), "{} has {} seeds", target.name, seeds.len());
            assert!(
                20 <= target.dictionary(&seeds).unwrap().lines().count(),
                "{}",
                target.name
            );
        }
    }

    #[test]
    fn a_trace_is_nodes_and_pods() {
        let trace = TARGETS.iter().find(|target| target.name == "trace").unwrap();
        let seeds = trace.seeds().unwrap();
        let whole = fs::read_to_string(workspace_root().join("docs/examples/trace-pods.csv")).unwrap();
        let is_whole = |seed: &String| seed.split_once("\n---\n").is_some_and(|(_, pods)| pods == whole);
        assert_eq!(seeds.iter().filter(|seed| is_whole(seed)).count(), 1);
    }

    #[test]
    fn snapshots_and_lists_are_made_of_what_is_there() {
        let golden = "{\"input\":{\"applied\":{\"node\":{}}}}\n{\"input\":{\"listDone\":\"Node\"}}\n";
        assert!(snapshots(golden)[0].contains("\n{\"object\":{\"node\":{}}}\n{\"end\":{\"objects\":1,"));
        let [page, _, watch] = &lists_and_watches("{\"kind\":\"Pod\"}")[..] else {
            panic!("a page, a list and a watch");
        };
        assert!(page.starts_with("{\"items\":[{\"kind\":\"Pod\"}]"), "{page}");
        assert_eq!(watch, "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Pod\"}}\n");
    }
}
