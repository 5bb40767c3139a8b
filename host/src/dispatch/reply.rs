//! What comes of an operation: a value, or rows that are still being read.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Error, ErrorKind};

/// Bytes of memory that rows may take when they are wanted all at once.
const LARGEST_VALUE: usize = 256 << 20;

/// A record.
pub type Row = Map<String, Value>;

/// What comes of an operation that was performed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// All of it.
    Value(Value),
    /// An array of rows, too many to be held in memory at once.
    Rows(Rows),
}

/// Rows in parts, in the order that they are found. Whoever takes no more drops it, and nothing of
/// it goes on. After an error there is nothing more, and what came before is not the whole result.
pub struct Rows(BoxStream<'static, Result<Vec<Row>, Error>>);

impl Reply {
    /// All of it, in memory.
    ///
    /// # Errors
    ///
    /// The rows cannot be read to their end, or are more than a quarter of a gigabyte.
    pub async fn whole(self) -> Result<Value, Error> {
        let mut rows = match self {
            Self::Value(value) => return Ok(value),
            Self::Rows(rows) => rows,
        };
        let (mut all, mut size) = (Vec::new(), 0);
        while let Some(part) = rows.next().await {
            for row in part? {
                let row = Value::Object(row);
                size += crate::json::size(&row);
                if size > LARGEST_VALUE {
                    let text = "The result is too large: ask for parts of it with 'limit' and \
                                'offset'";
                    return Err(Error::new(ErrorKind::TooLarge, text));
                }
                all.push(row);
            }
        }
        Ok(all.into())
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl Rows {
    pub(crate) fn new(rows: impl Stream<Item = Result<Vec<Row>, Error>> + Send + 'static) -> Rows {
        Rows(rows.boxed())
    }

    /// The rows as a reply: those of one part as a value, at once. More of them are read in a task of
    /// its own, one part ahead, for as long as `time`: what `rows` and `place` hold is given back by
    /// then, however slowly the rows are taken.
    ///
    /// # Errors
    ///
    /// The first two parts cannot be read.
    pub(crate) async fn reply(
        mut self,
        time: Duration,
        place: OwnedSemaphorePermit,
    ) -> Result<Reply, Error> {
        let began = tokio::time::Instant::now();
        let first_two = async {
            let first = self.0.next().await.transpose()?.unwrap_or_default();
            Ok((first, self.0.next().await.transpose()?))
        };
        let (first, second) = timeout(time, first_two).await.unwrap_or_else(|_| Err(too_slow()))?;
        let Some(second) = second else {
            return Ok(Reply::Value(first.into_iter().map(Value::Object).collect()));
        };
        let left = time.saturating_sub(began.elapsed());
        let begun = stream::iter([Ok(first), Ok(second)]);
        Ok(Reply::Rows(Rows::new(begun.chain(read_ahead(self, left, place)))))
    }
}

impl Stream for Rows {
    type Item = Result<Vec<Row>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}

fn too_slow() -> Error {
    let text = "The search took too long: ask for less with 'limit' and 'offset'";
    Error::new(ErrorKind::Busy, text)
}

fn read_ahead(
    mut rows: Rows,
    time: Duration,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Vec<Row>, Error>> + Send + 'static {
    // The end is a message of its own: a task that panics must not look like one that is done.
    let (sender, receiver) = mpsc::channel::<Option<Result<Vec<Row>, Error>>>(1);
    let mut task = JoinSet::new();
    task.spawn(async move {
        let parts = &sender;
        // It owns what it reads from: all is let go of when it is done or the time is over.
        let read = async move {
            let _place = place;
            loop {
                let part = rows.next().await;
                let is_last = !matches!(part, Some(Ok(_)));
                if parts.send(part).await.is_err() || is_last {
                    return;
                }
            }
        };
        if timeout(time, read).await.is_err() {
            let _ = sender.send(Some(Err(too_slow()))).await;
        }
    });
    stream::unfold(Some((receiver, task)), |state| async {
        let (mut receiver, task) = state?;
        match receiver.recv().await {
            Some(Some(Ok(part))) => Some((Ok(part), Some((receiver, task)))),
            Some(Some(Err(error))) => Some((Err(error), None)),
            Some(None) => None,
            None => {
                let error = Error::new(ErrorKind::Failed, "The search was cut short");
                Some((Err(error), None))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;

    fn part(from: u64, to: u64) -> Result<Vec<Row>, Error> {
        Ok((from..to).filter_map(|n| json!({ "n": n }).as_object().cloned()).collect())
    }

    fn place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        places.clone().try_acquire_owned().unwrap()
    }

    async fn reply(parts: Vec<Result<Vec<Row>, Error>>) -> Result<Reply, Error> {
        let places = Arc::new(Semaphore::new(1));
        Rows::new(stream::iter(parts)).reply(Duration::from_secs(60), place(&places)).await
    }

    #[tokio::test]
    async fn one_part_is_a_value_and_more_are_rows() {
        assert!(matches!(reply(vec![]).await, Ok(Reply::Value(value)) if value == json!([])));
        let one = reply(vec![part(0, 2)]).await;
        assert!(matches!(one, Ok(Reply::Value(value)) if value == json!([{ "n": 0 }, { "n": 1 }])));
        let more = reply((0..10).map(|n| part(n, n + 1)).collect()).await.unwrap();
        assert!(matches!(more, Reply::Rows(_)));
        let expected: Value = (0..10).map(|n| json!({ "n": n })).collect();
        assert_eq!(more.whole().await.unwrap(), expected);
    }

    // covers: data.search.broken
    #[tokio::test]
    async fn an_error_in_the_middle_is_the_end() {
        let error = || Error::new(ErrorKind::Failed, "broken");
        assert_eq!(reply(vec![part(0, 1), Err(error())]).await.unwrap_err(), error());
        let rows = vec![part(0, 1), part(1, 2), Err(error()), part(2, 3)];
        let Reply::Rows(mut rows) = reply(rows).await.unwrap() else { panic!("it is a value") };
        assert_eq!(rows.next().await, Some(part(0, 1)));
        assert_eq!(rows.next().await, Some(part(1, 2)));
        assert_eq!(rows.next().await, Some(Err(error())));
        assert_eq!(rows.next().await, None);

        let panics = stream::iter(0..4).map(|n| if n < 3 { part(n, n + 1) } else { panic!("bug") });
        let places = Arc::new(Semaphore::new(1));
        let rows = Rows::new(panics).reply(Duration::from_secs(60), place(&places)).await.unwrap();
        let error = rows.whole().await.unwrap_err();
        assert_eq!(error.message, "The search was cut short");
    }

    // covers: data.search.deadline
    #[tokio::test(start_paused = true)]
    async fn what_is_read_slowly_is_given_back_in_time() {
        struct Held(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);
        let places = Arc::new(Semaphore::new(2));
        let snapshot = Held(place(&places));
        let endless = stream::unfold((0, snapshot), |(n, snapshot)| async move {
            Some((part(n, n + 1), (n + 1, snapshot)))
        });
        let time = Duration::from_secs(600);
        let reply = Rows::new(endless).reply(time, place(&places)).await.unwrap();
        let Reply::Rows(mut rows) = reply else { panic!("it is a value") };
        assert_eq!(rows.next().await, Some(part(0, 1)));
        assert_eq!(places.available_permits(), 0);
        tokio::time::sleep(time + Duration::from_secs(1)).await;
        assert_eq!(places.available_permits(), 2, "the snapshot and the place are free again");
        let mut last = rows.next().await;
        while let Some(Ok(_)) = last {
            last = rows.next().await;
        }
        assert_eq!(last, Some(Err(too_slow())));
        assert_eq!(rows.next().await, None);
    }

    #[tokio::test]
    async fn who_takes_no_more_stops_it() {
        let places = Arc::new(Semaphore::new(1));
        let endless = stream::iter(0..).map(|n| part(n, n + 1));
        let reply = Rows::new(endless).reply(Duration::from_secs(60), place(&places)).await;
        assert_eq!(places.available_permits(), 0);
        drop(reply);
        drop(places.acquire().await.unwrap());
    }
}
