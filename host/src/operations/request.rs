//! Reads the fields of a request, and collects everything that is wrong with them.

use serde_json::{Map, Value};

use crate::dispatch::{Error, ErrorKind};

/// A request's fields, and what was wrong with those that were read so far.
pub(super) struct Fields {
    request: Map<String, Value>,
    violations: Vec<String>,
}

impl Fields {
    /// Of a request that dispatch has found to be an object.
    pub(super) fn of(request: Value) -> Self {
        let request = match request {
            Value::Object(request) => request,
            _ => Map::new(),
        };
        Self { request, violations: Vec::new() }
    }

    /// A string that must be there, and that `check` does not mind.
    pub(super) fn required<E: ToString>(
        &mut self,
        name: &str,
        check: fn(&str) -> Result<(), E>,
    ) -> String {
        if self.request.get(name).is_none_or(Value::is_null) {
            self.violations.push(format!("'{name}' is required"));
        }
        self.optional(name, check).unwrap_or_default()
    }

    /// A string that may be missing; null is as good as missing.
    pub(super) fn optional<E: ToString>(
        &mut self,
        name: &str,
        check: fn(&str) -> Result<(), E>,
    ) -> Option<String> {
        match self.request.remove(name).unwrap_or_default() {
            Value::Null => None,
            Value::String(text) => match check(&text) {
                Ok(()) => Some(text),
                Err(error) => {
                    self.violations.push(error.to_string());
                    None
                }
            },
            _ => {
                self.violations.push(format!("'{name}' must be a string"));
                None
            }
        }
    }

    /// true or false, or missing.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.request.remove(name).unwrap_or_default() {
            Value::Null => None,
            Value::Bool(flag) => Some(flag),
            _ => {
                self.violations.push(format!("'{name}' must be a boolean"));
                None
            }
        }
    }

    /// All that is wrong, in one text.
    pub(super) fn check(self) -> Result<(), Error> {
        if self.violations.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, self.violations.join(". ")))
    }
}
