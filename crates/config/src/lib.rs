//! Muster's configuration: kube-scheduler's own file format plus a section of Muster's own.
//!
//! ```text
//!  text ──document──► Node tree with lines ──field──► strict reading ──┬─ scheduler (KubeSchedulerConfiguration v1)
//!                                                                      │    └─ profile, plugin_args: what is refused
//!                                                                      └─ own (MusterConfiguration v1alpha1)
//! ```
//!
//! A file may hold two YAML documents: a `kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration`, and optionally a
//! `muster.dev/v1alpha1 MusterConfiguration`. Everything in the upstream format falls in one of three classes:
//!
//! * **applied**: scheduler names, backoffs, the client connection;
//! * **accepted with a warning**: what changes speed or comfort but no decision (`parallelism`,
//!   `percentageOfNodesToScore`, profiling, content types, …);
//! * **refused with its path**: what would silently change which pod goes where. The rule for plugins stands at the
//!   module `profile`.
//!
//! Two defaults differ from upstream: without a file Muster answers to `muster`, not to `default-scheduler`, and
//! `leaderElection.leaderElect` is false.
//!
//! **Architecture invariant:** nothing here reads a file, an environment variable or a clock: text comes in, a value or
//! a list of problems goes out.

mod configuration;
mod defaults;
mod document;
mod duration;
mod field;
mod own;
mod plugin_args;
mod problem;
mod profile;
mod scheduler;
mod upstream;

pub use configuration::{ClientConnection, Configuration, load};
pub use problem::{Error, Problem};
