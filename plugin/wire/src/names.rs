//! What Harper nodes call the streams of their tables, and what belongs to them.
//!
//! A node's transactions of a table are a stream of its own leaf server, in the leaf's domain. Who
//! subscribes to them has a durable consumer there.

use std::fmt::Write;

use md5::{Digest, Md5};

/// The stream of a table, on whatever node: the MD5 of `<schema>.<table>` in lower-case hex. All
/// nodes have the same name for a table's stream, each in its own domain.
pub fn stream(schema: &str, table: &str) -> String {
    let hash = Md5::new().chain_update(schema).chain_update(".").chain_update(table).finalize();
    hash.iter().fold(String::with_capacity(32), |mut name, byte| {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The subject on which `node` publishes its transactions of a table.
pub fn subject(schema: &str, table: &str, node: &str) -> String {
    format!("txn.{schema}.{table}.{node}-leaf")
}

/// The JetStream domain of a node.
pub fn domain(node: &str) -> String {
    format!("{node}-leaf")
}

/// The durable of `subscriber` on the streams of `remote`.
///
/// Harper calls it `<subscriber>-leaf`. An acknowledgement carries no domain: it would reach the
/// durables of that name on all nodes, so the remote's name is in ours.
pub fn durable(subscriber: &str, remote: &str) -> String {
    format!("{subscriber}-leaf_{remote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `printf dev.dog | md5sum` has it.
    #[test]
    fn names() {
        assert_eq!(stream("dev", "dog"), "9d2969dfab3c9b5daa6f8d3d0b3ad347");
        assert_eq!(stream("data", "ä"), "5e0db19a38f3af957a0bdc2ed3f0adb9");
        assert_eq!(subject("dev", "dog", "node1"), "txn.dev.dog.node1-leaf");
        assert_eq!(domain("node1"), "node1-leaf");
        assert_eq!(durable("node1", "node2"), "node1-leaf_node2");
    }
}
