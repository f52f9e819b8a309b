//! What the plugin lists of a profile come to: upstream's merge rules, and what of their results cannot be honoured.
//!
//! Upstream first merges `multiPoint` with the default profile, then spreads it over the extension points, where what a
//! point's own lists say comes first. Sources: `pkg/scheduler/apis/config/v1/default_plugins.go` (`mergePluginSet`) and
//! `pkg/scheduler/framework/runtime/framework.go` (`updatePluginList`, `expandMultiPointPlugins`,
//! `getValidScoreWeights`).
//!
//! A profile of Muster knows filters and scores, not their preparations. So a profile that has a plugin's preparation
//! apart from its work is refused, except where upstream would do the same without the preparation:
//!
//! * Filter without PreFilter: upstream's Filter fails for every pod, or does it another way;
//! * PreFilter without Filter: refused where PreFilter rejects by itself, and the same as neither elsewhere;
//! * PreFilters in another order than Filters: refused where both reject, since the first one gives the reason;
//! * Score without PreScore: upstream's Score fails, or does something else; PreScore without Score does nothing;
//! * Reserve, PreBind and Filter of one plugin: only together.

use std::collections::BTreeMap;

use muster_framework::Text;
use muster_framework::rules::KubeMinor;
use muster_plugins::registry::default_plugins;

use crate::known_plugins::{KnownPlugin, Point, PreFilterRole, find};
use crate::plugin_sets::{PluginSet, PluginSets};

/// Upstream's highest score of one plugin for one node (`fwk.MaxNodeScore`).
const MAX_SCORE: i64 = 100;

/// The lists of a profile, by extension point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expansion {
    at: BTreeMap<Point, Vec<&'static KnownPlugin>>,
    /// Weights of scores, in the order in which upstream looks at them.
    weights: Vec<(&'static str, i64)>,
}

/// Why a profile is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The extension points whose lists may be at fault.
    pub(crate) points: Vec<Point>,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl Refusal {
    fn new(points: &[Point], message: impl Into<String>) -> Refusal {
        Refusal {
            points: points.to_vec(),
            message: message.into(),
        }
    }
}

impl Expansion {
    /// The default profile of `minor` with `sets` over it.
    pub(crate) fn new(sets: &PluginSets, minor: KubeMinor) -> Expansion {
        let multi_point = merge(default_plugins(minor), &sets.multi_point);
        let nothing = PluginSet::default();
        let at = Point::ALL
            .iter()
            .map(|point| {
                (
                    *point,
                    expand(*point, &multi_point, sets.at(*point).unwrap_or(&nothing)),
                )
            })
            .collect();
        let own_scores = sets.at(Point::Score).unwrap_or(&nothing);
        // Of two weights for one plugin that of the point counts.
        let mut weights: Vec<(&'static str, i64)> = Vec::new();
        for (name, weight) in own_scores.enabled.iter().chain(&multi_point) {
            let scores = find(name).is_some_and(|plugin| plugin.is_at(Point::Score));
            if scores && weights.iter().all(|(earlier, _)| earlier != name) {
                weights.push((name, if *weight == 0 { 1 } else { *weight }));
            }
        }
        Expansion { at, weights }
    }

    fn at(&self, point: Point) -> &[&'static KnownPlugin] {
        self.at.get(&point).map_or(&[], Vec::as_slice)
    }

    fn has(&self, point: Point, plugin: &KnownPlugin) -> bool {
        self.at(point).iter().any(|other| other.name == plugin.name)
    }

    fn listed(&self, point: Point, minor: KubeMinor) -> impl Iterator<Item = &'static KnownPlugin> {
        self.at(point)
            .iter()
            .copied()
            .filter(move |plugin| plugin.is_listed(minor))
    }

    /// The plugins that keep pods out of the queue.
    pub(crate) fn pre_enqueue(&self, minor: KubeMinor) -> Vec<Text> {
        self.listed(Point::PreEnqueue, minor)
            .map(|plugin| plugin.name.into())
            .collect()
    }

    /// The filters, in the order of Filter.
    pub(crate) fn filters(&self, minor: KubeMinor) -> Vec<Text> {
        self.listed(Point::Filter, minor)
            .map(|plugin| plugin.name.into())
            .collect()
    }

    /// The scores with their weights, in the order of Score.
    pub(crate) fn scores(&self, minor: KubeMinor) -> Vec<(Text, i64)> {
        let weight = |plugin: &KnownPlugin| {
            let found = self.weights.iter().find(|(name, _)| *name == plugin.name);
            found.map_or(1, |(_, weight)| *weight)
        };
        self.listed(Point::Score, minor)
            .map(|plugin| (plugin.name.into(), weight(plugin)))
            .collect()
    }

