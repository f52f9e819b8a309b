//! What a person is told: the verdict in a sentence, the ranking of the nodes that fit, the reasons of those that do not.

use super::manifests::some_of;
use super::ranking::Ranking;
use muster_engine::{Code, Evaluation, NodeScore, Verdict};
use muster_sim::aligned;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So many nodes are listed one by one; more are ranked as far as that, and their reasons counted.
const SHORT: usize = 16;
/// The words of a plugin's name stand below each other in lines of this width.
const HEADER: usize = 10;
/// Lines are kept to about this width.
const WIDTH: usize = 100;

/// The verdict on a pod. `all` lists every node.
pub(super) fn table(pod: &str, evaluation: &Evaluation, all: bool) -> String {
    let mut text = wrapped(&format!("{pod}: {}", headline(evaluation)));
    for section in [ranking(evaluation, all), refusals(evaluation, all)] {
        if !section.is_empty() {
            text.push('\n');
            text.push_str(&section);
        }
    }
    text
}

fn headline(evaluation: &Evaluation) -> String {
    if let Some(verdict) = &evaluation.pre_enqueue {
        let reasons = verdict.reasons.join("; ");
        return format!("it would not be tried. {} holds it back: {reasons}", verdict.plugin);
    }
    if let Some(no_node) = &evaluation.no_node {
        return no_node.clone();
    }
    let (n, of) = (evaluation.scores.len(), evaluation.nodes.len());
    let nodes = if of == 1 { "node" } else { "nodes" };
    let choice = evaluation.choice.as_deref().unwrap_or_default();
    format!("{n} of {of} {nodes} can take it, and it goes to {choice}.")
}

/// Nodes by total, with the plugins that tell them apart.
fn ranking(evaluation: &Evaluation, all: bool) -> String {
    let ranking = Ranking::of(evaluation);
    let nodes = ranking.nodes();
    if nodes.is_empty() {
        return String::new();
    }
    let plugins = ranking.plugins();
    let telling: Vec<usize> = (0..plugins.len()).filter(|at| plugins[*at].1).collect();
    let shown = if all { nodes.len() } else { nodes.len().min(SHORT) };
    let mut rows = header(&telling.iter().map(|at| plugins[*at].0).collect::<Vec<_>>());
    for (at, (name, score)) in nodes[..shown].iter().enumerate() {
        let mark = if at == 0 { "▸ " } else { "  " };
        let mut row = vec![format!("{mark}{name}"), score.total.to_string()];
        row.extend(telling.iter().map(|at| cell(score, *at)));
        rows.push(row);
    }
    let mut text = aligned(&rows);
    if shown < nodes.len() {
        let (more, last) = (nodes.len() - shown, nodes.last().map_or(0, |(_, score)| score.total));
        let _ = writeln!(text, "  … {more} more, down to {last}");
    }
    let same: Vec<String> = plugins
        .iter()
        .enumerate()
        .filter(|(_, (_, tells))| !tells)
        .filter_map(|(at, (name, _))| Some(format!("{name} {}", cell(nodes.first()?.1, at))))
        .collect();
    if nodes.len() > 1 && !same.is_empty() {
        text.push_str(&wrapped(&format!("The same for each: {}.", same.join(", "))));
    } else if !same.is_empty() {
        text.push_str(&wrapped(&format!("Its scores: {}.", same.join(", "))));
    }
    if let Some(why) = ranking.why() {
        text.push_str(&wrapped(&why));
    }
    text
}

/// What counts, and what the plugin said before normalising and weighting if that is something else.
fn cell(score: &NodeScore, at: usize) -> String {
    match score.plugins.get(at) {
        None => String::new(),
        Some(score) if score.raw == score.weighted => score.weighted.to_string(),
        Some(score) => format!("{} ({})", score.weighted, score.raw),
    }
}

/// Nodes that cannot take the pod: each with its reasons, or as many as have the same.
fn refusals(evaluation: &Evaluation, all: bool) -> String {
    let refused: Vec<(&str, &Verdict)> = evaluation
        .nodes
        .iter()
        .filter_map(|(name, verdict)| Some((&**name, verdict.as_ref()?)))
        .collect();
    if refused.is_empty() {
        return String::new();
    }
    let rows = if all || refused.len() <= SHORT {
        let mut rows = vec![["NODE", "REFUSED BY", "REASONS"].map(str::to_owned).to_vec()];
        rows.extend(refused.iter().map(|(name, verdict)| {
            vec![
                format!("  {name}"),
                refuser(verdict).to_owned(),
                verdict.reasons.join("; "),
            ]
        }));
        rows
    } else {
        grouped(&refused)
    };
    let mut text = aligned(&rows);
    let helps = refused
        .iter()
        .filter(|(_, verdict)| verdict.code == Code::Unschedulable)
        .count();
    if helps != 0 {
        let nodes = if helps == 1 { "node" } else { "nodes" };
        let _ = writeln!(text, "Fewer pods could make room on {helps} {nodes}.");
    }
    text
}

/// Equal reasons together, the most frequent first.
fn grouped(refused: &[(&str, &Verdict)]) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<(&str, &[String]), Vec<&str>> = BTreeMap::new();
    for (name, verdict) in refused {
        groups
            .entry((refuser(verdict), &verdict.reasons))
            .or_default()
            .push(name);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let mut rows = vec![["NODES", "REFUSED BY", "REASONS", "WHICH"].map(str::to_owned).to_vec()];
    rows.extend(groups.iter().map(|((plugin, reasons), names)| {
        vec![
            format!("  {}", names.len()),
            (*plugin).to_owned(),
            reasons.join("; "),
            some_of(names),
        ]
    }));
    rows
}

fn refuser(verdict: &Verdict) -> &str {
    match verdict.plugin {
        "" => "(not judged)",
        plugin => plugin,
    }
}

/// The rows above the ranking: `NODE`, `TOTAL` and the plugins, whose names take several lines.
fn header(plugins: &[&str]) -> Vec<Vec<String>> {
    let names: Vec<Vec<String>> = plugins.iter().map(|name| stacked(name)).collect();
    let height = names.iter().map(Vec::len).max().unwrap_or(1).max(1);
    (0..height)
        .map(|line| {
            let last = line + 1 == height;
            let fixed = ["  NODE", "TOTAL"].map(|title| if last { title } else { "" }.to_owned());
            let stacked = names.iter().map(|lines| {
                // They stand on the last line.
                let at = (line + lines.len()).checked_sub(height);
                at.and_then(|at| lines.get(at)).cloned().unwrap_or_default()
            });
            fixed.into_iter().chain(stacked).collect()
        })
        .collect()
}

/// `NodeResourcesBalancedAllocation` in lines of a few words.
fn stacked(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for letter in name.chars() {
        match words.last_mut() {
            Some(word) if !letter.is_uppercase() => word.push(letter),
            _ => words.push(letter.to_string()),
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() <= HEADER => line.push_str(&word),
            _ => lines.push(word),
        }
    }
    lines
}

/// A sentence in lines of the page's width.
fn wrapped(sentence: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if width != 0 && width + 1 + length > WIDTH {
            text.push_str("\n  ");
            width = 2;
        } else if width != 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += length;
    }
    text.push('\n');
    text
}
