//! An explanation for people, in kubectl's manner: what `kubectl describe` would say, with tables where there are rows.

use super::document::{Document, Group, StageOf};
use crate::kubectl::table::{Column, Table};
use std::fmt::Write as _;

/// The text; `wide` names nodes, too.
pub(crate) fn text(document: &Document, wide: bool) -> String {
    let mut out = String::new();
    let mut field = |name: &str, value: &str| {
        let name = if name.is_empty() {
            String::new()
        } else {
            format!("{name}:")
        };
        let _ = writeln!(out, "{name:<11}{value}");
    };
    field("Name", &document.subject.name);
    field("Namespace", &document.subject.namespace);
    field("Kind", &document.subject.kind);
    // A group that no pod belongs to has none.
    if !document.scheduler_name.is_empty() {
        field("Scheduler", &document.scheduler_name);
    }
    field("Stage", &stage(&document.stage));
    if let Some(seconds) = document.waiting_seconds {
        field("Waiting", &format!("{seconds}s"));
    }
    if !document.reason.is_empty() {
        field("Reason", &document.reason);
    }
    field("Cause", &document.cause);
    if let Some(told) = told(document) {
        field("Told as", &told);
    }
    if let Some(group) = &document.group {
        field("Group", &quorum(group));
        for (what, names) in [
            ("gated", &group.gated),
            ("unsupported", &group.unsupported),
            ("lost", &group.lost),
            ("without a place", &group.without_place),
        ] {
            if !names.is_empty() {
                field("", &format!("{what}: {}", names.join(", ")));
            }
        }
    }
    out.push_str(&nodes(document, wide));
    out.push_str(&nearest(document));
    out.push_str(&remedies(document));
    out.push_str(&attempts(document));
    if !document.notes.is_empty() {
        out.push_str("\nNotes:\n");
        for note in &document.notes {
            let _ = writeln!(out, "  {note}");
        }
    }
    out
}

/// The reasons under which the cause is found where people look first.
fn told(document: &Document) -> Option<String> {
    let places = [
        ("condition", &document.condition_reason),
        ("event", &document.event_reason),
    ];
    let told = places.iter().filter(|(_, reason)| !reason.is_empty());
    let told: Vec<String> = told.map(|(place, reason)| format!("{place} {reason}")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

fn stage(stage: &StageOf) -> String {
    let mut more = Vec::new();
    more.extend(stage.by.as_ref().map(|by| format!("by {by}")));
    more.extend(
        stage
            .ahead
            .zip(stage.ready)
            .map(|(ahead, ready)| format!("{ahead} ahead, {ready} ready")),
    );
    more.extend(stage.ends_in_seconds.map(|seconds| match &*stage.name {
        "HoldingPlaces" => format!("until in {seconds}s at the latest"),
        _ => format!("tried again in {seconds}s"),
    }));
    if !stage.nodes.is_empty() {
        more.push(format!("on {}", stage.nodes.join(", ")));
    }
    match more.is_empty() {
        true => stage.name.clone(),
        false => format!("{} ({})", stage.name, more.join("; ")),
    }
}

fn quorum(group: &Group) -> String {
    let needed = group
        .min_count
        .map_or("an unknown number".to_owned(), |min| min.to_string());
    format!(
        "{}: {} members of {needed} needed, {} with a place, {} bound",
        group.name, group.members, group.with_places, group.bound
    )
}

fn indented(table: &Table) -> String {
    table.render(true).lines().map(|line| format!("  {line}\n")).collect()
}

fn nodes(document: &Document, wide: bool) -> String {
    let Some(nodes) = &document.nodes else {
        return String::new();
    };
    let others = match nodes.counting_others {
        0 => String::new(),
        n => format!(", beside the places of {n} others"),
    };
    let mut out = format!(
        "\nNodes: {} of {} could take pod {}{others}\n",
        nodes.feasible, nodes.total, nodes.pod
    );
    let mut columns = vec![Column::of("REJECTED BY"), Column::of("NODES"), Column::of("REASONS")];
    if wide {
        columns.push(Column::of("EXAMPLES"));
    }
    let mut table = Table::new(columns);
    for rejected in &nodes.rejected {
        let reasons = rejected
            .reasons
            .iter()
            .map(|reason| format!("{} {}", reason.nodes, reason.message));
        let mut row = vec![
            rejected.plugin.clone(),
            rejected.nodes.to_string(),
            reasons.collect::<Vec<_>>().join(", "),
        ];
        if wide {
            row.push(rejected.examples.join(", "));
        }
        table.row(row);
    }
    if !nodes.rejected.is_empty() {
        out.push_str(&indented(&table));
    }
    out
}

fn nearest(document: &Document) -> String {
    if document.nearest.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["NODE", "PLUGIN", "LACKS"].map(Column::of).into());
    for near in &document.nearest {
        for (at, lack) in near.lacks.iter().enumerate() {
            let node = if at == 0 { &*near.node } else { "" };
            table.row([node, &lack.plugin, &lack.message]);
        }
    }
    format!("\nNearest:\n{}", indented(&table))
}

fn remedies(document: &Document) -> String {
    if document.remedies.is_empty() {
        return String::new();
    }
    let mut out = "\nWhat would help (each of these alone; the smallest change first):\n".to_owned();
    for (at, remedy) in document.remedies.iter().enumerate() {
        let more = if remedy.proved { "" } else { " (needed; more may be)" };
        let _ = writeln!(out, "  {}. {}{more}", at + 1, remedy.text);
    }
    out
}

fn attempts(document: &Document) -> String {
    if document.attempts.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["AGO", "RESULT", "MESSAGE"].map(Column::of).into());
    for attempt in &document.attempts {
        table.row([
            format!("{}s", attempt.seconds_ago),
            attempt.result.clone(),
            attempt.message.clone(),
        ]);
    }
    format!("\nLast attempts:\n{}", indented(&table))
}
