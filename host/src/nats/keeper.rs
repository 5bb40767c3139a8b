//! One server that is kept running.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::process::{Launch, Process};
use super::pulse::{self, Pulse};
use super::{Route, RoutesError, ServerKind, ServerState};

/// The wait before a restart; it doubles with each that fails, or that does not last.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// A server that ran for so long is not failing.
const LASTING: Duration = Duration::from_secs(60);
/// A server that is told to end gets so long to write its streams down.
const GRACE: Duration = Duration::from_secs(5);

/// What a keeper is asked for; its server is restarted for either.
pub(super) enum Command {
    /// Other routes.
    Routes { routes: Vec<Route>, done: oneshot::Sender<Result<(), RoutesError>> },
    /// The files of TLS have changed, or others are to be joined anew.
    Restart { done: oneshot::Sender<Result<(), RoutesError>> },
}

/// Keeps one server running.
pub(super) struct Keeper {
    kind: ServerKind,
    launch: Arc<Launch>,
    commands: mpsc::Receiver<Command>,
    /// None while it is down.
    process: Option<Process>,
    pulse: Pulse,
    started: Instant,
    wait: Duration,
}

impl Keeper {
    pub(super) fn new(
        kind: ServerKind,
        launch: Arc<Launch>,
        commands: mpsc::Receiver<Command>,
        process: Process,
    ) -> Self {
        let pulse = Pulse::new(kind, launch.clone());
        let (process, started) = (Some(process), Instant::now());
        Self { kind, launch, commands, process, pulse, started, wait: SHORTEST }
    }

    /// Until `stop` resolves, and the server has ended.
    pub(super) async fn keep(mut self, stop: impl Future) {
        tokio::select! {
            () = self.run() => {}
            _ = stop => {}
        }
        self.launch.state.plan(self.kind, true);
        if let Some(process) = self.process.take() {
            process.stop(GRACE).await;
        }
    }

    async fn run(&mut self) {
        loop {
            match &mut self.process {
                Some(process) => tokio::select! {
                    reason = process.ended() => self.has_ended(&reason),
                    () = self.pulse.lost() => self.hangs().await,
                    command = self.commands.recv() => match command {
                        Some(command) => self.perform(command).await,
                        None => return,
                    },
                },
                None => tokio::select! {
                    () = sleep(self.wait) => {
                        self.launch.state.restarted(self.kind);
                        if let Err(error) = self.start().await {
                            self.wait = (self.wait * 2).min(LONGEST);
                            tracing::error!(server = self.kind.name(), wait = ?self.wait, "{error}");
                        }
                    }
                    command = self.commands.recv() => match command {
                        Some(command) => self.perform(command).await,
                        None => return,
                    },
                },
            }
        }
    }

    async fn hangs(&mut self) {
        if let Some(process) = self.process.take() {
            // Nothing is asked of it while it is being killed.
            self.launch.state.set(self.kind, ServerState::Down);
            process.kill(GRACE).await;
        }
        self.has_ended(&format!("it had not answered for {:?}, and was killed", pulse::PATIENCE));
    }

    fn has_ended(&mut self, reason: &str) {
        self.process = None;
        self.launch.state.set(self.kind, ServerState::Down);
        let lasted = self.started.elapsed() > LASTING;
        self.wait = if lasted { SHORTEST } else { (self.wait * 2).min(LONGEST) };
        let server = self.kind.name();
        tracing::error!(server, "nats-server has ended and is restarted: {reason}");
    }

    async fn start(&mut self) -> Result<(), super::Error> {
        self.started = Instant::now();
        self.pulse = Pulse::new(self.kind, self.launch.clone());
        self.process = Some(Process::start(self.kind, &self.launch).await?);
        tracing::info!(server = self.kind.name(), "nats-server was restarted");
        Ok(())
    }

    async fn perform(&mut self, command: Command) {
        let done = match command {
            Command::Routes { routes, done } => {
                self.launch.state.set_routes(self.kind, routes);
                done
            }
            Command::Restart { done } => done,
        };
        // Who asked may have gone away.
        let _ = done.send(self.restart().await);
    }

    /// Has the server read its configuration by a restart. At a reload nats-server makes its accounts
    /// anew, and from then on does not tell other hubs of whoever joins it (seen with 2.9.10): nodes
    /// that look joined, and that no request reaches.
    async fn restart(&mut self) -> Result<(), RoutesError> {
        let Some(process) = self.process.take() else {
            return Err(RoutesError::Down(self.kind));
        };
        self.launch.state.set(self.kind, ServerState::Down);
        self.launch.state.plan(self.kind, true);
        process.stop(GRACE).await;
        // Only the leaf says anything of losing the other, until that listens again.
        self.launch.state.plan(self.kind, self.kind == ServerKind::Hub);
        let started = self.start().await;
        self.launch.state.plan(self.kind, false);
        // When it fails, it is tried again.
        Ok(started?)
    }
}

/// It runs no longer, whoever ended it.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.launch.state.set(self.kind, ServerState::Down);
    }
}
