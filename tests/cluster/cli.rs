//! The command line against a real API server: `kubectl muster get gangs` and `version`, and what users read when the way to
//! the server is wrong.

use muster_tests::endpoints::Caller;
use muster_tests::objects::pod;
use muster_tests::proxy::{Proxy, kubeconfig_through};
use muster_tests::terminal::OnTerminal;
use muster_tests::{Cluster, Muster, PATIENCE, free_port, gang, tokens};
use muster_xtask::binaries::{self, Program};
use muster_xtask::{KubeMinor, workspace_root};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

/// `kubectl muster` with these words, as an administrator.
fn kubectl_muster(cluster: &Cluster, words: &[&str]) -> Output {
    command(cluster, words).output().unwrap()
}

fn command(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = Command::new(muster_tests::binary().unwrap());
    command.arg("kubectl").args(words);
    command
        .env("KUBECONFIG", cluster.plane().kubeconfig())
        .env_remove("NO_COLOR");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What it printed, if it ended well.
fn printed(cluster: &Cluster, words: &[&str]) -> String {
    let output = kubectl_muster(cluster, words);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Exit code, and the only line on the standard error.
fn failed(output: &Output) -> (Option<i32>, String) {
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "one sentence, and no panic: {said}");
    (output.status.code(), said.trim_end().to_owned())
}

#[test]
fn gangs_are_listed_and_watched() {
    let cluster = Cluster::new("cli-gangs");
    cluster.create_nodes(0, 2, "1").unwrap();
    let _muster = cluster.start_muster(&[]).unwrap();
    cluster.create_group("train", &gang(3)).unwrap();
    cluster.create_pods(&cluster.members("train", 3, "1")).unwrap();
    cluster
        .wait_condition("w0", |message| message.contains("nodes are available"))
        .unwrap();
    let (name, dialect) = match cluster.kube() {
        KubeMinor::V1_35 => ("train/workers", "Workload"),
        KubeMinor::V1_36 => ("train", "PodGroup/v1alpha2"),
        KubeMinor::V1_37 => ("train", "PodGroup/v1beta1"),
    };

    let namespace = ["-n", cluster.name()];
    let table = printed(&cluster, &[&["get", "gangs"], &namespace[..]].concat());
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows[0],
        ["NAME", "DIALECT", "MIN", "MEMBERS", "BOUND", "STATUS", "REASON", "AGE"]
    );
    assert_eq!(rows[1][..6], [name, dialect, "3", "3", "0", "Waiting"], "{table}");
    assert!(!rows[1][6].is_empty() && !table.contains('\x1b'), "{table}");
    let everywhere = printed(&cluster, &["get", "gangs", "-A", "--no-headers", "-o", "wide"]);
    assert!(
        everywhere.starts_with(cluster.name()) && everywhere.contains("Insufficient cpu"),
        "{everywhere}"
    );

    // The watch shows how the room comes.
    let mut watching = command(
        &cluster,
        &[&["get", "gangs", "train", "-w", "-o", "json"], &namespace[..]].concat(),
    );
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let (sender, scheduled) = mpsc::channel();
    std::thread::spawn(move || {
        let found = lines
            .map_while(Result::ok)
            .any(|line| line.contains("\"status\": \"Scheduled\""));
        // Whoever waited may have given up.
        let _ = sender.send(found);
    });
    cluster.create_nodes(2, 1, "1").unwrap();
    cluster.wait_bound(3).unwrap();
    let seen = scheduled.recv_timeout(PATIENCE);
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert_eq!(seen, Ok(true));

    let json = printed(
        &cluster,
        &[&["get", "gangs", "train", "-o", "json"], &namespace[..]].concat(),
    );
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&"GangList".into(), &"muster.dev/v1alpha1".into())
    );
    assert_eq!(
        (&list["items"][0]["bound"], &list["items"][0]["status"]),
        (&3.into(), &"Scheduled".into())
    );
    let names = printed(
        &cluster,
        &[&["get", "gang", "-o", "name", "-l", "!absent"], &namespace[..]].concat(),
    );
    assert!(names.ends_with(".scheduling.k8s.io/train\n"), "{names}");

    let nothing = kubectl_muster(&cluster, &[&["get", "gangs", "-l", "no=such"], &namespace[..]].concat());
    let expected = format!("No resources found in {} namespace.", cluster.name());
    assert_eq!(failed(&nothing), (Some(0), expected));
    let missing = kubectl_muster(&cluster, &[&["get", "gangs", "nobody"], &namespace[..]].concat());
    assert_eq!(
        failed(&missing),
        (
            Some(1),
            "Error from server (NotFound): gangs \"nobody\" not found".to_owned()
        )
    );
}

