//! What can be asked for, apart from the pages that the server has itself.
//!
//! Whoever adds a page says with [`Routes::access`] what a caller must be allowed to do; who the caller is, and whether
//! they may, has been settled when [`Routes::answer`] is called.

use http::{Method, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use muster_api::review::{Access, UserInfo};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What goes back to a caller.
pub type Answer = Response<Full<Bytes>>;

/// A question of a caller who may ask it.
#[derive(Debug, Clone)]
pub struct Question {
    /// The method.
    pub method: Method,
    /// The path, without query, as it came: not decoded.
    pub path: String,
    /// The query, as it came; empty if there is none.
    pub query: String,
    /// What the caller would like to read: the header `Accept`.
    pub accept: String,
    /// The body.
    pub body: Bytes,
    /// Who asks; none where anybody may.
    pub user: Option<UserInfo>,
}

/// Pages that somebody adds to the server.
pub trait Routes: Send + Sync {
    /// What a caller must be allowed to do to have this answered. None: there is no such page here.
    ///
    /// [`Access::Resource`] is for pages about objects: whoever may `get pods` in a namespace may read why they wait.
    fn access(&self, method: &Method, path: &str) -> Option<Access>;

    /// Answers. The question is one for which [`Routes::access`] named an access, and the caller has it.
    fn answer(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>>;
}

/// Those of several: the first that knows a page has it.
impl<const N: usize> Routes for [Arc<dyn Routes>; N] {
    fn access(&self, method: &Method, path: &str) -> Option<Access> {
        self.iter().find_map(|routes| routes.access(method, path))
    }

    fn answer(&self, question: Question) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        match self
            .iter()
            .find(|routes| routes.access(&question.method, &question.path).is_some())
        {
            Some(routes) => routes.answer(question),
            None => Box::pin(std::future::ready(super::answer::not_found())),
        }
    }
}
