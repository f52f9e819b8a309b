//! What fuzzing tries invented inputs on. A target reads bytes as a part of Muster would, goes on with what it has read, and
//! panics if that is not as it ought to be.
//!
//! The programs of `fuzz/` hand the targets to libFuzzer. They are here, in the workspace, so that every build compiles them;
//! `tests/seeds.rs` tries them on the inputs that fuzzing begins with.
//!
//! What they read is in part private to a binary, or to a crate that brings a client of the API server or a server along. It
//! is compiled from its source here, below the names that it goes by there.

#[allow(dead_code)]
mod explain;
#[allow(dead_code)]
#[path = "../../../crates/kube/src/items.rs"]
mod items;
#[allow(dead_code)]
mod overview;
pub mod targets;
#[allow(dead_code)]
#[path = "../../../crates/kube/src/wire.rs"]
mod wire;

/// An input as text, as far as it is any.
fn text_of(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}
