//! Objects of the API server, of every kind, and the envelopes in which they come.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_api::{codec, decode, decode_lease, envelope, object_key, status_message};
use muster_framework::record::Kind;

fuzz_target!(|bytes: &[u8]| {
    for kind in Kind::ALL {
        let _ = decode(kind, bytes);
        let _ = object_key(kind, bytes);
    }
    let _ = envelope::page(bytes);
    let _ = envelope::watch_event(bytes);
    let _ = status_message(bytes);
    let _ = decode_lease(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok((now, input)) = codec::decode(text)
    {
        assert_eq!(
            codec::decode(&codec::encode(now, &input)).expect("what was written can be read"),
            (now, input)
        );
    }
});
