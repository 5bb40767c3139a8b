//! The cases of `cases/*.txt`, and random edits of random documents.

mod cases;
mod random;
mod robust;
