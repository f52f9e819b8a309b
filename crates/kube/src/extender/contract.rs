//! The words of the extender contract: what a question and an answer look like as JSON.
//!
//! Source: `k8s.io/kube-scheduler/extender/v1` (`types.go`). Its structs have no JSON names, so keys are the names of Go
//! fields, and absent parts are null. Go reads keys whatever their case, and many extenders rely on it: so does this.

use bytes::Bytes;
use muster_engine::{ExtenderAnswer, PodRef};
use muster_framework::Text;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Longest text of an extender that is passed on: it ends up in conditions, events and logs.
const TEXT_BYTES_MAX: usize = 1024;

/// The nodes that a question is about.
#[derive(Debug)]
pub(crate) enum Nodes<'a> {
    /// By name: the extender knows them.
    Names(&'a [Text]),
    /// As whole objects in JSON.
    Whole(Vec<Bytes>),
}

/// A filter or prioritize question (`ExtenderArgs`) about a pod in JSON, in pieces: whole nodes are not copied.
pub(crate) fn question(pod: &[u8], nodes: Nodes<'_>) -> Vec<Bytes> {
    let mut head = Vec::with_capacity(pod.len() + 64);
    head.extend_from_slice(b"{\"Pod\":");
    head.extend_from_slice(pod);
    let whole = match nodes {
        Nodes::Names(names) => {
            head.extend_from_slice(b",\"Nodes\":null,\"NodeNames\":");
            head.extend_from_slice(&json(&names.iter().map(|name| &**name).collect::<Vec<_>>()));
            head.push(b'}');
            return vec![head.into()];
        }
        Nodes::Whole(whole) => whole,
    };
    head.extend_from_slice(b",\"Nodes\":{\"metadata\":{},\"items\":[");
    let mut pieces = Vec::with_capacity(2 * whole.len() + 2);
    pieces.push(head.into());
    for (position, node) in whole.into_iter().enumerate() {
        if position > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(node);
    }
    pieces.push(Bytes::from_static(b"]},\"NodeNames\":null}"));
    pieces
}

/// The request to bind a pod (`ExtenderBindingArgs`).
pub(crate) fn binding(pod: &PodRef, node: &str) -> Bytes {
    #[derive(Serialize)]
    struct ExtenderBindingArgs<'a> {
        #[serde(rename = "PodName")]
        name: &'a str,
        #[serde(rename = "PodNamespace")]
        namespace: &'a str,
        #[serde(rename = "PodUID")]
        uid: &'a str,
        #[serde(rename = "Node")]
        node: &'a str,
    }
    let args = ExtenderBindingArgs {
        name: &pod.name,
        namespace: &pod.namespace,
        uid: &pod.uid,
        node,
    };
    json(&args).into()
}

/// Plain strings only: their encoding cannot fail.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// An object in JSON without `metadata.managedFields`, which upstream does not keep either; as it was where it is not
/// even an object.
pub(crate) fn without_managed_fields(object: &[u8]) -> Bytes {
    type Keys<'a> = BTreeMap<String, &'a RawValue>;
    let stripped = || {
        let mut object: Keys<'_> = serde_json::from_slice(object).ok()?;
        let mut metadata: Keys<'_> = serde_json::from_str(object.get("metadata")?.get()).ok()?;
        metadata.remove("managedFields")?;
        let metadata = serde_json::value::to_raw_value(&metadata).ok()?;
        object.insert("metadata".to_owned(), &metadata);
        serde_json::to_vec(&object).ok()
    };
    stripped().map_or_else(|| Bytes::copy_from_slice(object), Bytes::from)
}

/// What a filter answer (`ExtenderFilterResult`) says; the error names what is wrong with it, or is what it says of
/// itself. `by_name`: the extender was told names only.
pub(crate) fn filtered(body: &[u8], by_name: bool) -> Result<ExtenderAnswer, String> {
    let fields = Fields::of("the answer", first_value(body)?)?;
    fields.check_error()?;
    let names: Option<Vec<String>> = fields.read("NodeNames")?;
    // An answer without nodes leaves none, as upstream has it.
    let nodes = match names.filter(|_| by_name) {
        Some(names) => names.into_iter().map(Text::from).collect(),
        None => fields.get("Nodes").map(names_of_nodes).transpose()?.unwrap_or_default(),
    };
    Ok(ExtenderAnswer::Filtered {
        nodes,
        failed: fields.read_reasons("FailedNodes")?,
        unresolvable: fields.read_reasons("FailedAndUnresolvableNodes")?,
    })
}