#[test]
fn versions_of_all_that_takes_part() {
    let cluster = Cluster::new("cli-version");
    let text = printed(&cluster, &["version"]);
    let version = cluster.api().get("/version").unwrap()["gitVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(text.contains(&format!("Kubernetes Version: {version}\n")), "{text}");
    assert!(text.starts_with("Client Version: "), "{text}");
    assert!(!printed(&cluster, &["version", "--client"]).contains("Kubernetes"));
}

#[test]
fn a_wrong_way_to_the_server_is_one_sentence() {
    let cluster = Cluster::new("cli-wrong");
    let muster = cluster.kubeconfig();
    let expired = tokens::expired(muster, &cluster.plane().dir().join("pki/service-accounts.key")).unwrap();
    let ask = |kubeconfig: &std::path::Path, words: &[&str]| {
        let flag = format!("--kubeconfig={}", kubeconfig.display());
        failed(&kubectl_muster(
            &cluster,
            &[&["get", "gangs", flag.as_str()], words].concat(),
        ))
    };

    assert_eq!(
        ask(&expired, &[]),
        (
            Some(1),
            "error: You must be logged in to the server (Unauthorized)".to_owned()
        )
    );
    let (code, said) = failed(&kubectl_muster(
        &cluster,
        &["version", "-v=0", "--kubeconfig", expired.to_str().unwrap()],
    ));
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "error: You must be logged in to the server (Unauthorized)")
    );
    assert_eq!(
        ask(muster, &["--context=x"]),
        (Some(2), "error: context \"x\" does not exist".to_owned())
    );

    // The scheduler itself ends, and says why.
    let run = Command::new(muster_tests::binary().unwrap())
        .args(["run", "--secure-port=0", "--kubeconfig=/nowhere/config"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    // Lines of the log come before.
    let said = text(&run.stderr);
    let said = said.lines().last().unwrap_or_default();
    assert!(
        said.starts_with("error: cannot use the kubeconfig /nowhere/config: "),
        "{said}"
    );
}

#[test]
fn a_user_without_permission_is_told_what_is_missing() {
    let cluster = Cluster::new("cli-forbidden");
    let account = json!({"metadata": {"name": "nobody"}});
    let accounts = cluster.path("serviceaccounts");
    cluster.api().post(&accounts, &account).unwrap();
    let nobody = cluster
        .plane()
        .service_account_kubeconfig(cluster.name(), "nobody")
        .unwrap();
    let flag = format!("--kubeconfig={}", nobody.display());
    let (code, said) = failed(&kubectl_muster(
        &cluster,
        &["get", "gangs", "-n", cluster.name(), &flag],
    ));
    assert_eq!(code, Some(1));
    assert!(said.starts_with("Error from server (Forbidden): "), "{said}");
    assert!(
        said.contains("is forbidden: User ") && said.contains("cannot list resource"),
        "{said}"
    );
}

#[test]
fn whoever_acts_as_somebody_else_has_their_rights() {
    let cluster = Cluster::new("cli-as");
    let ask = |flags: &[&str]| kubectl_muster(&cluster, &[&["get", "gangs", "-n", cluster.name()], flags].concat());
    // An administrator may act as anybody.
    assert!(ask(&[]).status.success());
    let (code, said) = failed(&ask(&["--as=nobody-here"]));
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("Error from server (Forbidden): ")
            && said.contains("is forbidden: User \"nobody-here\" cannot list resource"),
        "{said}"
    );
    let master = ask(&[
        "--as=nobody-here",
        "--as-group=system:masters",
        "--as-user-extra=why=test",
    ]);
    assert!(master.status.success(), "{}", text(&master.stderr));
    assert_eq!(
        failed(&ask(&["--as-group=system:masters"])),
        (Some(2), "error: --as-group needs --as".to_owned())
    );
}

