//! `broker passwd FILE USER`: sets the password of a user in a file.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use mqttkit_broker_core::set_password;

/// Set the password of a user in a file for --password-file; it is asked for, or read from the first line of stdin
#[derive(Debug, Parser)]
#[command(name = "broker passwd")]
pub(crate) struct Passwd {
    /// The file; it is made if there is none
    file: PathBuf,
    /// The user
    user: String,
}

/// Does it, if that is what the command line says.
pub(crate) fn run() -> Option<Result<(), String>> {
    let mut words = std::env::args_os();
    let program = words.next()?;
    (words.next()? == "passwd").then(|| Passwd::parse_from([program].into_iter().chain(words)).run())
}

impl Passwd {
    fn run(&self) -> Result<(), String> {
        let text = match fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("cannot read {}: {error}", self.file.display())),
        };
        let password = ask().map_err(|error| format!("cannot read the password: {error}"))?;
        let text = set_password(&text, &self.user, password.as_bytes()).map_err(|error| error.to_string())?;
        replace(&self.file, &text).map_err(|error| format!("cannot write {}: {error}", self.file.display()))
    }
}

/// The password, which is not shown where there is somebody to see it.
fn ask() -> io::Result<String> {
    let hidden = io::stdin().is_terminal();
    if hidden {
        eprint!("password: ");
        io::stderr().flush()?;
        let _ = Command::new("stty").arg("-echo").status();
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if hidden {
        let _ = Command::new("stty").arg("echo").status();
        eprintln!();
    }
    if read? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Whoever reads the file meanwhile sees the old one or the new one, and others on the machine neither.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if let Ok(known) = fs::metadata(path) {
        fs::set_permissions(&beside, known.permissions())?;
    }
    fs::rename(&beside, path)
}
