//! Callers for whom a front proxy vouches: the API server's aggregation layer passes on, in headers, who asked it.
//!
//! It is believed because of its certificate, which another authority signs than those of the cluster's clients: else any
//! client could write such headers.
//!
//! Source: `k8s.io/apiserver/pkg/authentication/request/headerrequest/requestheader.go`.

use super::peer::{Authorities, common_name};
use http::HeaderMap;
use muster_api::review::{FrontProxy, UserInfo};
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;

/// A front proxy that is believed.
#[derive(Debug, Clone)]
pub(crate) struct RequestHeader {
    authorities: Authorities,
    trust: FrontProxy,
}

impl RequestHeader {
    /// # Errors
    /// The authorities cannot be read.
    pub(crate) fn new(trust: FrontProxy) -> Result<RequestHeader, String> {
        Ok(RequestHeader {
            authorities: Authorities::read(&trust.authorities)?,
            trust,
        })
    }

    /// For whom the proxy asks. None if this is no proxy, or one that names nobody.
    ///
    /// # Errors
    /// A certificate that is no front proxy's.
    pub(crate) fn identify(
        &self,
        chain: &[CertificateDer<'_>],
        headers: &HeaderMap,
    ) -> Result<Option<UserInfo>, String> {
        let Some(certificate) = chain.first() else {
            return Ok(None);
        };
        self.authorities.verify(chain)?;
        let name = common_name(certificate)?;
        let allowed = &self.trust.allowed_names;
        if !allowed.is_empty() && !allowed.contains(&name) {
            return Err(format!("the common name {name:?} is not one of the front proxy's"));
        }
        Ok(self.named(headers))
    }

    fn named(&self, headers: &HeaderMap) -> Option<UserInfo> {
        let trust = &self.trust;
        let username = first(headers, &trust.username_headers)?;
        let groups = trust.group_headers.iter().flat_map(|name| all(headers, name));
        Some(UserInfo {
            username,
            uid: first(headers, &trust.uid_headers).unwrap_or_default(),
            groups: groups.filter(|value| !value.is_empty()).collect(),
            extra: extra(headers, &trust.extra_header_prefixes),
        })
    }
}

/// The first of these headers that has a value.
fn first(headers: &HeaderMap, names: &[String]) -> Option<String> {
    names
        .iter()
        .filter_map(|name| all(headers, name).next())
        .find(|value| !value.is_empty())
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = String> + use<'a> {
    headers
        .get_all(name.trim())
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn extra(headers: &HeaderMap, prefixes: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for prefix in prefixes {
        let prefix = prefix.trim().to_ascii_lowercase();
        if prefix.is_empty() {
            continue;
        }
        for (name, value) in headers {
            // Names are in lower case here.
            if let Some(key) = name.as_str().strip_prefix(&prefix) {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                extra.entry(unescaped(key)).or_default().push(value);
            }
        }
    }
    extra
}

/// The key with its `%41` decoded; as it came if that fails.
fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        // Checked by themselves: a number may have a sign for Rust.
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(decoded) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return key.to_owned();
        };
        bytes.push(decoded);
        rest = &after[2..];
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Authority;
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| {
                (
                    HeaderName::try_from(*name).unwrap(),
                    HeaderValue::try_from(*value).unwrap(),
                )
            })
            .collect()
    }

    fn believed(authority: &Authority, allowed_names: &[&str]) -> RequestHeader {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        RequestHeader::new(FrontProxy {
            authorities: authority.pem.clone(),
            allowed_names: list(allowed_names),
            username_headers: list(&["X-Remote-User", "X-Other-User"]),
            uid_headers: list(&["X-Remote-Uid"]),
            group_headers: list(&["X-Remote-Group"]),
            extra_header_prefixes: list(&["X-Remote-Extra-"]),
        })
        .unwrap()
    }

    #[test]
    fn a_front_proxy_says_whom_it_speaks_for() {
        let authority = Authority::new("front proxies");
        let (proxy, _) = authority.client("front", &[]);
        let asked = headers(&[
            ("x-remote-user", "jane"),
            ("x-remote-uid", "u-7"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops"),
            ("x-remote-group", ""),
            ("x-remote-extra-scopes", "a"),
            ("x-remote-extra-scopes", "b"),
            ("x-remote-extra-example.org%2fkey", "c"),
            ("x-remote-extra-broken%zz", "d"),
            ("x-remote-extra-signed%+7", "e"),
        ]);
        let believed = believed(&authority, &["front"]);
        let user = believed.identify(std::slice::from_ref(&proxy), &asked).unwrap();
        let user = user.expect("somebody");
        assert_eq!((&*user.username, &*user.uid), ("jane", "u-7"));
        assert_eq!(user.groups, ["dev", "ops"]);
        let keys: Vec<_> = user.extra.keys().map(String::as_str).collect();
        assert_eq!(keys, ["broken%zz", "example.org/key", "scopes", "signed%+7"]);
        assert_eq!(user.extra["scopes"], ["a", "b"]);

        let second = headers(&[("x-remote-user", ""), ("x-other-user", "john")]);
        let user = believed.identify(std::slice::from_ref(&proxy), &second).unwrap();
        assert_eq!(user.expect("somebody").username, "john");
        let nobody = headers(&[("x-remote-group", "system:masters")]);
        assert_eq!(believed.identify(&[proxy], &nobody), Ok(None));
    }

    #[test]
    fn nobody_else_is_believed() {
        let (authority, others) = (Authority::new("front proxies"), Authority::new("clients"));
        let asked = headers(&[("x-remote-user", "root"), ("x-remote-group", "system:masters")]);
        let believed_front = believed(&authority, &["front"]);
        assert_eq!(
            believed_front.identify(&[], &asked),
            Ok(None),
            "no certificate, no proxy"
        );
        let (client, _) = others.client("front", &[]);
        assert!(believed_front.identify(&[client], &asked).is_err());
        let (other_name, _) = authority.client("jane", &[]);
        let error = believed_front
            .identify(std::slice::from_ref(&other_name), &asked)
            .unwrap_err();
        assert_eq!(error, "the common name \"jane\" is not one of the front proxy's");
        // Without a list of names every certificate of that authority is a proxy's.
        let any = believed(&authority, &[]).identify(&[other_name], &asked).unwrap();
        assert_eq!(any.expect("somebody").username, "root");
    }
}
