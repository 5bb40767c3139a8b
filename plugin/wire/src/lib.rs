//! MessagePack as npm `msgpackr` (1.11) writes and reads it: what Harper nodes say to each other,
//! in requests, replies and the transactions on their streams.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `value.rs` | [`Value`]: what a message can hold, that is JSON, dates, bytes, `undefined` and `BigInt` |
//! | `decode.rs` | bytes to a value, within [`Limits`] |
//! | `shapes.rs` | the shapes of records that a message defines |
//! | `encode.rs` | a value to bytes |
//! | `json.rs` | a value from and to JSON |
//! | `limits.rs` | what a message may cost before it is refused |
//! | `error.rs` | why bytes are no message, or one that is refused |
//! | `names.rs` | what streams, subjects, domains and durables are called |
//!
//! Beyond MessagePack there is msgpackr's record extension. `d4 72 <id>` and an array of keys
//! define a shape in a slot; that many values follow, outside the extension's own framing. From
//! then on, in the same message, the id alone stands for another record of that shape. The id is a
//! byte from `40` to `7f`, which without such a slot is the integer. A general MessagePack
//! library loses its place there, so this decoder goes over the bytes itself.
//!
//! The bytes may come from anybody: no input makes it panic, recurse or allocate without bound.
//!
//! ```
//! let bytes = [0xd4, 0x72, 0x40, 0x92, 0xa1, b'a', 0xa1, b'b', 0x01, 0xa1, b'x'];
//! let value = harper_wire::decode(&bytes, &harper_wire::Limits::default())?;
//! assert_eq!(value.get("a"), Some(&harper_wire::Value::Integer(1)));
//! assert_eq!(value.into_json(), serde_json::json!({ "a": 1, "b": "x" }));
//! # Ok::<(), harper_wire::DecodeError>(())
//! ```

mod decode;
mod encode;
mod error;
mod json;
mod limits;
pub mod names;
mod shapes;
mod value;

pub use decode::{decode, decode_chain};
pub use encode::{encode, encode_chain};
pub use error::DecodeError;
pub use limits::Limits;
pub use value::{Key, Value};
