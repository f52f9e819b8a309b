//! The in-tree plugins, one file each, named as upstream, and the registry that puts them in their order.
//!
//! **Architecture invariant:** plugins know the framework and nothing else: neither queue nor engine nor other plugins.

pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod scheduling_gates;
pub mod taint_toleration;

mod registry;

pub use registry::{Profile, Weighted, default_plugins};
