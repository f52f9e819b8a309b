//! A scheduler that decides nothing, to compare Muster with: `cargo xtask bench compare` runs both.
//!
//! It takes the same path to the API server as Muster (the same client and settings, the pods as one list and then by watch,
//! as many binds and events in flight, one event for each bind unless it is started with `--without-events`) and binds the
//! pods that it finds round robin. So nobody who binds one by one can be faster by much, and what Muster takes longer is
//! what deciding costs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use muster_api::write::{self, EventText, Method};
use muster_engine::{PodRef, Regarding, Severity};
use muster_kube::DispatcherSettings;
use serde::Deserialize;
use tokio::sync::{Mutex, Semaphore, mpsc};

/// Enough of a list.
#[derive(Deserialize)]
struct List {
    metadata: ListMetadata,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
}

/// Enough of a pod or a node.
#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    scheduler_name: String,
    #[serde(default)]
    node_name: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kubeconfig, scheduler_name, with_events) = match &arguments[..] {
        [kubeconfig, scheduler_name] => (kubeconfig, scheduler_name, true),
        [kubeconfig, scheduler_name, flag] if flag == "--without-events" => (kubeconfig, scheduler_name, false),
        _ => bail!("usage: null_scheduler KUBECONFIG SCHEDULER_NAME [--without-events]"),
    };
    let clients = muster_kube::connect(Some(Path::new(kubeconfig))).await?;
    let (nodes, _) = list(&clients.watches, "/api/v1/nodes").await?;
    let (pods, version) = list(&clients.watches, "/api/v1/pods").await?;
    let watch = tokio::spawn(go_on_watching(clients.watches.clone(), version));
    let pods = pods.into_iter().filter(|pod| {
        let is_ours = pod.spec.scheduler_name == *scheduler_name;
        is_ours && pod.spec.node_name.is_empty()
    });
    let settings = DispatcherSettings::default();
    let (events, waiting) = mpsc::channel(settings.events_waiting);
    let desk = Arc::new(Desk {
        client: clients.writes.clone(),
        scheduler_name: scheduler_name.to_owned(),
        events: with_events.then_some(events),
    });
    // Without a sender they end at once.
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..settings.events_in_flight {
        tokio::spawn(write_events(Arc::clone(&desk), Arc::clone(&waiting)));
    }
    bind_all(&desk, pods.collect(), &nodes).await?;
    // Like any scheduler it goes on until it is killed.
    watch.await.context("the watch")
}

/// Lists as an informer does: consistently, and all at once.
async fn list(client: &Client, path: &str) -> anyhow::Result<(Vec<Item>, String)> {
    let body = send(client, Request::get(path).body(Body::empty())?).await?;
    let list: List = serde_json::from_slice(&body).with_context(|| format!("reading {path}"))?;
    Ok((list.items, list.metadata.resource_version))
}

/// Watches again when the server has ended a watch, as it may at any time.
async fn go_on_watching(client: Client, mut version: String) {
    loop {
        if let Err(error) = watch_pods(&client, &version).await {
            eprintln!("null scheduler: {error:#}");
        }
        // From whatever the server has: nothing is made of it anyway.
        version = "0".to_owned();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads what the server tells, and makes nothing of it, until the server ends it.
async fn watch_pods(client: &Client, version: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion={version}");
    let answer = client.send(Request::get(path).body(Body::empty())?).await?;
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame.context("reading the watch")?;
    }
    bail!("the watch has ended");
}

/// What the tasks share.
struct Desk {
    client: Client,
    scheduler_name: String,
    /// Where binds that are done are told, if anybody writes events of them.
    events: Option<mpsc::Sender<(PodRef, String, Timestamp)>>,
}

async fn bind_all(desk: &Arc<Desk>, pods: Vec<Item>, nodes: &[Item]) -> anyhow::Result<()> {
    let in_flight = Arc::new(Semaphore::new(DispatcherSettings::default().binds_in_flight));
    for (pod, node) in pods.into_iter().zip(nodes.iter().cycle()) {
        let permit = Arc::clone(&in_flight).acquire_owned().await?;
        let (desk, node) = (Arc::clone(desk), node.metadata.name.clone());
        tokio::spawn(async move {
            if let Err(error) = desk.bind(pod, node).await {
                eprintln!("null scheduler: {error:#}");
            }
            drop(permit);
        });
    }
    Ok(())
}

impl Desk {
    async fn bind(&self, pod: Item, node: String) -> anyhow::Result<()> {
        let pod = PodRef {
            namespace: pod.metadata.namespace.into(),
            name: pod.metadata.name.into(),
            uid: pod.metadata.uid.into(),
        };
        send(&self.client, http_request(&write::bind(&pod, &node))?).await?;
        if let Some(events) = &self.events {
            // Muster drops an event for which there is no room, too.
            let _ = events.try_send((pod, node, Timestamp::now()));
        }
        Ok(())
    }

    async fn write_event(&self, number: i64, pod: PodRef, node: &str, at: Timestamp) -> anyhow::Result<()> {
        let note = format!("Successfully assigned {pod} to {node}");
        let text = EventText {
            reporting_controller: &self.scheduler_name,
            severity: Severity::Normal,
            reason: "Scheduled",
            action: "Binding",
            note: &note,
        };
        let request = write::event(&Regarding::Pod(pod), text, "null", &format!("{number:x}"), at);
        send(&self.client, http_request(&request)?).await.map(drop)
    }
}

async fn write_events(desk: Arc<Desk>, waiting: Arc<Mutex<mpsc::Receiver<(PodRef, String, Timestamp)>>>) {
    loop {
        let next = waiting.lock().await.recv().await;
        let Some((pod, node, at)) = next else { return };
        let number = at.as_microsecond();
        if let Err(error) = desk.write_event(number, pod, &node, at).await {
            eprintln!("null scheduler: {error:#}");
        }
    }
}

fn http_request(request: &write::Request) -> anyhow::Result<Request<Body>> {
    let method = match request.method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Patch => http::Method::PATCH,
    };
    let http = Request::builder()
        .method(method)
        .uri(&request.path)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::CONTENT_TYPE, request.content_type)
        .body(Body::from(request.body.clone()))?;
    Ok(http)
}

/// Sends a request and reads the whole answer, within the time that Muster gives it.
async fn send(client: &Client, request: Request<Body>) -> anyhow::Result<Bytes> {
    let patience: Duration = DispatcherSettings::default().request_timeout;
    let exchange = async {
        let answer = client.send(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect_bytes().await?;
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    };
    tokio::time::timeout(patience, exchange).await?
}
