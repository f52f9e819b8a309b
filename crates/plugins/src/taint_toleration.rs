//! TaintToleration: keeps pods off nodes whose taints they do not tolerate, and prefers nodes with fewer soft taints.
//!
//! Taints are judged once per distinct taint set.

use muster_framework::event::{ClusterEvent, EventKinds, Hint};
use muster_framework::node_match::bits_by_code;
use muster_framework::node_set::NodeSet;
use muster_framework::plugin::{Filter, Plugin, PodToPlace, Reads, Score, default_normalize};
use muster_framework::rejection::{Code, Reason, Rejections};
use muster_framework::taint::{Taint, TaintEffect, Toleration, tolerated};
use muster_framework::view::View;

/// The plugin. Source: `pkg/scheduler/framework/plugins/tainttoleration`.
#[derive(Debug)]
pub struct TaintToleration;

const REASON: Reason = Reason::Sentence("node(s) had untolerated taint(s)");

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

impl Filter for TaintToleration {
    fn filter(&self, pod: &PodToPlace<'_>, view: &View<'_>, nodes: &mut NodeSet, rejections: &mut Rejections) {
        let table = view.table();
        let keeps_off = |taint: &Taint| taint.effect.keeps_off() && !tolerated(&pod.spec.tolerations, taint);
        let sets = table.taint_sets();
        let good: Vec<bool> = sets.map(|taints| !taints.iter().any(keeps_off)).collect();
        if good.iter().any(|good| !good) {
            nodes.retain_blocks(
                |first| bits_by_code(table.taint_set_ids(), &good, first),
                |node| rejections.reject(node, Code::UnschedulableAndUnresolvable, REASON),
            );
        }
    }

    fn moved_by(&self) -> EventKinds {
        EventKinds::NODE_ADD.and(EventKinds::NODE_TAINTS)
    }

    fn hint(&self, _pod: &PodToPlace<'_>, event: &ClusterEvent, _view: &View<'_>) -> Hint {
        match event {
            ClusterEvent::NodeAdd(_) => Hint::OnEventNode,
            ClusterEvent::NodeUpdate { changes, .. } if changes.taints => Hint::OnEventNode,
            _ => Hint::Skip,
        }
    }

    fn reads(&self, _pod: &PodToPlace<'_>) -> Reads {
        Reads::Node
    }
}

/// How many soft taints the pod does not tolerate, by the id of each distinct set of taints.
fn intolerable<'a>(pod: &PodToPlace<'a>, view: &View<'a>) -> impl Iterator<Item = i64> {
    let tolerations = &pod.spec.tolerations;
    let soft = |t: &Toleration| t.effect.is_none_or(|effect| effect == TaintEffect::PreferNoSchedule);
    let tolerated = move |taint: &Taint| tolerations.iter().any(|t| soft(t) && t.tolerates(taint));
    let intolerable = move |taint: &&Taint| taint.effect == TaintEffect::PreferNoSchedule && !tolerated(taint);
    let sets = view.table().taint_sets();
    sets.map(move |taints| taints.iter().filter(&intolerable).count() as i64)
}

impl Score for TaintToleration {
    fn is_indifferent(&self, pod: &PodToPlace<'_>, view: &View<'_>) -> bool {
        intolerable(pod, view).all(|count| count == 0)
    }

    fn score(&self, pod: &PodToPlace<'_>, view: &View<'_>, _nodes: &NodeSet, scores: &mut [i64]) {
        let table = view.table();
        let counts: Vec<i64> = intolerable(pod, view).collect();
        if counts.iter().all(|count| *count == 0) {
            scores.fill(0);
            return;
        }
        for (score, id) in scores.iter_mut().zip(table.taint_set_ids()) {
            *score = counts[*id as usize];
        }
    }

    fn normalize(&self, _pod: &PodToPlace<'_>, _view: &View<'_>, nodes: &NodeSet, scores: &mut [i64]) {
        default_normalize(nodes, scores, true);
    }

    fn reads(&self, _pod: &PodToPlace<'_>, _view: &View<'_>) -> Reads {
        Reads::Node
    }

    fn normalizes(&self) -> bool {
        true
    }
}
