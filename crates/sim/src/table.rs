//! A report for people: plain columns as `kubectl` prints them, and the reasons of those who wait in full.

use crate::report::{Amount, Entry, GroupRow, NodeRow, PodRow, Report, State};
use crate::span::Span;
use muster_engine::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Tables of up to so many rows are shown whole.
const SHORT: usize = 24;
/// So many lines of a long timeline are shown.
const TIMELINE: usize = 40;
/// So many names stand below a reason.
const NAMES: usize = 4;

/// The report as text. `wide` shows every row, and more columns.
pub fn table(report: &Report, wide: bool) -> String {
    let mut text = String::new();
    let sections = [
        columns(&pods(report, wide)),
        columns(&groups(&report.groups)),
        columns(&nodes(&report.nodes, wide)),
        timeline(&report.timeline, wide),
        refused(report),
        reasons(report, wide),
        summary(report),
    ];
    for section in sections.iter().filter(|section| !section.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(section);
    }
    text
}

/// Rows as aligned columns; the first row is the header, and alone it is nothing.
fn columns(rows: &[Vec<String>]) -> String {
    if rows.len() < 2 {
        return String::new();
    }
    aligned(rows)
}

/// Rows as aligned columns, three spaces apart; no line ends in spaces.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text.to_owned()
    }
}

fn pods(report: &Report, wide: bool) -> Vec<Vec<String>> {
    let pods = &report.pods;
    let mut names = vec![
        "NAMESPACE",
        "NAME",
        "GROUP",
        "STATE",
        "NODE",
        "CREATED",
        "BOUND",
        "WAIT",
    ];
    if wide {
        names.extend(["ENDED", "PRIORITY", "SCHEDULER", "OWNER", "REASON"]);
    }
    let mut rows = vec![header(&names)];
    if wide || pods.len() <= SHORT {
        rows.extend(pods.iter().map(|pod| pod_row(pod, wide, report.at_rest)));
        return rows;
    }
    // In the order in which the first of each sort stands in the list.
    let mut sorts: Vec<Vec<&PodRow>> = Vec::new();
    let mut places = BTreeMap::new();
    for pod in pods {
        // Pods on their own that differ in nothing but name and node are as good as twins.
        let place = *places
            .entry((&pod.namespace, &pod.owner, &pod.group, pod.state))
            .or_insert(sorts.len());
        match sorts.get_mut(place) {
            Some(sort) => sort.push(pod),
            None => sorts.push(vec![pod]),
        }
    }
    rows.extend(sorts.iter().map(|sort| {
        if let [pod] = &sort[..] {
            pod_row(pod, false, report.at_rest)
        } else {
            folded_pods(sort, report.at_rest)
        }
    }));
    rows
}

fn pod_row(pod: &PodRow, wide: bool, at_rest: bool) -> Vec<String> {
    let time = |time: &Option<_>| time.map_or("<none>".to_owned(), |time: crate::report::Moment| time.to_string());
    let mut row = vec![
        pod.namespace.to_string(),
        pod.name.to_string(),
        or_none(pod.group.as_deref().unwrap_or_default()),
        pod.state.name().to_owned(),
        or_none(pod.node.as_deref().unwrap_or_default()),
        pod.created_at.to_string(),
        time(&pod.bound_at),
        wait(pod, at_rest),
    ];
    if wide {
        row.extend([
            time(&pod.finished_at),
            pod.priority.to_string(),
            pod.scheduler.to_string(),
        ]);
        row.extend([or_none(&pod.owner), or_none(&pod.reason)]);
    }
    row
}

fn folded_pods(pods: &[&PodRow], at_rest: bool) -> Vec<String> {
    let Some((first, last)) = pods.first().zip(pods.last()) else {
        return Vec::new();
    };
    let name = match first.owner.is_empty() {
        true => format!("{} … {} ({})", first.name, last.name, pods.len()),
        false => format!("{}/* ({})", short_owner(&first.owner), pods.len()),
    };
    let nodes: BTreeSet<_> = pods.iter().filter_map(|pod| pod.node.as_deref()).collect();
    let node = match nodes.len() {
        0 => "<none>".to_owned(),
        1 => nodes.first().copied().unwrap_or_default().to_owned(),
        many => format!("{many} nodes"),
    };
    let bound: Vec<Time> = pods
        .iter()
        .filter_map(|pod| pod.bound_at)
        .map(|moment| moment.0)
        .collect();
    let created: Vec<Time> = pods.iter().map(|pod| pod.created_at.0).collect();
    let longest = pods.iter().max_by_key(|pod| pod.wait).unwrap_or(first);
    let longest = wait(longest, at_rest);
    vec![
        first.namespace.to_string(),
        name,
        or_none(first.group.as_deref().unwrap_or_default()),
        first.state.name().to_owned(),
        node,
        range(&created),
        range(&bound),
        if first.bound_at.is_some() {
            format!("≤{longest}")
        } else {
            longest
        },
    ]
}

/// How long a pod waited. At rest, one that waits does so for ever.
fn wait(pod: &PodRow, at_rest: bool) -> String {
    if at_rest && matches!(pod.state, State::Waiting | State::NotOurs) {
        "forever".to_owned()
    } else {
        span(pod.wait.0)
    }
}

/// `Job default/train` as `job/train`: its namespace has a column of its own.
fn short_owner(owner: &str) -> String {
    let (kind, path) = owner.split_once(' ').unwrap_or(("", owner));
    let name = path.rsplit('/').next().unwrap_or(path);
    format!("{}/{name}", kind.to_lowercase())
}

