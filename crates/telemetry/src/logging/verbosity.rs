//! How much is logged, which can be changed while the process runs: `--v`, `--vmodule`, `PUT /debug/flags/v`.

use std::str::FromStr;
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

/// Whoever may change it at run time may not make the log slow by it: each place that logs is held against all patterns.
const MODULES_LENGTH: usize = 4096;

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
        let modules: Vec<_> = modules
            .0
            .iter()
            .map(|(name, level)| format!("{name}={level}"))
            .collect();
        modules.join(",")
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
        let most = modules.0.iter().map(|(_, level)| *level).chain([self.level()]).max();
        Some(match most.unwrap_or(0) {
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

fn parse_level(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("{text:?} is no number from 0 to 255"))
}

/// Files of which more is logged, by name without `.rs`; `*` stands for anything, `?` for one character.
#[derive(Debug, Default, PartialEq, Eq)]
struct Modules(Vec<(String, u8)>);

impl FromStr for Modules {
    type Err = String;

    fn from_str(text: &str) -> Result<Modules, String> {
        let mut modules = Vec::new();
        if text.len() > MODULES_LENGTH {
            return Err(format!("this is longer than {MODULES_LENGTH} characters"));
        }
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, level)) = part.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(format!("{part:?} is not of the form FILE=NUMBER"));
            };
            modules.push((name.to_owned(), parse_level(level)?));
        }
        Ok(Modules(modules))
    }
}

impl Modules {
    /// The level of the first name that fits.
    fn level_of(&self, file: Option<&str>) -> Option<u8> {
        let file = file?.rsplit(['/', '\\']).next()?;
        let stem = file.strip_suffix(".rs").unwrap_or(file);
        let fits = |(name, _): &&(String, u8)| is_like(stem.as_bytes(), name.as_bytes());
        self.0.iter().find(fits).map(|(_, level)| *level)
    }
}

/// Whether a name is like a pattern. Takes at most as many steps as the product of both lengths.
fn is_like(name: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    // Behind the last `*`, and how far what it stands for reaches: only the last one has to be thought over.
    let mut star = None;
    while at < name.len() {
        match pattern.get(next) {
            Some(b'*') => {
                next += 1;
                star = Some((next, at));
            }
            Some(wanted) if *wanted == b'?' || *wanted == name[at] => (at, next) = (at + 1, next + 1),
            _ => match star {
                Some((behind, reaches)) => {
                    star = Some((behind, reaches + 1));
                    (at, next) = (reaches + 1, behind);
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|left| *left == b'*')
}

#[cfg(test)]
mod tests {
    use super::super::testing::logged;
    use super::super::text::Text;
    use super::*;
    use proptest::prelude::*;

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
        assert!(verbosity.set_modules("driver=x").is_err());
        let endless = format!("{}=4", "x".repeat(MODULES_LENGTH));
        assert!(verbosity.set_modules(&endless).unwrap_err().contains("longer than"));
    }

    #[test]
    fn patterns() {
        let is_like = |name: &str, pattern: &str| is_like(name.as_bytes(), pattern.as_bytes());
        assert!(is_like("lease", "lease") && is_like("lease", "l*e") && is_like("lease", "*") && is_like("", "*"));
        assert!(is_like("lease", "??ase") && !is_like("lease", "leas") && !is_like("leas", "lease"));
        assert!(!is_like("release", "lease") && is_like("release", "*lease"));
        assert!(
            is_like("", "")
                && !is_like("", "?")
                && is_like("aab", "*ab")
                && is_like("abcbd", "a*b?")
                && !is_like("ab", "*a")
        );
        // Whatever is asked, it ends soon.
        let stars = "*".repeat(2000);
        assert!(!is_like(&"a".repeat(2000), &format!("{stars}z")) && is_like("lease", &stars));
    }

    proptest! {
        #[test]
        fn patterns_are_like_what_they_are_made_of(parts in prop::collection::vec(("[a-c]{0,3}", "[a-c]{0,3}"), 0..5)) {
            let name: String = parts.iter().flat_map(|(own, more)| [own.as_str(), more]).collect();
            let pattern: String = parts.iter().flat_map(|(own, _)| [own.as_str(), "*"]).collect();
            prop_assert!(is_like(name.as_bytes(), pattern.as_bytes()));
            let longer = name.clone() + "d";
            prop_assert_eq!(is_like(longer.as_bytes(), pattern.as_bytes()), !parts.is_empty());
        }
    }
}
