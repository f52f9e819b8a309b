//! Answers, and the `Status` objects in which Kubernetes says no.

use super::route::Answer;
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use muster_api::review::{Access, UserInfo};
use serde_json::{Value, json};

/// Plain text.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
/// One JSON value.
pub(crate) const JSON: &str = "application/json";

/// An answer that nobody keeps, and whose kind no browser guesses.
pub fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Source: `WithCacheControl` in `k8s.io/apiserver/pkg/endpoints/filters/cachecontrol.go`.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// A line of text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    respond(status, TEXT, body)
}

/// A `metav1.Status` of failure.
pub fn failure(code: StatusCode, reason: &str, message: &str, details: Option<Value>) -> Answer {
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    });
    if let Some(details) = details {
        status["details"] = details;
    }
    respond(code, JSON, format!("{status}\n"))
}

/// 401: nobody we know. Source: `NewUnauthorized` in `k8s.io/apimachinery/pkg/api/errors`.
pub(crate) fn unauthorized() -> Answer {
    failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized", None)
}

/// 403: somebody who may not. Source: `ForbiddenStatusError` in
/// `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go`.
pub(crate) fn forbidden(user: &UserInfo, access: &Access, reason: &str) -> Answer {
    let sentence = sanitized(&cannot(user, access));
    let sentence = if reason.is_empty() {
        sentence
    } else {
        format!("{sentence}: {reason}")
    };
    let (message, details) = match access {
        Access::Path { .. } => (format!("forbidden: {sentence}"), json!({})),
        Access::Resource(resource) => {
            let kind = if resource.group.is_empty() {
                resource.resource.clone()
            } else {
                format!("{}.{}", resource.resource, resource.group)
            };
            let name = if resource.name.is_empty() {
                String::new()
            } else {
                format!(" {:?}", resource.name)
            };
            let mut details = json!({ "kind": resource.resource });
            for (key, value) in [("name", &resource.name), ("group", &resource.group)] {
                if !value.is_empty() {
                    details[key] = value.as_str().into();
                }
            }
            (format!("{kind}{name} is forbidden: {sentence}"), details)
        }
    };
    failure(StatusCode::FORBIDDEN, "Forbidden", &message, Some(details))
}

/// 500: whether the caller may could not be found out. What went wrong is for the log.
pub(crate) fn internal_error(what: &str) -> Answer {
    let message = format!("Internal error occurred: {what}");
    failure(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        &message,
        Some(json!({ "causes": [{ "message": what }] })),
    )
}

/// 404 in the words of Go's HTTP server.
pub(crate) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// What somebody may not do, in upstream's words.
fn cannot(user: &UserInfo, access: &Access) -> String {
    let user = &user.username;
    match access {
        Access::Path { verb, path } => format!("User {user:?} cannot {verb} path {path:?}"),
        Access::Resource(to) => {
            let resource = if to.subresource.is_empty() {
                to.resource.clone()
            } else {
                format!("{}/{}", to.resource, to.subresource)
            };
            let place = if to.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", to.namespace)
            };
            format!(
                "User {user:?} cannot {} resource {resource:?} in API group {:?} {place}",
                to.verb, to.group
            )
        }
    }
}

/// What cannot be taken for HTML.
fn sanitized(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::testing::body_of;
    use super::*;
    use muster_api::review::ResourceAccess;

    fn jane() -> UserInfo {
        UserInfo {
            username: "jane <j@x>".into(),
            ..UserInfo::default()
        }
    }

    #[tokio::test]
    async fn upstreams_words_for_those_who_may_not() {
        let path = Access::Path {
            verb: "get".into(),
            path: "/metrics".into(),
        };
        let pods = ResourceAccess {
            verb: "get".into(),
            resource: "pods".into(),
            namespace: "shop".into(),
            ..ResourceAccess::default()
        };
        let named = ResourceAccess {
            group: "apps".into(),
            resource: "deployments".into(),
            subresource: "status".into(),
            name: "web".into(),
            ..pods.clone()
        };
        let everywhere = ResourceAccess {
            namespace: String::new(),
            ..pods.clone()
        };
        let mut said = Vec::new();
        for access in [
            path,
            Access::Resource(pods),
            Access::Resource(named),
            Access::Resource(everywhere),
        ] {
            said.push(body_of(forbidden(&jane(), &access, "")).await);
        }
        said.push(body_of(unauthorized()).await);
        said.push(body_of(internal_error("cannot ask")).await);
        insta::assert_snapshot!(said.concat());
    }

    #[tokio::test]
    async fn a_reason_follows() {
        let path = Access::Path {
            verb: "put".into(),
            path: "/debug/flags/v".into(),
        };
        let body: Value = serde_json::from_str(&body_of(forbidden(&jane(), &path, "no, thanks")).await).unwrap();
        assert_eq!(
            body["message"],
            "forbidden: User \"jane &lt;j@x&gt;\" cannot put path \"/debug/flags/v\": no, thanks"
        );
    }
}
