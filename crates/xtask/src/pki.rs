//! The keys and certificates of one control plane: an authority of its own, so that no client of another one gets in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// Where the files of a control plane's keys are.
#[derive(Debug, Clone)]
pub(crate) struct Pki {
    dir: PathBuf,
}

impl Pki {
    /// The certificate authority's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The certificate of the authority that signs for front proxies: whoever has a certificate of it speaks for others.
    pub(crate) fn front_proxy_authority(&self) -> PathBuf {
        self.dir.join("front-proxy-ca.crt")
    }

    /// The certificate that belongs to a name given to [`Pki::create`].
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.crt"))
    }

    /// The key that belongs to a name given to [`Pki::create`], or `service-accounts`.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// The public key by which the API server checks service account tokens.
    pub(crate) fn service_account_public_key(&self) -> PathBuf {
        self.dir.join("service-accounts.pub")
    }

    /// Makes everything: the authority, the API server's certificate, one certificate for each client, and the key
    /// that signs service account tokens.
    pub(crate) fn create(dir: &Path, clients: &[Client]) -> Result<Pki> {
        let pki = Pki { dir: dir.to_owned() };
        fs::create_dir(dir).with_context(|| format!("making the folder {}", dir.display()))?;
        let authority = create_authority(&pki.authority()).context("making the certificate authority")?;
        let front_proxies = create_authority(&pki.front_proxy_authority());
        let front_proxies = front_proxies.context("making the authority of the front proxy")?;
        let params = FRONT_PROXY
            .params()
            .context("describing the certificate of the front proxy")?;
        pki.issue(&front_proxies, FRONT_PROXY.file, &params)?;
        let server = server_params().context("describing the API server's certificate")?;
        pki.issue(&authority, "apiserver", &server)?;
        for client in clients {
            let params = client
                .params()
                .with_context(|| format!("describing the certificate of {}", client.file))?;
            pki.issue(&authority, client.file, &params)?;
        }
        let key = KeyPair::generate().context("making the key of the service accounts")?;
        write(&pki.key("service-accounts"), &key.serialize_pem())?;
        write(&pki.service_account_public_key(), &key.public_key_pem())?;
        Ok(pki)
    }

    fn issue(&self, authority: &Issuer<'static, KeyPair>, name: &str, params: &CertificateParams) -> Result<()> {
        let key = KeyPair::generate().with_context(|| format!("making the key of {name}"))?;
        let certificate = params
            .signed_by(&key, authority)
            .with_context(|| format!("signing for {name}"))?;
        write(&self.certificate(name), &certificate.pem())?;
        write(&self.key(name), &key.serialize_pem())
    }
}

fn create_authority(certificate: &Path) -> Result<Issuer<'static, KeyPair>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
        .distinguished_name
        .push(DnType::CommonName, "muster control plane");
    write(certificate, &params.self_signed(&key)?.pem())?;
    Ok(Issuer::new(params, key))
}

/// The API server, when it passes requests on to other servers.
pub(crate) const FRONT_PROXY: Client = Client {
    file: "front-proxy",
    user: "front-proxy-client",
    group: None,
};

/// A client that proves itself by a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// The name of its files.
    pub(crate) file: &'static str,
    /// The user it is to the API server.
    pub(crate) user: &'static str,
    /// The group that the user is in.
    pub(crate) group: Option<&'static str>,
}

impl Client {
    fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, self.user);
        if let Some(group) = self.group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params)
    }
}

fn server_params() -> Result<CertificateParams, rcgen::Error> {
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
