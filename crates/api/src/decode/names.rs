//! Which texts are label keys, label values and names of resources that schedulers count.

/// Longest name after the slash, or label value.
const NAME_MAX: usize = 63;
/// Longest prefix before the slash.
const PREFIX_MAX: usize = 253;

/// Whether `text` can be the key of a label: a name, perhaps after a DNS prefix and a slash.
/// Source: `k8s.io/apimachinery/pkg/api/validate/content.IsLabelKey` (`IsQualifiedName`).
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        None => is_name(text),
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_name(name),
    }
}

/// Whether `text` can be the value of a label: a name, or empty.
/// Source: `k8s.io/apimachinery/pkg/api/validate/content.IsLabelValue`.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= NAME_MAX
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_dns_subdomain(text: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= PREFIX_MAX
        && text.split('.').all(|label| {
            let bytes = label.as_bytes();
            alphanumeric(bytes.first())
                && alphanumeric(bytes.last())
                && bytes.iter().all(|byte| alphanumeric(Some(byte)) || *byte == b'-')
        })
}

/// Whether a resource beside CPU, memory and local storage is counted: extended ones, huge pages and the like. Others
/// are overlooked, for pods and for nodes.
/// Source: `k8s.io/kubernetes/pkg/scheduler/util.IsScalarResourceName` and the helpers that it calls.
pub(super) fn is_scalar_resource(name: &str) -> bool {
    const NATIVE_PREFIX: &str = "kubernetes.io/";
    const QUOTA_PREFIX: &str = "requests.";
    let extended =
        || name.contains('/') && !name.starts_with(QUOTA_PREFIX) && is_label_key(&format!("{QUOTA_PREFIX}{name}"));
    name.contains(NATIVE_PREFIX)
        || name.starts_with("hugepages-")
        || name.starts_with("attachable-volumes-")
        || extended()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys_and_values() {
        let long = "a".repeat(64);
        for (text, key, value) in [
            ("app", true, true),
            ("", false, true),
            ("a.b_c-D9", true, true),
            ("-a", false, false),
            ("a-", false, false),
            ("example.com/app", true, false),
            ("Example.com/app", false, false),
            ("example..com/app", false, false),
            ("/app", false, false),
            ("example.com/", false, false),
            ("a/b/c", false, false),
            ("two words", false, false),
            (&long, false, false),
            (&long[1..], true, true),
        ] {
            assert_eq!((is_label_key(text), is_label_value(text)), (key, value), "{text:?}");
        }
    }

    #[test]
    fn resources_that_count() {
        for (name, counts) in [
            ("example.com/gpu", true),
            ("hugepages-2Mi", true),
            ("attachable-volumes-csi-x", true),
            ("kubernetes.io/batch", true),
            ("requests.example.com/gpu", false),
            ("Example.com/gpu", false),
            ("gpu", false),
            ("pods", false),
        ] {
            assert_eq!(is_scalar_resource(name), counts, "{name}");
        }
    }
}
