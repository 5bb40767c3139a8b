//! Writers of one process are written together: while one version of the file is on its way to the
//! disk, the changes of others gather, each on top of the one before, and the next version holds
//! them all. One edit of the text and one `fsync` then serve many writers.
//!
//! A writer compares with the newest pending state, so it loses at once or not at all; and it is
//! told that its change is made when the version that holds it is durable. A version that could not
//! be written never was: all who are in it are told why, and all who built on it that their ground
//! is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::FileError;
use super::contents::{Contents, State};
use crate::capabilities::{Change, ConfigError, KeyPath};

/// The states of a file that are not durable yet. Clones share them.
#[derive(Debug, Default, Clone)]
pub(super) struct Groups(Arc<Mutex<Pending>>);

#[derive(Debug, Default)]
struct Pending {
    /// The newest state that is being written.
    current: Option<(Arc<State>, End)>,
    /// It gathers changes meanwhile.
    next: Option<Group>,
    is_led: bool,
}

/// Changes that become one version of the file.
#[derive(Debug)]
pub(super) struct Group {
    /// One change a path, the last one made, in the order in which they were made.
    pub(super) changes: Vec<Change>,
    /// What the file will say, with all of them.
    pub(super) after: Arc<State>,
    /// Until when the first of its writers is ready to wait for others.
    pub(super) deadline: Instant,
    writers: Vec<Writer>,
    end: watch::Sender<Option<Ended>>,
}

#[derive(Debug)]
struct Writer {
    paths: Vec<KeyPath>,
    end: watch::Sender<Option<Ended>>,
}

type Ended = Result<(), ConfigError>;

/// How a pending state ends.
#[derive(Debug, Clone)]
pub(super) struct End(watch::Receiver<Option<Ended>>);

impl End {
    /// Waits until the state is durable, or until it is known why it never will be.
    pub(super) async fn wait(mut self) -> Ended {
        match self.0.wait_for(Option::is_some).await.map(|end| end.clone()) {
            Ok(Some(end)) => end,
            _ => Err(super::file::not_handled()),
        }
    }
}

/// Why a group was not written.
#[derive(Debug)]
pub(super) enum Failed {
    /// These changes cannot be made; nothing was tried with the others.
    Changes(Vec<(KeyPath, ConfigError)>),
    /// None of it could be written.
    Group(ConfigError),
}

impl Groups {
    /// The newest pending state, unless all is durable.
    pub(super) fn newest(&self) -> Option<(Arc<State>, End)> {
        let pending = self.pending();
        match &pending.next {
            Some(next) => Some((next.after.clone(), End(next.end.subscribe()))),
            None => pending.current.clone(),
        }
    }

