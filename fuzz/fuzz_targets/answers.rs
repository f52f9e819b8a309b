//! What others answer: refusals, leases and reviews of the API server, and extenders.

#![no_main]

// It is private to a crate that brings a client of the API server along, and is compiled from its source here.
#[allow(dead_code)]
#[path = "../../crates/kube/src/extender/contract.rs"]
mod contract;

use libfuzzer_sys::fuzz_target;
use muster_api::{decode_lease, review, status_message};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let _ = status_message(bytes);
    let _ = decode_lease(bytes);
    let _ = review::read_token_review(bytes);
    let _ = review::read_access_review(bytes);
    let _ = review::read_authentication_trust(bytes);
    let _ = contract::filtered(bytes, true);
    let _ = contract::filtered(bytes, false);
    let _ = contract::prioritized(bytes);
    let _ = contract::bound(bytes);
    check_stripping(bytes);
});

/// An object without managed fields is the same object in all else.
fn check_stripping(bytes: &[u8]) {
    let Ok(mut object) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let stripped = contract::without_managed_fields(bytes);
    assert_eq!(serde_json::from_slice::<Value>(&stripped).expect("it was JSON"), object);
}
