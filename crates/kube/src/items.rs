//! Cuts a list into its objects while it arrives, so that a list of 150,000 pods is never here as a whole.
//!
//! ```text
//!  {"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[ {…} , {…} , {…} ]}
//!  └──────────────────────── shell ──────────────────────────────┘└ one by one ┘└┘ shell
//! ```
//!
//! Of what stands in the shell nothing is understood here but where the objects begin: it is kept, and read at the end as
//! a list without objects.

use crate::wire::{ListCutter, Shell, WireError};
use bytes::{Bytes, BytesMut};
use muster_api::envelope::{self, Page};

/// The longest object. It is limited to about 1.5 MiB in etcd; this only keeps a broken peer from filling the memory.
const OBJECT_BYTES_MAX: usize = 64 << 20;
/// The longest shell, likewise.
const SHELL_BYTES_MAX: usize = 1 << 20;

/// What a byte would be a part of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Punctuation, numbers, words.
    #[default]
    Structure,
    /// A string.
    Text,
    /// A string, right after a backslash.
    Escape,
}

/// Cuts Kubernetes JSON.
#[derive(Debug, Default)]
pub(crate) struct JsonItems {
    buffer: BytesMut,
    /// So many bytes of the buffer have been looked at: a long object is not searched again for each piece.
    looked_at: usize,
    within: Within,
    /// Braces and brackets that are open.
    depth: usize,
    /// The string directly within the list that came last: the key, where an array begins.
    key: Vec<u8>,
    /// Within the array of objects.
    in_items: bool,
    shell: Vec<u8>,
}

