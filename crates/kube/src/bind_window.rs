//! How many binds may be on their way at once: as many as the API server answers without letting them queue.
//!
//! The rule is that of TCP Vegas. The quickest answer of late says what a bind takes by itself; what the answers take
//! longer in the mean, they have waited behind each other. While a bind waits less than twice as long as it takes, the
//! window grows; when it waits seven times as long, the window shrinks; and a server that says that it is too busy, or does
//! not answer, gets half at once. No clock and no task: it is told of each answer.

use std::time::Duration;

/// Never less, where the most is not less itself: a server that is slow for other reasons is not starved by us.
const LEAST: usize = 16;
/// What it begins with: nobody knows the server yet.
const FIRST: usize = 32;
/// How much it grows or shrinks with each round.
const STEP: usize = 4;
/// It grows while the mean answer takes less than so many times as long as the quickest.
const GROWS_BELOW: u32 = 3;
/// It shrinks while the mean answer takes more than so many times as long as the quickest.
const SHRINKS_ABOVE: u32 = 8;
/// The quickest answer is forgotten after so many rounds: a server changes.
const ROUNDS_REMEMBERED: u32 = 32;

/// The window. A *round* is as many answers as it allows at once.
#[derive(Debug)]
pub(crate) struct BindWindow {
    limit: usize,
    least: usize,
    most: usize,
    /// The quickest answer, and in how many rounds it is to be forgotten.
    quickest: Duration,
    rounds_left: u32,
    round: Round,
}

/// What is known of the round that goes on.
#[derive(Debug, Default)]
struct Round {
    answers: u32,
    took: Duration,
    quickest: Option<Duration>,
    /// Whether the window was ever full: else it is not the window that limits us.
    was_full: bool,
    /// It has been halved already.
    halved: bool,
}

impl BindWindow {
    /// A window that never allows more than this, and always one.
    pub(crate) fn new(most: usize) -> BindWindow {
        let most = most.max(1);
        BindWindow {
            limit: FIRST.min(most),
            least: LEAST.min(most),
            most,
            quickest: Duration::MAX,
            rounds_left: ROUNDS_REMEMBERED,
            round: Round::default(),
        }
    }

    /// How many binds may be on their way at once.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// A bind was answered after so long; with it, so many were on their way.
    pub(crate) fn answered(&mut self, took: Duration, on_their_way: usize) {
        let round = &mut self.round;
        round.answers += 1;
        round.took += took;
        round.quickest = Some(round.quickest.map_or(took, |quickest| quickest.min(took)));
        round.was_full |= on_their_way >= self.limit;
        if round.answers as usize >= self.limit {
            self.end_round();
        }
    }

    /// The server was too busy for a bind, or did not answer it.
    pub(crate) fn overloaded(&mut self) {
        if !self.round.halved {
            self.limit = (self.limit / 2).max(self.least);
            self.round = Round {
                halved: true,
                ..Round::default()
            };
        }
    }

    fn end_round(&mut self) {
        let round = std::mem::take(&mut self.round);
        self.rounds_left -= 1;
        let of_round = round.quickest.unwrap_or(Duration::MAX);
        if self.rounds_left == 0 {
            self.rounds_left = ROUNDS_REMEMBERED;
            self.quickest = of_round;
        } else {
            self.quickest = self.quickest.min(of_round);
        }
        let mean = round.took / round.answers.max(1);
        if round.halved || !round.was_full {
            return;
        }
        if mean < self.quickest.saturating_mul(GROWS_BELOW) {
            self.limit = (self.limit + STEP).min(self.most);
        } else if mean > self.quickest.saturating_mul(SHRINKS_ABOVE) {
            self.limit = self.limit.saturating_sub(STEP).max(self.least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds at a server that works on `at_once` binds for 10 ms each, and lets the others wait.
    fn play(window: &mut BindWindow, rounds: usize, at_once: usize) {
        for _ in 0..rounds {
            let on_their_way = window.limit();
            for nth in 0..on_their_way {
                // The first of a round find the server free.
                let turns = nth / at_once + 1;
                window.answered(Duration::from_millis(10 * turns as u64), on_their_way);
            }
        }
    }

    #[test]
    fn it_grows_at_a_server_that_does_all_at_once() {
        let mut window = BindWindow::new(64);
        assert_eq!(window.limit(), 32);
        play(&mut window, 3, 1000);
        assert_eq!(window.limit(), 44);
        play(&mut window, 100, 1000);
        assert_eq!(window.limit(), 64);
    }

    #[test]
    fn it_shrinks_while_binds_queue_and_settles_in_between() {
        let mut window = BindWindow::new(64);
        play(&mut window, 100, 1);
        assert_eq!(
            window.limit(),
            16,
            "no further: that the server is slow need not be our doing"
        );
        // Ten at once: with 52 on their way the mean is 3.1 times the quickest, and stays between the bounds.
        let mut window = BindWindow::new(64);
        play(&mut window, 100, 10);
        assert_eq!(window.limit(), 52);
    }

    #[test]
    fn it_does_not_grow_where_there_is_nothing_to_send() {
        let mut window = BindWindow::new(64);
        for _ in 0..1000 {
            window.answered(Duration::from_millis(10), 3);
        }
        assert_eq!(window.limit(), 32);
    }

    #[test]
    fn a_busy_server_gets_half_once_a_round() {
        let mut window = BindWindow::new(64);
        for _ in 0..20 {
            window.overloaded();
        }
        assert_eq!(window.limit(), 16);
        play(&mut window, 3, 1000);
        assert_eq!(window.limit(), 24, "the round in which it was halved does not count");
        window.overloaded();
        assert_eq!(window.limit(), 16);
    }

    #[test]
    fn what_an_administrator_allows_is_never_exceeded() {
        let mut window = BindWindow::new(3);
        play(&mut window, 100, 1000);
        assert_eq!(window.limit(), 3);
        window.overloaded();
        assert_eq!(window.limit(), 3, "that few need no care");
        assert_eq!(BindWindow::new(0).limit(), 1);
    }

    #[test]
    fn a_server_that_has_become_slower_is_learned_anew() {
        let mut window = BindWindow::new(64);
        play(&mut window, 1, 1000);
        for _ in 0..40 {
            for _ in 0..window.limit() {
                window.answered(Duration::from_millis(50), window.limit());
            }
        }
        assert!(
            window.limit() > 16,
            "50 ms is what a bind takes there: {}",
            window.limit()
        );
    }
}
