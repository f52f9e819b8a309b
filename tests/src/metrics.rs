//! The metrics of a running Muster, read as an operator would: over TLS, as somebody who may.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::PATIENCE;
use crate::endpoints::Caller;
use crate::exposition::{self, Families};

/// What `/metrics` said.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Asks the Muster on this port, as somebody who may read metrics. A Muster that has just begun does not know yet whose
    /// certificates are to be believed, so it is waited for.
    pub fn scrape(port: u16, caller: &Caller) -> Result<Metrics> {
        let begun = Instant::now();
        loop {
            match caller.get(port, "/metrics")? {
                (200, body) => return Ok(Metrics(body)),
                (401, _) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
                (status, body) => bail!("GET /metrics: {status}: {body}"),
            }
        }
    }

    /// All that was said.
    pub fn families(&self) -> Result<Families> {
        exposition::parse(&self.0)
    }

    /// The sum of all series of this name that carry all these labels, written as `name="value"`; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let matches = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
        };
        let values = self
            .0
            .lines()
            .filter(matches)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

/// Asks for a path that is open to everybody; anything but 200 is an error with the body.
pub fn get(port: u16, path: &str) -> Result<String> {
    match Caller::nobody().get(port, path)? {
        (200, body) => Ok(body),
        (status, body) => bail!("GET {path}: {status}: {body}"),
    }
}
