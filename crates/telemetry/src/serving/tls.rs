//! What the server shows and speaks: a certificate from files, which are read again when they change, or one made for this
//! run; and the versions and ciphers of TLS that it takes.

use super::peer::AnyCertificate;
use ::ring::digest::{SHA256, digest};
use muster_api::Fingerprint;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// How often the files of the certificate are looked at. What mounts a Secret takes up to a minute to bring a new one.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// From PEM files.
    Files {
        /// The certificate, followed by those that lead from it to the root.
        certificate: PathBuf,
        /// Its private key.
        private_key: PathBuf,
    },
    /// Self-signed, made in memory for these names, and gone with the process. Enough for probes, which do not verify.
    SelfSigned {
        /// Host names and addresses.
        names: Vec<String>,
    },
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds something else.
    #[error("cannot read {what} from {path}")]
    File {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The self-signed certificate could not be made.
    #[error("cannot make a self-signed certificate")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not go together, or are of a kind that is not supported.
    #[error("cannot use the certificate")]
    Use(#[from] rustls::Error),
    /// None of the ciphers can be used with the versions.
    #[error("none of the TLS cipher suites can be used with the TLS versions")]
    NoCipherSuite,
}

/// The oldest version of TLS that is spoken: `--tls-min-version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinTlsVersion {
    /// 1.2.
    #[default]
    Tls12,
    /// 1.3.
    Tls13,
}

impl FromStr for MinTlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<MinTlsVersion, String> {
        match text {
            "VersionTLS12" => Ok(MinTlsVersion::Tls12),
            "VersionTLS13" => Ok(MinTlsVersion::Tls13),
            "VersionTLS10" | "VersionTLS11" => {
                Err("older than VersionTLS12, which is the oldest that is safe".to_owned())
            }
            _ => Err("expected VersionTLS12 or VersionTLS13".to_owned()),
        }
    }
}

impl std::fmt::Display for MinTlsVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MinTlsVersion::Tls12 => "VersionTLS12",
            MinTlsVersion::Tls13 => "VersionTLS13",
        })
    }
}

/// A cipher suite by Go's name, as Kubernetes' flags have it: `--tls-cipher-suites`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsCipherSuite(CipherSuite);

/// Go's names for what there is. The last two are what Go called two of them once.
const CIPHER_SUITES: [(&str, CipherSuite); 11] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

impl FromStr for TlsCipherSuite {
    type Err = String;

    fn from_str(text: &str) -> Result<TlsCipherSuite, String> {
        let found = CIPHER_SUITES.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, suite)| TlsCipherSuite(*suite))
            .ok_or_else(|| format!("Cipher suite {text} not supported or doesn't exist"))
    }
}

static ONLY_TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// Which TLS is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsSettings {
    /// The oldest version.
    pub min_version: MinTlsVersion,
    /// The ciphers of TLS 1.2; empty is all that are safe. As in Go, those of TLS 1.3 are always there.
    pub cipher_suites: Vec<TlsCipherSuite>,
}

impl TlsSettings {
    /// A provider of cryptography with these ciphers, and the versions. The provider is named so that it does not matter
    /// which one a dependency has made the default.
    fn parts(&self) -> (CryptoProvider, &'static [&'static SupportedProtocolVersion]) {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || self.cipher_suites.contains(&TlsCipherSuite(suite.suite())));
        }
        let versions: &[_] = match self.min_version {
            MinTlsVersion::Tls12 => rustls::ALL_VERSIONS,
            MinTlsVersion::Tls13 => &ONLY_TLS13,
        };
        (provider, versions)
    }

    /// How the server shakes hands.
    pub(crate) fn server_config(&self, shown: Arc<Shown>) -> Result<ServerConfig, TlsError> {
        let (provider, versions) = self.parts();
        let provider = Arc::new(provider);
        // The versions without the ciphers of one of them are those that are left.
        let usable: Vec<_> = versions
            .iter()
            .copied()
            .filter(|version| {
                provider
                    .cipher_suites
                    .iter()
                    .any(|suite| suite.version().version == version.version)
            })
            .collect();
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&usable)
            .map_err(|_| TlsError::NoCipherSuite)?
            .with_client_cert_verifier(Arc::new(AnyCertificate(provider)))
            .with_cert_resolver(shown);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificate that is shown now.
