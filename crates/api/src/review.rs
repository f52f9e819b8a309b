//! Who a caller is, and what a caller may do: questions that the API server answers for its components, and the trust
//! that it publishes for them.
//!
//! * `TokenReview` (`authentication.k8s.io/v1`): whose is this bearer token?
//! * `SubjectAccessReview` (`authorization.k8s.io/v1`): may they do this?
//! * the ConfigMap `kube-system/extension-apiserver-authentication`: which authorities sign client certificates, and
//!   how a front proxy passes on whom it speaks for.

use crate::write::{JSON, Method, Request, body_of};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Somebody whom Kubernetes knows. Source: `user.Info` in `k8s.io/apiserver/pkg/authentication/user`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct UserInfo {
    /// The name.
    #[serde(default)]
    pub username: String,
    /// Tells users of one name apart; may be empty.
    #[serde(default)]
    pub uid: String,
    /// The groups.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub groups: Vec<String>,
    /// What else whoever authenticated the user wants authorizers to know.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Access {
    /// To ask for a path that is no object's: `nonResourceURLs` in a role.
    Path {
        /// The HTTP method in lower case.
        verb: String,
        /// The path, without query.
        path: String,
    },
    /// To do something with objects: `resources` in a role.
    Resource(ResourceAccess),
}

/// What somebody wants to do with objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct ResourceAccess {
    /// `get`, `list`, and so on.
    pub verb: String,
    /// The API group; empty is the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource, such as `pods`.
    pub resource: String,
    /// A part of it, such as `status`; empty is the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// The namespace; empty is all of them, or none where the resource has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The object; empty is all of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenVerdict {
    /// This user's.
    Of(UserInfo),
    /// Nobody's that the server knows, or not any more. The reason may be empty.
    Invalid(String),
}

/// Whether somebody may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessVerdict {
    /// They may.
    pub allowed: bool,
    /// Why, or why not; may be empty.
    pub reason: String,
}

/// Asks whose a token is. The request holds the token: it must not be logged.
pub fn token_review(token: &str) -> Request {
    #[derive(Serialize)]
    struct Spec<'a> {
        token: &'a str,
    }
    review(
        "authentication.k8s.io/v1",
        "TokenReview",
        "tokenreviews",
        &Spec { token },
    )
}

/// Asks whether a user may.
pub fn access_review(user: &UserInfo, access: &Access) -> Request {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        resource_attributes: Option<&'a ResourceAccess>,
        #[serde(skip_serializing_if = "Option::is_none")]
        non_resource_attributes: Option<PathAttributes<'a>>,
        user: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        uid: &'a str,
        groups: &'a [String],
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        extra: &'a BTreeMap<String, Vec<String>>,
    }
    #[derive(Serialize)]
    struct PathAttributes<'a> {
        path: &'a str,
        verb: &'a str,
    }
    let (resource_attributes, non_resource_attributes) = match access {
        Access::Path { verb, path } => (None, Some(PathAttributes { path, verb })),
        Access::Resource(resource) => (Some(resource), None),
    };
    let spec = Spec {
        resource_attributes,
        non_resource_attributes,
        user: &user.username,
        uid: &user.uid,
        groups: &user.groups,
        extra: &user.extra,
    };
    review(
        "authorization.k8s.io/v1",
        "SubjectAccessReview",
        "subjectaccessreviews",
        &spec,
    )
}

fn review(api_version: &'static str, kind: &'static str, resource: &str, spec: &impl Serialize) -> Request {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Review<'a, S> {
        api_version: &'static str,
        kind: &'static str,
        spec: &'a S,
    }
    Request {
        method: Method::Post,
        path: format!("/apis/{api_version}/{resource}"),
        content_type: JSON,
        body: body_of(&Review {
            api_version,
            kind,
            spec,
        }),
    }
}

/// Reads the answer to [`token_review`].
///
/// # Errors
/// These bytes are no answered TokenReview. The error does not repeat them: they hold the token.
pub fn read_token_review(body: &[u8]) -> Result<TokenVerdict, String> {
    #[derive(Deserialize)]
    struct Review {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        #[serde(default)]
        authenticated: bool,
        #[serde(default)]
        user: UserInfo,
        #[serde(default)]
        error: String,
    }
    let Ok(Review { status }) = serde_json::from_slice(body) else {
        return Err("the answer is no TokenReview with a status".to_owned());
    };
    Ok(if status.authenticated {
        TokenVerdict::Of(status.user)
    } else {
        TokenVerdict::Invalid(status.error)
    })
}

