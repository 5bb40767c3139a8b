//! Bytes to a value, within limits.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::DecodeError;
use crate::limits::{DEEPEST, Limits};
use crate::shapes::{Form, Id, Shape, Slots};
use crate::value::{Key, Value};

/// The milliseconds that a JavaScript `Date` can hold; with others it is invalid.
pub(crate) const DATES: RangeInclusive<i64> = -8_640_000_000_000_000..=8_640_000_000_000_000;

/// Types of extensions: `undefined`, a definition of a record, a timestamp.
const UNDEFINED: u8 = 0;
const RECORD: u8 = b'r';
const TIMESTAMP: u8 = 0xff;

/// What an allocation costs beside its bytes, roughly.
const ALLOCATION: usize = 16;
/// What a key costs beside its bytes, in a map that has it for its own, as JSON has.
const KEY: usize = size_of::<Key>() + ALLOCATION;

/// The value that a message holds.
///
/// Text that is no UTF-8 is taken with the replacement character in it, since msgpackr writes
/// half a surrogate pair as it stands.
///
/// # Errors
///
/// See [`DecodeError`]: bytes that are no message, or more of them than `limits` allows.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let mut decoder = Decoder::new(bytes, limits)?;
    let value = decoder.value(limits.depth.min(DEEPEST))?;
    decoder.end()?;
    Ok(value)
}

/// The maps of a chain: each but the last has the next one below the key `link`. They come without
/// these entries. Where the entry is a map's last one, the chain does not count as nesting: it may
/// have any number of such maps. Other bytes are a chain of one value; a chain that ends with `null`
/// or `undefined` is without.
///
/// # Errors
///
/// As of [`decode`].
pub fn decode_chain(bytes: &[u8], limits: &Limits, link: &str) -> Result<Vec<Value>, DecodeError> {
    let mut decoder = Decoder::new(bytes, limits)?;
    (decoder.link, decoder.place) = (Some(link), Place::Link);
    let first = decoder.value(limits.depth.min(DEEPEST))?;
    let mut chain = vec![first];
    decoder.follow(link, limits.depth.min(DEEPEST), &mut chain)?;
    decoder.end()?;
    Ok(chain)
}

struct Decoder<'a> {
    bytes: &'a [u8],
    /// The offset of the next byte.
    at: usize,
    limits: &'a Limits,
    items: usize,
    memory: usize,
    slots: Slots,
    /// The key by which the next value, if it is a map, may have another as its last entry; what
    /// is within it may not.
    link: Option<&'a str>,
    /// Whether the last entry was such a one: its value comes next.
    is_linked: bool,
    /// What an entry before the last one has linked.
    linked: Vec<Value>,
    /// Where the value is that comes next.
    place: Place,
}

/// Where a value is in a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One of the chain itself.
    Link,
    /// Right below one.
    Below,
    /// In an array that is right below one.
    Item,
    /// Further within, or in no chain.
    Within,
}

impl Place {
    /// Of the values of a map that is here.
    fn inner(self) -> Place {
        match self {
            Place::Link => Place::Below,
            _ => Place::Within,
        }
    }
}

