//! Certificates that callers show.
//!
//! In the handshake anybody may show any certificate, or none; the caller only proves to have its key. Whether it is one of
//! the cluster's is asked with each request, by the authorities that are trusted then. That is upstream's way
//! (`tls.RequestClientCert`), and lets other ways to identify oneself work beside it.

use super::tls::fingerprint_of;
use muster_api::review::UserInfo;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use std::collections::BTreeMap;
use std::sync::Arc;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::name::DirectoryString;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// Source: `X509UID` in `k8s.io/apimachinery/pkg/apis/asn1/oid.go`.
const USER_UID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57683.2");
/// The key of [`UserInfo::extra`] that tells by which certificate somebody came. Source: `user.CredentialIDKey`.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Lets any certificate pass the handshake if its key is there.
#[derive(Debug)]
pub(crate) struct AnyCertificate(pub(crate) Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Authorities whose signature on a client's certificate is believed.
#[derive(Debug, Clone)]
pub(crate) struct Authorities(Arc<dyn ClientCertVerifier>);

impl Authorities {
    /// Reads a PEM bundle.
    ///
    /// # Errors
    /// It holds no certificate, or one that cannot be an authority's.
    pub(crate) fn read(pem: &str) -> Result<Authorities, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("not a certificate in PEM: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("not the certificate of an authority: {error}"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map(Authorities)
            .map_err(|error| error.to_string())
    }

    /// Whether the first of these certificates is a client's, valid now, and signed by one of us, if need be over the others.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let Some((client, intermediates)) = chain.split_first() else {
            return Err("no certificate".to_owned());
        };
        match self.0.verify_client_cert(client, intermediates, UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the client's certificate is not accepted: {error}")),
        }
    }
}

/// What the subject of a certificate says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Subject {
    common_name: String,
    organizations: Vec<String>,
    uids: Vec<String>,
}

fn subject(certificate: &CertificateDer<'_>) -> Result<Subject, String> {
    let certificate =
        Certificate::from_der(certificate).map_err(|error| format!("cannot read the client's certificate: {error}"))?;
    let mut subject = Subject::default();
    for attribute in certificate.tbs_certificate().subject().iter() {
        let text = || {
            let text = DirectoryString::try_from(&attribute.value);
            text.map(String::from)
                .map_err(|error| format!("cannot read the subject of the client's certificate: {error}"))
        };
        if attribute.oid == COMMON_NAME {
            // Of several the last counts, as in Go.
            subject.common_name = text()?;
        } else if attribute.oid == ORGANIZATION {
            subject.organizations.push(text()?);
        } else if attribute.oid == USER_UID {
            subject.uids.push(text()?);
        }
    }
    Ok(subject)
}

/// The common name in a certificate; empty if there is none.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Result<String, String> {
    subject(certificate).map(|subject| subject.common_name)
}

/// Whose a certificate is that has been verified: the common name is the user, the organisations are the groups. None if
/// it names nobody. Source: `CommonNameUserConversion` in `k8s.io/apiserver/pkg/authentication/request/x509/x509.go`.
pub(crate) fn owner(certificate: &CertificateDer<'_>) -> Result<Option<UserInfo>, String> {
    let Subject {
        common_name,
        organizations,
        mut uids,
    } = subject(certificate)?;
    if common_name.is_empty() {
        return Ok(None);
    }
    let uid = match (uids.pop(), uids.is_empty()) {
        (None, _) => String::new(),
        (Some(uid), true) if !uid.is_empty() => uid,
        _ => return Err("the client's certificate has an empty uid, or several".to_owned()),
    };
    let credential_id = format!("X509SHA256={}", fingerprint_of(certificate));
    Ok(Some(UserInfo {
        username: common_name,
        uid,
        groups: organizations,
        extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![credential_id])]),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Authority;
    use super::*;
    use rcgen::{CustomExtension, DnType, ExtendedKeyUsagePurpose};

    #[test]
    fn authorities_know_their_own() {
        let (ours, others) = (Authority::new("ours"), Authority::new("others"));
        let trusted = Authorities::read(&ours.pem).unwrap();
        let (client, _) = ours.client("jane", &[]);
        assert_eq!(trusted.verify(std::slice::from_ref(&client)), Ok(()));
        let (stranger, _) = others.client("jane", &[]);
        assert!(trusted.verify(&[stranger]).is_err());
        let (server, _) = ours.sign("jane", &[], ExtendedKeyUsagePurpose::ServerAuth, |_| {});
        assert!(
            trusted.verify(&[server]).is_err(),
            "a server's certificate is no client's"
        );
        let (old, _) = ours.sign("jane", &[], ExtendedKeyUsagePurpose::ClientAuth, |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        });
        assert!(trusted.verify(&[old]).is_err());
        assert!(trusted.verify(&[]).is_err());
        let both = Authorities::read(&format!("{}{}", others.pem, ours.pem)).unwrap();
        assert_eq!(both.verify(&[client]), Ok(()));
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        for text in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        ] {
            assert!(Authorities::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_subject_names_user_and_groups() {
        let authority = Authority::new("ours");
        let (certificate, _) = authority.client("system:jane", &["developers"]);
        let user = owner(&certificate).unwrap().expect("somebody");
        assert_eq!(
            (&*user.username, &user.groups[..]),
            ("system:jane", &["developers".to_owned()][..])
        );
        let id = &user.extra[CREDENTIAL_ID][0];
        assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64, "{id}");

        let (nobody, _) = authority.client("", &["developers"]);
        assert_eq!(owner(&nobody), Ok(None));
        let (with_uid, _) = authority.sign("jane", &[], ExtendedKeyUsagePurpose::ClientAuth, |params| {
            let uid = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);
            params.distinguished_name.push(uid, "u-7");
            // Something that we do not know, and that is not critical, does not matter.
            params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0])];
        });
        assert_eq!(owner(&with_uid).unwrap().expect("somebody").uid, "u-7");
        assert!(owner(&CertificateDer::from(vec![1, 2, 3])).is_err());
    }
}
