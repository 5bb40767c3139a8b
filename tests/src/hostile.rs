//! The hostile plugin, told how to misbehave: any number of plugins of one component, each with
//! another hash.

use serde_json::Value;

use crate::HOSTILE;

/// What comes before its settings, in its memory; they and this take so many bytes.
const MARK: &[u8] = b"@settings-of-the-hostile-plugin@";
const ROOM: usize = 8192;

/// The component with these settings over its own.
///
/// | setting | meaning |
/// | --- | --- |
/// | `prefix` | what its operations' names begin with, `hostile` |
/// | `asks` | what it asks for, by kind of grant; what is given here replaces all of it |
/// | `version` | what its operation `version` replies |
/// | `describe` | what it does instead of describing itself: `trap`, `loop`, `log` |
/// | `operations` | how many it has |
/// | `only` | the one that it has instead; for anybody when `open`, and described twice when `twice` |
/// | `schema` | that of each |
/// | `changes` | with `false`, each says that it changes nothing |
///
/// # Panics
///
/// The settings are too long.
pub fn hostile(settings: &Value) -> Vec<u8> {
    let mut component = HOSTILE.to_vec();
    let place = component.windows(MARK.len()).position(|bytes| bytes == MARK);
    let start = place.map(|place| place + MARK.len());
    let room = start.and_then(|start| component.get_mut(start..start + ROOM - MARK.len()));
    let room = room.unwrap_or_else(|| panic!("the component has no settings"));
    let mut all: Value = serde_json::from_slice(room).unwrap_or_default();
    for (key, value) in settings.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let text = all.to_string();
    room.fill(b' ');
    room[..text.len()].copy_from_slice(text.as_bytes());
    component
}