    /// Adds changes that make `after` of `before`: of the newest pending state, or else of what the
    /// file has. Who gets a [`Leader`] writes.
    ///
    /// # Errors
    /// [`FileError::Conflict`]: something else is the newest state by now.
    pub(super) fn join(
        &self,
        before: &Arc<State>,
        changes: Vec<Change>,
        after: Arc<State>,
        deadline: Instant,
    ) -> Result<(End, Option<Leader>), FileError> {
        let mut pending = self.pending();
        let pending = &mut *pending;
        let newest = match (&pending.next, &pending.current) {
            (Some(next), _) => Some(&next.after),
            (None, current) => current.as_ref().map(|(state, _)| state),
        };
        // Where nothing is pending, the one who writes compares with the file itself.
        if newest.map_or(before.is_pending, |newest| newest.revision != before.revision) {
            return Err(FileError::Conflict);
        }
        let group = pending.next.get_or_insert_with(|| Group {
            changes: Vec::new(),
            after: after.clone(),
            deadline,
            writers: Vec::new(),
            end: watch::Sender::new(None),
        });
        let paths: Vec<_> = changes.iter().map(|change| change.path.clone()).collect();
        group.changes.retain(|change| !paths.contains(&change.path));
        group.changes.extend(changes);
        group.after = after;
        let end = watch::Sender::new(None);
        let told = End(end.subscribe());
        group.writers.push(Writer { paths, end });
        let leads = !std::mem::replace(&mut pending.is_led, true);
        Ok((told, leads.then(|| Leader { groups: self.clone(), is_done: false })))
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one who writes, until nothing is pending.
#[must_use]
#[derive(Debug)]
pub(super) struct Leader {
    groups: Groups,
    is_done: bool,
}

impl Leader {
    /// Writes group after group: `write` puts the changes into a version of the file, durably, and
    /// returns the new one.
    pub(super) fn lead(
        mut self,
        mut before: Arc<Contents>,
        mut write: impl FnMut(&Arc<Contents>, &Group) -> Result<Arc<Contents>, Failed>,
    ) {
        while let Some(group) = self.begin() {
            match write(&before, &group) {
                Ok(after) => {
                    before = after;
                    self.end(group, None);
                }
                Err(failed) => self.end(group, Some(failed)),
            }
        }
    }

    fn begin(&mut self) -> Option<Group> {
        let mut pending = self.groups.pending();
        let group = pending.next.take();
        pending.current =
            group.as_ref().map(|group| (group.after.clone(), End(group.end.subscribe())));
        pending.is_led = group.is_some();
        self.is_done = group.is_none();
        group
    }

    fn end(&self, group: Group, failed: Option<Failed>) {
        let mut pending = self.groups.pending();
        pending.current = None;
        let Some(failed) = failed else {
            group.end(|_| Ok(()), Ok(()));
            return;
        };
        // What nobody else will ever see must not be built on.
        if let Some(next) = pending.next.take() {
            next.end(|_| Err(ConfigError::Conflict), Err(ConfigError::Conflict));
        }
        match failed {
            Failed::Group(error) => group.end(|_| Err(error.clone()), Err(error.clone())),
            // The others may try again without them.
            Failed::Changes(refused) => {
                let why = |paths: &[KeyPath]| {
                    let its_own = refused.iter().find(|(path, _)| paths.contains(path));
                    Err(its_own.map_or(ConfigError::Conflict, |(_, error)| error.clone()))
                };
                group.end(why, Err(ConfigError::Conflict));
            }
        }
    }
}

impl Group {
    /// Whether it has one writer.
    pub(super) fn is_of_one(&self) -> bool {
        self.writers.len() == 1
    }

    fn end(self, writer: impl Fn(&[KeyPath]) -> Ended, all: Ended) {
        for Writer { paths, end } in self.writers {
            end.send_replace(Some(writer(&paths)));
        }
        self.end.send_replace(Some(all));
    }
}

impl Drop for Leader {
    /// After a panic nobody may wait for good: those who do find that their group is gone.
    fn drop(&mut self) {
        if !self.is_done {
            *self.groups.pending() = Pending::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use serde_json::{Value, json};

    use super::*;

    fn on_disk() -> Arc<Contents> {
        Arc::new(Contents::parse("test", b"a: 0\nb: 0\n".to_vec()).unwrap())
    }

    /// Puts a number at a path, on top of the newest state.
    fn join(groups: &Groups, path: &str, value: u32) -> (End, Option<Leader>) {
        let newest = groups.newest().map(|(newest, _)| newest);
        join_on(groups, &newest.unwrap_or_else(|| on_disk().state.clone()), path, value).unwrap()
    }

    fn join_on(
        groups: &Groups,
        before: &Arc<State>,
        path: &str,
        value: u32,
    ) -> Result<(End, Option<Leader>), FileError> {
        let change = Change { path: path.parse().unwrap(), value: json!(value) };
        let changes = vec![change];
        let after = before.with(&changes).unwrap();
        groups.join(before, changes, after, Instant::now())
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_are_the_next_version() {
        let groups = Groups::default();
        let (first, leader) = join(&groups, "a", 1);
        let mut ends = Vec::new();
        let mut versions = Vec::new();
        leader.unwrap().lead(on_disk(), |before, group| {
            if versions.is_empty() {
                for (path, value) in [("a", 2), ("b", 3), ("a", 4)] {
                    let (end, leader) = join(&groups, path, value);
                    assert!(leader.is_none(), "one leads");
                    ends.push(end);
                }
            }
            versions.push([&before.state, &group.after].map(|state| Value::clone(&state.json)));
            let last: Vec<_> = group.changes.iter().map(|change| change.value.clone()).collect();
            assert!(last == [json!(1)] || last == [json!(3), json!(4)], "{last:?}");
            before.with("test", group).map(Arc::new)
        });
        let states = [json!({"a": 0, "b": 0}), json!({"a": 1, "b": 0}), json!({"a": 4, "b": 3})];
        let [zero, one, two] = states;
        assert_eq!(versions, [[zero, one.clone()], [one, two]]);
        for end in ends.into_iter().chain([first]) {
            assert_eq!(end.wait().await, Ok(()));
        }
        assert!(groups.newest().is_none());
        assert!(join(&groups, "a", 4).1.is_some(), "the next one leads again");
    }

    #[tokio::test]
    async fn who_built_on_what_failed_is_told_of_a_conflict() {
        let groups = Groups::default();
        let (first, leader) = join(&groups, "a", 1);
        let full = || ConfigError::Unavailable("the disk is full".into());
        let mut writes = 0;
        let mut built = None;
        let mut late = None;
        leader.unwrap().lead(on_disk(), |_, _| {
            writes += 1;
            built = Some(join(&groups, "a", 2).0);
            late = groups.newest();
            Err(Failed::Group(full()))
        });
        assert_eq!(writes, 1);
        assert_eq!(first.wait().await, Err(full()));
        assert_eq!(built.unwrap().wait().await, Err(ConfigError::Conflict));
        // One whose change was not made yet when it failed: nobody may see it.
        let (before, end) = late.unwrap();
        assert!(matches!(join_on(&groups, &before, "a", 3), Err(FileError::Conflict)));
        assert_eq!(end.wait().await, Err(ConfigError::Conflict));
        assert!(groups.newest().is_none());
    }

    #[tokio::test]
    async fn a_change_that_cannot_be_made_is_its_writers_own() {
        let groups = Groups::default();
        let (wrong, leader) = join(&groups, "a", 1);
        let (right, _) = join(&groups, "b", 2);
        let (_, shown) = groups.newest().unwrap();
        let refusal = || ConfigError::InvalidFile("'a' is an alias".into());
        leader
            .unwrap()
            .lead(on_disk(), |_, _| Err(Failed::Changes(vec![("a".parse().unwrap(), refusal())])));
        assert_eq!(wrong.wait().await, Err(refusal()));
        assert_eq!(right.wait().await, Err(ConfigError::Conflict));
        assert_eq!(shown.wait().await, Err(ConfigError::Conflict));
    }

    #[test]
    fn one_of_two_who_saw_the_same_state_loses() {
        let groups = Groups::default();
        let (_, leader) = join(&groups, "a", 1);
        let (seen, _) = groups.newest().unwrap();
        assert!(join_on(&groups, &seen, "a", 2).is_ok());
        assert!(matches!(join_on(&groups, &seen, "a", 3), Err(FileError::Conflict)));
        drop(leader);
    }

    #[tokio::test]
    async fn after_a_panic_nobody_waits_for_good() {
        let groups = Groups::default();
        let (first, leader) = join(&groups, "a", 1);
        let mut next = None;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            leader.unwrap().lead(on_disk(), |_, _| {
                next = Some(join(&groups, "a", 2).0);
                panic!("as asked")
            });
        }));
        assert!(panicked.is_err());
        assert!(matches!(first.wait().await, Err(ConfigError::Other(_))));
        assert!(matches!(next.unwrap().wait().await, Err(ConfigError::Other(_))));
        assert!(join(&groups, "a", 3).1.is_some());
    }
}
