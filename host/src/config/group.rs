//! Writers of one process are written together: while one version of the file is on its way to the
//! disk, the changes of others gather, each on top of the one before, and the next version holds
//! them all. One `fsync` then serves many writers.
//!
//! A writer compares with the newest pending version, so it loses at once or not at all; and it is
//! told that its change is made when the version that holds it is durable. A version that could not
//! be written never was: all who are in it are told why, and all who built on it that their ground
//! is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::FileError;
use super::contents::Contents;
use crate::capabilities::ConfigError;

/// The versions of a file that are not durable yet.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// It is being written.
    current: Option<Group>,
    /// It gathers changes meanwhile.
    next: Option<Group>,
    is_led: bool,
}

/// Changes that become one version of the file.
#[derive(Debug)]
struct Group {
    /// What the file must have until then.
    before: Arc<Contents>,
    /// What it will have: the newest change on top of all others.
    after: Arc<Contents>,
    /// Until when the first of its writers is ready to wait for others.
    deadline: Instant,
    end: watch::Sender<Option<Result<(), ConfigError>>>,
}

/// How a pending version ends.
#[derive(Debug, Clone)]
pub(super) struct End(watch::Receiver<Option<Result<(), ConfigError>>>);

impl End {
    /// Waits until the version is durable, or until it is known why it never will be.
    pub(super) async fn wait(mut self) -> Result<(), ConfigError> {
        match self.0.wait_for(Option::is_some).await.map(|end| end.clone()) {
            Ok(Some(end)) => end,
            _ => Err(super::file::not_handled()),
        }
    }
}

impl Groups {
    /// The newest pending version, unless all is durable.
    pub(super) fn newest(&self) -> Option<(Arc<Contents>, End)> {
        let state = self.state();
        let newest = state.next.as_ref().or(state.current.as_ref())?;
        Some((newest.after.clone(), End(newest.end.subscribe())))
    }

