//! Files cut into YAML documents, and errors that say where they are.

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Parser};
use std::fmt;

/// A file, or the standard input, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What messages call it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// One YAML document of a file.
#[derive(Debug, Clone)]
pub struct Document<'s> {
    /// Where it stands.
    pub place: Place,
    /// As it is written.
    pub text: &'s str,
    /// What it says.
    pub value: Value,
}

/// Where a document stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Counted from 1; documents without content do not count.
    pub number: usize,
    /// The line of the file on which its text begins, counted from 1.
    pub first_line: usize,
}

/// What is wrong with a scenario, in one sentence with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The file.
    pub file: String,
    /// The document, counted from 1.
    pub document: usize,
    /// The line in the file, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, naming object and field.
    pub message: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for InputError {}

/// A step of the path to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into the field of this name.
    Field(String),
    /// Into the element of this number.
    Element(usize),
}

/// The steps of a path that is written out, like `spec.containers[0].limits[nvidia.com/gpu]`.
pub fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let bracketed = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        let (name, tail) = match bracketed {
            Some((inner, tail)) => (inner, tail),
            None => {
                // At least one character, whatever it is: every turn gets on.
                let first = rest.chars().next().map_or(0, char::len_utf8);
                rest.split_at(rest[first..].find(['.', '[']).map_or(rest.len(), |end| first + end))
            }
        };
        match name.parse() {
            Ok(index) if bracketed.is_some() => steps.push(Step::Element(index)),
            _ => steps.push(Step::Field(name.to_owned())),
        }
        rest = tail.strip_prefix('.').unwrap_or(tail);
    }
    steps
}

impl Document<'_> {
    /// An error about the field at `path`, or about the whole document when the path is empty.
    pub fn error(&self, path: &[Step], message: impl Into<String>) -> InputError {
        let line = line_of(self.text, path).map(|line| line + self.place.first_line);
        self.place.error(line.or(Some(self.place.first_line)), message)
    }
}

impl Place {
    pub(crate) fn error(&self, line: Option<usize>, message: impl Into<String>) -> InputError {
        InputError {
            file: self.file.clone(),
            document: self.number,
            line,
            message: message.into(),
        }
    }
}

/// The documents of a file that have content. Only a line of its own can part two documents.
///
/// # Errors
/// The first one that is not YAML, or holds a key twice.
pub fn documents(source: &Source) -> Result<Vec<Document<'_>>, InputError> {
    let mut found = Vec::new();
    for (first_line, text) in cut(&source.text) {
        let place = Place {
            file: source.name.clone(),
            number: found.len() + 1,
            first_line,
        };
        let value = parse(text, &place)?;
        if !value.is_null() {
            found.push(Document { place, text, value });
        }
    }
    Ok(found)
}

/// Texts between separators, each with the number of its first line, counted from 1.
fn cut(text: &str) -> Vec<(usize, &str)> {
    let mut cuts = Vec::new();
    let (mut begin, mut first_line, mut offset) = (0, 1, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            cuts.push((first_line, &text[begin..offset]));
            begin = offset + line.len();
            first_line = number + 2;
        }
        offset += line.len();
    }
    cuts.push((first_line, &text[begin..]));
    cuts
}

fn parse(text: &str, place: &Place) -> Result<Value, InputError> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(Value::Null);
    }
    // The file is the user's own, and a dump of a large cluster is one huge document: no budget.
    let options = serde_saphyr::options! { budget: None, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error
            .location()
            .map(|l| place.first_line + usize::try_from(l.line()).unwrap_or(1).max(1) - 1);
        let message = error.without_snippet().to_string();
        // The place is said in front, in lines of the file; the parser counts from the document's first line.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        place.error(line, format!("not readable as YAML: {message}"))
    })
}

/// The line, counted from 0, of the deepest field on `path` that the document has.
fn line_of(text: &str, path: &[Step]) -> Option<usize> {
    let mut walk = Walk {
        events: Parser::new_from_str(text),
        deepest: None,
    };
    walk.node(path, true);
    walk.deepest.map(|line| line.saturating_sub(1))
}

