//! Tokens of service accounts that have expired: as the API server makes them, signed with its own key, and of yesterday.

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Writes a kubeconfig beside this one, the same but for its token, which ended long ago.
///
/// `key` is the PEM file of the key that signs tokens.
pub fn expired(kubeconfig: &Path, key: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(kubeconfig).context("reading a kubeconfig")?;
    let mut config: Value = serde_json::from_str(&text).context("kubeconfigs of tests are JSON")?;
    let token = &mut config["users"][0]["user"]["token"];
    let old = resigned(token.as_str().context("a token")?, key)?;
    *token = old.into();
    let path = kubeconfig.with_extension("expired");
    std::fs::write(&path, config.to_string()).context("writing a kubeconfig")?;
    Ok(path)
}

/// The same claims, of a time long ago.
fn resigned(token: &str, key: &Path) -> Result<String> {
    let mut parts = token.split('.');
    let (header, claims) = parts.next().zip(parts.next()).context("a token has three parts")?;
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    for (claim, seconds) in [("iat", 1_700_000_000), ("nbf", 1_700_000_000), ("exp", 1_700_003_600)] {
        claims[claim] = seconds.into();
    }
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let pem = std::fs::read_to_string(key).with_context(|| format!("reading {}", key.display()))?;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &STANDARD.decode(body)?, &random)
        .map_err(|problem| anyhow!("the key that signs tokens: {problem}"))?;
    let signature = pair.sign(&random, signed.as_bytes()).ok().context("signing a token")?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
