//! A configuration in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::capabilities::{BoxFuture, Change, Config, ConfigError, KeyPath, Snapshot};

/// A configuration that is a JSON object. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct MemoryConfig(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    document: Value,
    revision: u64,
}

impl MemoryConfig {
    /// One with these values.
    pub fn new(document: Value) -> Self {
        Self(Arc::new(Mutex::new(State { document, revision: 0 })))
    }

    /// All values as they are now.
    pub fn document(&self) -> Value {
        self.state().document.clone()
    }

    /// Changes all values, as an operator who edits the file: whoever read them before gets a
    /// conflict when they write.
    pub fn edit(&self, document: Value) {
        let mut state = self.state();
        state.document = document;
        state.revision += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(document: &Value, path: &KeyPath) -> Value {
    let path = path.to_string();
    let found = path.split('.').try_fold(document, |value, key| value.get(key));
    found.cloned().unwrap_or_default()
}

fn write(document: &mut Value, path: &KeyPath, value: Value) {
    let path = path.to_string();
    let mut place = document;
    for key in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[key];
    }
    *place = value;
}

impl Config for MemoryConfig {
    fn get(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        Box::pin(async move {
            let state = self.state();
            let values = paths.iter().map(|path| read(&state.document, path)).collect();
            Ok(Snapshot { revision: state.revision.to_string(), values })
        })
    }

    fn set(
        &self,
        expected: String,
        changes: Vec<Change>,
    ) -> BoxFuture<'_, Result<String, ConfigError>> {
        Box::pin(async move {
            let mut state = self.state();
            if expected != state.revision.to_string() {
                return Err(ConfigError::Conflict);
            }
            let mut document = state.document.clone();
            for Change { path, value } in changes {
                write(&mut document, &path, value);
            }
            if document != state.document {
                state.document = document;
                state.revision += 1;
            }
            Ok(state.revision.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn writes_are_compare_and_set() {
        let config = MemoryConfig::new(json!({ "a": { "b": 1 } }));
        let paths = || vec!["a.b".parse().unwrap(), "a.c.d".parse().unwrap()];
        let first = config.get(paths()).await.unwrap();
        assert_eq!(first.values, [json!(1), Value::Null]);
        let change = |value| vec![Change { path: "a.c.d".parse().unwrap(), value: json!(value) }];
        let second = config.set(first.revision.clone(), change(2)).await.unwrap();
        assert_eq!(config.document(), json!({ "a": { "b": 1, "c": { "d": 2 } } }));
        assert_eq!(config.set(first.revision, change(3)).await, Err(ConfigError::Conflict));
        assert_eq!(config.set(second.clone(), change(2)).await, Ok(second.clone()));
        config.edit(json!({}));
        assert_eq!(config.set(second, change(2)).await, Err(ConfigError::Conflict));
    }
}
