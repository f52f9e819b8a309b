//! One pass of the pipeline: filters narrow the nodes, scores order them, a content hash breaks ties.

use muster_framework::event::{ClusterEvent, Hint};
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::PodToPlace;
use muster_framework::rejection::Rejections;
use muster_framework::table::NodeOrd;
use muster_framework::view::View;
use muster_plugins::Profile;

/// The profile and the memory that passes use again and again.
pub(crate) struct Pipeline {
    profile: Profile,
    seed: u64,
    feasible: NodeSet,
    rejections: Rejections,
    scores: Vec<i64>,
    totals: Vec<i64>,
}

/// What an event does for a pod that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Help {
    /// Trying the pod again may find it a place.
    Yes,
    /// Nothing.
    No,
    /// What stood against the event's node may be gone, but this plugin, as a bit, rejects it now.
    NotYet(u32),
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    pub(crate) fn new(profile: Profile, seed: u64) -> Pipeline {
        Pipeline {
            profile,
            seed,
            feasible: NodeSet::default(),
            rejections: Rejections::counting(),
            scores: Vec::new(),
            totals: Vec::new(),
        }
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The best node for the pod. None: no node can take it, and [`Pipeline::rejections`] says why.
    pub(crate) fn place(&mut self, pod: &PodToPlace<'_>, view: &View<'_>) -> Option<NodeOrd> {
        self.filter(pod, view);
        debug_assert_eq!(
            self.feasible.len()
                + self
                    .rejections
                    .by_plugin()
                    .iter()
                    .map(|(_, n)| *n as usize)
                    .sum::<usize>(),
            view.table().len(),
            "every node is feasible or blamed on one plugin"
        );
        match self.feasible.len() {
            0 => None,
            1 => self.feasible.iter().next(),
            _ => {
                self.score(pod, view);
                self.best(pod, view)
            }
        }
    }

    /// Why the nodes of the last pass fell out.
    pub(crate) fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    /// The plugins that rejected nodes in the last pass, as bits by index among the filters.
    pub(crate) fn rejecting_plugins(&self) -> u32 {
        let rejecting = |name: &str| self.rejections.by_plugin().iter().any(|(plugin, _)| *plugin == name);
        let filters = self.profile.filters().enumerate();
        filters
            .filter(|(_, (name, _))| rejecting(name))
            .fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// Whether an event can help a pod that these plugins rejected: a hint first, then a look at the event's node.
    pub(crate) fn can_help(
        &mut self,
        pod: &PodToPlace<'_>,
        plugins: u32,
        event: ClusterEvent,
        view: &View<'_>,
    ) -> Help {
        let filters = self
            .profile
            .filters()
            .enumerate()
            .filter(|(at, _)| plugins & 1 << at != 0);
        match filters.map(|(_, (_, filter))| filter.hint(pod, event)).max() {
            None | Some(Hint::Skip) => Help::No,
            Some(Hint::Queue) => Help::Yes,
            Some(Hint::OnEventNode) => match event.node() {
                Some(node) => self.fits(pod, view, node).map_or(Help::Yes, Help::NotYet),
                None => Help::No,
            },
        }
    }

    /// The first plugin, as a bit, that keeps the pod from this one node; None: the node could take it.
    fn fits(&mut self, pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> Option<u32> {
        let mut nodes = NodeSet::with_len(view.table().padded_len());
        nodes.insert(node);
        let mut unheard = Rejections::counting();
        for (at, (name, filter)) in self.profile.filters().enumerate() {
            if !filter.skips(pod) {
                unheard.begin(name);
                filter.filter(pod, view, &mut nodes, &mut unheard);
                if nodes.is_empty() {
                    return Some(1 << at);
                }
            }
        }
        None
    }

    fn filter(&mut self, pod: &PodToPlace<'_>, view: &View<'_>) {
        let Pipeline {
            profile,
            feasible,
            rejections,
            ..
        } = self;
        feasible.copy_from(view.table().live());
        feasible.grow(view.table().padded_len());
        rejections.clear();
        for (name, filter) in profile.filters() {
            if !filter.skips(pod) {
                rejections.begin(name);
                filter.filter(pod, view, feasible, rejections);
                if feasible.is_empty() {
                    break;
                }
            }
        }
    }

    fn score(&mut self, pod: &PodToPlace<'_>, view: &View<'_>) {
        let Pipeline {
            profile,
            feasible,
            scores,
            totals,
            ..
        } = self;
        totals.clear();
        totals.resize(view.table().padded_len(), 0);
        scores.resize(view.table().padded_len(), 0);
        for (_, weight, score) in profile.scores() {
            if !score.skips(pod) {
                score.score(pod, view, feasible, scores);
                score.normalize(feasible, scores);
                for node in feasible.iter() {
                    totals[node.index()] += weight * scores[node.index()];
                }
            }
        }
    }

    /// The highest total; among equals the highest hash of (seed, content of the spec, node name).
    fn best(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Option<NodeOrd> {
        let salt = mix(self.seed ^ pod.compiled.content_hash);
        let total = |node: &NodeOrd| self.totals[node.index()];
        let highest = self.feasible.iter().map(|node| total(&node)).max()?;
        let equals = self.feasible.iter().filter(|node| total(node) == highest);
        equals.max_by_key(|node| mix(salt ^ view.table().name_hash(*node)))
    }
}

/// Spreads every bit of `x` over all bits (the finalizer of SplitMix64).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
