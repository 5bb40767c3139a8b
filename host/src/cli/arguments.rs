//! The words `key=value` of a command line: the request, and what is for the command line itself.

use harper_host::Operation;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::description::Description;
use super::{Usage, nearest};

/// Keys of the command line's own, what their values are, and what they are for. An operation
/// that has a key of such a name keeps it.
pub(super) const OWN: [(&str, &str, &str); 4] = [
    ("target", "URL", "Another node, such as https://10.0.0.2:9925"),
    ("username", "NAME", "With target=: the user to log in as"),
    ("password", "PASSWORD", "With target=: their password; others on this machine can see it"),
    ("json", "true", "Print the reply as JSON instead of YAML"),
];

/// Options that someone may take for keys.
const OPTIONS: [&str; 6] =
    ["--force", "--rootpath", "--timeout", "--cacert", "--password-stdin", "--allow-plaintext"];

/// What the words say.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// The request, `operation` included.
    pub request: Map<String, Value>,
    /// Whether the reply is wanted as JSON.
    pub json: bool,
    /// `target=`.
    pub target: Option<String>,
    /// `username=`, the one to log in as.
    pub username: Option<String>,
    /// `password=`, theirs.
    pub password: Option<Zeroizing<String>>,
    /// Whether `password` is a key of the operation's own.
    pub has_password: bool,
    /// What the user should know, though it is no error.
    pub warnings: Vec<String>,
}

