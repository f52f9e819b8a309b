//! What all objects have: name, namespace, uid, version, labels, owners, annotations.

use super::intern::intern;
use super::json::{List, Map, Presence, Str, Struct};
use muster_engine::ObjectKey;
use muster_framework::Text;
use muster_framework::labels::Labels;
use muster_framework::record::{Kind, ResourceVersion};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// `metadata`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) name: Str<'a>,
    #[serde(borrow)]
    pub(super) namespace: Str<'a>,
    #[serde(borrow)]
    pub(super) uid: Str<'a>,
    #[serde(borrow)]
    pub(super) resource_version: Str<'a>,
    pub(super) generation: Option<i64>,
    #[serde(borrow)]
    pub(super) labels: Map<'a, Str<'a>>,
    pub(super) deletion_timestamp: Presence,
    #[serde(borrow)]
    owner_references: List<Struct<OwnerReference<'a>>>,
    #[serde(borrow)]
    pub(super) annotations: Struct<Annotations<'a>>,
}

/// An entry of `metadata.ownerReferences`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct OwnerReference<'a> {
    #[serde(borrow)]
    pub(super) api_version: Str<'a>,
    #[serde(borrow)]
    pub(super) kind: Str<'a>,
    #[serde(borrow)]
    pub(super) name: Str<'a>,
    #[serde(borrow)]
    pub(super) uid: Str<'a>,
    controller: Option<bool>,
}

/// The annotations that matter. All others are skipped: people keep whole objects in them.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Annotations<'a> {
    #[serde(borrow, rename = "volume.beta.kubernetes.io/storage-class")]
    pub(super) beta_storage_class: Option<Str<'a>>,
    #[serde(rename = "pv.kubernetes.io/bound-by-controller")]
    pub(super) bound_by_controller: Presence,
    #[serde(rename = "pv.kubernetes.io/bind-completed")]
    pub(super) bind_completed: Presence,
    #[serde(borrow, rename = "volume.kubernetes.io/selected-node")]
    pub(super) selected_node: Str<'a>,
    #[serde(borrow, rename = "storage.alpha.kubernetes.io/migrated-plugins")]
    pub(super) migrated_plugins: Str<'a>,
    #[serde(borrow, rename = "muster.dev/min-count")]
    pub(super) min_count: Option<Str<'a>>,
    #[serde(borrow, rename = "muster.dev/when-broken")]
    pub(super) when_broken: Option<Str<'a>>,
}

impl Metadata<'_> {
    /// The owner that controls the object. Source: `metav1.GetControllerOfNoCopy`.
    pub(super) fn controller(&self) -> Option<&OwnerReference<'_>> {
        let mut owners = self.owner_references.iter().map(|owner| &**owner);
        owners.find(|owner| owner.controller == Some(true))
    }

    /// The namespace of a namespaced object. The API server always states it; what people write by hand means `default`.
    pub(super) fn namespace(&self) -> Text {
        intern(if self.namespace.is_empty() {
            "default"
        } else {
            &self.namespace
        })
    }

    /// The version as a number, 0 when it is none.
    pub(super) fn version(&self) -> ResourceVersion {
        self.resource_version.parse().unwrap_or(0)
    }

    pub(super) fn labels(&self) -> Labels {
        labels(&self.labels)
    }
}

/// Labels, with their keys shared; values are as often unique as not.
pub(super) fn labels(pairs: &Map<'_, Str<'_>>) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| (intern(key), Text::from(&**value)))
        .collect()
}

/// Which object this JSON is about, as far as can be told: from objects that are deleted, and from those that cannot be
/// read. Unknown parts are empty.
pub fn object_key(kind: Kind, json: &[u8]) -> ObjectKey {
    let mut seen = Seen::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // What was seen before an error still counts.
    let _ = Level {
        seen: &mut seen,
        in_metadata: false,
    }
    .deserialize(&mut deserializer);
    ObjectKey {
        kind,
        namespace: intern(&seen.namespace),
        name: seen.name.into(),
        uid: seen.uid.into(),
        resource_version: seen.resource_version.parse().unwrap_or(0),
    }
}

#[derive(Default)]
struct Seen {
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
}

/// The object, or its metadata: reads the strings that are wanted and skips all else, whatever type it has.
struct Level<'s> {
    seen: &'s mut Seen,
    in_metadata: bool,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<Str<'de>>()? {
            let wanted = match (self.in_metadata, &*key) {
                (false, "metadata") => {
                    entries.next_value_seed(Level {
                        seen: &mut *self.seen,
                        in_metadata: true,
                    })?;
                    continue;
                }
                (true, "namespace") => &mut self.seen.namespace,
                (true, "name") => &mut self.seen.name,
                (true, "uid") => &mut self.seen.uid,
                (true, "resourceVersion") => &mut self.seen.resource_version,
                _ => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *wanted = (*entries.next_value::<Str<'de>>()?).to_owned();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(json: &str) -> (String, String, String, u64) {
        let key = object_key(Kind::Pod, json.as_bytes());
        (
            key.namespace.to_string(),
            key.name.to_string(),
            key.uid.to_string(),
            key.resource_version,
        )
    }

    #[test]
    fn the_key_is_read_as_far_as_it_goes() {
        let all = r#"{"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7","labels":3},"spec":[]}"#;
        assert_eq!(key(all), ("n".into(), "a".into(), "u".into(), 7));
        // Cut off, of the wrong type, not JSON at all.
        assert_eq!(
            key(r#"{"metadata":{"name":"a","names"#),
            (String::new(), "a".into(), String::new(), 0)
        );
        assert_eq!(
            key(r#"{"metadata":{"name":"a","uid":5}}"#),
            (String::new(), "a".into(), String::new(), 0)
        );
        assert_eq!(key(r#"{"metadata":[]}"#), Default::default());
        assert_eq!(key("<html>"), Default::default());
    }
}
