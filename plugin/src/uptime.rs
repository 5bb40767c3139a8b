//! How long a node has been running, in the form `30d 1h 18m 8s`.

use std::time::Duration;

use serde_json::Value;

/// Longest text that is taken from another node.
const LONGEST: usize = 64;

/// The text for a time: whole seconds, and without parts that are zero.
pub fn text(uptime: Duration) -> String {
    let seconds = uptime.as_secs();
    let parts = [
        (seconds / 86_400, 'd'),
        (seconds / 3600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let written: Vec<_> = parts
        .into_iter()
        .filter(|(amount, _)| *amount > 0)
        .map(|(amount, unit)| format!("{amount}{unit}"))
        .collect();
    if written.is_empty() { "0s".into() } else { written.join(" ") }
}

/// What another node says: such a text, or a number of seconds. Anything else is nothing.
pub fn of_another(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => is_uptime(text).then(|| text.clone()),
        Value::Number(seconds) => {
            // No clock runs longer; and what is negative or endless is no time.
            let seconds = seconds.as_f64().filter(|seconds| (0.0..1e12).contains(seconds))?;
            Some(text(Duration::from_secs_f64(seconds)))
        }
        _ => None,
    }
}

fn is_uptime(text: &str) -> bool {
    let is_part = |part: &str| {
        let amount = part.strip_suffix(['y', 'd', 'h', 'm', 's']);
        amount.is_some_and(|amount| {
            !amount.is_empty() && amount.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        })
    };
    text.len() <= LONGEST && text.split(' ').all(is_part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // covers: status.uptime
    #[test]
    fn parts_that_are_zero_are_left_out() {
        let written = |seconds| text(Duration::from_secs(seconds));
        assert_eq!(written(30 * 86_400 + 3600 + 18 * 60 + 8), "30d 1h 18m 8s");
        assert_eq!(written(86_400 + 8), "1d 8s");
        assert_eq!(written(3600), "1h");
        assert_eq!(written(60), "1m");
        assert_eq!(written(59), "59s");
        assert_eq!(written(0), "0s");
        assert_eq!(text(Duration::from_millis(1999)), "1s");
        assert!(text(Duration::MAX).ends_with('s'));
    }

    #[test]
    fn another_nodes_word_is_an_uptime_or_nothing() {
        for text in ["30d 1h 18m 8s", "8s", "1y 3d", "3.5s"] {
            assert_eq!(of_another(&json!(text)).as_deref(), Some(text));
        }
        assert_eq!(of_another(&json!(61.7)).as_deref(), Some("1m 1s"));
        let odd = [
            json!(null),
            json!(""),
            json!("soon"),
            json!("8s\n"),
            json!("8s  1h"),
            json!("d"),
            json!("<b>1s"),
            json!("1s ".repeat(100)),
            json!(-1),
            json!(1e300),
            json!([1]),
            json!({ "days": 1 }),
        ];
        for value in odd {
            assert_eq!(of_another(&value), None, "{value}");
        }
    }
}
