//! The file, and its rotation by size.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use rustix::fs::OFlags;
use serde_json::{Value, json};

use super::queue::Queue;

/// `audit.log` in its folder.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    max_size: u64,
    max_files: u32,
    /// One line at a time, and none while files are renamed.
    writing: Mutex<()>,
    /// How many lines could not be written since the last one that was.
    missing: AtomicU64,
    /// How many could not be written at all.
    pub(super) lost: Counter,
    pub(super) queue: Queue,
}

impl AuditFile {
    pub(super) fn open(folder: &Path, max_size: u64, max_files: u32) -> io::Result<Self> {
        let path = folder.join("audit.log");
        let (writing, missing, lost, queue) = Default::default();
        let file = Self { path, max_size, max_files, writing, missing, lost, queue };
        file.open_file()?;
        Ok(file)
    }

    /// Writes one line; and before it, how many were lost.
    pub(super) fn append(&self, line: &Value) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let told = self.lost_lines();
        self.write(told.iter().chain([line])).inspect_err(|_| {
            self.missing.fetch_add(1, Relaxed);
            self.lost.inc();
        })
    }

    /// Whether the last line was written, or one can be now that says how many were not.
    pub(super) fn is_written(&self) -> bool {
        if self.missing.load(Relaxed) == 0 {
            return true;
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.lost_lines().is_none_or(|told| self.write([&told]).is_ok())
    }

    /// A line on the lines that could not be written, if there are any.
    fn lost_lines(&self) -> Option<Value> {
        let lines = Some(self.missing.load(Relaxed)).filter(|missing| *missing > 0)?;
        Some(json!({ "time": super::now(), "result": "lost", "lines": lines }))
    }

    /// Writes all of these or none.
    fn write<'v>(&self, lines: impl IntoIterator<Item = &'v Value>) -> io::Result<()> {
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
            // A write that a crash has cut off.
            text.push('\n');
        }
        for line in lines {
            line.to_string().chars().for_each(|c| push_harmless(&mut text, c));
            text.push('\n');
        }
        add(&file, &file, size, text.as_bytes())?;
        self.missing.store(0, Relaxed);
        Ok(())
    }

    fn open_file(&self) -> io::Result<File> {
        // A link would have a file written elsewhere; a pipe would make the open wait.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut open = OpenOptions::new();
        open.read(true).append(true).create(true).mode(0o600).custom_flags(flags.bits() as i32);
        match open.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = self.path.parent().unwrap_or(Path::new("."));
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                open.open(&self.path)
            }
            opened => opened,
        }
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

/// Adds to a file of this size by `writer`. A full disk takes a part: that is cut off again. Should
/// it not go, the next line begins a new one.
fn add(file: &File, mut writer: impl Write, size: u64, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).inspect_err(|_| {
        let _ = file.set_len(size);
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that has room for this many bytes.
    struct Full<'f>(&'f File, usize);

    impl Write for Full<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let fits = self.1.min(bytes.len());
            self.1 -= fits;
            self.0.write(&bytes[..fits])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn half_a_line_is_cut_off() {
        let root = tempfile::tempdir().unwrap();
        let log = AuditFile::open(root.path(), 1 << 20, 2).unwrap();
        log.append(&json!({ "n": 1 })).unwrap();
        let file = log.open_file().unwrap();
        let size = file.metadata().unwrap().len();
        add(&file, Full(&file, 5), size, b"{\"n\":2}\n").unwrap_err();
        log.append(&json!({ "n": 3 })).unwrap();
        let text = fs::read_to_string(root.path().join("audit.log")).unwrap();
        assert_eq!(text, "{\"n\":1}\n{\"n\":3}\n");
    }
}
