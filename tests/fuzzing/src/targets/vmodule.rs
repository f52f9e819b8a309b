//! `--vmodule`: lists of patterns, with the name of a file in a line before them.

#[allow(dead_code)]
#[path = "../../../../crates/telemetry/src/logging/modules.rs"]
mod modules;

use crate::text_of;
use modules::{Modules, is_like};

/// Reads the list, and holds the file against it.
pub fn run(bytes: &[u8]) {
    let text = text_of(bytes);
    let (file, list) = text.split_once('\n').unwrap_or(("crates/kube/src/driver.rs", text));
    if let Ok(modules) = list.parse::<Modules>() {
        let again = modules.to_string().parse::<Modules>();
        assert_eq!(again.as_ref(), Ok(&modules), "what was printed");
        let level = modules.level_of(Some(file));
        assert!(level.is_none_or(|level| level <= modules.most()), "{level:?}");
    }
    // All of it as one pattern, too: nearly no text is a list.
    let (file, pattern) = (file.as_bytes(), list.as_bytes());
    assert_eq!(is_like(file, pattern), is_like_by_table(file, pattern));
}

/// What [`is_like`] says, without a short cut: from the end on, whether the rest of the name is like the rest of the pattern.
fn is_like_by_table(name: &[u8], pattern: &[u8]) -> bool {
    let mut rest = vec![false; name.len() + 1];
    rest[name.len()] = true;
    for wanted in pattern.iter().rev() {
        let mut with = vec![false; name.len() + 1];
        for at in (0..=name.len()).rev() {
            let more = at < name.len();
            with[at] = match wanted {
                b'*' => rest[at] || more && with[at + 1],
                _ => more && rest[at + 1] && (*wanted == b'?' || *wanted == name[at]),
            };
        }
        rest = with;
    }
    rest[0]
}
