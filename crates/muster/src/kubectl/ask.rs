//! Asking Muster itself, through the API server or directly: standbys send callers away, and a cluster may have no way to it.

use super::Failure;
use super::flags::DirectArgs;
use crate::explain::paths::GROUP;
use anyhow::anyhow;
use muster_kube::{ConnectOptions, ReadError, Reader};
use std::time::Duration;

/// A standby that cannot ask the leader sends away whoever asks it: while the leader changes, or where leaders do not say
/// where they are. Each time the API server may choose another replica.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// A connection to the API server, or to Muster itself where its URL is given.
///
/// # Errors
/// The kubeconfig is missing or wrong.
pub(super) async fn reader(direct: &DirectArgs, options: ConnectOptions) -> Result<Reader, ReadError> {
    Reader::connect(&ConnectOptions {
        server_url: direct.server_url.clone(),
        ..options
    })
    .await
}

/// What the leader answers: standbys are asked again for a while.
///
/// # Errors
/// What kept the answer from coming.
pub(super) async fn leader<T>(ask: impl AsyncFn() -> Result<T, ReadError>) -> Result<T, ReadError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match ask().await {
            Err(ReadError::Server { code: 503, .. }) if tries < TRIES => tokio::time::sleep(BETWEEN_TRIES).await,
            answer => return answer,
        }
    }
}

/// Why something was not found: because there is no such thing, or nobody to ask.
pub(super) async fn why_absent(reader: &Reader, direct: &DirectArgs, error: ReadError) -> Failure {
    let group = format!("/apis/{GROUP}");
    let is_served = direct.server_url.is_some() || !reader.get(&group).await.is_err_and(|error| error.is_not_found());
    if is_served {
        return error.into();
    }
    Failure::Other(anyhow!(
        "the API server does not serve {GROUP}: install Muster with its APIService (chart: explain.enabled), or open a way to the \
         leader with kubectl port-forward and name it with --server-url"
    ))
}

/// What an answer is that is of a later version, or of something else than Muster.
pub(super) fn not_understood(what: &str, error: &serde_json::Error) -> Failure {
    Failure::Other(anyhow!(
        "the answer is no {what} that this version understands: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn standby() -> ReadError {
        ReadError::Server {
            reason: "ServiceUnavailable".to_owned(),
            message: "this replica is a standby".to_owned(),
            code: 503,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn standbys_are_asked_again_for_a_while() {
        let asked = Cell::new(0);
        let answer = leader(async || {
            asked.set(asked.get() + 1);
            if asked.get() < 4 { Err(standby()) } else { Ok("well") }
        });
        assert_eq!((answer.await, asked.get()), (Ok("well"), 4));

        asked.set(0);
        let answer: Result<(), _> = leader(async || {
            asked.set(asked.get() + 1);
            Err(standby())
        })
        .await;
        assert_eq!((answer, asked.get()), (Err(standby()), TRIES));
    }
}
