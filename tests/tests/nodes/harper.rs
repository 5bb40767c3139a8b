//! A Harper 4 node that shares tables with ours, with servers of its own: it asks ours and answers
//! ours, with the bodies that Harper's nodes send.

use std::time::Duration;

use async_nats::jetstream::stream;
use harper_tests::nats::{NatsNode, eventually};
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::peer::{Behaviour, Credentials, Peer, Request, Tls};
use harper_tests::shared::{change, flowing, remove};
use harper_wire::names;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

struct Harper {
    peer: Peer,
    servers: NatsNode,
}

impl Harper {
    /// Joins the first node.
    async fn join(cluster: &Nodes) -> Self {
        let first = &cluster.nodes[0];
        let route = first.servers.route();
        let servers = NatsNode::start(&cluster.authority, "harper", |config| {
            config.hub_routes = vec![route];
        });
        let servers = servers.await.unwrap();
        let config = &servers.config;
        let credentials =
            Credentials { user: config.user.clone(), password: config.password.to_string() };
        let tls = Tls {
            authority: config.tls.certificate_authority.clone(),
            certificate: config.tls.certificate.clone(),
            key: config.tls.private_key.clone(),
        };
        let url = format!("nats://127.0.0.1:{}", servers.nats.ports().leaf_clients);
        let peer = Peer::start("harper", &url, &credentials, Some(&tls)).await.unwrap();
        eventually("each is reached from each", async || {
            let second = Duration::from_secs(1);
            let there = "$JS.harper-leaf.API.INFO";
            let there = first.servers.nats.request(there, Vec::new().into(), second).await;
            let body = json!({ "operation": "cluster_status", "node_name": "harper" });
            let asked =
                first.servers.nats.request("harper.__request__", encoded(&body).into(), second);
            there.is_ok() && asked.await.is_ok() && peer.ask("node-1", body, second).await.is_ok()
        })
        .await
        .unwrap();
        let harper = Self { peer, servers };
        while harper.next("cluster_status").await["node_name"] != "harper" {}
        harper
    }

    /// The next request for this operation; those before it are passed over.
    async fn next(&self, operation: &str) -> Value {
        loop {
            let Request { body, .. } = self.peer.next_request().await.unwrap();
            if body["operation"] == operation {
                return body;
            }
        }
    }

    /// Asks ours, and expects this message.
    async fn ask(&self, body: Value, expected: &str) {
        let reply = self.peer.ask("node-1", body, PATIENCE).await.unwrap().body;
        assert_eq!((&reply["status"], &reply["message"]), (&json!("success"), &json!(expected)));
        assert!(reply["system_info"]["hdb_version"].is_string(), "{reply}");
    }

    /// Makes a stream, as Harper does when it is told to publish.
    async fn make_stream(&self, table: &str) {
        let context = self.servers.nats.jetstream("harper-leaf");
        let config = stream::Config {
            name: names::stream("dev", table),
            subjects: vec![names::subject("dev", table, "harper")],
            ..stream::Config::default()
        };
        context.create_stream(config).await.unwrap();
    }

    async fn durables(&self, table: &str) -> Vec<String> {
        use futures_util::TryStreamExt;
        let context = self.servers.nats.jetstream("harper-leaf");
        let stream = context.get_stream(names::stream("dev", table)).await.unwrap();
        stream.consumer_names().try_collect().await.unwrap_or_default()
    }
}

fn encoded(body: &Value) -> Vec<u8> {
    harper_wire::encode(&harper_wire::Value::from(body))
}

fn info() -> Value {
    json!({ "hdb_version": "4.4.0", "node_version": "v20.0.0", "platform": "linux x64" })
}

async fn one() -> Nodes {
    let cluster = Nodes::of(1).await.unwrap();
    cluster.nodes[0].make_table("dev.dog", &["id", "name"]).await.unwrap();
    cluster
}

/// A stream that was asked for goes when the call has ended, which is a little later than its reply.
async fn is_untouched(node: &ClusterNode) {
    let seen = node.seen().await.unwrap();
    assert!(seen.records.is_empty() && seen.left.is_empty(), "{seen:?}");
    eventually("its streams are gone", async || {
        node.seen().await.is_ok_and(|seen| seen.streams.is_empty())
    })
    .await
    .unwrap();
}

