//! JSON read the way Go reads it: null, wherever it stands, is the empty value.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// A string, borrowed where the JSON has no escapes in it. Absent, null and empty are the same.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Str<'a>(Cow<'a, str>);

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

struct StrVisitor {
    /// Numbers are taken for strings too.
    numbers: bool,
}

impl<'de> Visitor<'de> for StrVisitor {
    type Value = Str<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.numbers { "a quantity" } else { "a string" })
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Str<'de>, E> {
        Ok(Str(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Str<'de>, E> {
        Ok(Str(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Str<'de>, E> {
        Ok(Str(Cow::Borrowed(if self.numbers { "0" } else { "" })))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Str<'de>, E> {
        self.number(number, serde::de::Unexpected::Unsigned(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Str<'de>, E> {
        self.number(number, serde::de::Unexpected::Signed(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Str<'de>, E> {
        self.number(number, serde::de::Unexpected::Float(number))
    }
}

impl StrVisitor {
    fn number<'a, E: serde::de::Error>(
        self,
        number: impl fmt::Display,
        unexpected: serde::de::Unexpected<'_>,
    ) -> Result<Str<'a>, E> {
        if self.numbers {
            Ok(Str(Cow::Owned(number.to_string())))
        } else {
            Err(E::invalid_type(unexpected, &self))
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Str<'a>, D::Error> {
        deserializer.deserialize_any(StrVisitor { numbers: false })
    }
}

/// The text of a quantity. YAML written by people has bare numbers, which the API server accepts; null is zero.
#[derive(Debug, Default, Clone)]
pub(super) struct QuantityText<'a>(Str<'a>);

impl Deref for QuantityText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for QuantityText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<QuantityText<'a>, D::Error> {
        deserializer
            .deserialize_any(StrVisitor { numbers: true })
            .map(QuantityText)
    }
}

/// A JSON object read into a struct; null is the empty object.
///
/// By itself serde would take a list for a struct, field by field.
#[derive(Debug, Default)]
pub(super) struct Struct<T>(T);

impl<T> Struct<T> {
    /// What was read.
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Struct<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Struct<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Struct<T>, D::Error> {
        struct StructVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for StructVisitor<T> {
            type Value = Struct<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Struct<T>, E> {
                Ok(Struct(T::default()))
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Struct<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(entries)).map(Struct)
            }
        }
        deserializer.deserialize_any(StructVisitor(PhantomData))
    }
}

/// A list; null is the empty list. Its items take null for empty themselves.
#[derive(Debug)]
pub(super) struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List(Vec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<List<T>, E> {
                Ok(List::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// A map with free keys, in the order of the JSON; null is the empty map.
#[derive(Debug)]
pub(super) struct Map<'a, V>(Vec<(Str<'a>, V)>);

impl<V> Default for Map<'_, V> {
    fn default() -> Self {
        Map(Vec::new())
    }
}

impl<'a, V> Map<'a, V> {
    /// The value under `key`; of two the later one, as in Go.
    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.0.iter().rev().find(|(k, _)| **k == *key).map(|(_, value)| value)
    }
}

impl<'a, V> Deref for Map<'a, V> {
    type Target = [(Str<'a>, V)];

    fn deref(&self) -> &[(Str<'a>, V)] {
        &self.0
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Map<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Map<'a, V>, D::Error> {
        struct PairsVisitor<'a, V>(PhantomData<(&'a (), V)>);

        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<'a, V> {
            type Value = Map<'a, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_unit<E>(self) -> Result<Map<'a, V>, E> {
                Ok(Map::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Map<'a, V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = entries.next_entry::<Str<'de>, V>()? {
                    pairs.push(pair);
                }
                Ok(Map(pairs))
            }
        }
        deserializer.deserialize_any(PairsVisitor(PhantomData))
    }
}

/// Something of which only matters that it is there, and not null.
pub(super) type Presence = Option<IgnoredAny>;
