//! What is looked at, and what keys do to it. It draws nothing and asks nobody.

use super::rates::History;
use super::rows::{Pane, Row};
use crate::explain::document::Document as Explanation;
use crate::overview::document::Document;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use muster_engine::Subject;
use ratatui::widgets::TableState;
use std::time::Duration;

/// Why there is no answer, and when it is asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) line: String,
    pub(super) again_in: Duration,
}

/// What a key asks of whoever runs the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// The end.
    Quit,
    /// An answer now.
    Refresh,
    /// The explanation of this.
    Explain(Subject),
}

/// What lies over the panes.
#[derive(Debug)]
pub(super) enum Over {
    Nothing,
    Help,
    Explanation {
        subject: Subject,
        /// None: it is on its way. Or why there is none.
        said: Option<Result<Box<Explanation>, String>>,
        /// The first line that is shown.
        scroll: usize,
    },
}

/// How a pane is looked at.
#[derive(Debug, Default)]
pub(super) struct PaneState {
    pub(super) table: TableState,
    /// What is selected, wherever it stands in the next answer.
    selected: Option<Subject>,
    /// The column that it is sorted by. None: as the answer has it, the longest wait or the nearest deadline first.
    sort: Option<usize>,
}

/// The whole view.
#[derive(Debug)]
pub(super) struct View {
    /// What is looked at, for the title.
    pub(super) about: String,
    pub(super) colours: bool,
    pub(super) answer: Option<Document>,
    pub(super) history: History,
    pub(super) trouble: Option<Trouble>,
    pub(super) pane: Pane,
    panes: [PaneState; Pane::ALL.len()],
    /// In lower case; empty: everything is shown.
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) types: bool,
    pub(super) over: Over,
    /// Lines of a page, as last drawn.
    pub(super) page: usize,
}

impl View {
    /// Before the first answer.
    pub(super) fn new(about: String, colours: bool) -> View {
        View {
            about,
            colours,
            answer: None,
            history: History::default(),
            trouble: None,
            pane: Pane::Groups,
            panes: Default::default(),
            filter: String::new(),
            types: false,
            over: Over::Nothing,
            page: 1,
        }
    }

    /// Takes in an answer.
    pub(super) fn take(&mut self, answer: Document) {
        self.history.take(&answer);
        self.answer = Some(answer);
        self.trouble = None;
        self.settle();
    }

    /// No answer came. What was seen last stays.
    pub(super) fn fail(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
    }

    /// Takes in an explanation, or why there is none; it may have been closed meanwhile.
    pub(super) fn explain(&mut self, of: &Subject, answer: Result<Explanation, String>) {
        if let Over::Explanation { subject, said, .. } = &mut self.over
            && subject == of
        {
            *said = Some(answer.map(Box::new));
        }
    }

    /// What a pane shows, filtered and sorted.
    pub(super) fn rows(&self, pane: Pane) -> Vec<Row> {
        let mut rows = self.answer.as_ref().map_or_else(Vec::new, |answer| pane.rows(answer));
        rows.retain(|row| row.has(&self.filter));
        if let Some(column) = self.sort(pane) {
            rows.sort_by(|a, b| a.cells[column].key.cmp(&b.cells[column].key));
        }
        rows
    }

    /// The column that a pane is sorted by.
    pub(super) fn sort(&self, pane: Pane) -> Option<usize> {
        self.panes[pane as usize].sort
    }

    /// How a pane is looked at, for who draws it.
    pub(super) fn pane_state(&mut self, pane: Pane) -> &mut PaneState {
        &mut self.panes[pane as usize]
    }

    /// The row that is selected in the pane that has the keys.
    pub(super) fn selected(&self) -> Option<Row> {
        let at = self.panes[self.pane as usize].table.selected()?;
        self.rows(self.pane).into_iter().nth(at)
    }

    /// Finds what is selected where it stands now; if it is gone, what stands in its place.
    fn settle(&mut self) {
        for pane in Pane::ALL {
            let rows = self.rows(pane);
            let state = self.pane_state(pane);
            let before = state.table.selected().unwrap_or(0);
            let found = rows
                .iter()
                .position(|row| Some(&row.subject) == state.selected.as_ref());
            let at = found.unwrap_or(before).min(rows.len().saturating_sub(1));
            state.selected = rows.get(at).map(|row| row.subject.clone());
            state.table.select(state.selected.is_some().then_some(at));
        }
    }

