//! Strict reading: a [`Field`] is a value with its path, a [`Section`] a mapping that reports what nobody asked for.

use std::cell::RefCell;
use std::time::Duration;

use crate::document::{Node, Value};
use crate::duration;
use crate::problem::{Problem, Report};

/// A value of the configuration, where it stands, and where to report what is wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    path: String,
    node: &'a Node,
    report: &'a Report,
}

impl<'a> Field<'a> {
    pub(crate) fn root(path: &str, node: &'a Node, report: &'a Report) -> Field<'a> {
        Field {
            path: path.to_owned(),
            node,
            report,
        }
    }

    /// Reports a problem of this field.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.report.problem(self.said(message.into()));
    }

    /// Reports that this field is accepted but has no effect.
    pub(crate) fn warning(&self, message: &str) {
        self.report.warning(self.said(message.to_owned()));
    }

    fn said(&self, message: String) -> Problem {
        Problem {
            path: self.path().to_owned(),
            line: self.node.line,
            message,
        }
    }

    pub(crate) fn path(&self) -> &str {
        if self.path.is_empty() { "." } else { &self.path }
    }

    pub(crate) fn string(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::String(text) => Some(text),
            _ => self.mismatch("a string"),
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Bool(value) => Some(value),
            _ => self.mismatch("true or false"),
        }
    }

    /// An integer that `T` can hold.
    pub(crate) fn integer<T: TryFrom<i128>>(&self) -> Option<T> {
        let Value::Integer(value) = self.node.value else {
            return self.mismatch("an integer");
        };
        let fitting = T::try_from(value).ok();
        if fitting.is_none() {
            self.problem(format!("{value} is out of range"));
        }
        fitting
    }

    pub(crate) fn number(&self) -> Option<f32> {
        let number = match self.node.value {
            Value::Integer(value) => value as f32,
            Value::Number(value) => value as f32,
            _ => return self.mismatch("a number"),
        };
        if !number.is_finite() {
            self.problem("is out of range");
        }
        Some(number).filter(|number| number.is_finite())
    }

    /// A duration that is not negative.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let Value::String(text) = &self.node.value else {
            return self.mismatch("a duration such as 15s or 1m30s");
        };
        duration::parse(text).map_err(|message| self.problem(message)).ok()
    }

    /// The items of a list of strings.
    pub(crate) fn strings(&self) -> Vec<&'a str> {
        self.items().iter().filter_map(Field::string).collect()
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Vec<Field<'a>> {
        let Value::List(items) = &self.node.value else {
            self.mismatch::<()>("a list");
            return Vec::new();
        };
        let at = |(i, node)| Field {
            path: format!("{}[{i}]", self.path),
            node,
            report: self.report,
        };
        items.iter().enumerate().map(at).collect()
    }

    /// The fields of a mapping.
    pub(crate) fn section(&self) -> Option<Section<'a>> {
        match &self.node.value {
            Value::Map(entries) => Some(Section {
                field: self.clone(),
                entries,
                asked: RefCell::default(),
            }),
            _ => self.mismatch("a mapping"),
        }
    }

    fn mismatch<T>(&self, wanted: &str) -> Option<T> {
        let found = match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("{value}"),
            Value::Integer(value) => format!("the number {value}"),
            Value::Number(value) => format!("the number {value}"),
            Value::String(text) => format!("the string {text:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        };
        self.problem(format!("must be {wanted}, not {found}"));
        None
    }
}

/// A mapping. What was never asked for by the time it is dropped is reported as an unknown field, so reading a mapping
/// cannot forget to be strict.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    field: Field<'a>,
    entries: &'a [(String, Node)],
    asked: RefCell<Vec<&'a str>>,
}

impl<'a> Section<'a> {
    /// The field of this name; None when it is absent or null, as upstream.
    pub(crate) fn get(&self, key: &str) -> Option<Field<'a>> {
        let (key, node) = self.entries.iter().find(|(k, _)| k == key)?;
        self.asked.borrow_mut().push(key);
        let path = format!("{}.{key}", self.field.path);
        Some(Field {
            path,
            node,
            report: self.field.report,
        })
        .filter(|_| node.value != Value::Null)
    }

    /// The mapping itself.
    pub(crate) fn field(&self) -> &Field<'a> {
        &self.field
    }

    /// Reports a problem of the field of this name, be it there or not.
    pub(crate) fn wrong(&self, key: &str, message: impl Into<String>) {
        let child = self.entries.iter().find(|(k, _)| k == key);
        Field {
            path: format!("{}.{key}", self.field.path),
            node: child.map_or(self.field.node, |(_, node)| node),
            report: self.field.report,
        }
        .problem(message);
    }

    /// Checks a field that must have this value when it is there.
    pub(crate) fn must_be(&self, key: &str, wanted: &str) {
        if let Some(field) = self.get(key)
            && let Some(text) = field.string()
            && text != wanted
        {
            field.problem(format!("must be {wanted}, not {text:?}"));
        }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        for (key, node) in self.entries.iter().filter(|(key, _)| !asked.contains(&key.as_str())) {
            let path = format!("{}.{key}", self.field.path);
            Field {
                path,
                node,
                report: self.field.report,
            }
            .problem("unknown field");
        }
    }
}
