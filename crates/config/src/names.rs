//! Names as Kubernetes allows them: label keys and values, and extended resources.
//!
//! Each function answers with what is wrong, or None. Source: `k8s.io/apimachinery/pkg/api/validate/content/kube.go` and
//! `pkg/apis/core/v1/helper/helpers.go`.

const MAX_NAME: usize = 63;
const MAX_PREFIX: usize = 253;

/// What is wrong with a qualified name: a label key, a topology key, or a resource.
pub fn qualified_name(text: &str) -> Option<&'static str> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if name.contains('/') {
        return Some("must be a name with an optional DNS subdomain and '/' before it, such as example.com/my-name");
    }
    if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        return Some("the part before '/' must be a DNS subdomain, such as example.com");
    }
    if MAX_NAME < name.len() {
        return Some("the name must have no more than 63 characters");
    }
    if !is_name(name) {
        return Some(
            "the name must consist of letters, digits, '-', '_' and '.', and begin and end with a letter or a digit",
        );
    }
    None
}

/// What is wrong with the value of a label.
pub fn label_value(text: &str) -> Option<&'static str> {
    if MAX_NAME < text.len() {
        return Some("the value of a label must have no more than 63 characters");
    }
    if !text.is_empty() && !is_name(text) {
        return Some(
            "the value of a label must be empty or consist of letters, digits, '-', '_' and '.', and begin and end with a \
             letter or a digit",
        );
    }
    None
}

/// What is wrong with the name of an extended resource.
pub(crate) fn extended_resource(text: &str) -> Option<&'static str> {
    const NOT_EXTENDED: &str = "must be the name of an extended resource, such as example.com/gpu";
    if let Some(wrong) = qualified_name(text) {
        return Some(wrong);
    }
    let native = !text.contains('/') || text.contains("kubernetes.io/");
    // Upstream asks that its quota, which is named after it, has a valid name.
    let quota = format!("requests.{text}");
    let extended = !native && !text.starts_with("requests.") && qualified_name(&quota).is_none();
    (!extended).then_some(NOT_EXTENDED)
}

fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= MAX_PREFIX && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys() {
        for good in ["a", "A_b.c-9", "example.com/a", "a.b-c.d/1", &"x".repeat(63)] {
            assert_eq!(qualified_name(good), None, "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a/b/c",
            "Example.com/a",
            "-a",
            "a.",
            "a b",
            "é",
            "a..b/c",
            &"x".repeat(64),
        ] {
            assert!(qualified_name(bad).is_some(), "{bad}");
        }
        assert_eq!(qualified_name(&format!("{}/a", "x".repeat(253))), None);
        assert!(qualified_name(&format!("{}/a", "x".repeat(254))).is_some());
    }

    #[test]
    fn label_values() {
        for good in ["", "a", "1.2_3-X"] {
            assert_eq!(label_value(good), None, "{good}");
        }
        for bad in ["-1", "a/b", "+1", " ", &"x".repeat(64)] {
            assert!(label_value(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn extended_resources() {
        assert_eq!(extended_resource("example.com/gpu"), None);
        for bad in [
            "cpu",
            "kubernetes.io/gpu",
            "a.kubernetes.io/b",
            "requests.example.com/gpu",
            "a/b c",
        ] {
            assert!(extended_resource(bad).is_some(), "{bad}");
        }
        let longest = "x".repeat(253 - "requests.".len());
        assert_eq!(extended_resource(&format!("{longest}/a")), None);
        assert!(extended_resource(&format!("{longest}x/a")).is_some());
    }
}
