//! Recordings: what an engine was told, one line of JSON for each input with its time, to be told again.
//!
//! `{"v":3,"now":12345,"input":{…}}`, where `now` is in microseconds. The format has structs of its own (`wire`), so
//! that records can change without old recordings becoming unreadable by accident: the compiler asks what to do with each
//! new field, and the golden files in `golden/` show every change of the format. A field that is empty is left out. A
//! field that is not known is an error, not something to skip: whoever replays wants to replay all of it.

mod mirror;
mod storage;
#[cfg(test)]
mod tests;
mod wire;

use mirror::Mirror;
use muster_engine::{Input, Time};
use serde::{Deserialize, Serialize};

/// The version that is written, and the only one that is read. Versions before had fewer kinds of objects: an engine of
/// today would wait for the lists of the others for ever.
const VERSION: u64 = 3;

/// Why a line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The line is no JSON, or no object with a version.
    #[error("not a line of a recording: {problem}")]
    NotALine {
        /// What is wrong.
        problem: String,
    },
    /// The line was written in another format.
    #[error("the recording has version {found}, this Muster reads version {VERSION}")]
    UnknownVersion {
        /// The version that the line states.
        found: u64,
    },
    /// The version is known, but not this field, or what it holds.
    #[error("{field}: {problem}")]
    Field {
        /// The field, for example `input.applied.pod.spec`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    v: u64,
    now: u64,
    input: wire::Input,
}

/// Writes one input down, without a line end.
pub fn encode(now: Time, input: &Input) -> String {
    let line = Line {
        v: VERSION,
        now: now.micros(),
        input: wire::Input::write(input),
    };
    serde_json::to_string(&line).expect("structs of strings and numbers always serialize")
}

/// Reads one line.
///
/// # Errors
/// The line is of another version, or has anything in it that this version does not know.
pub fn decode(line: &str) -> Result<(Time, Input), CodecError> {
    if let Ok(Line { v: VERSION, now, input }) = serde_json::from_str(line) {
        return Ok((Time(now), input.read()));
    }
    Err(explain(line))
}

/// The image of an object, for formats that hold objects and no inputs: the same as in a recording, and versioned by
/// whoever uses it.
pub(crate) fn object_image(object: &muster_engine::Object) -> impl Serialize {
    wire::Object::write(object)
}

/// Reads the image of an object.
pub(crate) fn read_object<'d, D: serde::Deserializer<'d>>(from: D) -> Result<muster_engine::Object, D::Error> {
    Ok(wire::Object::deserialize(from)?.read())
}

/// What is wrong with a line; most of all its version, whatever else a line of another version holds.
fn explain(line: &str) -> CodecError {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    match serde_json::from_str(line) {
        Err(error) => {
            return CodecError::NotALine {
                problem: error.to_string(),
            };
        }
        Ok(Version { v }) if v != VERSION => return CodecError::UnknownVersion { found: v },
        Ok(_) => {}
    }
    let mut deserializer = serde_json::Deserializer::from_str(line);
    match serde_path_to_error::deserialize::<_, Line>(&mut deserializer) {
        Err(error) => CodecError::Field {
            field: error.path().to_string(),
            problem: error.inner().to_string(),
        },
        Ok(_) => CodecError::NotALine {
            problem: "something follows the object".to_owned(),
        },
    }
}
