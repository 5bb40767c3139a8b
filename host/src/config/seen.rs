//! Whether a file is still what was read of it, asked of its time stamps for as long as they tell.
//!
//! Whoever changes a file changes its ctime, which nobody can set, and who puts another one into its
//! place changes the inode; but the kernel's clock has ticks, and a change in the tick of the one
//! before leaves no trace. So, as git has it, stamps count once they are some seconds older than the
//! reading. What they do not show even then (memory that is mapped and still being written, a server
//! elsewhere with a clock of its own) is seen when the file is read again, soon, in any case.
//!
//! To find a file by its path costs the kernel three times as much as to ask one that is open. That
//! tells of its own replacement too, by its links and its ctime; not of another target of a link, or
//! another folder, for which its path is asked ever again.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How much older than the reading stamps must be. Some file systems count in steps of two seconds.
const MARGIN: Duration = Duration::from_secs(3);
/// How long stamps stand for the bytes. Within it a busy node asks hundreds of times.
const TRUST: Duration = Duration::from_millis(100);
/// How long the open file stands for the one at the path: no program that changes something, and then
/// asks, starts in so short a time.
const PATH: Duration = Duration::from_millis(5);

/// How a file looked from outside when it was read.
#[derive(Debug, Clone)]
pub(super) struct Seen(Arc<Look>);

#[derive(Debug)]
struct Look {
    file: Arc<File>,
    stamps: Stamps,
    at: Instant,
    /// When the path was asked last, in microseconds after that.
    asked: AtomicU64,
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamps {
    device: u64,
    inode: u64,
    links: u64,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    /// `metadata` is of the open file, before it is read; none when its stamps do not tell enough.
    #[cfg(target_os = "linux")]
    pub(super) fn before_reading(file: &Arc<File>, metadata: &Metadata) -> Option<Self> {
        let stamps = Stamps::of(metadata);
        stamps.are_settled(SystemTime::now()).then(|| Self::now(file.clone(), stamps))
    }

    fn now(file: Arc<File>, stamps: Stamps) -> Self {
        Self(Arc::new(Look { file, stamps, at: Instant::now(), asked: AtomicU64::new(0) }))
    }

    /// Whether the file at `path` certainly is the one that was read, and unchanged.
    pub(super) fn is_still_at(&self, path: &Path) -> bool {
        let Look { file, stamps, at, asked } = &*self.0;
        let age = at.elapsed();
        if age >= TRUST {
            return false;
        }
        let is_same = |now: Metadata| Stamps::of(&now) == *stamps;
        if age.saturating_sub(Duration::from_micros(asked.load(Relaxed))) < PATH {
            return file.metadata().is_ok_and(is_same);
        }
        let is_same = fs::metadata(path).is_ok_and(is_same);
        if is_same {
            asked.fetch_max(age.as_micros() as u64, Relaxed);
        }
        is_same
    }
}

impl Stamps {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            links: metadata.nlink(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a change from `now` on will show. A clock that was set back makes stamps of the
    /// future, which say nothing.
    fn are_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).ok();
        let Some(settled) = now.and_then(|now| now.checked_sub(MARGIN)) else { return false };
        let settled = (settled.as_secs() as i64, i64::from(settled.subsec_nanos()));
        self.modified < settled && self.changed < settled
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn stamps_count_once_they_are_old_and_never_from_the_future() {
        let now = SystemTime::now();
        let at = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap();
            (since.as_secs() as i64, i64::from(since.subsec_nanos()))
        };
        let (old, young) = (at(now - 2 * MARGIN), at(now - MARGIN / 2));
        let future = at(now + Duration::from_secs(3600));
        for (modified, changed, expected) in [
            (old, old, true),
            (young, old, false),
            (old, young, false),
            (future, old, false),
            (old, future, false),
            ((-1, 0), (-1, 0), true),
        ] {
            let stamps = Stamps { device: 1, inode: 1, links: 1, size: 1, modified, changed };
            assert_eq!(stamps.are_settled(now), expected, "{modified:?} {changed:?}");
        }
        let stamps = Stamps { device: 1, inode: 1, links: 1, size: 1, modified: old, changed: old };
        assert!(!stamps.are_settled(UNIX_EPOCH), "a clock that was never set");
    }

    /// Also while the path is not asked.
    #[test]
    fn whatever_is_put_into_its_place_is_seen() {
        type Change = fn(&Path, &Path) -> std::io::Result<()>;
        let changes: [(&str, Change); 4] = [
            ("written in place", |path, _| fs::write(path, "longer")),
            ("replaced", |path, other| fs::rename(other, path)),
            ("removed", |path, _| fs::remove_file(path)),
            ("moved away, and another made", |path, other| {
                fs::rename(path, path.with_extension("away"))?;
                fs::copy(other, path).map(drop)
            }),
        ];
        for (how, change) in changes {
            let folder = tempfile::tempdir().unwrap();
            let (path, other) = (folder.path().join("file"), folder.path().join("other"));
            fs::write(&path, "text").unwrap();
            fs::write(&other, "text").unwrap();
            let file = Arc::new(File::open(&path).unwrap());
            let stamps = Stamps::of(&file.metadata().unwrap());
            // A change in the same tick of the kernel's clock need not show.
            let tick = Instant::now() + Duration::from_secs(10);
            let probe = folder.path().join("probe");
            loop {
                fs::write(&probe, "").unwrap();
                if Stamps::of(&fs::metadata(&probe).unwrap()).changed > stamps.changed {
                    break;
                }
                assert!(Instant::now() < tick, "the kernel's clock stands still");
            }
            let seen = Seen::now(file, stamps);
            assert!(seen.is_still_at(&path), "{how}");
            change(&path, &other).unwrap();
            let now = || seen.0.at.elapsed().as_micros() as u64;
            seen.0.asked.store(now(), Relaxed);
            assert!(!seen.is_still_at(Path::new("/dev/null/none")), "{how}");
            seen.0.asked.store(0, Relaxed);
            assert!(!seen.is_still_at(&path), "{how}");
        }
    }
}
