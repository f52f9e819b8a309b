//! How many binds may be on their way at once: as many as are allowed, until the API server says that it is too busy.
//!
//! The rule is the oldest of TCP: half at once when the server refuses a bind because it is too busy, or does not answer it,
//! and a few more with each round that goes well. How long answers take has no say. A rule after TCP Vegas, which shrank the
//! window while answers took much longer than the quickest, was tried: with 3,000 pods and 1,000 nodes the last bind came
//! after 1.28 times as long as with a fixed window of 64 (1.04), for binds that queue keep the server busy, and what waits
//! there is kept apart from others' requests by its own flow. No clock and no task: it is told of each answer.

/// Never less, where the most is not less itself.
const LEAST: usize = 16;
/// How much it grows with each round.
const STEP: usize = 4;

/// The window. A *round* is as many answers as it allows at once.
#[derive(Debug)]
pub(crate) struct BindWindow {
    limit: usize,
    least: usize,
    most: usize,
    round: Round,
}

/// What is known of the round that goes on.
#[derive(Debug, Default)]
struct Round {
    answers: usize,
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
            limit: most,
            least: LEAST.min(most),
            most,
            round: Round::default(),
        }
    }

    /// How many binds may be on their way at once.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// A bind was answered; with it, so many were on their way.
    pub(crate) fn answered(&mut self, on_their_way: usize) {
        self.round.answers += 1;
        self.round.was_full |= on_their_way >= self.limit;
        if self.round.answers < self.limit {
            return;
        }
        let round = std::mem::take(&mut self.round);
        if !round.halved && round.was_full {
            self.limit = (self.limit + STEP).min(self.most);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(window: &mut BindWindow, rounds: usize) {
        for _ in 0..rounds {
            let on_their_way = window.limit();
            (0..on_their_way).for_each(|_| window.answered(on_their_way));
        }
    }

    #[test]
    fn a_busy_server_gets_half_once_a_round_and_more_again_as_it_answers() {
        let mut window = BindWindow::new(64);
        assert_eq!(window.limit(), 64);
        for _ in 0..20 {
            window.overloaded();
        }
        assert_eq!(window.limit(), 32);
        play(&mut window, 3);
        assert_eq!(window.limit(), 40, "the round in which it was halved does not count");
        for _ in 0..5 {
            window.overloaded();
            play(&mut window, 1);
        }
        assert_eq!(
            window.limit(),
            16,
            "no further: that the server is slow need not be our doing"
        );
        play(&mut window, 100);
        assert_eq!(window.limit(), 64);
    }

    #[test]
    fn it_does_not_grow_where_there_is_nothing_to_send() {
        let mut window = BindWindow::new(64);
        window.overloaded();
        (0..1000).for_each(|_| window.answered(3));
        assert_eq!(window.limit(), 32);
    }

    #[test]
    fn what_an_administrator_allows_is_never_exceeded() {
        let mut window = BindWindow::new(3);
        play(&mut window, 100);
        assert_eq!(window.limit(), 3);
        window.overloaded();
        assert_eq!(window.limit(), 3, "that few need no care");
        assert_eq!(BindWindow::new(0).limit(), 1);
    }
}
