//! What a replayed call is told, in the order in which it was told before.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::{Value, json};

use super::lines::{Answer, Event};
use super::recorder::lock;

/// How long an answer waits for its turn while nothing happens. Nobody waits for anything then, so
/// that the component has not asked what it did before.
const PATIENCE: Duration = Duration::from_secs(3);

/// A transcript on its way from its first line to its last.
#[derive(Debug)]
pub(super) struct Script(Mutex<State>);

#[derive(Debug)]
struct State {
    events: Vec<Event>,
    /// Those that were found before their turn.
    used: Vec<bool>,
    /// The next that has not happened.
    next: usize,
    /// Answers that may be given, one after the other.
    due: VecDeque<(u64, Answer)>,
    waiting: BTreeMap<u64, Waker>,
    /// Counts whatever happens.
    happened: u64,
    /// Set once the plugin's calls count: it is described before.
    begun: bool,
    difference: Option<Difference>,
}

/// Where a component first asked something else than the recorded one.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Which call of a capability it is, from 1 on.
    pub call: usize,
    /// What was recorded; none when the component asks more than it did.
    pub expected: Option<Value>,
    /// What was asked; none when the component asks less.
    pub got: Option<Value>,
}

impl Script {
    pub(super) fn new(events: Vec<Event>) -> Self {
        let used = vec![false; events.len()];
        let (due, waiting) = (VecDeque::new(), BTreeMap::new());
        let state = State {
            events,
            used,
            next: 0,
            due,
            waiting,
            happened: 0,
            begun: false,
            difference: None,
        };
        Self(Mutex::new(state))
    }

    /// From now on the plugin's calls count.
    pub(super) fn begin(&self) {
        lock(&self.0).begun = true;
    }

    /// The call has ended: the first difference, if there is one.
    pub(super) fn end(&self) -> Option<Difference> {
        let mut state = lock(&self.0);
        state.go_on();
        if state.next < state.events.len() {
            state.differs(None);
        }
        state.difference.take()
    }

    /// Why what the plugin was shown never became durable.
    pub(super) fn not_durable(&self) -> Option<Value> {
        let of = |event: &Event| match event {
            Event::NotDurable(error) => Some(error.clone()),
            _ => None,
        };
        lock(&self.0).events.iter().find_map(of)
    }

    /// The answer to a call of a function that does not wait.
    pub(super) fn ask_at_once(&self, function: &str, arguments: &Value) -> Option<Value> {
        let mut state = lock(&self.0);
        let index = state.find(function, arguments)?;
        match &state.events[index] {
            Event::AtOnce { answer, .. } => Some(answer.clone()),
            _ => None,
        }
    }

    /// The answer to a call of one that waits, when its turn comes.
    pub(super) async fn ask(&self, function: &str, arguments: &Value) -> Option<Answer> {
        let number = {
            let mut state = lock(&self.0);
            let index = state.find(function, arguments)?;
            match &state.events[index] {
                Event::Call { number, .. } => *number,
                _ => return None,
            }
        };
        loop {
            let seen = lock(&self.0).happened;
            let answer = poll_fn(|context| self.poll_answer(number, context));
            if let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await {
                return answer;
            }
            let mut state = lock(&self.0);
            if state.happened == seen {
                state.differs(None);
            }
        }
    }

    fn poll_answer(&self, number: u64, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let mut state = lock(&self.0);
        state.go_on();
        if state.difference.is_some() {
            return Poll::Ready(state.recorded(number));
        }
        if state.due.front().is_some_and(|(due, _)| *due == number) {
            state.happened += 1;
            let answer = state.due.pop_front().map(|(_, answer)| answer);
            state.wake_next();
            return Poll::Ready(answer);
        }
        state.waiting.insert(number, context.waker().clone());
        Poll::Pending
    }
}

impl State {
    /// Where the call stands in the transcript: next, if nothing differs.
    fn find(&mut self, function: &str, arguments: &Value) -> Option<usize> {
        if !self.begun {
            return None;
        }
        self.happened += 1;
        self.go_on();
        let is_it = |event: &Event| match event {
            Event::Call { function: named, arguments: with, .. }
            | Event::AtOnce { function: named, arguments: with, .. } => {
                named == function && is_same(with, arguments)
            }
            _ => false,
        };
        if self.difference.is_none() {
            if self.events.get(self.next).is_some_and(is_it) {
                let index = self.next;
                self.used[index] = true;
                self.next += 1;
                self.go_on();
                return Some(index);
            }
            self.differs(Some(json!({ function: arguments })));
        }
        let unused = |index: &usize| !self.used[*index] && is_it(&self.events[*index]);
        let index = (self.next..self.events.len()).find(unused)?;
        self.used[index] = true;
        Some(index)
    }

    /// Makes answers due that come before the next call.
    fn go_on(&mut self) {
        loop {
            match self.events.get(self.next) {
                Some(Event::Answer { number, answer }) => {
                    self.due.push_back((*number, answer.clone()));
                    self.happened += 1;
                }
                Some(Event::NotDurable(_)) => {}
                _ => return self.wake_next(),
            }
            self.next += 1;
        }
    }

    fn wake_next(&mut self) {
        let waker = self.due.front().and_then(|(number, _)| self.waiting.remove(number));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn differs(&mut self, got: Option<Value>) {
        if self.difference.is_some() {
            return;
        }
        let is_call = |event: &&Event| matches!(event, Event::Call { .. } | Event::AtOnce { .. });
        let call = self.events[..self.next].iter().filter(is_call).count() + 1;
        let expected = self.events.get(self.next).and_then(|event| match event {
            Event::Call { function, arguments, .. } | Event::AtOnce { function, arguments, .. } => {
                Some(json!({ function: arguments }))
            }
            _ => None,
        });
        self.difference = Some(Difference { call, expected, got });
        std::mem::take(&mut self.waiting).into_values().for_each(Waker::wake);
    }

    /// An answer out of turn.
    fn recorded(&self, number: u64) -> Option<Answer> {
        self.events.iter().find_map(|event| match event {
            Event::Answer { number: of, answer } if *of == number => Some(answer.clone()),
            _ => None,
        })
    }
}

/// Arguments, whatever time is given.
fn is_same(one: &Value, other: &Value) -> bool {
    const TIME: &str = "timeout";
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| {
                    other.get(key).is_some_and(|other| key == TIME || value == other)
                })
        }
        _ => one == other,
    }
}
