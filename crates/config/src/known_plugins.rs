//! kube-scheduler's plugins: their names, the extension points that each has, and what becomes of them here.
//!
//! Sources: `pkg/scheduler/framework/plugins/registry.go`, the interfaces that each plugin implements, and the default
//! feature gates; 1.35 to 1.37. Which of them the default profile has stands in `muster_plugins::registry`.

use muster_framework::rules::KubeMinor;

use Point::{
    Bind, Filter, Permit, PlacementGenerate, PlacementScore, PodGroupPostFilter, PostFilter, PreBind, PreEnqueue,
    PreFilter, PreScore, QueueSort, Reserve, Score,
};

/// The minors that a configuration is checked for: which one it will meet is known only when a server is.
pub(crate) const MINORS: [KubeMinor; 3] = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];

/// An extension point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
    PlacementGenerate,
    PlacementScore,
    PodGroupPostFilter,
}

impl Point {
    /// Every point.
    pub(crate) const ALL: [Point; 15] = [
        PreEnqueue,
        QueueSort,
        PreFilter,
        Filter,
        PostFilter,
        PreScore,
        Score,
        Reserve,
        Permit,
        PreBind,
        Bind,
        Point::PostBind,
        PlacementGenerate,
        PlacementScore,
        PodGroupPostFilter,
    ];

    /// How the file calls it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            PreEnqueue => "preEnqueue",
            QueueSort => "queueSort",
            PreFilter => "preFilter",
            Filter => "filter",
            PostFilter => "postFilter",
            PreScore => "preScore",
            Score => "score",
            Reserve => "reserve",
            Permit => "permit",
            PreBind => "preBind",
            Bind => "bind",
            Point::PostBind => "postBind",
            PlacementGenerate => "placementGenerate",
            PlacementScore => "placementScore",
            PodGroupPostFilter => "podGroupPostFilter",
        }
    }
}

/// What the PreFilter of a plugin means for a profile that has it without the Filter, or the Filter without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PreFilterRole {
    /// There is none, or one that only saves work, or one that does nothing while alpha gates are off: Filter counts.
    Idle,
    /// It rejects nothing, but Filter relies on what it computes.
    Prepares,
    /// It rejects pods or narrows the nodes by itself.
    Rejects,
}

/// What becomes of a plugin that a profile has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// What upstream's does, from this minor on; in an older one its feature gate is off, and so it does nothing.
    SameSince(KubeMinor),
    /// It keeps its place in the profile and does nothing yet.
    Missing(&'static str),
    /// It has no place in the profile: its feature gate is off by default, or the engine does its work for every pod.
    Outside(&'static str),
}

/// A plugin of kube-scheduler.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KnownPlugin {
    pub(crate) name: &'static str,
    pub(crate) points: &'static [Point],
    pub(crate) pre_filter: PreFilterRole,
    pub(crate) effect: Effect,
}

impl KnownPlugin {
    pub(crate) fn is_at(&self, point: Point) -> bool {
        self.points.contains(&point)
    }

    /// Whether a profile for this minor lists it.
    pub(crate) fn is_listed(&self, minor: KubeMinor) -> bool {
        match self.effect {
            Effect::SameSince(first) => first <= minor,
            Effect::Missing(_) => true,
            Effect::Outside(_) => false,
        }
    }
}

/// The plugin of this name.
pub(crate) fn find(name: &str) -> Option<&'static KnownPlugin> {
    KNOWN.iter().find(|plugin| plugin.name == name)
}

/// Plugins that upstream had once and refuses to know since. Source: `validation.go`, `invalidPluginsByVersion`.
pub(crate) const REMOVED: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

const GATE_IS_OFF: &str = "its feature gate is off by default, and Muster has no feature gates";

const fn plugin(name: &'static str, points: &'static [Point]) -> KnownPlugin {
    KnownPlugin {
        name,
        points,
        pre_filter: PreFilterRole::Idle,
        effect: Effect::SameSince(KubeMinor::V1_35),
    }
}

impl KnownPlugin {
    const fn pre_filter(self, pre_filter: PreFilterRole) -> KnownPlugin {
        KnownPlugin { pre_filter, ..self }
    }

    const fn effect(self, effect: Effect) -> KnownPlugin {
        KnownPlugin { effect, ..self }
    }
}

const FILTERS: &[Point] = &[PreFilter, Filter];
const FILTERS_AND_SCORES: &[Point] = &[PreFilter, Filter, PreScore, Score];

