//! A profile: which plugins judge, in which order, with which weights and arguments.

use crate::args::PluginArgs;
use crate::registry::{Recipe, default_plugins, make};
use muster_framework::Text;
use muster_framework::plugin::{Filter, Plugin, PreEnqueue, Score};
use muster_framework::rules::KubeMinor;
use muster_framework::table::NodeTable;

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

impl ProfileSpec {
    /// Upstream's default profile of a minor.
    pub fn default_for(scheduler_name: &str, minor: KubeMinor) -> ProfileSpec {
        let args = PluginArgs::default();
        let recipe = Recipe { args: &args, minor };
        let plugins = || {
            default_plugins(minor)
                .into_iter()
                .filter_map(move |(name, weight)| Some((name, weight, make(name, recipe)?)))
        };
        ProfileSpec {
            scheduler_name: scheduler_name.into(),
            pre_enqueue: plugins()
                .filter(|(_, _, p)| p.pre_enqueue().is_some())
                .map(|(name, _, _)| name.into())
                .collect(),
            filters: plugins()
                .filter(|(_, _, p)| p.filter().is_some())
                .map(|(name, _, _)| name.into())
                .collect(),
            // A score without a weight of its own counts once. Source: `pkg/scheduler/framework/runtime.getScoreWeights`.
            scores: plugins()
                .filter(|(_, _, p)| p.score().is_some())
                .map(|(name, weight, _)| (name.into(), weight.max(1)))
                .collect(),
            args,
        }
    }
}

/// The plugins of one profile, made and attached to the table that they judge.
pub struct Profile {
    scheduler_name: Text,
    args: PluginArgs,
    plugins: Vec<Box<dyn Plugin>>,
    pre_enqueue: Vec<usize>,
    filters: Vec<usize>,
    scores: Vec<(usize, i64)>,
}

impl Profile {
    /// Makes the plugins of `spec` for `table`. Names without code (PrioritySort, DefaultPreemption …) are left out:
    /// `muster-config` has judged them.
    pub fn new(spec: &ProfileSpec, minor: KubeMinor, table: &mut NodeTable) -> Profile {
        let mut plugins: Vec<Box<dyn Plugin>> = Vec::new();
        let mut place = |name: &str| {
            if let Some(at) = plugins.iter().position(|plugin| plugin.name() == name) {
                return Some(at);
            }
            let mut plugin = make(
                name,
                Recipe {
                    args: &spec.args,
                    minor,
                },
            )?;
            plugin.attach(table);
            plugins.push(plugin);
            Some(plugins.len() - 1)
        };
        let pre_enqueue = spec.pre_enqueue.iter().filter_map(|name| place(name)).collect();
        let mut filters: Vec<usize> = spec.filters.iter().filter_map(|name| place(name)).collect();
        let mut scores: Vec<(usize, i64)> = spec
            .scores
            .iter()
            .filter_map(|(name, weight)| Some((place(name)?, *weight)))
            .collect();
        filters.retain(|at| plugins[*at].filter().is_some());
        scores.retain(|(at, _)| plugins[*at].score().is_some());
        Profile {
            scheduler_name: spec.scheduler_name.clone(),
            args: spec.args.clone(),
            plugins,
            pre_enqueue,
            filters,
            scores,
        }
    }

    /// The scheduler name that it answers to.
    pub fn scheduler_name(&self) -> &Text {
        &self.scheduler_name
    }

    /// The arguments of its plugins.
    pub fn args(&self) -> &PluginArgs {
        &self.args
    }

    /// The plugins that keep pods out of the queue.
    pub fn pre_enqueue(&self) -> impl Iterator<Item = (&'static str, &dyn PreEnqueue)> {
        let plugins = self.pre_enqueue.iter().map(|at| &self.plugins[*at]);
        plugins.filter_map(|plugin| Some((plugin.name(), plugin.pre_enqueue()?)))
    }

    /// The filters.
    pub fn filters(&self) -> impl Iterator<Item = (&'static str, &dyn Filter)> {
        let plugins = self.filters.iter().map(|at| &self.plugins[*at]);
        plugins.filter_map(|plugin| Some((plugin.name(), plugin.filter()?)))
    }

    /// The filter at a place among [`Profile::filters`].
    pub fn filter_at(&self, place: usize) -> Option<&dyn Filter> {
        self.plugins[*self.filters.get(place)?].filter()
    }

    /// The score at a place among [`Profile::scores`], with its weight.
    pub fn score_at(&self, place: usize) -> Option<(i64, &dyn Score)> {
        let (at, weight) = *self.scores.get(place)?;
        Some((weight, self.plugins[at].score()?))
    }

    /// The scores with their weights.
    pub fn scores(&self) -> impl Iterator<Item = (&'static str, i64, &dyn Score)> {
        let plugins = self.scores.iter().map(|(at, weight)| (&self.plugins[*at], *weight));
        plugins.filter_map(|(plugin, weight)| Some((plugin.name(), weight, plugin.score()?)))
    }
}
