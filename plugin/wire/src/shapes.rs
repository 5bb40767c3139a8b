//! Shapes of records, that msgpackr defines in a message and then names by an id.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::Key;

/// The keys of a record.
pub(crate) struct Shape {
    pub(crate) keys: Vec<Key>,
    /// What the keys cost a record.
    pub(crate) cost: usize,
    /// Bytes of the longest.
    pub(crate) longest: usize,
}

/// A shape's id: 6 bits, of a byte that is 40 to 7f, and with more than 64 shapes another byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    low: u8,
    high: Option<u8>,
}

impl Id {
    pub(crate) fn new(low: u8, high: Option<u8>) -> Self {
        Self { low: low & 0x3f, high }
    }
}

/// How records of a slot are written.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    OneByte,
    TwoBytes,
}

/// The shapes that are defined.
pub(crate) struct Slots {
    shapes: BTreeMap<Id, Arc<Shape>>,
    /// By the lower byte, as it was defined last.
    forms: [Option<Form>; 64],
}

impl Slots {
    pub(crate) fn none() -> Self {
        Self { shapes: BTreeMap::new(), forms: [None; 64] }
    }

    pub(crate) fn form(&self, token: u8) -> Option<Form> {
        self.forms.get(usize::from(token & 0x3f)).copied().flatten()
    }

    pub(crate) fn get(&self, id: Id) -> Option<Arc<Shape>> {
        self.shapes.get(&id).map(Arc::clone)
    }

    /// Defines a shape, or another in its place; false when that would be more than `most`.
    pub(crate) fn set(&mut self, id: Id, shape: Arc<Shape>, most: usize) -> bool {
        if self.shapes.len() >= most && !self.shapes.contains_key(&id) {
            return false;
        }
        self.shapes.insert(id, shape);
        if let Some(form) = self.forms.get_mut(usize::from(id.low)) {
            *form = Some(if id.high.is_some() { Form::TwoBytes } else { Form::OneByte });
        }
        true
    }
}
