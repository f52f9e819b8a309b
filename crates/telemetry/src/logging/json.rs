//! Lines for machines, with the keys of Kubernetes' components: `ts` in milliseconds, `caller`, `msg`, `v` or (for errors)
//! `err`, and the fields as they are named. Objects are `{"name":…,"namespace":…}`. `logger` is the module; `level` is
//! there where upstream's lines cannot tell: on warnings and errors.
//!
//! Source: `k8s.io/component-base/logs/json/json.go`.

use super::line::{Line, caller, object};
use super::verbosity::level_of;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt;
use std::fmt::Write as _;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// One object a line.
pub(super) struct Json;

fn line(event: &Event<'_>, now: Timestamp) -> Result<String, fmt::Error> {
    let metadata = event.metadata();
    let Line { message, error, fields } = Line::of(event);
    // Whole microseconds, or the float shows digits that nobody measured.
    let mut line = format!("{{\"ts\":{}", now.as_microsecond() as f64 / 1e3);
    let mut put = |key: &str, value: &Value| write!(line, ",{}:{value}", Value::from(key));
    put("caller", &caller(metadata).into())?;
    put("logger", &metadata.target().into())?;
    match *metadata.level() {
        Level::ERROR => put("level", &"error".into())?,
        Level::WARN => put("level", &"warning".into())?,
        _ => put("v", &level_of(metadata).into())?,
    }
    put("msg", &message.into())?;
    if let Some(error) = error {
        put("err", &error.into())?;
    }
    for (key, value) in &fields {
        match object(key, value) {
            Some(("", name)) => put(key, &json!({ "name": name }))?,
            Some((namespace, name)) => put(key, &json!({ "name": name, "namespace": namespace }))?,
            None => put(key, value)?,
        }
    }
    line.push('}');
    Ok(line)
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writeln!(writer, "{}", line(event, Timestamp::now())?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verbosity;
    use super::super::testing::logged;
    use super::*;

    #[test]
    fn json_lines_have_the_keys_of_kubernetes() {
        let text = logged(Json, &Verbosity::new(2), || {
            tracing::info!(pod = %"default/a", node = "n-1", attempts = 3, "bound");
            tracing::info!(group = %"default/train/workers[0]", why = "a/b", "waits");
            tracing::warn!(error = %"no \"route\"", "cannot list");
            tracing::debug!("unheard");
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert!(text.starts_with("{\"ts\":"), "{text}");
        assert!(lines[0]["ts"].as_f64().is_some_and(|ts| ts > 1e12), "milliseconds");
        assert!(
            lines[0]["caller"]
                .as_str()
                .is_some_and(|caller| caller.starts_with("json.rs:"))
        );
        let mut said = lines.clone();
        for line in &mut said {
            let line = line.as_object_mut().expect("an object");
            line.retain(|key, _| !matches!(key.as_str(), "ts" | "caller" | "logger"));
        }
        assert_eq!(
            said,
            [
                json!({"v": 2, "msg": "bound", "attempts": 3, "pod": {"name": "a", "namespace": "default"},
                    "node": {"name": "n-1"}}),
                json!({"v": 2, "msg": "waits", "why": "a/b",
                    "group": {"name": "train/workers[0]", "namespace": "default"}}),
                json!({"level": "warning", "msg": "cannot list", "err": "no \"route\""}),
            ]
        );
    }

    #[test]
    fn a_secret_leaves_whole_lines() {
        let text = logged(Json, &Verbosity::new(2), || {
            tracing::warn!(error = %"asked with \"Bearer abcdefghijklmnopqrstuvwxyz\"", "refused");
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["err"], "asked with \"Bearer <redacted>\"");
    }
}
