//! `GET /debug/snapshot`: what the engine of the leader knows, as a snapshot file.
//!
//! It shows pods of all namespaces, so it is for whoever may list these; that is asked of the API server as
//! `list pods` without a namespace. The port without TLS does not have it. A standby gets it from the leader (`forward`).

use crate::forward::{Expected, forward};
use crate::kubectl::snapshot::PATH;
use crate::unanswered::{come_again, unanswered};
use crate::version::VERSION;
use http::{Method, StatusCode};
use muster_api::review::{Access, ResourceAccess};
use muster_api::snapshot::{Header, Source, write};
use muster_framework::rules::KubeMinor;
use muster_kube::{Asker, Leader, NoAnswer};
use muster_telemetry::serving::{About, Answer, Question, Routes, failure, respond};
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The longest file, in bytes: a hundred thousand pods take a tenth of it.
const FILE_MAX: usize = 256 << 20;
/// What a leader may send.
const FROM_LEADER: Expected = Expected {
    content_type: CONTENT_TYPE,
    longest: FILE_MAX,
    within: Duration::from_secs(40),
};
const CONTENT_TYPE: &str = "application/gzip";

/// The route. It answers once the engine runs.
pub(crate) struct SnapshotRoute {
    about: Arc<About>,
    asker: Asker,
    leader: Arc<Leader>,
    /// Whose rules the engine follows, once it is known.
    minor: OnceLock<KubeMinor>,
    /// Spelling out and compressing takes a while, and what a leader sends is held in memory: one after the other.
    writing: tokio::sync::Semaphore,
}

impl SnapshotRoute {
    /// A route that has nothing to show until [`SnapshotRoute::follows`].
    pub(crate) fn new(about: Arc<About>, asker: Asker, leader: Arc<Leader>) -> SnapshotRoute {
        SnapshotRoute {
            about,
            asker,
            leader,
            minor: OnceLock::new(),
            writing: tokio::sync::Semaphore::new(1),
        }
    }

    /// The engine follows the rules of this minor.
    pub(crate) fn follows(&self, minor: KubeMinor) {
        // It is said once.
        let _ = self.minor.set(minor);
    }

    async fn file(&self, question: Question) -> Answer {
        let Some(minor) = self.minor.get() else {
            return unanswered(NoAnswer::NotRunning);
        };
        let Ok(_permit) = self.writing.try_acquire() else {
            return come_again("another snapshot is being written: ask again");
        };
        let known = match self.asker.snapshot().await {
            Ok(known) => known,
            Err(NoAnswer::NotLeading) => return forward(&self.leader, &question, FROM_LEADER).await,
            Err(reason) => return unanswered(reason),
        };
        let header = Header {
            taken_at: jiff::Timestamp::now(),
            version: VERSION.to_owned(),
            kubernetes: *minor,
            source: Source::Scheduler,
            configuration: Some(self.about.configuration.clone().into_iter().collect()),
            not_served: known.not_served.clone(),
        };
        let written = tokio::task::spawn_blocking(move || write(Bounded(Vec::new()), &header, &known));
        match written.await {
            Ok(Ok(Bounded(file))) => respond(StatusCode::OK, CONTENT_TYPE, file),
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot write a snapshot");
                failure(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "InsufficientStorage",
                    &error.to_string(),
                    None,
                )
            }
            Err(error) => {
                tracing::error!(%error, "cannot write a snapshot");
                failure(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    "cannot write a snapshot",
                    None,
                )
            }
        }
    }
}

impl Routes for SnapshotRoute {
    fn access(&self, method: &Method, path: &str) -> Option<Access> {
        (method == Method::GET && path == PATH).then(|| {
            Access::Resource(ResourceAccess {
                verb: "list".to_owned(),
                resource: "pods".to_owned(),
                ..ResourceAccess::default()
            })
        })
    }

    fn answer(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        Box::pin(self.file(question))
    }
}

/// Bytes in memory, up to a limit.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > FILE_MAX {
            return Err(io::Error::other("the snapshot is too large to be sent"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
