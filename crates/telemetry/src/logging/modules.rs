//! Files of which more is logged, as `--vmodule` and `PUT /debug/flags/vmodule` name them: `driver=6,lea*=4`.

use std::fmt;
use std::str::FromStr;

/// Whoever may change it at run time may not make the log slow by it: each place that logs is held against all patterns.
const MODULES_LENGTH: usize = 4096;

/// Reads a level.
///
/// # Errors
/// This is no number from 0 to 255.
pub(super) fn parse_level(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("{text:?} is no number from 0 to 255"))
}

/// Files of which more is logged, by name without `.rs`; `*` stands for anything, `?` for one character.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modules(Vec<(String, u8)>);

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

/// As they are read.
impl fmt::Display for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, level)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{name}={level}")?;
        }
        Ok(())
    }
}

impl Modules {
    /// The highest level of any; 0: there are none.
    pub(super) fn most(&self) -> u8 {
        self.0.iter().map(|(_, level)| *level).max().unwrap_or(0)
    }

    /// The level of the first name that fits.
    pub(super) fn level_of(&self, file: Option<&str>) -> Option<u8> {
        let file = file?.rsplit(['/', '\\']).next()?;
        let stem = file.strip_suffix(".rs").unwrap_or(file);
        let fits = |(name, _): &&(String, u8)| is_like(stem.as_bytes(), name.as_bytes());
        self.0.iter().find(fits).map(|(_, level)| *level)
    }
}

/// Whether a name is like a pattern. Takes at most as many steps as the product of both lengths.
pub(super) fn is_like(name: &[u8], pattern: &[u8]) -> bool {
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
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_such_list_is_refused() {
        let refused = |text: &str| text.parse::<Modules>().unwrap_err();
        assert!(refused("driver").contains("FILE=NUMBER"));
        assert!(refused("=4").contains("FILE=NUMBER"));
        assert_eq!(refused("driver=x"), "\"x\" is no number from 0 to 255");
        assert!(refused(&format!("{}=4", "x".repeat(MODULES_LENGTH))).contains("longer than"));
    }

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let modules: Modules = "driver=6, lea*=4,lease=9".parse().unwrap();
        let level = |file: &str| modules.level_of(Some(file));
        assert_eq!((level("src/lease.rs"), level("a\\driver.rs")), (Some(4), Some(6)));
        assert_eq!((level("src/drivers.rs"), modules.level_of(None)), (None, None));
        assert_eq!((modules.most(), Modules::default().most()), (9, 0));
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