/// What a prioritize answer (`HostPriorityList`) says.
pub(crate) fn prioritized(body: &[u8]) -> Result<ExtenderAnswer, String> {
    let items: Option<Vec<&RawValue>> = serde_json::from_str(first_value(body)?.get())
        .map_err(|error| format!("the answer is not a list of scores: {error}"))?;
    let mut scores = Vec::new();
    for (position, item) in items.unwrap_or_default().into_iter().enumerate() {
        let fields = Fields::of(&format!("[{position}]"), item)?;
        let of = |error: String| format!("[{position}].{error}");
        let host: Option<String> = fields.read("Host").map_err(of)?;
        let score: Option<i64> = fields.read("Score").map_err(of)?;
        scores.push((host.unwrap_or_default().into(), score.unwrap_or(0)));
    }
    Ok(ExtenderAnswer::Prioritized { scores })
}

/// What became of a bind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// The extender has bound the pod.
    Done,
    /// It says that it has not.
    Refused(String),
}

/// What a bind answer (`ExtenderBindingResult`) says; an error is an answer that makes no sense.
pub(crate) fn bound(body: &[u8]) -> Result<Binding, String> {
    let fields = Fields::of("the answer", first_value(body)?)?;
    let error: Option<String> = fields.read("Error")?;
    Ok(match error.filter(|error| !error.is_empty()) {
        Some(error) => Binding::Refused(shortened(&error).to_owned()),
        None => Binding::Done,
    })
}

/// The first value of a text: Go's decoder does not look at what may follow.
fn first_value(body: &[u8]) -> Result<&RawValue, String> {
    let mut decoder = serde_json::Deserializer::from_slice(body);
    <&RawValue>::deserialize(&mut decoder).map_err(|error| format!("the answer is not JSON: {error}"))
}

fn names_of_nodes(list: &RawValue) -> Result<Vec<Text>, String> {
    let list = Fields::of("Nodes", list)?;
    let items: Vec<Box<RawValue>> = list
        .read("items")
        .map_err(|e| format!("Nodes.{e}"))?
        .unwrap_or_default();
    let name = |(position, item): (usize, &RawValue)| {
        let place = format!("Nodes.items[{position}].metadata");
        let item = Fields::of(&format!("Nodes.items[{position}]"), item)?;
        let metadata = item.get("metadata").ok_or_else(|| format!("{place} is missing"))?;
        let name: Option<String> = Fields::of(&place, metadata)?
            .read("name")
            .map_err(|e| format!("{place}.{e}"))?;
        name.map(Text::from).ok_or_else(|| format!("{place}.name is missing"))
    };
    items.iter().map(|item| &**item).enumerate().map(name).collect()
}

