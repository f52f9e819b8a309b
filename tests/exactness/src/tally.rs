//! What was decided how, by the reasons of full passes and by the features of pods.

use crate::features::FEATURES;
use muster_engine::{BatchCounts, FullPass};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Counts of many histories.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many histories.
    pub histories: u64,
    /// What batching did, added up.
    pub counts: BatchCounts,
    /// Decisions by verdicts that found a node, and none, by the feature that the pod has.
    pub by_feature: BTreeMap<&'static str, [u64; 2]>,
}

impl Tally {
    /// Decisions by verdicts.
    pub fn by_verdict(&self) -> u64 {
        self.counts.placed + self.counts.rejected
    }

    /// Notes what was done for pods with these features.
    pub(crate) fn note(&mut self, counts: &BatchCounts, features: &BTreeSet<&'static str>) {
        self.add_counts(counts);
        for feature in features {
            let [placed, rejected] = self.by_feature.entry(feature).or_default();
            *placed += counts.placed;
            *rejected += counts.rejected;
        }
    }

    fn add_counts(&mut self, counts: &BatchCounts) {
        let sums = &mut self.counts;
        sums.placed += counts.placed;
        sums.rejected += counts.rejected;
        let reasons = sums.full_passes.iter_mut().zip(counts.full_passes);
        reasons.for_each(|(sum, passes)| *sum += passes);
        sums.made += counts.made;
        sums.outdated += counts.outdated;
        sums.evicted += counts.evicted;
        sums.nodes_followed += counts.nodes_followed;
        sums.confirmed += counts.confirmed;
        sums.contradicted += counts.contradicted;
    }

    /// Adds what other histories have counted.
    pub fn add(&mut self, other: &Tally) {
        self.histories += other.histories;
        self.add_counts(&other.counts);
        for (feature, [placed, rejected]) in &other.by_feature {
            let sums = self.by_feature.entry(feature).or_default();
            sums[0] += placed;
            sums[1] += rejected;
        }
    }

    /// What verdicts were never asked about, or never found a node for.
    pub fn missing(&self) -> Vec<&'static str> {
        let placed = |feature: &&str| self.by_feature.get(feature).is_none_or(|[placed, _]| *placed == 0);
        let mut missing: Vec<&'static str> = FEATURES.into_iter().filter(placed).collect();
        if self.counts.rejected == 0 {
            missing.push("hopeless pods");
        }
        missing
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let passes: u64 = counts.full_passes.iter().sum();
        writeln!(
            f,
            "{} histories, {} decisions by verdicts: {} found a node, {} found none",
            self.histories,
            self.by_verdict(),
            counts.placed,
            counts.rejected
        )?;
        writeln!(
            f,
            "{} verdicts made, {} outdated, {} evicted; {} nodes judged again",
            counts.made, counts.outdated, counts.evicted, counts.nodes_followed
        )?;
        writeln!(f, "{passes} full passes:")?;
        for (reason, passes) in FullPass::ALL.iter().zip(counts.full_passes) {
            writeln!(f, "  {:<28}{passes:>10}", reason.name())?;
        }
        writeln!(f, "{:<30}{:>10}{:>10}", "decisions by verdicts", "a node", "none")?;
        for feature in FEATURES {
            let [placed, rejected] = self.by_feature.get(feature).copied().unwrap_or_default();
            writeln!(f, "  {feature:<28}{placed:>10}{rejected:>10}")?;
        }
        write!(
            f,
            "confirmed {}, contradicted {}",
            counts.confirmed, counts.contradicted
        )
    }
}
