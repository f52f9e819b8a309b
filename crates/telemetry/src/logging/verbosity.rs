//! How much is logged, which can be changed while the process runs: `--v`, `--vmodule`, `PUT /debug/flags/v`.

use super::modules::{Modules, parse_level};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// The target of what is said at any verbosity, though nothing is wrong.
const ALWAYS: &str = "muster::always";
/// From here on libraries are heard. What they say is about their own insides: not for an operator, unless asked for very
/// loudly.
const LIBRARIES_FROM: u8 = 8;

/// The verbosity. Clones share it.
#[derive(Debug, Clone)]
pub struct Verbosity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    level: AtomicU8,
    modules: RwLock<Modules>,
}

impl Verbosity {
    /// This much, everywhere.
    pub fn new(level: u8) -> Verbosity {
        Verbosity(Arc::new(Shared {
            level: AtomicU8::new(level),
            modules: RwLock::default(),
        }))
    }

    /// How much is logged where nothing else is said.
    pub fn level(&self) -> u8 {
        self.0.level.load(Ordering::Relaxed)
    }

    /// The files of which more is logged, as `--vmodule` has them.
    pub fn modules(&self) -> String {
        let modules = self.0.modules.read().unwrap_or_else(PoisonError::into_inner);
        modules.to_string()
    }

    /// Changes how much is logged.
    ///
    /// # Errors
    /// This is no number from 0 to 255.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        let level = parse_level(level)?;
        self.0.level.store(level, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Changes of which files more is logged: `driver=6,lea*=4`.
    ///
    /// # Errors
    /// This is no such list; says which part.
    pub fn set_modules(&self, modules: &str) -> Result<(), String> {
        let modules = modules.parse()?;
        *self.0.modules.write().unwrap_or_else(PoisonError::into_inner) = modules;
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    fn lets(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        if !target.starts_with("muster") {
            // kube_client logs every failed request as an error, with the output of credential plugins in full. What a
            // failure means, and how often to say it, is decided by whoever asked.
            let heard = if self.level() < LIBRARIES_FROM {
                Level::WARN
            } else {
                Level::DEBUG
            };
            return !target.starts_with("kube_client") && *metadata.level() <= heard;
        }
        let needed = level_of(metadata);
        needed <= self.level() || {
            let modules = self.0.modules.read().unwrap_or_else(PoisonError::into_inner);
            modules.level_of(metadata.file()).is_some_and(|level| needed <= level)
        }
    }
}

impl<S> Filter<S> for Verbosity {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.lets(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.lets(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let modules = self.0.modules.read().unwrap_or_else(PoisonError::into_inner);
        Some(match modules.most().max(self.level()) {
            // What is always said is at this level, too.
            0..=3 => LevelFilter::INFO,
            4 | 5 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }
}

/// The verbosity from which on something is said.
pub(super) fn level_of(metadata: &Metadata<'_>) -> u8 {
    match *metadata.level() {
        Level::ERROR | Level::WARN => 0,
        _ if metadata.target() == ALWAYS => 0,
        Level::INFO => 2,
        Level::DEBUG => 4,
        Level::TRACE => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::logged;
    use super::super::text::Text;
    use super::*;

    /// The messages that are heard.
    fn heard(verbosity: &Verbosity) -> Vec<String> {
        let lines = logged(Text::new(), verbosity, || {
            tracing::info!(target: ALWAYS, "begins");
            tracing::warn!("wrong");
            tracing::info!("decided");
            tracing::debug!("looked");
            tracing::trace!("asked");
            tracing::warn!(target: "hyper::proto", "foreign warning");
            tracing::debug!(target: "hyper::proto", "foreign detail");
            tracing::error!(target: "kube_client::client::builder", "quotes secrets");
        });
        let message = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
        lines.lines().map(message).collect()
    }

    #[test]
    fn numbers_mean_what_they_mean_in_klog() {
        assert_eq!(heard(&Verbosity::new(0)), ["begins", "wrong", "foreign warning"]);
        assert_eq!(
            heard(&Verbosity::new(2)),
            ["begins", "wrong", "decided", "foreign warning"]
        );
        assert_eq!(heard(&Verbosity::new(3)), heard(&Verbosity::new(2)));
        assert_eq!(
            heard(&Verbosity::new(4)),
            ["begins", "wrong", "decided", "looked", "foreign warning"]
        );
        assert_eq!(
            heard(&Verbosity::new(6)),
            ["begins", "wrong", "decided", "looked", "asked", "foreign warning"]
        );
        assert_eq!(heard(&Verbosity::new(10)).last().unwrap(), "foreign detail");
    }

    #[test]
    fn it_is_changed_while_the_process_runs() {
        let verbosity = Verbosity::new(0);
        assert_eq!(heard(&verbosity).len(), 3);
        verbosity.set_level("4").unwrap();
        assert_eq!(heard(&verbosity).len(), 5);
        verbosity.set_level("0").unwrap();
        assert_eq!(heard(&verbosity).len(), 3);
        assert_eq!(
            verbosity.set_level("much").unwrap_err(),
            "\"much\" is no number from 0 to 255"
        );
    }

    #[test]
    fn single_files_can_say_more() {
        let verbosity = Verbosity::new(0);
        verbosity.set_modules("driver=6, verb?s*=4").unwrap();
        assert_eq!(verbosity.modules(), "driver=6,verb?s*=4");
        // This file.
        assert_eq!(
            heard(&verbosity),
            ["begins", "wrong", "decided", "looked", "foreign warning"]
        );
        verbosity.set_modules("").unwrap();
        assert_eq!(heard(&verbosity).len(), 3);
        assert!(verbosity.set_modules("driver").unwrap_err().contains("FILE=NUMBER"));
    }
}
