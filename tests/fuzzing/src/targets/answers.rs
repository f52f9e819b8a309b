//! What others answer: refusals, leases and reviews of the API server, and extenders.

#[allow(dead_code)]
#[path = "../../../../crates/kube/src/extender/contract.rs"]
mod contract;

use jiff::Timestamp;
use muster_api::{Contact, LeaseName, decode_lease, lease_request, review, status_message};
use muster_engine::election::{LeaseWrite, RequestKind};
use serde_json::Value;

/// Reads it as each of them.
pub fn run(bytes: &[u8]) {
    let _ = status_message(bytes);
    let _ = review::read_token_review(bytes);
    let _ = review::read_access_review(bytes);
    let _ = review::read_authentication_trust(bytes);
    let _ = contract::filtered(bytes, true);
    let _ = contract::filtered(bytes, false);
    let _ = contract::prioritized(bytes);
    let _ = contract::bound(bytes);
    check_stripping(bytes);
    if let Ok(lease) = decode_lease(bytes)
        && let Some(contact) = lease.contact
    {
        check_contact(contact);
    }
}

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

/// Where the leader can be asked is read as it is written.
fn check_contact(contact: Contact) {
    let lease = LeaseName {
        namespace: "muster-system".to_owned(),
        name: "muster".to_owned(),
    };
    let write = LeaseWrite {
        holder: "host_1".into(),
        duration_seconds: 15,
        acquired: None,
        transitions: 0,
    };
    let request = lease_request(
        &lease,
        &RequestKind::Create(write),
        Some(&contact),
        Timestamp::UNIX_EPOCH,
    );
    let mut written: Value = serde_json::from_slice(&request.body).expect("what is sent is JSON");
    // As the API server has it.
    written["metadata"]["resourceVersion"] = "1".into();
    let read = decode_lease(written.to_string().as_bytes()).expect("what was written can be read");
    assert_eq!(read.contact, Some(contact));
}
