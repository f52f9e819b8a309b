//! Cases a line: each is judged by itself, and whatever is wrong with one is its own answer.

use super::answer::{Answer, Failure};
use super::judge::Judge;
use super::kinds::{Standing, standing};
use muster_api::decode_for;
use muster_engine::{Evaluation, Object};
use muster_framework::record::{Kind, PodRecord};
use muster_framework::rules::KubeMinor;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::io::{BufRead, BufReader, Cursor, Read, Write};

/// A line of input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<'a> {
    /// Any JSON.
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    objects: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pod: Option<&'a RawValue>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
}

/// What has to be known of an object before it is read.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(default, rename = "apiVersion")]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Identity {
    name: Option<String>,
    namespace: Option<String>,
    /// Null, if it is there and says so.
    #[serde(deserialize_with = "present")]
    uid: Option<Option<String>>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Whether these bytes are a case rather than the beginning of a manifest.
pub(super) fn is_case(line: &[u8]) -> bool {
    struct HasPod;
    impl<'de> Visitor<'de> for HasPod {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
            let mut found = false;
            while let Some((key, _)) = entries.next_entry::<String, IgnoredAny>()? {
                found |= key == "pod";
            }
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let found = serde::Deserializer::deserialize_map(&mut deserializer, HasPod);
    found.is_ok_and(|found| found && deserializer.end().is_ok())
}

/// Answers the case of each line that is not blank; `first_lines` come before the rest.
///
/// # Errors
/// The input breaks off, or the output.
pub(super) fn answer_all<R: Read>(
    judge: &mut Judge,
    first_lines: &[u8],
    rest: &mut BufReader<R>,
    output: &mut impl Write,
) -> std::io::Result<()> {
    let mut number = 0;
    let mut line = Vec::new();
    let mut first_lines = Cursor::new(first_lines);
    loop {
        line.clear();
        if first_lines.read_until(b'\n', &mut line)? == 0 && rest.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        number += 1;
        let text = line.trim_ascii();
        if !text.is_empty() {
            answer(judge, number, text, output)?;
            writeln!(output)?;
        }
        // Whoever asks case by case waits for the answer before the next.
        if rest.buffer().is_empty() {
            output.flush()?;
        }
    }
}

fn answer(judge: &mut Judge, number: usize, line: &[u8], output: &mut impl Write) -> std::io::Result<()> {
    let case: Case<'_> = match read_case(line) {
        Ok(case) => case,
        Err(error) => {
            let id = id_of(line);
            let error = format!("line {number}{error}");
            serde_json::to_writer(output, &Failure::new(id.as_deref(), &error))?;
            return Ok(());
        }
    };
    match evaluate(judge, &case) {
        Ok(evaluation) => serde_json::to_writer(output, &Answer::of_case(case.id, &evaluation))?,
        Err(error) => {
            let error = format!("line {number}: {error}");
            serde_json::to_writer(output, &Failure::new(case.id, &error))?;
        }
    }
    Ok(())
}

/// The error begins with the place in the line.
fn read_case(line: &[u8]) -> Result<Case<'_>, String> {
    let line = std::str::from_utf8(line).map_err(|error| format!(": {error}"))?;
    if !line.starts_with('{') {
        // serde would take a list for an object whose names are left out.
        return Err(": a case is a JSON object".to_owned());
    }
    serde_json::from_str(line).map_err(|error| format!(", column {}: {}", error.column(), without_place(&error)))
}

/// The error names the place in the case.
fn evaluate(judge: &mut Judge, case: &Case<'_>) -> Result<Evaluation, String> {
    let setting = match case.config {
        None => judge.usual(),
        Some(config) => judge
            .setting(config.get())
            .map_err(|problem| format!("config: {problem}"))?,
    };
    let minor = judge.minor();
    let mut objects = Vec::new();
    let mut seen = HashSet::new();
    for (at, json) in case.objects.iter().flatten().enumerate() {
        if let Some(read) = read_object(minor, json, &mut seen).map_err(|fault| format!("objects[{at}]{fault}"))? {
            objects.push(read);
        }
    }
    let pod = case.pod.ok_or("pod: is missing")?;
    let pod = read_pod(minor, pod, &mut seen).map_err(|fault| format!("pod{fault}"))?;
    // Later objects refer to earlier ones, so nothing has to be counted twice.
    objects.sort_by_key(|(kind, _)| Kind::ALL.iter().position(|other| other == kind));
    let mut scene = setting.scene();
    for (_, object) in objects {
        scene.apply(object);
    }
    Ok(scene.evaluate(pod))
}

