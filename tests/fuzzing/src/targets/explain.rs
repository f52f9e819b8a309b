//! What an explanation or an overview is asked for: as people write it, and as a path of the aggregated API.

use crate::explain::paths::{self, Wanted};
use crate::explain::subject::subject;
use crate::overview::paths as overviews;
use crate::text_of;
use muster_engine::Subject;

/// Reads it as either.
pub fn run(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Ok(subject) = subject(text, "shop") {
        let (Subject::Pod { name, .. } | Subject::Group { name, .. }) = &subject;
        // It stands for a slash in paths, and no object has it in its name.
        if !name.contains(':') {
            check_path(subject, true);
        }
    }
    let wanted = paths::wanted(text);
    if let Some(namespace) = overviews::wanted(text) {
        assert_eq!(wanted, None, "a path is of one thing");
        let path = overviews::path_of(namespace.as_deref());
        assert_eq!(overviews::wanted(&path), Some(namespace), "{path}");
    }
    if let Some(Wanted::Explanation { subject, full }) = wanted {
        check_path(subject, full);
    }
}

/// A question that is asked by a path is understood there.
fn check_path(subject: Subject, full: bool) {
    let path = paths::path_of(&subject, full);
    let wanted = paths::wanted(&path);
    assert_eq!(wanted, Some(Wanted::Explanation { subject, full }), "{path}");
}
