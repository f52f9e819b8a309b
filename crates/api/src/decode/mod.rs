//! Objects as the API server writes them, made into the engine's records.
//!
//! Decoding reads what scheduling needs, skips the rest, and takes null for absent everywhere, as Go does. Two sorts of
//! trouble are kept apart. JSON of the wrong shape, or an object without name or uid, is a [`DecodeError`]: nobody knows
//! what it says. A pod whose *values* make no sense, or ask for what Muster cannot honour, is decoded and carries the
//! complaints in [`PodSpec::unsupported`](muster_framework::record::PodSpec): so that pod alone waits, and says why.

mod amounts;
mod cluster;
mod features;
mod group_policy;
mod in_tree;
mod intern;
mod json;
mod metadata;
mod names;
mod node;
mod path;
mod placement;
mod pod;
mod pod_group;
mod pod_volume;
mod selector;
mod selector_owner;
mod storage;
#[cfg(test)]
mod tests;
mod workload;

use crate::paths::api_version_kind;
use json::{Str, Struct};
use metadata::Metadata;
use muster_engine::{Object, ObjectKey};
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use muster_framework::volume::StorageObject;
use serde::Deserialize;
use std::fmt;

pub use metadata::object_key;

/// Why an object cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DecodeError {
    /// Which object, as far as it could be told.
    pub key: ObjectKey,
    /// The field, for example `spec.taints[0].effect`; empty when the object as a whole is at fault.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for DecodeError {
    /// As people read it: `Pod default/web-0: spec.containers: invalid type: string "web", expected a list`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.key.kind.name())?;
        if !self.key.namespace.is_empty() {
            write!(f, "{}/", self.key.namespace)?;
        }
        f.write_str(if self.key.name.is_empty() {
            "(without a name)"
        } else {
            &self.key.name
        })?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// What is wrong in a field, before it is known whose field it is.
#[derive(Debug)]
struct Fault {
    field: String,
    problem: String,
}

impl Fault {
    fn new(field: impl fmt::Display, problem: impl fmt::Display) -> Fault {
        Fault {
            field: field.to_string(),
            problem: problem.to_string(),
        }
    }
}

/// Makes a record of an object of this kind, alone or as an item of a list (where `apiVersion` and `kind` are missing), by
/// the rules of the newest minor that is known.
///
/// # Errors
/// The JSON has the wrong shape, is of another kind, or lacks what every such object has.
pub fn decode(kind: Kind, json: &[u8]) -> Result<Object, DecodeError> {
    decode_for(KubeMinor::default(), kind, json)
}

/// As [`decode`], by the rules of `minor`: what a pod takes from its node while it is resized, and which features it needs,
/// are not the same in all.
///
/// # Errors
/// As those of [`decode`].
pub fn decode_for(minor: KubeMinor, kind: Kind, json: &[u8]) -> Result<Object, DecodeError> {
    record(minor, kind, json).map_err(|Fault { field, problem }| DecodeError {
        key: object_key(kind, json),
        field,
        problem,
    })
}

