//! Questions on the terminal, and secrets from standard input.

use std::io::{self, BufRead, IsTerminal, Read, Write, stderr, stdin};

use anyhow::{Context, Error, Result, bail};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// No password is longer.
const LONGEST: u64 = 64 << 10;

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// How the terminal was set, to be set again when a question for a password is not waited for: it
/// would show nothing of what is typed any more.
pub(super) struct Terminal(Option<Termios>);

impl Terminal {
    /// As it is set now; nothing where there is none.
    pub(super) fn now() -> Self {
        Self(tcgetattr(stdin()).ok())
    }

    /// Sets it again, and ends the line of the question.
    pub(super) fn restore(&self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
            let _ = writeln!(stderr());
        }
    }
}

/// A line from the terminal, trimmed; empty when the terminal is closed.
pub(super) fn ask(question: &str) -> Result<String> {
    write!(stderr(), "{question}")?;
    stderr().flush()?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    if !line.ends_with('\n') {
        writeln!(stderr())?;
    }
    Ok(line.trim().to_owned())
}

/// A password from the terminal, which does not show it.
pub(super) fn ask_password(question: &str) -> Result<Zeroizing<String>> {
    let password = rpassword::prompt_password(question).context("the password cannot be read")?;
    Ok(Zeroizing::new(password))
}

/// Whether a question was ended by a signal.
pub(super) fn was_interrupted(error: &Error) -> bool {
    let is_interruption = |cause: &io::Error| cause.kind() == io::ErrorKind::Interrupted;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(is_interruption)
}

/// A new password, which must be typed alike twice.
pub(super) fn ask_password_twice(question: &str) -> Result<Zeroizing<String>> {
    let password = ask_password(&format!("{question}: "))?;
    if password != ask_password(&format!("{question} again: "))? {
        bail!("the passwords differ");
    }
    Ok(password)
}

/// The first line of standard input; the terminal does not show it.
pub(super) fn password_from_stdin() -> Result<Zeroizing<String>> {
    if stdin().is_terminal() {
        return ask_password("Password: ");
    }
    let mut line = Zeroizing::new(String::new());
    stdin().lock().take(LONGEST).read_line(&mut line).context("the password cannot be read")?;
    let password = line
        .strip_suffix('\n')
        .map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        bail!("there is no password on standard input");
    }
    Ok(Zeroizing::new(password.to_owned()))
}
