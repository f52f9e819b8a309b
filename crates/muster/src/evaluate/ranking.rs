//! Why there rather than there: the nodes in the order of their scores, and what sets the first two apart.

use muster_engine::{Evaluation, NodeScore};
use muster_framework::Text;

/// The nodes that can take the pod, the chosen one first, then by total, then by name.
pub(super) struct Ranking<'a>(Vec<(&'a Text, &'a NodeScore)>);

impl<'a> Ranking<'a> {
    pub(super) fn of(evaluation: &'a Evaluation) -> Ranking<'a> {
        let mut nodes: Vec<_> = evaluation.scores.iter().collect();
        let chosen = |name: &Text| evaluation.choice.as_ref() == Some(name);
        nodes.sort_by(|(a, a_score), (b, b_score)| {
            chosen(b)
                .cmp(&chosen(a))
                .then(b_score.total.cmp(&a_score.total))
                .then_with(|| a.cmp(b))
        });
        Ranking(nodes)
    }

    pub(super) fn nodes(&self) -> &[(&'a Text, &'a NodeScore)] {
        &self.0
    }

    /// Plugins by their place in the scores, and whether they tell the nodes apart.
    pub(super) fn plugins(&self) -> Vec<(&'a str, bool)> {
        let Some((_, first)) = self.0.first() else {
            return Vec::new();
        };
        let differs = |at: usize| {
            self.0
                .iter()
                .any(|(_, score)| score.plugins.get(at) != first.plugins.get(at))
        };
        let plugins = first.plugins.iter().enumerate();
        plugins.map(|(at, score)| (&*score.plugin, differs(at))).collect()
    }

    /// What speaks for the choice, in a sentence.
    pub(super) fn why(&self) -> Option<String> {
        let ((chosen, best), others) = self.0.split_first()?;
        let Some((second, runner_up)) = others.first() else {
            return Some(format!("{chosen} is the only node that can take it."));
        };
        let margin = best.total.saturating_sub(runner_up.total);
        if margin != 0 {
            return Some(format!(
                "{chosen} beats {second} by {margin}: {}.",
                margins(best, runner_up)
            ));
        }
        let equals = others.iter().filter(|(_, score)| score.total == best.total).count();
        let others = match equals {
            1 => second.to_string(),
            n => format!("{n} others"),
        };
        Some(format!(
            "{chosen} and {others} are equally good at {}: a hash of the pod's spec and the node's name decides.",
            best.total
        ))
    }
}

/// By which plugins a node is ahead, or behind: `NodeResourcesFit +8, ImageLocality -3`.
fn margins(best: &NodeScore, runner_up: &NodeScore) -> String {
    let pairs = best.plugins.iter().zip(&runner_up.plugins);
    let mut margins: Vec<(i64, &str)> = pairs
        .map(|(a, b)| (a.weighted.saturating_sub(b.weighted), &*a.plugin))
        .filter(|(margin, _)| *margin != 0)
        .collect();
    // Stable: equal margins stay in the order of the profile.
    margins.sort_by_key(|(margin, _)| std::cmp::Reverse(*margin));
    let margins = margins.iter().map(|(margin, plugin)| format!("{plugin} {margin:+}"));
    margins.collect::<Vec<_>>().join(", ")
}
