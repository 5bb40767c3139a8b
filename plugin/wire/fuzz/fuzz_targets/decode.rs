//! Whatever the bytes: no panic, no more memory than the limits say, and what is read can be
//! written and read again, to the same value.

#![no_main]

use harper_wire::{DecodeError, Limits, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let Ok(value) = decode(bytes, &limits) else { return };
    let written = encode(&value);
    match decode(&written, &limits) {
        // Not the values, since NaN differs from itself.
        Ok(again) => assert_eq!(encode(&again), written),
        // Plain maps repeat the keys that records share, and replacement characters are longer.
        Err(error) => assert!(matches!(error, DecodeError::TooLong { .. }), "{error}"),
    }
    let _ = value.into_json();
});
