//! `extenders`: programs that are asked over HTTP where a pod may go, and with what preference.
//!
//! Sources: `k8s.io/kube-scheduler/config/v1/types.go` (`Extender`), `pkg/scheduler/apis/config/validation/validation.go`
//! (`validateExtenders`), `pkg/scheduler/extender.go` and `buildExtenders` in `pkg/scheduler/scheduler.go`.

use std::fmt;
use std::time::Duration;

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};

use muster_engine::ExtenderSettings;

use crate::field::{Field, Section};
use crate::names;

/// How long an answer may take where the file does not say. Source: `DefaultExtenderTimeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// An extender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtenderSpec {
    /// Where it is, and its name in messages: what `urlPrefix` says.
    pub url_prefix: String,
    /// Asked which nodes are feasible; None: not asked. Each verb is appended to the URL after a `/`.
    pub filter_verb: Option<String>,
    /// Asked for scores; None: not asked.
    pub prioritize_verb: Option<String>,
    /// Asked about victims; kept for the day when there are some.
    pub preempt_verb: Option<String>,
    /// Asked to bind; None: Muster binds. At most one extender has it.
    pub bind_verb: Option<String>,
    /// What its scores are multiplied with; greater than zero where it is asked for some.
    pub weight: i64,
    /// How long an answer may take; greater than zero.
    pub timeout: Duration,
    /// How to speak TLS with it; None: as a URL with `https` does by default.
    pub tls: Option<ExtenderTls>,
    /// It knows the nodes, so it is told their names only.
    pub node_cache_capable: bool,
    /// Only pods that ask for one of these are shown to it; empty: all pods.
    pub managed_resources: Vec<String>,
    /// Those of them that NodeResourcesFit leaves out, in every profile.
    pub ignored_resources: Vec<String>,
    /// Its failure is no reason to hold a pod.
    pub ignorable: bool,
}

impl ExtenderSpec {
    /// The part that the engine is told.
    pub(crate) fn engine_settings(&self) -> ExtenderSettings {
        ExtenderSettings {
            name: self.url_prefix.as_str().into(),
            filters: self.filter_verb.is_some(),
            prioritizes: self.prioritize_verb.is_some(),
            binds: self.bind_verb.is_some(),
            weight: self.weight,
            ignorable: self.ignorable,
            managed_resources: self.managed_resources.iter().map(|name| name.as_str().into()).collect(),
            timeout: self.timeout,
        }
    }
}

/// How to speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtenderTls {
    /// Do not verify the server's certificate; never together with `ca`.
    pub insecure: bool,
    /// The name to expect in the certificate; None: the host of the URL.
    pub server_name: Option<String>,
    /// The certificate to show, in PEM; never without `key`.
    pub certificate: Option<Pem>,
    /// Its private key, in PEM; never without `certificate`.
    pub key: Option<Pem>,
    /// Whom to trust, in PEM; None: what the system trusts.
    pub ca: Option<Pem>,
}

/// PEM text, here or in a file.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The text itself.
    Text(Vec<u8>),
    /// The path of a file.
    File(String),
}

impl fmt::Debug for Pem {
    /// Tells a file, and of a text only how long it is: it may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Pem::File(path) => write!(f, "File({path:?})"),
        }
    }
}

/// Reads the list. The extenders come back in the order in which upstream asks them: those that may fail come last.
pub(crate) fn read(list: &Field<'_>) -> Vec<ExtenderSpec> {
    let fields = list.items();
    let mut managed = Vec::new();
    let mut extenders: Vec<ExtenderSpec> = fields
        .iter()
        .filter_map(|field| extender(field, &mut managed))
        .collect();
    let binders = extenders.iter().filter(|extender| extender.bind_verb.is_some()).count();
    if binders > 1 {
        list.problem(format!("{binders} of them have a bindVerb: only one extender can bind"));
    }
    extenders.sort_by_key(|extender| extender.ignorable);
    extenders
}

/// One extender; `managed` has the resources of the ones before it.
fn extender(field: &Field<'_>, managed: &mut Vec<String>) -> Option<ExtenderSpec> {
    let section = field.section()?;
    let flag = |key| section.get(key).and_then(|field| field.boolean()).unwrap_or(false);
    let prioritize_verb = text(&section, "prioritizeVerb");
    let weight: i64 = section.get("weight").and_then(|field| field.integer()).unwrap_or(0);
    if prioritize_verb.is_some() && weight <= 0 {
        section.wrong("weight", "must be greater than zero, since there is a prioritizeVerb");
    }
    let preempt_verb = text(&section, "preemptVerb");
    if preempt_verb.is_some()
        && let Some(field) = section.get("preemptVerb")
    {
        field.warning("has no effect: nobody is evicted yet");
    }
    let (managed_resources, ignored_resources) = resources(&section, managed);
    Some(ExtenderSpec {
        url_prefix: url_prefix(&section),
        filter_verb: text(&section, "filterVerb"),
        prioritize_verb,
        preempt_verb,
        bind_verb: text(&section, "bindVerb"),
        weight,
        timeout: section
            .get("httpTimeout")
            .and_then(|field| field.duration())
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(DEFAULT_TIMEOUT),
        tls: tls(&section, flag("enableHTTPS")),
        node_cache_capable: flag("nodeCacheCapable"),
        managed_resources,
        ignored_resources,
        ignorable: flag("ignorable"),
    })
}

