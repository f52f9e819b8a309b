//! Draws the view. What does not fit is left out: at 80 columns one pane is shown, on wide terminals all three.

use super::rows::{Mood, Pane, Row};
use super::summary;
use super::view::{Over, View};
use crate::explain;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row as TableRow, Table};

/// From here on all panes are shown side by side.
const WIDE: u16 = 150;
/// What the first column must have, or the last one is left out.
const NAME_MIN: u16 = 16;
/// Lines for why the selected row waits.
const CAUSE_LINES: u16 = 2;
/// The column of what the lines over the panes are about.
const LABEL: usize = 12;

const HELP: [(&str, &str); 11] = [
    ("Enter", "explain the pod or the group that is selected"),
    ("j k, arrows", "select the next one, the one before"),
    ("PgDn PgUp", "a page down, a page up; g and G: the first, the last"),
    (
        "Tab",
        "the next pane; on narrow terminals it takes the place of the other",
    ),
    ("/", "show only what has these letters in it; Esc clears, Enter keeps"),
    ("s", "sort by the next column, in the end by wait or deadline again"),
    ("r", "ask now"),
    ("?", "this"),
    (
        "q, Esc",
        "end; close what lies over the panes, or clear the filter, first",
    ),
    ("Ctrl-C", "end, whatever is open"),
    ("bars", "█ bound  ▓ with a place  ░ needed to start  · more members"),
];

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, view: &mut View) {
    let head = head(view);
    let rows = Layout::vertical([
        Constraint::Length(u16::try_from(head.len()).unwrap_or(u16::MAX)),
        Constraint::Min(0),
        Constraint::Length(1),
    ]);
    let [top, middle, bottom] = rows.areas(frame.area());
    frame.render_widget(Paragraph::new(head), top);
    match view.over {
        Over::Nothing => panes(frame, middle, view),
        Over::Help => help(frame, middle, view),
        Over::Explanation { .. } => explanation(frame, middle, view),
    }
    frame.render_widget(Paragraph::new(foot(view)), bottom);
}

/// The lines over the panes.
fn head(view: &View) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled(format!("muster top: {}", view.about), bold())];
    if let Some(answer) = &view.answer {
        for (what, said) in summary::lines(answer, &view.history) {
            lines.push(Line::from(vec![
                Span::styled(format!("{what:<LABEL$}"), view.coloured(Color::Cyan)),
                Span::raw(said),
            ]));
        }
    } else if view.trouble.is_none() {
        lines.push(Line::raw("asking…"));
    }
    if let Some(trouble) = &view.trouble {
        let seconds = trouble.again_in.as_secs_f64();
        let line = format!("{} (asked again within {seconds:.0}s)", trouble.line);
        lines.push(Line::styled(
            line,
            view.coloured(Color::Red).add_modifier(Modifier::BOLD),
        ));
    }
    lines
}

fn foot(view: &View) -> Line<'static> {
    let keys = match view.over {
        Over::Nothing if view.types => return Line::styled(format!("/{}_", view.filter), bold()),
        Over::Nothing => "q quit  Enter explain  Tab pane  / filter  s sort  r ask now  ? help",
        Over::Help => "any key: back",
        Over::Explanation { .. } => "Esc back  j k PgDn PgUp scroll  r ask again",
    };
    if view.filter.is_empty() {
        return Line::styled(keys, dim());
    }
    Line::from(vec![
        Span::styled(format!("/{} ", view.filter), bold()),
        Span::styled(keys, dim()),
    ])
}

