//! Starting a process that does not outlive this one, however this one ends.
//!
//! On Linux the kernel kills it when the *thread* ends that started it, so one thread does nothing
//! else. Elsewhere a process that is killed leaves its children running.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The thread that starts processes. When it is dropped all that it started are killed.
#[derive(Debug)]
pub(super) struct Spawner(mpsc::Sender<Job>);

struct Job {
    command: Command,
    done: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// On a runtime of tokio's, which must outlive it.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let runtime = Handle::current();
        thread::Builder::new().name("nats-spawner".into()).spawn(move || {
            let _entered = runtime.enter();
            for Job { mut command, done } in jobs {
                die_with_this_thread(&mut command);
                // When nobody waits any more, the child is killed by its own drop.
                let _ = done.send(command.spawn());
            }
        })?;
        Ok(Self(sender))
    }

    /// Starts the process.
    pub(super) async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        command.kill_on_drop(true);
        let (done, receiver) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.0.send(Job { command, done }).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }
}

#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "pre_exec is the only way to set what the kernel does at a parent's end"
)]
fn die_with_this_thread(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before it was set.
        if getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        Ok(())
    };
    // SAFETY: it runs in the child between fork and exec, where only what is safe in a signal handler
    // may be done: it makes two system calls, and neither allocates nor locks.
    unsafe { command.pre_exec(before_exec) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_this_thread(_: &mut Command) {}
