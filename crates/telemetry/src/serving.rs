//! The server: `/metrics`, health, what runs and how, to callers who may ask.
//!
//! ```text
//!  listener ──► server: limits, TLS ──► site ──► authentication: front proxy, client certificate, bearer token
//!                                        │         └─ reviewer (TokenReview), trust (authorities)
//!                                        ├─────► authorization: open paths, system:masters
//!                                        │         └─ reviewer (SubjectAccessReview)
//!                                        └─────► page, or a route that somebody added
//! ```
//!
//! kube-scheduler delegates both questions to the API server in the same way, under the same flags.

mod answer;
mod authentication;
mod authorization;
mod expiring;
mod health;
mod peer;
mod request_header;
mod reviewer;
mod route;
mod server;
mod site;
#[cfg(test)]
mod testing;
mod tls;
mod zpages;

pub use answer::{failure, respond, text};
pub use authentication::{NoRandomness, TOKEN_LIFETIME, Trust};
pub use authorization::{AlwaysAllow, AuthorizationLifetimes};
pub use health::{Check, Health};
pub use reviewer::{Replied, Reviewer, Reviewing};
pub use route::{Answer, Question, Routes};
pub use server::{Guards, Limits, Server, ServerError};
pub use site::Pages;
pub use tls::{Certificate, MinTlsVersion, TlsCipherSuite, TlsError, TlsSettings};
pub use zpages::About;
