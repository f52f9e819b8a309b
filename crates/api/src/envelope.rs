//! Lists and watch events: splitting them into single objects, without reading what the objects hold.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EnvelopeError(String);

/// One page of a list.
#[derive(Debug)]
pub struct Page<'a> {
    /// Where a watch goes on from this list.
    pub resource_version: String,
    /// How to ask for the next page; none if this is the last.
    pub continue_token: Option<String>,
    /// The objects, each as its bytes.
    pub items: Vec<&'a [u8]>,
}

/// What a watch event says about its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// It is new.
    Added,
    /// It has changed.
    Modified,
    /// It is gone.
    Deleted,
    /// Nothing happened up to this version.
    Bookmark,
    /// The watch cannot go on; the object is a `Status`.
    Error,
}

impl EventType {
    const ALL: [(&'static str, EventType); 5] = [
        ("MODIFIED", EventType::Modified),
        ("ADDED", EventType::Added),
        ("DELETED", EventType::Deleted),
        ("BOOKMARK", EventType::Bookmark),
        ("ERROR", EventType::Error),
    ];

    fn of(name: &str) -> Option<EventType> {
        let known = EventType::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, event_type)| *event_type)
    }
}

/// One event of a watch.
#[derive(Debug)]
pub struct WatchEvent<'a> {
    /// What happened.
    pub event_type: EventType,
    /// To what.
    pub object: &'a [u8],
}

/// Splits a page of a list.
///
/// # Errors
/// It is not a list.
pub fn page(body: &[u8]) -> Result<Page<'_>, EnvelopeError> {
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
        .map_err(|error| EnvelopeError(format!("this is not a page of a list: {error}")))?;
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

/// Splits a watch event.
///
/// # Errors
/// It is not a watch event, or of a type that nobody knows.
pub fn watch_event(line: &[u8]) -> Result<WatchEvent<'_>, EnvelopeError> {
    if let Some(event) = as_the_server_writes_it(line) {
        return Ok(event);
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    let event: Event<'_> =
        serde_json::from_slice(line).map_err(|error| EnvelopeError(format!("this is not a watch event: {error}")))?;
    let Some(event_type) = EventType::of(&event.r#type) else {
        return Err(EnvelopeError(format!("watch events have no type {:?}", event.r#type)));
    };
    Ok(WatchEvent {
        event_type,
        object: event.object.get().as_bytes(),
    })
}

/// Splits a watch event by its first and last bytes alone, if it looks as `metav1.WatchEvent` is written: the type, then
/// the object, and nothing else. Whoever reads the object reads all of its bytes, and so finds what is wrong in between.
fn as_the_server_writes_it(line: &[u8]) -> Option<WatchEvent<'_>> {
    let rest = line.trim_ascii_end().strip_prefix(br#"{"type":""#)?;
    EventType::ALL.iter().find_map(|(name, event_type)| {
        let rest = rest.strip_prefix(name.as_bytes())?;
        let object = rest.strip_prefix(br#"","object":"#)?.strip_suffix(b"}")?;
        let is_an_object = object.starts_with(b"{") && object.ends_with(b"}");
        is_an_object.then_some(WatchEvent {
            event_type: *event_type,
            object,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_split_into_items() {
        let body =
            br#"{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"abc"},"items":[{"a":1},{"b":"x"}]}"#;
        let page = page(body).unwrap();
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
            let page = page(body).unwrap();
            assert!(page.continue_token.is_none() && page.items.is_empty());
        }
        assert!(page(b"<html>").is_err());
        assert!(page(br#"{"items":[]}"#).is_err());
    }

    #[test]
    fn watch_events_are_split_however_they_are_written() {
        for line in [
            &br#"{"type":"DELETED","object":{"a":{"b":"}"}}}"#[..],
            b"{\"type\":\"DELETED\",\"object\":{\"a\":{\"b\":\"}\"}}}\r",
            br#"{ "type": "DELETED", "object": {"a":{"b":"}"}} }"#,
            br#"{"object":{"a":{"b":"}"}},"type":"DELETED"}"#,
            br#"{"type":"DE\u004cETED","object":{"a":{"b":"}"}},"extra":[1]}"#,
        ] {
            let event = watch_event(line).unwrap();
            assert_eq!(
                (event.event_type, event.object),
                (EventType::Deleted, &br#"{"a":{"b":"}"}}"#[..])
            );
        }
    }

    #[test]
    fn strange_watch_events_are_errors() {
        assert!(watch_event(br#"{"type":"RENAMED","object":{}}"#).is_err());
        assert!(watch_event(br#"{"type":"ADDED"}"#).is_err());
        assert!(watch_event(br#"{"type":"ADDED","object":{"a":1}"#).is_err());
        assert!(watch_event(b"junk").is_err());
    }
}
