//! The cases of `cases/*.txt`, and random edits of random documents.

mod cases;
mod random;
mod robust;

use serde_json::Value;

use super::{Document, EditError};

/// Edits a text.
fn set(text: &str, path: &[&str], value: &Value) -> Result<String, EditError> {
    let document = Document::read(text.to_owned())?;
    let edited = document.set(path, value)?;
    Ok(edited.as_ref().unwrap_or(&document).text().to_owned())
}

fn parse(text: &str) -> Result<Value, EditError> {
    Ok(Document::read(text.to_owned())?.json().clone())
}
