//! Kubernetes JSON, and nothing but: objects in, requests out, and the recording format of what an engine was told.
//!
//! * [`decode()`] makes the engine's records of objects as the API server writes them;
//! * [`envelope`] splits lists and watch events into objects;
//! * [`mod@write`] builds bindings, conditions and events as values that somebody else sends;
//! * [`lease_request`] and [`decode_lease`] write and read the Lease that leaders are elected by;
//! * [`review`] asks whose a token is, and what somebody may do;
//! * [`paths`] says where the objects are found;
//! * [`group_names`] says how pod groups are spelled;
//! * [`codec`] writes inputs of the engine down, and reads them again;
//! * [`snapshot`] writes what an engine knows into a file, and reads it again;
//! * [`http_status`] reads what the API server says when it refuses.
//!
//! **Architecture invariant:** no client, no clock, nothing asynchronous. This is the only crate that knows how
//! Kubernetes spells things; the records that it makes are not serializable by themselves, so that neither the wire
//! format of Kubernetes nor that of recordings freezes them.

pub mod codec;
mod decode;
pub mod envelope;
pub mod group_names;
pub mod http_status;
mod lease;
pub mod paths;
pub mod review;
pub mod snapshot;
pub mod write;

pub use decode::{DecodeError, decode, decode_for, object_key};
pub use http_status::{StatusMessage, status_message};
pub use lease::{Contact, Fingerprint, LeaseName, SeenLease, decode_lease, lease_request};
