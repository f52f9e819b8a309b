//! A program that answers cases: it reads them from its standard input and writes an answer a line.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::case::{Answer, Case};

/// How long a program may think about a case. Nobody waits that long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of the standard error is kept, to say how a program ended.
const KEPT_OF_STDERR: usize = 4000;
/// How long after a program's end its last words are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program that is started when the first case comes, and again after it has ended on a case.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<String>,
    running: Option<Running>,
}

/// The threads that talk to a process end with it.
#[derive(Debug)]
struct Running {
    child: Child,
    questions: Sender<String>,
    answers: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    /// Disconnected when the standard error has ended.
    fallen_silent: Receiver<()>,
}

impl Program {
    /// The program at that path, with those arguments.
    pub fn new(path: &Path, args: &[&str]) -> Program {
        Program {
            path: path.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            running: None,
        }
    }

    /// Asks all cases and gives the answers in their order. A case on which the program ends or hangs has a failure for
    /// an answer; the others have theirs.
    pub fn ask_all(&mut self, cases: &[Case]) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(cases.len());
        while answers.len() < cases.len() {
            let rest = &cases[answers.len()..];
            if let Err(message) = self.ask_while_it_answers(rest, &mut answers)? {
                answers.push(Answer::failure(&message));
            }
        }
        Ok(answers)
    }

    /// Asks one case.
    pub fn ask(&mut self, case: &Case) -> Result<Answer> {
        let answers = self.ask_all(std::slice::from_ref(case))?;
        answers.into_iter().next().context("no answer to a single case")
    }

    /// The inner error tells why the case after the last answer has none.
    fn ask_while_it_answers(&mut self, cases: &[Case], answers: &mut Vec<Answer>) -> Result<Result<(), String>> {
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start(&self.path, &self.args)?),
        };
        for case in cases {
            // An error says that the process has ended: then its answers end too.
            let _ = running.questions.send(case.to_json().to_string());
        }
        for case in cases {
            match running.answers.recv_timeout(PATIENCE) {
                Ok(line) => answers.push(read_answer(&line, case).with_context(|| self.path.display().to_string())?),
                Err(why) => {
                    let message = running.end(why);
                    self.running = None;
                    return Ok(Err(message));
                }
            }
        }
        Ok(Ok(()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.end(RecvTimeoutError::Disconnected);
        }
    }
}

impl Running {
    fn start(path: &Path, args: &[String]) -> Result<Running> {
        let mut child = Command::new(path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", path.display()))?;
        let no_pipe = || anyhow!("a stream of {} is not piped", path.display());
        let mut stdin = child.stdin.take().ok_or_else(no_pipe)?;
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let stderr_pipe = child.stderr.take().ok_or_else(no_pipe)?;
        let (questions, to_ask) = mpsc::channel::<String>();
        let (answered, answers) = mpsc::channel();
        // Writing and reading apart: a program that answers while it is asked would otherwise block with full pipes.
        thread::spawn(move || {
            for line in to_ask {
                if writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_err() {
                    break;
                }
            }
        });
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if answered.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&stderr);
        let (speaks, fallen_silent) = mpsc::channel();
        thread::spawn(move || {
            keep_start(stderr_pipe, &kept);
            drop(speaks);
        });
        Ok(Running {
            child,
            questions,
            answers,
            stderr,
            fallen_silent,
        })
    }

    /// Ends the process and says how it went.
    fn end(&mut self, why: RecvTimeoutError) -> String {
        let hung = why == RecvTimeoutError::Timeout;
        if hung {
            // Nothing to be done if it has just ended by itself.
            let _ = self.child.kill();
        } else {
            // Without a sender the writing thread ends, and with its pipe the program.
            self.questions = mpsc::channel().0;
        }
        let status = self.child.wait();
        // What it said last may still be in the pipe; somebody whom it started may keep that open for ever.
        let _ = self.fallen_silent.recv_timeout(LAST_WORDS);
        let said = self.stderr.lock().map(|text| text.clone()).unwrap_or_default();
        match status {
            _ if hung => format!("no answer within {} s", PATIENCE.as_secs()),
            Ok(status) => format!("the program ended ({status}): {}", said.trim()),
            Err(error) => format!("the program cannot be waited for: {error}"),
        }
    }
}

fn keep_start(mut pipe: impl Read, kept: &Mutex<String>) {
    let mut buffer = [0; 1024];
    while let Ok(count) = pipe.read(&mut buffer) {
        if count == 0 {
            break;
        }
        if let Ok(mut kept) = kept.lock()
            && kept.len() < KEPT_OF_STDERR
        {
            kept.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
}

fn read_answer(line: &str, case: &Case) -> Result<Answer> {
    let answer: Value = serde_json::from_str(line).with_context(|| format!("reading the answer {line:?}"))?;
    if answer["id"] != case.id.as_str() {
        bail!("the case {} was answered with {line}", case.id);
    }
    Ok(Answer::new(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case(id: &str) -> Case {
        Case {
            id: id.to_owned(),
            objects: vec![],
            pod: json!({}),
            config: None,
        }
    }

    fn shell(script: &str) -> Program {
        Program::new(Path::new("sh"), &["-c", script])
    }

    #[test]
    fn answers_come_in_the_order_of_the_cases() {
        let mut echo = shell("cat");
        let cases: Vec<Case> = (0..2000).map(|number| case(&number.to_string())).collect();
        assert_eq!(echo.ask_all(&cases).unwrap().len(), 2000);
        assert_eq!(echo.ask(&case("one more")).unwrap().error(), None);
    }

    #[test]
    fn the_end_of_the_program_costs_only_the_case_on_which_it_ended() {
        let script = r#"while read -r line; do
            case "$line" in *'"bad"'*) echo "it hurts" >&2; exit 7;; *) echo "$line";; esac
        done"#;
        let answers = shell(script).ask_all(&[case("a"), case("bad"), case("b")]).unwrap();
        let errors: Vec<Option<&str>> = answers.iter().map(Answer::error).collect();
        assert_eq!(errors[0], None);
        assert!(errors[1].is_some_and(|error| error.contains("it hurts")), "{errors:?}");
        assert_eq!(errors[2], None);
    }

    #[test]
    fn an_answer_to_another_case_is_an_error() {
        let mut wrong = shell(r#"while read -r line; do echo '{"id": "other"}'; done"#);
        assert!(wrong.ask(&case("a")).is_err());
        assert!(
            Program::new(Path::new("/no/such/program"), &[])
                .ask(&case("a"))
                .is_err()
        );
    }
}
