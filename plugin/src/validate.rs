//! Collects everything that is wrong with a request, so that the caller reads it at once.

use std::fmt::Display;

use serde_json::{Map, Value};

use crate::operation::Error;

/// Violations beyond this many are counted and not told one by one, so that a hostile request
/// cannot make a reply larger than itself.
const TOLD: usize = 1000;

/// The violations found so far, each a clause such as `'server' is required`.
#[derive(Debug, Default)]
pub struct Violations {
    told: Vec<String>,
    untold: usize,
}

impl Violations {
    /// Notes that the value labelled `label` breaks a rule, for example `must be an array`.
    pub fn add(&mut self, label: impl Display, rule: impl Display) {
        if self.told.len() < TOLD {
            self.told.push(format!("'{label}' {rule}"));
        } else {
            self.untold += 1;
        }
    }

    /// Fails with all violations in one text, if there are any.
    pub fn check(self) -> Result<(), Error> {
        if self.told.is_empty() {
            return Ok(());
        }
        let mut text = self.told.join(". ");
        if self.untold > 0 {
            text.push_str(&format!(". And {} more", self.untold));
        }
        Err(Error::Invalid(text))
    }

    /// The value of a key that must be there.
    pub fn required<'a>(&mut self, object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
        self.required_at(object, key, key)
    }

    /// The same for a key of an object inside the request, whose full path is `label`.
    pub fn required_at<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        key: &str,
        label: impl Display,
    ) -> Option<&'a Value> {
        let value = object.get(key);
        if value.is_none() {
            self.add(label, "is required");
        }
        value
    }

    /// A required string that must be one of `allowed`.
    pub fn required_choice<'a>(
        &mut self,
        object: &Map<String, Value>,
        key: &str,
        allowed: &[&'a str],
    ) -> Option<&'a str> {
        let value = self.required(object, key)?;
        let choice = allowed.iter().find(|allowed| value.as_str() == Some(allowed)).copied();
        if choice.is_none() {
            self.add(key, format_args!("must be one of [{}]", allowed.join(", ")));
        }
        choice
    }

    /// A number that may be left out, and is at least `least`.
    pub fn number(&mut self, object: &Map<String, Value>, key: &str, least: f64) -> Option<f64> {
        let value = object.get(key)?;
        let number = value.as_f64();
        match number {
            None => self.add(key, "must be a number"),
            Some(number) if number < least => {
                self.add(key, format_args!("must be greater than or equal to {least}"));
            }
            Some(_) => {}
        }
        number
    }

    /// A boolean that may be left out, and is false then.
    pub fn flag(&mut self, object: &Map<String, Value>, key: &str) -> bool {
        let flag = object.get(key).map_or(Some(false), Value::as_bool);
        if flag.is_none() {
            self.add(key, "must be a boolean");
        }
        flag.unwrap_or_default()
    }

    /// A required array.
    pub fn required_array<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        key: &str,
    ) -> Option<&'a [Value]> {
        let value = self.required(object, key)?;
        let array = value.as_array();
        if array.is_none() {
            self.add(key, "must be an array");
        }
        array.map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn joins_all_violations() {
        let request = object(json!({ "server": "both" }));
        let mut violations = Violations::default();
        assert_eq!(violations.required_choice(&request, "server", &["hub", "leaf"]), None);
        assert_eq!(violations.required_array(&request, "routes"), None);
        let text = "'server' must be one of [hub, leaf]. 'routes' is required";
        assert_eq!(violations.check(), Err(Error::Invalid(text.into())));
    }

    #[test]
    fn counts_what_it_does_not_tell() {
        let mut violations = Violations::default();
        for i in 0..TOLD + 5 {
            violations.add(format_args!("routes[{i}]"), "must be an object");
        }
        let Err(Error::Invalid(text)) = violations.check() else { panic!("no error") };
        assert!(text.ends_with("'routes[999]' must be an object. And 5 more"), "{text}");
    }
}
