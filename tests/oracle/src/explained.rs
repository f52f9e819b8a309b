//! Differences from upstream that are there on purpose. Everything that isn't in this list is a mistake.

use serde_json::Value;

use crate::case::Case;
use crate::compare::Difference;

/// A difference that is there on purpose.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// Names it in reports.
    pub name: &'static str,
    /// Why Muster says something else.
    pub reason: &'static str,
    /// Whether this is that difference.
    pub explains: fn(&Case, &Difference) -> bool,
}

/// All of them.
pub const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        name: "huge-pages-of-the-whole-pod",
        reason: "Upstream's filter counts huge pages that are asked for the pod as a whole, its score does not. Muster counts \
                 them in both.",
        explains: is_score_of_huge_pages,
    },
    Explanation {
        name: "spread-of-promised-pods",
        reason: "Upstream counts placed pods and pods that were promised a node by two rules that disagree: of an empty \
             selector it counts no placed pod and every promised one, it counts promised pods that are terminating, and of \
             two promised pods it may mistake the emptiest domain. Muster counts both alike.",
        explains: is_spread_of_promised_pods,
    },
];

/// The score of NodeResourcesFit, or what follows from it, for a pod that states huge pages as a whole.
fn is_score_of_huge_pages(case: &Case, difference: &Difference) -> bool {
    let requests = case.pod["spec"]["resources"]["requests"].as_object();
    let huge = requests.is_some_and(|requests| requests.keys().any(|name| name.starts_with("hugepages-")));
    let fit = ["raw.NodeResourcesFit", "plugins.NodeResourcesFit", "total"];
    huge && difference.path.starts_with("scores.") && fit.iter().any(|part| difference.path.ends_with(part))
}

/// The explanation of a difference, if it has one.
pub fn explanation(case: &Case, difference: &Difference) -> Option<&'static Explanation> {
    EXPLANATIONS
        .iter()
        .find(|explanation| (explanation.explains)(case, difference))
}

/// The verdict of PodTopologySpread on a node that another pod has been promised, or scores, which depend on what nodes are
/// left.
fn is_spread_of_promised_pods(case: &Case, difference: &Difference) -> bool {
    let judged = difference
        .path
        .strip_prefix("nodes.")
        .and_then(|path| path.split('.').next());
    if judged.is_none() && !difference.path.starts_with("scores") {
        return false;
    }
    let constraints = case.pod["spec"]["topologySpreadConstraints"].as_array();
    let mut constraints = constraints.into_iter().flatten();
    let states_nothing = constraints.any(|constraint| {
        let selector = constraint["labelSelector"].as_object();
        let is_empty = |part: &Value| part.as_object().is_some_and(|labels| labels.is_empty());
        selector.is_some_and(|selector| selector.values().all(is_empty))
    });
    let spreads = !case.pod["spec"]["topologySpreadConstraints"].is_null();
    let promised: Vec<&Value> = case
        .objects_of("Pod")
        .filter(|pod| {
            let promise = &pod["status"]["nominatedNodeName"];
            pod["spec"]["nodeName"].is_null() && judged.map_or(promise.is_string(), |node| promise == node)
        })
        .collect();
    let terminating = promised
        .iter()
        .any(|pod| !pod["metadata"]["deletionTimestamp"].is_null());
    spreads && !promised.is_empty() && (states_nothing || terminating || promised.len() > 1)
}
