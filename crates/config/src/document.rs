//! Text to trees: every YAML document becomes a tree of values that know their lines.
//!
//! The trees are read without a schema, so that one look at them can report every problem with its path and line,
//! where a derived decoder would stop at the first. Documents are split at the lines that begin with `---`: YAML knows
//! no place where such a line could mean anything else.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_saphyr::Spanned;

use crate::field::Field;
use crate::own;
use crate::problem::{Problem, Report};

/// A value and the line where it, or the nearest key before it, stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: Option<u64>,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    String(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => Err(S::Error::custom("the number is too large")),
            },
            Value::Number(value) => serializer.serialize_f64(*value),
            Value::String(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items.iter().map(|item| &item.value)),
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(key, &node.value)?;
                }
                map.end()
            }
        }
    }
}

/// Writes documents, in the order of their fields.
pub(crate) fn write<'a>(
    documents: impl IntoIterator<Item = &'a Value>,
) -> Result<String, serde_saphyr::SerializeError> {
    // What is folded over several lines would be harder to read and to search.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let texts = documents
        .into_iter()
        .map(|document| serde_saphyr::to_string_with_options(document, options.clone()));
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("---\n"))
}

/// The documents of a file by their kinds.
pub(crate) struct Documents<'a> {
    pub(crate) scheduler: Field<'a>,
    pub(crate) own: Option<Field<'a>>,
}

/// Reads all documents that are not empty.
pub(crate) fn read(text: &str) -> Result<Vec<Node>, Problem> {
    let mut nodes = Vec::new();
    for (first_line, chunk) in split(text) {
        // Empty lines in front keep the line numbers those of the whole text.
        let node = read_one(&format!("{}{chunk}", "\n".repeat(first_line)))?;
        if node.value != Value::Null {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// Finds out which document is which; None, with a problem reported, when there is nothing to go on with.
pub(crate) fn classify<'a>(nodes: &'a [Node], report: &'a Report) -> Option<Documents<'a>> {
    let (mut scheduler, mut own) = (None, None);
    for node in nodes {
        let (slot, path) = match kind(node) {
            Some(own::KIND) => (&mut own, own::KIND),
            _ => (&mut scheduler, ""),
        };
        let field = Field::root(path, node, report);
        match slot {
            None => *slot = Some(field),
            Some(_) if path == own::KIND => field.problem("given twice: there can be only one"),
            Some(_) => field.problem("a second document that is not a MusterConfiguration: there can be only one"),
        }
    }
    if scheduler.is_none() {
        let message = "no KubeSchedulerConfiguration (apiVersion: kubescheduler.config.k8s.io/v1) found";
        report.problem(Problem {
            path: ".".to_owned(),
            line: None,
            message: message.to_owned(),
        });
    }
    Some(Documents {
        scheduler: scheduler?,
        own,
    })
}

fn kind(node: &Node) -> Option<&str> {
    let Value::Map(entries) = &node.value else { return None };
    match &entries.iter().find(|(key, _)| key == "kind")?.1.value {
        Value::String(kind) => Some(kind),
        _ => None,
    }
}

/// The documents with the number of lines before each.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let begins = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if begins && start < offset {
            chunks.push((start_line, &text[start..offset]));
            (start, start_line) = (offset, number);
        }
        offset += line.len();
    }
    chunks.push((start_line, &text[start..]));
    chunks
}

fn read_one(text: &str) -> Result<Node, Problem> {
    let trail = Trail::default();
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        NodeSeed {
            trail: &trail,
            path: String::new(),
        }
        .deserialize(deserializer)
    })
    .map_err(|error| {
        let root = if trail.own.get() { own::KIND } else { "" };
        problem(&error, format!("{root}{}", trail.path.into_inner().unwrap_or_default()))
    })
}

/// What the YAML reader says, in our form.
fn problem(error: &serde_saphyr::Error, mut path: String) -> Problem {
    let message = match error {
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            path.extend(key.iter().flat_map(|key| [".", key]));
            "given twice".to_owned()
        }
        other => {
            let text = other.to_string();
            // The position is the last thing that it says, and we say the line ourselves.
            text.split_once(" at line ")
                .map_or(text.as_str(), |(before, _)| before)
                .to_owned()
        }
    };
    let path = if path.is_empty() { ".".to_owned() } else { path };
    Problem {
        path,
        line: error.location().map(|location| location.line()),
        message,
    }
}

/// What is known of a document when its reading breaks off.
#[derive(Default)]
struct Trail {
    /// The path of the innermost collection that could not be read to its end.
    path: RefCell<Option<String>>,
    /// Whether it has called itself a MusterConfiguration before.
    own: Cell<bool>,
}

impl Trail {
    fn mark<T, E>(&self, path: &str, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.path.borrow_mut().get_or_insert_with(|| path.to_owned());
        }
        result
    }
}

struct NodeSeed<'t> {
    trail: &'t Trail,
    path: String,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let (trail, path) = (self.trail, self.path.clone());
        trail.mark(&path, deserializer.deserialize_any(self))
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(scalar(Value::Null))
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(scalar(Value::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(scalar(Value::Integer(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(scalar(Value::Integer(value)))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Node, E> {
        let value = i128::try_from(value).map_err(|_| E::custom("the number is too large"))?;
        Ok(scalar(Value::Integer(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(scalar(Value::Number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(scalar(Value::String(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        loop {
            let seed = NodeSeed {
                trail: self.trail,
                path: format!("{}[{}]", self.path, items.len()),
            };
            match self.trail.mark(&self.path, access.next_element_seed(seed))? {
                Some(item) => items.push(item),
                None => return Ok(scalar(Value::List(items))),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut first_line = None;
        while let Some(key) = self.trail.mark(&self.path, access.next_key::<Spanned<String>>())? {
            let line = Some(key.referenced.line()).filter(|line| *line != 0);
            let path = format!("{}.{}", self.path, key.value);
            // Two spellings of one key (`1` and `"1"`) are different keys to YAML, but not to us.
            if entries.iter().any(|(known, _)| *known == key.value) {
                return self.trail.mark(&path, Err(A::Error::custom("given twice")));
            }
            let mut node = access.next_value_seed(NodeSeed {
                trail: self.trail,
                path,
            })?;
            if self.path.is_empty() && key.value == "kind" {
                self.trail.own.set(node.value == Value::String(own::KIND.to_owned()));
            }
            place(&mut node, line);
            first_line = first_line.or(line);
            entries.push((key.value, node));
        }
        Ok(Node {
            line: first_line,
            value: Value::Map(entries),
        })
    }
}

/// A value of which no line is known.
pub(crate) fn scalar(value: Value) -> Node {
    Node { line: None, value }
}

/// A value stands on the line of its key; items of a list where their first key stands, else where the list does.
fn place(node: &mut Node, line: Option<u64>) {
    node.line = line;
    place_items(node);
}

fn place_items(node: &mut Node) {
    let line = node.line;
    if let Value::List(items) = &mut node.value {
        for item in items {
            item.line = item.line.or(line);
            place_items(item);
        }
    }
}