/// `depth` is how many levels may still follow. `start` is where the value begins, for errors.
impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8], limits: &'a Limits) -> Result<Self, DecodeError> {
        if bytes.len() > limits.length {
            return Err(DecodeError::TooLong { limit: limits.length });
        }
        let (slots, link) = (Slots::none(), None);
        Ok(Self {
            bytes,
            at: 0,
            limits,
            items: 0,
            memory: 0,
            slots,
            link,
            is_linked: false,
            linked: Vec::new(),
            place: Place::Within,
        })
    }

    /// Adds to the chain what the last of it has linked, and what that has, and so on.
    fn follow(
        &mut self,
        link: &'a str,
        depth: usize,
        chain: &mut Vec<Value>,
    ) -> Result<(), DecodeError> {
        loop {
            let linked = std::mem::take(&mut self.linked);
            if !linked.is_empty() {
                chain.extend(linked);
                return Ok(());
            }
            if !std::mem::take(&mut self.is_linked) {
                return Ok(());
            }
            (self.link, self.place) = (Some(link), Place::Link);
            let value = self.value(depth)?;
            self.link = None;
            if matches!(value, Value::Null | Value::Undefined) {
                return Ok(());
            }
            self.charge(2 * size_of::<Value>())?;
            chain.push(value);
        }
    }

    /// What follows a key that links, with entries after it.
    fn links(&mut self, link: &'a str, depth: usize) -> Result<(), DecodeError> {
        let mut chain = Vec::new();
        self.is_linked = true;
        self.follow(link, depth, &mut chain)?;
        self.linked = chain;
        Ok(())
    }

    /// Fails unless all bytes are read.
    fn end(&self) -> Result<(), DecodeError> {
        if self.at < self.bytes.len() {
            return Err(DecodeError::Trailing { at: self.at });
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.items += 1;
        if self.items > self.limits.items {
            return Err(DecodeError::TooManyItems { limit: self.limits.items });
        }
        self.uncounted(depth)
    }

    fn uncounted(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let start = self.at;
        let token = self.byte(start)?;
        Ok(match token {
            0x00..=0x3f => Value::Integer(token.into()),
            0x40..=0x7f => match self.shape(token, start)? {
                Some(shape) => self.record(&shape, start, depth)?,
                None => Value::Integer(token.into()),
            },
            0x80..=0x8f => self.map((token & 0x0f).into(), start, depth)?,
            0x90..=0x9f => self.array((token & 0x0f).into(), start, depth)?,
            0xa0..=0xbf => self.string((token & 0x1f).into(), start)?,
            0xc0 => Value::Null,
            0xc1 => return Err(DecodeError::Token { at: start }),
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(token - 0xc4, start)?;
                let bytes = self.take(length, start)?;
                self.charge(length + ALLOCATION)?;
                Value::Binary(bytes.to_vec())
            }
            0xc7..=0xc9 => {
                let length = self.length(token - 0xc7, start)?;
                self.extension(length, start)?
            }
            0xca => f64::from(f32::from_be_bytes(self.fixed(start)?)).into(),
            0xcb => f64::from_be_bytes(self.fixed(start)?).into(),
            0xcc => Value::Integer(self.byte(start)?.into()),
            0xcd => Value::Integer(u16::from_be_bytes(self.fixed(start)?).into()),
            0xce => Value::Integer(u32::from_be_bytes(self.fixed(start)?).into()),
            0xcf => {
                let value = u64::from_be_bytes(self.fixed(start)?);
                i64::try_from(value).map_or(Value::BigUint(value), Value::BigInt)
            }
            0xd0 => Value::Integer(i8::from_be_bytes(self.fixed(start)?).into()),
            0xd1 => Value::Integer(i16::from_be_bytes(self.fixed(start)?).into()),
            0xd2 => Value::Integer(i32::from_be_bytes(self.fixed(start)?).into()),
            0xd3 => Value::BigInt(i64::from_be_bytes(self.fixed(start)?)),
            0xd4 | 0xd5 if self.bytes.get(self.at) == Some(&RECORD) => {
                self.at += 1;
                let low = self.byte(start)?;
                let high = if token == 0xd5 { Some(self.byte(start)?) } else { None };
                let shape = self.definition(Id::new(low, high), start)?;
                self.record(&shape, start, depth)?
            }
            0xd4..=0xd8 => self.extension(1 << (token - 0xd4), start)?,
            0xd9..=0xdb => {
                let length = self.length(token - 0xd9, start)?;
                self.string(length, start)?
            }
            0xdc | 0xdd => {
                let length = self.length(token - 0xdb, start)?;
                self.array(length, start, depth)?
            }
            0xde | 0xdf => {
                let length = self.length(token - 0xdd, start)?;
                self.map(length, start, depth)?
            }
            0xe0..=0xff => Value::Integer(token.cast_signed().into()),
        })
    }

    fn string(&mut self, length: usize, start: usize) -> Result<Value, DecodeError> {
        Ok(Value::String(self.text(length, start)?.into_owned()))
    }

    fn array(&mut self, length: usize, start: usize, depth: usize) -> Result<Value, DecodeError> {
        let depth = self.deeper(depth)?;
        self.must_hold(length, start)?;
        self.link = None;
        let place = match self.place {
            Place::Below => Place::Item,
            _ => Place::Within,
        };
        let mut items = Vec::new();
        for _ in 0..length {
            self.grow(&mut items, length)?;
            self.place = place;
            items.push(self.value(depth)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, length: usize, start: usize, depth: usize) -> Result<Value, DecodeError> {
        let depth = self.deeper(depth)?;
        self.must_hold(length.saturating_mul(2), start)?;
        let link = self.link.take();
        let place = self.place;
        let mut entries: Vec<(Key, Value)> = Vec::new();
        let mut has_link = false;
        for left in (0..length).rev() {
            let key = self.key()?;
            self.check_key(place, key.len(), start)?;
            if let Some(link) = link.filter(|link| **link == *key) {
                if std::mem::replace(&mut has_link, true) {
                    return Err(DecodeError::DuplicateKey { at: start });
                }
                match left {
                    0 => self.is_linked = true,
                    _ => self.links(link, depth)?,
                }
                continue;
            }
            self.grow(&mut entries, length)?;
            self.place = place.inner();
            entries.push((key, self.value(depth)?));
        }
        if has_twice(entries.iter().map(|(key, _)| key)) {
            return Err(DecodeError::DuplicateKey { at: start });
        }
        Ok(Value::Map(entries))
    }

    fn record(&mut self, shape: &Shape, start: usize, depth: usize) -> Result<Value, DecodeError> {
        let depth = self.deeper(depth)?;
        let length = shape.keys.len();
        self.must_hold(length, start)?;
        let place = self.place;
        self.check_key(place, shape.longest, start)?;
        self.charge(shape.cost)?;
        let link = self.link.take();
        let mut entries = Vec::new();
        for (index, key) in shape.keys.iter().enumerate() {
            if let Some(link) = link.filter(|link| **link == **key) {
                match length - index {
                    1 => self.is_linked = true,
                    _ => self.links(link, depth)?,
                }
                continue;
            }
            self.grow(&mut entries, length)?;
            self.place = place.inner();
            entries.push((Key::clone(key), self.value(depth)?));
        }
        Ok(Value::Map(entries))
    }

    /// The shape that `token` stands for, when its slot has one.
    fn shape(&mut self, token: u8, start: usize) -> Result<Option<Arc<Shape>>, DecodeError> {
        let id = match self.slots.form(token) {
            None => return Ok(None),
            Some(Form::OneByte) => Id::new(token, None),
            Some(Form::TwoBytes) => Id::new(token, Some(self.byte(start)?)),
        };
        self.slots.get(id).map(Some).ok_or(DecodeError::Undefined { at: start })
    }

    fn definition(&mut self, id: Id, start: usize) -> Result<Arc<Shape>, DecodeError> {
        let length = match self.byte(start)? {
            token @ 0x90..=0x9f => (token & 0x0f).into(),
            token @ (0xdc | 0xdd) => self.length(token - 0xdb, start)?,
            _ => return Err(DecodeError::Record { at: start }),
        };
        self.must_hold(length, start)?;
        let mut keys = Vec::new();
        for _ in 0..length {
            self.grow(&mut keys, length)?;
            keys.push(self.key()?);
        }
        if has_twice(keys.iter()) {
            return Err(DecodeError::DuplicateKey { at: start });
        }
        let cost = keys.iter().map(|key| key.len() + KEY).sum();
        let longest = keys.iter().map(|key| key.len()).max().unwrap_or_default();
        let shape = Arc::new(Shape { keys, cost, longest });
        if !self.slots.set(id, Arc::clone(&shape), self.limits.slots) {
            return Err(DecodeError::TooManySlots { limit: self.limits.slots });
        }
        Ok(shape)
    }

    /// A key, as JavaScript makes a string of it.
    fn key(&mut self) -> Result<Key, DecodeError> {
        let start = self.at;
        let token = self.byte(start)?;
        let length = match token {
            0xa0..=0xbf => (token & 0x1f).into(),
            0xd9..=0xdb => self.length(token - 0xd9, start)?,
            // Of the rest only what has no parts; `Map` may have such keys.
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xca..=0xd3 | 0xe0..=0xff => {
                self.at = start;
                let key = match self.uncounted(0) {
                    Ok(value) => key_of(&value),
                    // A record.
                    Err(DecodeError::TooDeep { .. }) => None,
                    Err(error) => return Err(error),
                };
                let key = key.ok_or(DecodeError::Key { at: start })?;
                self.charge(key.len() + KEY)?;
                return Ok(key);
            }
            _ => return Err(DecodeError::Key { at: start }),
        };
        let key = self.text(length, start)?;
        // Its bytes and an allocation are.
        self.charge(KEY - ALLOCATION)?;
        Ok(key.into())
    }

    /// Anything else that is written as an extension: its type, then so many bytes.
    fn extension(&mut self, length: usize, start: usize) -> Result<Value, DecodeError> {
        let kind = self.byte(start)?;
        let data = self.take(length, start)?;
        match kind {
            UNDEFINED => Ok(Value::Undefined),
            TIMESTAMP => date(data).ok_or(DecodeError::Date { at: start }),
            _ => Err(DecodeError::Extension { kind, at: start }),
        }
    }

    /// Text of so many bytes. Its memory is charged, as if it were owned.
    fn text(&mut self, length: usize, start: usize) -> Result<Cow<'a, str>, DecodeError> {
        let bytes = self.take(length, start)?;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            // A replacement character has three bytes.
            Err(_) => {
                self.charge(length.saturating_mul(2))?;
                String::from_utf8_lossy(bytes)
            }
        };
        self.charge(length + ALLOCATION)?;
        Ok(text)
    }

    /// A length of 8, 16 or 32 bits, for `size` 0, 1 and 2.
    fn length(&mut self, size: u8, start: usize) -> Result<usize, DecodeError> {
        let length = match size {
            0 => self.byte(start)?.into(),
            1 => u16::from_be_bytes(self.fixed(start)?).into(),
            _ => u32::from_be_bytes(self.fixed(start)?),
        };
        usize::try_from(length).map_err(|_| DecodeError::Truncated { at: start })
    }

    fn byte(&mut self, start: usize) -> Result<u8, DecodeError> {
        self.fixed(start).map(|[byte]| byte)
    }

    fn fixed<const N: usize>(&mut self, start: usize) -> Result<[u8; N], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let bytes = rest.first_chunk().ok_or(DecodeError::Truncated { at: start })?;
        self.at += N;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize, start: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let bytes = rest.get(..length).ok_or(DecodeError::Truncated { at: start })?;
        self.at += length;
        Ok(bytes)
    }

    /// Refuses a claim of more parts than there are bytes: each has one at least.
    fn must_hold(&self, parts: usize, start: usize) -> Result<(), DecodeError> {
        if parts > self.bytes.len() - self.at {
            return Err(DecodeError::Truncated { at: start });
        }
        Ok(())
    }

    fn check_key(&self, place: Place, length: usize, start: usize) -> Result<(), DecodeError> {
        let limit = self.limits.name;
        if place != Place::Within && length > limit {
            return Err(DecodeError::LongKey { at: start, limit });
        }
        Ok(())
    }

    fn deeper(&self, depth: usize) -> Result<usize, DecodeError> {
        depth.checked_sub(1).ok_or(DecodeError::TooDeep { limit: self.limits.depth.min(DEEPEST) })
    }

    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > self.limits.memory {
            return Err(DecodeError::TooMuchMemory { limit: self.limits.memory });
        }
        Ok(())
    }

    /// Makes room for one more, in steps that double, since a claim of `total` proves nothing;
    /// never for more than `total`, so that what is right wastes nothing.
    fn grow<T>(&mut self, items: &mut Vec<T>, total: usize) -> Result<(), DecodeError> {
        if items.len() == items.capacity() {
            let more = items.len().max(4).min(total - items.len());
            self.charge(more.saturating_mul(size_of::<T>()) + ALLOCATION)?;
            items.reserve_exact(more);
        }
        Ok(())
    }
}

