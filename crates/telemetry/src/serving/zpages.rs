//! `/statusz`, `/flagz` and `/configz`: what runs, with which flags, and with what configuration.
//!
//! The first two are of KEP-4827 and KEP-4828: text for people, and `application/json` for those who ask for the kind
//! (`;v=v1beta1;g=config.k8s.io;as=Statusz`). Sources: `k8s.io/apiserver/pkg/server/{statusz,flagz}`,
//! `k8s.io/component-base/configz`.

use super::answer::{JSON, TEXT, failure, respond};
use super::route::Answer;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

/// The name of the component in its pages.
const COMPONENT: &str = "muster";
/// What stands under the name on both pages.
const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility \
    guarantees and is for debugging purposes only.";
/// The versions of the kinds. The second is deprecated since the first is there.
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];

/// What the pages tell of the process.
#[derive(Debug)]
pub struct About {
    /// The version of the program.
    pub version: &'static str,
    /// When the process began.
    pub started: Timestamp,
    /// The Kubernetes minor whose rules are followed, such as `1.35`; not known before the API server has answered.
    pub emulates: OnceLock<String>,
    /// The flags with their values. None holds a secret.
    pub flags: BTreeMap<String, String>,
    /// The configuration, by the name of its group. It holds no secret.
    pub configuration: BTreeMap<String, Value>,
}

impl About {
    /// `/configz`.
    pub(crate) fn configz(&self) -> Answer {
        respond(StatusCode::OK, JSON, json!(self.configuration).to_string())
    }

    /// `/statusz`. `paths` are those of the pages.
    pub(crate) fn statusz(&self, accept: &str, paths: &[&str]) -> Answer {
        let now = Timestamp::now();
        match negotiate(accept, "Statusz") {
            Wanted::Text => respond(StatusCode::OK, TEXT, self.statusz_text(paths, now)),
            Wanted::Kind(version) => structured("Statusz", version, self.statusz_fields(paths, now)),
            Wanted::SomethingElse => not_acceptable("Statusz"),
        }
    }

    /// `/flagz`.
    pub(crate) fn flagz(&self, accept: &str) -> Answer {
        match negotiate(accept, "Flagz") {
            Wanted::Text => respond(StatusCode::OK, TEXT, self.flagz_text()),
            Wanted::Kind(version) => {
                let fields = Map::from_iter([("flags".to_owned(), json!(self.flags))]);
                structured("Flagz", version, fields)
            }
            Wanted::SomethingElse => not_acceptable("Flagz"),
        }
    }

    fn uptime_seconds(&self, now: Timestamp) -> i64 {
        (now.as_second() - self.started.as_second()).max(0)
    }

    fn statusz_text(&self, paths: &[&str], now: Timestamp) -> String {
        // Go's `time.UnixDate`.
        let started = self
            .started
            .to_zoned(TimeZone::UTC)
            .strftime("%a %b %e %H:%M:%S %Z %Y")
            .to_string();
        let up = self.uptime_seconds(now);
        let mut text = format!(
            "\n{COMPONENT} statusz\n{WARNING}\n\nStarted: {started}\nUp: {} hr {:02} min {:02} sec\nBinary version: {}\n",
            up / 3600,
            up / 60 % 60,
            up % 60,
            self.version,
        );
        if let Some(minor) = self.emulates.get() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "Emulation version: {minor}");
        }
        let _ = writeln!(text, "Paths: {}", paths.join(" "));
        text
    }

    fn statusz_fields(&self, paths: &[&str], now: Timestamp) -> Map<String, Value> {
        let started = Timestamp::from_second(self.started.as_second()).unwrap_or(self.started);
        let mut fields = json!({
            "startTime": started.to_string(),
            "uptimeSeconds": self.uptime_seconds(now),
            // Upstream's field for the compiler of all its components. There is none here.
            "goVersion": "",
            "binaryVersion": self.version,
            "paths": paths,
        });
        if let Some(minor) = self.emulates.get() {
            fields["emulationVersion"] = minor.as_str().into();
        }
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    fn flagz_text(&self) -> String {
        let mut text = format!("\n{COMPONENT} flagz\n{WARNING}\n");
        for (flag, value) in &self.flags {
            let _ = writeln!(text, "{flag}={value}");
        }
        text
    }
}

/// What a caller would like to read.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Text,
    Kind(&'static str),
    SomethingElse,
}

