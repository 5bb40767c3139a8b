//! What can go wrong when a YAML file is read or edited. In each case nothing has been changed.

use thiserror::Error;

/// Why a file was not read or not edited. `path` is the key path with dots, `line` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// The text is not valid YAML.
    #[error("line {line}, column {column}: not valid YAML: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// A second document starts in the file.
    #[error("line {line}: a second YAML document starts here; only one is supported")]
    SeveralDocuments {
        /// The line of the second document's start.
        line: usize,
    },
    /// A mapping has the same key twice, so that it is unclear which one counts.
    #[error("line {line}: '{path}' is there for the second time")]
    DuplicateKey {
        /// The key that stands twice.
        path: String,
        /// The line of the second one.
        line: usize,
    },
    /// An alias refers to a node that contains it, or all aliases expand beyond all reason.
    #[error("line {line}: the aliases expand to too much data, or to themselves")]
    AliasBomb {
        /// The line of the alias that was one too many.
        line: usize,
    },
    /// The value, or a parent of it, is an alias: the edit would have to change the aliased place.
    #[error("line {line}: '{path}' is an alias (*name); write its value out to have it edited")]
    Alias {
        /// The key whose value is an alias.
        path: String,
        /// Its line.
        line: usize,
    },
    /// The value, or a parent of it, comes from a merge key (`<<`), so it stands elsewhere.
    #[error("line {line}: '{path}' comes from a merge key (<<); write it out to have it edited")]
    MergeKey {
        /// The key that was merged in.
        path: String,
        /// The line of the mapping that it was merged into.
        line: usize,
    },
    /// What would change or go bears an anchor that an alias elsewhere refers to.
    #[error(
        "line {line}: the anchor '{anchor}' in '{path}' is used by an alias on line {alias_line}"
    )]
    AnchorInUse {
        /// The value that was to be edited.
        path: String,
        /// The anchor with its `&`.
        anchor: String,
        /// The line of the anchor.
        line: usize,
        /// The line of an alias that refers to it.
        alias_line: usize,
    },
    /// A key on the path is written as an explicit key (`? key`).
    #[error("line {line}: the key '{path}' is written as '? key'; write 'key:' to have it edited")]
    ComplexKey {
        /// The key.
        path: String,
        /// Its line.
        line: usize,
    },
    /// The value has a tag that would not fit the new value.
    #[error("line {line}: '{path}' has a tag (!name) that does not fit the new value")]
    Tag {
        /// The key whose value is tagged.
        path: String,
        /// Its line.
        line: usize,
    },
    /// A parent on the path is neither a mapping nor null.
    #[error("line {line}: '{path}' should be a mapping but is {found}")]
    NotAMapping {
        /// The parent.
        path: String,
        /// What stands there.
        found: &'static str,
        /// Its line.
        line: usize,
    },
    /// A mapping or a scalar stands where a list should be.
    #[error("line {line}: '{path}' should be a list or null but is {found}")]
    NotAList {
        /// The key.
        path: String,
        /// What stands there.
        found: &'static str,
        /// Its line.
        line: usize,
    },
    /// A mapping or a list stands where a scalar should be.
    #[error("line {line}: '{path}' should be a single value but is {found}")]
    NotAScalar {
        /// The key.
        path: String,
        /// What stands there.
        found: &'static str,
        /// Its line.
        line: usize,
    },
    /// The request itself cannot be written: an empty path, an object, too deep a value.
    #[error("cannot write '{path}': {reason}")]
    Unsupported {
        /// The key path of the request.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The edited text did not read back as the expected document, so it was thrown away.
    #[error("'{path}' cannot be changed without harm to the rest of the file; edit it by hand")]
    Unsafe {
        /// The key path of the request.
        path: String,
    },
}
