//! Finding nats-server, and how old it is.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{Access, access};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::Error;

const NAME: &str = "nats-server";
/// The first that can do all that is asked of it.
const OLDEST: (u32, u32) = (2, 9);
/// It answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are read of the answer, which has some twenty.
const LONGEST: u64 = 64 << 10;

/// The program, which runs and is not too old.
pub(super) async fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => on_path().ok_or(Error::NoProgram)?,
    };
    let failed = |reason: String| Error::Program { path: path.clone(), reason };
    let said = match timeout(PATIENCE, ask(&path)).await {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("it did not say its version in {PATIENCE:?}"))),
    };
    let said = String::from_utf8_lossy(&said);
    let Some((version, number)) = version(&said) else {
        return Err(failed("it does not say its version as nats-server does".into()));
    };
    if number < OLDEST {
        return Err(Error::OldProgram { path, version });
    }
    tracing::debug!(path = %path.display(), version, "nats-server");
    Ok(path)
}

/// What it says of its version. It is killed when this ends, whatever else it is about to say.
async fn ask(path: &Path) -> io::Result<Vec<u8>> {
    let mut command = Command::new(path);
    command.arg("--version").env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(LONGEST).read_to_end(&mut said).await?;
    }
    Ok(said)
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(NAME))
        .find(|file| file.is_file() && access(file, Access::EXEC_OK).is_ok())
}

/// Out of such as `nats-server: v2.9.10`.
fn version(said: &str) -> Option<(String, (u32, u32))> {
    let version = said.trim().strip_prefix("nats-server:")?.trim().trim_start_matches('v');
    let mut numbers = version.split('.');
    let number = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some((version.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("nats-server: v2.9.10\n"), Some(("2.9.10".into(), (2, 9))));
        assert_eq!(version("nats-server: v2.14.0-RC.1"), Some(("2.14.0-RC.1".into(), (2, 14))));
        assert_eq!(version("nginx 1.2"), None);
        assert!((2, 10) > OLDEST && (2, 8) < OLDEST && (3, 0) > OLDEST);
    }
}
