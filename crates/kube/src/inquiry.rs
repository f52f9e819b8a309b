//! Asking the engine what it knows, from another thread than its own.
//!
//! The driver answers between two turns. Only one inquiry may wait: whoever asks oftener than is answered is told to come
//! again, so that callers cannot take the engine's time or fill the memory.

use muster_engine::Snapshot;
use tokio::sync::{mpsc, oneshot};

/// Where an answer goes.
pub(crate) type Inquiry = oneshot::Sender<Result<Snapshot, NoSnapshot>>;

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSnapshot {
    /// Another replica leads: its queue is the one that counts.
    #[error("this replica does not lead: ask the one that holds the lease")]
    NotLeading,
    /// The first lists are still under way.
    #[error("the cluster has not been listed in full yet")]
    NotSynced,
    /// Somebody else is being answered.
    #[error("another snapshot is being taken")]
    Busy,
    /// It ends.
    #[error("the scheduler is ending")]
    Ending,
}

/// Asks the engine.
#[derive(Debug, Clone)]
pub struct Inquiries(mpsc::Sender<Inquiry>);

impl Inquiries {
    pub(crate) fn channel() -> (Inquiries, mpsc::Receiver<Inquiry>) {
        let (sender, receiver) = mpsc::channel(1);
        (Inquiries(sender), receiver)
    }

    /// Everything that the engine of a leader knows.
    ///
    /// # Errors
    /// There is nothing to be had, now or here.
    pub async fn snapshot(&self) -> Result<Snapshot, NoSnapshot> {
        let (sender, answer) = oneshot::channel();
        self.0.try_send(sender).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NoSnapshot::Busy,
            mpsc::error::TrySendError::Closed(_) => NoSnapshot::Ending,
        })?;
        answer.await.unwrap_or(Err(NoSnapshot::Ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_may_wait_and_the_end_is_told() {
        let (inquiries, mut asked) = Inquiries::channel();
        let first = tokio::spawn({
            let inquiries = inquiries.clone();
            async move { inquiries.snapshot().await }
        });
        let inquiry = asked.recv().await.expect("it was asked");
        let _ = inquiry.send(Ok(Snapshot::default()));
        assert_eq!(first.await.expect("it does not panic"), Ok(Snapshot::default()));

        let waiting = tokio::spawn({
            let inquiries = inquiries.clone();
            async move { inquiries.snapshot().await }
        });
        tokio::task::yield_now().await;
        assert_eq!(inquiries.snapshot().await, Err(NoSnapshot::Busy));
        drop(asked);
        assert_eq!(waiting.await.expect("it does not panic"), Err(NoSnapshot::Ending));
        assert_eq!(inquiries.snapshot().await, Err(NoSnapshot::Ending));
    }
}