#[derive(Debug)]
pub(crate) struct Shown {
    from: Certificate,
    key: RwLock<Arc<CertifiedKey>>,
    /// Of the certificate that is shown now.
    fingerprint: watch::Sender<Fingerprint>,
}

impl Shown {
    /// Reads or makes it.
    pub(crate) fn new(from: Certificate) -> Result<Arc<Shown>, TlsError> {
        let key = load(&from)?;
        let fingerprint = watch::Sender::new(fingerprint(&key));
        let key = RwLock::new(Arc::new(key));
        Ok(Arc::new(Shown { from, key, fingerprint }))
    }

    /// By what those who connect can know the certificate, now and whenever it changes.
    pub(crate) fn fingerprint(&self) -> watch::Receiver<Fingerprint> {
        self.fingerprint.subscribe()
    }

    fn now(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files for as long as the future is polled. While they cannot be used, what was shown is shown on.
    pub(crate) async fn follow_files(self: Arc<Shown>) {
        let mut complained = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let shown = Arc::clone(&self);
            // A disk that does not answer must not hold up the network.
            let Ok(looked) = tokio::task::spawn_blocking(move || shown.look()).await else {
                continue;
            };
            match looked {
                Ok(changed) => {
                    if changed {
                        tracing::info!("the certificate has changed, and the new one is shown");
                    }
                    complained = false;
                }
                Err(error) if complained => {
                    tracing::debug!(error = %sentence(&error), "still no use for the new certificate");
                }
                Err(error) => {
                    tracing::warn!(error = %sentence(&error), "no use for the new certificate; the one before is shown on");
                    complained = true;
                }
            }
        }
    }

    /// Whether there is another certificate than before.
    fn look(&self) -> Result<bool, TlsError> {
        let Certificate::Files { .. } = &self.from else {
            return Ok(false);
        };
        let found = load(&self.from)?;
        if found.cert == self.now().cert {
            return Ok(false);
        }
        let fingerprint = fingerprint(&found);
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        self.fingerprint.send_replace(fingerprint);
        Ok(true)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

/// Of the certificate itself, not of those that lead from it to the root.
fn fingerprint(key: &CertifiedKey) -> Fingerprint {
    fingerprint_of(key.cert.first().map_or(&[], |certificate| certificate))
}

/// By what a certificate is known, in DER.
pub(super) fn fingerprint_of(certificate: &[u8]) -> Fingerprint {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, certificate).as_ref());
    Fingerprint(sha256)
}

