//! The view, drawn on terminals of many sizes, with little and with much on it, and driven by keys.

use super::draw::draw;
use super::text::text;
use super::view::{Trouble, View, Wish};
use super::*;
use crate::overview::document::{
    Bucket, Counters, GroupOf, Histogram, Leader, Lease, List, Metadata, PlaceOf, PodOf, SectionOf,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

fn drawn(view: &mut View, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view)).unwrap();
    terminal
}

/// What a terminal of this size shows, without colours.
fn seen(view: &mut View, width: u16, height: u16) -> String {
    drawn(view, width, height).backend().to_string()
}

fn press(view: &mut View, code: KeyCode) -> Option<Wish> {
    view.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_in(view: &mut View, letters: &str) {
    for letter in letters.chars() {
        assert_eq!(press(view, KeyCode::Char(letter)), None);
    }
}

fn view() -> View {
    View::new("all namespaces".to_owned(), false)
}

fn watching() -> View {
    let mut view = view();
    view.take(answer(1));
    view.take(answer(2));
    view
}

fn group(name: &str, [bound, with_places, min, members]: [u32; 4], stage: &str, waiting: Option<u64>) -> GroupOf {
    GroupOf {
        namespace: "ml".to_owned(),
        name: name.to_owned(),
        min_count: Some(min),
        members,
        with_places,
        bound,
        gated: 0,
        stage: stage.to_owned(),
        attempts: 3,
        waiting_seconds: waiting,
        reason: String::new(),
        cause: String::new(),
    }
}

fn histogram(bounds: &[f64], n: u64) -> Histogram {
    let buckets = bounds.iter().zip(1..).map(|(upper_bound, at)| Bucket {
        upper_bound: *upper_bound,
        count: at * n,
    });
    Histogram {
        buckets: buckets.collect(),
        count: bounds.len() as u64 * n,
        sum_seconds: n as f64,
    }
}

fn sections() -> Vec<SectionOf> {
    let section = |name: &str, pods, gangs| SectionOf {
        name: name.to_owned(),
        pods,
        single_pods: pods - 2 * gangs,
        gangs,
    };
    vec![
        section("active", 3, 1),
        section("backoff", 0, 0),
        section("unschedulable", 12, 4),
        section("gated", 2, 0),
    ]
}

fn groups() -> Vec<GroupOf> {
    vec![
        GroupOf {
            reason: "NoRoom".to_owned(),
            cause: "pod group ml/train/workers waits: 0/3 nodes are available for w3 beside the places of 3 others: \
                    3 Insufficient nvidia.com/gpu. The gang lacks 5 of 8 places"
                .to_owned(),
            ..group("train/workers", [0, 0, 8, 8], "WaitingForRoom", Some(754))
        },
        GroupOf {
            reason: "MembersMissing".to_owned(),
            cause: "pod group ml/late has 3 of 4 members that it needs".to_owned(),
            ..group("late", [0, 0, 4, 3], "WaitingForMembers", Some(61))
        },
        GroupOf {
            reason: "Broken".to_owned(),
            ..group("half", [1, 1, 2, 2], "BackingOff", Some(12))
        },
        group("volumes", [2, 6, 8, 8], "HoldingPlaces", None),
        group("done/workers[0]", [4, 4, 4, 4], "Bound", None),
    ]
}

fn pods() -> Vec<PodOf> {
    vec![
        PodOf {
            namespace: "shop".to_owned(),
            name: "web-7d9c".to_owned(),
            section: "unschedulable".to_owned(),
            priority: 0,
            attempts: 9,
            waiting_seconds: 7300,
            backoff_seconds: 0,
            reason: "Unschedulable".to_owned(),
            cause: "0/3 nodes are available: 3 Insufficient cpu.".to_owned(),
        },
        PodOf {
            namespace: "shop".to_owned(),
            name: "batch-1".to_owned(),
            section: "backoff".to_owned(),
            priority: 1_000_000,
            attempts: 2,
            waiting_seconds: 5,
            backoff_seconds: 2,
            ..PodOf::default()
        },
    ]
}

fn places() -> Vec<PlaceOf> {
    let place = |pod: &str, group: &str, stage: &str, ends| PlaceOf {
        namespace: "ml".to_owned(),
        pod: pod.to_owned(),
        group: group.to_owned(),
        node: "gpu-node-4".to_owned(),
        stage: stage.to_owned(),
        ends_in_seconds: Some(ends),
    };
    vec![place("v-0", "volumes", "Preparing", 540), place("solo", "", "Sent", 59)]
}

/// The answer at this time; one counts on from the other.
fn answer(at: u32) -> Document {
    let n = u64::from(at);
    Document {
        leader: Leader {
            identity: "muster-0_f7c1".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_seconds: 3600.0 + 2.0 * f64::from(at),
            lease: Some(Lease {
                namespace: "muster-system".to_owned(),
                name: "muster".to_owned(),
                margin_seconds: 9.98,
            }),
        },
        nodes: Some(3),
        queue: sections(),
        waiting_groups: [("NoRoom".to_owned(), 1), ("MembersMissing".to_owned(), 1)].into(),
        groups: List {
            items: groups(),
            left_out: 37,
        },
        pods: List {
            items: pods(),
            left_out: 0,
        },
        places: List {
            items: places(),
            left_out: 0,
        },
        counters: Some(Counters {
            attempts: [("scheduled".to_owned(), 20 * n), ("unschedulable".to_owned(), 5 * n)].into(),
            bound: 20 * n,
            bind_failures: n,
            attempt: histogram(&[0.001, 0.002], 25 * n),
            scheduling: histogram(&[0.01, 0.1, 1.0, 10.0], 5 * n),
            gang_wait: Histogram::default(),
            requests: histogram(&[0.005, 0.025, 0.1], 7 * n),
        }),
        ..Document::default()
    }
}

fn explanation() -> Explanation {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Explanation",
        "metadata": {"name": "train/workers", "namespace": "ml"},
        "subject": {"kind": "PodGroup", "name": "train/workers", "namespace": "ml"},
        "schedulerName": "muster", "byLeader": true,
        "stage": {"name": "WaitingForRoom", "endsInSeconds": 214},
        "waitingSeconds": 754, "reason": "NoRoom",
        "cause": "pod group ml/train/workers waits: 0/3 nodes are available for w3 beside the places of 3 others: 3 Insufficient nvidia.com/gpu",
        "group": {"name": "ml/train/workers", "minCount": 8, "members": 8, "withPlaces": 0, "bound": 0, "missing": 0,
                  "gated": [], "unsupported": [], "lost": [], "withoutPlace": ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"]},
        "nodes": {"pod": "w3", "countingOthers": 3, "total": 3, "feasible": 0, "rejected": [
            {"plugin": "NodeResourcesFit", "nodes": 3, "reasons": [{"message": "Insufficient nvidia.com/gpu", "nodes": 3}], "examples": ["gpu-node-4"]}]},
        "nearest": [],
        "remedies": [{"text": "end the pods ml/v-0, ml/v-1 (the gang ml/volumes)", "proved": true, "changes": []}],
        "attempts": [{"secondsAgo": 30, "result": "unschedulable", "message": "0/3 nodes are available"}],
        "notes": []
    }))
    .unwrap()
}