fn record(minor: KubeMinor, kind: Kind, json: &[u8]) -> Result<Object, Fault> {
    Ok(match kind {
        Kind::Pod => Object::Pod(Box::new(read::<pod::Pod>(kind, json)?.record(minor)?)),
        Kind::Node => Object::Node(read::<node::Node>(kind, json)?.record()?),
        Kind::Namespace => Object::Namespace(read::<cluster::Namespace>(kind, json)?.record()?),
        Kind::PriorityClass => Object::PriorityClass(read::<cluster::PriorityClass>(kind, json)?.record()?),
        Kind::Workload => Object::Workload(read::<workload::Workload>(kind, json)?.record()?),
        Kind::PodGroup | Kind::PodGroupV1Alpha2 | Kind::CoschedulingPodGroup => {
            Object::PodGroup(read::<pod_group::PodGroup>(kind, json)?.record(kind)?)
        }
        Kind::Service | Kind::ReplicationController => {
            Object::SelectorOwner(read::<selector_owner::MapSelectorOwner>(kind, json)?.record(kind)?)
        }
        Kind::ReplicaSet | Kind::StatefulSet => {
            Object::SelectorOwner(read::<selector_owner::LabelSelectorOwner>(kind, json)?.record(kind)?)
        }
        Kind::PersistentVolume => {
            let volume = read::<storage::Volume>(kind, json)?.record()?;
            Object::Storage(StorageObject::Volume(Box::new(volume)))
        }
        Kind::PersistentVolumeClaim => {
            let claim = read::<storage::Claim>(kind, json)?.record()?;
            Object::Storage(StorageObject::Claim(Box::new(claim)))
        }
        Kind::StorageClass => Object::Storage(StorageObject::Class(
            read::<storage::StorageClass>(kind, json)?.record()?,
        )),
        Kind::CsiNode => Object::Storage(StorageObject::CsiNode(read::<storage::CsiNode>(kind, json)?.record()?)),
        Kind::CsiDriver => Object::Storage(StorageObject::CsiDriver(
            read::<storage::CsiDriver>(kind, json)?.record()?,
        )),
        Kind::CsiStorageCapacity => {
            let capacity = read::<storage::StorageCapacity>(kind, json)?.record()?;
            Object::Storage(StorageObject::Capacity(capacity))
        }
        Kind::VolumeAttachment => {
            let attachment = read::<storage::Attachment>(kind, json)?.record()?;
            Object::Storage(StorageObject::Attachment(attachment))
        }
    })
}

/// An object with the parts that all objects have.
trait KubeObject {
    fn type_meta(&self) -> (&Str<'_>, &Str<'_>);
    fn metadata(&self) -> &Metadata<'_>;
}

/// Declares an object of Kubernetes with its type and metadata beside the fields given.
macro_rules! kube_object {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(serde::Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name<'a> {
            #[serde(borrow)]
            api_version: $crate::decode::json::Str<'a>,
            #[serde(borrow)]
            kind: $crate::decode::json::Str<'a>,
            #[serde(borrow)]
            metadata: $crate::decode::json::Struct<$crate::decode::metadata::Metadata<'a>>,
            $($(#[$attribute])* $field: $type,)*
        }

        impl $crate::decode::KubeObject for $name<'_> {
            fn type_meta(&self) -> (&$crate::decode::json::Str<'_>, &$crate::decode::json::Str<'_>) {
                (&self.api_version, &self.kind)
            }

            fn metadata(&self) -> &$crate::decode::metadata::Metadata<'_> {
                &self.metadata
            }
        }
    };
}
use kube_object;

/// Parses the JSON and checks that it is an object of the kind, with a name.
fn read<'a, T: Deserialize<'a> + Default + KubeObject>(kind: Kind, json: &'a [u8]) -> Result<Struct<T>, Fault> {
    // Following the path costs time; so only what failed is read again to find out where.
    let object: Struct<T> = serde_json::from_slice(json).map_err(|_| locate::<Struct<T>>(json))?;
    let (expected_version, expected_kind) = api_version_kind(kind);
    let (api_version, stated_kind) = object.type_meta();
    for (field, stated, expected) in [
        ("apiVersion", api_version, expected_version),
        ("kind", stated_kind, expected_kind),
    ] {
        if !stated.is_empty() && **stated != *expected {
            return Err(Fault::new(
                field,
                format_args!("{:?} is not {expected:?}", brief(stated)),
            ));
        }
    }
    if object.metadata().name.is_empty() {
        return Err(Fault::new("metadata.name", "is missing"));
    }
    Ok(object)
}

fn locate<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Fault {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return Fault::new("", "something follows the object");
    };
    let path = error.path().to_string();
    let problem = error.inner().to_string();
    // Lines and columns of a watch event tell nobody anything.
    let problem = problem
        .rsplit_once(" at line ")
        .map_or(&*problem, |(problem, _)| problem);
    Fault::new(if path == "." { "" } else { &path }, brief(problem))
}

/// The beginning of a text, long enough to recognise it: objects may hold megabytes where a word is expected.
fn brief(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}
