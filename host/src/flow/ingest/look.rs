//! Whether the stream that is being read is still the one that it was.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::{Bus, Ingest, IngestError, Open};

/// How often it is asked, in microseconds, whether a stream that is being read is still the one that
/// it was, and has not lost its end: nothing else tells whoever waits for messages. So long, and
/// half as much again: not all streams at the same moment.
const LOOK: u64 = 50_000_000;
/// How often it is asked whether a message that is held is still there: the operator may have
/// removed it. As soon, a stream is looked at that gives what it has given before.
pub(super) const LOOK_SOON: u64 = 10_000_000;

impl<B: Bus> Ingest<B> {
    /// Whether the stream that is being read is still what it was, as far as it is time to ask.
    pub(super) async fn stands(&mut self, open: &mut Open<B::Reader>) -> Result<bool, IngestError> {
        let (source, table) = (&self.of.source, &self.of.table);
        let now = self.data.now();
        if is_due(self.looked, self.look_every(), now) {
            let end = self.bus.end(source, table).await?;
            self.looked = now;
            if end.created != open.applied.created || end.last < open.applied.sequence {
                return Ok(false);
            }
        }
        if let Some(held) = open.held.as_mut().filter(|held| is_due(held.looked, LOOK_SOON, now)) {
            held.looked = now;
            let next = self.bus.next_message(source, table, held.sequence).await?;
            return Ok(next == Some(held.sequence));
        }
        Ok(true)
    }

    /// As long for one stream always, and not the same for all.
    fn look_every(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.how.node, &self.of.source, &self.stream).hash(&mut hasher);
        LOOK + hasher.finish() % (LOOK / 2)
    }

    pub(super) fn until_look(&self) -> Duration {
        let since = self.data.now().saturating_sub(self.looked);
        let left = Duration::from_micros(self.look_every().saturating_sub(since));
        // A clock that is set back does not have this spin.
        left.max(Duration::from_secs(1))
    }
}

/// Whether so many microseconds are over; a clock that was set back counts as that.
pub(super) fn is_due(since: u64, every: u64, now: u64) -> bool {
    now < since || now - since >= every
}
