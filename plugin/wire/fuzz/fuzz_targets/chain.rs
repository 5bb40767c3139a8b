//! As `decode.rs`, of maps that have one another as their last entry.

#![no_main]

use harper_wire::{Limits, decode_chain, encode_chain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let Ok(chain) = decode_chain(bytes, &limits, "next") else { return };
    let written = encode_chain(&chain, "next");
    match decode_chain(&written, &limits, "next") {
        // Not the values, since NaN differs from itself.
        Ok(again) => assert_eq!(encode_chain(&again, "next"), written),
        // Plain maps repeat the keys that records share, and replacement characters are longer.
        Err(error) => assert!(error.is_limit(), "{error}"),
    }
});
