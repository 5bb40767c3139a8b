//! Keeping the certificate fresh: renewing the node's own, and noticing another of the operator's.

use std::time::Duration;

use super::{ClusterFiles, Error, tell, warn_of_end};
use crate::keys::check::Checked;

/// How often the files are looked at. What renews a certificate does so weeks before its end.
const LOOK: Duration = Duration::from_secs(3600);

impl ClusterFiles {
    /// Looks at the files every hour, for as long as it is polled: renews the node's own certificate
    /// 30 days before its end, warns of the end of one that it cannot renew, and calls `changed`
    /// whenever the files hold a certificate or an authority that they did not, so that its owner can
    /// have the servers read them again. Files that cannot be used are an error in the log; the
    /// servers go on with what they have read.
    ///
    /// It is no task of its own: it ends when its owner drops it.
    pub async fn keep_fresh(&self, mut changed: impl FnMut()) {
        let mut in_use = self.checked.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            match self.look().await {
                Ok(found) if found == in_use => warn_of_end(&found, self.certificate()),
                Ok(found) => {
                    tell(&found, self.certificate());
                    in_use = found;
                    changed();
                }
                Err(error) => tracing::error!(
                    "the cluster certificate in use is kept, the one in the files cannot be used: \
                     {error}"
                ),
            }
        }
    }

    /// Checks the files, and renews what must be.
    async fn look(&self) -> Result<Checked, Error> {
        let wanted = self.wanted.clone();
        let look = tokio::task::spawn_blocking(move || super::prepare(&wanted));
        look.await.unwrap_or_else(|error| Err(Error::Lost(error.to_string()))).map(|(_, it)| it)
    }
}
