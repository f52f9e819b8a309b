//! The paths of overviews in the API group of explanations: how one is asked for, and what a path asks for. `page` answers.

use crate::explain::paths::{GROUP, PLAIN, VERSION, is_name};
use muster_framework::Text;
use percent_encoding::{percent_decode_str, utf8_percent_encode};

/// What every overview is called: there is one, that of now.
pub(crate) const NAME: &str = "current";
/// The resource of a namespace, and that of all.
pub(crate) const OF_NAMESPACE: &str = "overviews";
pub(crate) const OF_ALL: &str = "clusteroverviews";

/// The path of the overview of a namespace, or of all.
pub(crate) fn path_of(namespace: Option<&str>) -> String {
    let of = match namespace {
        None => OF_ALL.to_owned(),
        Some(namespace) => format!("namespaces/{}/{OF_NAMESPACE}", utf8_percent_encode(namespace, PLAIN)),
    };
    format!("/apis/{GROUP}/{VERSION}/{of}/{NAME}")
}

/// The namespace that a path asks about, if any; None: the path is of something else.
pub(crate) fn wanted(path: &str) -> Option<Option<Text>> {
    let below = path.trim_end_matches('/').strip_prefix("/apis/")?;
    match below.split('/').collect::<Vec<_>>()[..] {
        [GROUP, VERSION, OF_ALL, NAME] => Some(None),
        [GROUP, VERSION, "namespaces", namespace, OF_NAMESPACE, NAME] => {
            let decoded = percent_decode_str(namespace).decode_utf8().ok()?.into_owned();
            is_name(&decoded).then(|| Some(decoded.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_come_back_as_what_they_were_made_of() {
        for namespace in [None, Some("shop"), Some("a/b%")] {
            let path = path_of(namespace);
            assert_eq!(wanted(&path), Some(namespace.map(Into::into)), "{path}");
        }
        assert_eq!(
            path_of(Some("shop")),
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop/overviews/current"
        );
    }

    #[test]
    fn other_paths_are_not_ours() {
        for path in [
            "/apis/explain.muster.dev/v1alpha1/clusteroverviews",
            "/apis/explain.muster.dev/v1alpha1/clusteroverviews/former",
            "/apis/explain.muster.dev/v1alpha1/overviews/current",
            "/apis/explain.muster.dev/v1alpha1/namespaces//overviews/current",
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop/clusteroverviews/current",
            "/apis/explain.muster.dev/v1alpha1/namespaces/shop/overviews/current/status",
            "/apis/muster.dev/v1alpha1/clusteroverviews/current",
        ] {
            assert_eq!(wanted(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "(/apis)?(/explain.muster.dev)?(/v1alpha1)?(/namespaces)?[/%a-z:]{0,40}(/current)?") {
            let _ = wanted(&path);
        }
    }
}