#[test]
fn flags_do_without_a_kubeconfig() {
    let cluster = Cluster::new("cli-server");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(cluster.kubeconfig()).unwrap()).unwrap();
    let known = &config["clusters"][0]["cluster"];
    let [server, authority] = ["server", "certificate-authority"].map(|name| known[name].as_str().unwrap());
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    let home = tempfile::tempdir().unwrap();
    let ask = |flags: &[&str]| {
        let mut command = command(&cluster, &["get", "gangs", "-A"]);
        let command = command.args(flags).env_remove("KUBECONFIG").env("HOME", home.path());
        command.output().unwrap()
    };
    let trusted = ["-s", server, "--certificate-authority", authority];
    let known = ask(&[&trusted[..], &["--token", token]].concat());
    assert!(known.status.success(), "{}", text(&known.stderr));
    let insecure = ask(&["-s", server, "--insecure-skip-tls-verify", "--token", token]);
    assert!(insecure.status.success(), "{}", text(&insecure.stderr));

    assert_eq!(
        failed(&ask(&[&trusted[..], &["--token=made-up"]].concat())),
        (
            Some(1),
            "error: You must be logged in to the server (Unauthorized)".to_owned()
        )
    );
    let (code, said) = failed(&ask(&["-s", server, "--token", token]));
    // A system may have no certificates at all.
    assert!(code != Some(0) && said.contains("certificate"), "{said}");
    let (code, said) = failed(&ask(&[
        &trusted[..],
        &["--tls-server-name=elsewhere", "--token", token],
    ]
    .concat()));
    assert!(code == Some(1) && said.contains("certificate"), "{said}");
    let (code, said) = failed(&ask(&["--token", token]));
    assert!(
        code == Some(2) && said.starts_with("error: there is no kubeconfig"),
        "{said}"
    );
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let cluster = Cluster::new("cli-away");
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let url = cluster.plane().server_url();
    let path = cluster.kubeconfig().with_extension("away");
    std::fs::write(&path, text.replace(url, "https://127.0.0.1:1")).unwrap();
    let flag = format!("--kubeconfig={}", path.display());
    assert_eq!(
        failed(&kubectl_muster(&cluster, &["version", &flag])),
        (
            Some(1),
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?".to_owned()
        )
    );
    // TLS is checked: the authority of another cluster is not believed.
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let authority = path.with_extension("crt");
    std::fs::write(&authority, other.cert.pem()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["clusters"][0]["cluster"]["certificate-authority"] = authority.to_str().unwrap().into();
    std::fs::write(&path, config.to_string()).unwrap();
    let (code, said) = failed(&kubectl_muster(&cluster, &["version", &flag]));
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("Unable to connect to the server: ") && said.contains("certificate"),
        "{said}"
    );
}

/// Waits until Muster has logged this so often; gives the first of these lines.
fn logged(cluster: &Cluster, muster: &Muster, words: &[&str], times: usize) -> String {
    let logged = cluster.api().wait_until("Muster has said it", PATIENCE, |_| {
        let log = muster.log();
        let mut lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        let first = lines.next().map(str::to_owned);
        Ok(first.filter(|_| times <= lines.count() + 1))
    });
    logged.unwrap_or_else(|error| panic!("{words:?}: {error:#}"))
}

/// It runs, and has not what it takes to schedule.
fn assert_waits(muster: &Muster) {
    let status = |path: &str| Caller::nobody().get(muster.port(), path).unwrap().0;
    assert_eq!((status("/livez"), status("/readyz")), (200, 500));
}

