//! What a loaded configuration says.

use std::time::Duration;

use crate::problem::{Error, Report};
use crate::{defaults, document, own, scheduler};

/// Everything that can be configured, checked and with its defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// The scheduler names to answer to, in the order of the profiles; never empty, without duplicates.
    pub scheduler_names: Vec<String>,
    /// The first wait after a failed attempt; greater than zero.
    pub pod_initial_backoff: Duration,
    /// The longest wait after a failed attempt; not less than the first.
    pub pod_max_backoff: Duration,
    /// How long a pod may lie in the unschedulable section before it is tried again without any event.
    pub pod_max_in_unschedulable: Duration,
    /// Breaks ties between equally good nodes: the same seed, the same choices.
    pub seed: u64,
    /// How to reach the API server.
    pub client: ClientConnection,
    /// How many bindings may be on their way at once; at least one.
    pub binds_in_flight: usize,
    /// How many writes of conditions and events may be on their way at once; at least one.
    pub status_writes_in_flight: usize,
    /// What was accepted but has no effect, each with its path: for the log.
    pub warnings: Vec<String>,
}

/// How to reach the API server.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientConnection {
    /// The kubeconfig file; None: inside the cluster, or the user's default.
    pub kubeconfig: Option<String>,
    /// Requests per second; None: no limit on our side, the API server's priority and fairness decides.
    pub qps: Option<f32>,
    /// Requests at once above the rate; never set without `qps`.
    pub burst: Option<u32>,
}

impl Default for Configuration {
    fn default() -> Self {
        Configuration {
            scheduler_names: vec![defaults::SCHEDULER_NAME.to_owned()],
            pod_initial_backoff: defaults::POD_INITIAL_BACKOFF,
            pod_max_backoff: defaults::POD_MAX_BACKOFF,
            pod_max_in_unschedulable: defaults::POD_MAX_IN_UNSCHEDULABLE,
            seed: defaults::SEED,
            client: ClientConnection::default(),
            binds_in_flight: defaults::BINDS_IN_FLIGHT,
            status_writes_in_flight: defaults::STATUS_WRITES_IN_FLIGHT,
            warnings: Vec::new(),
        }
    }
}

impl Configuration {
    /// The part that the engine is told.
    pub fn engine_settings(&self) -> muster_engine::Settings {
        muster_engine::Settings {
            scheduler_names: self.scheduler_names.iter().map(|name| name.as_str().into()).collect(),
            seed: self.seed,
            pod_initial_backoff: self.pod_initial_backoff,
            pod_max_backoff: self.pod_max_backoff,
            pod_max_in_unschedulable: self.pod_max_in_unschedulable,
        }
    }
}

/// Reads a configuration from the text of a file, YAML or JSON.
///
/// Decoding is strict: an unknown field, a key given twice or a value of the wrong type is a problem. All problems are
/// reported at once, with their paths; only text that is not YAML at all ends the reading at its first problem.
pub fn load(text: &str) -> Result<Configuration, Error> {
    let documents = document::read(text).map_err(Error::from)?;
    let report = Report::default();
    let mut configuration = Configuration::default();
    if let Some(found) = document::classify(&documents, &report) {
        let allowances = found
            .own
            .map(|field| own::apply(field, &mut configuration))
            .unwrap_or_default();
        scheduler::apply(found.scheduler, &allowances, &mut configuration);
    }
    configuration.warnings = report.finish()?;
    Ok(configuration)
}
