//! What operators see of Muster: metrics, health, logs, traces, and the server that gives out the first two to those who may ask.
//!
//! **Architecture invariant:** nothing here decides anything. It counts what the engine and its driver report.

mod logging;
mod metrics;
mod process;
pub mod serving;
mod traces;

pub use logging::{Format, Verbosity, start as start_logging};
pub use metrics::{Counted, Distribution, MakeMetricsError, Metrics};
pub use traces::{Collector, Exporting, StartTracesError, Traces};
