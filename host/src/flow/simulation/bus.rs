//! A network in memory: each node's streams, who reads them, and what is cut off.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::capabilities::TableName;
use crate::data::Message;
use crate::flow::bus::{Bus, BusError, Delivery, Durable, End, Look, Missing, Outbound, Reader};
use crate::nats::acks_all_from;

/// All nodes' streams; clones share them.
#[derive(Clone, Default)]
pub(super) struct Network(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    pub(super) streams: BTreeMap<(String, TableName), Stream>,
    /// Nodes that do not reach each other, the smaller name first.
    pub(super) cuts: BTreeSet<(String, String)>,
    /// Nodes whose servers do not run.
    pub(super) down: BTreeSet<String>,
    /// Streams that were made so far.
    made: u64,
    pub(super) fault: Fault,
    /// Bytes of the largest message that streams take; none is without end.
    pub(super) largest: Option<usize>,
    /// Tables whose streams take nothing at the moment.
    pub(super) full: BTreeSet<TableName>,
    /// Messages that they did not take.
    pub(super) refused: u64,
    /// Questions how a stream is, but for those with which reading begins.
    pub(super) asked: u64,
}

/// What goes wrong with the next calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// So many messages are stored yet, and the sender does not hear of it.
    ReceiptsLost(u32),
    /// So many messages go through, and no others.
    SendFails(u32),
    /// So many messages meet a stream that is not there yet.
    NotMade(u32),
    /// What was acknowledged is not heard of by the other node.
    AckLost,
    /// What is not acknowledged comes again, before the next messages.
    Again,
    /// The same, after them.
    AgainLater,
    /// Messages go to a reader that is not there any more.
    Elsewhere(u32),
}

#[derive(Default)]
pub(super) struct Stream {
    pub(super) created: u64,
    pub(super) first: u64,
    last: u64,
    messages: BTreeMap<u64, Outbound>,
    ids: HashSet<String>,
    readers: BTreeMap<String, Consumer>,
}

#[derive(Default)]
struct Consumer {
    /// Another consumer of the same name has another.
    made: u64,
    delivered: u64,
    floor: u64,
    pending: BTreeSet<u64>,
    /// Whether each message wants an acknowledgement of its own.
    acks_each: bool,
}

impl Network {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bus(&self, node: &str) -> Arc<SimulatedBus> {
        Arc::new(SimulatedBus { network: self.clone(), node: node.to_owned() })
    }
}

impl State {
    /// Makes a stream, or makes it anew.
    pub(super) fn make(&mut self, node: &str, table: &TableName) {
        self.made += 1;
        let stream = Stream { created: self.made, first: 1, ..Stream::default() };
        self.streams.insert((node.to_owned(), table.clone()), stream);
    }

    /// Where a subscription begins now.
    pub(super) fn place(&self, node: &str, table: &TableName) -> Option<(String, u64)> {
        let stream = self.streams.get(&(node.to_owned(), table.clone()))?;
        Some((stream.created.to_string(), stream.last))
    }

    /// Removes all but the newest messages.
    pub(super) fn purge(&mut self, node: &str, table: &TableName, keep: u64) -> bool {
        let Some(stream) = self.streams.get_mut(&(node.to_owned(), table.clone())) else {
            return false;
        };
        while stream.messages.len() as u64 > keep {
            stream.messages.pop_first();
        }
        stream.first = stream.messages.keys().next().copied().unwrap_or(stream.last + 1);
        true
    }

    /// Has a stream go on from a sequence, as a purge beyond its end does.
    pub(super) fn skip_to(&mut self, node: &str, table: &TableName, sequence: u64) {
        let stream = self.streams.get_mut(&(node.to_owned(), table.clone()));
        if let Some(stream) = stream {
            stream.messages.clear();
            (stream.first, stream.last) = (sequence, sequence - 1);
        }
    }

    /// Up to which sequence a reader has acknowledged all that it was given, and whether each by itself.
    pub(super) fn floor(&self, node: &str, table: &TableName, reader: &str) -> Option<(u64, bool)> {
        let stream = self.streams.get(&(node.to_owned(), table.clone()))?;
        stream.readers.get(reader).map(|reader| (reader.floor, reader.acks_each))
    }

