//! Reading a request's body within its limits, and making JSON of it.

use std::{
    panic,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    http::StatusCode,
};
use http_body_util::BodyExt;
use serde_json::{Map, Value, error::Category};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::{connection::Peer, reply::Refusal};
use crate::json;

/// A body up to this size is small: the number of connections alone bounds how many there are, and
/// parsing one does not hold up others.
const SMALL: usize = 64 << 10;
/// The unit in which memory is lent.
const UNIT: usize = 1 << 10;

/// How large one body may be, and how long it may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) size: usize,
    pub(super) time: Duration,
}

/// Memory that large bodies share.
pub(super) struct Memory(Arc<Semaphore>);

/// Memory that what is built of bodies shares: it can take many times what their bytes take.
pub(super) struct Built {
    memory: Memory,
    bytes: usize,
}

impl Built {
    pub(super) fn new(bytes: usize) -> Built {
        Built { memory: Memory::new(bytes), bytes }
    }

    /// The body as a JSON object, and the memory that was lent for it.
    pub(super) async fn object(
        self: &Arc<Built>,
        bytes: Zeroizing<Vec<u8>>,
    ) -> Result<(Map<String, Value>, Option<OwnedSemaphorePermit>), Refusal> {
        let built = self.clone();
        let (_, object) = work(bytes, move |bytes| {
            let (mut lent, size) = (None, json::built_size(bytes));
            if size > built.bytes {
                let text = "The request body holds too many values";
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
            }
            built.memory.lend(&mut lent, size)?;
            object(bytes).map(|object| (object, lent))
        })
        .await;
        object
    }
}

/// A body, and the memory that was lent for it: keep it for as long as what was made of it.
pub(super) struct Received {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) lent: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Memory {
        Memory(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// Reads a body to its end.
    pub(super) async fn read(
        &self,
        body: Body,
        limits: Limits,
        peer: &Peer,
    ) -> Result<Received, Refusal> {
        let size = body.size_hint().lower();
        if size > limits.size as u64 {
            return Err(too_large(limits.size));
        }
        let received = match tokio::time::timeout(limits.time, self.collect(body, limits)).await {
            Ok(received) => received?,
            Err(_) => {
                let text = "The request body did not arrive in time";
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text).and_close());
            }
        };
        peer.unread.store(false, Relaxed);
        Ok(received)
    }

    async fn collect(&self, mut body: Body, limits: Limits) -> Result<Received, Refusal> {
        let mut received = Received { bytes: Zeroizing::default(), lent: None };
        while let Some(frame) = body.frame().await {
            let broken = |_| Refusal::invalid("The request body could not be read").and_close();
            // Trailers say nothing to us.
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            let size = received.bytes.len() + data.len();
            if size > limits.size {
                return Err(too_large(limits.size));
            }
            self.lend(&mut received.lent, size)?;
            received.bytes.extend_from_slice(&data);
        }
        Ok(received)
    }

    /// Lends as the bytes arrive, not as they are announced: announcing costs nothing.
    fn lend(&self, lent: &mut Option<OwnedSemaphorePermit>, size: usize) -> Result<(), Refusal> {
        let has = lent.as_ref().map_or(0, |lent| lent.num_permits());
        let more = size.saturating_sub(SMALL).div_ceil(UNIT).saturating_sub(has);
        if more == 0 {
            return Ok(());
        }
        let busy = || {
            let text = "Too many large requests at the same time, try again";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).and_close()
        };
        let more = u32::try_from(more).map_err(|_| busy())?;
        let more = self.0.clone().try_acquire_many_owned(more).map_err(|_| busy())?;
        match lent {
            Some(lent) => lent.merge(more),
            None => *lent = Some(more),
        }
        Ok(())
    }
}

fn too_large(limit: usize) -> Refusal {
    let text = format!(
        "The request body is over the limit of {limit} bytes (operationsApi.network.maxBodySize)"
    );
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text).and_close()
}

/// Works on a body with `f`, off the runtime when it is large.
pub(super) async fn work<T: Send + 'static>(
    bytes: Zeroizing<Vec<u8>>,
    f: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> (Zeroizing<Vec<u8>>, T) {
    if bytes.len() <= SMALL {
        let value = f(&bytes);
        return (bytes, value);
    }
    let work = tokio::task::spawn_blocking(move || {
        let value = f(&bytes);
        (bytes, value)
    });
    match work.await {
        Ok(done) => done,
        Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down, and this request with it.
        Err(_) => std::future::pending().await,
    }
}