/// Reads the answer to [`access_review`].
///
/// # Errors
/// These bytes are no answered SubjectAccessReview, or one that says yes and no at once.
pub fn read_access_review(body: &[u8]) -> Result<AccessVerdict, String> {
    #[derive(Deserialize)]
    struct Review {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        allowed: bool,
        #[serde(default)]
        denied: bool,
        #[serde(default)]
        reason: String,
    }
    let Ok(Review { status }) = serde_json::from_slice(body) else {
        return Err("the answer is no SubjectAccessReview with a status".to_owned());
    };
    if status.allowed && status.denied {
        return Err("the access review returned both allow and deny".to_owned());
    }
    Ok(AccessVerdict {
        allowed: status.allowed,
        reason: status.reason,
    })
}

/// Whom a cluster's components are to believe: what the API server publishes for them.
///
/// Source: `ClusterAuthenticationInfo` in `pkg/controlplane/controller/clusterauthenticationtrust`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthenticationTrust {
    /// PEM: the authorities that sign the certificates of clients.
    pub client_authorities: String,
    /// How a front proxy says whom it speaks for; none where the cluster has no front proxy.
    pub front_proxy: Option<FrontProxy>,
}

/// How a front proxy, which the API server's aggregation layer is, says whom it speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrontProxy {
    /// PEM: the authorities that sign the certificates of front proxies.
    pub authorities: String,
    /// The common names that such a certificate may have; empty is any.
    pub allowed_names: Vec<String>,
    /// The headers that hold the user's name: the first that has a value counts.
    pub username_headers: Vec<String>,
    /// Likewise for the uid.
    pub uid_headers: Vec<String>,
    /// The headers whose values are the user's groups.
    pub group_headers: Vec<String>,
    /// The beginnings of headers whose rest is a key of [`UserInfo::extra`].
    pub extra_header_prefixes: Vec<String>,
}

/// Asks for the [`AuthenticationTrust`].
pub fn get_authentication_trust() -> Request {
    Request {
        method: Method::Get,
        path: "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication".to_owned(),
        content_type: "",
        body: Vec::new(),
    }
}

