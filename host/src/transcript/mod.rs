//! Transcripts: what a plugin asked of its capabilities during a call, and what it was told; and the
//! same call again, from the transcript alone.
//!
//! # The file
//!
//! JSON, a line each. A transcript is a head, what happened, and an end; a file holds any number of
//! them, one after the other. `at` is in milliseconds since the call began.
//!
//! ```text
//! {"transcript":1,"plugin":"…","component":"<sha256>","operation":"…","changes":…,"caller":{…},"request":{…},"grants":{…}}
//! {"at":0.1,"call":0,"tables.get":{"table":"dev.dog","key":"1"}}
//! {"at":0.1,"clock.monotonic":{},"ok":1200}
//! {"at":2.4,"answer":0,"ok":{"key":"1","revision":"7","record":{…}}}
//! {"at":2.5,"call":1,"nats.request":{"subject":"orders.new","payload":{"$text":"…"},"timeout":1000}}
//! {"at":1002.5,"answer":1,"error":"timeout"}
//! {"at":1002.6,"reply":{…}}
//! ```
//!
//! Of an answer to another node the head has `"export":"peer"` in place of an operation, and the bytes
//! that were asked as its `request`; of what finishes and undoes earlier calls it has
//! `"export":"recovery"`. The plugin looks for such calls every few seconds: where it found none, nothing
//! is written.
//!
//! A function that waits has a line when it is called and one when it is answered; one that does not
//! has both in one. An end has a `reply` or an `error`, the sentence that the caller was told; `cut`
//! is there when so many lines were too many.
//!
//! Bytes stand as the MessagePack that they are, or as `{"$json": …}`, `{"$text": "…"}` or
//! `{"$base64": "…"}`. Values of keys that are called a password, a secret or the like, and what
//! stands before the `@` of a URL, are hidden, also in texts that are JSON: see [`crate::audit`].
//! Whatever else a plugin handles is in the file, which is for its owner alone.
//!
//! # Replaying
//!
//! Answers come in their order and without waiting. Where the component asks something else than it
//! did, that is the first difference; from there on it is answered as well as can be: with what was
//! recorded for the same question, or with an error. How long an answer is waited for is not
//! compared: that depends on how much of the call's time is left.

pub(crate) mod bytes;
mod lines;
mod recorder;
mod replay;
mod script;
mod taped;

pub use lines::{Ended, ReadError, Transcript};
pub use recorder::Recorder;
pub use replay::{Difference, ReplayError, Replayed, replay};

pub(crate) use recorder::{Asked, Begun, Recording};
