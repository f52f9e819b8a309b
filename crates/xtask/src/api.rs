//! Requests to a control plane's API server, as plain JSON and blocking: enough for set-up and for looking on.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

/// Enough to keep the API server busy, few enough not to crowd out others.
const IN_FLIGHT: usize = 32;

/// A client with a runtime of its own, so that it can be used from anywhere.
pub struct Api {
    client: kube::Client,
    /// Gone only while being dropped.
    runtime: Option<tokio::runtime::Runtime>,
}

/// The error of a request that the server has answered: what it says, and its status code.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status code.
    pub code: u16,
    /// The reason and the message, in the server's words.
    pub message: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the API server answered {}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}

impl Api {
    /// A client by a kubeconfig file.
    pub fn connect(kubeconfig: &Path) -> Result<Api> {
        // Another one may be installed already, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("muster-xtask-api")
            .enable_all()
            .build()
            .context("starting the runtime for requests")?;
        let path = kubeconfig.to_owned();
        let client = wait_on(&runtime, async move {
            let config = Kubeconfig::read_from(&path)?;
            let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
            // Whoever waits for something asks again in its own time.
            config.default_retry = false;
            anyhow::Ok(kube::Client::try_from(config)?)
        })?
        .with_context(|| format!("connecting by the kubeconfig {}", kubeconfig.display()))?;
        Ok(Api {
            client,
            runtime: Some(runtime),
        })
    }

