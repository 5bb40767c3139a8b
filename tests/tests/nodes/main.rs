//! Whole nodes together: hosts, their plugin and real nats-servers.

mod javascript;
mod network;
mod peers;
mod routes;
mod status;
mod streams;