    /// What of this cannot be honoured.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        self.check_only_one(Point::QueueSort, "PrioritySort", &mut refusals);
        self.check_only_one(Point::Bind, "DefaultBinder", &mut refusals);
        self.check_filters(&mut refusals);
        self.check_order_of_pre_filters(&mut refusals);
        self.check_acting(&mut refusals);
        self.check_scores(&mut refusals);
        self.check_total_weight(&mut refusals);
        refusals
    }

    /// Source: `NewFramework`. There is one in-tree plugin for each of these points, so a list can only lack it.
    fn check_only_one(&self, point: Point, name: &str, refusals: &mut Vec<Refusal>) {
        if self.at(point).is_empty() {
            let message = format!(
                "without {name} there is no {} plugin, and one is needed: enable it",
                point.key()
            );
            refusals.push(Refusal::new(&[point], message));
        }
    }

    fn check_filters(&self, refusals: &mut Vec<Refusal>) {
        let points = [Point::Filter, Point::PreFilter];
        for plugin in self.at(Point::Filter) {
            if plugin.pre_filter != PreFilterRole::Idle && !self.has(Point::PreFilter, plugin) {
                let message = format!(
                    "{0} is enabled at filter but not at preFilter, on which it relies: enable or disable it at both",
                    plugin.name
                );
                refusals.push(Refusal::new(&points, message));
            }
        }
        for plugin in self.at(Point::PreFilter) {
            if plugin.pre_filter == PreFilterRole::Rejects && !self.has(Point::Filter, plugin) {
                let message = format!(
                    "{0} is enabled at preFilter but not at filter, and would still reject pods: enable or disable it at \
                     both",
                    plugin.name
                );
                refusals.push(Refusal::new(&points, message));
            }
        }
    }

    fn check_order_of_pre_filters(&self, refusals: &mut Vec<Refusal>) {
        let rejecting = |point, other| {
            let at = self.at(point).iter().copied();
            at.filter(|plugin| plugin.pre_filter == PreFilterRole::Rejects && self.has(other, plugin))
                .map(|plugin| plugin.name)
                .collect::<Vec<_>>()
        };
        let filters = rejecting(Point::Filter, Point::PreFilter);
        let pre_filters = rejecting(Point::PreFilter, Point::Filter);
        if filters != pre_filters {
            let message = format!(
                "the order at preFilter ({}) must be that at filter ({}): Muster has one order for both",
                pre_filters.join(", "),
                filters.join(", ")
            );
            refusals.push(Refusal::new(&[Point::Filter, Point::PreFilter], message));
        }
    }

    /// Upstream's Reserve and PreBind fail without what Filter found, and what it found is worth nothing without them.
    fn check_acting(&self, refusals: &mut Vec<Refusal>) {
        const TOGETHER: [Point; 3] = [Point::Reserve, Point::PreBind, Point::Filter];
        for name in ["VolumeBinding", "DynamicResources"] {
            let Some(plugin) = find(name) else { continue };
            let has = TOGETHER.map(|point| self.has(point, plugin));
            if has != [has[0]; 3] {
                let message =
                    format!("{name} can be enabled at filter, reserve and preBind together, or at none of them");
                refusals.push(Refusal::new(&TOGETHER, message));
            }
        }
    }

    fn check_scores(&self, refusals: &mut Vec<Refusal>) {
        for plugin in self.at(Point::Score) {
            if plugin.is_at(Point::PreScore) && !self.has(Point::PreScore, plugin) {
                let message = format!(
                    "{0} is enabled at score but not at preScore, which it needs: enable or disable it at both",
                    plugin.name
                );
                refusals.push(Refusal::new(&[Point::Score, Point::PreScore], message));
            }
        }
    }

    /// Source: `getValidScoreWeights`. It means to refuse sums beyond 64 bits, which weights of 32 bits cannot reach; since
    /// its subtraction wraps, it refuses a weight that comes when the sum is below zero.
    fn check_total_weight(&self, refusals: &mut Vec<Refusal>) {
        let mut total: i64 = 0;
        for (name, weight) in &self.weights {
            let best = weight.saturating_mul(MAX_SCORE);
            if i64::MAX.wrapping_sub(total) < best {
                let message = format!("the weights before that of {name} add up to less than zero");
                refusals.push(Refusal::new(&[Point::Score], message));
                return;
            }
            total = total.saturating_add(best);
        }
    }
}

/// The default set with a set of the file over it.
///
/// Source: `mergePluginSet`. What is disabled leaves the defaults; a default that is named again is replaced in its
/// place; everything else comes after the defaults. So a default that is both disabled and enabled moves to the end.
fn merge(defaults: Vec<(&'static str, i64)>, set: &PluginSet) -> Vec<(&'static str, i64)> {
    let mut rest = set.enabled.clone();
    let mut merged = Vec::new();
    for (name, weight) in defaults {
        if set.without_defaults || set.disabled.contains(&name) {
            continue;
        }
        match rest.iter().position(|(again, _)| *again == name) {
            Some(i) => merged.push(rest.remove(i)),
            None => merged.push((name, weight)),
        }
    }
    merged.extend(rest);
    merged
}

/// The plugins at one point.
///
/// Source: `expandMultiPointPlugins`. First those that the point and `multiPoint` both name, in the order of the point;
/// then those of `multiPoint`, except what the point disables; then the others of the point.
fn expand(point: Point, multi_point: &[(&'static str, i64)], own: &PluginSet) -> Vec<&'static KnownPlugin> {
    let in_multi_point =
        |name: &str| !own.disabled.contains(&name) && multi_point.iter().any(|(other, _)| *other == name);
    let own_names = || own.enabled.iter().map(|(name, _)| *name);
    let names: Vec<&'static str> = if own.without_defaults {
        own_names().collect()
    } else {
        let overriding = own_names().filter(|name| in_multi_point(name));
        let inherited = multi_point
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| !own.disabled.contains(name) && own_names().all(|own| own != *name));
        let others = own_names().filter(|name| !in_multi_point(name));
        overriding.chain(inherited).chain(others).collect()
    };
    names
        .into_iter()
        .filter_map(find)
        .filter(|plugin| plugin.is_at(point))
        .collect()
}
