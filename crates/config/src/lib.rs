//! Muster's configuration: kube-scheduler's own file format plus a section of Muster's own.
//!
//! ```text
//!  text ──document──► Node tree with lines ──field──► strict reading ──┬─ scheduler (KubeSchedulerConfiguration v1)
//!                                                                      │    ├─ profile: plugin_sets, plugin_args
//!                                                                      │    └─ extender
//!                                                                      └─ own (MusterConfiguration v1alpha1)
//!  profile + Kubernetes minor ──expansion──► lists of plugins, by upstream's merge rules
//! ```
//!
//! A file may hold two YAML documents: a `kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration`, and optionally a
//! `muster.dev/v1alpha1 MusterConfiguration`. Everything in the upstream format falls in one of three classes:
//!
//! * **applied**: profiles with their plugins, weights and arguments; extenders; backoffs; the client connection;
//! * **accepted with a warning**: what changes speed or comfort but no decision (`parallelism`,
//!   `percentageOfNodesToScore`, profiling, content types, …), and what belongs to features that are not there yet;
//! * **refused with its path**: what would silently change which pod goes where. What that means for plugins stands at
//!   the module `expansion`.
//!
//! The default profile depends on the Kubernetes minor, which is known only when the server is. So a file is checked for
//! all supported minors, and [`Configuration::profiles`] says what it comes to with one of them.
//!
//! Two defaults differ from upstream: without a file Muster answers to `muster`, not to `default-scheduler`, and its lease
//! is called so, too, and is kept in the namespace that Muster runs in.
//!
//! **Architecture invariant:** nothing here reads a file, an environment variable or a clock: text comes in, a value or
//! a list of problems goes out.

#[cfg(test)]
mod compatibility;
mod configuration;
mod conversion;
mod defaults;
mod document;
mod duration;
mod expansion;
mod extender;
mod feature_gates;
mod field;
mod known_plugins;
mod names;
mod node_selector;
mod own;
mod plugin_args;
mod plugin_sets;
mod printing;
mod problem;
mod profile;
mod scheduler;

pub use configuration::{ClientConnection, Configuration, LeaderElection, Tracing, load, load_for_evaluation};
pub use conversion::{Conversion, Fate, Finding, Place, convert};
pub use duration::{format as format_duration, parse as parse_duration};
pub use extender::{ExtenderSpec, ExtenderTls, Pem};
pub use feature_gates::apply_feature_gates;
pub use names::{label_value as check_label_value, qualified_name as check_label_key};
pub use printing::Secrets;
pub use problem::{Error, Problem};
pub use profile::Profile;
