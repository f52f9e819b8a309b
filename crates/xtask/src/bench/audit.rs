//! What a scheduler wrote, and when, by the audit log of the API server: it does not care who writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// A line of the log, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    object_ref: ObjectRef,
    stage_timestamp: Timestamp,
    response_status: ResponseStatus,
}

#[derive(Debug, Deserialize)]
struct ObjectRef {
    resource: String,
    subresource: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ResponseStatus {
    code: u16,
}

/// The writes in an audit log that grows.
#[derive(Debug)]
pub(super) struct Writes {
    log: File,
    /// What was read of a line whose end is not written yet.
    rest: Vec<u8>,
    /// When each binding was stored.
    pub(super) bound_at: Vec<Timestamp>,
    /// How many bindings were refused.
    pub(super) refused_binds: usize,
    /// How many requests there were of each kind, such as `create events`, whatever the answer was.
    pub(super) by_kind: BTreeMap<String, usize>,
    /// When the last line was found.
    pub(super) last_seen: Instant,
}

impl Writes {
    /// From the beginning of a log that is there already.
    pub(super) fn open(path: &Path) -> Result<Writes> {
        let log = File::open(path).with_context(|| format!("opening the audit log {}", path.display()))?;
        Ok(Writes {
            log,
            rest: Vec::new(),
            bound_at: Vec::new(),
            refused_binds: 0,
            by_kind: BTreeMap::new(),
            last_seen: Instant::now(),
        })
    }

    /// Reads what was written since the last call.
    pub(super) fn read_on(&mut self) -> Result<()> {
        self.log.read_to_end(&mut self.rest).context("reading the audit log")?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let rest = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.add(&serde_json::from_slice(line).context("reading a line of the audit log")?);
        }
        self.last_seen = Instant::now();
        Ok(())
    }

    fn add(&mut self, line: &Line) {
        let object = &line.object_ref;
        let subresource = object.subresource.as_ref().map(|name| format!("/{name}"));
        let kind = format!("{} {}{}", line.verb, object.resource, subresource.unwrap_or_default());
        if kind == "create pods/binding" {
            match line.response_status.code {
                201 => self.bound_at.push(line.stage_timestamp),
                _ => self.refused_binds += 1,
            }
        }
        *self.by_kind.entry(kind).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn line(verb: &str, object: &str, code: u16, second: u8) -> String {
        format!(
            r#"{{"kind":"Event","stage":"ResponseComplete","verb":"{verb}","objectRef":{object},"responseStatus":{{"metadata":{{}},"code":{code}}},"stageTimestamp":"2026-11-21T10:00:{second:02}.250000Z"}}"#
        )
    }

    fn binding(code: u16, second: u8) -> String {
        line(
            "create",
            r#"{"resource":"pods","name":"a","subresource":"binding"}"#,
            code,
            second,
        )
    }

    #[test]
    fn whole_lines_are_counted_by_their_answer() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut writes = Writes::open(file.path()).unwrap();
        writes.read_on().unwrap();
        assert!(writes.bound_at.is_empty());
        let second = binding(409, 2);
        let (head, tail) = second.split_at(30);
        write!(file, "{}\n{head}", binding(201, 1)).unwrap();
        writes.read_on().unwrap();
        assert_eq!((writes.bound_at.len(), writes.refused_binds), (1, 0));
        write!(file, "{tail}\n{}\n", binding(201, 3)).unwrap();
        writes.read_on().unwrap();
        assert_eq!((writes.bound_at.len(), writes.refused_binds), (2, 1));
        assert_eq!(writes.bound_at[1].to_string(), "2026-11-21T10:00:03.25Z");
    }

    #[test]
    fn writes_are_told_apart_by_verb_and_resource() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let event = line("create", r#"{"resource":"events","namespace":"default"}"#, 201, 1);
        let status = line("patch", r#"{"resource":"pods","subresource":"status"}"#, 200, 1);
        write!(file, "{}\n{event}\n{event}\n{status}\n", binding(201, 1)).unwrap();
        let mut writes = Writes::open(file.path()).unwrap();
        writes.read_on().unwrap();
        let kinds: Vec<_> = writes.by_kind.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
        let expected = [
            ("create events", 2),
            ("create pods/binding", 1),
            ("patch pods/status", 1),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn a_line_that_is_none_is_an_error() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{{}}").unwrap();
        assert!(Writes::open(file.path()).unwrap().read_on().is_err());
    }
}