/// Kind, namespace and name of an object.
type Name = (Kind, String, String);

/// None: no verdict depends on it. The error begins with the path within the object.
fn read_object(minor: KubeMinor, json: &RawValue, seen: &mut HashSet<Name>) -> Result<Option<(Kind, Object)>, String> {
    let head = head(json)?;
    let (api_version, name) = (head.api_version.as_deref(), head.kind.as_deref());
    let kind = match standing(api_version.unwrap_or_default(), name.unwrap_or_default()) {
        Standing::Read(kind) => kind,
        Standing::Overlooked => return Ok(None),
        Standing::Unknown(problem) => return Err(format!(".kind: {problem}")),
    };
    read(minor, kind, json, &head, seen).map(|object| Some((kind, object)))
}

fn read_pod(minor: KubeMinor, json: &RawValue, seen: &mut HashSet<Name>) -> Result<PodRecord, String> {
    match read(minor, Kind::Pod, json, &head(json)?, seen)? {
        Object::Pod(record) => Ok(*record),
        _ => Err(".kind: is not Pod".to_owned()),
    }
}

fn head<'a>(json: &'a RawValue) -> Result<Head<'a>, String> {
    serde_json::from_str(json.get()).map_err(|error| format!(": {}", without_place(&error)))
}

fn read(
    minor: KubeMinor,
    kind: Kind,
    json: &RawValue,
    head: &Head<'_>,
    seen: &mut HashSet<Name>,
) -> Result<Object, String> {
    // What is wrong with metadata is better said by the decoder.
    let identity: Identity = head
        .metadata
        .and_then(|metadata| serde_json::from_str(metadata.get()).ok())
        .unwrap_or_default();
    let json = identified(kind, json, head, &identity);
    let object = decode_for(minor, kind, json.as_bytes()).map_err(|error| match error.field.as_str() {
        "" => format!(": {}", error.problem),
        field => format!(".{field}: {}", error.problem),
    })?;
    let (namespace, name) = (
        identity.namespace.unwrap_or_default(),
        identity.name.unwrap_or_default(),
    );
    let problem = format!(".metadata.name: there is another {} {name:?}", kind.name());
    match seen.insert((kind, namespace, name)) {
        true => Ok(object),
        false => Err(problem),
    }
}

/// The object with a uid: pods are told apart by it, and those of a case may have none.
fn identified<'a>(kind: Kind, json: &'a RawValue, head: &Head<'_>, identity: &Identity) -> Cow<'a, str> {
    let text = json.get();
    let Some(metadata) = head.metadata.filter(|_| kind == Kind::Pod) else {
        return Cow::Borrowed(text);
    };
    let (namespace, name) = (identity.namespace.as_deref(), identity.name.as_deref());
    let uid = format!("pod:{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
    match &identity.uid {
        Some(Some(uid)) if !uid.is_empty() => Cow::Borrowed(text),
        None if name.is_some() => {
            // It stands in the text, and begins with its brace, since it has been read as an object.
            let offset = metadata.get().as_ptr().addr() - text.as_ptr().addr() + 1;
            let (before, after) = text.split_at(offset);
            Cow::Owned(format!("{before}\"uid\":{},{after}", serde_json::Value::from(uid)))
        }
        _ => {
            let Ok(mut value) = serde_json::from_str::<serde_json::Value>(text) else {
                return Cow::Borrowed(text);
            };
            if let Some(metadata) = value["metadata"].as_object_mut() {
                metadata.insert("uid".to_owned(), uid.into());
            }
            Cow::Owned(value.to_string())
        }
    }
}

/// What serde_json says, without its line and column: a case has one line, and an object begins anywhere in it.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.as_str(), |(problem, _)| problem)
        .to_owned()
}

/// The id of a line that is no case, if it comes before what is wrong.
fn id_of(line: &[u8]) -> Option<Box<RawValue>> {
    struct Seen<'s>(&'s mut Option<Box<RawValue>>);
    impl<'de> Visitor<'de> for Seen<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
            while let Some(key) = entries.next_key::<String>()? {
                match key.as_str() {
                    "id" => *self.0 = Some(entries.next_value()?),
                    _ => drop(entries.next_value::<IgnoredAny>()?),
                }
            }
            Ok(())
        }
    }
    let mut id = None;
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    // What was seen before an error still counts.
    let _ = serde::Deserializer::deserialize_map(&mut deserializer, Seen(&mut id));
    id
}
