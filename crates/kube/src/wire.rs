//! How lists and watches are written: cutting their bytes into single objects, without reading what the objects hold.
//!
//! The encoding is a trait so that a denser one can take its place; JSON is the only one now. An object is decoded from
//! the bytes of the answer and is gone then: a list of 150,000 pods never exists as 150,000 objects.

use crate::items::JsonItems;
use bytes::{Bytes, BytesMut};
use muster_api::DecodeError;
use muster_api::envelope::{self, EnvelopeError, WatchEvent};
use muster_engine::{Object, ObjectKey};
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;

/// The longest frame of a watch. An object is limited to about 1.5 MiB in etcd; this only keeps a broken peer from
/// filling the memory.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WireError(String);

impl WireError {
    pub(crate) fn new(problem: String) -> WireError {
        WireError(problem)
    }
}

impl From<EnvelopeError> for WireError {
    fn from(error: EnvelopeError) -> WireError {
        WireError(error.to_string())
    }
}

/// An encoding of objects, lists and watches.
pub(crate) trait Encoding: Send + Sync + 'static {
    /// What the `Accept` header asks for.
    const ACCEPT: &'static str;

    /// Cuts the stream of a watch.
    type Cutter: Cutter;

    /// Cuts a list.
    type ListCutter: ListCutter;

    /// Splits a frame of a watch.
    fn frame(bytes: &[u8]) -> Result<WatchEvent<'_>, WireError>;

    /// Reads an object by the rules of a minor.
    fn decode(minor: KubeMinor, kind: Kind, bytes: &[u8]) -> Result<Object, DecodeError>;

    /// Reads which object it is, as far as that can be told.
    fn key(kind: Kind, bytes: &[u8]) -> ObjectKey;
}

/// Cuts a stream that arrives in pieces of any size into frames.
pub(crate) trait Cutter: Default + Send {
    /// Takes what arrived.
    fn push(&mut self, bytes: &[u8]) -> Result<(), WireError>;

    /// The next whole frame, if it is there.
    fn cut(&mut self) -> Option<Bytes>;
}

/// Cuts a list that arrives in pieces of any size into its objects.
pub(crate) trait ListCutter: Default + Send {
    /// Takes what arrived.
    fn push(&mut self, bytes: &[u8]) -> Result<(), WireError>;

    /// The next whole object, if it is there.
    fn cut(&mut self) -> Result<Option<Bytes>, WireError>;

    /// What the list says of itself, when all of it has arrived.
    fn end(self) -> Result<Shell, WireError>;
}

/// What stands around the objects of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shell {
    /// Where a watch goes on from this list.
    pub(crate) resource_version: String,
    /// How to ask for the rest, if the server has left one.
    pub(crate) continue_token: Option<String>,
}

/// Kubernetes JSON: frames are lines.
#[derive(Debug)]
pub(crate) struct Json;

impl Encoding for Json {
    const ACCEPT: &'static str = "application/json";

    type Cutter = Lines;

    type ListCutter = JsonItems;

    fn frame(bytes: &[u8]) -> Result<WatchEvent<'_>, WireError> {
        Ok(envelope::watch_event(bytes)?)
    }

    fn decode(minor: KubeMinor, kind: Kind, bytes: &[u8]) -> Result<Object, DecodeError> {
        muster_api::decode_for(minor, kind, bytes)
    }

    fn key(kind: Kind, bytes: &[u8]) -> ObjectKey {
        muster_api::object_key(kind, bytes)
    }
}

/// Cuts at line ends.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// So many bytes of the buffer are known to hold no line end: a long line is not searched again for each piece.
    searched: usize,
}

impl Cutter for Lines {
    fn push(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if self.buffer.len() + bytes.len() > FRAME_BYTES_MAX {
            return Err(WireError(format!(
                "a watch event is longer than {FRAME_BYTES_MAX} bytes"
            )));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn cut(&mut self) -> Option<Bytes> {
        loop {
            let Some(length) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                return None;
            };
            let mut line = self.buffer.split_to(self.searched + length + 1);
            self.searched = 0;
            line.truncate(line.len() - 1);
            if !line.trim_ascii().is_empty() {
                return Some(line.freeze());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::envelope::EventType;

    #[test]
    fn frames_survive_any_cut() {
        let stream =
            b"{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n\n{\"type\":\"BOOKMARK\",\"object\":{}}\r\n{\"type\":\"DEL";
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let mut frames = Vec::new();
            for piece in stream.chunks(size) {
                lines.push(piece).unwrap();
                while let Some(line) = lines.cut() {
                    let frame = Json::frame(&line).unwrap();
                    frames.push((frame.event_type, frame.object.to_vec()));
                }
            }
            assert_eq!(
                frames,
                [
                    (EventType::Added, b"{\"a\":1}".to_vec()),
                    (EventType::Bookmark, b"{}".to_vec())
                ],
                "pieces of {size}"
            );
        }
    }
}
