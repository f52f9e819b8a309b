//! The live view: draws, listens to keys, asks again and again, and gives the terminal back however it ends.

use super::Questions;
use super::draw::draw;
use super::view::{Trouble, View, Wish};
use crate::explain::document::Document as Explanation;
use crate::kubectl::Failure;
use crate::overview::document::Document;
use anyhow::Context as _;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use muster_engine::Subject;
use muster_kube::Backoff;
use ratatui::DefaultTerminal;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// The longest wait before a server that has not answered is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What came back.
enum Arrival {
    Overview(Box<Result<Document, Failure>>),
    Explanation(Box<(Subject, Result<Explanation, Failure>)>),
}

/// The view and what is under way for it.
struct Live<'a> {
    questions: &'a Questions<'a>,
    interval: Duration,
    view: View,
    under_way: FuturesUnordered<LocalBoxFuture<'a, Arrival>>,
    /// When the next overview is asked for. None: one is on its way.
    ask_at: Option<Instant>,
    backoff: Backoff,
}

/// The terminal, until it is dropped: the screen of before is there again, after a panic too.
struct Screen(DefaultTerminal);

impl Screen {
    fn take() -> anyhow::Result<Screen> {
        // It also sees to it that a panic is told on the screen of before.
        match ratatui::try_init() {
            Ok(terminal) => Ok(Screen(terminal)),
            Err(error) => {
                ratatui::restore();
                Err(error).context("the terminal cannot be drawn on: --once prints without it")
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Runs until somebody quits.
///
/// # Errors
/// The terminal cannot be used.
pub(super) async fn run(questions: &Questions<'_>, interval: Duration, view: View) -> anyhow::Result<()> {
    let mut signals = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()]
        .map(|kind| signal(kind).context("cannot listen for signals"))
        .into_iter()
        .collect::<anyhow::Result<Vec<Signal>>>()?;
    let mut live = Live {
        questions,
        interval,
        view,
        under_way: FuturesUnordered::new(),
        ask_at: Some(Instant::now()),
        backoff: Backoff::new(interval, LONGEST_WAIT.max(interval)),
    };
    let mut screen = Screen::take()?;
    let mut events = EventStream::new();
    loop {
        screen
            .0
            .draw(|frame| draw(frame, &mut live.view))
            .context("the terminal cannot be written")?;
        let ended = tokio::select! {
            event = events.next() => live.heard(event)?,
            Some(arrival) = live.under_way.next() => live.arrived(arrival),
            () = at(live.ask_at) => live.ask(),
            _ = futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))) => ControlFlow::Break(()),
        };
        if ended.is_break() {
            return Ok(());
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl Live<'_> {
    /// A key, a new size, or the end of the terminal.
    fn heard(&mut self, event: Option<std::io::Result<Event>>) -> anyhow::Result<ControlFlow<()>> {
        let event = match event {
            // Nobody is there any more.
            None => return Ok(ControlFlow::Break(())),
            Some(event) => event.context("the terminal cannot be read")?,
        };
        let wish = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.view.key(key),
            // Drawing finds out the new size.
            _ => None,
        };
        Ok(match wish {
            None => ControlFlow::Continue(()),
            Some(Wish::Quit) => ControlFlow::Break(()),
            Some(Wish::Refresh) if self.ask_at.is_some() => self.ask(),
            Some(Wish::Refresh) => ControlFlow::Continue(()),
            Some(Wish::Explain(subject)) => {
                let questions = self.questions;
                self.under_way.push(Box::pin(async move {
                    let answer = questions.explanation(&subject).await;
                    Arrival::Explanation(Box::new((subject, answer)))
                }));
                ControlFlow::Continue(())
            }
        })
    }

    fn ask(&mut self) -> ControlFlow<()> {
        self.ask_at = None;
        let questions = self.questions;
        self.under_way.push(Box::pin(async {
            Arrival::Overview(Box::new(questions.overview().await))
        }));
        ControlFlow::Continue(())
    }

    fn arrived(&mut self, arrival: Arrival) -> ControlFlow<()> {
        match arrival {
            Arrival::Explanation(explained) => {
                let (subject, answer) = *explained;
                self.view.explain(&subject, answer.map_err(|failure| failure.line()));
            }
            Arrival::Overview(answer) => self.overview_arrived(*answer),
        }
        ControlFlow::Continue(())
    }

    fn overview_arrived(&mut self, answer: Result<Document, Failure>) {
        self.ask_at = Some(
            Instant::now()
                + match answer {
                    Ok(answer) => {
                        self.view.take(answer);
                        self.backoff.reset();
                        self.interval
                    }
                    Err(failure) => {
                        let again_in = self.backoff.after_failure();
                        let line = failure.line();
                        self.view.fail(Trouble { line, again_in });
                        again_in
                    }
                },
        );
    }
}
