//! One copy of the strings that many objects share: namespaces, label keys, names of resources and of nodes.
//!
//! Only memory depends on it, never a result.

use muster_framework::Text;
use std::cell::RefCell;
use std::collections::HashSet;

/// How many strings are kept. A cluster of 5,000 nodes needs a node's name each, and some hundred keys.
const KEPT_MAX: usize = 1 << 16;
/// Longer strings are hardly repeated. Names of images by their digest are, and have some 150 characters.
const LENGTH_MAX: usize = 256;

thread_local! {
    static KEPT: RefCell<HashSet<Text>> = RefCell::new(HashSet::new());
}

/// The shared copy of `text`.
pub(super) fn intern(text: &str) -> Text {
    if text.len() > LENGTH_MAX {
        return text.into();
    }
    KEPT.with_borrow_mut(|kept| {
        if let Some(known) = kept.get(text) {
            return known.clone();
        }
        // Starting over is cheaper than knowing what was used last; objects keep their own references.
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let new = Text::from(text);
        kept.insert(new.clone());
        new
    })
}

/// The shared copy of `text`, unless it is empty.
pub(super) fn intern_some(text: &str) -> Option<Text> {
    (!text.is_empty()).then(|| intern(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn equal_strings_are_one() {
        assert!(Arc::ptr_eq(&intern("kube-system"), &intern("kube-system")));
        assert_eq!(&*intern(&"x".repeat(500)), "x".repeat(500));
        assert_eq!(intern_some(""), None);
    }

    #[test]
    fn the_number_of_strings_is_bounded() {
        for n in 0..=KEPT_MAX {
            intern(&n.to_string());
        }
        assert!(KEPT.with_borrow(HashSet::len) <= KEPT_MAX);
    }
}
