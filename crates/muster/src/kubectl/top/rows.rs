//! The rows of the three panes: what stands in them, and what they are sorted by.

use crate::kubectl::age;
use crate::overview::document::{Document, GroupOf, PlaceOf, PodOf};
use muster_engine::Subject;

/// Cells of the bar of a group.
const BAR: u32 = 10;

/// A pane of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Groups,
    Pods,
    Places,
}

impl Pane {
    /// In the order in which Tab goes through them.
    pub(super) const ALL: [Pane; 3] = [Pane::Groups, Pane::Pods, Pane::Places];

    /// The title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Pane::Groups => "Groups",
            Pane::Pods => "Pods",
            Pane::Places => "Places",
        }
    }

    /// The headers, and how many columns each cell takes; 0: what is left.
    pub(super) fn columns(self) -> &'static [(&'static str, u16)] {
        match self {
            Pane::Groups => &[
                ("GROUP", 0),
                ("", BAR as u16),
                ("PLACED/MIN/ALL", 14),
                ("STATE", 17),
                ("WAIT", 6),
                ("TRIES", 5),
            ],
            Pane::Pods => &[
                ("POD", 0),
                ("QUEUE", 13),
                ("WAIT", 6),
                ("TRIES", 5),
                ("BACKOFF", 7),
                ("PRIORITY", 11),
            ],
            Pane::Places => &[("POD", 0), ("GROUP", 18), ("NODE", 18), ("STAGE", 9), ("ENDS IN", 7)],
        }
    }

    /// How many there are in all, listed or not.
    pub(super) fn total(self, answer: &Document) -> usize {
        match self {
            Pane::Groups => answer.groups.total(),
            Pane::Pods => answer.pods.total(),
            Pane::Places => answer.places.total(),
        }
    }

    /// Those that are listed, in the order of the answer.
    pub(super) fn rows(self, answer: &Document) -> Vec<Row> {
        match self {
            Pane::Groups => answer.groups.items.iter().map(group).collect(),
            Pane::Pods => answer.pods.items.iter().map(pod).collect(),
            Pane::Places => answer.places.items.iter().map(place).collect(),
        }
    }
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Waits,
    Wrong,
}

/// What a cell is sorted by: numbers from high to low, texts from A to Z, in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Number(std::cmp::Reverse<i64>),
    Text(String),
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) key: Key,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// What Enter explains.
    pub(super) subject: Subject,
    /// As many as the pane has columns.
    pub(super) cells: Vec<Cell>,
    pub(super) mood: Mood,
    /// Why it waits: the reason in one word, and the sentence.
    pub(super) cause: String,
}

impl Row {
    /// Whether one of its cells, or its cause, has this in it, whatever the case.
    pub(super) fn has(&self, lower_case: &str) -> bool {
        let texts = self.cells.iter().map(|cell| &cell.text).chain([&self.cause]);
        texts.into_iter().any(|text| text.to_lowercase().contains(lower_case))
    }
}

fn group(group: &GroupOf) -> Row {
    let needed = group.min_count.map_or("-".to_owned(), |min| min.to_string());
    Row {
        subject: Subject::Group {
            namespace: (&*group.namespace).into(),
            name: (&*group.name).into(),
        },
        cells: vec![
            text(format!("{}/{}", group.namespace, group.name)),
            number(bar(group), group.with_places),
            number(
                format!("{}/{needed}/{}", group.with_places, group.members),
                group.with_places,
            ),
            text(group.stage.clone()),
            wait(group.waiting_seconds),
            number(group.attempts.to_string(), group.attempts),
        ],
        mood: match (&*group.reason, group.waiting_seconds) {
            ("Broken" | "ApiErrors" | "PolicyInvalid" | "Unsupported", _) => Mood::Wrong,
            ("", None) => Mood::Well,
            _ => Mood::Waits,
        },
        cause: cause(&group.reason, &group.cause),
    }
}

