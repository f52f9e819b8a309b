//! A directory and the processes that live in it: both are gone when the owner is, whatever the owner dies of.
//!
//! The owner holds a pipe to a *reaper*, a small shell in a process group of its own. When the pipe closes (the owner
//! dropped the nest, panicked, was interrupted or killed) the reaper kills the processes and removes the directory.
//! Each process writes its pid into the nest before it becomes the program it is to be, so that there is no moment in
//! which one runs that the reaper doesn't know; and with it the time of its birth, so that a stranger who got a used pid
//! is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

const REAP: &str = include_str!("../assets/reap.sh");
const REAPER: &str = include_str!("../assets/reaper.sh");
const LAUNCH: &str = include_str!("../assets/launch.sh");

/// The owner's side of a directory with processes in it.
#[derive(Debug)]
pub struct Nest {
    dir: PathBuf,
    /// Gone once the nest was given away or closed.
    reaper: Option<Reaper>,
}

#[derive(Debug)]
struct Reaper {
    shell: Child,
    pipe: ChildStdin,
}

impl Nest {
    /// Makes the directory, which must not be there yet, and starts the reaper that watches over it.
    pub fn create(dir: &Path) -> Result<Nest> {
        if !cfg!(target_os = "linux") {
            bail!("control planes are looked after through /proc, which only Linux has");
        }
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(format!("dir=$1\n{REAP}\n{REAPER}"))
            .arg("muster-reaper")
            .arg(dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting `sh`, which cleans up after us")?;
        let pipe = shell.stdin.take().context("the reaper has no standard input")?;
        let mut word = String::new();
        if let Some(mut stdout) = shell.stdout.take() {
            stdout.read_to_string(&mut word).context("reading from the reaper")?;
        }
        if word.trim() != "ready" {
            shell.wait().context("waiting for the reaper")?;
            bail!(
                "making the directory {}: it is there already, or its parent cannot be written",
                dir.display()
            );
        }
        let reaper = Some(Reaper { shell, pipe });
        Ok(Nest {
            dir: dir.to_owned(),
            reaper,
        })
    }

    /// The directory, which only its owner can read.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a program in the nest.
    pub fn launch(&self, launch: &Launch) -> Result<Process> {
        let name = &launch.name;
        let log_path = self.dir.join("logs").join(format!("{name}.log"));
        let log = open_log(&log_path)?;
        let child = Command::new("sh")
            .arg("-c")
            .arg(LAUNCH)
            .arg("muster-launch")
            .arg(self.dir.join("pids").join(name))
            .arg(&launch.program)
            .args(&launch.args)
            .envs(launch.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(launch.working_dir.as_deref().unwrap_or(&self.dir))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(
                log.try_clone()
                    .with_context(|| format!("sharing {}", log_path.display()))?,
            )
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {name} ({})", launch.program.display()))?;
        Ok(Process {
            name: name.clone(),
            child,
            log_path,
        })
    }

    /// Lets the processes and the directory live on after this process has gone; [`reap`] ends them.
    pub fn give_away(mut self) -> Result<PathBuf> {
        if let Some(mut reaper) = self.reaper.take() {
            reaper
                .pipe
                .write_all(b"keep\n")
                .context("telling the reaper to leave")?;
            reaper.shell.wait().context("waiting for the reaper to leave")?;
        }
        Ok(self.dir.clone())
    }

    /// Kills the processes and removes the directory; does nothing the second time.
    pub fn close(&mut self) {
        if let Some(Reaper { mut shell, pipe }) = self.reaper.take() {
            drop(pipe);
            // It ends by itself, and an error here leaves nothing that could be done.
            let _ = shell.wait();
        }
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        self.close();
    }
}

/// What is to be started in a nest.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The name of the process in the nest: of its log, and of its pid file.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables besides the inherited ones.
    pub environment: Vec<(String, String)>,
    /// Where it starts, if not in the nest's directory.
    pub working_dir: Option<PathBuf>,
}

/// A process in a nest. Dropping it doesn't end it: the nest does.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log_path: PathBuf,
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its standard output and standard error go.
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// Everything it has written until now.
    pub fn log(&self) -> String {
        fs::read(&self.log_path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("asking whether {} runs", self.name))
    }

    /// Fails with the end of the log if the process has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!(
                "{} ended ({status}); the end of its log:\n{}",
                self.name,
                tail(&self.log(), 20)
            );
        }
        Ok(())
    }

    /// Sends a signal by name, such as `TERM` or `INT`.
    pub fn signal(&mut self, signal: &str) -> Result<()> {
        // A process that was waited for may have left its pid to another one.
        if self.ended()?.is_some() {
            bail!("{} has ended: it can get no {signal}", self.name);
        }
        let status = Command::new("sh")
            .args([
                "-c",
                "kill -s \"$1\" \"$2\"",
                "muster-signal",
                signal,
                &self.pid().to_string(),
            ])
            .status()
            .context("running `kill`")?;
        if !status.success() {
            bail!("sending {signal} to {} failed ({status})", self.name);
        }
        Ok(())
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("killing {}", self.name))?;
        self.child
            .wait()
            .with_context(|| format!("waiting for the end of {}", self.name))?;
        Ok(())
    }

    /// Waits for its end, but no longer than that.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if deadline <= Instant::now() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Takes the entry out of the process table when the nest has killed it already. The threads of a large process may
        // end later than the first of them: for these it is worth waiting.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let _ = match fields_from_state(&stat) {
            Some(fields) if fields.starts_with('Z') => self.child.wait().map(Some),
            _ => self.child.try_wait(),
        };
    }
}

