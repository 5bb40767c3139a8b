//! What the certificates that we make have in common.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{CertificateParams, SerialNumber};
use tokio_rustls::rustls::pki_types::DnsName;

/// How much earlier than now a certificate begins: clocks differ.
const EARLIER: SignedDuration = SignedDuration::from_hours(24);

/// A number that no other certificate has: browsers refuse a second one with the number of the
/// first.
pub(crate) fn fresh_serial() -> Result<SerialNumber, rcgen::Error> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    Ok(SerialNumber::from_slice(&serial))
}

/// Lets it be valid from now on and until `ends`, to the day.
pub(crate) fn set_validity(certificate: &mut CertificateParams, ends: Timestamp) {
    let midnight = |time: Timestamp| {
        let date = time.to_zoned(TimeZone::UTC).date();
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        rcgen::date_time_ymd(date.year().into(), month, day)
    };
    certificate.not_before = midnight(Timestamp::now() - EARLIER);
    certificate.not_after = midnight(ends);
}

/// Whether a client could ask for it as the name of a host.
pub(crate) fn is_dns_name(name: &str) -> bool {
    DnsName::try_from(name).is_ok()
}

/// What this machine is called, if a client could ask for it: it may be called what none could.
pub(crate) fn machine_name() -> Option<String> {
    hostname::get().ok()?.into_string().ok().filter(|name| is_dns_name(name))
}
