//! The command line as its user meets it: the program itself, against a node that runs.
//!
//! `transcripts/` are sessions at a shell, word for word; the other files are what a shell in a
//! pipe cannot show.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod cert;
mod clustered;
mod components;
mod examples;
mod network;
mod node;
mod terminal;
mod transcripts;
