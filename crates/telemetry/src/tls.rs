//! The certificate that the server shows: from files, or made for this run.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// From PEM files. They are read once, at start.
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
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Certificate {
    pub(crate) fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let (chain, key) = match self {
            Certificate::Files {
                certificate,
                private_key,
            } => read(certificate, private_key)?,
            Certificate::SelfSigned { names } => make(names)?,
        };
        // The provider is named so that it does not matter which one a dependency has made the default.
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
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

    #[test]
    fn files_are_read_and_mistakes_named() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (certificate, private_key) = (directory.path().join("certificate"), directory.path().join("key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
        let good = Certificate::Files {
            certificate: certificate.clone(),
            private_key: private_key.clone(),
        };
        assert!(good.server_config().is_ok());

        let swapped = Certificate::Files {
            certificate: private_key,
            private_key: certificate,
        };
        let error = swapped.server_config().unwrap_err().to_string();
        assert!(error.starts_with("cannot read a certificate from "), "{error}");
    }

    #[test]
    fn a_certificate_is_made() {
        assert!(
            Certificate::SelfSigned {
                names: vec!["localhost".into(), "127.0.0.1".into()]
            }
            .server_config()
            .is_ok()
        );
    }
}
