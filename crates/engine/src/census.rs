//! What takes a pass over the queue and the groups to know: asked for now and then, for gauges, and not at each turn.

use crate::engine::Engine;
use crate::observation::WaitReason;
use crate::pipeline::{EXTENDER, EXTENDERS, ProfileOrd};
use crate::queue::Entity;
use crate::time::Time;
use muster_framework::Text;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who waits, for whom, and how long already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Pods that no node takes, by profile and by plugin that rejected nodes for them, whether there are any or none. A pod
    /// counts for each such plugin; of members of a group, those count that were judged.
    pub unschedulable: BTreeMap<(Text, &'static str), usize>,
    /// Since when the entity stands ready that has stood ready longest and has not been tried.
    pub longest_active: Duration,
    /// Since when a member of the pod group that waits longest for its places was known first.
    pub longest_group_wait: Duration,
    /// Members that gangs lack to have `minCount` that could be tried, all gangs together.
    pub quorum_gap: u64,
}

impl Engine {
    /// Counts. It takes as long as there are entities ready to be tried, classes of pods that wait, and groups.
    pub fn census(&self, now: Time) -> Census {
        let waits = self.groups.iter().filter(|(_, group)| group.report.reason.is_some());
        let known_since = waits.filter_map(|(id, _)| self.queue.first_enqueued(Entity::Group(id)));
        Census {
            unschedulable: self.unschedulable(),
            longest_active: self.queue.oldest_active().map_or(Duration::ZERO, |at| now.since(at)),
            longest_group_wait: known_since.min().map_or(Duration::ZERO, |at| now.since(at)),
            quorum_gap: self.quorum_gap(),
        }
    }

    fn unschedulable(&self) -> BTreeMap<(Text, &'static str), usize> {
        let mut counts = BTreeMap::new();
        let profiles = (0..self.pipeline.profiles.len()).map(|place| (ProfileOrd::at(place), u32::MAX, 0));
        for (profile, plugins, waiters) in profiles.chain(self.queue.waiting.sizes()) {
            let profile = &self.pipeline.profiles[profile.index()];
            let named = profile.filters().enumerate();
            let named = named
                .filter(|(at, _)| plugins & (1 << at) != 0)
                .map(|(_, (name, _))| name);
            for plugin in named.chain((plugins & EXTENDERS != 0).then_some(EXTENDER)) {
                *counts.entry((profile.scheduler_name().clone(), plugin)).or_default() += waiters;
            }
        }
        counts
    }

    fn quorum_gap(&self) -> u64 {
        let incomplete = self
            .groups
            .iter()
            .filter(|(_, group)| group.report.reason == Some(WaitReason::MembersMissing));
        let gap = |min_count: u32, have: u32| u64::from(min_count.saturating_sub(have));
        incomplete
            .filter_map(|(_, group)| Some(gap(self.groups.quorum(group)?, group.could_go())))
            .sum()
    }
}