#[test]
fn a_scheduler_waits_for_a_server_that_is_away_and_goes_on_when_it_comes() {
    let cluster = Cluster::new("cli-later");
    cluster.create_nodes(0, 1, "1").unwrap();
    let port = free_port().unwrap();
    let kubeconfig = kubeconfig_through(port, cluster.kubeconfig()).unwrap();
    let mut muster = cluster.launch_muster_as(&kubeconfig, &["--v=6"]).unwrap();
    let trouble = "cannot ask the API server for its version; trying again";
    let said = logged(&cluster, &muster, &[trouble], 1);
    let address = format!("server=\"127.0.0.1:{port}\"");
    assert!(
        said.starts_with('W') && said.contains(&address) && said.contains("refused"),
        "{said}"
    );
    logged(&cluster, &muster, &["\"Response\"", "path=\"/version\""], 3);
    assert_waits(&muster);
    let log = muster.log();
    assert_eq!(
        log.matches(trouble).count(),
        1,
        "trouble that lasts is said once:\n{log}"
    );

    let _proxy = Proxy::start_on(cluster.plane(), port).unwrap();
    muster.wait_until_ready().unwrap();
    cluster
        .create_pods(&[pod("late", &cluster.scheduler_name(), "1")])
        .unwrap();
    cluster.wait_bound(1).unwrap();
}

#[test]
fn a_scheduler_whose_token_is_refused_says_so_and_follows_nobodys_rules() {
    let cluster = Cluster::new("cli-expired");
    let key = cluster.plane().dir().join("pki/service-accounts.key");
    let expired = tokens::expired(cluster.kubeconfig(), &key).unwrap();
    let muster = cluster.launch_muster_as(&expired, &["--v=6"]).unwrap();
    let trouble = "the API server refuses our credentials; trying again";
    let said = logged(&cluster, &muster, &[trouble], 1);
    let from = format!("credentials=\"the kubeconfig {}\"", expired.display());
    assert!(
        said.starts_with('W') && said.contains(&from) && said.contains("err=\"Unauthorized (401)\""),
        "{said}"
    );
    // The next token may do.
    logged(&cluster, &muster, &["path=\"/version\"", "status=401"], 3);
    assert_waits(&muster);
    let log = muster.log();
    assert_eq!(
        log.matches(trouble).count(),
        1,
        "trouble that lasts is said once:\n{log}"
    );
    assert!(!log.contains("rules="), "{log}");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(&expired).unwrap()).unwrap();
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    assert!(!log.contains(token), "tokens are not logged");
    assert_eq!(muster.terminate().unwrap(), Some(0));
}

#[test]
fn kubectl_completes_what_follows_the_name_of_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let muster = muster_tests::binary().unwrap();
    // By a shell, as docs/cli.md says: this process never has the executable open, and so it is never busy.
    let install = "ln -s \"$1\" kubectl-muster
        \"$1\" completion --kubectl > kubectl_complete-muster
        chmod +x kubectl_complete-muster";
    let mut installing = Command::new("sh");
    installing.args(["-e", "-c", install, "sh"]).arg(&muster);
    let installed = installing.current_dir(folder.path()).output().unwrap();
    assert!(installed.status.success(), "{}", text(&installed.stderr));

    let kubectl = binaries::ensure(Program::Kubectl, KubeMinor::from_environment().unwrap()).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let offered = |program: &Path, before: &[&str], words: &[&str]| {
        let mut command = Command::new(program);
        command.args(before).args(words);
        let output = command
            .env("PATH", &path)
            .env("HOME", folder.path())
            .env_remove("KUBECONFIG")
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    // The last line tells the shell whether names of files will do: 0, or 4 if not.
    for (words, first, last) in [
        (&["ge"][..], "get\t", ":4"),
        (&["get", ""][..], "gangs\t", ":4"),
        (&["get", "gangs", "-o", "j"][..], "json\t", ":4"),
        (&["get", "gangs", "--output=j"][..], "--output=json\t", ":4"),
        (&["get", "gangs", "--kubeconfig", ""][..], ":0", ":0"),
    ] {
        let by_kubectl = offered(&kubectl, &["__complete", "muster"], words);
        assert_eq!(
            by_kubectl,
            offered(&muster, &["kubectl", "__complete"], words),
            "{words:?}"
        );
        assert!(
            by_kubectl.starts_with(first) && by_kubectl.lines().last() == Some(last),
            "{words:?}: {by_kubectl}"
        );
    }
}

