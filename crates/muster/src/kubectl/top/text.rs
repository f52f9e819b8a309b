//! One answer as text, for who has no terminal to watch it on.

use super::rates::History;
use super::rows::Pane;
use super::summary;
use crate::kubectl::table::{Column, Table};
use crate::overview::document::Document;
use std::fmt::Write as _;

/// The lines over the panes, and a table for each pane that has rows.
pub(super) fn text(answer: &Document) -> String {
    let mut history = History::default();
    history.take(answer);
    let mut out = String::new();
    for (what, said) in summary::lines(answer, &history) {
        let _ = writeln!(out, "{:<13}{said}", format!("{what}:"));
    }
    for pane in Pane::ALL {
        let rows = pane.rows(answer);
        if rows.is_empty() {
            continue;
        }
        let headers = pane.columns().iter().map(|(name, _)| *name).chain(["CAUSE"]);
        let has_causes = rows.iter().any(|row| !row.cause.is_empty());
        let headers = headers.take(pane.columns().len() + usize::from(has_causes));
        let mut table = Table::new(headers.map(Column::of).collect());
        for row in &rows {
            let cells = row.cells.iter().map(|cell| cell.text.clone());
            table.row(cells.chain(has_causes.then(|| one_line(&row.cause))));
        }
        let _ = write!(out, "\n{}", table.render(true));
        let more = pane.total(answer) - rows.len();
        if more > 0 {
            let _ = writeln!(out, "({more} more)");
        }
    }
    out
}

/// Whoever may say what a cause is (an extender, an API server) must not move the cursor.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}
