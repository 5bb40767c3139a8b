//! Reads the fields of a request, and collects everything that is wrong with them.

use std::fmt::Display;

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

    /// A value under any of these names, which mean the same; null is as good as missing. With it
    /// comes the name that it has, or the first one.
    pub(super) fn any(&mut self, names: &[&'static str]) -> (&'static str, Option<Value>) {
        let mut found: Option<(&'static str, Value)> = None;
        for name in names {
            let Some(value) = self.request.remove(*name).filter(|value| !value.is_null()) else {
                continue;
            };
            match &found {
                None => found = Some((name, value)),
                Some((other, same)) if *same != value => {
                    let text = format!("'{other}' and '{name}' mean the same and must not differ");
                    self.violations.push(text);
                }
                Some(_) => {}
            }
        }
        match found {
            Some((name, value)) => (name, Some(value)),
            None => (names.first().copied().unwrap_or_default(), None),
        }
    }

    /// The same, and it must be there.
    pub(super) fn required_any(&mut self, names: &[&'static str]) -> (&'static str, Option<Value>) {
        let (name, value) = self.any(names);
        if value.is_none() {
            self.wrong(name, "is required");
        }
        (name, value)
    }

    /// An array under any of these names that must be there and have something in it; empty when it
    /// is wrong.
    pub(super) fn list(&mut self, names: &[&'static str]) -> (&'static str, Vec<Value>) {
        let (name, value) = self.required_any(names);
        match value {
            None => {}
            Some(Value::Array(items)) if !items.is_empty() => return (name, items),
            Some(Value::Array(_)) => self.wrong(name, "must not be empty"),
            Some(_) => self.wrong(name, "must be an array"),
        }
        (name, Vec::new())
    }

    /// An integer from `least` on, or missing.
    pub(super) fn count(&mut self, name: &'static str, least: u64) -> Option<u64> {
        let value = self.request.remove(name).filter(|value| !value.is_null())?;
        match (value.as_u64(), value.is_number()) {
            (Some(count), _) if count >= least => return Some(count),
            (_, false) => self.wrong(name, "must be a number"),
            _ if value.as_f64().is_some_and(|number| number < least as f64) => {
                self.wrong(name, format!("must be greater than or equal to {least}"));
            }
            _ => self.wrong(name, "must be an integer"),
        }
        None
    }

    /// Notes that what `label` names breaks a rule, such as `must be an array`. Of a long list no
    /// more is told than anybody reads.
    pub(super) fn wrong(&mut self, label: impl Display, rule: impl Display) {
        const MOST: usize = 100;
        match self.violations.len() {
            ..MOST => self.violations.push(format!("'{label}' {rule}")),
            MOST => self.violations.push("And more".into()),
            _ => {}
        }
    }

    /// All that is wrong, in one text.
    pub(super) fn check(self) -> Result<(), Error> {
        if self.violations.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, joined(&self.violations)))
    }
}

/// Sentences without a full stop, in a row. One that asks has its mark already.
pub(super) fn joined(sentences: &[String]) -> String {
    let mut text = String::new();
    for sentence in sentences {
        if !text.is_empty() {
            text += if text.ends_with('?') { " " } else { ". " };
        }
        text += sentence;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: validation.one-mark
    #[test]
    fn no_sentence_has_two_marks() {
        let joined = |sentences: &[&str]| {
            joined(&sentences.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            joined(&["a is wrong", "b: did you mean 'c'?", "d"]),
            "a is wrong. b: did you mean 'c'? d"
        );
        assert_eq!((joined(&["a?"]), joined(&[])), ("a?".to_owned(), String::new()));
    }
}
