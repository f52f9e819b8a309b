//! When pods were bound, by the audit log of the API server: it does not care by whom.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// A line of the log, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage_timestamp: Timestamp,
    response_status: ResponseStatus,
}

#[derive(Debug, Deserialize)]
struct ResponseStatus {
    code: u16,
}

/// The bindings in an audit log that grows.
#[derive(Debug)]
pub(super) struct Bindings {
    log: File,
    /// What was read of a line whose end is not written yet.
    rest: Vec<u8>,
    /// When each binding was stored.
    pub(super) bound_at: Vec<Timestamp>,
    /// How many bindings were refused.
    pub(super) n_refused: usize,
}

impl Bindings {
    /// From the beginning of a log that is there already.
    pub(super) fn open(path: &Path) -> Result<Bindings> {
        let log = File::open(path).with_context(|| format!("opening the audit log {}", path.display()))?;
        Ok(Bindings {
            log,
            rest: Vec::new(),
            bound_at: Vec::new(),
            n_refused: 0,
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
            let line: Line = serde_json::from_slice(line).context("reading a line of the audit log")?;
            if line.response_status.code == 201 {
                self.bound_at.push(line.stage_timestamp);
            } else {
                self.n_refused += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn whole_lines_are_counted_by_their_answer() {
        let line = |code: u16, second: u8| {
            format!(
                r#"{{"kind":"Event","stage":"ResponseComplete","verb":"create","responseStatus":{{"metadata":{{}},"code":{code}}},"stageTimestamp":"2026-11-21T10:00:{second:02}.250000Z"}}"#
            )
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut bindings = Bindings::open(file.path()).unwrap();
        bindings.read_on().unwrap();
        assert!(bindings.bound_at.is_empty());
        let second = line(409, 2);
        let (head, tail) = second.split_at(30);
        write!(file, "{}\n{head}", line(201, 1)).unwrap();
        bindings.read_on().unwrap();
        assert_eq!((bindings.bound_at.len(), bindings.n_refused), (1, 0));
        write!(file, "{tail}\n{}\n", line(201, 3)).unwrap();
        bindings.read_on().unwrap();
        assert_eq!((bindings.bound_at.len(), bindings.n_refused), (2, 1));
        assert_eq!(bindings.bound_at[1].to_string(), "2026-11-21T10:00:03.25Z");
    }
}
