//! The endpoints of a running Muster, asked as an operator would: over TLS, from the same machine.

use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use kube::Config;
use tokio::runtime::{Builder, Runtime};

/// What `/metrics` said.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Asks the Muster on this port.
    pub fn scrape(port: u16) -> Result<Metrics> {
        get(port, "/metrics").map(Metrics)
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

/// Asks for a path; anything but 200 is an error with the body.
pub fn get(port: u16, path: &str) -> Result<String> {
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().context("an address")?);
    // Muster makes its certificate itself, at every start.
    config.accept_invalid_certs = true;
    runtime().block_on(async {
        // A second installation is refused, and does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = kube::Client::try_from(config).context("a client for Muster's own endpoints")?;
        let request = http::Request::get(path).body(Vec::new()).context("a request")?;
        match client.request_text(request).await {
            Ok(body) => Ok(body),
            Err(error) => bail!("GET {path}: {error}"),
        }
    })
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}