#[test]
fn as_it_usually_looks() {
    let mut view = watching();
    insta::assert_snapshot!("usual", seen(&mut view, 80, 24));
    press(&mut view, KeyCode::Tab);
    insta::assert_snapshot!("usual_pods", seen(&mut view, 80, 24));
    press(&mut view, KeyCode::Tab);
    insta::assert_snapshot!("usual_places", seen(&mut view, 80, 24));
}

#[test]
fn wide_terminals_show_all_panes() {
    insta::assert_snapshot!(seen(&mut watching(), 170, 30));
}

#[test]
fn narrow_terminals_show_what_fits() {
    insta::assert_snapshot!(seen(&mut watching(), 44, 12));
}

#[test]
fn before_the_first_answer() {
    insta::assert_snapshot!(seen(&mut view(), 60, 6));
}

#[test]
fn with_nothing_to_do() {
    let mut view = view();
    view.take(Document {
        queue: sections()
            .into_iter()
            .map(|section| SectionOf {
                pods: 0,
                gangs: 0,
                ..section
            })
            .collect(),
        ..Document::default()
    });
    insta::assert_snapshot!(seen(&mut view, 80, 12));
}

#[test]
fn one_namespace_is_told_no_rates() {
    let mut view = View::new("namespace ml".to_owned(), false);
    view.take(Document {
        metadata: Metadata {
            name: "current".to_owned(),
            namespace: "ml".to_owned(),
        },
        counters: None,
        nodes: None,
        ..answer(1)
    });
    insta::assert_snapshot!(seen(&mut view, 80, 12));
}

