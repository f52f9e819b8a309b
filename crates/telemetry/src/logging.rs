//! Logs: to stderr, in klog's habits, as text or as JSON, at klog's verbosity numbers.
//!
//! | `-v` | what is said |
//! |---|---|
//! | 0, 1 | warnings, errors, and what must always be said: start, leadership, end |
//! | 2, 3 | one line for each decision about a pod or a gang, and for each change of state (the default) |
//! | 4, 5 | what becomes of a gang's members; what helps to find a fault: requests to the server's own pages, what was tried again |
//! | 6, 7 | each request to the API server, each attempt at a pod |
//! | 8 and more | libraries, too |
//!
//! At no verbosity is a body, a header or a token logged, and a last look at each text takes out what looks like a secret
//! (`redact`).

mod json;
mod line;
mod modules;
mod redact;
mod text;
mod verbosity;

use self::json::Json;
use self::text::Text;
pub use self::verbosity::Verbosity;
use std::fmt;
use std::str::FromStr;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: klog's.
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
pub fn start(format: Format, verbosity: &Verbosity) {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    let filter = verbosity.clone();
    let started = match format {
        Format::Text => registry
            .with(layer.event_format(Text::new()).with_filter(filter))
            .try_init(),
        Format::Json => registry.with(layer.event_format(Json).with_filter(filter)).try_init(),
    };
    // Whoever was first keeps it: a test that has a subscriber of its own.
    drop(started);
}

#[cfg(test)]
mod testing {
    //! Log lines caught by a test.

    use super::*;
    use std::io;
    use std::sync::{Arc, LazyLock, Mutex, PoisonError};
    use tracing::Dispatch;
    use tracing_subscriber::fmt::FormatEvent;
    use tracing_subscriber::fmt::format::DefaultFields;
    use tracing_subscriber::registry::Registry;

    /// `tracing` keeps for each place in the code who wants to hear of it. Where subscribers come and go in several threads
    /// at once, it may believe for a moment that nobody does.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// While there is one subscriber alone, `tracing` takes it to be that of the thread which asks anew who wants to hear: a
    /// test that changes a level would silence the others. With this one there are always two.
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Registry::default()));

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

    /// What is logged in this format while `work` runs.
    pub(super) fn logged<F>(format: F, verbosity: &Verbosity, work: impl FnOnce()) -> String
    where
        F: FormatEvent<Registry, DefaultFields> + Send + Sync + 'static,
    {
        // A test that failed meanwhile has said so.
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        LazyLock::force(&ANOTHER);
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(format)
            .with_writer(move || writer.clone())
            .with_filter(verbosity.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::logged;
    use super::*;

    #[test]
    fn no_secret_leaves_whatever_it_came_in() {
        #[derive(Debug, thiserror::Error)]
        #[error("the server said: {0}")]
        struct Quoting(String);

        let secret = "c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1yZWFk";
        let clothed = [
            format!("eyJhbGciOiJSUzI1NiJ9.{secret}.{secret}"),
            format!("Authorization: Bearer {secret}"),
            format!("authorization: basic {secret}"),
            format!("https://user:{secret}@example.org/path"),
            format!("-----BEGIN EC PRIVATE KEY-----\n{secret}\n-----END EC PRIVATE KEY-----"),
        ];
        for clothed in clothed {
            let say = || {
                let error = Quoting(clothed.clone());
                tracing::error!(%error, "as an error");
                tracing::warn!(?error, "as an error's insides");
                tracing::info!(pod = %clothed, "as an object");
                tracing::info!(why = clothed, "as a field");
                tracing::info!("as part of the sentence: {clothed}");
                tracing::debug!(list = ?[&clothed, &clothed], "as a list");
            };
            for text in [
                logged(Text::new(), &Verbosity::new(10), say),
                logged(Json, &Verbosity::new(10), say),
            ] {
                assert_eq!(text.lines().count(), 6, "{text}");
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}