    /// Reads something.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.request("GET", path, None)
    }

    /// Reads something, if it is there.
    pub fn get_if_found(&self, path: &str) -> Result<Option<Value>> {
        match self.get(path) {
            Ok(value) => Ok(Some(value)),
            Err(error) if status_code(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates something below a collection, or calls a subresource.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.request("POST", path, Some(("application/json", body)))
    }

    /// Replaces something.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.request("PUT", path, Some(("application/json", body)))
    }

    /// Changes the named fields of something.
    pub fn merge_patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.request("PATCH", path, Some(("application/merge-patch+json", body)))
    }

    /// Creates something or changes it to be so, by server-side apply.
    pub fn server_side_apply(&self, path: &str, body: &Value) -> Result<Value> {
        let path = format!("{path}?fieldManager=muster-xtask&force=true");
        self.request("PATCH", &path, Some(("application/apply-patch+yaml", body)))
    }

    /// Deletes something.
    pub fn delete(&self, path: &str) -> Result<Value> {
        self.request("DELETE", path, None)
    }

    /// Creates many objects below one collection, several at a time.
    pub fn post_all(&self, path: &str, bodies: &[Value]) -> Result<()> {
        let requests = bodies
            .iter()
            .map(|body| encode("POST", path, Some(("application/json", body))))
            .collect::<Result<Vec<_>>>()?;
        let client = self.client.clone();
        let sent = self.wait(async move {
            futures::stream::iter(requests)
                .map(|request| send(client.clone(), request))
                .buffer_unordered(IN_FLIGHT)
                .try_for_each(|_| async { Ok(()) })
                .await
        })?;
        sent.with_context(|| format!("creating {} objects at {path}", bodies.len()))
    }

    /// Whether the server says that it is ready.
    pub fn is_ready(&self) -> bool {
        let request = http::Request::get("/readyz").body(Vec::new());
        let Ok(request) = request else { return false };
        let client = self.client.clone();
        let answer = self.wait(async move {
            let patience = Duration::from_secs(5);
            tokio::time::timeout(patience, client.request_text(request)).await
        });
        matches!(answer, Ok(Ok(Ok(text))) if text == "ok")
    }

    /// Waits until a condition holds, asking again and again; an error counts as "not yet" and is told at the end.
    pub fn wait_until<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut condition: impl FnMut(&Api) -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + timeout;
        loop {
            let answer = condition(self);
            if let Ok(Some(value)) = answer {
                return Ok(value);
            }
            if deadline <= Instant::now() {
                let error = answer.err().unwrap_or_else(|| anyhow!("it never came true"));
                return Err(error.context(format!("waiting {} s until {what}", timeout.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What happens in a collection after a resource version, for so many seconds: watch events, in their order.
    pub fn watch(&self, collection: &str, resource_version: &str, seconds: u32) -> Result<Vec<Value>> {
        let path = format!("{collection}?watch=true&resourceVersion={resource_version}&timeoutSeconds={seconds}");
        let request = encode("GET", &path, None)?;
        let client = self.client.clone();
        let text = self.wait(async move { client.request_text(request).await })?;
        let text = text.with_context(|| format!("watching {collection}"))?;
        let events = text.lines().map(serde_json::from_str::<Value>);
        let events: Vec<Value> = events.collect::<Result<_, _>>().context("reading watch events")?;
        match events.iter().find(|event| event["type"] == "ERROR") {
            Some(error) => bail!("watching {collection} ended with {error}"),
            None => Ok(events),
        }
    }

    /// Sends any request and reads the JSON answer.
    pub fn request(&self, method: &str, path: &str, body: Option<(&str, &Value)>) -> Result<Value> {
        let request = encode(method, path, body)?;
        let client = self.client.clone();
        let answer = self.wait(async move { send(client, request).await })?;
        answer.with_context(|| format!("{method} {path}"))
    }

    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        let runtime = self.runtime.as_ref().context("the client is being dropped")?;
        wait_on(runtime, work)
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // Dropping a runtime waits, which panics where the caller is itself inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits without `block_on`, which panics where the caller is itself inside another runtime.
fn wait_on<T: Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // The receiver waits below for as long as this runs.
        let _ = sender.send(work.await);
    });
    receiver.recv().context("the request was dropped before its end")
}

fn encode(method: &str, path: &str, body: Option<(&str, &Value)>) -> Result<http::Request<Vec<u8>>> {
    let builder = http::Request::builder().method(method).uri(path);
    let request = match body {
        Some((content_type, body)) => builder
            .header(http::header::CONTENT_TYPE, content_type)
            .body(serde_json::to_vec(body).with_context(|| format!("encoding the body of {method} {path}"))?),
        None => builder.body(Vec::new()),
    };
    request.with_context(|| format!("building the request {method} {path}"))
}

/// Sends a request, and once more if no answer came: a server closes connections that were idle for long, and a request that
/// is on its way just then is lost.
async fn send(client: kube::Client, request: http::Request<Vec<u8>>) -> Result<Value> {
    match client.request::<Value>(request.clone()).await {
        Err(kube::Error::Service(_)) => send_again(&client, request).await,
        answer => understood(answer),
    }
}

/// The first time may have arrived after all: what is to be made is there then, and what is to go is gone.
async fn send_again(client: &kube::Client, request: http::Request<Vec<u8>>) -> Result<Value> {
    let method = request.method().clone();
    let made = made_by(&request);
    match client.request::<Value>(request).await {
        Err(kube::Error::Api(status)) if method == http::Method::POST && status.reason == "AlreadyExists" => {
            let path = made.context("the name of what is there already")?;
            understood(client.request::<Value>(encode("GET", &path, None)?).await)
        }
        Err(kube::Error::Api(status)) if method == http::Method::DELETE && status.code == 404 => Ok(Value::Null),
        answer => understood(answer),
    }
}

/// The path of what a request makes, if it names it.
fn made_by(request: &http::Request<Vec<u8>>) -> Option<String> {
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    let name = body["metadata"]["name"].as_str()?;
    Some(format!("{}/{name}", request.uri().path()))
}

fn understood(answer: Result<Value, kube::Error>) -> Result<Value> {
    match answer {
        Ok(value) => Ok(value),
        Err(kube::Error::Api(status)) => {
            let message = format!("{} ({})", status.message, status.reason);
            bail!(Refused {
                code: status.code,
                message
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// The status code with which the server refused, if it was the server.
pub fn status_code(error: &anyhow::Error) -> Option<u16> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Refused>())
        .map(|refused| refused.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    /// Reads one request and says which it was.
    fn heard(stream: &TcpStream) -> String {
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        first.trim_end().trim_end_matches(" HTTP/1.1").to_owned()
    }

    #[test]
    fn a_request_whose_connection_is_closed_is_sent_again_and_what_it_made_the_first_time_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let exists = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "AlreadyExists",
            "message": "pods \"a\" already exists", "code": 409});
        let answers = [
            None,
            Some(("409 Conflict", exists)),
            Some(("200 OK", json!({"metadata": {"name": "a", "uid": "7"}}))),
        ];
        let server = std::thread::spawn(move || {
            answers.map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let heard = heard(&stream);
                if let Some((status, body)) = answer {
                    let body = body.to_string();
                    let head = format!(
                        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}",
                        body.len()
                    );
                    write!(stream, "{head}\r\n\r\n{body}").unwrap();
                }
                heard
            })
        });
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {}}]});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let api = Api::connect(&kubeconfig).unwrap();
        let pods = "/api/v1/namespaces/x/pods";
        let made = api.post(pods, &json!({"metadata": {"name": "a"}})).unwrap();
        assert_eq!(made["metadata"]["uid"], "7");
        let posted = format!("POST {pods}");
        let read = format!("GET {pods}/a");
        assert_eq!(server.join().unwrap(), [posted.clone(), posted, read]);
    }
}
