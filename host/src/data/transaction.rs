//! One transaction of the file, in which the requests of a group are carried out one after another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::catalog::{Catalog, StoredDatabase, Table, write_database, write_table};
use super::changes::{Change, ChangeKind};
use super::dead::{self, Letters};
use super::error::Error;
use super::key::Key;
use super::layout::{self, DATABASES, LOG, STATE, TABLES, UPDATED};
use super::limits::DataLimits;
use super::types::NewTable;
use super::version::{self, Version, WallClock};
use crate::capabilities::TableName;
use crate::store;

const CLOCK: &str = "clock";
const SEQUENCE: &str = "sequence";
const LAST_ID: &str = "last_id";
const LOG_KEYS: &str = "log_keys";
pub(super) const PUBLISHED: &str = "published";
const LETTER_BYTES: &str = "letter_bytes";
const LAST_LETTER: &str = "last_letter";

/// What the file says once, and each group changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The last timestamp that was given or seen, in microseconds.
    pub clock: u64,
    /// The last sequence in the log.
    pub sequence: u64,
    last_id: u64,
    /// Keys in the log.
    log_keys: u64,
    /// The last sequence of the log that other nodes need not be told of any more.
    pub published: u64,
    /// Bytes of the messages that were laid aside.
    pub letter_bytes: u64,
    /// The last number that one of them was given.
    pub last_letter: u64,
    /// How many there are.
    pub letters: Letters,
}

impl State {
    /// As the file has it.
    pub fn read(transaction: &WriteTransaction) -> Result<State, store::Error> {
        let table = transaction.open_table(STATE)?;
        let get = |name| Ok::<_, store::Error>(table.get(name)?.map_or(0, |found| found.value()));
        Ok(State {
            clock: get(CLOCK)?,
            sequence: get(SEQUENCE)?,
            last_id: get(LAST_ID)?,
            log_keys: get(LOG_KEYS)?,
            published: get(PUBLISHED)?,
            letter_bytes: get(LETTER_BYTES)?,
            last_letter: get(LAST_LETTER)?,
            letters: dead::count_all(transaction)?,
        })
    }

    fn write(&self, transaction: &WriteTransaction) -> Result<(), store::Error> {
        let mut table = transaction.open_table(STATE)?;
        table.insert(CLOCK, self.clock)?;
        table.insert(SEQUENCE, self.sequence)?;
        table.insert(LAST_ID, self.last_id)?;
        table.insert(LOG_KEYS, self.log_keys)?;
        table.insert(PUBLISHED, self.published)?;
        table.insert(LETTER_BYTES, self.letter_bytes)?;
        table.insert(LAST_LETTER, self.last_letter)?;
        Ok(())
    }
}

/// What the requests of a group are carried out in. Each checks all of what it wants before it
/// changes anything: a change that was begun cannot be taken back alone.
pub(super) struct Transaction<'t> {
    pub redb: &'t WriteTransaction,
    pub catalog: Catalog,
    pub state: State,
    pub limits: &'t DataLimits,
    /// The name of this node.
    node: &'t str,
    clock: &'t WallClock,
    /// When the rows of a table were changed last, in milliseconds, by its id.
    updated: BTreeMap<u64, u64>,
    is_changed: bool,
}

impl<'t> Transaction<'t> {
    pub fn new(
        redb: &'t WriteTransaction,
        catalog: Catalog,
        state: State,
        limits: &'t DataLimits,
        (node, clock): (&'t str, &'t WallClock),
    ) -> Self {
        let updated = BTreeMap::new();
        Self { redb, catalog, state, limits, node, clock, updated, is_changed: false }
    }

    /// Whether there is anything to commit. Writes down what is written down once a group.
    pub fn finish(&mut self) -> Result<bool, store::Error> {
        if !self.is_changed {
            return Ok(false);
        }
        self.state.write(self.redb)?;
        let mut updated = self.redb.open_table(UPDATED)?;
        for (id, milliseconds) in &self.updated {
            updated.insert(id, milliseconds)?;
        }
        Ok(true)
    }

    /// The version of the next change here.
    pub fn next_version(&self) -> Version {
        let timestamp = version::after(self.state.clock, self.clock.now());
        Version { timestamp, node: self.node.to_owned() }
    }

    /// What time it is, in milliseconds since 1970.
    pub fn milliseconds(&self) -> u64 {
        self.clock.milliseconds()
    }

    /// Notes that a version is in use, ours or another node's: no later one of ours is smaller.
    pub fn see(&mut self, version: &Version) {
        self.is_changed = true;
        self.state.clock = self.state.clock.max(version.timestamp);
    }

    /// Notes that there is something to commit.
    pub fn mark_changed(&mut self) {
        self.is_changed = true;
    }

    /// Notes that rows of a table were changed, at a time in milliseconds.
    pub fn touch(&mut self, table: &Table, when: u64) {
        self.is_changed = true;
        self.updated.insert(table.id, when);
    }

