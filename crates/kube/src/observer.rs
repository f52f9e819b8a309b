//! What the driver tells whoever counts and logs.

use muster_engine::{Census, Input, Observation, PodRef, Stats};
use muster_framework::record::Kind;
use std::time::Duration;

/// Somebody who counts and logs. Called from the engine's thread and from network tasks, so every call must be short.
pub trait Observer: Send + Sync {
    /// The engine says that something happened; `took` is how long it worked on it.
    fn observation(&self, observation: &Observation, took: Duration);

    /// Sizes, after each round of work.
    fn stats(&self, stats: &Stats);

    /// What takes longer to count, about once a second.
    fn census(&self, census: &Census);

    /// The engine is about to be told this.
    fn input(&self, input: &Input);

    /// Something happened between Muster and the API server.
    fn notice(&self, notice: Notice);

    /// The API server has answered a bind, or has not in time.
    fn bind_request(&self, request: &BindRequest<'_>);
}

/// What became of the request to bind a pod: the tries after a 429, and the pauses before them, belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindRequest<'a> {
    /// The pod.
    pub pod: &'a PodRef,
    /// The node.
    pub node: &'a str,
    /// How long it took, until now.
    pub took: Duration,
    /// The HTTP status of the last answer; none if no answer came.
    pub status: Option<u16>,
    /// How often it was sent again.
    pub retries: u32,
}

/// What happens between Muster and the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A list of this kind begins.
    Relist(Kind),
    /// The API server has told of this kind: objects, or that nothing has changed.
    Heard(Kind),
    /// A watch of this kind ended and is begun again where it ended.
    WatchRestart(Kind),
    /// An object of this kind cannot be read.
    Undecodable(Kind),
    /// An event was dropped because too many wait to be written.
    EventWithoutRoom,
    /// An event was dropped because the server did not take it.
    EventNotTaken,
    /// This process leads from now on, or does not lead any more.
    Leads(bool),
    /// It leads, and may write for so long unless the lease is renewed.
    LeaseMargin(Duration),
    /// The lease had to be read before it could be renewed.
    LeaseSlowPath,
    /// A request had its turn by the limit that the configuration asks for.
    RateLimited {
        /// The HTTP method.
        method: &'static str,
        /// How long it had to wait.
        waited: Duration,
    },
    /// A request was answered, or not.
    Request {
        /// The HTTP method.
        method: &'static str,
        /// The HTTP status; none if no answer came.
        status: Option<u16>,
        /// How long it took.
        took: Duration,
    },
}
