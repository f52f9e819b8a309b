//! The in-tree plugins, one file each, named as upstream, and the registry that puts them in their order.
//!
//! **Architecture invariant:** plugins know the framework and nothing else: neither queue nor engine nor other plugins.

pub mod args;
pub mod profile;
pub mod registry;

pub mod dynamic_resources;
pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_declared_features;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod node_volume_limits;
pub mod pod_topology_spread;
pub mod scheduling_gates;
pub mod taint_toleration;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;

mod words;

pub use profile::{Profile, ProfileSpec};
