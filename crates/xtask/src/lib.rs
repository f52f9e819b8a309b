//! Muster's developer commands as a library: a real control plane for tests, benches and demos, and the parts of
//! `cargo xtask`.
//!
//! ```no_run
//! use muster_xtask::{ControlPlane, Options};
//!
//! # fn main() -> anyhow::Result<()> {
//! let control_plane = ControlPlane::start(&Options { nodes: 20, ..Options::default() })?;
//! let nodes = control_plane.api().get("/api/v1/nodes")?;
//! println!("KUBECONFIG={} has {}", control_plane.kubeconfig().display(), nodes["items"]);
//! # Ok(())
//! # } // The control plane is gone here, and would be had this process been killed.
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub mod api;
pub mod batch_exactness;
pub mod bench;
pub mod binaries;
pub mod book;
pub mod control_plane;
pub mod debian;
pub mod demo;
pub mod deploy;
mod dockerfile;
pub mod fuzz;
mod kube_minor;
mod kubeconfig;
pub mod lint;
mod manifest;
pub mod monitoring;
mod mutants;
pub mod nest;
pub mod oracle;
mod pki;
pub mod pod_group;
pub mod prometheus_operator;
mod purity;
pub mod simulate_faults;
mod simulated_node;
mod steps;
pub mod test;
mod tools;
pub mod up_down;

pub use control_plane::{ControlPlane, Options};
pub use kube_minor::{KubeMinor, MINOR_VARIABLE};
pub use simulated_node::{SimulatedNode, Taint};
pub use steps::workspace_root;

/// A text that no other call has given, in this process or in another one.
pub(crate) fn unique() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    format!("{}-{:x}-{call}", std::process::id(), since_epoch.as_micros())
}