/// Every in-tree plugin of any of the minors, with the points that it has in any of them.
pub(crate) const KNOWN: &[KnownPlugin] = &[
    plugin("SchedulingGates", &[PreEnqueue]),
    plugin("PrioritySort", &[QueueSort]),
    // Since 1.37 its PreFilter narrows the nodes, for pods that name their node: these never come to a scheduler.
    plugin("NodeName", FILTERS),
    plugin("NodeUnschedulable", FILTERS),
    plugin("TaintToleration", FILTERS_AND_SCORES),
    plugin("NodeAffinity", FILTERS_AND_SCORES).pre_filter(PreFilterRole::Rejects),
    plugin("NodePorts", FILTERS).pre_filter(PreFilterRole::Prepares),
    plugin("DeferredPodScheduling", &[PreFilter, Filter, Permit]).effect(Effect::Outside(GATE_IS_OFF)),
    plugin(
        "NodeResourcesFit",
        &[PreFilter, Filter, PreScore, Score, PlacementScore],
    )
    .pre_filter(PreFilterRole::Prepares),
    plugin("VolumeRestrictions", FILTERS).pre_filter(PreFilterRole::Rejects),
    plugin("NodeVolumeLimits", FILTERS),
    plugin("VolumeBinding", &[PreFilter, Filter, Reserve, PreBind, PreScore, Score]).pre_filter(PreFilterRole::Rejects),
    plugin("VolumeZone", FILTERS).pre_filter(PreFilterRole::Rejects),
    plugin("PodTopologySpread", FILTERS_AND_SCORES).pre_filter(PreFilterRole::Prepares),
    plugin("InterPodAffinity", FILTERS_AND_SCORES).pre_filter(PreFilterRole::Prepares),
    plugin(
        "DynamicResources",
        &[
            PreEnqueue,
            PreFilter,
            Filter,
            PostFilter,
            PodGroupPostFilter,
            Score,
            Reserve,
            PreBind,
        ],
    )
    .pre_filter(PreFilterRole::Rejects)
    .effect(Effect::Missing(
        "pods with resource claims wait, whatever the profile says",
    )),
    plugin("DefaultPreemption", &[PreEnqueue, PostFilter, PodGroupPostFilter])
        .effect(Effect::Missing("nobody is evicted yet")),
    plugin("NodeResourcesBalancedAllocation", &[PreScore, Score]),
    plugin("ImageLocality", &[Score]),
    plugin("DefaultBinder", &[Bind]),
    plugin("NodeDeclaredFeatures", FILTERS)
        .pre_filter(PreFilterRole::Prepares)
        .effect(Effect::SameSince(KubeMinor::V1_36)),
    plugin("GangScheduling", &[PreEnqueue, Reserve, Permit]).effect(Effect::Outside(
        "Muster places groups as wholes, whatever the profile says",
    )),
    plugin("TopologyPlacementGenerator", &[PlacementGenerate]).effect(Effect::Outside(GATE_IS_OFF)),
    plugin("PodGroupPodsCount", &[PlacementScore]).effect(Effect::Outside(GATE_IS_OFF)),
];

#[cfg(test)]
mod tests {
    use muster_plugins::args::PluginArgs;
    use muster_plugins::registry::{Recipe, default_plugins, make};

    use super::*;

    #[test]
    fn every_default_is_known_and_listed() {
        for minor in MINORS {
            for (name, weight) in default_plugins(minor) {
                let plugin = find(name).unwrap_or_else(|| panic!("{name} is unknown"));
                assert!(plugin.is_listed(minor), "{name}");
                assert!(weight == 0 || plugin.is_at(Score), "{name}");
            }
        }
    }

    #[test]
    fn names_are_unique_and_points_have_theirs() {
        for (i, plugin) in KNOWN.iter().enumerate() {
            assert_eq!(find(plugin.name).map(|p| p.points), Some(plugin.points));
            assert!(
                KNOWN[..i].iter().all(|other| other.name != plugin.name),
                "{}",
                plugin.name
            );
            assert!(!REMOVED.contains(&plugin.name));
        }
        let keys: std::collections::BTreeSet<_> = Point::ALL.iter().map(|point| point.key()).collect();
        assert_eq!(keys.len(), Point::ALL.len());
    }

    /// What has code here has it at points that upstream has, and what the tables call missing has none. DynamicResources
    /// scores pods without claims, as upstream, and is missing otherwise.
    #[test]
    fn the_code_agrees() {
        let args = PluginArgs::default();
        for plugin in KNOWN {
            let recipe = Recipe {
                args: &args,
                minor: KubeMinor::V1_37,
            };
            let made = make(plugin.name, recipe);
            let in_engine = ["PrioritySort", "DefaultBinder"].contains(&plugin.name);
            let same = matches!(plugin.effect, Effect::SameSince(_));
            let partly = plugin.name == "DynamicResources";
            assert_eq!(made.is_some() || in_engine, same || partly, "{}", plugin.name);
            let Some(made) = made.filter(|_| !partly) else { continue };
            assert_eq!(
                made.pre_enqueue().is_some(),
                plugin.is_at(PreEnqueue),
                "{}",
                plugin.name
            );
            assert_eq!(made.filter().is_some(), plugin.is_at(Filter), "{}", plugin.name);
            assert_eq!(made.score().is_some(), plugin.is_at(Score), "{}", plugin.name);
        }
    }
}
