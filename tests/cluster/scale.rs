//! Many pods on many nodes.

use std::collections::BTreeMap;

use muster_tests::Cluster;
use muster_tests::objects::pod;

#[test]
fn two_thousand_plain_pods_on_a_thousand_nodes_are_all_bound() {
    let cluster = Cluster::new("scale");
    cluster.create_nodes(0, 1000, "4").unwrap();
    let muster = cluster.start_muster(&[]).unwrap();
    let pods: Vec<_> = (0..2000)
        .map(|n| pod(&format!("p{n}"), &cluster.scheduler_name(), "1"))
        .collect();
    cluster.create_pods(&pods).unwrap();
    let bound = cluster.wait_bound(2000).unwrap();
    let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
    bound.values().for_each(|node| *by_node.entry(node).or_default() += 1);
    assert_eq!(
        by_node.len(),
        1000,
        "the least allocated node is preferred, so all have their share"
    );
    assert!(by_node.values().all(|n| *n == 2));
    assert_eq!(muster.rescued_by_flush().unwrap(), 0.0);
}
