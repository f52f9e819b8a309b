//! A pseudo terminal: a program that draws on one, with keys that are pressed and a screen that is read.

use anyhow::{Context as _, Result, bail};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A program on a terminal of its own.
pub struct OnTerminal {
    /// What a person has before them.
    master: File,
    /// What the program has; kept open so that its modes can be asked for after the end.
    terminal: OwnedFd,
    program: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl OnTerminal {
    /// Starts a program on a terminal of so many columns and rows.
    ///
    /// # Errors
    /// There is no terminal to be had, or the program does not start.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Result<OnTerminal> {
        // Not to become the controlling terminal of the tests.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).context("cannot open a pseudo terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let terminal = ioctl_tiocgptpeer(&master, flags)?;
        resize(&terminal, columns, rows)?;
        let program = command
            .stdin(terminal.try_clone()?)
            .stdout(terminal.try_clone()?)
            .stderr(terminal.try_clone()?)
            .spawn()
            .context("the program does not start")?;
        Ok(OnTerminal {
            output: read_all(File::from(master.try_clone()?)),
            master: File::from(master),
            terminal,
            program,
            seen: String::new(),
        })
    }

    /// Types these letters.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    /// The terminal gets another size, and the program is told.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        resize(&self.terminal, columns, rows)
    }

    /// Waits until this has been written since the last thing that was waited for. What stands in several cells may be
    /// written in pieces: a word without blanks is not.
    ///
    /// # Errors
    /// It is not written in time: then with what was.
    pub fn wait_for(&mut self, word: &str, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.seen.find(word) {
                self.seen.drain(..at + word.len());
                return Ok(());
            }
            if begun.elapsed() > patience {
                bail!("{word:?} does not appear; what was written is {:?}", self.seen);
            }
            self.take(Duration::from_millis(100));
        }
    }

    /// Whether what is typed is echoed and comes line by line, as it does where no program has asked for keys.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn is_cooked(&self) -> Result<bool> {
        let modes = tcgetattr(&self.terminal)?.local_modes;
        Ok(modes.contains(LocalModes::ICANON | LocalModes::ECHO))
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn wait_until_ended(&mut self, patience: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.program.try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > patience {
                bail!("it does not end; what was written is {:?}", self.seen);
            }
            self.take(Duration::from_millis(50));
        }
    }

    /// The program's id.
    pub fn pid(&self) -> u32 {
        self.program.id()
    }

    fn take(&mut self, within: Duration) {
        match self.output.recv_timeout(within) {
            Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
            Err(RecvTimeoutError::Timeout) => {}
            // Nothing more will come: do not spin.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(within),
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn resize(terminal: &OwnedFd, columns: u16, rows: u16) -> Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// A terminal that nobody reads would hold up the program.
fn read_all(mut master: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = master.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
