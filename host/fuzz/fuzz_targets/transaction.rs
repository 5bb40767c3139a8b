//! Whatever the bytes of a message: no panic, no more memory than the limits say, and a transaction
//! that is read can be written and read again, to the same one.
//!
//! The files of the host that this is about are compiled here by themselves: with the WebAssembly
//! runtime it would take many minutes.

#![no_main]
#![allow(dead_code)]

mod capabilities {
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct TableName {
        pub database: String,
        pub table: String,
    }
}

mod data {
    pub use crate::key::{Key, KeyError};
    pub use crate::limits::MAX_NAME;
    pub use crate::version::Version;

    pub type Row = serde_json::Map<String, serde_json::Value>;
}

#[path = "../../src/data/key.rs"]
mod key;
#[path = "../../src/data/limits.rs"]
mod limits;
#[path = "../../src/data/version.rs"]
mod version;

#[path = "../../src/transaction/mod.rs"]
mod transaction;

use libfuzzer_sys::fuzz_target;
use transaction::{Limits, Transaction};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default().with_memory(24 << 20);
    let Ok(transaction) = Transaction::decode(bytes, &limits) else { return };
    let written = transaction.encode();
    match Transaction::decode(&written, &limits) {
        Ok(again) => assert_eq!(again, transaction),
        // Plain maps repeat the keys that records share, and attributes are named twice.
        Err(error) => assert!(error.is_limit(), "{error}"),
    }
});
