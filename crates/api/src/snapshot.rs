//! Snapshot files: what a scheduler knows at one moment, for `muster simulate` and for bug reports.
//!
//! A gzip stream of JSON lines. The first says what it is: `{"apiVersion":"muster.dev/v1alpha1","kind":"Snapshot",…}`. Then
//! come lines `{"object":{…}}`, `{"queued":{…}}`, `{"reservation":{…}}` and `{"broken":{…}}`, and last `{"end":{…}}` with how
//! many there were, so that a file that was cut off is not taken for a whole one. Reader and writer hold one line at a time.
//! What came to the form later may be absent, and is none then: attempts, broken gangs.
//!
//! **What is not in it.** An object is written as the engine's record of it, in the form that recordings have, and records
//! hold what scheduling reads and nothing else: there is no field for an environment, a command, an annotation, or a Secret.

use crate::codec;
use crate::paths::{api_version_kind, kind_of};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use muster_engine::{Attempt, AttemptResult, BrokenGang, Object, PodRef, QueuedEntity, Reservation, Section};
use muster_framework::Text;
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

/// What a snapshot calls itself.
pub const API_VERSION: &str = "muster.dev/v1alpha1";
/// Likewise.
pub const KIND: &str = "Snapshot";
/// A line that is longer is no object: etcd takes 1.5 MiB at the most.
const LINE_MAX: usize = 8 << 20;
/// How many lines are read: a file of a few kilobytes could otherwise unfold to any length.
const LINES_MAX: u64 = 5_000_000;

/// What the first line says.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// When it was taken.
    pub taken_at: Timestamp,
    /// The version of the Muster that took it.
    pub version: String,
    /// By the rules of which Kubernetes minor the objects were read.
    pub kubernetes: KubeMinor,
    /// Where it is from.
    pub source: Source,
    /// The scheduler's configuration without its secrets, by API group as `/configz` shows it; None: nobody said.
    pub configuration: Option<Value>,
    /// Kinds that the cluster does not serve.
    pub not_served: Vec<Kind>,
}

/// Where a snapshot is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The scheduler that leads: objects as it knows them, its queue and its reservations.
    Scheduler,
    /// The API server: objects alone.
    Api,
}

/// A snapshot that has been read.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// What the first line says.
    pub header: Header,
    /// The objects, in the order in which they were written.
    pub objects: Vec<Object>,
    /// What waited.
    pub queue: Vec<QueuedEntity>,
    /// Places that were held.
    pub reservations: Vec<Reservation>,
    /// Gangs that were broken since nodes were lost.
    pub broken: Vec<BrokenGang>,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", place(*.line))]
pub struct SnapshotError {
    /// The line of what is compressed, from 1; None: it does not even come to lines.
    pub line: Option<u64>,
    /// What is wrong.
    pub problem: String,
}

fn place(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!("line {line} of the snapshot: "))
}

// ---- what stands in a line ----------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HeaderLine {
    api_version: String,
    kind: String,
    taken_at: String,
    version: String,
    kubernetes: String,
    source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    configuration: Option<Value>,
    /// `apiVersion/kind` of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    not_served: Vec<String>,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(deny_unknown_fields)]