/// An error with its cause.
fn sentence(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn load(from: &Certificate) -> Result<CertifiedKey, TlsError> {
    let (chain, key) = match from {
        Certificate::Files {
            certificate,
            private_key,
        } => read(certificate, private_key)?,
        Certificate::SelfSigned { names } => make(names)?,
    };
    Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
}

fn read(certificate: &Path, private_key: &Path) -> Result<ChainAndKey, TlsError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { what, path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .and_then(|chain: Vec<_>| {
            if chain.is_empty() {
                Err(rustls::pki_types::pem::Error::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(failed("a certificate", certificate))?;
    let key = PrivateKeyDer::from_pem_file(private_key).map_err(failed("a private key", private_key))?;
    Ok((chain, key))
}

fn make(names: &[String]) -> Result<ChainAndKey, TlsError> {
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok((vec![made.cert.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// Files with a new certificate and its key.
    struct Files {
        _directory: TempDir,
        certificate: PathBuf,
        private_key: PathBuf,
    }

    impl Files {
        fn new() -> Files {
            let directory = tempfile::tempdir().unwrap();
            let files = Files {
                certificate: directory.path().join("certificate"),
                private_key: directory.path().join("key"),
                _directory: directory,
            };
            files.renew();
            files
        }

        fn renew(&self) {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(&self.certificate, made.cert.pem()).unwrap();
            std::fs::write(&self.private_key, made.signing_key.serialize_pem()).unwrap();
        }

        /// As `openssl x509 -fingerprint -sha256` would say.
        fn fingerprint(&self) -> Fingerprint {
            let certificate = CertificateDer::from_pem_file(&self.certificate).unwrap();
            Fingerprint(digest(&SHA256, &certificate).as_ref().try_into().unwrap())
        }

        fn named(&self) -> Certificate {
            Certificate::Files {
                certificate: self.certificate.clone(),
                private_key: self.private_key.clone(),
            }
        }
    }

    #[test]
    fn files_are_read_and_mistakes_named() {
        let files = Files::new();
        assert!(Shown::new(files.named()).is_ok());
        let swapped = Certificate::Files {
            certificate: files.private_key.clone(),
            private_key: files.certificate.clone(),
        };
        let error = Shown::new(swapped).unwrap_err().to_string();
        assert!(error.starts_with("cannot read a certificate from "), "{error}");
        let other = Files::new();
        let mixed = Certificate::Files {
            certificate: files.certificate.clone(),
            private_key: other.private_key.clone(),
        };
        let error = Shown::new(mixed).unwrap_err().to_string();
        assert_eq!(error, "cannot use the certificate");
    }

    #[test]
    fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
        let files = Files::new();
        let shown = Shown::new(files.named()).unwrap();
        let first = shown.now().cert.clone();
        let told = shown.fingerprint();
        let fingerprint = *told.borrow();
        assert_eq!(fingerprint, files.fingerprint());
        assert!(!shown.look().unwrap());
        files.renew();
        assert!(shown.look().unwrap());
        let second = shown.now().cert.clone();
        assert_ne!(first, second);
        assert_ne!(*told.borrow(), fingerprint);
        assert_eq!(*told.borrow(), files.fingerprint());
        // Half written: the key of another one.
        std::fs::write(&files.private_key, "garbled").unwrap();
        let fingerprint = *told.borrow();
        assert!(shown.look().is_err());
        assert_eq!(shown.now().cert, second);
        assert_eq!(*told.borrow(), fingerprint);
        files.renew();
        assert!(shown.look().unwrap());
    }

    #[test]
    fn a_certificate_is_made() {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let shown = Shown::new(Certificate::SelfSigned { names }).unwrap();
        assert!(!shown.look().unwrap(), "it is made once");
        assert!(TlsSettings::default().server_config(shown).is_ok());
    }

    #[test]
    fn versions_and_ciphers_have_the_names_of_go() {
        let version = |text: &str| text.parse::<MinTlsVersion>();
        assert_eq!(version("VersionTLS13"), Ok(MinTlsVersion::Tls13));
        assert_eq!(MinTlsVersion::Tls12.to_string().parse(), Ok(MinTlsVersion::Tls12));
        assert!(version("VersionTLS11").unwrap_err().starts_with("older than"));
        assert!(version("1.2").is_err());
        let suite: TlsCipherSuite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".parse().unwrap();
        assert_eq!(
            "TLS_RSA_WITH_RC4_128_SHA".parse::<TlsCipherSuite>().unwrap_err(),
            "Cipher suite TLS_RSA_WITH_RC4_128_SHA not supported or doesn't exist"
        );
        let one = TlsSettings {
            cipher_suites: vec![suite],
            ..TlsSettings::default()
        };
        let (provider, versions) = one.parts();
        let tls12: Vec<_> = provider
            .cipher_suites
            .iter()
            .filter(|suite| suite.tls13().is_none())
            .map(|suite| suite.suite())
            .collect();
        assert_eq!(tls12, [suite.0]);
        assert_eq!((provider.cipher_suites.len(), versions.len()), (4, 2));
    }

    #[test]
    fn a_cipher_of_the_newer_version_leaves_only_that() {
        let settings = TlsSettings {
            cipher_suites: vec!["TLS_AES_128_GCM_SHA256".parse().unwrap()],
            ..TlsSettings::default()
        };
        let shown = Shown::new(Certificate::SelfSigned {
            names: vec!["x".into()],
        })
        .unwrap();
        assert!(settings.server_config(shown).is_ok());
    }
}
