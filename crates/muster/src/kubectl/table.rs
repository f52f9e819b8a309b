//! Tables as kubectl prints them: headers in capitals, columns three spaces apart, colour only on a terminal.

use std::io::IsTerminal as _;

/// What stands between two columns. Source: `k8s.io/cli-runtime/pkg/printers.GetNewTabWriter`.
const GAP: usize = 3;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column(&'static str);

impl Column {
    /// With this header.
    pub(crate) fn of(header: &'static str) -> Column {
        Column(header)
    }
}

/// How a cell is to catch the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
}

/// A cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, colour: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::from(text.to_owned())
    }
}

impl Cell {
    /// In this colour, where there are any.
    pub(crate) fn in_colour(self, colour: Colour) -> Cell {
        let colour = Some(colour);
        Cell { colour, ..self }
    }
}

/// Rows under headers.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    colours: bool,
}

impl Table {
    pub(crate) fn new(columns: Vec<Column>) -> Table {
        Table {
            columns,
            rows: Vec::new(),
            colours: false,
        }
    }

    /// With colours where the standard output is a terminal, and nobody has set NO_COLOR.
    pub(crate) fn with_colours_if_wanted(self) -> Table {
        Table {
            colours: colours_are_wanted(),
            ..self
        }
    }

    /// Adds a row of as many cells as there are columns.
    pub(crate) fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let cells: Vec<Cell> = cells.into_iter().map(Into::into).collect();
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The text. Widths are those of this table alone.
    pub(crate) fn render(&self, headers: bool) -> String {
        let headers = headers.then(|| self.columns.iter().map(|Column(name)| Cell::from(*name)).collect());
        let rows: Vec<&Vec<Cell>> = headers.iter().chain(&self.rows).collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut out = String::new();
        for row in rows {
            let mut pending = 0;
            for (cell, width) in row.iter().zip(&widths) {
                // Nothing follows the last text of a row.
                if !cell.text.is_empty() {
                    out.extend(std::iter::repeat_n(' ', pending));
                    self.push(&mut out, cell);
                    pending = 0;
                }
                pending += width + GAP - cell.text.chars().count();
            }
            out.push('\n');
        }
        out
    }

    fn push(&self, out: &mut String, cell: &Cell) {
        let code = match cell.colour.filter(|_| self.colours) {
            None => {
                out.push_str(&cell.text);
                return;
            }
            Some(Colour::Green) => "32",
            Some(Colour::Yellow) => "33",
            Some(Colour::Red) => "31",
        };
        out.extend(["\x1b[", code, "m", &cell.text, "\x1b[0m"]);
    }
}

/// Source: no-color.org. An empty NO_COLOR does not count.
/// Whether the standard output is a terminal, and nobody has set NO_COLOR.
pub(super) fn colours_are_wanted() -> bool {
    wants_colours(std::env::var_os("NO_COLOR").as_deref(), std::io::stdout().is_terminal())
}

fn wants_colours(no_color: Option<&std::ffi::OsStr>, terminal: bool) -> bool {
    terminal && no_color.is_none_or(std::ffi::OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["NAME", "STATUS", "AGE"].map(Column::of).into());
        table.row([
            Cell::from("train"),
            Cell::from("Waiting").in_colour(Colour::Yellow),
            Cell::from("5m3s"),
        ]);
        table.row(["x", "", ""]);
        table.row(["é", "", "1s"]);
        table
    }

    #[test]
    fn columns_are_aligned_and_lines_end_with_text() {
        assert_eq!(
            table().render(true),
            "NAME    STATUS    AGE\ntrain   Waiting   5m3s\nx\né                 1s\n"
        );
        assert!(table().render(false).starts_with("train   Waiting"));
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut table = table();
        table.colours = true;
        assert!(table.render(true).contains("train   \x1b[33mWaiting\x1b[0m   5m3s\n"));
    }

    #[test]
    fn colours_are_for_terminals_of_those_who_want_them() {
        let set = |text: &'static str| Some(std::ffi::OsStr::new(text));
        assert!(wants_colours(None, true) && wants_colours(set(""), true));
        assert!(!wants_colours(set("1"), true) && !wants_colours(None, false));
    }
}
