//! Pages about clusters do what they say: each of their stories on a control plane of its own.

use muster_tests::book::plan::{Plan, Setting};
use muster_tests::book::{chosen_pages, story};
use muster_tests::turn;
use muster_xtask::KubeMinor;

#[test]
fn pages_about_clusters_do_what_they_say() {
    let _turn = turn();
    let kube = KubeMinor::from_environment().unwrap();
    let mut complaints = Vec::new();
    for page in chosen_pages().unwrap() {
        let plan = Plan::of(&page).unwrap_or_else(|complaints| panic!("{}", complaints.join("\n")));
        if plan.is_some_and(|plan| matches!(plan.setting, Setting::Cluster(_))) {
            complaints.extend(story::tell(&page, kube));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}