#[test]
fn trouble_is_told_over_what_was_seen_last() {
    let mut view = watching();
    let line = "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?";
    view.fail(Trouble {
        line: line.to_owned(),
        again_in: Duration::from_secs(4),
    });
    insta::assert_snapshot!(seen(&mut view, 120, 14));
    view.take(answer(3));
    assert!(!seen(&mut view, 120, 14).contains("refused"), "it is over");
}

#[test]
fn a_filter_while_it_is_typed_and_after() {
    let mut view = watching();
    press(&mut view, KeyCode::Char('/'));
    type_in(&mut view, "LATEx");
    press(&mut view, KeyCode::Backspace);
    insta::assert_snapshot!("filter_typed", seen(&mut view, 80, 12));
    // A letter that is a key otherwise is typed too; Esc clears.
    type_in(&mut view, "q");
    assert_eq!(view.filter, "lateq");
    press(&mut view, KeyCode::Esc);
    assert_eq!((view.filter.as_str(), view.types), ("", false));
    press(&mut view, KeyCode::Char('/'));
    type_in(&mut view, "gpu");
    press(&mut view, KeyCode::Enter);
    // The cause counts, and so does the node.
    insta::assert_snapshot!("filter_kept", seen(&mut view, 80, 12));
    assert_eq!(press(&mut view, KeyCode::Esc), None, "it clears the filter first");
    assert_eq!(press(&mut view, KeyCode::Esc), Some(Wish::Quit));
}

#[test]
fn an_explanation_lies_over_the_panes() {
    let mut view = watching();
    let Some(Wish::Explain(subject)) = press(&mut view, KeyCode::Enter) else {
        panic!("Enter explains");
    };
    assert_eq!(subject.to_string(), "pod group ml/train/workers");
    insta::assert_snapshot!("explanation_asked", seen(&mut view, 80, 12));
    let other = Subject::Pod {
        namespace: "ml".into(),
        name: "x".into(),
    };
    view.explain(&other, Err("of something else".to_owned()));
    assert!(seen(&mut view, 80, 12).contains("asking"), "nobody waits for that");
    view.explain(&subject, Ok(explanation()));
    insta::assert_snapshot!("explanation", seen(&mut view, 80, 24));
    press(&mut view, KeyCode::End);
    insta::assert_snapshot!("explanation_scrolled", seen(&mut view, 80, 12));
    press(&mut view, KeyCode::Char('k'));
    assert_eq!(
        press(&mut view, KeyCode::Char('r')),
        Some(Wish::Explain(subject.clone()))
    );
    view.explain(&subject, Err("Error from server (NotFound): not found".to_owned()));
    assert!(seen(&mut view, 80, 12).contains("(NotFound)"));
    assert_eq!(press(&mut view, KeyCode::Char('q')), None, "it closes");
    assert_eq!(press(&mut view, KeyCode::Char('q')), Some(Wish::Quit));
}

#[test]
fn help_lies_over_the_panes() {
    let mut view = watching();
    press(&mut view, KeyCode::Char('?'));
    insta::assert_snapshot!(seen(&mut view, 80, 24));
    press(&mut view, KeyCode::Char('x'));
    assert!(seen(&mut view, 80, 24).contains("PLACED/MIN/ALL"));
}

/// The first cells of the rows that a pane shows.
fn names(view: &View, pane: rows::Pane) -> Vec<String> {
    let rows = view.rows(pane);
    rows.iter().map(|row| row.cells[0].text.clone()).collect()
}