/// The first of what is accepted that there is. Qualities (`q=`) are not weighed: upstream does not, either.
fn negotiate(accept: &str, kind: &str) -> Wanted {
    if accept.trim().is_empty() {
        return Wanted::Text;
    }
    for media_type in accept.split(',') {
        let mut parts = media_type.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let parameters: BTreeMap<_, _> = parts.filter_map(|part| part.split_once('=')).collect();
        let is = |key: &str, value: &str| parameters.get(key).is_some_and(|given| *given == value);
        match name {
            "*/*" | "text/*" | "text/plain" if !parameters.contains_key("as") => return Wanted::Text,
            "application/json" if is("g", "config.k8s.io") && is("as", kind) => {
                if let Some(version) = VERSIONS.into_iter().find(|version| is("v", version)) {
                    return Wanted::Kind(version);
                }
            }
            _ => {}
        }
    }
    Wanted::SomethingElse
}

fn structured(kind: &str, version: &'static str, fields: Map<String, Value>) -> Answer {
    let mut object = json!({
        "kind": kind,
        "apiVersion": format!("config.k8s.io/{version}"),
        "metadata": { "name": COMPONENT },
    });
    if let Value::Object(object) = &mut object {
        object.extend(fields);
    }
    let mut answer = respond(StatusCode::OK, JSON, format!("{object}\n"));
    if version != VERSIONS[0] {
        let warning = match kind {
            "Flagz" => "299 - \"This version of the flagz endpoint is deprecated. Please use a newer version.\"",
            _ => "299 - \"This version of the statusz endpoint is deprecated. Please use a newer version.\"",
        };
        answer
            .headers_mut()
            .insert(header::WARNING, HeaderValue::from_static(warning));
    }
    answer
}

fn not_acceptable(kind: &str) -> Answer {
    let message = format!(
        "only the following media types are accepted: text/plain, application/json;v={};g=config.k8s.io;as={kind}",
        VERSIONS[0]
    );
    failure(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", &message, None)
}

#[cfg(test)]
mod tests {
    use super::super::testing::body_of;
    use super::*;

    fn about() -> About {
        About {
            version: "0.1.0",
            started: "2026-11-21T16:40:00.5Z".parse().unwrap(),
            emulates: OnceLock::from("1.35".to_owned()),
            flags: BTreeMap::from([("v".to_owned(), "2".to_owned()), ("config".to_owned(), String::new())]),
            configuration: BTreeMap::from([(
                "componentconfig".to_owned(),
                json!({ "kind": "KubeSchedulerConfiguration" }),
            )]),
        }
    }

    const PATHS: [&str; 2] = ["/livez", "/metrics"];

    #[tokio::test]
    async fn pages_for_people() {
        let about = about();
        let now = "2026-11-22T18:41:03Z".parse().unwrap();
        insta::assert_snapshot!("statusz", about.statusz_text(&PATHS, now));
        insta::assert_snapshot!("flagz", body_of(about.flagz("*/*")).await);
        insta::assert_snapshot!("configz", body_of(about.configz()).await);
    }

    #[tokio::test]
    async fn objects_for_programs() {
        let about = about();
        let now = "2026-11-21T16:41:00Z".parse().unwrap();
        let statusz = structured("Statusz", "v1beta1", about.statusz_fields(&PATHS, now));
        assert!(statusz.headers().get(header::WARNING).is_none());
        insta::assert_snapshot!("statusz_json", body_of(statusz).await);
        let flagz = about.flagz("application/json;v=v1alpha1;g=config.k8s.io;as=Flagz");
        assert!(flagz.headers().contains_key(header::WARNING), "v1alpha1 is deprecated");
        insta::assert_snapshot!("flagz_json", body_of(flagz).await);
        let yaml = about.flagz("application/yaml");
        assert_eq!(yaml.status(), StatusCode::NOT_ACCEPTABLE);
        insta::assert_snapshot!("not_acceptable", body_of(yaml).await);
    }

    #[test]
    fn what_is_accepted() {
        let statusz = |accept| negotiate(accept, "Statusz");
        for text in ["", " ", "text/plain", "*/*", "text/html, */*;q=0.8", "text/plain;q=0.5"] {
            assert_eq!(statusz(text), Wanted::Text, "{text:?}");
        }
        assert_eq!(
            statusz("application/json;v=v1beta1;g=config.k8s.io;as=Statusz, text/plain"),
            Wanted::Kind("v1beta1")
        );
        for other in [
            "application/json",
            "application/json;v=v2;g=config.k8s.io;as=Statusz",
            "application/json;v=v1beta1;g=config.k8s.io;as=Flagz",
            "application/json;v=v1beta1;g=x;as=Statusz",
        ] {
            assert_eq!(statusz(other), Wanted::SomethingElse, "{other}");
        }
    }
}
