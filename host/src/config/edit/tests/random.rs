//! Random edits of random documents of many styles, the same ones in each run.

use super::{parse, set};
use serde_json::{Value, json};

/// A small xorshift generator.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// A document in three parts; the list stands in the middle one.
struct Sample {
    head: String,
    middle: String,
    tail: String,
    path: Vec<&'static str>,
    items: Vec<Item>,
}

/// An item of the list and the text that stands for it.
#[derive(Clone)]
struct Item {
    value: Value,
    text: String,
}

const FILLERS: [&str; 14] = [
    "# a comment\n",
    "\n",
    "KEY: 1 # one\n",
    "KEY: \"x: # y\"\n",
    "KEY: |\n  - no item\n  # no comment\n\n",
    "KEY: |+\n  kept\n\n\n",
    "KEY: >-\n  folded\n  text\n",
    "KEY:\n",
    "KEY: ~   # null\n",
    "KEY: {a: 1, b: [x, y]}\n",
    "KEY: [ # open\n  a,\n  b ]\n",
    "KEY: &KEY\n- a # A\n- b\n",
    "KEY:\n  deep: ä\n  # inside\n  er: [*base]\n",
    "'KEY': one\n  two\n",
];

impl Sample {
    fn new(random: &mut Random) -> Sample {
        let mut head = random.pick(&["", "", "---\n", "# top\n", "%YAML 1.2\n---\n"]).to_owned();
        head += "base: &base {x: 1}\n";
        let mut key = 0;
        let mut tails = Vec::new();
        let mut indent = String::new();
        let step = " ".repeat(1 + random.below(4));
        fill(random, &mut head, &indent, &mut key);
        let path =
            [&["routes"][..], &["net", "routes"], &["hub", "net", "routes"]][random.below(3)];
        for name in &path[..path.len() - 1] {
            let note = random.pick(&["", "", " # note", " "]);
            head += &format!("{indent}{name}:{note}\n");
            let mut tail = String::new();
            fill(random, &mut tail, &indent, &mut key);
            tails.push(tail);
            indent += &step;
            fill(random, &mut head, &indent, &mut key);
            // With comments alone it would be null, and a new key would go above them.
            head += &format!("{indent}here: 0\n");
        }
        let mut tail = String::new();
        fill(random, &mut tail, &indent, &mut key);
        tails.reverse();
        tail += &tails.concat();
        tail += random.pick(&["", "", "", "...\n"]);

        let (middle, items) = list(random, &indent, tail.is_empty());
        if middle.ends_with("\n\n") {
            // Here too.
            tail = tail.trim_start_matches('\n').to_owned();
        }
        let mut sample = Sample { head, middle, tail, path: path.to_vec(), items };
        if random.one_in(4) {
            let crlf = |text: &mut String| *text = text.replace('\n', "\r\n");
            crlf(&mut sample.head);
            crlf(&mut sample.middle);
            crlf(&mut sample.tail);
            sample.items.iter_mut().for_each(|item| crlf(&mut item.text));
        }
        if random.one_in(6) && !sample.tail.ends_with("...\n") {
            let last = if sample.tail.is_empty() { &mut sample.middle } else { &mut sample.tail };
            last.truncate(last.trim_end_matches(['\n', '\r']).len());
        }
        sample
    }

    fn text(&self) -> String {
        [self.head.as_str(), &self.middle, &self.tail].concat()
    }
}

/// Adds some lines that have nothing to do with the list.
fn fill(random: &mut Random, text: &mut String, indent: &str, key: &mut usize) {
    for _ in 0..random.below(4) {
        *key += 1;
        for line in random.pick(&FILLERS).lines() {
            let indent = if line.is_empty() { "" } else { indent };
            *text += &format!("{indent}{}\n", line.replace("KEY", &format!("k{key}")));
        }
    }
}

