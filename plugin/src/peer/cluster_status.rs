//! `cluster_status`: how this node is.

use serde_json::{Map, Value, json};

use crate::capabilities::NodeInfo;
use crate::uptime;

pub(super) fn answer(this: &NodeInfo) -> Value {
    let port = |(name, port): (&str, Option<u16>)| Some((name.to_owned(), Value::from(port?)));
    let ports =
        [("clustering", this.clustering_port), ("operations_api", this.operations_api_port)];
    let ports: Map<_, _> = ports.into_iter().filter_map(port).collect();
    json!({
        "uptime": uptime::text(this.uptime),
        "ports": ports,
        "system_info": this.system_info,
    })
}
