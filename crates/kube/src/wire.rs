//! How lists and watches are written: splitting them into single objects, without reading what the objects hold.
//!
//! The encoding is a trait so that a denser one can take its place; JSON is the only one now. An object is decoded from
//! the bytes of the answer and is gone then: a list of 150,000 pods never exists as 150,000 objects.

use bytes::{Bytes, BytesMut};
use muster_api::DecodeError;
use muster_engine::{Object, ObjectKey};
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The longest frame of a watch. An object is limited to about 1.5 MiB in etcd; this only keeps a broken peer from
/// filling the memory.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WireError(String);

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// Where a watch goes on from this list.
    pub(crate) resource_version: String,
    /// How to ask for the next page; none if this is the last.
    pub(crate) continue_token: Option<String>,
    /// The objects, each as its bytes.
    pub(crate) items: Vec<&'a [u8]>,
}

/// What a frame of a watch says about its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameType {
    Added,
    Modified,
    Deleted,
    /// Nothing happened up to this version.
    Bookmark,
    /// The watch cannot go on; the object is a `Status`.
    Error,
}

/// One frame of a watch.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) frame_type: FrameType,
    pub(crate) object: &'a [u8],
}

/// An encoding of objects, lists and watches.
pub(crate) trait Encoding: Send + Sync + 'static {
    /// What the `Accept` header asks for.
    const ACCEPT: &'static str;

    /// Cuts the stream of a watch.
    type Cutter: Cutter;

    /// Splits a page of a list.
    fn page(body: &[u8]) -> Result<Page<'_>, WireError>;

    /// Splits a frame of a watch.
    fn frame(bytes: &[u8]) -> Result<Frame<'_>, WireError>;

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

/// Kubernetes JSON: frames are lines.
#[derive(Debug)]
pub(crate) struct Json;

impl Encoding for Json {
    const ACCEPT: &'static str = "application/json";

    type Cutter = Lines;

    fn page(body: &[u8]) -> Result<Page<'_>, WireError> {
        #[derive(Deserialize)]
        struct List<'a> {
            metadata: Metadata,
            #[serde(borrow, default)]
            items: Option<Vec<&'a RawValue>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            resource_version: String,
            #[serde(default, rename = "continue")]
            continue_token: Option<String>,
        }
        let list: List<'_> = serde_json::from_slice(body)
            .map_err(|error| WireError(format!("this is not a page of a list: {error}")))?;
        Ok(Page {
            resource_version: list.metadata.resource_version,
            continue_token: list.metadata.continue_token.filter(|token| !token.is_empty()),
            items: list
                .items
                .unwrap_or_default()
                .into_iter()
                .map(|item| item.get().as_bytes())
                .collect(),
        })
    }

    fn frame(bytes: &[u8]) -> Result<Frame<'_>, WireError> {
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(borrow)]
            r#type: Cow<'a, str>,
            #[serde(borrow)]
            object: &'a RawValue,
        }
        let event: Event<'_> =
            serde_json::from_slice(bytes).map_err(|error| WireError(format!("this is not a watch event: {error}")))?;
        let frame_type = match &*event.r#type {
            "ADDED" => FrameType::Added,
            "MODIFIED" => FrameType::Modified,
            "DELETED" => FrameType::Deleted,
            "BOOKMARK" => FrameType::Bookmark,
            "ERROR" => FrameType::Error,
            other => return Err(WireError(format!("watch events have no type {other:?}"))),
        };
        Ok(Frame {
            frame_type,
            object: event.object.get().as_bytes(),
        })
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
            let Some(length) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
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

    #[test]
    fn a_page_is_split_into_items() {
        let body =
            br#"{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"abc"},"items":[{"a":1},{"b":"x"}]}"#;
        let page = Json::page(body).unwrap();
        assert_eq!(
            (page.resource_version.as_str(), page.continue_token.as_deref()),
            ("7", Some("abc"))
        );
        assert_eq!(page.items, [&br#"{"a":1}"#[..], br#"{"b":"x"}"#]);
    }

    #[test]
    fn the_last_page_has_no_token_and_perhaps_no_items() {
        for body in [
            &br#"{"metadata":{"resourceVersion":"7","continue":""},"items":null}"#[..],
            br#"{"metadata":{"resourceVersion":"7"}}"#,
        ] {
            let page = Json::page(body).unwrap();
            assert!(page.continue_token.is_none() && page.items.is_empty());
        }
        assert!(Json::page(b"<html>").is_err());
        assert!(Json::page(br#"{"items":[]}"#).is_err());
    }

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
                    frames.push((frame.frame_type, frame.object.to_vec()));
                }
            }
            assert_eq!(
                frames,
                [
                    (FrameType::Added, b"{\"a\":1}".to_vec()),
                    (FrameType::Bookmark, b"{}".to_vec())
                ],
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn strange_frames_are_errors() {
        assert!(Json::frame(br#"{"type":"RENAMED","object":{}}"#).is_err());
        assert!(Json::frame(br#"{"type":"ADDED"}"#).is_err());
        assert!(Json::frame(b"junk").is_err());
    }
}