/// Bound `█`, with a place `▓`, needed to start `░`, others `·`.
fn bar(group: &GroupOf) -> String {
    let needed = group.min_count.unwrap_or(0);
    let all = group.members.max(needed).max(group.with_places).max(1);
    // Rounded down: only what is whole looks whole.
    let cells = |members: u32| (u64::from(members.min(all)) * u64::from(BAR) / u64::from(all)) as u32;
    let upto = [
        ('█', cells(group.bound.min(group.with_places))),
        ('▓', cells(group.with_places)),
        ('░', cells(needed)),
        ('·', BAR),
    ];
    let mut bar = String::new();
    let mut drawn = 0;
    for (symbol, end) in upto {
        bar.extend((drawn..end.max(drawn)).map(|_| symbol));
        drawn = drawn.max(end);
    }
    bar
}

fn pod(pod: &PodOf) -> Row {
    Row {
        subject: Subject::Pod {
            namespace: (&*pod.namespace).into(),
            name: (&*pod.name).into(),
        },
        cells: vec![
            text(format!("{}/{}", pod.namespace, pod.name)),
            text(pod.section.clone()),
            wait(Some(pod.waiting_seconds)),
            number(pod.attempts.to_string(), pod.attempts),
            wait(Some(pod.backoff_seconds).filter(|left| *left > 0)),
            number(pod.priority.to_string(), pod.priority),
        ],
        mood: match &*pod.section {
            "active" => Mood::Well,
            _ => Mood::Waits,
        },
        cause: cause(&pod.reason, &pod.cause),
    }
}

fn place(place: &PlaceOf) -> Row {
    // The nearest end comes first, and what has none last.
    let ends_in = place.ends_in_seconds.map_or(i64::MAX, clamped);
    Row {
        subject: Subject::Pod {
            namespace: (&*place.namespace).into(),
            name: (&*place.pod).into(),
        },
        cells: vec![
            text(format!("{}/{}", place.namespace, place.pod)),
            text(place.group.clone()),
            text(place.node.clone()),
            text(place.stage.clone()),
            Cell {
                key: Key::Number(std::cmp::Reverse(-ends_in)),
                ..wait(place.ends_in_seconds)
            },
        ],
        mood: match &*place.stage {
            "Reading" => Mood::Wrong,
            "Confirmed" => Mood::Well,
            _ => Mood::Waits,
        },
        cause: String::new(),
    }
}

fn text(text: String) -> Cell {
    Cell {
        key: Key::Text(text.clone()),
        text,
    }
}

fn number(text: String, number: impl Into<i64>) -> Cell {
    Cell {
        text,
        key: Key::Number(std::cmp::Reverse(number.into())),
    }
}

fn wait(seconds: Option<u64>) -> Cell {
    let seconds = seconds.map(clamped);
    number(seconds.map_or("-".to_owned(), age::of_seconds), seconds.unwrap_or(-1))
}

fn clamped(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn cause(reason: &str, cause: &str) -> String {
    match (reason, cause) {
        ("", cause) => cause.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, cause) => format!("{reason}: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bound: u32, with_places: u32, min_count: Option<u32>, members: u32) -> GroupOf {
        GroupOf {
            bound,
            with_places,
            min_count,
            members,
            ..GroupOf::default()
        }
    }

    #[test]
    fn bars_show_bound_placed_and_needed() {
        for (group, expected) in [
            (of(0, 0, Some(4), 4), "░░░░░░░░░░"),
            (of(2, 4, Some(8), 10), "██▓▓░░░░··"),
            (of(8, 8, Some(8), 8), "██████████"),
            (of(0, 0, Some(4), 1), "░░░░░░░░░░"),
            (of(1, 1, None, 2), "█████·····"),
            (of(999, 999, Some(1000), 1000), "█████████░"),
            (of(0, 0, None, 0), "··········"),
            (of(u32::MAX, u32::MAX, Some(u32::MAX), u32::MAX), "██████████"),
        ] {
            assert_eq!(bar(&group), expected, "{group:?}");
        }
    }
}