/// The key `routes` with a value in one of many styles, and its items.
fn list(random: &mut Random, indent: &str, at_end: bool) -> (String, Vec<Item>) {
    let key = random.pick(&["routes", "routes", "\"routes\"", "'routes'"]);
    let gap = random.pick(&["", "", "  # mine", " "]);
    let count = random.below(6);
    match random.below(4) {
        0 => {
            let value = random.pick(&[
                "",
                " null",
                " ~",
                "\tnull",
                " []",
                " [ ]",
                " &anchor",
                " &anchor ~",
            ]);
            (format!("{indent}{key}:{value}{gap}\n"), Vec::new())
        }
        1 if count > 0 => {
            let many = random.one_in(2);
            let items: Vec<_> = (0..count).map(|i| flow_item(random, i)).collect();
            let mut text = format!("{indent}{key}: {}[", random.pick(&["", "&anchor "]));
            for (i, item) in items.iter().enumerate() {
                let comma = if i + 1 < count || random.one_in(4) { "," } else { "" };
                if many {
                    let above = random.pick(&["", "", "\n    # above"]);
                    let note = random.pick(&["", " # note", " "]);
                    text += &format!("{above}\n{indent}    {}{comma}{note}", item.text);
                } else {
                    text += &format!("{}{}{comma}", random.pick(&["", " "]), item.text);
                }
            }
            text += if many { "\n" } else { "" };
            (format!("{text}{indent} ]{gap}\n"), items)
        }
        _ if count > 0 => {
            let dash = format!("{indent}{}", random.pick(&["", "  ", "     "]));
            let mut text = format!("{indent}{key}:{}{gap}\n", random.pick(&["", " &anchor"]));
            let mut items = Vec::new();
            for i in 0..count {
                // A blank line would belong to a `|+` above it.
                let blank = if text.ends_with("\n\n") { "" } else { "\n" };
                text += random.pick(&["", "", blank, "# left\n"]);
                if random.one_in(4) {
                    text += &format!("{dash}# above\n");
                }
                let item = block_item(random, i, &dash);
                text += &item.text;
                items.push(item);
            }
            // A text that ends in a literal is not for sure the same with lines behind it.
            if at_end {
                text += &format!("{indent}last: 1\n");
            }
            (text, items)
        }
        _ => (String::new(), Vec::new()),
    }
}

fn flow_item(random: &mut Random, i: usize) -> Item {
    let (value, text) = match random.below(6) {
        0 => (json!(i), format!("{i}")),
        1 => (json!(format!("h{i}")), format!("'h{i}'")),
        2 => (json!(format!("a, # {i}")), format!("\"a, # {i}\"")),
        3 => (json!({"host": format!("h{i}"), "port": 1}), format!("{{host: h{i}, port: 1}}")),
        4 => (json!({"x": i, "base": {"x": 1}}), format!("{{ \"x\":{i}, base: *base }}")),
        _ => (json!([i, null]), format!("[{i}, ~]")),
    };
    Item { value, text }
}

fn block_item(random: &mut Random, i: usize, dash: &str) -> Item {
    let note = random.pick(&["", "", " # note", " "]);
    let host = json!({"host": format!("h{i}"), "port": 1});
    let (value, text) = match random.below(9) {
        0 => (json!(i), format!("{dash}- {i}{note}\n")),
        1 => (json!(format!("h{i}")), format!("{dash}-   'h{i}'{note}\n")),
        2 => (host, format!("{dash}- host: h{i}{note}\n{dash}  port: 1\n")),
        3 => (
            host,
            format!("{dash}-{note}\n{dash}   port: 1\n\n{dash}   # in\n{dash}   host: h{i}\n"),
        ),
        4 => (host, format!("{dash}- {{host: h{i},\n{dash}   port: 1}}{note}\n")),
        5 => (json!({"x": i, "y": null}), format!("{dash}- x: {i}\n{dash}  y:{note}\n")),
        6 => (json!(format!("t{i}\n")), format!("{dash}- |\n{dash}  t{i}\n")),
        7 => (json!(format!("t{i}\n\n")), format!("{dash}- |+\n{dash}  t{i}\n\n")),
        _ => (json!({"x": 1, "i": i}), format!("{dash}- <<: *base\n{dash}  i: {i}{note}\n")),
    };
    Item { value, text }
}

