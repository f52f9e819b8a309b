//! Public cluster traces: nodes and pods as CSV, played in virtual time.
//!
//! Two forms are read, told apart by their headers: those of Alibaba's cluster-trace-gpu-v2023 ("openb") and the nodes of its
//! cluster-trace-v2026-spot-gpu. docs/simulate.md lists the columns.

mod html;
mod read;
mod run;

pub use html::page;
pub use read::{BadLines, Trace, TraceError};
pub use run::{Sample, TraceReport, TraceRun, Waits};
