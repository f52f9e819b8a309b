//! The cutters of lists and watches: how the bytes are split into pieces makes no difference, and what is cut out of a whole
//! list is what a reader of the list as one text finds.

use crate::items::JsonItems;
use crate::wire::{Cutter, Encoding, Json, Lines, ListCutter, Shell, WireError};
use bytes::Bytes;
use muster_api::envelope;
use serde_json::Value;

/// Sizes of pieces, over and over: bytes one by one, about as long as keys, in between, mixed.
const SIZES: [&[usize]; 5] = [&[1], &[7], &[61], &[1, 13, 2, 250], &[3, 1, 1, 32]];

/// Cuts it in one piece and in many.
pub fn run(bytes: &[u8]) {
    let in_one = [bytes.len()];
    let whole = list(bytes, &in_one);
    let frames = watch(bytes, &in_one);
    for sizes in SIZES {
        assert_eq!(list(bytes, sizes), whole, "pieces of {sizes:?}");
        assert_eq!(watch(bytes, sizes), frames, "pieces of {sizes:?}");
    }
    check_list(bytes, &whole.0, &whole.1);
    frames.iter().for_each(|frame| check_frame(frame));
}

/// Pieces of these sizes, over and over.
fn pieces<'b>(mut bytes: &'b [u8], sizes: &'b [usize]) -> impl Iterator<Item = &'b [u8]> {
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let size = *sizes.next()?;
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        bytes = rest;
        Some(piece).filter(|piece| !piece.is_empty())
    })
}

/// The objects of a list, and what it says of itself.
fn list(bytes: &[u8], sizes: &[usize]) -> (Vec<Bytes>, Result<Shell, WireError>) {
    let mut cutter = JsonItems::default();
    let mut objects = Vec::new();
    for piece in pieces(bytes, sizes) {
        if let Err(error) = cutter.push(piece) {
            return (objects, Err(error));
        }
        loop {
            match cutter.cut() {
                Ok(Some(object)) => objects.push(object),
                Ok(None) => break,
                Err(error) => return (objects, Err(error)),
            }
        }
    }
    (objects, cutter.end())
}

/// The frames of a watch, up to what cannot be cut.
fn watch(bytes: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let mut cutter = Lines::default();
    let mut frames = Vec::new();
    for piece in pieces(bytes, sizes) {
        if cutter.push(piece).is_err() {
            break;
        }
        frames.extend(std::iter::from_fn(|| cutter.cut()));
    }
    frames
}

/// What is a list to a reader of JSON is the same list to the cutter.
fn check_list(bytes: &[u8], objects: &[Bytes], end: &Result<Shell, WireError>) {
    // The cutter does not understand escapes in keys, which no server writes; serde also takes `[…]` for a struct.
    if bytes.contains(&b'\\') || !bytes.trim_ascii_start().starts_with(b"{") {
        return;
    }
    let Ok(page) = envelope::page(bytes) else { return };
    if page.items.iter().any(|item| !item.starts_with(b"{")) {
        assert!(end.is_err(), "an item that is no object was overlooked");
        return;
    }
    assert_eq!(objects, page.items);
    let expected = Shell {
        resource_version: page.resource_version,
        continue_token: page.continue_token,
    };
    assert_eq!(end.as_ref(), Ok(&expected));
}

/// If the object of an event can be read, it is the object of the event as one text.
fn check_frame(frame: &[u8]) {
    if let Ok(event) = Json::frame(frame)
        && let Ok(object) = serde_json::from_slice::<Value>(event.object)
        && let Ok(whole) = serde_json::from_slice::<Value>(frame)
        && whole.is_object()
    {
        assert_eq!(whole["object"], object);
    }
}
