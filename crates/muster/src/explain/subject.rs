//! What an explanation is asked for, as people write it: `pod/NAME` or `podgroup/NAME`.

use muster_engine::Subject;

/// Upper bound of what is taken for a name, in bytes: longer ones cannot be of any object.
pub(super) const NAME_MAX: usize = 1024;

/// Reads `pod/NAME` or `podgroup/NAME`, with kubectl's short names.
///
/// # Errors
/// What is wrong with it, for a person.
pub(crate) fn subject(text: &str, namespace: &str) -> Result<Subject, String> {
    let (kind, name) = text
        .split_once('/')
        .ok_or_else(|| format!("{text:?} is neither pod/NAME nor podgroup/NAME"))?;
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(format!("{text:?} has no name that an object could have"));
    }
    let (namespace, name) = (namespace.into(), name.into());
    match kind {
        "pod" | "pods" | "po" => Ok(Subject::Pod { namespace, name }),
        "podgroup" | "podgroups" | "pg" | "gang" | "gangs" => Ok(Subject::Group { namespace, name }),
        _ => Err(format!("{kind:?} is neither pod nor podgroup")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn subjects_as_people_write_them() {
        let pod = Subject::Pod {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let group = Subject::Group {
            namespace: "shop".into(),
            name: "train/workers[0]".into(),
        };
        assert_eq!(subject("po/web", "shop"), Ok(pod));
        assert_eq!(subject("gang/train/workers[0]", "shop"), Ok(group));
        for wrong in ["web", "pod/", "deploy/web"] {
            assert!(subject(wrong, "shop").is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_makes_it_panic(text in ".{0,40}") {
            let _ = subject(&text, "shop");
        }
    }
}
