//! Reads a password for `carrel-hub set-password`: from a pipe its first line, from a terminal twice and unseen.

use std::io::{BufRead as _, IsTerminal as _, Read as _, stdin};

use anyhow::{Context as _, bail};
use carrel_hub::auth::password::MAX_LENGTH;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

pub fn password(user: &str) -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        return line();
    }
    let _unseen = Unseen::begin().context("could not hide what is typed")?;
    eprint!("New password of {user}: ");
    let password = line()?;
    eprint!("\nThe same again: ");
    let again = line()?;
    eprintln!();
    if password != again {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(password)
}

/// One line without its end, and not more than a password can be long.
fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    let mut input = stdin().lock().take(MAX_LENGTH as u64 + 2);
    input
        .read_line(&mut line)
        .context("could not read the password")?;
    if line.contains('\u{3}') {
        bail!("interrupted; nothing was changed");
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// The terminal shows nothing and sends no signals, which would leave it so (getpass(3) does the same).
struct Unseen(Termios);

impl Unseen {
    fn begin() -> nix::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut unseen = before.clone();
        unseen
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(stdin(), SetArg::TCSAFLUSH, &unseen)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}
