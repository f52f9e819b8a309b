//! ImageLocality: prefers nodes that have the pod's images already, the more so the larger and the more common these are.
//!
//! It costs what the images are found on: nodes without any of them are not looked at.

use crate::registry::Recipe;
use muster_framework::image::PlacedImage;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{MAX_NODE_SCORE, Plugin, PodToPlace, Reads, Score};
use muster_framework::rules::KubeMinor;
use muster_framework::table::NodeOrd;
use muster_framework::view::View;

const MEBIBYTE: i64 = 1024 * 1024;
/// Less than this counts as nothing.
const MIN_THRESHOLD: i64 = 23 * MEBIBYTE;
/// More than this for each image counts as all.
const MAX_THRESHOLD_PER_IMAGE: i64 = 1000 * MEBIBYTE;

/// The plugin. Source: `pkg/scheduler/framework/plugins/imagelocality`.
#[derive(Debug)]
pub struct ImageLocality {
    minor: KubeMinor,
}

impl ImageLocality {
    /// The plugin with the rules of its minor.
    pub fn new(recipe: Recipe<'_>) -> ImageLocality {
        ImageLocality { minor: recipe.minor }
    }

    /// For how many images the threshold is meant: 1.36 looks for images of volumes without counting them here.
    fn n_images(&self, pod: &PodToPlace<'_>) -> usize {
        let of_volumes = if self.minor < KubeMinor::V1_37 {
            0
        } else {
            pod.spec.volume_images.len()
        };
        pod.spec.images.len() + of_volumes
    }
}

/// The bytes of an image, the fewer the rarer it is.
fn scaled(image: &PlacedImage, view: &View<'_>) -> i64 {
    let spread = image.nodes().len() as f64 / view.table().len() as f64;
    (image.size() as f64 * spread) as i64
}

/// The score of a node that has images of so many bytes, each already weighed by how common it is.
fn priority(sum: i64, n_images: usize) -> i64 {
    let max = MAX_THRESHOLD_PER_IMAGE * n_images as i64;
    let sum = if sum < MIN_THRESHOLD {
        MIN_THRESHOLD
    } else {
        sum.min(max)
    };
    MAX_NODE_SCORE * (sum - MIN_THRESHOLD) / (max - MIN_THRESHOLD)
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

impl ImageLocality {
    /// The pod's images that a node has.
    fn placed<'a>(&self, pod: &PodToPlace<'a>, view: &View<'a>) -> impl Iterator<Item = &'a PlacedImage> {
        let of_volumes = pod.spec.volume_images.iter();
        let counts_volumes = self.minor >= KubeMinor::V1_36;
        let names = pod.spec.images.iter().chain(of_volumes.filter(move |_| counts_volumes));
        let table = view.table();
        names.filter_map(|name| table.image(name))
    }
}

impl Score for ImageLocality {
    fn is_indifferent(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> bool {
        self.placed(pod, view).next().is_none()
    }

    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, _nodes: &NodeSet, scores: &mut [i64]) {
        scores.fill(0);
        let mut any = false;
        for image in self.placed(pod, view) {
            let scaled = scaled(image, view);
            any |= scaled != 0;
            for node in image.nodes() {
                let sum = &mut scores[node.index()];
                *sum = sum.wrapping_add(scaled);
            }
        }
        if !any {
            return;
        }
        // Nodes mostly have the same images, and neighbours the same sum.
        let n_images = self.n_images(pod);
        let (mut last_sum, mut last_priority) = (0, priority(0, n_images));
        for score in scores {
            if *score != last_sum {
                (last_sum, last_priority) = (*score, priority(*score, n_images));
            }
            *score = last_priority;
        }
    }

    fn reads(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> Reads {
        if self.is_indifferent(pod, view) {
            Reads::Node
        } else {
            Reads::AllNodes
        }
    }

    fn score_node(&self, pod: &PodToPlace<'_>, view: &View<'_>, node: NodeOrd) -> i64 {
        let here = self
            .placed(pod, view)
            .filter(|image| image.nodes().binary_search(&node).is_ok());
        let sum = here.fold(0i64, |sum, image| sum.wrapping_add(scaled(image, view)));
        priority(sum, self.n_images(pod))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let max = MAX_THRESHOLD_PER_IMAGE;
        for (sum, n_images, expected) in [
            (0, 1, 0),
            (MIN_THRESHOLD, 1, 0),
            (MIN_THRESHOLD + (max - MIN_THRESHOLD) / 2, 1, 50),
            (max, 1, 100),
            (max * 5, 1, 100),
            (max, 2, 49),
            // A pod without containers, whose volumes are images: below nothing and above everything at once.
            (0, 0, 0),
            (max, 0, 100),
        ] {
            assert_eq!(priority(sum, n_images), expected, "{sum} of {n_images}");
        }
    }
}
