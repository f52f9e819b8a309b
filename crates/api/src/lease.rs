//! The Lease that leaders are elected by (`coordination.k8s.io/v1`): how it is asked for, written and read.
//!
//! It is changed by a patch that names the version it was seen in, so that the server takes it only from whoever has seen
//! the last one (409 otherwise), and so that labels, annotations and fields of others stay.
//!
//! Two annotations say where the holder can be asked. Each write of a holder sets them or takes them away, so they are never
//! those of a holder before; and only who may write the lease may set them, which is why they are believed.

use crate::write::{JSON, MERGE_PATCH, Method, Request, body_of, segment};
use jiff::Timestamp;
use muster_engine::election::{LeaseRecord, LeaseWrite, RequestKind};
use muster_framework::Text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// Which Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Where the holder of a Lease can be asked, and how to know that it is the holder who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// `muster.dev/address`: where it serves over TLS.
    pub address: SocketAddr,
    /// `muster.dev/certificate-sha256`: of the certificate that it shows.
    pub certificate: Fingerprint,
}

/// The SHA-256 of a certificate in DER. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Fingerprint, String> {
        let wrong = || format!("{text:?} is no SHA-256 in hexadecimal digits");
        // `from_str_radix` would take a sign.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Fingerprint(bytes))
    }
}

/// A Lease as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenLease {
    /// What an election reads of it.
    pub record: LeaseRecord,
    /// Where its holder can be asked; none if that is not said, or not so that it can be understood.
    pub contact: Option<Contact>,
}

/// Our annotations as they are written: null takes one away.
#[derive(Serialize)]
struct Annotations {
    #[serde(rename = "muster.dev/address")]
    address: Option<String>,
    #[serde(rename = "muster.dev/certificate-sha256")]
    certificate: Option<String>,
}

impl Annotations {
    /// Who gives the lease back is nobody's contact any more.
    fn new(write: &LeaseWrite, contact: Option<&Contact>) -> Annotations {
        let contact = contact.filter(|_| !write.holder.is_empty());
        Annotations {
            address: contact.map(|contact| contact.address.to_string()),
            certificate: contact.map(|contact| contact.certificate.to_string()),
        }
    }
}