/// The body as a JSON object.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let found = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => return Ok(object),
        Ok(Value::Array(_)) => "an array",
        Ok(Value::String(_)) => "a string",
        Ok(Value::Number(_)) => "a number",
        Ok(Value::Bool(_)) => "a boolean",
        Ok(Value::Null) => "null",
        Err(error) => return Err(Refusal::invalid(explain(&error))),
    };
    let before = body.iter().take_while(|b| b.is_ascii_whitespace());
    let (line, column) = before.fold((1, 1), |(line, column), byte| match byte {
        b'\n' => (line + 1, 1),
        _ => (line, column + 1),
    });
    Err(Refusal::invalid(format!(
        "Request body must be a JSON object, found {found} at line {line} column {column}"
    )))
}

/// serde_json's messages end with the position and quote nothing of the body.
fn explain(error: &serde_json::Error) -> String {
    let what = error.to_string();
    let what = match what.strip_prefix("recursion limit exceeded") {
        Some(at) => format!("arrays and objects are nested deeper than 127 levels{at}"),
        None if error.classify() == Category::Eof => what.replacen("EOF while", "it ends while", 1),
        None => what,
    };
    format!("Request body is not valid JSON: {what}")
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::api::connection::Remote;

    async fn refused(body: &[u8]) -> String {
        let response = object(body).unwrap_err().into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["error"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn each_fault_is_told_with_its_position() {
        let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
        let invalid: [(&[u8], &str); 8] = [
            (b"", "it ends while parsing a value at line 1 column 0"),
            (b"{", "it ends while parsing an object at line 1 column 1"),
            (b"{\n\n  \"a\" 1}", "expected `:` at line 3 column 7"),
            (b"{\"a\":\"\xff\"}", "invalid unicode code point at line 1 column 7"),
            (b"{} {}", "trailing characters at line 1 column 4"),
            (b"\xef\xbb\xbf{}", "expected value at line 1 column 1"),
            (b"{\"a\":NaN}", "expected value at line 1 column 6"),
            (
                deep.as_bytes(),
                "arrays and objects are nested deeper than 127 levels at line 1 column 132",
            ),
        ];
        for (body, what) in invalid {
            assert_eq!(refused(body).await, format!("Request body is not valid JSON: {what}"));
        }
        for (body, found) in [
            ("\n\n  []", "an array at line 3 column 3"),
            ("\"secret\"", "a string at line 1 column 1"),
            ("1", "a number at line 1 column 1"),
            ("\ttrue", "a boolean at line 1 column 2"),
            ("null", "null at line 1 column 1"),
        ] {
            let expected = format!("Request body must be a JSON object, found {found}");
            assert_eq!(refused(body.as_bytes()).await, expected);
        }
        let deepest = format!("{{\"a\":{}{}}}", "[".repeat(126), "]".repeat(126));
        assert!(object(deepest.as_bytes()).is_ok());
    }

    // 2 MiB of it take a hundred.
    #[tokio::test]
    async fn what_is_built_shares_memory_and_gives_it_back() {
        let built = Arc::new(Built::new(150 << 20));
        let body = |objects| format!(r#"{{"a":[{}0]}}"#, r#"{"":0},"#.repeat(objects)).into_bytes();
        let first = built.object(body(150_000).into()).await.unwrap();
        let refused = built.object(body(150_000).into()).await.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(built.object(body(50).into()).await.unwrap().1.is_none(), "small ones need none");
        drop(first);
        built.object(body(150_000).into()).await.unwrap();
        let refused = built.object(body(300_000).into()).await.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE, "more than there is");
    }

    #[tokio::test]
    async fn large_bodies_share_memory_and_give_it_back() {
        let memory = Memory::new(256 << 10);
        let limits = Limits { size: 1 << 20, time: Duration::MAX };
        let peer = Peer { remote: Remote::User(0), unread: Arc::default() };
        let read = |size: usize| memory.read(Body::from(vec![b' '; size]), limits, &peer);
        let first = read(200 << 10).await.unwrap();
        assert_eq!(first.lent.as_ref().unwrap().num_permits(), 136);
        assert!(read(200 << 10).await.is_err(), "more than is left");
        assert!(read(SMALL).await.unwrap().lent.is_none(), "small ones need none");
        drop(first);
        let second = read(200 << 10).await.unwrap();
        assert_eq!(second.bytes.len(), 200 << 10);
        assert!(work(second.bytes, |bytes| bytes.len()).await.1 == 200 << 10);
    }
}
