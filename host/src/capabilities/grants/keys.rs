//! Two keys for every door: what a plugin asks for, and what it is granted.

use super::Grants;

/// What one plugin may use: what it asks for and is granted, both. The default is nothing.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// What its manifest asks for.
    pub(crate) asked: Grants,
    /// What the host grants.
    pub(crate) granted: Grants,
}

impl Keys {
    /// How a sentence about what is not allowed begins, if one of the keys does not allow it.
    pub(crate) fn missing(&self, allows: impl Fn(&Grants) -> bool) -> Option<&'static str> {
        if !allows(&self.granted) {
            Some("The plugin is not granted to")
        } else if !allows(&self.asked) {
            Some("The plugin did not ask to")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: plugins.two-keys
    #[test]
    fn both_keys_must_allow() {
        let with = |yes: bool| Grants { replication: yes, ..Grants::default() };
        let missing = |asked, granted| {
            let keys = Keys { asked: with(asked), granted: with(granted) };
            keys.missing(|grants| grants.replication)
        };
        assert_eq!(missing(true, true), None);
        assert_eq!(missing(false, true), Some("The plugin did not ask to"));
        assert_eq!(missing(true, false), Some("The plugin is not granted to"));
        assert_eq!(missing(false, false), Some("The plugin is not granted to"));
    }
}