    /// What a stream is after its server was restored from an older copy: without its newest
    /// messages, and with what readers had got by then. Returns whether it has lost any.
    pub(super) fn lose_end(&mut self, node: &str, table: &TableName, messages: u64) -> bool {
        let stream = self.streams.get_mut(&(node.to_owned(), table.clone()));
        let Some(stream) = stream else { return false };
        let last = stream.last.saturating_sub(messages).max(stream.first - 1);
        let is_less = last < stream.last;
        for (_, message) in stream.messages.split_off(&(last + 1)) {
            stream.ids.remove(&message.id);
        }
        stream.last = last;
        for reader in stream.readers.values_mut() {
            reader.delivered = reader.delivered.min(last);
            reader.floor = reader.floor.min(last);
            reader.pending.retain(|sequence| *sequence <= last);
        }
        is_less
    }

    pub(super) fn is_reached(&self, from: &str, to: &str) -> bool {
        let pair = if from < to { (from, to) } else { (to, from) };
        let is_cut = self.cuts.contains(&(pair.0.to_owned(), pair.1.to_owned()));
        !is_cut && !self.down.contains(from) && !self.down.contains(to)
    }

    fn check(&self, from: &str, to: &str) -> Result<(), BusError> {
        match self.is_reached(from, to) {
            true => Ok(()),
            false => Err(BusError::Away(format!("{to} is cut off"))),
        }
    }
}

pub(super) struct SimulatedBus {
    network: Network,
    node: String,
}

impl Bus for SimulatedBus {
    type Receipt = std::future::Ready<Result<(), BusError>>;
    type Reader = SimulatedReader;

    fn is_shared(&self, table: &TableName) -> Option<bool> {
        let key = (self.node.clone(), table.clone());
        Some(self.network.state().streams.contains_key(&key))
    }

    async fn publish(
        &self,
        table: &TableName,
        message: Outbound,
    ) -> Result<Self::Receipt, BusError> {
        let mut state = self.network.state();
        state.check(&self.node, &self.node)?;
        let mut is_heard = true;
        match &mut state.fault {
            Fault::SendFails(0) => return Err(BusError::Away("the connection is lost".into())),
            Fault::SendFails(left) => *left -= 1,
            Fault::NotMade(left @ 1..) => {
                *left -= 1;
                return Ok(std::future::ready(Err(BusError::NoStream)));
            }
            Fault::ReceiptsLost(0) => is_heard = false,
            Fault::ReceiptsLost(left) => *left -= 1,
            _ => {}
        }
        if state.full.contains(table) {
            state.refused += 1;
            return Ok(std::future::ready(Err(BusError::Refused("it is full".into()))));
        }
        if state.largest.is_some_and(|largest| message.payload.len() > largest) {
            return Ok(std::future::ready(Err(BusError::TooLarge)));
        }
        let Some(stream) = state.streams.get_mut(&(self.node.clone(), table.clone())) else {
            return Ok(std::future::ready(Err(BusError::NoStream)));
        };
        if stream.ids.insert(message.id.clone()) {
            stream.last += 1;
            stream.messages.insert(stream.last, message);
        }
        let lost = || BusError::Away("there was no answer".into());
        Ok(std::future::ready(is_heard.then_some(()).ok_or_else(lost)))
    }

    async fn look(&self, source: &str, table: &TableName) -> Result<Look, BusError> {
        let state = self.network.state();
        state.check(&self.node, source)?;
        let stream = state.streams.get(&(source.to_owned(), table.clone()));
        let stream = stream.ok_or(BusError::NoStream)?;
        let durable = stream.readers.get(&self.node);
        Ok(Look {
            created: stream.created.to_string(),
            first: stream.first,
            last: stream.last,
            durable: durable.map(|durable| Durable {
                is_new: durable.delivered == durable.floor && durable.pending.is_empty(),
                delivered: durable.delivered,
                acknowledged: durable.floor,
                acks_all: !durable.acks_each,
            }),
        })
    }

    async fn end(&self, source: &str, table: &TableName) -> Result<End, BusError> {
        self.network.state().asked += 1;
        self.look(source, table).await.map(|look| End { created: look.created, last: look.last })
    }

    async fn next_message(
        &self,
        source: &str,
        table: &TableName,
        sequence: u64,
    ) -> Result<Option<u64>, BusError> {
        let mut state = self.network.state();
        state.asked += 1;
        state.check(&self.node, source)?;
        let stream = state.streams.get(&(source.to_owned(), table.clone()));
        let messages = &stream.ok_or(BusError::NoStream)?.messages;
        Ok(messages.range(sequence..).next().map(|(sequence, _)| *sequence))
    }

    async fn remove(&self, source: &str, table: &TableName) -> Result<(), BusError> {
        let mut state = self.network.state();
        state.check(&self.node, source)?;
        let stream = state.streams.get_mut(&(source.to_owned(), table.clone()));
        stream.ok_or(BusError::NoStream)?.readers.remove(&self.node);
        Ok(())
    }

