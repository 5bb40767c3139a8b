//! A value to bytes.

use crate::value::{Key, LARGEST_IN_A_NUMBER, Value};

/// The value as MessagePack that any msgpackr decoder reads: objects as plain maps, never as
/// records, and no byte from `40` to `7f` where a value begins, which a decoder with shared
/// shapes would take for a record.
///
/// An integer that needs more than 32 bits is a 64-bit float up to 2^53, as JavaScript writes it,
/// since msgpackr reads 64-bit integers as `BigInt`; beyond 2^53 it is one of those.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

/// The maps of a chain as one message, each the last entry of the one before, below the key
/// `link`; as [`decode_chain`](crate::decode_chain) reads it. The chain ends after a value that is
/// no map.
pub fn encode_chain(chain: &[Value], link: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = chain.iter();
    while let Some(value) = rest.next() {
        match value {
            Value::Map(entries) if !rest.as_slice().is_empty() => {
                map(&mut out, entries, 1);
                string(&mut out, link);
            }
            _ => {
                write(&mut out, value);
                break;
            }
        }
    }
    out
}

/// A map that has so many more entries, which follow.
fn map(out: &mut Vec<u8>, entries: &[(Key, Value)], more: usize) {
    length(out, entries.len() + more, Some((0x80, 15)), None, 0xde, 0xdf);
    for (key, value) in entries {
        string(out, key);
        write(out, value);
    }
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Undefined => out.extend([0xd4, 0, 0]),
        Value::Bool(false) => out.push(0xc2),
        Value::Bool(true) => out.push(0xc3),
        Value::Integer(value) => integer(out, *value),
        Value::Float(value) => float(out, *value),
        Value::BigInt(value) => with(out, 0xd3, &value.to_be_bytes()),
        Value::BigUint(value) => with(out, 0xcf, &value.to_be_bytes()),
        Value::String(text) => string(out, text),
        Value::Binary(bytes) => {
            length(out, bytes.len(), None, Some(0xc4), 0xc5, 0xc6);
            out.extend_from_slice(bytes);
        }
        Value::Date(milliseconds) => date(out, *milliseconds),
        Value::Array(items) => {
            length(out, items.len(), Some((0x90, 15)), None, 0xdc, 0xdd);
            items.iter().for_each(|item| write(out, item));
        }
        Value::Map(entries) => map(out, entries, 0),
    }
}

fn with(out: &mut Vec<u8>, token: u8, bytes: &[u8]) {
    out.push(token);
    out.extend_from_slice(bytes);
}

fn float(out: &mut Vec<u8>, value: f64) {
    with(out, 0xcb, &value.to_be_bytes());
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range each")]
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn integer(out: &mut Vec<u8>, value: i64) {
    match value {
        -0x20..=0x3f => out.push(value as u8),
        0x40..=0xff => with(out, 0xcc, &[value as u8]),
        0x100..=0xffff => with(out, 0xcd, &(value as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => with(out, 0xce, &(value as u32).to_be_bytes()),
        -0x80..=-0x21 => with(out, 0xd0, &[value as u8]),
        -0x8000..=-0x81 => with(out, 0xd1, &(value as u16).to_be_bytes()),
        -0x8000_0000..=-0x8001 => with(out, 0xd2, &(value as u32).to_be_bytes()),
        _ if value.unsigned_abs() <= LARGEST_IN_A_NUMBER => float(out, value as f64),
        _ => with(out, 0xd3, &value.to_be_bytes()),
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    length(out, text.len(), Some((0xa0, 31)), Some(0xd9), 0xda, 0xdb);
    out.extend_from_slice(text.as_bytes());
}

/// The token of a length, and the length. `short` is the first token of those that hold the
/// length, and the largest that they hold; then those for 8, 16 and 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "in range each")]
fn length(
    out: &mut Vec<u8>,
    length: usize,
    short: Option<(u8, usize)>,
    bits8: Option<u8>,
    bits16: u8,
    bits32: u8,
) {
    match (short, bits8) {
        (Some((token, most)), _) if length <= most => out.push(token | length as u8),
        (_, Some(token)) if length <= 0xff => with(out, token, &[length as u8]),
        _ if length <= 0xffff => with(out, bits16, &(length as u16).to_be_bytes()),
        // MessagePack ends at 4 GiB, far beyond what NATS carries.
        _ => with(out, bits32, &(length as u32).to_be_bytes()),
    }
}

/// The standard timestamp, in the form that msgpackr chooses.
fn date(out: &mut Vec<u8>, milliseconds: i64) {
    let seconds = milliseconds.div_euclid(1000);
    let nanoseconds = milliseconds.rem_euclid(1000) * 1_000_000;
    match u32::try_from(seconds) {
        Ok(seconds) if nanoseconds == 0 => {
            out.extend([0xd6, 0xff]);
            out.extend(seconds.to_be_bytes());
        }
        Ok(seconds) => {
            out.extend([0xd7, 0xff]);
            out.extend((nanoseconds << 34 | i64::from(seconds)).to_be_bytes());
        }
        Err(_) => {
            out.extend([0xc7, 12, 0xff]);
            // Nanoseconds are 32 of the 64 bits.
            out.extend_from_slice(&nanoseconds.to_be_bytes()[4..]);
            out.extend(seconds.to_be_bytes());
        }
    }
}
