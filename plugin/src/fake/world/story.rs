//! What has happened, for whoever has to find out why.

use serde_json::Value;

/// A record, an intent or a request, as far as one has to know.
pub(super) fn brief(value: &Value) -> String {
    let list = |value: &Value| {
        let one = |one: &Value| {
            let flag = |key: &str, sign: &'static str| if one[key] == true { sign } else { "" };
            let table = one["table"].as_str().unwrap_or_default();
            format!(
                "{}{table}{}{}",
                flag("subscribe", "<"),
                flag("publish", ">"),
                flag("drop", "!")
            )
        };
        let items = value["subscriptions"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    if value.get("direction").is_none() {
        let what = value["operation"].as_str().unwrap_or_default();
        return format!("{what} [{}] {}", list(value), value["change"]);
    }
    format!(
        "{} {} from [{}] to [{}], until {}, at large {}, told {}, {}",
        value["direction"],
        value["operation"],
        list(&value["before"]),
        list(&value["after"]),
        value["until"],
        value["at_large"],
        value["told_at"],
        value["change"],
    )
}
