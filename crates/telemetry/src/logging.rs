//! Logs: to stderr, as text or as JSON with the keys that Kubernetes' components use, at klog's verbosity numbers.
//!
//! | `-v` | what is said |
//! |---|---|
//! | 0, 1 | warnings and errors |
//! | 2, 3 | one line for each decision about a pod, and for each change of state (the default) |
//! | 4, 5 | what helps to find a fault |
//! | 6 and more | everything; from 8 on, libraries too |

use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Text => "text",
            Format::Json => "json",
        })
    }
}

/// Begins to log. Called once; a second call changes nothing.
pub fn start(format: Format, verbosity: u8) {
    let registry = tracing_subscriber::registry().with(filter(verbosity));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        Format::Text => registry.with(layer.with_target(false).with_ansi(false)).try_init(),
        Format::Json => registry.with(layer.event_format(Json)).try_init(),
    };
    // Whoever was first keeps it: a test that has a subscriber of its own.
    drop(started);
}

fn level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0 | 1 => LevelFilter::WARN,
        2 | 3 => LevelFilter::INFO,
        4 | 5 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

fn filter(verbosity: u8) -> Targets {
    // What libraries say at debug is about their own insides: not for an operator, unless asked for very loudly.
    let libraries = if verbosity < 8 {
        LevelFilter::WARN
    } else {
        LevelFilter::DEBUG
    };
    Targets::new()
        .with_default(libraries)
        // The prefix covers every crate of the workspace.
        .with_target("muster", level(verbosity))
        // It logs every failed request as an error, with the output of credential plugins in full. What a failure means,
        // and how often to say it, is decided by whoever asked.
        .with_target("kube_client", LevelFilter::OFF)
}

/// The verbosity that a level stands for, for the key `v`.
fn verbosity(level: Level) -> u8 {
    match level {
        Level::ERROR | Level::WARN => 0,
        Level::INFO => 2,
        Level::DEBUG => 4,
        Level::TRACE => 6,
    }
}

/// One JSON object a line: `ts` (Unix seconds), `v` or `level`, `msg`, `err`, and the fields as they are named.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = Line(Map::new());
        // Whole microseconds, or the float shows digits that nobody measured.
        line.0
            .insert("ts".into(), (since_epoch.as_micros() as f64 / 1e6).into());
        line.0.insert("logger".into(), metadata.target().into());
        match *metadata.level() {
            Level::ERROR => line.0.insert("level".into(), "error".into()),
            Level::WARN => line.0.insert("level".into(), "warning".into()),
            level => line.0.insert("v".into(), verbosity(level).into()),
        };
        event.record(&mut line);
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

/// Collects the fields of an event.
struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        let key = match field.name() {
            "message" => "msg",
            "error" => "err",
            name => name,
        };
        self.0.insert(key.to_owned(), value);
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
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_lines_have_the_keys_of_kubernetes() {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Json)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(filter(2)).with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(pod = %"default/a", attempts = 3, "bound");
            tracing::warn!(error = %"no route", "cannot list");
            tracing::debug!("unheard");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["msg"], &lines[0]["v"]), (&"bound".into(), &2.into()));
        assert_eq!(
            (&lines[0]["pod"], &lines[0]["attempts"]),
            (&"default/a".into(), &3.into())
        );
        assert_eq!(
            (&lines[1]["level"], &lines[1]["err"]),
            (&"warning".into(), &"no route".into())
        );
        assert!(lines[0]["ts"].as_f64().is_some_and(|ts| ts > 1e9));
    }

    #[test]
    fn libraries_keep_quiet() {
        assert!(filter(2).would_enable("muster_kube::informer", &Level::INFO));
        assert!(!filter(2).would_enable("muster_kube::informer", &Level::DEBUG));
        assert!(filter(6).would_enable("muster", &Level::TRACE));
        assert!(!filter(6).would_enable("hyper::proto", &Level::DEBUG));
        assert!(filter(8).would_enable("hyper::proto", &Level::DEBUG));
        assert!(!filter(8).would_enable("kube_client::client::builder", &Level::ERROR));
        assert!(!filter(0).would_enable("muster", &Level::INFO));
        assert!(filter(0).would_enable("hyper", &Level::WARN));
    }
}