#[test]
fn columns_are_sorted_by_in_turn() {
    let mut view = watching();
    let as_answered = names(&view, rows::Pane::Groups);
    press(&mut view, KeyCode::Char('s'));
    let by_name = names(&view, rows::Pane::Groups);
    assert!(by_name.is_sorted(), "{by_name:?}");
    press(&mut view, KeyCode::Char('s'));
    assert_eq!(names(&view, rows::Pane::Groups)[0], "ml/volumes", "most have places");
    for _ in 2..=rows::Pane::Groups.columns().len() {
        press(&mut view, KeyCode::Char('s'));
    }
    assert_eq!(names(&view, rows::Pane::Groups), as_answered);
    press(&mut view, KeyCode::BackTab);
    for _ in 0..5 {
        press(&mut view, KeyCode::Char('s'));
    }
    assert_eq!(
        names(&view, rows::Pane::Places),
        ["ml/solo", "ml/v-0"],
        "the nearest deadline"
    );
}

#[test]
fn what_is_selected_stays_selected_wherever_it_goes() {
    let mut view = watching();
    press(&mut view, KeyCode::Down);
    press(&mut view, KeyCode::Char('j'));
    let name = |view: &View| view.selected().map(|row| row.cells[0].text.clone());
    assert_eq!(name(&view).as_deref(), Some("ml/half"));
    let mut turned = answer(3);
    turned.groups.items.reverse();
    view.take(turned.clone());
    assert_eq!(name(&view).as_deref(), Some("ml/half"));
    turned.groups.items.retain(|group| group.name != "half");
    view.take(turned);
    assert_eq!(name(&view).as_deref(), Some("ml/late"), "what stands in its place");
    press(&mut view, KeyCode::PageDown);
    press(&mut view, KeyCode::Char('G'));
    assert_eq!(name(&view).as_deref(), Some("ml/train/workers"));
    view.take(Document::default());
    assert_eq!(name(&view), None);
    assert_eq!(press(&mut view, KeyCode::Enter), None, "there is nothing to explain");
}

#[test]
fn control_c_ends_it_whatever_is_open() {
    for keys in ["", "/", "?"] {
        let mut view = watching();
        type_in(&mut view, keys);
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.key(key), Some(Wish::Quit), "{keys:?}");
    }
}

#[test]
fn colours_only_where_they_are_wanted() {
    let colours = |wanted: bool| {
        let mut view = watching();
        view.colours = wanted;
        view.fail(Trouble {
            line: "no".to_owned(),
            again_in: Duration::ZERO,
        });
        let terminal = drawn(&mut view, 170, 30);
        let cells = terminal.backend().buffer().content().iter();
        cells
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count()
    };
    assert_eq!(colours(false), 0);
    assert!(colours(true) > 100);
}

#[test]
fn one_answer_as_text() {
    insta::assert_snapshot!(text(&answer(2)));
}

#[test]
fn what_a_cause_says_cannot_drive_the_terminal() {
    let mut evil = answer(1);
    evil.groups.items[0].cause = "\x1b[2Jgone\r\n".to_owned();
    assert!(!text(&evil).contains('\x1b'));
    let mut view = view();
    view.take(evil);
    assert!(!seen(&mut view, 80, 24).contains('\x1b'));
}

#[test]
fn intervals_have_a_lower_end() {
    assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
    assert!(interval("10ms").is_err() && interval("soon").is_err());
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/-]{0,60}", ".{0,20}", "[█ü中🦀\u{301}\t\u{1b}]{0,8}"]
}

fn any_group() -> impl Strategy<Value = GroupOf> {
    let numbers = (any::<Option<u32>>(), any::<[u32; 5]>(), any::<Option<u64>>());
    (word(), word(), numbers).prop_map(
        |(name, cause, (min_count, [members, with_places, bound, gated, attempts], wait))| GroupOf {
            namespace: "ns".to_owned(),
            name: name.clone(),
            min_count,
            members,
            with_places,
            bound,
            gated,
            stage: name.clone(),
            attempts,
            waiting_seconds: wait,
            reason: name,
            cause,
        },
    )
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let bucket = (any::<f64>(), any::<u64>()).prop_map(|(upper_bound, count)| Bucket { upper_bound, count });
    let buckets = prop::collection::vec(bucket, 0..4);
    (buckets, any::<u64>(), any::<f64>()).prop_map(|(buckets, count, sum_seconds)| Histogram {
        buckets,
        count,
        sum_seconds,
    })
}