    /// Adds a change that makes `after` of `before`: of the newest pending version, with its end, or
    /// else of what the file has. One change at a time. Who gets a [`Leader`] writes.
    pub(super) fn join(
        &self,
        (before, end): (Arc<Contents>, Option<End>),
        after: Arc<Contents>,
        deadline: Instant,
    ) -> Result<(End, Option<Leader<'_>>), FileError> {
        let mut state = self.state();
        let state = &mut *state;
        // It failed while the change was being made. What nobody else will ever see must not be
        // built on: those who were told so would find their changes in it.
        if end.is_some_and(|end| matches!(*end.0.borrow(), Some(Err(_)))) {
            return Err(FileError::Conflict);
        }
        let group = state.next.get_or_insert_with(|| Group {
            before,
            after: after.clone(),
            deadline,
            end: watch::Sender::new(None),
        });
        group.after = after;
        let end = End(group.end.subscribe());
        let leads = !std::mem::replace(&mut state.is_led, true);
        Ok((end, leads.then(|| Leader { groups: self, is_done: false })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one who writes, until nothing is pending.
#[must_use]
pub(super) struct Leader<'a> {
    groups: &'a Groups,
    is_done: bool,
}

impl Leader<'_> {
    /// Writes group after group: `write` replaces the first text by the second, durably.
    pub(super) fn lead(
        mut self,
        mut write: impl FnMut(&Contents, &Arc<Contents>, Instant) -> Result<(), ConfigError>,
    ) {
        while let Some((before, after, deadline)) = self.begin() {
            // Changes that undo each other make no version.
            let written = match before.text() == after.text() {
                true => Ok(()),
                false => write(&before, &after, deadline),
            };
            self.end(written);
        }
    }

    fn begin(&mut self) -> Option<(Arc<Contents>, Arc<Contents>, Instant)> {
        let mut state = self.groups.state();
        state.current = state.next.take();
        state.is_led = state.current.is_some();
        self.is_done = !state.is_led;
        let group = state.current.as_ref()?;
        Some((group.before.clone(), group.after.clone(), group.deadline))
    }

    fn end(&self, written: Result<(), ConfigError>) {
        let mut state = self.groups.state();
        if written.is_err()
            && let Some(next) = state.next.take()
        {
            next.end.send_replace(Some(Err(ConfigError::Conflict)));
        }
        if let Some(current) = state.current.take() {
            current.end.send_replace(Some(written));
        }
    }
}

impl Drop for Leader<'_> {
    /// After a panic nobody may wait for good: those who do find that their group is gone.
    fn drop(&mut self) {
        if !self.is_done {
            *self.groups.state() = State::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn version(text: &str) -> Arc<Contents> {
        Arc::new(Contents::parse("test", text.into()).unwrap())
    }

    fn join<'a>(groups: &'a Groups, text: &str) -> (End, Option<Leader<'a>>) {
        let (before, end) = match groups.newest() {
            Some((before, end)) => (before, Some(end)),
            None => (version("on disk"), None),
        };
        groups.join((before, end), version(text), Instant::now()).unwrap()
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_are_the_next_version() {
        let groups = Groups::default();
        let (first, leader) = join(&groups, "one");
        let mut ends = Vec::new();
        let mut written = Vec::new();
        leader.unwrap().lead(|before, after, _| {
            if written.is_empty() {
                for text in ["two", "three"] {
                    let (end, leader) = join(&groups, text);
                    assert!(leader.is_none(), "one leads");
                    ends.push(end);
                }
            }
            written.push([before.text().to_owned(), after.text().to_owned()]);
            Ok(())
        });
        assert_eq!(written, [["on disk", "one"], ["one", "three"]]);
        for end in ends.into_iter().chain([first]) {
            assert_eq!(end.wait().await, Ok(()));
        }
        assert!(groups.newest().is_none());
        assert!(join(&groups, "four").1.is_some(), "the next one leads again");
    }

    #[tokio::test]
    async fn who_built_on_what_failed_is_told_of_a_conflict() {
        let groups = Groups::default();
        let (first, leader) = join(&groups, "one");
        let full = || ConfigError::Unavailable("the disk is full".into());
        let mut writes = 0;
        let mut built = None;
        let mut late = None;
        leader.unwrap().lead(|_, _, _| {
            writes += 1;
            built = Some(join(&groups, "two").0);
            late = groups.newest();
            Err(full())
        });
        assert_eq!(writes, 1);
        assert_eq!(first.wait().await, Err(full()));
        assert_eq!(built.unwrap().wait().await, Err(ConfigError::Conflict));
        // One whose change was not made yet when it failed: nobody may see it.
        let (before, end) = late.unwrap();
        let joined = groups.join((before, Some(end)), version("three"), Instant::now());
        assert!(matches!(joined, Err(FileError::Conflict)));
        assert!(groups.newest().is_none());
    }

    #[tokio::test]
    async fn changes_that_undo_each_other_are_not_written() {
        let groups = Groups::default();
        let (one, leader) = join(&groups, "one");
        let (other, _) = join(&groups, "on disk");
        leader.unwrap().lead(|_, _, _| panic!("there is nothing to write"));
        assert_eq!((one.wait().await, other.wait().await), (Ok(()), Ok(())));
    }

    #[tokio::test]
    async fn after_a_panic_nobody_waits_for_good() {
        let groups = Groups::default();
        let (first, leader) = join(&groups, "one");
        let mut next = None;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            leader.unwrap().lead(|_, _, _| {
                next = Some(join(&groups, "two").0);
                panic!("as asked")
            });
        }));
        assert!(panicked.is_err());
        assert!(matches!(first.wait().await, Err(ConfigError::Other(_))));
        assert!(matches!(next.unwrap().wait().await, Err(ConfigError::Other(_))));
        assert!(join(&groups, "three").1.is_some());
    }
}
