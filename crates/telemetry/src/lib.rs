//! What operators see of Muster: metrics, health, logs, and the small TLS server that gives out the first two.
//!
//! **Architecture invariant:** nothing here decides anything. It counts what the engine and its driver report.

mod access;
mod health;
mod logging;
mod metrics;
mod process;
mod server;
mod tls;

pub use access::{AlwaysAllow, FORBIDDEN};
pub use health::{Check, Health};
pub use logging::{Format, start as start_logging};
pub use metrics::{MakeMetricsError, Metrics};
pub use server::{Limits, Server, ServerError};
pub use tls::{Certificate, TlsError};
