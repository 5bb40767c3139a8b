//! Certificates and private keys in PEM files: reading, making and writing them, for HTTPS and for
//! the cluster.
//!
//! Each caller has errors of its own, since each names other keys of the configuration; here they
//! are the causes alone.

mod details;
mod make;
mod read;
mod write;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub(crate) use details::{Details, expires, fingerprint};
pub(crate) use make::{fresh_serial, is_dns_name, machine_name, set_validity};
pub(crate) use read::{NotAKey, certificates, private_key, read};
pub(crate) use write::{keep_private, make_private, write_whole};

/// ring, and no other, whatever else in the program is built with.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