struct Counts {
    objects: u64,
    queued: u64,
    reservations: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    broken: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Object(#[serde(deserialize_with = "codec::read_object")] Object),
    Queued(QueuedLine),
    Reservation(ReservationLine),
    Broken(BrokenLine),
    End(Counts),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct QueuedLine {
    group: bool,
    name: Text,
    section: String,
    priority: i32,
    pods: u32,
    attempts: u32,
    waited_ms: u64,
    backoff_ms: u64,
    reason: Text,
    message: Text,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tried: Vec<Tried>,
}

/// One try, in a line of what waits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Tried {
    ago_ms: u64,
    result: String,
    message: Text,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BrokenLine {
    group: Text,
    lost_nodes: Vec<Text>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ReservationLine {
    namespace: Text,
    name: Text,
    uid: Text,
    node: Text,
    stage: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl HeaderLine {
    fn of(header: &Header) -> HeaderLine {
        let name = |kind: &Kind| {
            let (api_version, kind) = api_version_kind(*kind);
            format!("{api_version}/{kind}")
        };
        HeaderLine {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            taken_at: header.taken_at.to_string(),
            version: header.version.clone(),
            kubernetes: header.kubernetes.to_string(),
            source: header.source,
            configuration: header.configuration.clone(),
            not_served: header.not_served.iter().map(name).collect(),
        }
    }

    fn read(self) -> Result<Header, String> {
        let minors = [KubeMinor::V1_35, KubeMinor::V1_36, KubeMinor::V1_37];
        let kubernetes = minors.into_iter().find(|minor| minor.to_string() == self.kubernetes);
        let kubernetes = kubernetes.ok_or_else(|| format!("kubernetes: {:?} is not supported", self.kubernetes))?;
        let kind = |name: &String| {
            let (api_version, kind) = name.rsplit_once('/').unwrap_or_default();
            kind_of(api_version, kind).ok_or_else(|| format!("notServed: {name:?} is no kind that is known"))
        };
        let taken_at = self.taken_at.parse::<Timestamp>();
        Ok(Header {
            taken_at: taken_at.map_err(|error| format!("takenAt: {:?}: {error}", self.taken_at))?,
            version: self.version,
            kubernetes,
            source: self.source,
            configuration: self.configuration,
            not_served: self.not_served.iter().map(kind).collect::<Result<_, _>>()?,
        })
    }
}

impl QueuedLine {
    fn of(entity: &QueuedEntity) -> QueuedLine {
        QueuedLine {
            group: entity.is_group,
            name: entity.name.clone(),
            section: entity.section.name().to_owned(),
            priority: entity.priority,
            pods: entity.pods,
            attempts: entity.attempts,
            waited_ms: milliseconds(entity.waited),
            backoff_ms: milliseconds(entity.backoff),
            reason: entity.reason.clone(),
            message: entity.message.clone(),
            tried: entity.tried.iter().map(Tried::of).collect(),
        }
    }

    fn read(self) -> Result<QueuedEntity, String> {
        let section = Section::ALL.into_iter().find(|section| section.name() == self.section);
        Ok(QueuedEntity {
            is_group: self.group,
            name: self.name,
            section: section.ok_or_else(|| format!("queued.section: {:?} is no section of the queue", self.section))?,
            priority: self.priority,
            pods: self.pods,
            attempts: self.attempts,
            waited: Duration::from_millis(self.waited_ms),
            backoff: Duration::from_millis(self.backoff_ms),
            reason: self.reason,
            message: self.message,
            tried: self.tried.into_iter().map(Tried::read).collect::<Result<_, _>>()?,
        })
    }
}

impl Tried {
    fn of(attempt: &Attempt) -> Tried {
        Tried {
            ago_ms: milliseconds(attempt.ago),
            result: attempt.result.name().to_owned(),
            message: attempt.message.clone(),
        }
    }

    fn read(self) -> Result<Attempt, String> {
        let mut results = AttemptResult::ALL.into_iter();
        let result = results.find(|result| result.name() == self.result);
        Ok(Attempt {
            ago: Duration::from_millis(self.ago_ms),
            result: result.ok_or_else(|| format!("queued.tried.result: {:?} is no end of an attempt", self.result))?,
            message: self.message,
        })
    }
}

impl BrokenLine {
    fn of(gang: &BrokenGang) -> BrokenLine {
        BrokenLine {
            group: gang.group.clone(),
            lost_nodes: gang.lost_nodes.clone(),
        }
    }

    fn read(self) -> BrokenGang {
        BrokenGang {
            group: self.group,
            lost_nodes: self.lost_nodes,
        }
    }
}

impl ReservationLine {
    fn of(reservation: &Reservation) -> ReservationLine {
        let PodRef { namespace, name, uid } = &reservation.pod;
        ReservationLine {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: uid.clone(),
            node: reservation.node.clone(),
            stage: reservation.stage.clone(),
            deadline_ms: reservation.deadline.map(milliseconds),
        }
    }

    fn read(self) -> Reservation {
        Reservation {
            pod: PodRef {
                namespace: self.namespace,
                name: self.name,
                uid: self.uid,
            },
            node: self.node,
            stage: self.stage,
            deadline: self.deadline_ms.map(Duration::from_millis),
        }
    }
}

// ---- writing ------------------------------------------------------------------------------------------------------

/// Writes a snapshot line by line.
pub struct Writer<W: Write> {
    out: GzEncoder<W>,
    counts: Counts,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// It cannot be written; likewise below.
    pub fn begin(out: W, header: &Header) -> io::Result<Writer<W>> {
        let mut writer = Writer {
            out: GzEncoder::new(out, Compression::default()),
            counts: Counts::default(),
        };
        writer.line(&HeaderLine::of(header))?;
        Ok(writer)
    }

    /// Adds an object.
    ///
    /// # Errors
    /// As those of [`Writer::begin`].
    pub fn object(&mut self, object: &Object) -> io::Result<()> {
        self.counts.objects += 1;
        self.tagged("object", &codec::object_image(object))
    }

    /// Adds something that waits.
    ///
    /// # Errors
    /// As those of [`Writer::begin`].
    pub fn queued(&mut self, entity: &QueuedEntity) -> io::Result<()> {
        self.counts.queued += 1;
        self.tagged("queued", &QueuedLine::of(entity))
    }

    /// Adds a place that is held.
    ///
    /// # Errors
    /// As those of [`Writer::begin`].
    pub fn reservation(&mut self, reservation: &Reservation) -> io::Result<()> {
        self.counts.reservations += 1;
        self.tagged("reservation", &ReservationLine::of(reservation))
    }

    /// Adds a gang that is broken.
    ///
    /// # Errors
    /// As those of [`Writer::begin`].
    pub fn broken(&mut self, gang: &BrokenGang) -> io::Result<()> {
        self.counts.broken += 1;
        self.tagged("broken", &BrokenLine::of(gang))
    }

    /// Ends it, and gives back what it was written to.
    ///
    /// # Errors
    /// As those of [`Writer::begin`].
    pub fn finish(mut self) -> io::Result<W> {
        let counts = self.counts;
        self.tagged("end", &counts)?;
        self.out.finish()
    }

    fn tagged(&mut self, tag: &'static str, value: &impl Serialize) -> io::Result<()> {
        self.line(&std::collections::BTreeMap::from([(tag, value)]))
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}

/// Writes what an engine knows as a whole snapshot.
///
/// # Errors
/// It cannot be written.
pub fn write<W: Write>(out: W, header: &Header, known: &muster_engine::Snapshot) -> io::Result<W> {
    let mut writer = Writer::begin(out, header)?;
    known.objects.iter().try_for_each(|object| writer.object(object))?;
    known.queue.iter().try_for_each(|entity| writer.queued(entity))?;
    known
        .reservations
        .iter()
        .try_for_each(|held| writer.reservation(held))?;
    known.broken.iter().try_for_each(|gang| writer.broken(gang))?;
    writer.finish()
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// Reads a whole snapshot. This is also the way in for whoever wants to judge by a snapshot: an engine that is told
/// [`Snapshot::objects`] is where the scheduler was.
///
/// # Errors
/// It is no snapshot, or one of another version, or not all of it is there, or something in it makes no sense.
pub fn read(source: impl Read) -> Result<Snapshot, SnapshotError> {
    let mut lines = Lines {
        from: BufReader::new(GzDecoder::new(BufReader::new(source))),
        number: 0,
        line: Vec::new(),
    };
    if !lines.next()? {
        return Err(lines.wrong("it is empty"));
    }
    let header = read_header(&lines.line).map_err(|problem| lines.wrong(problem))?;
    let mut snapshot = Snapshot {
        header,
        objects: Vec::new(),
        queue: Vec::new(),
        reservations: Vec::new(),
        broken: Vec::new(),
    };
    while lines.next()? {
        let Some(counts) = take_line(&mut snapshot, &lines.line).map_err(|problem| lines.wrong(problem))? else {
            continue;
        };
        check_counts(&snapshot, counts).map_err(|problem| lines.wrong(problem))?;
        return if lines.next()? {
            Err(lines.wrong("something follows the end"))
        } else {
            Ok(snapshot)
        };
    }
    Err(lines.wrong("it ends here, and its last line is missing: the file was cut off"))
}

/// Takes a line in; gives the counts of the last one.
fn take_line(snapshot: &mut Snapshot, line: &[u8]) -> Result<Option<Counts>, String> {
    match parse::<Line>(line)? {
        Line::Object(object) => snapshot.objects.push(object),
        Line::Queued(queued) => snapshot.queue.push(queued.read()?),
        Line::Reservation(reservation) => snapshot.reservations.push(reservation.read()),
        Line::Broken(gang) => snapshot.broken.push(gang.read()),
        Line::End(counts) => return Ok(Some(counts)),
    }
    Ok(None)
}

fn read_header(line: &[u8]) -> Result<Header, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Called {
        api_version: String,
        kind: String,
    }
    let foreign = "this is no snapshot of Muster";
    let called: Called = serde_json::from_slice(line).map_err(|_| foreign.to_owned())?;
    if called.kind != KIND {
        return Err(format!("{foreign}: its kind is {:?}", called.kind));
    }
    if called.api_version != API_VERSION {
        return Err(format!(
            "its apiVersion is {:?}, and this Muster reads {API_VERSION}",
            called.api_version
        ));
    }
    parse::<HeaderLine>(line)?.read()
}

fn check_counts(snapshot: &Snapshot, counts: Counts) -> Result<(), String> {
    let found = Counts {
        objects: snapshot.objects.len() as u64,
        queued: snapshot.queue.len() as u64,
        reservations: snapshot.reservations.len() as u64,
        broken: snapshot.broken.len() as u64,
    };
    if found == counts {
        return Ok(());
    }
    Err(format!(
        "it ought to have {} objects and has {}",
        counts.objects, found.objects
    ))
}

fn parse<'l, T: Deserialize<'l>>(line: &'l [u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." | "" => error.inner().to_string(),
            _ => format!("{path}: {}", error.inner()),
        }
    })?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// The lines of a compressed file.
struct Lines<R> {
    from: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Goes to the next line; false at the end of the file.
    fn next(&mut self) -> Result<bool, SnapshotError> {
        self.line.clear();
        let most = LINE_MAX as u64 + 1;
        let read = (&mut self.from).take(most).read_until(b'\n', &mut self.line);
        if let Err(error) = read {
            return Err(self.unreadable(&error));
        }
        if self.line.is_empty() {
            return Ok(false);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > LINE_MAX {
            return Err(self.wrong("it is too long"));
        }
        if self.number > LINES_MAX {
            return Err(self.wrong(format!("there are more than {LINES_MAX} lines")));
        }
        Ok(true)
    }

    fn unreadable(&self, error: &io::Error) -> SnapshotError {
        match (error.kind(), self.number) {
            (io::ErrorKind::UnexpectedEof, 0) => SnapshotError {
                line: None,
                problem: "this is no snapshot of Muster, or hardly the beginning of one".to_owned(),
            },
            (io::ErrorKind::UnexpectedEof, _) => self.after("the file was cut off"),
            (io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData, 0) => SnapshotError {
                line: None,
                problem: "this is no snapshot of Muster: it is not compressed by gzip".to_owned(),
            },
            (io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData, _) => {
                self.after(&format!("the file is damaged ({error})"))
            }
            _ => self.after(&error.to_string()),
        }
    }

    fn after(&self, problem: &str) -> SnapshotError {
        SnapshotError {
            line: Some(self.number + 1),
            problem: problem.to_owned(),
        }
    }

    fn wrong(&self, problem: impl Into<String>) -> SnapshotError {
        SnapshotError {
            line: Some(self.number.max(1)),
            problem: problem.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use proptest::prelude::*;
    use serde_json::json;

    const HEADER: &str = r#"{"apiVersion":"muster.dev/v1alpha1","kind":"Snapshot","takenAt":"2026-11-21T18:00:00Z","version":"0.1.0","kubernetes":"1.37","source":"api"}"#;

    const QUEUED: &str = r#"{"queued":{"group":false,"name":"shop/web","section":"unschedulable","priority":0,"pods":1,"attempts":3,"waitedMs":1500,"backoffMs":0,"reason":"Unschedulable","message":"0/1 nodes are available"}}"#;
    /// The end of such a line, with a try that ended as none does.
    const TIRED: &str = r#","tried":[{"agoMs":7,"result":"tired","message":""}]}}"#;

    fn header() -> Header {
        Header {
            taken_at: "2026-11-21T18:00:00Z".parse().unwrap(),
            version: "0.1.0".to_owned(),
            kubernetes: KubeMinor::V1_36,
            source: Source::Scheduler,
            configuration: Some(json!({"componentconfig": {"kind": "KubeSchedulerConfiguration"}})),
            not_served: vec![Kind::Workload, Kind::CoschedulingPodGroup],
        }
    }

    /// A pod with all that must not be in a snapshot.
    fn pod(name: &str) -> Object {
        let pod = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "7",
                "labels": {"app": "web"}, "annotations": {"password": "annotated-hush", "muster.dev/min-count": "3"}},
            "spec": {
                "schedulerName": "muster",
                "containers": [{"name": "c", "image": "web:1", "command": ["--token=commanded-hush"],
                    "env": [{"name": "TOKEN", "value": "environment-hush"},
                        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "referred-hush", "key": "k"}}}],
                    "envFrom": [{"secretRef": {"name": "from-hush"}}],
                    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
                "volumes": [{"name": "v", "secret": {"secretName": "mounted-hush"}},
                    {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "projected-hush"}}]}}],
                "imagePullSecrets": [{"name": "pull-hush"}],
                "serviceAccountName": "account-hush",
            },
            "status": {"phase": "Pending"},
        });
        decode(Kind::Pod, pod.to_string().as_bytes()).unwrap()
    }

    fn known() -> muster_engine::Snapshot {
        muster_engine::Snapshot {
            objects: (0..20).map(|number| pod(&format!("web-{number}"))).collect(),
            not_served: vec![],
            queue: vec![QueuedEntity {
                is_group: true,
                name: "shop/gang".into(),
                section: Section::Backoff,
                priority: 7,
                pods: 3,
                attempts: 2,
                waited: Duration::from_millis(1_500),
                backoff: Duration::from_millis(300),
                reason: "Unschedulable".into(),
                message: "0/1 nodes are available".into(),
                tried: [(300, AttemptResult::Unschedulable), (1_400, AttemptResult::Error)]
                    .map(|(ago, result)| Attempt {
                        ago: Duration::from_millis(ago),
                        result,
                        message: "0/1 nodes are available".into(),
                    })
                    .to_vec(),
            }],
            reservations: vec![Reservation {
                pod: PodRef {
                    namespace: "shop".into(),
                    name: "web-1".into(),
                    uid: "uid-web-1".into(),
                },
                node: "n1".into(),
                stage: "Sent".into(),
                deadline: Some(Duration::from_secs(60)),
            }],
            broken: vec![BrokenGang {
                group: "shop/gang".into(),
                lost_nodes: vec!["n2".into(), "n3".into()],
            }],
        }
    }

    fn file() -> Vec<u8> {
        write(Vec::new(), &header(), &known()).unwrap()
    }

    fn compressed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn unfolded(file: &[u8]) -> String {
        let mut text = String::new();
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_written_is_read() {
        let read = read(&*file()).unwrap();
        let known = known();
        assert_eq!(read.header, header());
        assert_eq!(
            (read.objects, read.queue, read.reservations, read.broken),
            (known.objects, known.queue, known.reservations, known.broken)
        );
    }

    /// A file of a Muster that wrote neither attempts nor broken gangs.
    #[test]
    fn what_came_to_the_form_later_may_be_absent() {
        let text = format!("{HEADER}\n{QUEUED}\n{{\"end\":{{\"objects\":0,\"queued\":1,\"reservations\":0}}}}\n");
        let old = read(&*compressed(&text)).unwrap();
        let queued = &old.queue[0];
        assert_eq!((queued.attempts, queued.tried.len(), old.broken.len()), (3, 0, 0));
        let mut writer = Writer::begin(Vec::new(), &old.header).unwrap();
        writer.queued(queued).unwrap();
        let again = unfolded(&writer.finish().unwrap());
        assert_eq!(again.lines().last(), text.lines().last(), "none are not written");
        assert!(again.contains(&format!("\n{QUEUED}\n")), "{again}");
    }

    #[test]
    fn no_secret_is_in_the_file() {
        let text = unfolded(&file());
        assert!(text.contains("web-19") && text.contains("web:1"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn every_truncation_is_told() {
        let whole = file();
        for length in 0..whole.len() {
            let error = read(&whole[..length]).expect_err("it was cut off");
            assert!(!error.to_string().is_empty());
        }
        let text = unfolded(&whole);
        let lines: Vec<&str> = text.lines().collect();
        for count in 0..lines.len() {
            let cut: String = lines[..count].iter().map(|line| format!("{line}\n")).collect();
            assert!(read(&*compressed(&cut)).is_err(), "{count} lines");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let said = |text: &str| read(&*compressed(text)).unwrap_err().to_string();
        let end = r#"{"end":{"objects":0,"queued":0,"reservations":0}}"#;
        let cases = [
            said(""),
            said("apiVersion: v1\n"),
            said("{\"apiVersion\":\"v1\",\"kind\":\"List\"}\n"),
            said(&HEADER.replace("v1alpha1", "v9")),
            said(&HEADER.replace("1.37", "1.12")),
            said(&HEADER.replace("\"source\"", "\"sauce\"")),
            said(HEADER),
            said(&format!("{HEADER}\n{end}\n{end}\n")),
            said(&format!(
                "{HEADER}\n{}\n",
                end.replace("\"objects\":0", "\"objects\":3")
            )),
            said(&format!("{HEADER}\n{{\"object\":{{\"pod\":{{\"uid\":7}}}}}}\n")),
            said(&format!("{HEADER}\n{{\"secret\":{{}}}}\n")),
            said(&format!("{HEADER}\n{}\n", QUEUED.replace("}}", TIRED))),
            read(&b"kind: Snapshot"[..]).unwrap_err().to_string(),
            read(&[][..]).unwrap_err().to_string(),
        ];
        insta::assert_snapshot!(cases.join("\n"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&*bytes);
        }

        #[test]
        fn no_lines_make_it_panic(lines in prop::collection::vec(
            "(\\{\"(object|queued|reservation|broken|end)\":.{0,40}\\}|.{0,40})", 0..6)) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let _ = read(&*compressed(&format!("{HEADER}\n{text}")));
        }

        #[test]
        fn no_flipped_bit_goes_unnoticed_in_silence(at in 10usize..200, bit in 0u8..8) {
            let mut bytes = file();
            let at = at % (bytes.len() - 10) + 10;
            bytes[at] ^= 1 << bit;
            prop_assert!(read(&*bytes).is_err());
        }
    }
}
