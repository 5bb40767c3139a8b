//! What comes of an operation: a value, or rows that are still being read.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use serde_json::{Map, Value};

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
    /// All of it as JSON text, as a plugin wrote it.
    Json(String),
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
    /// The rows cannot be read to their end, or are more than a quarter of a gigabyte; or the text is
    /// no JSON.
    pub async fn whole(self) -> Result<Value, Error> {
        let mut rows = match self {
            Self::Value(value) => return Ok(value),
            Self::Json(text) => {
                let invalid =
                    |error| Error::new(ErrorKind::Failed, format!("The reply is no JSON: {error}"));
                return serde_json::from_str(&text).map_err(invalid);
            }
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

    /// The rows as a reply: those of one part as a value, at once.
    ///
    /// # Errors
    ///
    /// The first two parts cannot be read.
    pub(crate) async fn reply(mut self) -> Result<Reply, Error> {
        let first = self.0.next().await.transpose()?.unwrap_or_default();
        let Some(second) = self.0.next().await.transpose()? else {
            return Ok(Reply::Value(first.into_iter().map(Value::Object).collect()));
        };
        let begun = stream::iter([Ok(first), Ok(second)]);
        Ok(Reply::Rows(Rows::new(begun.chain(self))))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(from: u64, to: u64) -> Result<Vec<Row>, Error> {
        Ok((from..to).filter_map(|n| json!({ "n": n }).as_object().cloned()).collect())
    }

    async fn reply(parts: Vec<Result<Vec<Row>, Error>>) -> Result<Reply, Error> {
        Rows::new(stream::iter(parts)).reply().await
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
    async fn an_error_in_the_middle_is_not_the_end() {
        let error = || Error::new(ErrorKind::Failed, "broken");
        assert_eq!(reply(vec![part(0, 1), Err(error())]).await.unwrap_err(), error());
        let rows = || vec![part(0, 1), part(1, 2), Err(error())];
        let Reply::Rows(mut some) = reply(rows()).await.unwrap() else { panic!("it is a value") };
        assert_eq!(some.next().await, Some(part(0, 1)));
        assert_eq!(some.next().await, Some(part(1, 2)));
        assert_eq!(some.next().await, Some(Err(error())));
        assert_eq!(reply(rows()).await.unwrap().whole().await.unwrap_err(), error());
    }

    // covers: data.search.whole
    #[tokio::test]
    async fn what_is_wanted_at_once_has_a_limit() {
        let large = json!({ "text": "x".repeat(1 << 20) });
        let large = move |_| Ok(vec![large.as_object().cloned().unwrap(); 4]);
        let reply = Rows::new(stream::iter(0..).map(large)).reply().await.unwrap();
        let error = reply.whole().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
    }
}