/// Upstream takes anything, and fails at every request.
fn url_prefix(section: &Section<'_>) -> String {
    let url = text(section, "urlPrefix").unwrap_or_default();
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        section.wrong("urlPrefix", "must be a URL that begins with http:// or https://");
    }
    url
}

/// All managed resources, and those of them that NodeResourcesFit leaves out.
fn resources(section: &Section<'_>, earlier: &mut Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut managed, mut ignored) = (Vec::new(), Vec::new());
    for field in section.get("managedResources").iter().flat_map(Field::items) {
        let Some(section) = field.section() else { continue };
        let name = section.get("name").and_then(|field| field.string()).unwrap_or_default();
        let is_ignored = section.get("ignoredByScheduler").and_then(|field| field.boolean());
        if let Some(wrong) = names::extended_resource(name) {
            section.wrong("name", wrong);
        } else if earlier.iter().any(|other| other == name) {
            section.wrong("name", format!("{name} is managed twice"));
        }
        earlier.push(name.to_owned());
        managed.push(name.to_owned());
        if is_ignored == Some(true) {
            ignored.push(name.to_owned());
        }
    }
    (managed, ignored)
}

/// Source: `makeTransport` and `k8s.io/client-go/transport.TLSConfigFor`. Upstream verifies no certificate when
/// `enableHTTPS` is set and nobody is named to be trusted.
fn tls(section: &Section<'_>, enabled: bool) -> Option<ExtenderTls> {
    let given = section.get("tlsConfig");
    let mut tls = given.as_ref().and_then(tls_config).unwrap_or_default();
    if enabled && tls.ca.is_none() && !tls.insecure {
        tls.insecure = true;
        section
            .field()
            .warning("its certificate is not verified, as upstream: enableHTTPS is set, and no caFile or caData");
    }
    if tls.insecure && tls.ca.is_some() {
        section.wrong("tlsConfig", "insecure and a caFile or caData exclude each other");
    }
    if tls.certificate.is_some() != tls.key.is_some() {
        section.wrong("tlsConfig", "a certificate needs its key, and a key its certificate");
    }
    (enabled || given.is_some()).then_some(tls)
}

fn tls_config(field: &Field<'_>) -> Option<ExtenderTls> {
    let section = field.section()?;
    Some(ExtenderTls {
        insecure: section
            .get("insecure")
            .and_then(|field| field.boolean())
            .unwrap_or(false),
        server_name: text(&section, "serverName"),
        certificate: pem(&section, "certFile", "certData"),
        key: pem(&section, "keyFile", "keyData"),
        ca: pem(&section, "caFile", "caData"),
    })
}

/// Data wins over a file, as upstream.
fn pem(section: &Section<'_>, file: &str, data: &str) -> Option<Pem> {
    let file = text(section, file).map(Pem::File);
    let Some(field) = section.get(data) else { return file };
    let Some(bytes) = base64(field.string()?) else {
        field.problem("must be PEM text in base64");
        return None;
    };
    if bytes.is_empty() { file } else { Some(Pem::Text(bytes)) }
}

/// Base64 as Go's JSON decoder reads bytes: the standard alphabet with padding, line breaks left out, and bits behind the end
/// overlooked.
fn base64(text: &str) -> Option<Vec<u8>> {
    const LIKE_GO: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let symbols: Vec<u8> = text.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
    LIKE_GO.decode(symbols).ok()
}

/// A string that says something.
fn text(section: &Section<'_>, key: &str) -> Option<String> {
    let text = section.get(key)?.string()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_go_reads_it() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("TQ==", b"M"),
            ("TWE=", b"Ma"),
            ("TWFu", b"Man"),
            ("TWFu\nTWFu\r\n", b"ManMan"),
            ("+/+/", &[0xfb, 0xff, 0xbf]),
            ("TR==", b"M"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["T", "TQ", "TQ=", "T===", "====", "TQ==TQ==", "T Q=", "TQ-_", "TQ==="] {
            assert_eq!(base64(text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let text = format!("{:?}", Pem::Text(b"secret".to_vec()));
        assert_eq!(text, "Text(6 bytes)");
    }
}