fn any_counters() -> impl Strategy<Value = Counters> {
    let histograms = [(); 4].map(|()| any_histogram());
    (
        prop::collection::btree_map(word(), any::<u64>(), 0..3),
        any::<[u64; 2]>(),
        histograms,
    )
        .prop_map(
            |(attempts, [bound, bind_failures], [attempt, scheduling, gang_wait, requests])| Counters {
                attempts,
                bound,
                bind_failures,
                attempt,
                scheduling,
                gang_wait,
                requests,
            },
        )
}

/// Any answer that can be written down, however little sense it makes.
fn any_answer() -> impl Strategy<Value = Document> {
    let groups = prop::collection::vec(any_group(), 0..30);
    let pods = prop::collection::vec((word(), any::<(i32, u64)>()), 0..5);
    let places = prop::collection::vec((word(), any::<Option<u64>>()), 0..5);
    let counters = prop::option::of(any_counters());
    (groups, pods, places, counters, any::<(usize, f64, Option<usize>)>()).prop_map(
        |(groups, pods, places, counters, (left_out, uptime_seconds, nodes))| {
            let pods = pods.into_iter().map(|(name, (priority, seconds))| PodOf {
                name: name.clone(),
                priority,
                waiting_seconds: seconds,
                backoff_seconds: seconds,
                cause: name,
                ..PodOf::default()
            });
            let places = places.into_iter().map(|(pod, ends_in_seconds)| PlaceOf {
                pod,
                ends_in_seconds,
                ..PlaceOf::default()
            });
            let section = |gangs| SectionOf {
                gangs,
                pods: left_out,
                ..SectionOf::default()
            };
            Document {
                leader: Leader {
                    uptime_seconds,
                    lease: nodes.map(|_| Lease::default()),
                    ..Leader::default()
                },
                nodes,
                queue: [0, 1, left_out].map(section).into(),
                groups: List {
                    items: groups,
                    left_out,
                },
                pods: List {
                    items: pods.collect(),
                    left_out,
                },
                places: List {
                    items: places.collect(),
                    left_out,
                },
                counters,
                ..Document::default()
            }
        },
    )
}

/// What may happen to a view.
#[derive(Debug, Clone)]
enum Happens {
    Key(KeyCode),
    Answer(Box<Document>),
    Explained(bool),
    Fails,
    Size(u16, u16),
}

fn happens() -> impl Strategy<Value = Happens> {
    let keys = [
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Backspace,
        KeyCode::Delete,
        KeyCode::F(1),
    ];
    prop_oneof![
        4 => prop::sample::select(keys.to_vec()).prop_map(Happens::Key),
        4 => "[jkgGqrs?/a-z中]".prop_map(|letter| Happens::Key(KeyCode::Char(letter.chars().next().unwrap()))),
        2 => any_answer().prop_map(|answer| Happens::Answer(Box::new(answer))),
        1 => any::<bool>().prop_map(Happens::Explained),
        1 => Just(Happens::Fails),
        2 => (0..220_u16, 0..60_u16).prop_map(|(width, height)| Happens::Size(width, height)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_size_no_answer_and_no_key_makes_it_panic(steps in prop::collection::vec(happens(), 1..25), colours: bool) {
        let mut view = view();
        view.colours = colours;
        let mut size = (80, 24);
        for step in steps {
            match step {
                Happens::Key(code) => {
                    // It goes on where it would have ended.
                    let _ = press(&mut view, code);
                }
                Happens::Answer(answer) => {
                    prop_assert!(!text(&answer).is_empty());
                    view.take(*answer);
                }
                Happens::Explained(well) => {
                    let subject = match &view.over {
                        view::Over::Explanation { subject, .. } => subject.clone(),
                        _ => continue,
                    };
                    view.explain(&subject, if well { Ok(explanation()) } else { Err("no".to_owned()) });
                }
                Happens::Fails => view.fail(Trouble { line: "中".repeat(90), again_in: Duration::MAX }),
                Happens::Size(width, height) => size = (width, height),
            }
            drawn(&mut view, size.0, size.1);
        }
    }
}
