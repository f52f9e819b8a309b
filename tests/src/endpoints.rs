//! Muster's own endpoints, asked by somebody: with a token, with a client certificate, with nothing.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use kube::Config;
use kube::client::Body;
use muster_xtask::ControlPlane;
use tokio::runtime::{Builder, Runtime};

/// Somebody who asks.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    certificate: Option<(PathBuf, PathBuf)>,
    headers: Vec<(String, String)>,
    trusted: Option<Vec<u8>>,
}

impl Caller {
    /// Shows nothing.
    pub fn nobody() -> Caller {
        Caller::default()
    }

    /// Shows a bearer token.
    pub fn with_token(token: &str) -> Caller {
        Caller::nobody().saying("Authorization", &format!("Bearer {token}"))
    }

    /// Shows one of the control plane's client certificates, by the name of its files: `admin` is in `system:masters`,
    /// `kube-scheduler` is the user `system:kube-scheduler`.
    pub fn with_certificate(plane: &ControlPlane, file: &str) -> Caller {
        let path = |ending: &str| plane.dir().join(format!("pki/{file}.{ending}"));
        Caller {
            certificate: Some((path("crt"), path("key"))),
            ..Caller::nobody()
        }
    }

    /// Likewise, and sends this header.
    #[must_use]
    pub fn saying(mut self, header: &str, value: &str) -> Caller {
        self.headers.push((header.to_owned(), value.to_owned()));
        self
    }

    /// Speaks only with who shows this certificate (DER).
    #[must_use]
    pub fn trusting(mut self, certificate: Vec<u8>) -> Caller {
        self.trusted = Some(certificate);
        self
    }

    /// Asks for a path; gives status and body.
    pub fn get(&self, port: u16, path: &str) -> Result<(u16, String)> {
        self.ask(port, "GET", path, "")
    }

    /// Asks; gives status and body.
    pub fn ask(&self, port: u16, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Body::from(body.as_bytes().to_vec()))
            .context("a request")?;
        send(self.config(port)?, request)
    }

    fn config(&self, port: u16) -> Result<Config> {
        let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().context("an address")?);
        config.default_retry = false;
        let text = |path: &Path| path.to_str().map(str::to_owned);
        if let Some((certificate, key)) = &self.certificate {
            config.auth_info.client_certificate = text(certificate);
            config.auth_info.client_key = text(key);
        }
        match &self.trusted {
            Some(certificate) => config.root_cert = Some(vec![certificate.clone()]),
            // Muster makes its certificate itself, at every start.
            None => config.accept_invalid_certs = true,
        }
        Ok(config)
    }
}

/// Asks a program on this port that speaks without TLS; gives status and body.
pub fn get_plain(port: u16, path: &str) -> Result<(u16, String)> {
    let mut config = Config::new(format!("http://127.0.0.1:{port}").parse().context("an address")?);
    config.default_retry = false;
    let request = http::Request::builder().uri(path).body(Body::empty());
    send(config, request.context("a request")?)
}

fn send(config: Config, request: http::Request<Body>) -> Result<(u16, String)> {
    let asked = format!("{} {}", request.method(), request.uri());
    runtime().block_on(async {
        // A second installation is refused, and does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = kube::Client::try_from(config).context("a client for endpoints")?;
        let answer = client.send(request).await.context(asked)?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.context("reading the answer")?;
        // A page may be a file of bytes: whoever wants these does not come this way.
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    })
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}