// covers: nodes.real.harper.answers
#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked() {
    let cluster = one().await;
    let node = &cluster.nodes[0];
    let harper = Harper::join(&cluster).await;
    let cat = json!({
        "schema": "dev",
        "name": "cat",
        "hash_attribute": "key",
        "attributes": [{ "attribute": "key", "is_primary_key": true }, { "attribute": "colour" }],
    });
    harper.peer.set_tables(json!({ "dev": { "cat": cat } })).await.unwrap();
    harper.make_stream("cat").await;

    let time = "2022-09-02T20:06:35.993Z";
    let mut request = change("add_node", "harper", &[("dev.dog", ">"), ("dev.cat", "<>")]);
    request["subscriptions"][0]["start_time"] = time.into();
    let reply = node.send(request).await.unwrap();
    assert_eq!(reply, json!({ "message": "Successfully added 'harper' to manifest" }));
    let mut asked = harper.next("add_node").await;
    // By which ours know what to undo; Harper's pass it over.
    assert!(asked.as_object_mut().unwrap().remove("change").is_some());
    assert!(
        asked.as_object_mut().unwrap().remove("system_info").unwrap()["hdb_version"].is_string()
    );
    // As it sees it.
    let expected = json!({
        "operation": "add_node",
        "node_name": "node-1",
        "subscriptions": [
            {
                "schema": "dev",
                "table": "dog",
                "publish": false,
                "subscribe": true,
                "start_time": time,
                "hash_attribute": "id",
                "attributes": asked["subscriptions"][0]["attributes"],
            },
            {
                "schema": "dev",
                "table": "cat",
                "publish": true,
                "subscribe": true,
                "hash_attribute": "key",
                "attributes": [{ "attribute": "key" }, { "attribute": "colour" }],
            },
        ],
    });
    assert_eq!(asked, expected);
    let attributes = asked["subscriptions"][0]["attributes"].as_array().unwrap();
    assert!(attributes.contains(&json!({ "attribute": "name" })), "{asked}");
    assert_eq!(harper.peer.nodes().await.unwrap()[0]["name"], "node-1");
    assert_eq!(harper.peer.tables().await.unwrap()["dev"]["dog"]["hash_attribute"], "id");
    let seen = node.seen().await.unwrap();
    assert_eq!(seen.records["harper"], flowing(&[("dev.dog", ">"), ("dev.cat", "<>")]));
    assert_eq!(seen.streams.keys().collect::<Vec<_>>(), ["dev.cat", "dev.dog"]);
    assert_eq!(node.attributes("dev.cat").await.unwrap().unwrap()[0], "key");
    assert_eq!(harper.durables("cat").await, ["node-1-leaf_harper"]);

    let reply = node.send(json!({ "operation": "cluster_status" })).await.unwrap();
    let connection = &reply["connections"][0];
    assert_eq!(
        (&connection["node_name"], &connection["status"]),
        (&json!("harper"), &json!("open"))
    );
    assert_eq!(connection["ports"], json!({ "clustering": 9932, "operations_api": 9925 }));
    assert_eq!(connection["subscriptions"].as_array().unwrap().len(), 2);

    let reply = node.send(change("update_node", "harper", &[("dev.cat", ">")])).await.unwrap();
    assert_eq!(reply, json!({ "message": "Successfully updated 'harper'" }));
    let asked = harper.next("update_node").await;
    assert_eq!(asked["subscriptions"].as_array().unwrap().len(), 1);
    assert_eq!(asked["subscriptions"][0]["subscribe"], true);
    assert_eq!(harper.durables("cat").await, [""; 0]);

    let reply = node.send(remove("harper")).await.unwrap();
    assert_eq!(reply, json!({ "message": "Successfully removed 'harper' from manifest" }));
    let asked = harper.next("remove_node").await;
    assert_eq!(asked["node_name"], "node-1");
    assert_eq!(harper.peer.nodes().await.unwrap(), json!([]));
    is_untouched(node).await;
    cluster.stop().await;
    harper.servers.stop().await;
}

