//! The file as redb reads and writes it, watched: after a failure redb does nothing more with it,
//! and does not say what it was.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// What the disk has failed at; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    failure: Mutex<Option<Failure>>,
    /// Bytes of a file that a test lets it have.
    #[cfg(test)]
    room: Mutex<Option<u64>>,
}

/// What the system said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub text: String,
    /// There is no room, on the disk or for this user.
    pub is_full: bool,
}

impl Disk {
    /// What has failed first since this was called last.
    pub fn take_failure(&self) -> Option<Failure> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether something has.
    pub fn has_failed(&self) -> bool {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    #[cfg(test)]
    pub fn set_room(&self, bytes: Option<u64>) {
        *self.0.room.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }

    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
            let is_full = matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
            let mut failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| Failure { text: error.to_string(), is_full });
        }
        result
    }

    #[cfg(test)]
    fn check_room(&self, end: u64) -> io::Result<()> {
        let room = *self.0.room.lock().unwrap_or_else(PoisonError::into_inner);
        if room.is_some_and(|room| end > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "a test's may fail")]
    fn check_room(&self, _end: u64) -> io::Result<()> {
        Ok(())
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Watched {
    pub file: FileBackend,
    pub disk: Disk,
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.disk.watch(self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.watch(self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let room = self.disk.check_room(len);
        self.disk.watch(room.and_then(|()| self.file.set_len(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.watch(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let room = self.disk.check_room(offset.saturating_add(data.len() as u64));
        self.disk.watch(room.and_then(|()| self.file.write(offset, data)))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