    pub fn create_database(&mut self, name: &str) -> Result<(), Error> {
        if self.catalog.databases.contains_key(name) {
            return Err(Error::DatabaseExists(name.to_owned()));
        }
        self.check_databases(1)?;
        self.is_changed = true;
        let database = StoredDatabase { created: self.milliseconds() };
        write_database(self.redb, name, &database)?;
        self.catalog.databases.insert(name.to_owned(), database);
        Ok(())
    }

    pub fn drop_database(&mut self, name: &str) -> Result<(), Error> {
        if !self.catalog.databases.contains_key(name) {
            return Err(Error::NoDatabase(name.to_owned()));
        }
        let tables = self.catalog.tables.keys().filter(|table| table.database == name).cloned();
        for table in tables.collect::<Vec<_>>() {
            self.drop_table(&table)?;
        }
        self.is_changed = true;
        self.redb.open_table(DATABASES)?.remove(name)?;
        self.catalog.databases.remove(name);
        Ok(())
    }

    /// A table that is not made yet, with the attributes that each has.
    fn unmade(&self, id: u64, name: &TableName, primary_key: &str) -> Table {
        let mut table = Table::new(id, name.clone(), primary_key.to_owned(), self.milliseconds());
        let own = [primary_key, super::row::CREATED, super::row::UPDATED];
        for attribute in own {
            table.learn(attribute);
        }
        table
    }

    fn check_databases(&self, new: usize) -> Result<(), Error> {
        let most = self.limits.databases;
        if self.catalog.databases.len() + new > most {
            return Err(Error::Limit(format!("A node may have at most {most} databases")));
        }
        Ok(())
    }

    fn check_tables(&self, new: usize) -> Result<(), Error> {
        let most = self.limits.tables;
        if self.catalog.tables.len() + new > most {
            return Err(Error::Limit(format!("A node may have at most {most} tables")));
        }
        Ok(())
    }

    /// Makes a table, and its database when that is missing.
    pub fn create_table(
        &mut self,
        name: &TableName,
        primary_key: &str,
        attributes: &[String],
        who: &str,
    ) -> Result<(), Error> {
        if self.catalog.tables.contains_key(name) {
            return Err(Error::TableExists(name.clone()));
        }
        self.check_tables(1)?;
        let id = self.state.last_id + 1;
        let mut table = self.unmade(id, name, primary_key);
        for attribute in attributes {
            table.learn(attribute);
        }
        self.check_attributes(&table)?;
        if !self.catalog.databases.contains_key(&name.database) {
            self.create_database(&name.database)?;
        }
        self.is_changed = true;
        self.state.last_id = id;
        write_table(self.redb, &table)?;
        let (rows, tombstones) = (layout::rows(id), layout::tombstones(id));
        self.redb.open_table(by_key(&rows))?;
        self.redb.open_table(by_key(&tombstones))?;
        self.catalog.tables.insert(name.clone(), Arc::new(table));
        let version = self.next_version();
        self.see(&version);
        self.log(name, ChangeKind::DefineSchema, Vec::new(), version, who)
    }

    /// Makes what is missing of a table.
    pub fn ensure_table(
        &mut self,
        name: &TableName,
        primary_key: &str,
        attributes: &[String],
        who: &str,
    ) -> Result<(), Error> {
        let Some(table) = self.catalog.tables.get(name) else {
            return self.create_table(name, primary_key, attributes, who);
        };
        if table.primary_key != primary_key {
            let (has, wanted) = (table.primary_key.clone(), primary_key.to_owned());
            return Err(Error::OtherKey { table: name.clone(), has, wanted });
        }
        if attributes.iter().all(|attribute| table.knows(attribute)) {
            return Ok(());
        }
        let mut table = Table::clone(table);
        for attribute in attributes {
            table.learn(attribute);
        }
        self.check_attributes(&table)?;
        self.replace_table(Arc::new(table))
    }

    /// The same of several, all or none: what one of them may not have is found before any is made.
    pub fn ensure_tables(&mut self, tables: &[NewTable], who: &str) -> Result<(), Error> {
        let mut planned: BTreeMap<&TableName, Table> = BTreeMap::new();
        for NewTable { name, primary_key, attributes } in tables {
            let known = || self.catalog.tables.get(name).map(|table| Table::clone(table));
            let new = || self.unmade(0, name, primary_key);
            let table = planned.remove(name).or_else(known);
            let mut table = table.unwrap_or_else(new);
            if table.primary_key != *primary_key {
                let (has, wanted) = (table.primary_key, primary_key.clone());
                return Err(Error::OtherKey { table: name.clone(), has, wanted });
            }
            for attribute in attributes {
                table.learn(attribute);
            }
            planned.insert(name, table);
        }
        let is_new = |name: &&&TableName| !self.catalog.tables.contains_key(**name);
        self.check_tables(planned.keys().filter(is_new).count())?;
        let databases: BTreeSet<_> = planned.keys().map(|name| &name.database).collect();
        let is_new = |name: &&&String| !self.catalog.databases.contains_key(**name);
        self.check_databases(databases.iter().filter(is_new).count())?;
        self.check_all_attributes(&planned.values().collect::<Vec<_>>())?;
        for NewTable { name, primary_key, attributes } in tables {
            self.ensure_table(name, primary_key, attributes, who)?;
        }
        Ok(())
    }