fn panes(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let [tables, cause] = Layout::vertical([Constraint::Min(0), Constraint::Length(CAUSE_LINES)]).areas(area);
    if area.width < WIDE {
        pane(frame, tables, view, view.pane, &Pane::ALL);
    } else {
        let halves = [Constraint::Percentage(52), Constraint::Percentage(48)];
        let [left, right] = Layout::horizontal(halves).spacing(2).areas(tables);
        let [upper, lower] = Layout::vertical([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(right);
        for (of, area) in Pane::ALL.into_iter().zip([left, upper, lower]) {
            pane(frame, area, view, of, &[of]);
        }
    }
    let said = view.selected().map_or_else(String::new, |row| row.cause);
    frame.render_widget(Paragraph::new(wrapped(&said, cause.width)), cause);
}

/// Draws a pane, under the titles of these.
fn pane(frame: &mut Frame<'_>, area: Rect, view: &mut View, pane: Pane, titles: &[Pane]) {
    let block = Block::new().borders(Borders::TOP).title(title(view, titles));
    let rows = view.rows(pane);
    let columns = columns(pane, area.width);
    let header = columns.iter().enumerate().map(|(at, (name, _))| {
        let sorted = view.sort(pane) == Some(at);
        let style = if sorted {
            bold().add_modifier(Modifier::UNDERLINED)
        } else {
            bold()
        };
        Cell::new(*name).style(style)
    });
    let widths = columns.iter().map(|(_, width)| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(*width),
    });
    let has_keys = view.pane == pane;
    let table = Table::new(rows.iter().map(|row| table_row(view, row, columns.len())), widths)
        .header(TableRow::new(header))
        .block(block)
        .row_highlight_style(if has_keys {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        });
    if has_keys {
        // Less the border and the header.
        view.page = usize::from(area.height.saturating_sub(2)).max(1);
    }
    frame.render_stateful_widget(table, area, &mut view.pane_state(pane).table);
}

/// How many each of these panes shows, and which has the keys.
fn title(view: &View, of: &[Pane]) -> Line<'static> {
    let spans = of.iter().flat_map(|pane| {
        let total = view.answer.as_ref().map_or(0, |answer| pane.total(answer));
        let shown = view.rows(*pane).len();
        let counts = if shown == total {
            total.to_string()
        } else {
            format!("{shown} of {total}")
        };
        let style = if *pane == view.pane {
            bold().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        [
            Span::styled(format!(" {} {counts} ", pane.title()), style),
            Span::raw("─"),
        ]
    });
    Line::from(spans.collect::<Vec<_>>())
}

/// Those that there is room for.
fn columns(pane: Pane, width: u16) -> &'static [(&'static str, u16)] {
    let all = pane.columns();
    let fits = |columns: &&[(&str, u16)]| {
        let taken: u16 = columns.iter().map(|(_, width)| *width).sum();
        // One between each two.
        let between = u16::try_from(columns.len()).unwrap_or(u16::MAX).saturating_sub(1);
        taken.saturating_add(between).saturating_add(NAME_MIN) <= width
    };
    let shorter = (1..=all.len()).rev().map(|n| &all[..n]);
    shorter.into_iter().find(fits).unwrap_or(&all[..1])
}

fn table_row(view: &View, row: &Row, columns: usize) -> TableRow<'static> {
    let colour = match row.mood {
        Mood::Well => Color::Green,
        Mood::Waits => Color::Yellow,
        Mood::Wrong => Color::Red,
    };
    let cells = row.cells.iter().take(columns).enumerate().map(|(at, cell)| {
        let style = if at == 0 { Style::new() } else { view.coloured(colour) };
        Cell::new(cell.text.clone()).style(style)
    });
    TableRow::new(cells)
}

fn help(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let lines = HELP.map(|(key, what)| {
        Line::from(vec![
            Span::styled(
                format!("  {key:<14}"),
                view.coloured(Color::Cyan).add_modifier(Modifier::BOLD),
            ),
            Span::raw(what),
        ])
    });
    let block = Block::new().borders(Borders::TOP).title(Line::styled(" Keys ", bold()));
    frame.render_widget(Paragraph::new(lines.to_vec()).block(block), area);
}

fn explanation(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    view.page = height;
    let Over::Explanation { subject, said, scroll } = &mut view.over else {
        return;
    };
    let text = match said {
        None => "asking…".to_owned(),
        Some(Err(line)) => line.clone(),
        Some(Ok(document)) => explain::text::text(document, area.width >= WIDE),
    };
    let lines = wrapped(&text, area.width).lines;
    *scroll = (*scroll).min(lines.len().saturating_sub(height));
    let shown: Vec<Line<'_>> = lines.into_iter().skip(*scroll).take(height).collect();
    let block = Block::new()
        .borders(Borders::TOP)
        .title(Line::styled(format!(" {subject} "), bold()));
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

/// In lines of this width; what goes on in the next line is indented like what it goes on from.
fn wrapped(text: &str, width: u16) -> Text<'static> {
    let lines = text.lines().flat_map(|line| {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let indent = " ".repeat(indent.min(usize::from(width) / 2) + 2);
        let options = textwrap::Options::new(usize::from(width).max(1)).subsequent_indent(&indent);
        textwrap::wrap(line, options)
            .into_iter()
            .map(|line| Line::raw(line.into_owned()))
            .collect::<Vec<_>>()
    });
    Text::from(lines.collect::<Vec<_>>())
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

impl View {
    /// In this colour, where there are any.
    fn coloured(&self, colour: Color) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}
