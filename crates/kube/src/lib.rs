//! The driver for a real API server: it tells the engine what it watches, does what the engine decides, and tells it
//! what became of that.
//!
//! ```text
//!  API server ──list, watch──► informer (one per kind) ──┐
//!                                                        ▼
//!                                    bounded channel of Input ──► driver thread, owns the Engine
//!                                                        ▲              │ Effect
//!  API server ◄──bind, status, read── dispatcher ──Outcome              │
//!             ◄──events────────────── event workers ◄───────────────────┘
//! ```
//!
//! * [`connect()`] makes the clients, [`start()`] everything else.
//! * `lease` takes part in the election of a leader; `fence` says whether a write may leave.
//! * `leader` asks the leader what somebody has asked this process while it stands by.
//! * `wire` splits lists and watches into objects, one at a time: no whole object is ever kept.
//! * `answer` says what an answer of the server means; all such knowledge is there.
//! * `questions` takes what others ask the engine, to be answered between two of its turns.
//! * `reader` has nothing to do with all this: it reads for a person at a terminal, whom `kubeconfig` says where and as whom.
//! * `reviews` asks who callers of the server for operators are, and what they may do.
//! * `extender` speaks with extenders; `whole_nodes` is there only for those that want whole objects.
//!
//! **Architecture invariants:** no scheduling decision is made here. The engine is owned by one thread, which never
//! waits for the network or for a full channel. No lock is held across an `.await`.

mod answer;
mod backoff;
mod bind_window;
mod connect;
mod connector;
mod dispatcher;
mod driver;
mod error_text;
mod event_backlog;
mod events;
mod exchange;
mod extender;
mod fence;
mod health;
mod informer;
mod items;
mod kubeconfig;
mod leader;
mod lease;
mod observer;
mod query;
mod questions;
mod rate_limit;
mod reader;
mod recording;
mod reviews;
mod scheduler;
mod server_version;
mod standing_complaint;
#[cfg(test)]
mod testing;
mod whole_nodes;
mod wire;

pub use backoff::Backoff;
pub use connect::{Clients, ConnectError, connect};
pub use connector::connector_to;
pub use dispatcher::DispatcherSettings;
pub use driver::DriverSettings;
pub use extender::{ExtenderError, Extenders};
pub use health::Health;
pub use informer::InformerSettings;
pub use kubeconfig::{ConnectOptions, Identity};
pub use leader::{Announced, Credentials, Leader, LeaderAnswer, LeaderError, Leading};
pub use lease::LeaseSettings;
pub use observer::{BindRequest, Notice, Observer};
pub use questions::{Asker, NoAnswer, Questions, questions};
pub use rate_limit::Rate;
pub use reader::{ReadError, Reader, Watch};
pub use recording::{RecordError, Recording};
pub use reviews::{Reviewed, Reviews};
pub use scheduler::{RunError, Running, Settings, start};
pub use server_version::{minor_of, server_minor};