/// A walk through a document's events along a path.
struct Walk<'t> {
    events: Parser<'t, serde_saphyr::granit_parser::StrInput<'t>>,
    deepest: Option<usize>,
}

impl<'t> Walk<'t> {
    fn next(&mut self) -> Option<(Event<'t>, usize)> {
        loop {
            let (event, span) = self.events.next()?.ok()?;
            if !matches!(
                event,
                Event::StreamStart | Event::DocumentStart(..) | Event::Comment(..)
            ) {
                return Some((event, span.start.line()));
            }
        }
    }

    /// Reads one node; `on_path` says whether it stands on the path, whose rest is `rest`.
    fn node(&mut self, rest: &[Step], on_path: bool) -> Option<()> {
        let (event, line) = self.next()?;
        if on_path && self.deepest.is_none() {
            self.deepest = Some(line);
        }
        match event {
            Event::MappingStart(..) => self.mapping(rest, on_path),
            Event::SequenceStart(..) => self.sequence(rest, on_path),
            _ => Some(()),
        }
    }

    fn mapping(&mut self, rest: &[Step], on_path: bool) -> Option<()> {
        loop {
            let (event, line) = self.next()?;
            let matched = match (&event, rest.first()) {
                (Event::MappingEnd, _) => return Some(()),
                (Event::Scalar(key, ..), Some(Step::Field(field))) => on_path && key == field,
                _ => false,
            };
            if matched {
                self.deepest = Some(line);
            }
            self.node(rest.get(1..).unwrap_or_default(), matched)?;
        }
    }

    fn sequence(&mut self, rest: &[Step], on_path: bool) -> Option<()> {
        for index in 0.. {
            let matched = on_path && rest.first() == Some(&Step::Element(index));
            let (event, line) = self.next()?;
            if matched {
                self.deepest = Some(line);
            }
            let rest = rest.get(1..).unwrap_or_default();
            match event {
                Event::SequenceEnd => return Some(()),
                Event::MappingStart(..) => self.mapping(rest, matched)?,
                Event::SequenceStart(..) => self.sequence(rest, matched)?,
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            name: "a.yaml".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn documents_are_parted_and_numbered_without_the_empty_ones() {
        let source = source("# a comment\n---\na: 1\n---\n# nothing\n--- # two\nb: |\n  ---\n  x\n");
        let documents = documents(&source).unwrap();
        let places: Vec<_> = documents.iter().map(|d| (d.place.number, d.place.first_line)).collect();
        assert_eq!(places, [(1, 3), (2, 7)]);
        assert_eq!(documents[1].value["b"], "---\nx\n");
    }

    #[test]
    fn errors_of_syntax_name_the_line_of_the_file() {
        let error = documents(&source("a: 1\n---\nb: [1\nc: 2\n")).unwrap_err();
        assert_eq!((error.document, error.file.as_str()), (2, "a.yaml"));
        assert!(error.line.is_some_and(|line| (3..=5).contains(&line)), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }

    #[test]
    fn a_duplicate_field_is_an_error() {
        let error = documents(&source("a: 1\nb: 2\na: 3\n")).unwrap_err();
        assert_eq!(error.line, Some(3), "{error}");
    }

    #[test]
    fn written_paths_are_taken_apart() {
        let field = |name: &str| Step::Field(name.to_owned());
        let expected = [
            field("a"),
            field("b"),
            Step::Element(1),
            field("nvidia.com/gpu"),
            field("c"),
        ];
        assert_eq!(steps("a.b[1][nvidia.com/gpu].c"), expected);
        assert_eq!(steps(""), []);
        assert_eq!(steps("é..[x"), [field("é"), field("."), field("[x")]);
    }

    #[test]
    fn the_line_of_a_field_is_found() {
        let text = "spec:\n  list:\n  - x: 1\n    y: 2\n  - x: 3\n    y: [4,\n      5]\n";
        let line = |path: &str| line_of(text, &steps(path));
        assert_eq!(line("spec"), Some(0));
        assert_eq!(line("spec.list[0].y"), Some(3));
        assert_eq!(line("spec.list[1]"), Some(4));
        assert_eq!(line("spec.list[1].y[1]"), Some(6));
        assert_eq!(line("spec.list[1].missing"), Some(4));
    }
}
