//! Earlier versions of the configuration file, in the folder `backup`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How many are kept.
const KEPT: usize = 20;

/// Names sort by time.
const NAME: &str = "harperdb-config.%Y-%m-%dT%H-%M-%S.%6fZ.yaml";

/// The folder. It is used with the file's lock held.
pub(super) struct Backups(PathBuf);

impl Backups {
    /// The folder `backup` in a node's folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.join("backup"))
    }

    /// Keeps the file as it is now, and returns where.
    pub(super) fn keep(&self, file: &Path) -> io::Result<PathBuf> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        // A clock that was set back must not make the newest backup the oldest by name.
        let newest = self.names()?.last().and_then(|name| time_of(name));
        let after_newest =
            newest.and_then(|time| time.checked_add(SignedDuration::from_micros(1)).ok());
        let now = Timestamp::now();
        let time = after_newest.map_or(now, |after| after.max(now));
        let backup = self.0.join(time.strftime(NAME).to_string());
        // The file is about to be replaced and not changed, so that a second name for it is enough.
        if fs::hard_link(file, &backup).is_err() {
            // On another disk. Who is killed meanwhile leaves no backup that is half of one.
            let unfinished = self.0.join("unfinished");
            fs::copy(file, &unfinished)?;
            fs::rename(unfinished, &backup)?;
        }
        Ok(backup)
    }

    /// Removes all but the newest 20.
    pub(super) fn remove_oldest(&self) -> io::Result<()> {
        for name in self.names()?.iter().rev().skip(KEPT) {
            fs::remove_file(self.0.join(name))?;
        }
        Ok(())
    }

    /// The names of the backups, the oldest first.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<_> = fs::read_dir(&self.0)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| time_of(name).is_some())
            .collect();
        names.sort();
        Ok(names)
    }
}

fn time_of(name: &str) -> Option<Timestamp> {
    DateTime::strptime(NAME, name).ok()?.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_twenty_are_kept_whatever_the_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("harperdb-config.yaml");
        let backups = folder.path().join("backup");
        fs::create_dir(&backups).unwrap();
        let ours = Backups::in_folder(folder.path());
        let future = "harperdb-config.2999-01-01T00-00-00.000000Z.yaml";
        fs::write(backups.join(future), "old").unwrap();
        fs::write(backups.join("notes.txt"), "not ours").unwrap();
        for i in 0..30 {
            // As a write does: a new file in place of the old one.
            fs::write(folder.path().join("new"), i.to_string()).unwrap();
            fs::rename(folder.path().join("new"), &file).unwrap();
            ours.keep(&file).unwrap();
            ours.remove_oldest().unwrap();
        }
        let mut names: Vec<_> =
            fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.pop().unwrap(), "notes.txt");
        let texts: Vec<_> =
            names.iter().map(|name| fs::read_to_string(backups.join(name)).unwrap()).collect();
        let newest: Vec<_> = (10..30).map(|i| i.to_string()).collect();
        assert_eq!(texts, newest);
    }
}
