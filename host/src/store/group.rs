//! Writes that wait for the disk together become one transaction: a commit costs the same for one
//! record and for fifty.

use redb::WriteTransaction;
use tokio::sync::oneshot;

use super::{Error, Store, lock};

/// A write that waits for its turn.
pub(super) trait Waiting: Send {
    /// Makes its changes; may be called again in another transaction, when this one is given up.
    fn write(&mut self, t: &WriteTransaction) -> Result<(), Error>;

    /// What it has written is durable, or nothing of it was kept.
    fn answer(self: Box<Self>, end: Result<(), Error>);
}

struct Write<T, F, G> {
    write: F,
    then: G,
    written: Option<T>,
    done: oneshot::Sender<Result<T, Error>>,
}

impl<T, F, G> Waiting for Write<T, F, G>
where
    T: Send,
    F: FnMut(&WriteTransaction) -> Result<T, Error> + Send,
    G: FnOnce(&T) + Send,
{
    fn write(&mut self, t: &WriteTransaction) -> Result<(), Error> {
        self.written = Some((self.write)(t)?);
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), Error>) {
        let Write { then, written, done, .. } = *self;
        let answer = end.and_then(|()| written.ok_or(Error::Lost));
        if let Ok(written) = &answer {
            then(written);
        }
        // Who waited may have gone away.
        let _ = done.send(answer);
    }
}

impl Store {
    /// Runs `write` in a transaction that it may share with others, and `then` once that is durable,
    /// whether anybody waits for it or not. A `write` that fails has no effect, on others either.
    pub(super) async fn write_together<T: Send + 'static>(
        &self,
        write: impl FnMut(&WriteTransaction) -> Result<T, Error> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        let waiting = Box::new(Write { write, then, written: None, done });
        let is_first = {
            let mut all = lock(&self.0.waiting);
            all.push(waiting);
            all.len() == 1
        };
        if is_first {
            let store = self.clone();
            tokio::task::spawn_blocking(move || {
                let ends = store.write_all_waiting();
                // Who is answered may open the file again at once.
                drop(store);
                ends.into_iter().for_each(|(one, end)| one.answer(end));
            });
        }
        answer.await.unwrap_or(Err(Error::Lost))
    }

    /// Those that come while another transaction is written are taken together after it.
    fn write_all_waiting(&self) -> Vec<(Box<dyn Waiting>, Result<(), Error>)> {
        let take = || std::mem::take(&mut *lock(&self.0.waiting));
        let mut all = Vec::new();
        let together = self.write_here(|t| {
            all = take();
            all.iter_mut().try_for_each(|one| one.write(t))?;
            Ok::<_, Error>(((), !all.is_empty()))
        });
        let Err(error) = together else {
            return all.into_iter().map(|one| (one, Ok(()))).collect();
        };
        // One of them has failed, or the disk has, and nobody was taken: each gets an end of its own.
        if all.is_empty() {
            all = take();
        }
        let mut of_all = Some(error).filter(|_| all.len() == 1);
        let alone = all.into_iter().map(|mut one| {
            let end = match of_all.take() {
                Some(error) => Err(error),
                None => self.write_here(|t| Ok((one.write(t)?, true))),
            };
            (one, end)
        });
        alone.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use redb::{ReadableTableMetadata, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("test");

    /// So many writes that wait together; the one of this number fails after its change.
    async fn together(store: &Store, failing: Option<u64>) -> (Vec<bool>, usize) {
        let runs = Arc::new(AtomicUsize::new(0));
        let begun = lock(&store.0.writing);
        let writes: Vec<_> = (0..20)
            .map(|n| {
                let (store, runs) = (store.clone(), runs.clone());
                tokio::spawn(async move {
                    let write = move |t: &WriteTransaction| {
                        runs.fetch_add(1, Ordering::Relaxed);
                        t.open_table(TABLE)?.insert(n, n)?;
                        if failing == Some(n) { Err(Error::TooMany(n)) } else { Ok(n) }
                    };
                    store.write_together(write, |_| ()).await.is_ok_and(|written| written == n)
                })
            })
            .collect();
        while lock(&store.0.waiting).len() < 20 {
            std::thread::yield_now();
        }
        drop(begun);
        let mut done = Vec::new();
        for write in writes {
            done.push(write.await.unwrap());
        }
        (done, runs.load(Ordering::Relaxed))
    }

    async fn len(store: &Store) -> u64 {
        store.read(|t| Ok::<_, Error>(t.open_table(TABLE)?.len()?)).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_waits_is_one_transaction_and_a_failure_is_its_own() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).await.unwrap();
        assert_eq!(together(&store, None).await, (vec![true; 20], 20));
        assert_eq!(len(&store).await, 20);

        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).await.unwrap();
        let (done, runs) = together(&store, Some(7)).await;
        let failed: Vec<_> = (0..20).filter(|n| !done[*n]).collect();
        assert_eq!(failed, [7]);
        // Those before it in the transaction that was given up, and then each by itself.
        assert!((21..=40).contains(&runs), "{runs}");
        assert_eq!(len(&store).await, 19);
        assert!(lock(&store.0.waiting).is_empty());
    }
}
