//! A profile: which plugins judge, in which order, with which weights and arguments.

use crate::args::PluginArgs;
use muster_framework::Text;

/// What `muster-config` makes of one entry of `profiles`: plugins by name at each extension point, in their order.
///
/// PreFilter and Filter are one point here, and PreScore and Score: a configuration that takes a plugin apart is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileSpec {
    /// `schedulerName`: pods that name it are judged by this profile.
    pub scheduler_name: Text,
    /// Plugins that keep pods out of the queue.
    pub pre_enqueue: Vec<Text>,
    /// Plugins that narrow the set of nodes.
    pub filters: Vec<Text>,
    /// Plugins that prefer nodes, with their weights.
    pub scores: Vec<(Text, i64)>,
    /// Arguments.
    pub args: PluginArgs,
}