/// Kills the processes of a nest that was given away, and removes its directory.
pub fn reap(dir: &Path) -> Result<()> {
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("dir=$1\n{REAP}\nreap"))
        .arg("muster-reap")
        .arg(dir)
        .stdin(Stdio::null())
        .status()
        .context("starting `sh`, which cleans up")?;
    if !status.success() {
        bail!(
            "{} could not be cleaned up: a process in it doesn't end, or a file cannot be removed",
            dir.display()
        );
    }
    Ok(())
}

/// The living processes of a nest: name and pid, by name.
pub fn processes(dir: &Path) -> Vec<(String, u32)> {
    let Ok(entries) = fs::read_dir(dir.join("pids")) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(".pid")?.to_owned();
            let announcement = fs::read_to_string(entry.path()).ok()?;
            let (pid, born) = announcement.trim().split_once(' ')?;
            let pid = pid.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            lives_since(&stat, born).then_some((name, pid))
        })
        .collect();
    found.sort();
    found
}

/// Whether a process, as its `stat` in /proc shows it, lives and was born at that time.
fn lives_since(stat: &str, born: &str) -> bool {
    let Some(fields) = fields_from_state(stat) else {
        return false;
    };
    let mut fields = fields.split(' ');
    let is_alive = fields.next().is_some_and(|state| state != "Z" && state != "X");
    // Counted from the state, the time of birth is the twentieth.
    is_alive && fields.nth(18) == Some(born)
}

/// The fields of a `stat` in /proc from the state on: before it comes the name of the process, in brackets, which may hold
/// anything.
fn fields_from_state(stat: &str) -> Option<&str> {
    stat.rsplit_once(") ").map(|(_, fields)| fields)
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("opening the log {}", path.display()))
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest_in(parent: &tempfile::TempDir) -> Nest {
        Nest::create(&parent.path().join("nest")).unwrap()
    }

    fn sleeper(nest: &Nest) -> Process {
        let launch = Launch {
            name: "sleeper".into(),
            program: "sleep".into(),
            args: vec!["1000".into()],
            ..Launch::default()
        };
        nest.launch(&launch).unwrap()
    }

    fn wait_until_announced(dir: &Path) -> u32 {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some((_, pid)) = processes(dir).first() {
                return *pid;
            }
            assert!(
                Instant::now() < deadline,
                "nothing announced itself in {}",
                dir.display()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_process_is_known_by_its_birth() {
        let stat = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 123456 5000 200 184467")
        };
        for (stat, born, expected) in [
            (stat("etcd", "S"), "123456", true),
            (stat("a) Z (b", "R"), "123456", true),
            (stat("etcd", "S"), "123457", false),
            (stat("etcd", "Z"), "123456", false),
            (String::new(), "123456", false),
        ] {
            assert_eq!(lives_since(&stat, born), expected, "{stat}");
        }
    }

    #[test]
    fn closing_kills_the_processes_and_removes_the_directory() {
        let parent = tempfile::tempdir().unwrap();
        let mut nest = nest_in(&parent);
        let mut process = sleeper(&nest);
        assert_eq!(wait_until_announced(nest.dir()), process.pid());
        nest.close();
        assert!(!nest.dir().exists());
        assert!(process.wait(Duration::from_secs(1)).unwrap().is_some());
    }

    #[test]
    fn a_process_that_was_started_as_the_nest_closed_is_not_left_behind() {
        // Not waiting for the announcement runs through the race between a launcher and the reaper.
        for i in 0..20 {
            let parent = tempfile::tempdir().unwrap();
            let mut nest = nest_in(&parent);
            let mut process = sleeper(&nest);
            std::thread::sleep(Duration::from_micros(i * 200));
            nest.close();
            assert!(process.wait(Duration::from_secs(5)).unwrap().is_some());
        }
    }

    #[test]
    fn a_nest_given_away_lives_until_it_is_reaped() {
        let parent = tempfile::tempdir().unwrap();
        let nest = nest_in(&parent);
        let mut process = sleeper(&nest);
        wait_until_announced(nest.dir());
        let dir = nest.give_away().unwrap();
        assert!(process.ended().unwrap().is_none());
        reap(&dir).unwrap();
        assert!(!dir.exists());
        assert!(process.wait(Duration::from_secs(1)).unwrap().is_some());
    }

    #[test]
    fn a_stranger_with_a_recorded_pid_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let mut nest = nest_in(&parent);
        let mut stranger = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        fs::write(nest.dir().join("pids/recycled.pid"), format!("{} 1\n", stranger.id())).unwrap();
        assert_eq!(processes(nest.dir()), []);
        nest.close();
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger was killed");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_directory_that_is_there_is_refused_and_kept() {
        let parent = tempfile::tempdir().unwrap();
        assert!(Nest::create(parent.path()).is_err());
        assert!(parent.path().exists());
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
    }
}