/// The flags that a program of Kubernetes lists when it is asked for help: a line for each, indented.
fn flags_of_help(help: &str) -> BTreeSet<&str> {
    let lines = help.lines().filter_map(|line| {
        let line = line.strip_prefix("  ")?.trim_start();
        // As in `-v, --v Level`.
        let long = match line.strip_prefix('-')?.split_once(", ") {
            Some((short, long)) if short.len() == 1 => long,
            _ => line,
        };
        long.strip_prefix("--")?.split([' ', '=', '[']).next()
    });
    lines.filter(|flag| *flag != "help").collect()
}

/// Holds a table of docs/cli.md against the flags that a program lists. A unit test holds it against what ours do.
fn assert_accounted_for(program: Program, words: &[&str], section: &str) {
    let program = binaries::ensure(program, KubeMinor::V1_37).unwrap();
    let help = Command::new(program).args(words).output().unwrap();
    assert!(help.status.success(), "{}", text(&help.stderr));
    let help = text(&help.stdout) + &text(&help.stderr);
    let upstream = flags_of_help(&help);
    assert!(upstream.contains("kubeconfig") && upstream.contains("v"), "{help}");

    let page = std::fs::read_to_string(workspace_root().join("docs/cli.md")).unwrap();
    let (_, table) = page.split_once(&format!("<!-- generated: {section} -->")).unwrap();
    let (table, _) = table
        .split_once(&format!("<!-- end of generated: {section} -->"))
        .unwrap();
    let rows = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `--")?.split_once("` | "));
    let mut ours = BTreeSet::new();
    for (flag, rest) in rows {
        let here = rest.split(" | ").next().unwrap_or_default();
        assert!(["yes", "no effect", "refused"].contains(&here), "--{flag} is {here:?}");
        ours.insert(flag);
    }
    let missing: Vec<_> = upstream.difference(&ours).collect();
    let gone: Vec<_> = ours.difference(&upstream).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "missing: {missing:?}; gone: {gone:?}"
    );
}

#[test]
fn every_flag_of_kube_scheduler_is_accounted_for() {
    assert_accounted_for(Program::KubeScheduler, &["--help"], "flags");
}

#[test]
fn every_flag_of_kubectl_is_accounted_for() {
    assert_accounted_for(Program::Kubectl, &["options"], "flags of kubectl");
}

/// A trace that takes a while: so many pods, twenty of them each second; gives the flags that name its files.
fn long_trace(folder: &Path, n_pods: usize) -> [String; 2] {
    let mut nodes = "sn,cpu_milli,memory_mib,gpu,model\n".to_owned();
    nodes.extend((0..1000).map(|n| format!("n-{n},16000,65536,0,\n")));
    let mut pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time\n".to_owned();
    pods.extend((0..n_pods).map(|n| {
        let comes = n / 20;
        format!("p-{n},1000,1024,0,0,{comes},{}\n", comes + 100)
    }));
    [("nodes", nodes), ("trace", pods)].map(|(flag, rows)| {
        let path = folder.join(format!("{flag}.csv"));
        std::fs::write(&path, rows).unwrap();
        format!("--{flag}={}", path.display())
    })
}

#[test]
fn progress_of_a_trace_is_shown_on_a_terminal_and_nowhere_else() {
    const UNIT: &str = "pods have a node";
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(muster_tests::binary().unwrap());
    command.arg("simulate").env("TERM", "xterm-256color");
    command.args(long_trace(folder.path(), 15_000));
    let mut shown = OnTerminal::start(command, 120, 24).unwrap();
    shown.wait_for("of virtual time", PATIENCE).unwrap();
    shown.wait_for(UNIT, PATIENCE).unwrap();
    shown.wait_for("pods a second", PATIENCE).unwrap();
    shown.wait_for("15000 got a node, 0 wait.", PATIENCE).unwrap();
    assert_eq!(shown.wait_until_ended(PATIENCE).unwrap().code(), Some(0));

    let mut command = Command::new(muster_tests::binary().unwrap());
    command.arg("simulate").env("TERM", "xterm-256color");
    let piped = command.args(long_trace(folder.path(), 200)).output().unwrap();
    let (code, said) = failed(&piped);
    assert!(code == Some(0) && said.ends_with("pods a second"), "{said}");
    for stream in [&said, &text(&piped.stdout)] {
        assert!(!stream.contains(UNIT) && !stream.contains(['\x1b', '\r']), "{stream}");
    }
}
