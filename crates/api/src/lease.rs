//! The Lease that leaders are elected by (`coordination.k8s.io/v1`): how it is asked for, written and read.
//!
//! It is changed by a patch that names the version it was seen in, so that the server takes it only from whoever has seen
//! the last one (409 otherwise), and so that labels, annotations and fields of others stay.

use crate::write::{JSON, MERGE_PATCH, Method, Request, body_of, segment};
use jiff::Timestamp;
use muster_engine::election::{LeaseRecord, LeaseWrite, RequestKind};
use muster_framework::Text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for LeaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Asks what an election asks for. `now` is what the lease says of the time of the write; nobody compares it with a clock.
pub fn lease_request(lease: &LeaseName, kind: &RequestKind, now: Timestamp) -> Request {
    let leases = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
        segment(&lease.namespace)
    );
    let one = || format!("{leases}/{}", segment(&lease.name));
    match kind {
        RequestKind::Get => Request {
            method: Method::Get,
            path: one(),
            content_type: "",
            body: Vec::new(),
        },
        RequestKind::Update { version, write } => {
            #[derive(Serialize)]
            struct Patch<'a> {
                metadata: Seen<'a>,
                spec: Spec<'a>,
            }
            #[derive(Serialize)]
            #[serde(rename_all = "camelCase")]
            struct Seen<'a> {
                resource_version: &'a str,
            }
            Request {
                method: Method::Patch,
                path: one(),
                content_type: MERGE_PATCH,
                body: body_of(&Patch {
                    metadata: Seen {
                        resource_version: version,
                    },
                    spec: Spec::new(write, now),
                }),
            }
        }
        RequestKind::Create(write) => {
            #[derive(Serialize)]
            #[serde(rename_all = "camelCase")]
            struct Lease<'a> {
                api_version: &'static str,
                kind: &'static str,
                metadata: Named<'a>,
                spec: Spec<'a>,
            }
            #[derive(Serialize)]
            struct Named<'a> {
                name: &'a str,
                namespace: &'a str,
            }
            Request {
                method: Method::Post,
                path: leases,
                content_type: JSON,
                body: body_of(&Lease {
                    api_version: "coordination.k8s.io/v1",
                    kind: "Lease",
                    metadata: Named {
                        name: &lease.name,
                        namespace: &lease.namespace,
                    },
                    spec: Spec::new(write, now),
                }),
            }
        }
    }
}

/// `spec` as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    holder_identity: &'a str,
    lease_duration_seconds: u32,
    acquire_time: String,
    renew_time: String,
    lease_transitions: i32,
}