/// Reads the ConfigMap that [`get_authentication_trust`] asks for.
///
/// # Errors
/// These bytes are no ConfigMap, or one of its lists is none; says which.
pub fn read_authentication_trust(body: &[u8]) -> Result<AuthenticationTrust, String> {
    #[derive(Deserialize)]
    struct ConfigMap {
        #[serde(default, deserialize_with = "null_is_empty")]
        data: BTreeMap<String, String>,
    }
    let ConfigMap { mut data } =
        serde_json::from_slice(body).map_err(|error| format!("the answer is no ConfigMap: {error}"))?;
    let list = |key: &str| match data.get(key) {
        None => Ok(Vec::new()),
        Some(text) => serde_json::from_str(text).map_err(|error| format!("{key}: not a list of strings: {error}")),
    };
    let front_proxy = FrontProxy {
        authorities: data.get("requestheader-client-ca-file").cloned().unwrap_or_default(),
        allowed_names: list("requestheader-allowed-names")?,
        username_headers: list("requestheader-username-headers")?,
        uid_headers: list("requestheader-uid-headers")?,
        group_headers: list("requestheader-group-headers")?,
        extra_header_prefixes: list("requestheader-extra-headers-prefix")?,
    };
    Ok(AuthenticationTrust {
        client_authorities: data.remove("client-ca-file").unwrap_or_default(),
        front_proxy: (!front_proxy.authorities.is_empty()).then_some(front_proxy),
    })
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn body(request: &Request) -> Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn a_token_is_asked_about_and_its_owner_read() {
        let request = token_review("hush");
        assert_eq!(request.path, "/apis/authentication.k8s.io/v1/tokenreviews");
        let expected =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "hush"}});
        assert_eq!(body(&request), expected);

        let answer = json!({"spec": {"token": "hush"}, "status": {"authenticated": true, "user": {
            "username": "jane", "uid": "7", "groups": ["dev"], "extra": {"a/b": ["c"]}}, "audiences": ["x"]}});
        let jane = UserInfo {
            username: "jane".into(),
            uid: "7".into(),
            groups: vec!["dev".into()],
            extra: BTreeMap::from([("a/b".to_owned(), vec!["c".to_owned()])]),
        };
        let read = |answer: &Value| read_token_review(answer.to_string().as_bytes());
        assert_eq!(read(&answer), Ok(TokenVerdict::Of(jane)));
        assert_eq!(
            read(&json!({"status": {"user": {}, "error": "expired"}})),
            Ok(TokenVerdict::Invalid("expired".into()))
        );
        let bare = json!({"status": {"authenticated": true, "user": {"username": "x", "groups": null, "extra": null}}});
        assert!(matches!(read(&bare), Ok(TokenVerdict::Of(user)) if user.username == "x"));
        let error = read(&json!({"spec": {"token": "hush"}, "status": "hush"})).unwrap_err();
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn access_is_asked_for_by_path_and_by_object() {
        let jane = UserInfo {
            username: "jane".into(),
            groups: vec!["dev".into()],
            ..UserInfo::default()
        };
        let path = Access::Path {
            verb: "get".into(),
            path: "/metrics".into(),
        };
        let request = access_review(&jane, &path);
        assert_eq!(request.path, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
        let spec =
            json!({"nonResourceAttributes": {"path": "/metrics", "verb": "get"}, "user": "jane", "groups": ["dev"]});
        assert_eq!(body(&request)["spec"], spec);

        let pods = Access::Resource(ResourceAccess {
            verb: "get".into(),
            resource: "pods".into(),
            namespace: "shop".into(),
            ..ResourceAccess::default()
        });
        let attributes = json!({"verb": "get", "resource": "pods", "namespace": "shop"});
        assert_eq!(
            body(&access_review(&jane, &pods))["spec"]["resourceAttributes"],
            attributes
        );
    }

    #[test]
    fn verdicts_on_access() {
        let read = |status: Value| read_access_review(json!({ "status": status }).to_string().as_bytes());
        assert_eq!(
            read(json!({"allowed": true, "reason": "RBAC: allowed by x"})),
            Ok(AccessVerdict {
                allowed: true,
                reason: "RBAC: allowed by x".into()
            })
        );
        assert!(read(json!({"allowed": false})).is_ok_and(|verdict| !verdict.allowed));
        assert!(read(json!({"allowed": true, "denied": true})).is_err());
        assert!(read(json!({})).is_err(), "what says nothing allows nothing");
        assert!(read_access_review(b"<html>").is_err());
    }

    #[test]
    fn trust_is_read_from_the_config_map() {
        let map = |data: Value| json!({"kind": "ConfigMap", "data": data}).to_string();
        let trust = read_authentication_trust(
            map(json!({
                "client-ca-file": "CA", "requestheader-client-ca-file": "PROXY",
                "requestheader-allowed-names": "[\"front\"]",
                "requestheader-username-headers": "[\"X-Remote-User\"]",
                "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
                "requestheader-group-headers": "[\"X-Remote-Group\"]",
                "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
            }))
            .as_bytes(),
        )
        .unwrap();
        let proxy = trust.front_proxy.expect("a front proxy");
        assert_eq!((&*trust.client_authorities, &*proxy.authorities), ("CA", "PROXY"));
        assert_eq!(proxy.allowed_names, ["front"]);
        assert_eq!(proxy.extra_header_prefixes, ["X-Remote-Extra-"]);

        let plain = read_authentication_trust(map(json!({"client-ca-file": "CA"})).as_bytes()).unwrap();
        assert_eq!(plain.front_proxy, None);
        let broken = map(json!({"requestheader-allowed-names": "front"}));
        let error = read_authentication_trust(broken.as_bytes()).unwrap_err();
        assert!(
            error.starts_with("requestheader-allowed-names: not a list of strings"),
            "{error}"
        );
        assert_eq!(read_authentication_trust(b"{}"), Ok(AuthenticationTrust::default()));
    }
}