impl Arguments {
    pub(super) fn read(operation: &Operation, words: &[String]) -> Result<Self, Usage> {
        let description = Description(operation);
        let has_password = description.has("password");
        let mut arguments = Self { has_password, ..Self::default() };
        arguments.request.insert("operation".into(), operation.name.as_str().into());
        let mut seen: Vec<&str> = Vec::new();
        for word in words {
            let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(Usage(format!(
                    "'{word}' is not of the form KEY=VALUE: harper-host {} --help shows the keys",
                    operation.name
                )));
            };
            if seen.contains(&key) {
                return Err(Usage(format!(
                    "'{key}' is given twice; a list is one value, in quotes for the shell: \
                     {key}='[…]'"
                )));
            }
            seen.push(key);
            if key == "password" {
                arguments.warnings.push(password_warning(description));
            }
            if description.has(key) {
                // A password of digits is text too.
                let value = match description.is_text(key) {
                    true => value.into(),
                    false => arguments.value(key, value),
                };
                arguments.request.insert(key.into(), value);
            } else if !arguments.take_own(key, value)? {
                if key == "operation" || !description.takes_others() {
                    return Err(unknown(description, key));
                }
                let value = arguments.value(key, value);
                arguments.request.insert(key.into(), value);
            }
        }
        Ok(arguments)
    }

    /// Keeps the value if the key is one of the command line's own.
    fn take_own(&mut self, key: &str, value: &str) -> Result<bool, Usage> {
        match key {
            "target" => self.target = Some(value.into()),
            "username" => self.username = Some(value.into()),
            "password" => self.password = Some(Zeroizing::new(value.into())),
            "json" => {
                self.json =
                    value.parse().map_err(|_| Usage("'json' must be true or false".into()))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// JSON where it is, else a string.
    fn value(&mut self, key: &str, text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| {
            if looks_like_json(text) {
                self.warnings.push(format!(
                    "the value of '{key}' is not valid JSON ({error}) and goes as a string; \
                     quote it for the shell: {key}='…'"
                ));
            }
            text.into()
        })
    }
}

fn password_warning(description: Description<'_>) -> String {
    let better = match description.required().find(|(key, _)| *key == "password") {
        Some((_, true)) => "; better is --password-stdin, or to be asked on a terminal",
        Some((_, false)) => "; better is --password-stdin",
        None => "; better is CLI_TARGET_PASSWORD, --password-stdin, or to be asked on a terminal",
    };
    format!("others on this machine can see the password in the list of processes{better}")
}

fn looks_like_json(text: &str) -> bool {
    text.starts_with(['[', '{', '"'])
}

fn unknown(description: Description<'_>, key: &str) -> Usage {
    let name = &description.0.name;
    let own = || OWN.map(|(key, ..)| key).into_iter().filter(|key| !description.has(key));
    if let Some(meant) = nearest(key, description.keys().chain(own()).chain(OPTIONS)) {
        return Usage(format!("'{key}' is no key of {name}: did you mean '{meant}'?"));
    }
    let list = |keys: Vec<&str>| keys.join(", ");
    let has = match list(description.keys().collect()) {
        keys if keys.is_empty() => "it has none".into(),
        keys => format!("it has {keys}"),
    };
    Usage(format!(
        "'{key}' is no key of {name}: {has}; every operation takes {}",
        list(own().collect())
    ))
}

/// A request as it is typed: `key=value` for each key, quoted for a shell.
pub(super) fn words(request: &Map<String, Value>) -> Vec<String> {
    let fields = request.iter().filter(|(key, _)| *key != "operation");
    fields.map(|(key, value)| format!("{}={}", quoted(key), quoted(&typed(value)))).collect()
}

/// The text that [`Arguments`] read as this value.
fn typed(value: &Value) -> String {
    match value {
        Value::String(text)
            if !looks_like_json(text) && serde_json::from_str::<Value>(text).is_err() =>
        {
            text.clone()
        }
        _ => value.to_string(),
    }
}

/// No command line holds what cannot be quoted, the zero byte.
fn quoted(text: &str) -> String {
    shlex::try_quote(text).map(Into::into).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(properties: Value) -> Operation {
        Operation::new("do_it", "Do it").with_schema(json!({ "properties": properties }))
    }

    fn read(operation: &Operation, words: &[&str]) -> Result<Arguments, Usage> {
        Arguments::read(operation, &words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn routes() -> Operation {
        operation(json!({ "operation": {}, "server": {}, "routes": {}, "port": {}, "name": {} }))
    }

    // covers: cli.values
    #[test]
    fn values_are_json_where_they_parse_as_json() {
        for (text, value) in [
            ("9932", json!(9932)),
            ("-1.5", json!(-1.5)),
            ("true", json!(true)),
            ("null", json!(null)),
            ("[1,{\"a\":\"b=c\"}]", json!([1, { "a": "b=c" }])),
            ("\"1\"", json!("1")),
            (" 1 ", json!(1)),
            ("", json!("")),
            ("node1", json!("node1")),
            ("a=b", json!("a=b")),
            ("True", json!("True")),
            ("007", json!("007")),
            ("1e999", json!("1e999")),
            ("10.0.0.2", json!("10.0.0.2")),
            ("@file", json!("@file")),
            ("é\n", json!("é\n")),
        ] {
            let arguments = read(&routes(), &[&format!("name={text}")]).unwrap();
            assert_eq!(arguments.request["name"], value, "{text}");
            assert_eq!(arguments.warnings, [""; 0], "{text}");
            let request = json!({ "name": value });
            let typed = words(request.as_object().unwrap());
            let unquoted = shlex::split(&typed[0]).unwrap();
            let again = read(&routes(), &[&unquoted[0]]).unwrap();
            assert_eq!(again.request["name"], value, "{typed:?}");
        }
        assert_eq!(read(&routes(), &[]).unwrap().request["operation"], "do_it");
    }

    #[test]
    fn what_a_shell_has_eaten_the_quotes_of_is_told() {
        for text in ["[{host:a,port:1}]", "{", "\"a", "[1] x"] {
            let arguments = read(&routes(), &[&format!("routes={text}")]).unwrap();
            assert_eq!(arguments.request["routes"], text);
            assert!(arguments.warnings[0].contains("quote it for the shell: routes='…'"));
        }
    }

    // covers: cli.unknown-key, cli.form
    #[test]
    fn words_that_are_refused() {
        for (words, text) in [
            (
                &["hub"][..],
                "'hub' is not of the form KEY=VALUE: harper-host do_it --help shows the keys",
            ),
            (
                &["=hub"],
                "'=hub' is not of the form KEY=VALUE: harper-host do_it --help shows the keys",
            ),
            (
                &["port=1", "port=1"],
                "'port' is given twice; a list is one value, in quotes for the shell: port='[…]'",
            ),
            (&["ruotes=[]"], "'ruotes' is no key of do_it: did you mean 'routes'?"),
            (&["Server=hub"], "'Server' is no key of do_it: did you mean 'server'?"),
            (&["jsn=true"], "'jsn' is no key of do_it: did you mean 'json'?"),
            (&["force=true"], "'force' is no key of do_it: did you mean '--force'?"),
            (
                &["operation=other"],
                "'operation' is no key of do_it: it has server, routes, port, name; every \
                 operation takes target, username, password, json",
            ),
            (&["json=yes"], "'json' must be true or false"),
        ] {
            assert_eq!(read(&routes(), words).unwrap_err().0, text);
        }
        let none = operation(json!({ "operation": {}, "json": {} }));
        let text = "'zzz' is no key of do_it: it has json; every operation takes target, \
                    username, password";
        assert_eq!(read(&none, &["zzz=1"]).unwrap_err().0, text);
        let none = operation(json!({ "operation": {} }));
        let text = read(&none, &["zzz=1"]).unwrap_err().0;
        assert!(text.starts_with("'zzz' is no key of do_it: it has none; every"), "{text}");
    }

    // covers: cli.own-keys, cli.login.password-warning
    #[test]
    fn keys_of_the_command_line_go_nowhere_unless_the_operation_has_them() {
        let words = ["json=true", "target=http://h", "username=1", "password=2"];
        let arguments = read(&routes(), &words).unwrap();
        assert_eq!(arguments.request.len(), 1);
        assert_eq!(arguments.target.as_deref(), Some("http://h"));
        assert_eq!(arguments.username.as_deref(), Some("1"));
        assert_eq!(arguments.password.as_ref().map(|password| password.as_str()), Some("2"));
        assert!(arguments.json);
        assert_eq!(arguments.warnings, [password_warning(Description(&routes()))]);

        let has = operation(json!({ "username": {}, "password": {}, "target": {}, "json": {} }));
        let arguments = read(&has, &words).unwrap();
        let request = json!({
            "operation": "do_it", "json": true, "target": "http://h", "username": 1, "password": 2,
        });
        assert_eq!(Value::Object(arguments.request), request);
        assert!(arguments.username.is_none() && arguments.password.is_none());
        assert!(arguments.target.is_none() && !arguments.json);
        assert_eq!(arguments.warnings, [password_warning(Description(&has))]);
    }

    #[test]
    fn an_operation_may_take_any_key() {
        let any = Operation::new("do_it", "").with_schema(json!({
            "properties": { "operation": {} }, "additionalProperties": true,
        }));
        let arguments = read(&any, &["logging_level=info", "json=true"]).unwrap();
        assert_eq!(arguments.request["logging_level"], "info");
        assert!(arguments.json && !arguments.request.contains_key("json"));
        assert!(read(&any, &["operation=other"]).is_err());
    }
}
