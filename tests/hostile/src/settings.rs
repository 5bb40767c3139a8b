//! How this plugin is to misbehave, as a part of the component that a test can write over: it makes any
//! number of plugins of one, each with another hash, and none is compiled twice.

use std::hint::black_box;

use serde_json::Value;

use crate::bindings::exports::harper::plugin::manifest::Grants;

/// What comes before the settings. `harper_tests::hostile` looks for it.
const MARK: &[u8] = b"@settings-of-the-hostile-plugin@";

/// A mark, and then JSON with blanks behind it.
static SETTINGS: [u8; 8192] = padded(
    MARK,
    br#"{
        "prefix": "hostile",
        "schema": {},
        "asks": {
            "config.read": ["a", "a.*", "secret", "clustering.*"],
            "config.write": ["a", "a.*", "secret", "clustering.*"],
            "nats.request": ["*.>"],
            "nats.servers": true,
            "jetstream.inspect": ["*/*"],
            "jetstream.purge": ["*/*"],
            "tables.read": ["*.*"],
            "tables.write": ["*.*"],
            "tables.create": ["*.*"],
            "tables.describe": true,
            "replication": true
        }
    }"#,
);

const fn padded(mark: &[u8], text: &[u8]) -> [u8; 8192] {
    let mut all = [b' '; 8192];
    let mut n = 0;
    while n < mark.len() + text.len() {
        all[n] = if n < mark.len() { mark[n] } else { text[n - mark.len()] };
        n += 1;
    }
    all
}

pub(crate) fn read() -> Value {
    serde_json::from_slice(&black_box(&SETTINGS)[MARK.len()..]).unwrap_or_default()
}

pub(crate) fn asks() -> Grants {
    let asks = &read()["asks"];
    let flag = |kind: &str| asks[kind].as_bool().unwrap_or_default();
    let list = |kind: &str| {
        let texts = asks[kind].as_array().into_iter().flatten();
        texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    Grants {
        config_read: list("config.read"),
        config_write: list("config.write"),
        nats_request: list("nats.request"),
        nats_servers: flag("nats.servers"),
        jetstream_inspect: list("jetstream.inspect"),
        jetstream_purge: list("jetstream.purge"),
        tables_read: list("tables.read"),
        tables_write: list("tables.write"),
        tables_create: list("tables.create"),
        tables_describe: flag("tables.describe"),
        replication: flag("replication"),
    }
}
