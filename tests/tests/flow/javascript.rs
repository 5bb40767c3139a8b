//! A Harper 4 node in JavaScript, with servers of its own: it publishes and our tables have its rows,
//! we publish and it reads ours.

use std::time::Duration;

use harper_tests::nats::{NatsNode, eventually};
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::peer::{Credentials, Peer, Tls};
use harper_tests::rows::{dead_letters, dog};
use serde_json::{Value, json};

use super::flowing;

/// The cluster of one of our nodes and of a Harper node on its own servers.
struct Mixed {
    cluster: Nodes,
    servers: NatsNode,
    harper: Peer,
}

impl Mixed {
    async fn start() -> Self {
        let cluster = Nodes::with(1, flowing()).await.unwrap();
        let routes = vec![cluster.nodes[0].servers.route()];
        let change = |config: &mut harper_host::nats::Config| config.hub_routes = routes;
        let servers = NatsNode::start(&cluster.authority, "harper", change).await.unwrap();
        let (ours, theirs) = (&cluster.nodes[0].servers.nats, &servers.nats);
        for (nats, domain) in [(ours, "harper-leaf"), (theirs, "node-1-leaf")] {
            let api = format!("$JS.{domain}.API.INFO");
            eventually("each leaf is reached from each", async || {
                nats.request(&api, Vec::new().into(), Duration::from_secs(1)).await.is_ok()
            })
            .await
            .unwrap();
        }
        let config = &servers.config;
        let credentials =
            Credentials { user: config.user.clone(), password: config.password.to_string() };
        let tls = Tls {
            authority: config.tls.certificate_authority.clone(),
            certificate: config.tls.certificate.clone(),
            key: config.tls.private_key.clone(),
        };
        let url = format!("nats://127.0.0.1:{}", theirs.ports().leaf_clients);
        let harper = Peer::start("harper", &url, &credentials, Some(&tls)).await.unwrap();
        Self { cluster, servers, harper }
    }

    fn node(&self) -> &ClusterNode {
        &self.cluster.nodes[0]
    }

    /// Our node subscribes to these tables of the Harper node, and publishes them to it.
    async fn share(&self, tables: &[&str]) {
        for table in tables {
            self.harper.make_stream("dev", table).await.unwrap();
        }
        let attributes = |table: &&str| {
            let known = json!({
                "schema": "dev", "name": table, "hash_attribute": "id",
                "attributes": [{ "attribute": "id" }],
            });
            ((*table).to_owned(), known)
        };
        let known: serde_json::Map<_, _> = tables.iter().map(attributes).collect();
        self.harper.set_tables(json!({ "dev": known })).await.unwrap();
        let both = |table: &&str| json!({ "schema": "dev", "table": table, "subscribe": true, "publish": true });
        let subscriptions: Vec<_> = tables.iter().map(both).collect();
        let request = json!({
            "operation": "add_node", "node_name": "harper", "subscriptions": subscriptions,
        });
        let reply = self.node().send(request).await.unwrap();
        assert_eq!(reply["message"], "Successfully added 'harper' to manifest", "{reply}");
    }

    async fn stop(self) {
        drop(self.harper);
        self.cluster.stop().await;
        self.servers.stop().await;
    }
}

/// The rows of `dev.dog` without the times that they were given.
async fn dogs(node: &ClusterNode) -> Vec<Value> {
    let mut rows = node.dogs().await.unwrap();
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        row.retain(|name, _| !["__createdtime__", "__updatedtime__"].contains(&&**name));
    }
    rows
}

async fn come_to_be(node: &ClusterNode, expected: Value) {
    let expected: Vec<Value> = serde_json::from_value(expected).unwrap();
    let came = eventually("the rows are there", async || dogs(node).await == expected).await;
    if came.is_err() {
        assert_eq!(dogs(node).await, expected);
    }
}

