//! A Kubernetes cluster in virtual time: the engine runs against a simulated API server, fed by ordinary YAML.
//!
//! A [`Scenario`] says what is there and what happens. A [`Simulation`] plays it: a [`Cluster`] stores objects by the
//! API server's rules and tells the engine of them as a watch would, after a lag; the engine's writes reach it after a
//! latency; controllers make pods, kubelets run them. A [`Report`] says what came of it, and [`check()`] and
//! [`check_at_rest`] what must be true meanwhile and in the end.
//!
//! **Architecture invariant:** no thread, no clock and no chance but the seeded: the same scenario with the same seed
//! gives the same report, byte for byte.

mod admission;
mod agenda;
mod check;
mod cluster;
mod controllers;
mod document;
pub mod faults;
mod generate;
mod journal;
mod ledger;
mod object;
mod random;
mod record;
mod report;
mod scenario;
mod simulation;
mod span;
mod table;
mod timing;
mod trace;
pub mod what_if;
mod workload;

pub use admission::{Classes, Refusal, SYSTEM_CLASSES, admit};
pub use check::{Violation, check, check_at_rest, violations_at_rest};
pub use cluster::{Binding, Change, Cluster, Stored};
pub use document::{Document, InputError, Place, Source, Step, documents, steps};
pub use journal::{Counts, Diverged, Journal, Replayed};
pub use object::{Key, ObjectKind};
pub use random::Random;
pub use report::{Amount, Entry, GroupRow, Moment, NodeRow, PodRow, Refused, Report, State, Totals};
pub use scenario::{AT, Action, Loaded, RUN_FOR, Scenario, Timed, UNTIL, Wanted};
pub use simulation::{Counters, Progress, Simulation};
pub use span::{ParseSpanError, Span};
pub use table::{aligned, table};
pub use timing::{Faults, Timing};
pub use trace::{BadLines, Sample, Trace, TraceError, TraceReport, TraceRun, Waits, page};
pub use workload::{Size, Workload, Wrong};
