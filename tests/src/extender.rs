//! An extender for tests: a real HTTP server that answers as it is told, and remembers what it was asked.

use anyhow::Result;
use serde_json::Value;

use crate::http_server::HttpServer;

/// The extender; it ends when it is dropped.
pub struct Extender(HttpServer);

impl Extender {
    /// Starts to serve on a free port. What answers a question, by its path, may block.
    pub fn start(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Result<Extender> {
        let server = HttpServer::start(move |path, question| answer(path, &json(question)).to_string().into_bytes())?;
        Ok(Extender(server))
    }

    /// Its address, as a configuration names it.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// What it was asked on this path.
    pub fn asked(&self, path: &str) -> Vec<Value> {
        self.0.received(path).iter().map(|question| json(question)).collect()
    }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}
