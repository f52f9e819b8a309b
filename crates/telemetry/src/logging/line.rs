//! The parts of a log line, whatever it looks like in the end, without what looks like a secret.

use super::redact::redacted;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};

/// The fields that name an object of the cluster: `namespace/name`, or a name alone.
const OBJECTS: [&str; 5] = ["pod", "group", "lease", "object", "node"];

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The sentence.
    pub(super) message: String,
    /// What went wrong, if something did.
    pub(super) error: Option<String>,
    /// The rest, in the order of the call.
    pub(super) fields: Vec<(Cow<'static, str>, Value)>,
}

impl Line {
    pub(super) fn of(event: &Event<'_>) -> Line {
        let mut line = Line::default();
        event.record(&mut line);
        line
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.fields.push((key(field.name()), value));
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        let text = redacted(text).into_owned();
        match field.name() {
            "message" => self.message = text,
            "error" => self.error = Some(text),
            _ => self.put(field, text.into()),
        }
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }
}

/// The key of a field, spelt as Kubernetes' components spell theirs: `waited_ms` is `waitedMs`.
fn key(field: &'static str) -> Cow<'static, str> {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default();
    if first.len() == field.len() {
        return field.into();
    }
    let mut key = first.to_owned();
    for word in words {
        let mut letters = word.chars();
        key.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        key.push_str(letters.as_str());
    }
    key.into()
}

/// Where in the code an event is: `file.rs:17`.
pub(super) fn caller(metadata: &Metadata<'_>) -> String {
    let file = metadata.file().unwrap_or("unknown");
    let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
    format!("{file}:{}", metadata.line().unwrap_or(0))
}

/// Namespace and name, if this field names an object; the namespace may be empty.
pub(super) fn object<'a>(key: &str, value: &'a Value) -> Option<(&'a str, &'a str)> {
    let text = value.as_str().filter(|_| OBJECTS.contains(&key))?;
    Some(text.split_once('/').unwrap_or(("", text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spelt_as_upstream_does() {
        let keys = ["pod", "waited_ms", "path_and_query", "_"].map(key);
        assert_eq!(keys, ["pod", "waitedMs", "pathAndQuery", ""]);
    }
}
