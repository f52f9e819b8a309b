//! Questions to the engine from other threads: few at a time, each answered between two turns of the thread that owns it.

use muster_engine::{Explanation, Overview, Snapshot, Subject};
use muster_framework::Text;
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait. Each is answered within a turn or so: more only wait when somebody asks without end.
const WAITING: usize = 16;

/// A question, and where the answer goes.
pub(crate) enum Asked {
    /// Where a pod or a group stands.
    Explain {
        subject: Subject,
        reply: oneshot::Sender<Result<Option<Explanation>, NoAnswer>>,
    },
    /// Everything that the engine knows.
    Snapshot {
        reply: oneshot::Sender<Result<Snapshot, NoAnswer>>,
    },
    /// What waits and what is held, at a glance.
    Overview {
        /// Of this namespace; None: of all.
        namespace: Option<Text>,
        reply: oneshot::Sender<Result<Overview, NoAnswer>>,
    },
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Too many questions wait already.
    #[error("too many questions are waiting: ask again")]
    Busy,
    /// Another replica leads: its queue is the one that counts.
    #[error("this replica is a standby, which tries nothing: ask the one that holds the lease")]
    NotLeading,
    /// The first lists are still under way.
    #[error("the cluster has not been listed in full yet")]
    NotSynced,
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
        self.ask(|reply| Asked::Explain { subject, reply }).await
    }

    /// Asks for everything that the engine of a leader knows.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn snapshot(&self) -> Result<Snapshot, NoAnswer> {
        self.ask(|reply| Asked::Snapshot { reply }).await
    }

    /// Asks what waits and what is held, in all namespaces or in one.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn overview(&self, namespace: Option<Text>) -> Result<Overview, NoAnswer> {
        self.ask(|reply| Asked::Overview { namespace, reply }).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, NoAnswer>>) -> Asked,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(question(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NoAnswer::Busy,
            mpsc::error::TrySendError::Closed(_) => NoAnswer::NotRunning,
        })?;
        answer.await.unwrap_or(Err(NoAnswer::NotRunning))
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
        assert_eq!(asker.snapshot().await, Err(NoAnswer::Busy));
        match questions.next_now().expect("it waits") {
            Asked::Explain { subject, reply } => {
                assert_eq!(subject, pod("0"));
                reply.send(Ok(None)).expect("somebody waits for it");
            }
            Asked::Snapshot { .. } | Asked::Overview { .. } => panic!("nobody asked for one"),
        }
        drop(questions);
        let mut answers = Vec::new();
        for answer in waiting {
            answers.push(answer.await.expect("no panic"));
        }
        assert_eq!(answers[0], Ok(None));
        assert!(answers[1..].iter().all(|answer| *answer == Err(NoAnswer::NotRunning)));
        assert_eq!(asker.explain(pod("late")).await, Err(NoAnswer::NotRunning));
    }

    #[tokio::test]
    async fn a_snapshot_goes_to_who_asked() {
        let (asker, mut questions) = questions();
        let asked = tokio::spawn(async move { asker.snapshot().await });
        match questions.next().await.expect("it was asked") {
            Asked::Snapshot { reply } => reply.send(Ok(Snapshot::default())).expect("somebody waits for it"),
            Asked::Explain { .. } | Asked::Overview { .. } => panic!("nobody asked for one"),
        }
        assert_eq!(asked.await.expect("no panic"), Ok(Snapshot::default()));
    }

    #[tokio::test]
    async fn an_overview_is_of_the_namespace_that_was_asked_about() {
        let (asker, mut questions) = questions();
        let asked = tokio::spawn(async move { asker.overview(Some("shop".into())).await });
        match questions.next().await.expect("it was asked") {
            Asked::Overview { namespace, reply } => {
                assert_eq!(namespace.as_deref(), Some("shop"));
                reply.send(Ok(Overview::default())).expect("somebody waits for it");
            }
            Asked::Explain { .. } | Asked::Snapshot { .. } => panic!("nobody asked for one"),
        }
        assert_eq!(asked.await.expect("no panic"), Ok(Overview::default()));
    }
}
