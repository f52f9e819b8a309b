//! kube-scheduler's default profile: the baseline that a profile may not leave.
//!
//! Source: `pkg/scheduler/apis/config/v1/default_plugins.go` and the interfaces that each plugin asserts, 1.35 to 1.37,
//! with all feature gates on: a plugin that is a default in some cluster is no stranger.

use Point::{
    Bind, Filter, Permit, PlacementGenerate, PlacementScore, PodGroupPostFilter, PostFilter, PreBind, PreEnqueue,
    PreFilter, PreScore, QueueSort, Reserve, Score,
};

/// An extension point, or all of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// `multiPoint`: every point that the plugin has.
    All,
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

/// Every point with its name in the file.
pub(crate) const POINTS: [(&str, Point); 16] = [
    ("multiPoint", Point::All),
    ("preEnqueue", PreEnqueue),
    ("queueSort", QueueSort),
    ("preFilter", PreFilter),
    ("filter", Filter),
    ("postFilter", PostFilter),
    ("preScore", PreScore),
    ("score", Score),
    ("reserve", Reserve),
    ("permit", Permit),
    ("preBind", PreBind),
    ("bind", Bind),
    ("postBind", Point::PostBind),
    ("placementGenerate", PlacementGenerate),
    ("placementScore", PlacementScore),
    ("podGroupPostFilter", PodGroupPostFilter),
];

/// A plugin of the default profile.
#[derive(Debug)]
pub(crate) struct DefaultPlugin {
    pub(crate) name: &'static str,
    /// The weight of its score; None when it has none.
    pub(crate) weight: Option<i32>,
    pub(crate) points: &'static [Point],
}

impl DefaultPlugin {
    /// Whether an entry at `point` concerns this plugin.
    pub(crate) fn is_at(&self, point: Point) -> bool {
        point == Point::All || self.points.contains(&point)
    }
}

/// The plugin of this name.
pub(crate) fn find(name: &str) -> Option<&'static DefaultPlugin> {
    DEFAULTS.iter().find(|plugin| plugin.name == name)
}

const fn plugin(name: &'static str, weight: Option<i32>, points: &'static [Point]) -> DefaultPlugin {
    DefaultPlugin { name, weight, points }
}

const FILTERS: &[Point] = &[PreFilter, Filter];
const FILTERS_AND_SCORES: &[Point] = &[PreFilter, Filter, PreScore, Score];

pub(crate) const DEFAULTS: &[DefaultPlugin] = &[
    plugin("SchedulingGates", None, &[PreEnqueue]),
    plugin("PrioritySort", None, &[QueueSort]),
    plugin("NodeName", None, FILTERS),
    plugin("NodeUnschedulable", None, FILTERS),
    plugin("TaintToleration", Some(3), FILTERS_AND_SCORES),
    plugin("NodeAffinity", Some(2), FILTERS_AND_SCORES),
    plugin("NodePorts", None, FILTERS),
    plugin("DeferredPodScheduling", None, &[PreFilter, Filter, Permit]),
    plugin(
        "NodeResourcesFit",
        Some(1),
        &[PreFilter, Filter, PreScore, Score, PlacementScore],
    ),
    plugin("VolumeRestrictions", None, FILTERS),
    plugin("NodeVolumeLimits", None, FILTERS),
    // Its score needs a feature gate and is not a default, so it has no weight of its own: 1.
    plugin(
        "VolumeBinding",
        Some(1),
        &[PreFilter, Filter, Reserve, PreBind, PreScore, Score],
    ),
    plugin("VolumeZone", None, FILTERS),
    plugin("PodTopologySpread", Some(2), FILTERS_AND_SCORES),
    plugin("InterPodAffinity", Some(2), FILTERS_AND_SCORES),
    plugin(
        "DynamicResources",
        Some(2),
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
    ),
    plugin("DefaultPreemption", None, &[PreEnqueue, PostFilter]),
    plugin("NodeResourcesBalancedAllocation", Some(1), &[PreScore, Score]),
    plugin("ImageLocality", Some(1), &[Score]),
    plugin("DefaultBinder", None, &[Bind]),
    plugin("NodeDeclaredFeatures", None, FILTERS),
    plugin("GangScheduling", None, &[PreEnqueue, Permit]),
    plugin("TopologyPlacementGenerator", None, &[PlacementGenerate]),
    plugin("PodGroupPodsCount", Some(1), &[PlacementScore]),
];
