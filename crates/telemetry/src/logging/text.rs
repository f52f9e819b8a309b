//! Lines for people, as klog writes them: `I1121 16:40:00.123456   12345 observe.rs:61] "bound" pod="default/a" attempts=3`.
//!
//! Sources: `FormatHeader` in `k8s.io/klog/v2/internal/buffer`, `KVListFormat` in `internal/serialize`.

use super::line::{Line, caller};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::fmt;
use std::fmt::Write as _;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// klog's text.
pub(super) struct Text {
    time_zone: TimeZone,
    process: u32,
}

impl Text {
    /// In this machine's time zone, which in a container is UTC.
    pub(super) fn new() -> Text {
        Text {
            time_zone: TimeZone::system(),
            process: std::process::id(),
        }
    }

    fn line(&self, event: &Event<'_>, now: Timestamp) -> Result<String, fmt::Error> {
        let severity = match *event.metadata().level() {
            Level::ERROR => 'E',
            Level::WARN => 'W',
            _ => 'I',
        };
        let Line { message, error, fields } = Line::of(event);
        let now = now.to_zoned(self.time_zone.clone());
        let mut line = format!(
            "{severity}{} {:7} {}] {message:?}",
            now.strftime("%m%d %H:%M:%S.%6f"),
            self.process,
            caller(event.metadata()),
        );
        if let Some(error) = error {
            write!(line, " err={error:?}")?;
        }
        for (key, value) in fields {
            match value {
                Value::String(text) => write!(line, " {key}={text:?}")?,
                value => write!(line, " {key}={value}")?,
            }
        }
        Ok(line)
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writeln!(writer, "{}", self.line(event, Timestamp::now())?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verbosity;
    use super::super::testing::logged;
    use super::*;

    #[test]
    fn lines_look_as_klogs_do() {
        let text = Text {
            time_zone: TimeZone::UTC,
            process: 12345,
        };
        let lines = logged(text, &Verbosity::new(2), || {
            tracing::info!(pod = %"default/a", node = "n-1", attempts = 3, quick = true, "bound");
            tracing::warn!(error = %"no \"route\"\nat all", kind = "Pod", "cannot list");
            tracing::error!("the end");
            tracing::debug!("unheard");
        });
        let mut bodies = Vec::new();
        for line in lines.lines() {
            let (head, body) = line.split_once("] ").expect("a header");
            let (time, place) = head.split_once("   12345 ").expect("a process");
            assert!(time.len() == "I1121 16:40:00.123456".len() && time.is_ascii(), "{time}");
            assert!(place.starts_with("text.rs:"), "{place}");
            bodies.push(format!("{}: {body}", &time[..1]));
        }
        assert_eq!(
            bodies,
            [
                r#"I: "bound" pod="default/a" node="n-1" attempts=3 quick=true"#,
                r#"W: "cannot list" err="no \"route\"\nat all" kind="Pod""#,
                r#"E: "the end""#,
            ]
        );
    }

    #[test]
    fn the_header_tells_the_time_of_this_place() {
        let berlin = Text {
            time_zone: TimeZone::fixed(jiff::tz::offset(1)),
            process: 7,
        };
        // An event has no life outside of a subscriber: one that formats it at a time of the test's choice.
        struct At(Text);
        impl<S, N> FormatEvent<S, N> for At
        where
            S: Subscriber + for<'a> LookupSpan<'a>,
            N: for<'a> FormatFields<'a> + 'static,
        {
            fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
                let at = "2026-11-21T15:40:00.123456Z".parse().unwrap();
                writeln!(writer, "{}", self.0.line(event, at)?)
            }
        }
        let line = logged(At(berlin), &Verbosity::new(2), || tracing::info!("hello"));
        assert!(line.starts_with("I1121 16:40:00.123456       7 text.rs:"), "{line}");
    }
}