// covers: nodes.real.harper.asks
#[tokio::test(flavor = "multi_thread")]
async fn it_asks() {
    let cluster = one().await;
    let node = &cluster.nodes[0];
    let harper = Harper::join(&cluster).await;
    harper.make_stream("cat").await;
    let subscription = |table: &str, publish: bool, subscribe: bool| {
        json!({
            "schema": "dev",
            "table": table,
            "publish": publish,
            "subscribe": subscribe,
            "hash_attribute": "id",
            "start_time": null,
            "attributes": [
                { "attribute": "id", "is_primary_key": true },
                { "attribute": "__createdtime__", "indexed": true },
                { "attribute": "name" },
            ],
        })
    };
    let request = |operation: &str, subscriptions: Value| {
        json!({
            "operation": operation,
            "node_name": "harper",
            "subscriptions": subscriptions,
            "system_info": info(),
        })
    };
    let reply = harper
        .peer
        .ask("node-1", json!({ "operation": "describe_all", "node_name": "harper" }), PATIENCE)
        .await
        .unwrap()
        .body;
    let dog = &reply["message"]["dev"]["dog"];
    assert_eq!(dog["hash_attribute"], "id", "{reply}");
    assert!(dog["attributes"].as_array().unwrap().contains(&json!({ "attribute": "id" })), "{dog}");

    let both = json!([subscription("dog", true, false), subscription("cat", false, true)]);
    harper.ask(request("add_node", both), "Successfully added 'node-1' to manifest").await;
    let cat = node.attributes("dev.cat").await.unwrap().unwrap();
    assert!(cat[0] == "id" && cat.contains(&"name".into()), "{cat:?}");
    let seen = node.seen().await.unwrap();
    assert_eq!(seen.records["harper"], flowing(&[("dev.dog", ">"), ("dev.cat", "<")]));
    let record = node.store.node("harper").await.unwrap().unwrap().record;
    assert_eq!(record["system_info"], info());
    // A stream is there when it is told so: it makes its consumer on it next.
    assert_eq!(seen.streams.keys().collect::<Vec<_>>(), ["dev.dog"]);
    eventually("ours", async || harper.durables("cat").await == ["node-1-leaf_harper"])
        .await
        .unwrap();
    let status = node.send(json!({ "operation": "cluster_status" })).await.unwrap();
    assert_eq!(status["connections"][0]["status"], "open");

    // It may say the same again, and only what it changes.
    let one = || json!([subscription("cat", true, true)]);
    for operation in ["update_node", "update_node", "add_node"] {
        let said = match operation {
            "add_node" => "Successfully added 'node-1' to manifest",
            _ => "Successfully updated 'node-1'",
        };
        harper.ask(request(operation, one()), said).await;
        let seen = node.seen().await.unwrap();
        assert_eq!(seen.records["harper"], flowing(&[("dev.dog", ">"), ("dev.cat", "<>")]));
    }
    // What it may not have, and what makes no sense.
    let mut system = subscription("hdb_user", true, true);
    system["schema"] = "system".into();
    for wrong in [
        request("add_node", json!([system])),
        request("update_node", json!("all")),
        request("add_node", json!([{ "schema": "dev" }])),
        json!({ "operation": "add_node", "node_name": "node-1", "subscriptions": [] }),
        json!({ "operation": "remove_node" }),
    ] {
        let reply = harper.peer.ask("node-1", wrong.clone(), PATIENCE).await.unwrap().body;
        assert_eq!(reply["status"], "error", "{wrong}: {reply}");
        assert!(reply["message"].as_str().is_some_and(|text| !text.is_empty()), "{reply}");
    }
    let after = node.seen().await.unwrap();
    assert_eq!(after.records["harper"], flowing(&[("dev.dog", ">"), ("dev.cat", "<>")]));

    let gone = json!({ "operation": "remove_node", "node_name": "harper", "system_info": info() });
    for _ in 0..2 {
        harper.ask(gone.clone(), "Successfully removed 'node-1' from manifest").await;
    }
    is_untouched(node).await;
    eventually("ours", async || harper.durables("cat").await.is_empty()).await.unwrap();
    cluster.stop().await;
    harper.servers.stop().await;
}