    fn select(&mut self, at: usize) {
        let rows = self.rows(self.pane);
        let at = at.min(rows.len().saturating_sub(1));
        let state = self.pane_state(self.pane);
        state.selected = rows.get(at).map(|row| row.subject.clone());
        state.table.select(state.selected.is_some().then_some(at));
    }

    /// Does what a key says, or tells what it wishes.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Some(Wish::Quit);
        }
        if self.types {
            self.type_filter(key.code, control);
            return None;
        }
        match self.over {
            Over::Nothing => self.key_in_panes(key.code),
            Over::Help => {
                self.over = Over::Nothing;
                None
            }
            Over::Explanation { .. } => self.key_in_explanation(key.code),
        }
    }

    fn type_filter(&mut self, code: KeyCode, control: bool) {
        match code {
            KeyCode::Esc => {
                self.filter.clear();
                self.types = false;
            }
            KeyCode::Enter => self.types = false,
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) if !control => self.filter.extend(letter.to_lowercase()),
            _ => {}
        }
        self.settle();
    }

    fn key_in_panes(&mut self, code: KeyCode) -> Option<Wish> {
        let at = self.panes[self.pane as usize].table.selected().unwrap_or(0);
        match code {
            KeyCode::Char('q') => return Some(Wish::Quit),
            KeyCode::Esc if self.filter.is_empty() => return Some(Wish::Quit),
            KeyCode::Esc => {
                self.filter.clear();
                self.settle();
            }
            KeyCode::Char('r') => return Some(Wish::Refresh),
            KeyCode::Char('?') => self.over = Over::Help,
            KeyCode::Char('/') => self.types = true,
            KeyCode::Char('s') => self.sort_by_next_column(),
            KeyCode::Tab => self.turn_to(1),
            KeyCode::BackTab => self.turn_to(Pane::ALL.len() - 1),
            KeyCode::Enter => return self.explain_selected(),
            _ => {
                if let Some(at) = moved(code, at, self.page) {
                    self.select(at);
                }
            }
        }
        None
    }

    fn key_in_explanation(&mut self, code: KeyCode) -> Option<Wish> {
        let page = self.page;
        let Over::Explanation { subject, said, scroll } = &mut self.over else {
            return None;
        };
        match code {
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => self.over = Over::Nothing,
            KeyCode::Char('r') => {
                *said = None;
                return Some(Wish::Explain(subject.clone()));
            }
            _ => {
                if let Some(to) = moved(code, *scroll, page) {
                    *scroll = to;
                }
            }
        }
        None
    }

    fn explain_selected(&mut self) -> Option<Wish> {
        let subject = self.selected()?.subject;
        self.over = Over::Explanation {
            subject: subject.clone(),
            said: None,
            scroll: 0,
        };
        Some(Wish::Explain(subject))
    }

    fn turn_to(&mut self, steps: usize) {
        self.pane = Pane::ALL[(self.pane as usize + steps) % Pane::ALL.len()];
    }

    /// Goes through the columns, then back to the order of the answer.
    fn sort_by_next_column(&mut self) {
        let columns = self.pane.columns().len();
        let state = self.pane_state(self.pane);
        state.sort = match state.sort {
            None => Some(0),
            Some(at) if at + 1 < columns => Some(at + 1),
            Some(_) => None,
        };
        self.settle();
    }
}

/// Where a key that moves goes from there; whoever asks knows the end.
fn moved(code: KeyCode, from: usize, page: usize) -> Option<usize> {
    match code {
        KeyCode::Down | KeyCode::Char('j') => Some(from.saturating_add(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(from.saturating_sub(1)),
        KeyCode::PageDown => Some(from.saturating_add(page)),
        KeyCode::PageUp => Some(from.saturating_sub(page)),
        KeyCode::Home | KeyCode::Char('g') => Some(0),
        KeyCode::End | KeyCode::Char('G') => Some(usize::MAX),
        _ => None,
    }
}
