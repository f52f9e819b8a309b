//! Connections to others than the API server, with TLS as `kube` sets it up: it has the verifiers.

use crate::error_text::error_text;
use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use kube::Config;
use kube::client::ConfigExt;

/// Connects by HTTP, or by TLS of this configuration where the URL asks for it.
pub(crate) fn connector(config: &Config) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    // Head and body are written apart; waiting to send them together would cost 40 ms.
    connector.set_nodelay(true);
    config
        .rustls_https_connector_with_connector(connector)
        .map_err(|error| error_text(&error))
}

/// Connects to this endpoint; for `https` it trusts the certificates of the system.
///
/// # Errors
/// What is wrong with the URL, or with the certificates of the system.
pub fn connector_to(endpoint: &str) -> Result<HttpsConnector<HttpConnector>, String> {
    let endpoint: Uri = endpoint.parse().map_err(|error| format!("this is no URL: {error}"))?;
    let plain = endpoint.scheme_str() != Some("https");
    let mut config = Config::new(endpoint);
    if plain {
        // Nobody is trusted; the certificates of the system need not even be there.
        config.root_cert = Some(Vec::new());
    }
    connector(&config)
}
