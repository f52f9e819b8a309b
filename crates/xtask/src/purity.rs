//! The proof that the pure crates are pure: nothing in their dependency trees does I/O, keeps time or rolls dice.

use anyhow::{Context as _, Result};

/// The crates that decide, and so must be deterministic.
pub(crate) const PURE_CRATES: [&str; 3] = ["muster-framework", "muster-plugins", "muster-engine"];

/// What none of them may reach, even through others.
pub(crate) const FORBIDDEN: [&str; 11] = [
    "tokio",
    "kube",
    "kube-client",
    "k8s-openapi",
    "serde",
    "serde_core",
    "jiff",
    "chrono",
    "time",
    "rand",
    "getrandom",
];

/// The way from a pure crate to a forbidden one: the names of the crates, the pure one first.
pub(crate) type Way = Vec<String>;

/// The ways to forbidden crates in what `cargo tree --prefix depth` prints of one crate.
pub(crate) fn forbidden_ways(tree: &str) -> Result<Vec<Way>> {
    let mut ways = Vec::new();
    let mut way: Way = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let (depth, name) = entry(line).with_context(|| format!("no line of `cargo tree`: {line:?}"))?;
        way.truncate(depth);
        way.push(name.to_owned());
        if FORBIDDEN.contains(&name) {
            ways.push(way.clone());
        }
    }
    Ok(ways)
}

/// The depth and the crate of a line such as `2smallvec v1.16.0 (*)`.
fn entry(line: &str) -> Option<(usize, &str)> {
    let name_at = line.find(|c: char| !c.is_ascii_digit())?;
    let depth = line[..name_at].parse().ok()?;
    Some((depth, line[name_at..].split_whitespace().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pure_tree_has_no_forbidden_way() {
        let tree = "0muster-engine v0.1.0 (/somewhere/engine)\n1fixedbitset v0.5.7\n1smallvec v1.16.0\n";
        assert_eq!(forbidden_ways(tree).unwrap(), Vec::<Way>::new());
    }

    #[test]
    fn a_forbidden_crate_is_found_with_the_way_to_it() {
        let tree = "\
0muster-engine v0.1.0 (/somewhere/engine)
1muster-framework v0.1.0 (/somewhere/framework)
2smallvec v1.16.0
3serde v1.0.229
4serde_core v1.0.229
1rustc-hash v2.1.3
2rand v0.9.0
1serde_json v1.0.154
";
        let expected: Vec<Vec<&str>> = vec![
            vec!["muster-engine", "muster-framework", "smallvec", "serde"],
            vec!["muster-engine", "muster-framework", "smallvec", "serde", "serde_core"],
            vec!["muster-engine", "rustc-hash", "rand"],
        ];
        assert_eq!(forbidden_ways(tree).unwrap(), expected);
    }

    #[test]
    fn something_else_than_a_tree_is_an_error() {
        assert!(forbidden_ways("error: no such package").is_err());
    }
}