    async fn begin_at(
        &self,
        source: &str,
        table: &TableName,
        sequence: u64,
    ) -> Result<(), BusError> {
        let mut state = self.network.state();
        state.check(&self.node, source)?;
        state.made += 1;
        let made = state.made;
        let stream = state.streams.get_mut(&(source.to_owned(), table.clone()));
        let stream = stream.ok_or(BusError::NoStream)?;
        let delivered = sequence.max(stream.first).min(stream.last + 1) - 1;
        let acks_each = !acks_all_from(sequence);
        let (floor, pending) = (delivered, BTreeSet::new());
        let consumer = Consumer { made, delivered, floor, pending, acks_each };
        stream.readers.insert(self.node.clone(), consumer);
        Ok(())
    }

    async fn read(
        &self,
        source: &str,
        table: &TableName,
        _: usize,
    ) -> Result<SimulatedReader, BusError> {
        let state = self.network.state();
        state.check(&self.node, source)?;
        let stream = state.streams.get(&(source.to_owned(), table.clone()));
        let durable = stream.ok_or(BusError::NoStream)?.readers.get(&self.node);
        let made = durable.ok_or(BusError::NoDurable)?.made;
        let (network, node) = (self.network.clone(), self.node.clone());
        let (source, table) = (source.to_owned(), table.clone());
        Ok(SimulatedReader { network, node, source, table, made })
    }

    fn is_missing(&self, _: Missing<'_>) {}
}

pub(super) struct SimulatedReader {
    network: Network,
    node: String,
    source: String,
    table: TableName,
    made: u64,
}

impl SimulatedReader {
    fn with<T>(
        &self,
        f: impl FnOnce(&BTreeMap<u64, Outbound>, &mut Consumer, Fault) -> T,
    ) -> Result<T, BusError> {
        let mut state = self.network.state();
        state.check(&self.node, &self.source)?;
        let fault = state.fault;
        let stream = state.streams.get_mut(&(self.source.clone(), self.table.clone()));
        let stream = stream.ok_or(BusError::NoStream)?;
        let consumer = stream.readers.get_mut(&self.node);
        let consumer = consumer.filter(|one| one.made == self.made);
        Ok(f(&stream.messages, consumer.ok_or(BusError::NoDurable)?, fault))
    }
}

impl Reader for SimulatedReader {
    async fn next(&mut self, most: usize) -> Result<Vec<Delivery>, BusError> {
        let made = self.made;
        self.with(|messages, consumer, fault| {
            let give = |sequences: &mut dyn Iterator<Item = u64>| -> Vec<_> {
                sequences.take(most).collect()
            };
            if let Fault::Elsewhere(number) = fault {
                let mut new = messages.range(consumer.delivered + 1..).map(|(s, _)| *s);
                for sequence in give(&mut new).into_iter().take(number as usize) {
                    consumer.delivered = sequence;
                    consumer.pending.insert(sequence);
                }
            }
            let again = match fault {
                Fault::Again | Fault::AgainLater => give(&mut consumer.pending.iter().copied()),
                _ => Vec::new(),
            };
            let mut all = give(&mut messages.range(consumer.delivered + 1..).map(|(s, _)| *s));
            for sequence in &all {
                consumer.delivered = *sequence;
                consumer.pending.insert(*sequence);
            }
            match fault {
                Fault::Again => drop(all.splice(0..0, again)),
                _ => all.extend(again),
            }
            let delivery = |sequence: u64| {
                let message = messages.get(&sequence)?;
                let payload = message.payload.clone().into();
                Some(Delivery {
                    message: Message { sequence, headers: Vec::new(), payload },
                    passed: message.passed.clone(),
                    reply: format!("{made}.{sequence}"),
                    published: 0,
                    pending: messages.range(sequence + 1..).count() as u64,
                })
            };
            all.into_iter().filter_map(delivery).collect()
        })
    }

    async fn acknowledge(&mut self, reply: String) -> Result<(), BusError> {
        let made = self.made;
        self.with(|_, consumer, fault| {
            if fault == Fault::AckLost {
                return Err(BusError::Away("the connection is lost".into()));
            }
            let sequence = reply.strip_prefix(&format!("{made}.")).map(str::parse::<u64>);
            if let Some(Ok(sequence)) = sequence {
                match consumer.acks_each {
                    true => drop(consumer.pending.remove(&sequence)),
                    false => consumer.pending.retain(|pending| *pending > sequence),
                }
            }
            let first = consumer.pending.first().copied();
            consumer.floor = first.map_or(consumer.delivered, |first| first - 1);
            Ok(())
        })?
    }
}