    pub fn drop_table(&mut self, name: &TableName) -> Result<(), Error> {
        let id = self.catalog.table(name)?.id;
        self.is_changed = true;
        let (rows, tombstones) = (layout::rows(id), layout::tombstones(id));
        self.redb.delete_table(by_key(&rows))?;
        self.redb.delete_table(by_key(&tombstones))?;
        self.redb.open_table(TABLES)?.remove(id)?;
        self.redb.open_table(UPDATED)?.remove(id)?;
        self.updated.remove(&id);
        self.catalog.tables.remove(name);
        Ok(())
    }

    /// Fails for a table that has more attributes than it may.
    pub fn check_attributes(&self, table: &Table) -> Result<(), Error> {
        self.check_all_attributes(&[table])
    }

    /// The same of several, which come in the place of those of the same names.
    fn check_all_attributes(&self, tables: &[&Table]) -> Result<(), Error> {
        let most = self.limits.attributes;
        if let Some(table) = tables.iter().find(|table| table.attributes.len() > most) {
            let text = format!("Table '{}' may have at most {most} attributes", table.name);
            return Err(Error::Limit(text));
        }
        let names: BTreeSet<_> = tables.iter().map(|table| &table.name).collect();
        let others = self.catalog.tables.values().filter(|other| !names.contains(&other.name));
        let others: usize = others.map(|other| other.attributes.len()).sum();
        let these: usize = tables.iter().map(|table| table.attributes.len()).sum();
        let most = self.limits.all_attributes;
        if others + these > most {
            let text = format!("The tables of a node may have at most {most} attributes in all");
            return Err(Error::Limit(text));
        }
        Ok(())
    }

    /// Writes down a table that has learnt attributes.
    pub fn replace_table(&mut self, table: Arc<Table>) -> Result<(), Error> {
        self.is_changed = true;
        write_table(self.redb, &table)?;
        self.catalog.tables.insert(table.name.clone(), table);
        Ok(())
    }

    /// Writes a change of our own down for whoever publishes it.
    pub fn log(
        &mut self,
        table: &TableName,
        kind: ChangeKind,
        keys: Vec<Key>,
        version: Version,
        who: &str,
    ) -> Result<(), Error> {
        let (table, user) = (table.clone(), who.to_owned());
        let passed = Vec::new();
        self.log_change(Change { sequence: 0, table, kind, keys, version, user, passed })
    }

    /// Writes a change down, at the end. The oldest go when there are too many keys.
    pub fn log_change(&mut self, change: Change) -> Result<(), Error> {
        self.is_changed = true;
        self.state.sequence += 1;
        let sequence = self.state.sequence;
        let (keys, value) = change.encode()?;
        let mut log = self.redb.open_table(LOG)?;
        log.insert(sequence, value.as_slice())?;
        self.state.log_keys += keys;
        let most = self.limits.log_keys;
        // The newest stays, however large it is.
        self.forget(&mut log, |state, first| state.log_keys > most && first != sequence)
    }

    /// Removes what the log holds up to the sequence `through`, that too: it was published.
    pub fn trim(&mut self, through: u64) -> Result<(), Error> {
        let published = through.min(self.state.sequence);
        if published > self.state.published {
            self.state.published = published;
            self.is_changed = true;
        }
        let mut log = self.redb.open_table(LOG)?;
        self.forget(&mut log, |_, first| first <= through)
    }

    /// Removes the oldest change of the log, for as long as its sequence says that it goes.
    fn forget(
        &mut self,
        log: &mut Log<'_>,
        goes: impl Fn(&State, u64) -> bool,
    ) -> Result<(), Error> {
        loop {
            let first = log.first()?.map(|(first, _)| first.value());
            if first.is_none_or(|first| !goes(&self.state, first)) {
                return Ok(());
            }
            let Some((_, value)) = log.pop_first()? else { return Ok(()) };
            let keys = Change::weight(value.value())?;
            self.state.log_keys = self.state.log_keys.saturating_sub(keys);
            self.is_changed = true;
        }
    }
}

type Log<'t> = redb::Table<'t, u64, &'static [u8]>;

/// Opens a redb table of the given name, of rows or of tombstones.
pub(super) fn by_key(name: &str) -> layout::ByKey<'_> {
    TableDefinition::new(name)
}
