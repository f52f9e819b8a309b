//! How nodes are scored by the storage that a pod would take there.

use super::node_fit::Found;
use crate::args::ShapePoint;
use muster_framework::plugin::MAX_NODE_SCORE;

/// The highest score that a shape may name. Source: `pkg/scheduler/apis/config.MaxCustomPriorityScore`.
const MAX_SHAPE_SCORE: i64 = 10;
/// Source: `volumebinding.maxUtilization`.
const MAX_UTILIZATION: i64 = 100;

/// What upstream scores by when the arguments state no shape: emptier is better.
/// Source: `pkg/scheduler/apis/config/v1.SetDefaults_VolumeBindingArgs`.
const DEFAULT_SHAPE: [ShapePoint; 2] = [
    ShapePoint {
        utilization: 0,
        score: MAX_SHAPE_SCORE,
    },
    ShapePoint {
        utilization: MAX_UTILIZATION,
        score: 0,
    },
];

/// A piecewise linear function from utilization to score. Source: `volumebinding.buildScorerFunction`.
#[derive(Debug)]
pub(super) struct CapacityScore {
    shape: Vec<ShapePoint>,
}

/// What is asked of one storage class, and what it has.
struct Usage<'a> {
    class: &'a str,
    requested: i64,
    capacity: i64,
}

impl CapacityScore {
    pub(super) fn new(shape: &[ShapePoint]) -> CapacityScore {
        let shape = if shape.is_empty() { &DEFAULT_SHAPE } else { shape };
        let scaled = shape.iter().map(|point| ShapePoint {
            utilization: point.utilization,
            score: point.score * (MAX_NODE_SCORE / MAX_SHAPE_SCORE),
        });
        CapacityScore {
            shape: scaled.collect(),
        }
    }

    /// The score of a node: the mean over the storage classes that the pod takes from there; of volumes that are there, or
    /// when it takes none of those, of capacities. Source: `VolumeBinding.Score`.
    pub(super) fn of(&self, found: &Found<'_>) -> i64 {
        let mut classes: Vec<Usage<'_>> = Vec::new();
        for (claim, volume) in &found.volumes {
            let usage = of_class(&mut classes, &volume.storage_class);
            usage.requested = usage.requested.wrapping_add(claim.request);
            usage.capacity = usage.capacity.wrapping_add(volume.capacity);
        }
        if found.volumes.is_empty() {
            for (claim, capacity) in &found.provision {
                let Some(capacity) = capacity else { continue };
                let usage = of_class(&mut classes, &capacity.storage_class);
                // Claims of a class share its capacity, so that it is not added up.
                usage.capacity = capacity.capacity.unwrap_or(0);
                usage.requested = usage.requested.wrapping_add(claim.request);
            }
        }
        if classes.is_empty() {
            return 0;
        }
        let sum: i64 = classes.iter().map(|usage| self.of_usage(usage)).sum();
        (sum as f64 / classes.len() as f64).round() as i64
    }

    fn of_usage(&self, usage: &Usage<'_>) -> i64 {
        if usage.capacity == 0 || usage.requested > usage.capacity {
            return self.at(MAX_UTILIZATION);
        }
        self.at(usage
            .requested
            .wrapping_mul(MAX_UTILIZATION)
            .wrapping_div(usage.capacity))
    }

    /// Source: `pkg/scheduler/framework/plugins/helper.BuildBrokenLinearFunction`.
    fn at(&self, utilization: i64) -> i64 {
        let reached = self.shape.iter().position(|point| utilization <= point.utilization);
        match reached {
            None => self.shape.last().map_or(0, |point| point.score),
            Some(0) => self.shape[0].score,
            Some(at) => {
                let (from, to) = (self.shape[at - 1], self.shape[at]);
                from.score
                    + (to.score - from.score) * (utilization - from.utilization) / (to.utilization - from.utilization)
            }
        }
    }
}

fn of_class<'c, 'a>(classes: &'c mut Vec<Usage<'a>>, class: &'a str) -> &'c mut Usage<'a> {
    let at = classes
        .iter()
        .position(|usage| usage.class == class)
        .unwrap_or_else(|| {
            classes.push(Usage {
                class,
                requested: 0,
                capacity: 0,
            });
            classes.len() - 1
        });
    &mut classes[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(shape: &[(i64, i64)], requested: i64, capacity: i64) -> i64 {
        let shape: Vec<ShapePoint> = shape
            .iter()
            .map(|(utilization, score)| ShapePoint {
                utilization: *utilization,
                score: *score,
            })
            .collect();
        let usage = Usage {
            class: "",
            requested,
            capacity,
        };
        CapacityScore::new(&shape).of_usage(&usage)
    }

    /// Source: `scorer_test.go`.
    #[test]
    fn utilization_is_scored_along_the_shape() {
        for (shape, requested, capacity, expected) in [
            (&[][..], 0, 100, 100),
            (&[], 30, 100, 70),
            (&[], 100, 100, 0),
            (&[], 101, 100, 0),
            (&[], 0, 0, 0),
            (&[(0, 0), (100, 10)], 30, 100, 30),
            (&[(0, 0), (100, 10)], 200, 100, 100),
            (&[(20, 2), (60, 10)], 10, 100, 20),
            (&[(20, 2), (60, 10)], 30, 100, 40),
            (&[(20, 2), (60, 10)], 90, 100, 100),
        ] {
            assert_eq!(
                score(shape, requested, capacity),
                expected,
                "{shape:?} {requested}/{capacity}"
            );
        }
    }
}
