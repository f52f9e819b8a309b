//! Pages about clusters do what they say: each of their stories on a control plane of its own.

use muster_tests::book::plan::{Plan, Setting};
use muster_tests::book::{chosen_pages, story};
use muster_tests::turn;
use muster_xtask::KubeMinor;

#[test]
fn pages_about_clusters_do_what_they_say() {
    let _turn = turn();
    let kube = KubeMinor::from_environment().unwrap();
    // Most pages say the same of every minor: once is enough.
    let is_due = |plan: &Plan| {
        let about_a_cluster = matches!(plan.setting, Setting::Cluster(_));
        about_a_cluster && (kube == KubeMinor::default() || plan.tells_minors_apart())
    };
    let mut complaints = Vec::new();
    for page in chosen_pages().unwrap() {
        let plan = Plan::of(&page).unwrap_or_else(|complaints| panic!("{}", complaints.join("\n")));
        if plan.as_ref().is_some_and(is_due) {
            complaints.extend(story::tell(&page, kube));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}