/// The string that JavaScript makes of a key that is none. Not of fractions so large or small
/// that it would write them with an exponent.
fn key_of(value: &Value) -> Option<Key> {
    let text = match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) | Value::BigInt(value) => value.to_string(),
        Value::BigUint(value) => value.to_string(),
        Value::Float(value) if *value == 0.0 => "0".into(),
        Value::Float(value) if (1e-6..1e21).contains(&value.abs()) => value.to_string(),
        _ => return None,
    };
    Some(text.into())
}

/// Whether a key stands there twice. Sorts many rather than hash them: whoever chooses the keys
/// could choose them so that their hashes collide.
fn has_twice<'k>(keys: impl ExactSizeIterator<Item = &'k Key> + Clone) -> bool {
    if keys.len() <= 8 {
        let mut rest = keys.clone();
        return keys.clone().any(|key| {
            rest.next();
            rest.clone().any(|other| other == key)
        });
    }
    let mut sorted: Vec<&str> = keys.map(|key| &**key).collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// A timestamp of 32, 64 or 96 bits. Null when it is beyond what a `Date` holds, or the single
/// byte by which msgpackr writes an invalid one.
fn date(data: &[u8]) -> Option<Value> {
    let (seconds, nanoseconds) = match *data {
        [_] => return Some(Value::Null),
        [a, b, c, d] => (u32::from_be_bytes([a, b, c, d]).into(), 0),
        [a, b, c, d, e, f, g, h] => {
            let bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            let low = |bits: u64, count: u32| (bits & ((1 << count) - 1)).cast_signed();
            (low(bits, 34), low(bits >> 34, 30))
        }
        [a, b, c, d, e, f, g, h, i, j, k, l] => {
            let seconds = i64::from_be_bytes([e, f, g, h, i, j, k, l]);
            (seconds, u32::from_be_bytes([a, b, c, d]).into())
        }
        _ => return None,
    };
    // Nanoseconds go up from the second below; `Date` cuts off what is below a millisecond.
    let cut = i64::from(seconds < 0 && nanoseconds % 1_000_000 != 0);
    let milliseconds =
        seconds.checked_mul(1000).and_then(|ms| ms.checked_add(nanoseconds / 1_000_000 + cut));
    Some(milliseconds.filter(|ms| DATES.contains(ms)).map_or(Value::Null, Value::Date))
}
