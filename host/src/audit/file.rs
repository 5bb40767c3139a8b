//! The file, and its rotation by size.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;
use serde_json::Value;

use super::queue::Queue;

/// `audit.log` in its folder.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    max_size: u64,
    max_files: u32,
    /// One line at a time, and none while files are renamed.
    writing: Mutex<()>,
    pub(super) queue: Queue,
}

impl AuditFile {
    pub(super) fn open(folder: &Path, max_size: u64, max_files: u32) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join("audit.log");
        let (writing, queue) = (Mutex::default(), Queue::default());
        let file = Self { path, max_size, max_files, writing, queue };
        file.open_file()?;
        Ok(file)
    }

    /// Writes one line.
    pub(super) fn append(&self, line: &Value) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // Opened each time: the file may have been moved away meanwhile.
        let mut file = self.open_file()?;
        let mut size = file.metadata()?.len();
        if size > 0 && size >= self.max_size {
            self.rotate()?;
            file = self.open_file()?;
            size = 0;
        }
        let mut text = String::new();
        if size > 0 && !ends_a_line(&file, size)? {
            // A write that a full disk or a crash has cut off.
            text.push('\n');
        }
        line.to_string().chars().for_each(|c| push_harmless(&mut text, c));
        text.push('\n');
        file.write_all(text.as_bytes())
    }

    fn open_file(&self) -> io::Result<File> {
        // A link would have a file written elsewhere; a pipe would make the open wait.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut open = OpenOptions::new();
        open.read(true).append(true).create(true).mode(0o600).custom_flags(flags.bits() as i32);
        open.open(&self.path)
    }

    fn rotate(&self) -> io::Result<()> {
        for number in (1..self.max_files).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match self.max_files {
            0 => fs::remove_file(&self.path),
            _ => fs::rename(&self.path, self.numbered(1)),
        }
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(format!(".{number}"));
        path.into()
    }
}

/// What moves a terminal's cursor or turns its text stands escaped, as JSON allows.
fn push_harmless(text: &mut String, c: char) {
    if c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    {
        text.push_str(&format!("\\u{:04x}", u32::from(c)));
    } else {
        text.push(c);
    }
}

fn ends_a_line(file: &File, size: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, size - 1)?;
    Ok(last == *b"\n")
}
