//! Requests between nodes, and all that goes wrong with them.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use serde_json::json;

use super::host::{Host, nanoseconds};
use super::story::brief;
use super::{Call, Cut, World};
use crate::capabilities::{Nats, NatsError, ServerInfo};
use crate::fake::executor::SECOND;

/// What is wrong with a request that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody is there.
    NotListening,
    /// It gets lost.
    Lost,
    /// It is answered with an error.
    Refused,
    /// It is answered with something that is no answer.
    Garbage,
    /// It is done, and the answer gets lost.
    NoReply,
    /// It is done when nobody waits any more.
    Late,
    /// Who answers is cut off before this step.
    Cut(u32),
    /// The node that answers is killed before this step.
    Killed(u32),
    /// This node's own server is not there.
    OwnServer,
}

/// A fault, of the so manieth such request, counted from 0.
pub(crate) type FaultAt = (u32, Fault);

impl World {
    /// What goes wrong with the next request that changes something.
    fn next_fault(&self) -> Option<Fault> {
        let number = self.0.requests.get();
        self.0.requests.set(number + 1);
        let odds = self.0.odds.get();
        if odds > 0 && self.0.executor.random(odds) == 0 {
            let faults = [
                Fault::NotListening,
                Fault::Lost,
                Fault::Refused,
                Fault::Garbage,
                Fault::NoReply,
                Fault::Late,
                Fault::Cut(self.0.executor.random(12) as u32),
                Fault::Killed(self.0.executor.random(12) as u32),
                Fault::OwnServer,
            ];
            return Some(faults[self.0.executor.random(faults.len() as u64) as usize]);
        }
        self.0.fault.get().filter(|(at, _)| *at == number).map(|(_, fault)| fault)
    }
}

/// Where an answer is put, and who waits for it.
#[derive(Default)]
struct Mailbox {
    answer: Option<Vec<u8>>,
    waiting: Option<Waker>,
}

impl Nats for Host {
    async fn request(
        &self,
        subject: &str,
        payload: &[u8],
        timeout: Duration,
        _: u32,
    ) -> Result<Vec<u8>, NatsError> {
        self.step().await;
        let node = subject.strip_suffix(".__request__").unwrap().to_owned();
        let request = harper_wire::decode(payload, &harper_wire::Limits::default()).unwrap();
        let is_change = !matches!(request.get("operation").unwrap().as_str(), Some("describe_all"));
        let fault = if is_change { self.world.next_fault() } else { None };
        if self.world.is_away(&self.node) || fault == Some(Fault::OwnServer) {
            return Err(NatsError::Failed("This node's server does not answer".into()));
        }
        if self.world.is_away(&node) || fault == Some(Fault::NotListening) {
            return Err(NatsError::NoResponders);
        }
        if is_change {
            let request = brief(&request.into_json());
            self.note(format_args!("tells {node}, {fault:?}: {request}"));
        }
        let end = self.executor().now() + nanoseconds(timeout);
        match fault {
            Some(Fault::Refused) => {
                let reply = json!({ "status": "error", "message": "no" });
                return Ok(harper_wire::encode(&reply.into()));
            }
            Some(Fault::Garbage) => return Ok(vec![0xc1]),
            Some(Fault::Lost) => {
                self.executor().until(end).await;
                return Err(NatsError::Timeout);
            }
            _ => {}
        }
        let cut = match fault {
            Some(Fault::Cut(step)) => Some(Cut::Call(step)),
            Some(Fault::Killed(step)) => Some(Cut::Host(step)),
            _ => None,
        };
        let begin = if fault == Some(Fault::Late) { end + SECOND } else { 0 };
        let mailbox = Rc::new(RefCell::new(Mailbox::default()));
        // Beside the time that it waits for its turn.
        let seconds = 10 + (begin.saturating_sub(self.executor().now())) / SECOND;
        let (host, payload) = (self.world.host(&node, Call::new(cut), seconds), payload.to_vec());
        let (life, answer) = (host.life.clone(), mailbox.clone());
        self.executor().spawn(life, async move {
            host.executor().until(begin).await;
            let reply = crate::peer::answer(&host, &payload).await;
            if fault == Some(Fault::NoReply) {
                return;
            }
            let mut mailbox = answer.borrow_mut();
            mailbox.answer = Some(reply);
            if let Some(waiting) = mailbox.waiting.take() {
                waiting.wake();
            }
        });
        poll_fn(|context| {
            if let Some(answer) = mailbox.borrow_mut().answer.take() {
                return Poll::Ready(Ok(answer));
            }
            mailbox.borrow_mut().waiting = Some(context.waker().clone());
            self.executor().poll_until(end, context).map(|()| Err(NatsError::Timeout))
        })
        .await
    }

    async fn servers(&self, _: Duration) -> Result<Vec<ServerInfo>, NatsError> {
        Ok(Vec::new())
    }
}
