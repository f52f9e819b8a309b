//! Records and their images on the wire: how one becomes the other, field by field, so that none is forgotten.

use muster_framework::Text;
use muster_framework::labels::Labels;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The image of a record on the wire.
pub(super) trait Mirror: Sized {
    /// The record.
    type Record;

    /// The image of `record`.
    fn write(record: &Self::Record) -> Self;

    /// The record of this image.
    fn read(self) -> Self::Record;
}

/// What is left out of a line when it says nothing.
pub(super) trait Empty {
    /// Whether it says nothing, that is, equals its default.
    fn is_empty(&self) -> bool;
}

impl<T: Default + PartialEq> Empty for T {
    fn is_empty(&self) -> bool {
        *self == T::default()
    }
}

/// Declares the image of a struct. Fields before the semicolon are always written and must be there; those behind it are
/// left out when they are empty. Taking the record apart field by field makes the compiler ask about new fields.
macro_rules! mirror_struct {
    ($(#[$doc:meta])* $image:ident of $record:ident { $($needed:ident: $needed_type:ty),*; $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(super) struct $image {
            $($needed: $needed_type,)*
            $(#[serde(default, skip_serializing_if = "crate::codec::mirror::Empty::is_empty")] $field: $type,)*
        }

        impl Mirror for $image {
            type Record = $record;

            fn write(record: &$record) -> $image {
                let $record { $($needed,)* $($field,)* } = record;
                $image { $($needed: Mirror::write($needed),)* $($field: Mirror::write($field),)* }
            }

            fn read(self) -> $record {
                $record { $($needed: self.$needed.read(),)* $($field: self.$field.read(),)* }
            }
        }
    };
}
pub(super) use mirror_struct;

/// Declares the image of an enum without fields. The names are part of the format.
macro_rules! mirror_enum {
    ($(#[$doc:meta])* $image:ident of $record:ident { $($variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        pub(super) enum $image {
            $($variant,)*
        }

        impl Mirror for $image {
            type Record = $record;

            fn write(record: &$record) -> $image {
                match record {
                    $($record::$variant => $image::$variant,)*
                }
            }

            fn read(self) -> $record {
                match self {
                    $($image::$variant => $record::$variant,)*
                }
            }
        }
    };
}
pub(super) use mirror_enum;

/// Declares the image of an enum whose variants have named fields. All of them are written; the names are part of the format.
macro_rules! mirror_fields {
    ($(#[$doc:meta])* $image:ident of $record:ident { $($variant:ident { $($field:ident: $type:ty),* $(,)? }),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
        pub(super) enum $image {
            $($variant { $($field: $type),* },)*
        }

        impl Mirror for $image {
            type Record = $record;

            fn write(record: &$record) -> $image {
                match record {
                    $($record::$variant { $($field),* } => $image::$variant { $($field: Mirror::write($field)),* },)*
                }
            }

            fn read(self) -> $record {
                match self {
                    $($image::$variant { $($field),* } => $record::$variant { $($field: $field.read()),* },)*
                }
            }
        }
    };
}
pub(super) use mirror_fields;

macro_rules! mirror_itself {
    ($($type:ty),*) => {
        $(impl Mirror for $type {
            type Record = $type;

            fn write(record: &$type) -> $type {
                record.clone()
            }

            fn read(self) -> $type {
                self
            }
        })*
    };
}
mirror_itself!(Text, bool, u16, u32, u64, i32, i64);

impl<M: Mirror> Mirror for Option<M> {
    type Record = Option<M::Record>;

    fn write(record: &Option<M::Record>) -> Option<M> {
        record.as_ref().map(M::write)
    }

    fn read(self) -> Option<M::Record> {
        self.map(M::read)
    }
}

impl<M: Mirror> Mirror for Box<M> {
    type Record = Box<M::Record>;

    fn write(record: &Box<M::Record>) -> Box<M> {
        Box::new(M::write(record))
    }

    fn read(self) -> Box<M::Record> {
        Box::new((*self).read())
    }
}

impl<M: Mirror> Mirror for Vec<M> {
    type Record = Vec<M::Record>;

    fn write(record: &Vec<M::Record>) -> Vec<M> {
        record.iter().map(M::write).collect()
    }

    fn read(self) -> Vec<M::Record> {
        self.into_iter().map(M::read).collect()
    }
}

/// The image of a boxed slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Slice<M>(Vec<M>);

impl<M> Default for Slice<M> {
    fn default() -> Slice<M> {
        Slice(Vec::new())
    }
}

impl<M: Mirror> Mirror for Slice<M> {
    type Record = Box<[M::Record]>;

    fn write(record: &Box<[M::Record]>) -> Slice<M> {
        Slice(record.iter().map(M::write).collect())
    }

    fn read(self) -> Box<[M::Record]> {
        self.0.into_iter().map(M::read).collect()
    }
}

/// The image of something shared: it is written out each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Shared<M>(M);

impl<M: Mirror> Mirror for Shared<M> {
    type Record = Arc<M::Record>;

    fn write(record: &Arc<M::Record>) -> Shared<M> {
        Shared(M::write(record))
    }

    fn read(self) -> Arc<M::Record> {
        Arc::new(self.0.read())
    }
}

/// Pairs with unique keys, written as a JSON object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pairs<V>(Vec<(Text, V)>);

impl<V> Default for Pairs<V> {
    fn default() -> Pairs<V> {
        Pairs(Vec::new())
    }
}

impl<V: Serialize> Serialize for Pairs<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<V>, D::Error> {
        struct PairsVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = entries.next_entry()? {
                    pairs.push(pair);
                }
                // Records want their keys sorted; somebody may have edited the recording.
                pairs.sort_by(|a: &(Text, V), b| a.0.cmp(&b.0));
                match pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                    Some(twice) => Err(serde::de::Error::custom(format_args!(
                        "{:?} stands there twice",
                        twice[0].0
                    ))),
                    None => Ok(Pairs(pairs)),
                }
            }
        }
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

impl Mirror for Pairs<i64> {
    type Record = Vec<(Text, i64)>;

    fn write(record: &Vec<(Text, i64)>) -> Pairs<i64> {
        Pairs(record.clone())
    }

    fn read(self) -> Vec<(Text, i64)> {
        self.0
    }
}

impl Mirror for Pairs<Text> {
    type Record = Labels;

    fn write(record: &Labels) -> Pairs<Text> {
        Pairs(record.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn read(self) -> Labels {
        self.0.into_iter().collect()
    }
}
