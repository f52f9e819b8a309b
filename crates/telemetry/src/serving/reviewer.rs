//! Whoever asks the API server who somebody is and what they may do. Nothing here speaks with it: the binary brings that.

use muster_api::review::{Access, AccessVerdict, TokenVerdict, UserInfo};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A question under way.
pub type Reviewing<'a, T> = Pin<Box<dyn Future<Output = Replied<T>> + Send + 'a>>;

/// What came back.
#[derive(Debug, Clone)]
pub struct Replied<T> {
    /// The HTTP status of the last answer; none if none came.
    pub code: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// The verdict, or why there is none, in words that may be logged.
    pub result: Result<T, String>,
}

/// Asks the API server, within a time of its own.
pub trait Reviewer: Send + Sync {
    /// Whose is this token?
    fn token<'a>(&'a self, token: &'a str) -> Reviewing<'a, TokenVerdict>;

    /// May this user do that?
    fn access<'a>(&'a self, user: &'a UserInfo, access: &'a Access) -> Reviewing<'a, AccessVerdict>;
}