// covers: flow.javascript.in
#[tokio::test(flavor = "multi_thread")]
async fn what_a_harper_node_publishes_is_in_our_table() {
    let mixed = Mixed::start().await;
    mixed.share(&["dog", "cat"]).await;
    let (node, harper) = (mixed.node(), &mixed.harper);
    let publish = async |fields: Value| {
        let mut transaction = json!({ "schema": "dev", "table": "dog" });
        transaction.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        harper.publish(transaction, false).await.unwrap();
    };

    publish(json!({
        "operation": "upsert",
        "records": [
            { "id": 1, "name": "Penny", "born": { "$date": 1_500_000_000_007_u64 } },
            {
                "id": 2, "large": 9_007_199_254_740_992_u64, "larger": { "$bigint": "9007199254740993" },
                "nested": { "list": [1, { "deep": [true, null] }] }, "none": { "$undefined": true },
            },
            { "id": "three", "fraction": 0.5 },
        ],
        "hash_values": [1, 2, "three"],
    }))
    .await;
    let second = json!({
        "id": 2, "large": 9_007_199_254_740_992_u64, "larger": 9_007_199_254_740_993_u64,
        "nested": { "list": [1, { "deep": [true, null] }] },
    });
    let penny = json!({ "id": 1, "name": "Penny", "born": "2017-07-14T02:40:00.007Z" });
    come_to_be(node, json!([penny, second, { "id": "three", "fraction": 0.5 }])).await;

    publish(json!({ "operation": "patch", "id": 1, "record": { "name": "Penny II", "age": 3 } }))
        .await;
    publish(json!({ "operation": "delete", "hash_values": [2], "records": [] })).await;
    publish(json!({
        "operation": "put", "id": 4, "record": { "id": 4 },
        "next": {
            "operation": "put", "table": "cat", "id": 9, "record": { "id": 9, "name": "Tom" },
            "next": { "operation": "delete", "table": "dog", "id": "three" },
        },
    }))
    .await;
    let penny =
        json!({ "id": 1, "name": "Penny II", "born": "2017-07-14T02:40:00.007Z", "age": 3 });
    come_to_be(node, json!([penny, { "id": 4 }])).await;
    let cat = json!({
        "operation": "search_by_id", "database": "dev", "table": "cat", "ids": [9],
        "get_attributes": ["id", "name"],
    });
    eventually("the other table of the chain has its row", async || {
        node.send(cat.clone()).await.unwrap() == json!([{ "id": 9, "name": "Tom" }])
    })
    .await
    .unwrap();

    publish(json!({
        "operation": "define_schema",
        "attributes": [{ "name": "id", "isPrimaryKey": true }, { "name": "breed" }],
    }))
    .await;
    eventually("the attribute is known", async || {
        node.attributes("dev.dog").await.unwrap().unwrap().contains(&"breed".to_owned())
    })
    .await
    .unwrap();
    assert!(dead_letters(&node.data).await.unwrap().is_empty());
    assert!(node.data.check_attributes(&dog(), &["breed".into()]).is_ok());
    mixed.stop().await;
}

// covers: flow.javascript.out
#[tokio::test(flavor = "multi_thread")]
async fn what_we_publish_a_harper_node_reads() {
    let mixed = Mixed::start().await;
    mixed.share(&["dog"]).await;
    let (node, harper) = (mixed.node(), &mixed.harper);
    harper.subscribe("node-1", "dev", "dog").await.unwrap();
    let whole = json!({
        "id": 1, "name": "Penny", "larger": 9_007_199_254_740_993_u64,
        "large": 9_007_199_254_740_992_u64,
    });
    let request = |operation: &str, more: Value| {
        let mut request = json!({ "operation": operation, "database": "dev", "table": "dog" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    node.send(request("insert", json!({ "records": [whole] }))).await.unwrap();

    let said = |transaction: &Value, key: &str| -> Value {
        let entries = transaction["map"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry[0] == key);
        entry.unwrap_or_else(|| panic!("{key} in {transaction}"))[1].clone()
    };
    // The table was made first, since our node did not have it.
    let defined = harper.next_transaction().await.unwrap().said;
    assert_eq!(said(&defined, "operation"), "define_schema");
    assert_eq!(said(&defined, "hash_attribute"), "id");
    let inserted = harper.next_transaction().await.unwrap();
    assert_eq!(inserted.headers["origin"], json!(["node-1"]));
    assert_eq!(inserted.headers["transacted_nodes"], json!(["node-1"]));
    let of = |key: &str| said(&inserted.said, key);
    assert_eq!([of("operation"), of("schema"), of("table")], ["upsert", "dev", "dog"]);
    assert_eq!(of("hash_values"), json!([1]));
    assert_eq!(said(&of("__origin"), "node_name"), "node-1");
    let record = of("records")[0].clone();
    assert_eq!(said(&record, "larger"), json!({ "bigint": "9007199254740993" }));
    assert_eq!(said(&record, "large"), 9_007_199_254_740_992_u64);
    assert!(said(&record, "__createdtime__").is_u64(), "{record}");

    // Whole, however little was changed.
    let update = json!({ "records": [{ "id": 1, "age": 3 }] });
    node.send(request("update", update)).await.unwrap();
    let record = said(&harper.next_transaction().await.unwrap().said, "records")[0].clone();
    assert_eq!((said(&record, "name"), said(&record, "age")), (json!("Penny"), json!(3)));

    node.send(request("delete", json!({ "ids": [1] }))).await.unwrap();
    let deleted = harper.next_transaction().await.unwrap().said;
    assert_eq!(said(&deleted, "operation"), "delete");
    assert_eq!(said(&deleted, "hash_values"), json!([1]));
    mixed.stop().await;
}