/// Asks what an election asks for. `now` is what the lease says of the time of the write; nobody compares it with a clock.
/// `contact` is where the writer can be asked while it is the holder.
pub fn lease_request(lease: &LeaseName, kind: &RequestKind, contact: Option<&Contact>, now: Timestamp) -> Request {
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
                annotations: Annotations,
            }
            Request {
                method: Method::Patch,
                path: one(),
                content_type: MERGE_PATCH,
                body: body_of(&Patch {
                    metadata: Seen {
                        resource_version: version,
                        annotations: Annotations::new(write, contact),
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
                #[serde(skip_serializing_if = "Option::is_none")]
                annotations: Option<Annotations>,
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
                        annotations: contact.is_some().then(|| Annotations::new(write, contact)),
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
pub fn decode_lease(body: &[u8]) -> Result<SeenLease, String> {
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
        #[serde(default)]
        annotations: Option<Said>,
    }
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "muster.dev/address")]
        address: Option<String>,
        #[serde(rename = "muster.dev/certificate-sha256")]
        certificate: Option<String>,
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
    let contact = lease.metadata.annotations.and_then(|said| {
        Some(Contact {
            address: said.address?.parse().ok()?,
            certificate: said.certificate?.parse().ok()?,
        })
    });
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    let record = LeaseRecord {
        version: lease.metadata.resource_version.into(),
        holder: spec.holder_identity.map_or_else(|| Text::from(""), Text::from),
        duration: seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        acquired: spec.acquire_time.map_or_else(|| Text::from(""), Text::from),
        transitions: spec.lease_transitions.unwrap_or(0).max(0),
    };
    Ok(SeenLease { record, contact })
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

    fn contact() -> Contact {
        Contact {
            address: "10.1.2.3:10259".parse().unwrap(),
            certificate: Fingerprint([0xab; 32]),
        }
    }

    fn sent(kind: &RequestKind, contact: Option<&Contact>) -> String {
        let request = lease_request(
            &lease(),
            kind,
            contact,
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
        insta::assert_snapshot!(sent(&RequestKind::Get, None), @"GET /apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster");
        insta::assert_snapshot!(sent(&RequestKind::Create(write(None)), None), @r#"
        POST /apis/coordination.k8s.io/v1/namespaces/muster-system/leases application/json
        {"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"muster","namespace":"muster-system"},"spec":{"holderIdentity":"host_1","leaseDurationSeconds":15,"acquireTime":"2023-11-14T22:13:20.000120Z","renewTime":"2023-11-14T22:13:20.000120Z","leaseTransitions":2}}
        "#);
        let update = RequestKind::Update {
            version: "77".into(),
            write: write(Some("2026-01-01T00:00:00.000001Z")),
        };
        insta::assert_snapshot!(sent(&update, None), @r#"
        PATCH /apis/coordination.k8s.io/v1/namespaces/muster-system/leases/muster application/merge-patch+json
        {"metadata":{"resourceVersion":"77","annotations":{"muster.dev/address":null,"muster.dev/certificate-sha256":null}},"spec":{"holderIdentity":"host_1","leaseDurationSeconds":15,"acquireTime":"2026-01-01T00:00:00.000001Z","renewTime":"2023-11-14T22:13:20.000120Z","leaseTransitions":2}}
        "#);
    }

    /// The annotations that are sent.
    fn annotations(kind: &RequestKind) -> serde_json::Value {
        let sent = sent(kind, Some(&contact()));
        let body: serde_json::Value = serde_json::from_str(sent.lines().last().unwrap()).unwrap();
        body["metadata"]["annotations"].clone()
    }

    #[test]
    fn a_holder_says_where_it_can_be_asked_and_takes_that_away_with_its_name() {
        let said = serde_json::json!({
            "muster.dev/address": "10.1.2.3:10259",
            "muster.dev/certificate-sha256": "ab".repeat(32),
        });
        let update = |holder: &str| RequestKind::Update {
            version: "77".into(),
            write: LeaseWrite {
                holder: holder.into(),
                ..write(None)
            },
        };
        assert_eq!(annotations(&RequestKind::Create(write(None))), said);
        assert_eq!(annotations(&update("host_1")), said);
        // Given back. Only ours are named: those of others stay.
        let gone = serde_json::json!({"muster.dev/address": null, "muster.dev/certificate-sha256": null});
        assert_eq!(annotations(&update("")), gone);
    }

    #[test]
    fn where_the_holder_can_be_asked_is_read_if_it_can_be_understood() {
        let read = |annotations: serde_json::Value| {
            let body = serde_json::json!({
                "kind": "Lease", "metadata": {"resourceVersion": "1", "annotations": annotations},
            });
            decode_lease(body.to_string().as_bytes()).unwrap().contact
        };
        let said = |address: &str, certificate: &str| {
            read(serde_json::json!({
                "muster.dev/address": address, "muster.dev/certificate-sha256": certificate, "example.com/other": "x",
            }))
        };
        let digits = "ab".repeat(32);
        assert_eq!(said("10.1.2.3:10259", &digits), Some(contact()));
        assert!(said("[fd00::1]:10259", &digits.to_uppercase()).is_some());
        for (address, certificate) in [
            ("10.1.2.3", digits.as_str()),
            ("leader.example.com:10259", &digits),
            ("10.1.2.3:10259", ""),
            ("10.1.2.3:10259", &digits[1..]),
            ("10.1.2.3:10259", &format!("+{}", &digits[1..])),
        ] {
            assert_eq!(said(address, certificate), None, "{address} {certificate}");
        }
        for little in [
            serde_json::Value::Null,
            serde_json::json!({}),
            serde_json::json!({"muster.dev/address": "10.1.2.3:10259"}),
        ] {
            assert_eq!(read(little.clone()), None, "{little}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let body = br#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1",
            "metadata":{"name":"muster","namespace":"x","uid":"u","resourceVersion":"12","managedFields":[]},
            "spec":{"holderIdentity":"host_1","leaseDurationSeconds":15,"acquireTime":"2026-01-01T00:00:00.000001Z",
            "renewTime":"2026-01-01T00:00:10.000000Z","leaseTransitions":2,"strategy":"later"}}"#;
        assert_eq!(
            decode_lease(body).map(|lease| lease.record),
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
            let read = decode_lease(body.as_bytes()).unwrap().record;
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
