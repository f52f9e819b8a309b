//! Differences from upstream that are there on purpose. Everything that isn't in this list is a mistake.

use crate::case::Case;
use crate::compare::Difference;

/// A difference that is there on purpose.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// Names it in reports.
    pub name: &'static str,
    /// Why Muster says something else.
    pub reason: &'static str,
    /// Whether this is that difference.
    pub explains: fn(&Case, &Difference) -> bool,
}

/// All of them.
pub const EXPLANATIONS: &[Explanation] = &[];

/// The explanation of a difference, if it has one.
pub fn explanation(case: &Case, difference: &Difference) -> Option<&'static Explanation> {
    EXPLANATIONS
        .iter()
        .find(|explanation| (explanation.explains)(case, difference))
}