impl ListCutter for JsonItems {
    fn push(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if self.buffer.len() + bytes.len() > OBJECT_BYTES_MAX {
            return Err(WireError::new(format!(
                "an object of the list is longer than {OBJECT_BYTES_MAX} bytes"
            )));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn cut(&mut self) -> Result<Option<Bytes>, WireError> {
        while let Some(byte) = self.next_of_meaning() {
            let ends_object = match byte {
                b'"' => {
                    self.within = Within::Text;
                    false
                }
                b'{' | b'[' => {
                    self.open(byte);
                    false
                }
                _ => self.close(byte),
            };
            if ends_object {
                let object = self.buffer.split_to(self.looked_at).freeze();
                self.looked_at = 0;
                return Ok(Some(object));
            }
        }
        if !self.is_in_object() {
            self.put_away(self.looked_at);
        }
        if self.shell.len() > SHELL_BYTES_MAX {
            return Err(WireError::new(format!(
                "{SHELL_BYTES_MAX} bytes have come, and no object among them: this is no list"
            )));
        }
        Ok(None)
    }

    fn end(self) -> Result<Shell, WireError> {
        let Page {
            resource_version,
            continue_token,
            items,
        } = envelope::page(&self.shell)?;
        // Objects have been taken out: what is left there is something else.
        if !items.is_empty() {
            return Err(WireError::new("an item of the list is no object".to_owned()));
        }
        Ok(Shell {
            resource_version,
            continue_token,
        })
    }
}

impl JsonItems {
    /// Goes on to the next byte that changes what the following ones mean.
    fn next_of_meaning(&mut self) -> Option<u8> {
        loop {
            let rest = &self.buffer[self.looked_at..];
            match self.within {
                Within::Structure => {
                    let at = rest
                        .iter()
                        .position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'));
                    let Some(at) = at else { break };
                    self.looked_at += at + 1;
                    if rest[at] == b'"' && self.depth == 1 {
                        self.key.clear();
                    }
                    return Some(rest[at]);
                }
                Within::Text => {
                    let at = memchr::memchr2(b'"', b'\\', rest);
                    if self.depth == 1 && !self.in_items {
                        // Keys that matter are short: of long ones the beginning does.
                        let text = &rest[..at.unwrap_or(rest.len())];
                        self.key
                            .extend(text.iter().take(16_usize.saturating_sub(self.key.len())));
                    }
                    let Some(at) = at else { break };
                    self.looked_at += at + 1;
                    self.within = if rest[at] == b'"' {
                        Within::Structure
                    } else {
                        Within::Escape
                    };
                }
                Within::Escape => {
                    if rest.is_empty() {
                        break;
                    }
                    self.looked_at += 1;
                    self.within = Within::Text;
                }
            }
        }
        self.looked_at = self.buffer.len();
        None
    }

    fn open(&mut self, byte: u8) {
        if self.in_items && self.depth == 2 {
            // Whether or not an object begins here: what went before is no part of it.
            self.put_away(self.looked_at - 1);
        }
        self.depth += 1;
        if byte == b'[' && self.depth == 2 && self.key == b"items" {
            self.put_away(self.looked_at);
            self.in_items = true;
        }
    }

    /// Says whether an object of the list ends here.
    fn close(&mut self, byte: u8) -> bool {
        // One that closes nothing is found when the shell is read.
        self.depth = self.depth.saturating_sub(1);
        if self.in_items && self.depth == 1 {
            // The bracket belongs to the shell.
            self.put_away(self.looked_at - 1);
            self.in_items = false;
        }
        self.in_items && self.depth == 2 && byte == b'}'
    }

    fn is_in_object(&self) -> bool {
        self.in_items && self.depth > 2
    }

    /// So many bytes, which have been looked at, are no part of an object.
    fn put_away(&mut self, bytes: usize) {
        let seen = self.buffer.split_to(bytes);
        self.looked_at -= bytes;
        if self.in_items {
            // Between objects: what is neither comma nor space does not belong there, and is found when the shell is read.
            let strange = seen.iter().filter(|byte| !b", \t\r\n".contains(*byte));
            self.shell.extend(strange);
        } else {
            self.shell.extend_from_slice(&seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// The objects and the shell of a list that arrives in pieces of this size.
    fn cut(list: &[u8], size: usize) -> Result<(Vec<Bytes>, Shell), WireError> {
        let mut items = JsonItems::default();
        let mut objects = Vec::new();
        for piece in list.chunks(size) {
            items.push(piece)?;
            while let Some(object) = items.cut()? {
                objects.push(object);
            }
        }
        Ok((objects, items.end()?))
    }

    fn shell(version: &str, token: Option<&str>) -> Shell {
        Shell {
            resource_version: version.to_owned(),
            continue_token: token.map(str::to_owned),
        }
    }

    #[test]
    fn objects_come_out_however_the_list_is_cut() {
        let list = br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"t"},
            "items":[{"a":[{"items":[1]},"]}\"\\"]} ,{}, {"b":{"c":"{["}}
            ]}"#;
        let objects = [r#"{"a":[{"items":[1]},"]}\"\\"]}"#, "{}", r#"{"b":{"c":"{["}}"#];
        for size in 1..=list.len() {
            let (cut, end) = cut(list, size).unwrap();
            assert_eq!(cut, objects, "pieces of {size}");
            assert_eq!(end, shell("7", Some("t")));
        }
    }

    #[test]
    fn what_the_list_says_of_itself_may_come_last_and_items_may_be_missing() {
        for (list, objects) in [
            (
                &br#"{"items":[{"a":1}],"metadata":{"resourceVersion":"7"},"kind":"List"}"#[..],
                1,
            ),
            (br#"{"metadata":{"resourceVersion":"7"},"items":null}"#, 0),
            (br#"{"metadata":{"resourceVersion":"7"},"items":[]}"#, 0),
            (br#"{"metadata":{"resourceVersion":"7","continue":""}}"#, 0),
            (
                br#"{"metadata":{"resourceVersion":"7","x":[{"items":[{}]}]},"others":[{}],"items":[{}]}"#,
                1,
            ),
        ] {
            let (cut, end) = cut(list, 5).unwrap();
            assert_eq!((cut.len(), end), (objects, shell("7", None)));
        }
    }

    #[test]
    fn what_is_no_whole_list_is_an_error() {
        for broken in [
            &b"<html>"[..],
            b"",
            br#"{"items":[{"a":1}]}"#,
            br#"{"metadata":{"resourceVersion":"7"},"items":[{"a":1}"#,
            br#"{"metadata":{"resourceVersion":"7"},"items":[{"a":1"#,
            br#"{"metadata":{"resourceVersion":"7"},"items":[1,{}]}"#,
            br#"{"metadata":{"resourceVersion":"7"},"items":["x",{}]}"#,
            br#"{"metadata":{"resourceVersion":"7"},"items":[[{}]]}"#,
            br#"]]{"metadata":{"resourceVersion":"7"},"items":[]}"#,
            br#"{"metadata":{"resourceVersion":"7"},"items":[1,[{"a":1}"#,
        ] {
            let whole = cut(broken, broken.len().max(1));
            assert!(whole.is_err(), "{}", String::from_utf8_lossy(broken));
            assert_eq!(cut(broken, 1), whole);
        }
        assert!(cut(&vec![b' '; SHELL_BYTES_MAX + 1], 4096).is_err());
    }

    fn some_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\]é,: ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("items|[a-z\"{]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn some_object() -> impl Strategy<Value = Value> {
        some_value().prop_map(|value| json!({ "v": value }))
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(
            objects in prop::collection::vec(some_object(), 0..5),
            more in some_value(),
            size in 1_usize..64,
            pretty in any::<bool>(),
        ) {
            let list = json!({"metadata": {"resourceVersion": "9"}, "items": objects, "more": more});
            let text = if pretty { serde_json::to_vec_pretty(&list) } else { serde_json::to_vec(&list) };
            let (cut, end) = cut(&text.unwrap(), size).unwrap();
            let read: Vec<Value> = cut.iter().map(|object| serde_json::from_slice(object).unwrap()).collect();
            prop_assert_eq!(read, objects);
            prop_assert_eq!(end, shell("9", None));
        }

        #[test]
        fn nothing_makes_it_panic(bytes in "[\\[\\]{}\",:a\\\\ ]{0,60}", size in 1_usize..8) {
            let _ = cut(bytes.as_bytes(), size);
        }
    }
}
