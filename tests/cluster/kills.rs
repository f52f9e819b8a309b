//! Muster is killed again and again, at any moment, while gangs start.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_tests::{Cluster, gang};

const N_KILLS: u64 = 50;
const N_GANGS: usize = 20;
const N_MEMBERS: usize = 10;
/// There is room for so many gangs and not for one member more.
const N_FIT: usize = 17;
const PER_NODE: usize = 5;
/// The longest life before a kill, in milliseconds. Half are killed so long after they were launched, some of them before
/// they have seen anything; the others so long after they were ready, however long that took on a busy machine.
const LONGEST_LIFE: u64 = 1500;
const LONGEST_LIFE_READY: u64 = 700;
/// Set it to the seed that a failed test has printed.
const SEED_VARIABLE: &str = "MUSTER_TEST_SEED";

/// Numbers that a seed decides (xorshift64).
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        let seed = match std::env::var(SEED_VARIABLE) {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => now(),
        };
        eprintln!("the same moments again, as far as the machine is the same: {SEED_VARIABLE}={seed}");
        Dice(seed.max(1))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The number of bound members of each gang. Fails if a node holds more than it can.
fn bound_by_gang(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut by_gang = BTreeMap::new();
    let mut by_node: BTreeMap<String, usize> = BTreeMap::new();
    for (pod, node) in cluster.bound().unwrap() {
        let (gang, _) = pod.split_once('-').unwrap();
        *by_gang.entry(gang.to_owned()).or_default() += 1;
        *by_node.entry(node).or_default() += 1;
    }
    assert!(by_node.values().all(|n| *n <= PER_NODE), "{by_node:?}");
    by_gang
}

#[test]
fn killed_fifty_times_at_random_every_gang_is_whole_or_waits_whole() {
    let cluster = Cluster::new("kills");
    let mut dice = Dice::new();
    cluster
        .create_nodes(0, N_FIT * N_MEMBERS / PER_NODE, &PER_NODE.to_string())
        .unwrap();
    let mut seen_broken = 0;
    let mut gangs = 0..N_GANGS;
    for kill in 0..N_KILLS {
        // About one gang for every two lives, so that there is something to be killed at until the end.
        if kill % 5 < 2
            && let Some(n) = gangs.next()
        {
            let name = format!("g{n}");
            cluster.create_group(&name, &gang(N_MEMBERS as i32)).unwrap();
            cluster
                .create_pods(&cluster.members_called(&format!("{name}-"), &name, N_MEMBERS, "1"))
                .unwrap();
        }
        // Slow enough that a gang has a middle.
        let slow = ["--kube-api-qps=15", "--kube-api-burst=1"];
        let (muster, longest_life) = if kill % 2 == 0 {
            (cluster.launch_muster(&slow), LONGEST_LIFE)
        } else {
            (cluster.start_muster(&slow), LONGEST_LIFE_READY)
        };
        let muster = muster.unwrap();
        sleep(Duration::from_millis(dice.below(longest_life)));
        muster.kill().unwrap();
        seen_broken += usize::from(bound_by_gang(&cluster).values().any(|n| *n < N_MEMBERS));
    }
    assert_eq!(gangs.next(), None);
    eprintln!("after {seen_broken} of {N_KILLS} kills a gang was bound in part");
    assert!(seen_broken > 0, "no kill was at an interesting moment");

    let _muster = cluster.start_muster(&[]).unwrap();
    cluster.wait_bound(N_FIT * N_MEMBERS).unwrap();
    cluster.stays_bound(N_FIT * N_MEMBERS).unwrap();
    let by_gang = bound_by_gang(&cluster);
    assert_eq!(by_gang.len(), N_FIT, "{by_gang:?}");
    assert!(by_gang.values().all(|n| *n == N_MEMBERS), "{by_gang:?}");
}