/// The fields of an object, whatever the case of their names; null is as good as absent.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    fn of(what: &str, value: &'a RawValue) -> Result<Fields<'a>, String> {
        let fields: Option<BTreeMap<String, &'a RawValue>> =
            serde_json::from_str(value.get()).map_err(|error| format!("{what} is not an object: {error}"))?;
        let lower = fields.into_iter().flatten().filter(|(_, value)| value.get() != "null");
        Ok(Fields(
            lower.map(|(key, value)| (key.to_ascii_lowercase(), value)).collect(),
        ))
    }

    fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(&key.to_ascii_lowercase()).copied()
    }

    fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, String> {
        let read = |value: &RawValue| serde_json::from_str(value.get()).map_err(|error| format!("{key}: {error}"));
        self.get(key).map(read).transpose()
    }

    /// A `FailedNodesMap`: nodes with what stands against each.
    fn read_reasons(&self, key: &str) -> Result<Vec<(Text, Text)>, String> {
        let reasons: BTreeMap<String, Option<String>> = self.read(key)?.unwrap_or_default();
        let reasons = reasons.into_iter().map(|(node, reason)| {
            let reason = reason.unwrap_or_default();
            (node.into(), shortened(&reason).into())
        });
        Ok(reasons.collect())
    }

    fn check_error(&self) -> Result<(), String> {
        let error: Option<String> = self.read("Error")?;
        match error {
            Some(error) if !error.is_empty() => Err(shortened(&error).to_owned()),
            _ => Ok(()),
        }
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: Vec<Bytes>) -> String {
        String::from_utf8(pieces.concat()).unwrap()
    }

    fn filtered_as(body: &str, by_name: bool) -> Result<(Vec<Text>, usize, usize), String> {
        match filtered(body.as_bytes(), by_name)? {
            ExtenderAnswer::Filtered {
                nodes,
                failed,
                unresolvable,
            } => Ok((nodes, failed.len(), unresolvable.len())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn questions_look_as_go_writes_them() {
        let names = ["n1".into(), "n2".into()];
        assert_eq!(
            text(question(br#"{"spec":{}}"#, Nodes::Names(&names))),
            r#"{"Pod":{"spec":{}},"Nodes":null,"NodeNames":["n1","n2"]}"#
        );
        let whole = vec![Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{\"b\":2}")];
        assert_eq!(
            text(question(b"{}", Nodes::Whole(whole))),
            r#"{"Pod":{},"Nodes":{"metadata":{},"items":[{"a":1},{"b":2}]},"NodeNames":null}"#
        );
        let pod = PodRef {
            namespace: "shop".into(),
            name: "web-0".into(),
            uid: "u-1".into(),
        };
        assert_eq!(
            text(vec![binding(&pod, "n1")]),
            r#"{"PodName":"web-0","PodNamespace":"shop","PodUID":"u-1","Node":"n1"}"#
        );
    }

    #[test]
    fn answers_are_read_whatever_the_case_of_their_keys() {
        for body in [
            r#"{"Nodes":null,"NodeNames":["n1"],"FailedNodes":{"n2":"full"},"Error":""}"#,
            r#"{"nodenames":["n1"],"failedNodes":{"n2":null},"failedAndUnresolvableNodes":null} and more"#,
        ] {
            assert_eq!(filtered_as(body, true), Ok((vec!["n1".into()], 1, 0)), "{body}");
        }
        let whole = r#"{"Nodes":{"items":[{"metadata":{"name":"n1"}}]},"NodeNames":["n2"],
            "FailedAndUnresolvableNodes":{"n3":"never"}}"#;
        assert_eq!(filtered_as(whole, false), Ok((vec!["n1".into()], 0, 1)));
        assert_eq!(filtered_as(whole, true), Ok((vec!["n2".into()], 0, 1)));
        for nothing in ["{}", "null", r#"{"NodeNames":null}"#] {
            assert_eq!(filtered_as(nothing, true), Ok((vec![], 0, 0)), "{nothing}");
        }
        assert_eq!(filtered_as(r#"{"NodeNames":["n1"]}"#, false), Ok((vec![], 0, 0)));
        let scores = prioritized(br#"[{"Host":"n1","Score":3},{"host":"n2"}]"#).unwrap();
        let expected = vec![("n1".into(), 3), ("n2".into(), 0)];
        assert_eq!(scores, ExtenderAnswer::Prioritized { scores: expected });
        assert_eq!(prioritized(b"null"), Ok(ExtenderAnswer::Prioritized { scores: vec![] }));
        assert_eq!(bound(b"{}"), Ok(Binding::Done));
        assert_eq!(bound(br#"{"error":"no"}"#), Ok(Binding::Refused("no".to_owned())));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let wrong = |body: &str, by_name| filtered(body.as_bytes(), by_name).unwrap_err();
        for (body, by_name, said) in [
            ("", true, "the answer is not JSON: "),
            ("<html>", true, "the answer is not JSON: "),
            ("[]", true, "the answer is not an object: "),
            (r#"{"NodeNames":"n1"}"#, true, "NodeNames: invalid type: string"),
            (r#"{"NodeNames":[7]}"#, true, "NodeNames: invalid type: integer"),
            (r#"{"FailedNodes":{"n1":{}}}"#, true, "FailedNodes: invalid type: map"),
            (r#"{"Nodes":[]}"#, false, "Nodes is not an object: "),
            (r#"{"Nodes":{"items":7}}"#, false, "Nodes.items: invalid type"),
            (
                r#"{"Nodes":{"items":[{}]}}"#,
                false,
                "Nodes.items[0].metadata is missing",
            ),
            (
                r#"{"Nodes":{"items":[{"metadata":{}}]}}"#,
                false,
                "Nodes.items[0].metadata.name is missing",
            ),
            (r#"{"NodeNames":["n1"],"Error":"out of tokens"}"#, true, "out of tokens"),
        ] {
            let problem = wrong(body, by_name);
            assert!(problem.starts_with(said), "{body}: {problem}");
        }
        for (body, said) in [
            (&b"{}"[..], "the answer is not a list of scores: "),
            (br#"[7]"#, "[0] is not an object: "),
            (
                br#"[{"Host":"a","Score":1.5}]"#,
                "[0].Score: invalid type: floating point",
            ),
        ] {
            let problem = prioritized(body).unwrap_err();
            assert!(problem.starts_with(said), "{problem}");
        }
        assert!(bound(br#"{"Error":7}"#).unwrap_err().starts_with("Error: invalid type"));
        let long = format!(r#"{{"Error":"{}"}}"#, "ä".repeat(4000));
        assert!(wrong(&long, true).len() <= TEXT_BYTES_MAX);
    }

    #[test]
    fn managed_fields_are_left_out() {
        let stripped = |object: &str| String::from_utf8(without_managed_fields(object.as_bytes()).to_vec()).unwrap();
        assert_eq!(
            stripped(r#"{"spec":{"a":1.50},"metadata":{"name":"n1","managedFields":[{"x":1}],"uid":"u"}}"#),
            r#"{"metadata":{"name":"n1","uid":"u"},"spec":{"a":1.50}}"#
        );
        for kept in [r#"{"metadata":{"name":"n1"}}"#, "{}", "junk"] {
            assert_eq!(stripped(kept), kept);
        }
    }
}
