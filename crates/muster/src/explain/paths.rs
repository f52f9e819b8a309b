//! The paths of the API group of explanations: how a question is asked, and what a path asks for. `page` answers.

use super::subject::NAME_MAX;
use muster_engine::Subject;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The API group. It is not `muster.dev`: an aggregated group is served as a whole by whom it names, and `muster.dev` has
/// to stay free for objects that the API server keeps.
pub(crate) const GROUP: &str = "explain.muster.dev";
pub(crate) const VERSION: &str = "v1alpha1";
/// Resources, by whether they are about groups.
pub(crate) const RESOURCES: [(&str, bool); 2] = [("podexplanations", false), ("podgroupexplanations", true)];
/// What stands for itself in a path.
pub(crate) const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b':');

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What there is: the groups, this group, or this version.
    Groups,
    Group,
    Version,
    Explanation {
        subject: Subject,
        full: bool,
    },
}

/// The path of an explanation. In names of groups `:` stands for `/`, which would part a path.
pub(crate) fn path_of(subject: &Subject, full: bool) -> String {
    let (resource, namespace, name) = match subject {
        Subject::Pod { namespace, name } => (RESOURCES[0].0, namespace, name),
        Subject::Group { namespace, name } => (RESOURCES[1].0, namespace, name),
    };
    let name = name.replace('/', ":");
    let [namespace, name] = [&**namespace, &*name].map(|part| utf8_percent_encode(part, PLAIN));
    let full = if full { "/full" } else { "" };
    format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{resource}/{name}{full}")
}

/// What a path asks for; None: it is none of explanations.
pub(crate) fn wanted(path: &str) -> Option<Wanted> {
    let below = path.trim_end_matches('/').strip_prefix("/apis")?;
    let mut parts = below.split('/');
    // What stands before the first slash.
    if parts.next() != Some("") {
        return None;
    }
    match parts.next() {
        None => return Some(Wanted::Groups),
        Some(group) if group != GROUP => return None,
        Some(_) => {}
    }
    match parts.next() {
        None => return Some(Wanted::Group),
        Some(version) if version != VERSION => return None,
        Some(_) => {}
    }
    let Some(namespaces) = parts.next() else {
        return Some(Wanted::Version);
    };
    if namespaces != "namespaces" {
        return None;
    }
    let decoded = |part: &str| percent_decode_str(part).decode_utf8().ok().map(String::from);
    let namespace = decoded(parts.next()?).filter(|name| is_name(name))?;
    let (_, of_groups) = RESOURCES
        .into_iter()
        .find(|(resource, _)| Some(*resource) == parts.clone().next())?;
    let name = decoded(parts.nth(1)?).filter(|name| is_name(name))?;
    let full = match parts.next() {
        None => false,
        Some("full") => true,
        Some(_) => return None,
    };
    if parts.next().is_some() {
        return None;
    }
    let (namespace, name) = (namespace.into(), name.replace(':', "/").into());
    let subject = match of_groups {
        true => Subject::Group { namespace, name },
        false => Subject::Pod { namespace, name },
    };
    Some(Wanted::Explanation { subject, full })
}

/// Whether an object or a namespace could be called so.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pod(name: &str) -> Subject {
        Subject::Pod {
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    fn train() -> Subject {
        Subject::Group {
            namespace: "shop".into(),
            name: "train/workers[0]".into(),
        }
    }

    #[test]
    fn paths_come_back_as_what_they_were_made_of() {
        for subject in [pod("web"), train()] {
            for full in [false, true] {
                let path = path_of(&subject, full);
                let subject = subject.clone();
                assert_eq!(wanted(&path), Some(Wanted::Explanation { subject, full }), "{path}");
            }
        }
        assert_eq!(
            path_of(&train(), false),
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop/podgroupexplanations/train:workers%5B0%5D"
        );
    }

    #[test]
    fn other_paths_are_not_ours() {
        for path in [
            "/metrics",
            "/apis/apps",
            "/apisx",
            "/apis/explain.muster.dev/v2",
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop",
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop/pods/web",
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop/podexplanations",
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop/podexplanations/web/status",
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop/podexplanations/web/full/more",
        ] {
            assert_eq!(wanted(path), None, "{path}");
        }
        for (path, what) in [
            ("/apis", Wanted::Groups),
            ("/apis/explain.muster.dev", Wanted::Group),
            ("/apis/explain.muster.dev/v1alpha1/", Wanted::Version),
        ] {
            assert_eq!(wanted(path), Some(what), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "(/apis)?(/explain.muster.dev)?(/v1alpha1)?(/namespaces)?[/%a-z:]{0,40}") {
            let _ = wanted(&path);
        }
    }
}
