//! Earlier versions of the configuration file, in the folder `backup`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// How many are kept.
const KEPT: usize = 20;

/// Names sort by time.
const NAME: &str = "harperdb-config.%Y-%m-%dT%H-%M-%S.%6fZ.yaml";

/// Keeps the file as it is now in `folder`/backup, and removes the oldest beyond 20. Called with
/// the file's lock held.
pub(super) fn keep(file: &Path, folder: &Path) -> io::Result<()> {
    let backups = folder.join("backup");
    DirBuilder::new().recursive(true).mode(0o700).create(&backups)?;
    let mut names: Vec<_> = fs::read_dir(&backups)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| time_of(name).is_some())
        .collect();
    names.sort();

    // A clock that was set back must not make the newest backup the oldest by name.
    let newest = names.last().and_then(|name| time_of(name));
    let after_newest =
        newest.and_then(|time| time.checked_add(SignedDuration::from_micros(1)).ok());
    let time = after_newest.map_or_else(Timestamp::now, |after| after.max(Timestamp::now()));
    let backup = backups.join(time.strftime(NAME).to_string());
    // The file is about to be replaced and not changed, so that a second name for it is enough.
    if fs::hard_link(file, &backup).is_err() {
        fs::copy(file, &backup)?;
    }
    for name in names.iter().rev().skip(KEPT - 1) {
        fs::remove_file(backups.join(name))?;
    }
    Ok(())
}

fn time_of(name: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime(NAME, name).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
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
        let future = "harperdb-config.2999-01-01T00-00-00.000000Z.yaml";
        fs::write(backups.join(future), "old").unwrap();
        fs::write(backups.join("notes.txt"), "not ours").unwrap();
        for i in 0..30 {
            // As a write does: a new file in place of the old one.
            fs::write(folder.path().join("new"), i.to_string()).unwrap();
            fs::rename(folder.path().join("new"), &file).unwrap();
            keep(&file, folder.path()).unwrap();
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