// covers: nodes.real.harper.refuses
#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_or_talks_nonsense() {
    let cluster = one().await;
    let node = &cluster.nodes[0];
    let harper = Harper::join(&cluster).await;
    let add = || change("add_node", "harper", &[("dev.dog", ">")]);
    let error = async |request| node.send(request).await.unwrap_err().message;

    for operation in ["describe_all", "add_node"] {
        let no = Behaviour::Error("not today".into());
        harper.peer.behave(Some(operation), no).await.unwrap();
        assert_eq!(error(add()).await, "add_node failed: node 'harper' replied: not today");
        is_untouched(node).await;
        harper.peer.behave(Some(operation), Behaviour::Garbage).await.unwrap();
        let text = error(add()).await;
        let unusable = "add_node failed: the reply of node 'harper' cannot be used: ";
        assert!(text.starts_with(unusable), "{text}");
        if operation == "add_node" {
            // It may have done it, so it is told to undo it.
            assert_eq!(harper.next("remove_node").await["node_name"], "node-1");
        }
        is_untouched(node).await;
        harper.peer.behave(Some(operation), Behaviour::Normal).await.unwrap();
    }
    node.send(add()).await.unwrap();
    // So it is with a change of what is there, and with its removal.
    let before = node.seen().await.unwrap();
    let update = || change("update_node", "harper", &[("dev.dog", "<")]);
    harper.peer.behave(Some("update_node"), Behaviour::Error("no".into())).await.unwrap();
    assert_eq!(error(update()).await, "update_node failed: node 'harper' replied: no");
    harper.peer.behave(Some("remove_node"), Behaviour::Error("never".into())).await.unwrap();
    assert_eq!(error(remove("harper")).await, "remove_node failed: node 'harper' replied: never");
    eventually("it is as before", async || node.seen().await.unwrap() == before).await.unwrap();
    harper.peer.behave(Some("remove_node"), Behaviour::Normal).await.unwrap();
    node.send(remove("harper")).await.unwrap();
    is_untouched(node).await;
    cluster.stop().await;
    harper.servers.stop().await;
}

// covers: nodes.real.harper.silent
#[tokio::test(flavor = "multi_thread")]
async fn it_is_silent() {
    let cluster = one().await;
    let node = &cluster.nodes[0];
    let harper = Harper::join(&cluster).await;
    let add = || change("add_node", "harper", &[("dev.dog", ">")]);
    let error = async |request| node.send(request).await.unwrap_err().message;
    harper.peer.behave(Some("describe_all"), Behaviour::Silent).await.unwrap();
    let text = "add_node failed: node 'harper' did not reply within 5000 ms";
    assert_eq!(error(add()).await, text);
    is_untouched(node).await;
    harper.peer.behave(Some("describe_all"), Behaviour::Normal).await.unwrap();

    // In the midst: what was begun is undone here at once, and there when it is heard again.
    harper.peer.behave(None, Behaviour::Silent).await.unwrap();
    let text = "add_node failed: node 'harper' did not reply within 7000 ms";
    assert_eq!(error(add()).await, text);
    let seen = node.seen().await.unwrap();
    assert!(seen.records.is_empty() && seen.left.contains("harper"), "{seen:?}");
    harper.next("add_node").await;
    harper.peer.behave(None, Behaviour::Normal).await.unwrap();
    assert_eq!(harper.next("remove_node").await["node_name"], "node-1");
    // Another operation need not wait for that to be over.
    eventually("it is added", async || {
        let reply = node.send(add()).await;
        match reply {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.message, "Another operation on node 'harper' is under way");
                false
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(harper.peer.nodes().await.unwrap()[0]["name"], "node-1");

    // One that is silent is removed here.
    harper.peer.behave(None, Behaviour::Silent).await.unwrap();
    let reply = node.send(remove("harper")).await.unwrap();
    let text = "Successfully removed 'harper' from the local manifest; node 'harper' could not be \
                reached and may still list this node";
    assert_eq!(reply["message"], text);
    assert_eq!(node.seen().await.unwrap().records.len(), 0);
    cluster.stop().await;
    harper.servers.stop().await;
}
