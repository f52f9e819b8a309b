//! Kubeconfig files: where the API server is, and who the client is.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::pki::Pki;

/// Writes the kubeconfig of a client with a certificate of its own.
pub(crate) fn write_for_certificate(path: &Path, server: &str, pki: &Pki, client: &str) -> Result<()> {
    let user = json!({
        "client-certificate": pki.certificate(client),
        "client-key": pki.key(client),
    });
    write(path, server, &pki.authority(), &user)
}

/// Writes the kubeconfig of a client with a token.
pub(crate) fn write_for_token(path: &Path, server: &str, authority: &Path, token: &str) -> Result<()> {
    write(path, server, authority, &json!({ "token": token }))
}

fn write(path: &Path, server: &str, authority: &Path, user: &Value) -> Result<()> {
    // JSON is YAML, so every client reads it.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "muster", "cluster": { "server": server, "certificate-authority": authority } }],
        "users": [{ "name": "muster", "user": user }],
        "contexts": [{ "name": "muster", "context": { "cluster": "muster", "user": "muster" } }],
        "current-context": "muster",
    });
    fs::write(path, format!("{config:#}\n")).with_context(|| format!("writing the kubeconfig {}", path.display()))
}