fn range(times: &[Time]) -> String {
    match (times.iter().min(), times.iter().max()) {
        (Some(first), Some(last)) if first == last => first.to_string(),
        (Some(first), Some(last)) => format!("{first}–{last}"),
        _ => "<none>".to_owned(),
    }
}

fn span(time: Time) -> String {
    Span(time.since(Time::ZERO)).to_string()
}

fn groups(groups: &[GroupRow]) -> Vec<Vec<String>> {
    let mut rows = vec![header(&["GROUP", "POLICY", "BOUND", "MINIMUM", "MEMBERS", "STARTED"])];
    rows.extend(groups.iter().map(|group| {
        vec![
            group.name.clone(),
            group.policy.to_owned(),
            group.bound.to_string(),
            group.minimum.map_or("<none>".to_owned(), |minimum| minimum.to_string()),
            group.members.to_string(),
            group
                .started_at
                .map_or("<none>".to_owned(), |moment| moment.to_string()),
        ]
    }));
    rows
}

fn nodes(nodes: &[NodeRow], wide: bool) -> Vec<Vec<String>> {
    let extended: BTreeSet<&str> = nodes
        .iter()
        .flat_map(|node| node.resources.iter().skip(2))
        .map(|amount| &*amount.resource)
        .collect();
    let mut names = header(&["NODE", "PODS", "CPU", "MEMORY"]);
    names.extend(extended.iter().map(|name| name.to_uppercase()));
    let mut rows = vec![names];
    let cells = |node: &NodeRow| {
        let mut cells = vec![format!("{}/{}", node.pods, node.allowed_pods)];
        let of = |name: &str| node.resources.iter().find(|amount| &*amount.resource == name);
        for name in ["cpu", "memory"].into_iter().chain(extended.iter().copied()) {
            cells.push(
                of(name).map_or("<none>".to_owned(), |Amount { used, allocatable, .. }| {
                    format!("{used}/{allocatable}")
                }),
            );
        }
        cells
    };
    let closed = |node: &NodeRow| if node.unschedulable { " (cordoned)" } else { "" };
    if wide || nodes.len() <= SHORT {
        rows.extend(nodes.iter().map(|node| {
            let mut row = vec![format!("{}{}", node.name, closed(node))];
            row.extend(cells(node));
            row
        }));
        return rows;
    }
    let mut sorts: BTreeMap<(bool, Vec<String>), Vec<&NodeRow>> = BTreeMap::new();
    for node in nodes {
        sorts.entry((node.unschedulable, cells(node))).or_default().push(node);
    }
    let mut sorts: Vec<_> = sorts.into_iter().collect();
    sorts.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
    for ((_, cells), nodes) in sorts {
        let name = match &nodes[..] {
            [node] => format!("{}{}", node.name, closed(node)),
            [first, .., last] => format!("{} … {} ({}){}", first.name, last.name, nodes.len(), closed(first)),
            [] => continue,
        };
        let mut row = vec![name];
        row.extend(cells);
        rows.push(row);
    }
    rows
}

fn timeline(entries: &[Entry], wide: bool) -> String {
    let shown = if wide {
        entries.len()
    } else {
        entries.len().min(TIMELINE)
    };
    let mut rows = vec![header(&["TIME", "WHAT HAPPENED"])];
    rows.extend(
        entries
            .iter()
            .take(shown)
            .map(|entry| vec![range(&[entry.from.0, entry.to.0]), entry.text.clone()]),
    );
    let mut text = columns(&rows);
    if shown < entries.len() {
        let _ = writeln!(text, "… and {} more (-o wide shows all)", entries.len() - shown);
    }
    text
}

fn refused(report: &Report) -> String {
    let mut text = String::new();
    for refused in &report.refused {
        let _ = writeln!(text, "refused at {}: {}", refused.at, refused.message);
    }
    text
}

/// Those who wait, by equal reason, the most common first.
fn reasons(report: &Report, wide: bool) -> String {
    let mut by_reason: BTreeMap<_, Vec<&PodRow>> = BTreeMap::new();
    for pod in report
        .pods
        .iter()
        .filter(|pod| matches!(pod.state, State::Waiting | State::NotOurs))
    {
        by_reason.entry((&pod.reason, &pod.message)).or_default().push(pod);
    }
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, pods)| std::cmp::Reverse(pods.len()));
    let mut text = String::new();
    for ((reason, message), pods) in by_reason {
        let wait = if pods.len() == 1 { "pod waits" } else { "pods wait" };
        let _ = writeln!(text, "{} {wait} ({reason}): {message}", pods.len());
        let shown = if wide { pods.len() } else { NAMES };
        let names: Vec<String> = pods
            .iter()
            .take(shown)
            .map(|pod| format!("{}/{}", pod.namespace, pod.name))
            .collect();
        let more = if shown < pods.len() {
            format!(" and {} more", pods.len() - shown)
        } else {
            String::new()
        };
        let _ = writeln!(text, "  {}{more}", names.join(", "));
    }
    text
}

fn summary(report: &Report) -> String {
    let totals = &report.totals;
    let end = if report.at_rest {
        "At rest since"
    } else {
        "Not at rest at"
    };
    let mut text = format!(
        "{end} {}: {} running, {} finished",
        report.ended_at, totals.running, totals.finished
    );
    let _ = write!(text, ", {} waiting", totals.waiting);
    if 0 < totals.not_ours {
        let _ = write!(text, ", {} for other schedulers", totals.not_ours);
    }
    if 0 < totals.deleted {
        let _ = write!(text, ", {} deleted on the way", totals.deleted);
    }
    let nodes = if totals.nodes == 1 { "node" } else { "nodes" };
    let _ = writeln!(text, "; {} {nodes}.", totals.nodes);
    text
}
