//! Whole nodes together: hosts, their plugin and real nats-servers.

mod at_once;
mod configure;
mod failures;
mod harper;
mod javascript;
mod killed;
mod network;
mod peers;
mod purge;
mod routes;
mod status;
mod streams;
mod subscriptions;
