//! Questions to the engine from other threads: few at a time, each answered between two turns of the thread that owns it.

use muster_engine::{Explanation, Subject};
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait. Each is answered within a turn or so: more only wait when somebody asks without end.
const WAITING: usize = 16;

/// A question, and where the answer goes.
pub(crate) struct Asked {
    subject: Subject,
    reply: oneshot::Sender<Option<Explanation>>,
}

impl Asked {
    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    pub(crate) fn answer(self, explanation: Option<Explanation>) {
        // Whoever asked may have lost patience.
        let _ = self.reply.send(explanation);
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Too many questions wait already.
    #[error("too many questions are waiting: ask again")]
    Busy,
    /// The engine has not begun within the patience of whoever asks, or has ended.
    #[error("the scheduler has not begun yet, or is about to end")]
    NotRunning,
}

/// Where questions are asked.
#[derive(Debug, Clone)]
pub struct Asker(mpsc::Sender<Asked>);

/// Where they arrive: for [`start`](crate::start).
pub struct Questions(mpsc::Receiver<Asked>);

/// Both ends. What is asked before the engine begins waits for it.
pub fn questions() -> (Asker, Questions) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Asker(sender), Questions(receiver))
}

impl Asker {
    /// Asks where a pod or a group stands. Ok(None): there is no such thing.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn explain(&self, subject: Subject) -> Result<Option<Explanation>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Asked { subject, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NoAnswer::Busy,
            mpsc::error::TrySendError::Closed(_) => NoAnswer::NotRunning,
        })?;
        answer.await.map_err(|_| NoAnswer::NotRunning)
    }
}

impl Questions {
    /// The next question, if one waits.
    pub(crate) fn next_now(&mut self) -> Option<Asked> {
        self.0.try_recv().ok()
    }

    /// The next question. None: nobody will ask any more.
    pub(crate) async fn next(&mut self) -> Option<Asked> {
        self.0.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Subject {
        Subject::Pod {
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    #[tokio::test]
    async fn so_many_wait_and_more_are_sent_away() {
        let (asker, mut questions) = questions();
        let waiting: Vec<_> = (0..WAITING)
            .map(|at| {
                let asker = asker.clone();
                tokio::spawn(async move { asker.explain(pod(&at.to_string())).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(asker.explain(pod("more")).await, Err(NoAnswer::Busy));
        let asked = questions.next_now().expect("it waits");
        assert_eq!(*asked.subject(), pod("0"));
        asked.answer(None);
        drop(questions);
        let mut answers = Vec::new();
        for answer in waiting {
            answers.push(answer.await.expect("no panic"));
        }
        assert_eq!(answers[0], Ok(None));
        assert!(answers[1..].iter().all(|answer| *answer == Err(NoAnswer::NotRunning)));
        assert_eq!(asker.explain(pod("late")).await, Err(NoAnswer::NotRunning));
    }
}