impl<'a> Spec<'a> {
    fn new(write: &'a LeaseWrite, now: Timestamp) -> Spec<'a> {
        // `metav1.MicroTime`: exactly six digits.
        let now = now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        Spec {
            holder_identity: &write.holder,
            lease_duration_seconds: write.duration_seconds,
            acquire_time: write.acquired.as_deref().map_or_else(|| now.clone(), str::to_owned),
            renew_time: now,
            lease_transitions: write.transitions,
        }
    }
}

/// Reads a Lease.
///
/// A lease that somebody made by hand may say little: nobody holds it then, or for as long as ours would last.
///
/// # Errors
/// These bytes are no Lease; says why, naming the field.
pub fn decode_lease(body: &[u8]) -> Result<LeaseRecord, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Lease {
        kind: String,
        metadata: Metadata,
        #[serde(default)]
        spec: Option<Stated>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        resource_version: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Stated {
        holder_identity: Option<String>,
        lease_duration_seconds: Option<i64>,
        acquire_time: Option<String>,
        lease_transitions: Option<i32>,
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let lease: Lease = serde_path_to_error::deserialize(&mut json).map_err(|error| error.to_string())?;
    if lease.kind != "Lease" {
        return Err(format!("kind: this is a {}, not a Lease", lease.kind));
    }
    if lease.metadata.resource_version.is_empty() {
        return Err("metadata.resourceVersion: is empty".to_owned());
    }
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Ok(LeaseRecord {
        version: lease.metadata.resource_version.into(),
        holder: spec.holder_identity.map_or_else(|| Text::from(""), Text::from),
        duration: seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        acquired: spec.acquire_time.map_or_else(|| Text::from(""), Text::from),
        transitions: spec.lease_transitions.unwrap_or(0).max(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> LeaseName {
        LeaseName {
            namespace: "muster-system".into(),
            name: "muster".into(),
        }
    }

    fn write(acquired: Option<&str>) -> LeaseWrite {
        LeaseWrite {
            holder: "host_1".into(),
            duration_seconds: 15,
            acquired: acquired.map(Text::from),
            transitions: 2,
        }
    }

    fn sent(kind: &RequestKind) -> String {
        let request = lease_request(
            &lease(),
            kind,
            Timestamp::from_microsecond(1_700_000_000_000_120).unwrap(),
        );
        let body = String::from_utf8(request.body).unwrap();
        format!(
            "{} {} {}\n{body}",
            request.method.name(),
            request.path,
            request.content_type
        )
    }

    #[test]
    fn requests() {
        insta::assert_snapshot!(sent(&RequestKind::Get), @"GET /apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster");
        insta::assert_snapshot!(sent(&RequestKind::Create(write(None))), @r#"
        POST /apis/coordination.k8s.io/v1/namespaces/muster-system/leases application/json
        {"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"muster","namespace":"muster-system"},"spec":{"holderIdentity":"host_1","leaseDurationSeconds":15,"acquireTime":"2023-11-14T22:13:20.000120Z","renewTime":"2023-11-14T22:13:20.000120Z","leaseTransitions":2}}
        "#);
        let update = RequestKind::Update {
            version: "77".into(),
            write: write(Some("2026-01-01T00:00:00.000001Z")),
        };
        insta::assert_snapshot!(sent(&update), @r#"
        PATCH /apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster application/merge-patch+json
        {"metadata":{"resourceVersion":"77"},"spec":{"holderIdentity":"host_1","leaseDurationSeconds":15,"acquireTime":"2026-01-01T00:00:00.000001Z","renewTime":"2023-11-14T22:13:20.000120Z","leaseTransitions":2}}
        "#);
    }

    #[test]
    fn what_is_written_is_read() {
        let body = br#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1",
            "metadata":{"name":"muster","namespace":"x","uid":"u","resourceVersion":"12","managedFields":[]},
            "spec":{"holderIdentity":"host_1","leaseDurationSeconds":15,"acquireTime":"2026-01-01T00:00:00.000001Z",
            "renewTime":"2026-01-01T00:00:10.000000Z","leaseTransitions":2,"strategy":"later"}}"#;
        assert_eq!(
            decode_lease(body),
            Ok(LeaseRecord {
                version: "12".into(),
                holder: "host_1".into(),
                duration: Some(Duration::from_secs(15)),
                acquired: "2026-01-01T00:00:00.000001Z".into(),
                transitions: 2,
            })
        );
    }

    #[test]
    fn a_lease_that_says_little_is_read_and_what_is_none_is_not() {
        for spec in [
            r#""spec":{}"#,
            r#""spec":null"#,
            r#""spec":{"leaseDurationSeconds":-4,"leaseTransitions":null}"#,
        ] {
            let body = format!(r#"{{"kind":"Lease","metadata":{{"resourceVersion":"1"}},{spec}}}"#);
            let read = decode_lease(body.as_bytes()).unwrap();
            assert_eq!(
                (&*read.holder, read.duration, read.transitions),
                ("", None, 0),
                "{spec}"
            );
        }
        for (body, problem) in [
            ("<html>", "expected value"),
            (r#"{"kind":"Pod","metadata":{"resourceVersion":"1"}}"#, "a Pod"),
            (r#"{"kind":"Lease","metadata":{}}"#, "resourceVersion"),
            (
                r#"{"kind":"Lease","metadata":{"resourceVersion":"1"},"spec":{"holderIdentity":7}}"#,
                "spec.holderIdentity",
            ),
        ] {
            let error = decode_lease(body.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
