//! What `muster simulate --from-snapshot` adds with `--until-full`: pods, alone or with the objects of their group. What was
//! read is added to a cluster of one node.

use super::scenario::source_of;
use muster_api::decode_for;
use muster_api::snapshot::{Header, Snapshot, Source as From};
use muster_config::Configuration;
use muster_framework::record::Kind;
use muster_framework::rules::KubeMinor;
use muster_sim::what_if::{Capacity, Play, Unit, World};

/// So often it is added: the first, and one that is told from it by its names.
const TIMES_MAX: u32 = 2;
/// The node that it is added to.
const NODE: &str = r#"{
    "metadata": {"name": "n", "uid": "n", "resourceVersion": "1", "labels": {"kubernetes.io/hostname": "n"}},
    "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "20"}}
}"#;

/// Reads it, and adds it.
pub fn run(bytes: &[u8]) {
    let Some(source) = source_of(bytes) else { return };
    let Ok(unit) = Unit::load(&source, &["muster".into()]) else {
        return;
    };
    let settings = Configuration::default().engine_settings(KubeMinor::V1_37);
    let mut play = Play::new(&World::of(one_node()), &settings);
    play.settle();
    let capacity = Capacity::of(&mut play, &unit, TIMES_MAX, |_| {});
    assert!(capacity.fits <= TIMES_MAX && capacity.pods_each > 0, "{capacity:?}");
    assert_eq!(capacity.limit_reached, capacity.fits == TIMES_MAX, "{capacity:?}");
    serde_json::to_string(&capacity).expect("it can be written");
}

fn one_node() -> Snapshot {
    let node = decode_for(KubeMinor::V1_37, Kind::Node, NODE.as_bytes()).expect("the node can be read");
    Snapshot {
        header: Header {
            taken_at: jiff::Timestamp::UNIX_EPOCH,
            version: "0".to_owned(),
            kubernetes: KubeMinor::V1_37,
            source: From::Api,
            configuration: None,
            not_served: Vec::new(),
        },
        objects: vec![node],
        queue: Vec::new(),
        reservations: Vec::new(),
        broken: Vec::new(),
    }
}
