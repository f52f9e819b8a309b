//! Objects of the API server, of every kind, and the lines of recordings.

use muster_api::{codec, decode_for, object_key};
use muster_engine::{Input, Time};
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;

/// Reads it as each of them.
pub fn run(bytes: &[u8]) {
    for kind in Kind::ALL {
        let _ = object_key(kind, bytes);
        for minor in [KubeMinor::V1_35, KubeMinor::V1_37] {
            if let Ok(object) = decode_for(minor, kind, bytes) {
                check_codec(Time::ZERO, Input::Applied(object));
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok((now, input)) = codec::decode(text)
    {
        check_codec(now, input);
    }
}

/// What a recording writes is read as the same.
fn check_codec(now: Time, input: Input) {
    assert_eq!(
        codec::decode(&codec::encode(now, &input)).expect("what was written can be read"),
        (now, input)
    );
}
