//! What has to be so in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::World;

impl World {
    /// All that has to be as before or as after: records, intents, and the streams and durables that
    /// follow from them.
    pub(crate) fn state(&self) -> Value {
        let names: Vec<String> = self.0.nodes.borrow().keys().cloned().collect();
        let state = |name: &String| {
            let records: BTreeMap<_, _> = self.rows(name, "hdb_nodes");
            let mut streams = BTreeSet::new();
            let mut durables = BTreeSet::new();
            let mut shown = BTreeMap::new();
            for (node, mut record) in records {
                for one in record["subscriptions"].as_array_mut().unwrap() {
                    let text = |key: &str| one[key].as_str().unwrap().to_owned();
                    let table = format!("{}.{}", text("schema"), text("table"));
                    if one["publish"] == true {
                        streams.insert(table.clone());
                    }
                    if one["subscribe"] == true {
                        durables.insert(format!("{table} of {node}"));
                    }
                    // When a stream was made is another time in each run.
                    if let Some(from) = one.get_mut("from") {
                        from.as_object_mut().unwrap().remove("created");
                    }
                    one.as_object_mut().unwrap().remove("was");
                }
                let list = record["subscriptions"].as_array_mut().unwrap();
                list.sort_by_key(|one| one["table"].to_string());
                shown.insert(node, record["subscriptions"].take());
            }
            let intents = self.rows(name, "hdb_intents");
            (
                name.clone(),
                json!({
                    "records": shown, "intents": intents, "streams": streams, "durables": durables,
                }),
            )
        };
        names.iter().map(state).collect::<serde_json::Map<_, _>>().into()
    }

    /// That any two nodes say the same of what they share.
    pub(crate) fn assert_mirrored(&self, context: &str) {
        let names: Vec<String> = self.0.nodes.borrow().keys().cloned().collect();
        let seen = |node: &str, other: &str| -> Option<BTreeSet<(String, bool, bool)>> {
            let record = self.rows(node, "hdb_nodes").get(other).cloned()?;
            let one = |one: &Value| {
                let (publish, subscribe) = (one["publish"] == true, one["subscribe"] == true);
                (format!("{}.{}", one["schema"], one["table"]), publish, subscribe)
            };
            Some(record["subscriptions"].as_array().unwrap().iter().map(one).collect())
        };
        let swap = |set: BTreeSet<(String, bool, bool)>| -> BTreeSet<_> {
            set.into_iter().map(|(table, publish, subscribe)| (table, subscribe, publish)).collect()
        };
        for one in &names {
            for other in names.iter().filter(|other| *other > one) {
                let (here, there) = (seen(one, other), seen(other, one).map(swap));
                let story = || self.0.story.borrow().join("\n");
                assert_eq!(here, there, "{context}: {one} and {other}\n{}", story());
            }
            assert_eq!(self.rows(one, "hdb_intents").len(), 0, "{context}: intents of {one}");
        }
    }
}