/// The items with some removed, some moved, some new.
fn edit(random: &mut Random, items: &[Item]) -> Value {
    let mut new: Vec<Value> = items.iter().map(|item| item.value.clone()).collect();
    for round in 0..1 + random.below(3) {
        let at = random.below(new.len() + 1);
        match random.below(5) {
            0 => new.clear(),
            1 if at < new.len() => drop(new.remove(at)),
            2 if at < new.len() => {
                let item = new.remove(at);
                new.insert(random.below(new.len() + 1), item);
            }
            3 => new.insert(at, json!(random.pick(&["x", "null", "a: b", "1e3", "", "::1", "-"]))),
            _ => new.insert(at, json!({"host": format!("n{round}"), "port": random.below(9)})),
        }
    }
    Value::Array(new)
}

fn put(document: &mut Value, path: &[&str], value: &Value) {
    let mut place = document;
    for key in path {
        place = &mut place[*key];
    }
    *place = if *value == json!([]) { Value::Null } else { value.clone() };
}

#[test]
fn random_edits_change_the_list_and_nothing_else() {
    let edits = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for number in 0..edits {
        let sample = Sample::new(&mut random);
        let value = edit(&mut random, &sample.items);
        if let Err(complaint) = check(&sample, &value) {
            let (text, path) = (sample.text(), sample.path.join("."));
            panic!(
                "edit {number}: {complaint}\n--- in\n{text}\n--- set {path} = {value}\n{text:?}"
            );
        }
    }
}

fn check(sample: &Sample, value: &Value) -> Result<(), String> {
    let (text, path) = (sample.text(), sample.path.as_slice());
    let mut old = parse(&text).map_err(|e| format!("the sample: {e}"))?;
    let edited = set(&text, path, value).map_err(|e| e.to_string())?;
    let ensure = |holds, what: &str| match holds {
        true => Ok(()),
        false => Err(format!("{what}\n--- out\n{edited}\n{edited:?}")),
    };

    let old_value = sample.path.iter().fold(&old, |at, key| &at[*key]).clone();
    let mut new = parse(&edited).map_err(|e| format!("the result: {e}\n{edited}"))?;
    put(&mut old, path, value);
    let new_value = new.pointer(&format!("/{}", path.join("/"))).cloned().unwrap_or_default();
    put(&mut new, path, &new_value);
    ensure(old == new, "the documents differ")?;

    ensure(set(&edited, path, value).as_ref() == Ok(&edited), "a second time changes something")?;
    let back = set(&edited, path, &old_value).map_err(|e| format!("back: {e}\n{edited}"))?;
    put(&mut old, path, &old_value);
    let mut restored = parse(&back).map_err(|e| format!("back: {e}\n{back}"))?;
    put(&mut restored, path, &old_value);
    ensure(restored == old, "the way back differs")?;

    if sample.middle.is_empty() {
        let mut lines = edited.lines();
        ensure(text.lines().all(|line| lines.any(|new| new == line)), "a line is gone")?;
    } else {
        ensure(edited.starts_with(&sample.head), "the head changed")?;
        ensure(edited.ends_with(&sample.tail), "the tail changed")?;
    }
    let stays = |item: &&Item| value.as_array().is_some_and(|new| new.contains(&item.value));
    // A `|+` scalar that moves is written anew.
    let keeps = |item: &&Item| item.value.as_str().is_some_and(|text| text.ends_with("\n\n"));
    for item in sample.items.iter().filter(stays).filter(|item| !keeps(item)) {
        let text = item.text.trim_end_matches(['\n', '\r']);
        ensure(edited.contains(text), &format!("an item lost its text: {text:?}"))?;
    }
    Ok(())
}
