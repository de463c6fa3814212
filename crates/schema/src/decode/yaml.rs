//! Reads the first document of a YAML stream into a tree, by the rules of YAML 1.1 as go-yaml has them:
//! bare `yes` and `on` are booleans, keys become strings, and a key that stands twice is reported by line.
//! Aliases are expanded within a budget, and what they could expand to is charged to it, so that a small body stays a
//! small tree.

use std::collections::{HashMap, HashSet};

use sampan_model::{Map, Str, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::notes::Context;
use super::yaml_scalar;
use super::{Error, MAX_DEPTH, untyped};
use crate::types::SchemaSet;

/// What anchors and aliases may add to a document: about this many bytes.
const ALIAS_BUDGET: usize = 8 << 20;

/// The tree of the first document, and complaints about keys that stand twice.
pub(super) fn read(body: &[u8]) -> Result<(Value, Vec<String>), Error> {
    let text = std::str::from_utf8(body).map_err(|_| syntax("yaml: invalid leading UTF-8 octet"))?;
    // JSON is YAML too, and more than half of all applied bodies are JSON.
    if text.trim_start().starts_with('{')
        && let Some(value) = read_json(text)
    {
        return Ok((value, Vec::new()));
    }
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        budget: ALIAS_BUDGET,
        duplicates: vec![],
    };
    let node = reader.document()?;
    Ok((node.value, reader.duplicates))
}

fn read_json(text: &str) -> Option<Value> {
    let none = SchemaSet::new();
    let cx = Context::new(&none);
    let mut json = serde_json::Deserializer::from_str(text);
    let value = untyped::read(&cx, &mut json).ok()?;
    json.end().ok()?;
    cx.into_notes().is_empty().then_some(value)
}

fn syntax(message: impl Into<String>) -> Error {
    Error::Syntax { message: message.into() }
}

/// A node and what it costs to repeat it.
#[derive(Clone)]
struct Node {
    value: Value,
    height: usize,
    weight: usize,
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    budget: usize,
    duplicates: Vec<String>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Error> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..) | Event::Anchor(..), _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(scan_error(&error)),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn document(&mut self) -> Result<Node, Error> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd, _) => return Ok(Node { value: Value::Null, height: 0, weight: 0 }),
                (event, span) => return self.node(event, span, 0),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::Limit { message: "yaml: exceeded max depth".into() });
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let value = yaml_scalar::resolve(&text, plain, tag.as_deref().and_then(|t| t.core_suffix()));
                (Node { value, height: 0, weight: 48 + text.len() }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(id) => return self.alias(id, depth),
            _ => return Err(at(span, "did not find expected node content")),
        };
        if anchor != 0 {
            // A copy is kept, of each of the anchors in each other.
            self.charge(node.weight)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn charge(&mut self, weight: usize) -> Result<(), Error> {
        self.budget = self
            .budget
            .checked_sub(weight)
            .ok_or_else(|| Error::Limit { message: "yaml: document contains excessive aliasing".into() })?;
        Ok(())
    }

    fn alias(&mut self, id: usize, depth: usize) -> Result<Node, Error> {
        let node = self.anchors.get(&id).ok_or_else(|| syntax("yaml: anchor contains itself"))?;
        if depth + node.height > MAX_DEPTH {
            return Err(Error::Limit { message: "yaml: exceeded max depth".into() });
        }
        let weight = node.weight;
        self.charge(weight)?;
        Ok(self.anchors[&id].clone())
    }

    fn sequence(&mut self, depth: usize) -> Result<Node, Error> {
        let mut items = Vec::new();
        let (mut height, mut weight) = (0, 48);
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Node { value: Value::Array(items), height: height + 1, weight });
            }
            let node = self.node(event, span, depth + 1)?;
            height = height.max(node.height);
            weight += node.weight;
            items.push(node.value);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Node, Error> {
        let mut entries: Vec<(Str, Value)> = Vec::new();
        let mut merged = Merged::default();
        let mut seen: HashSet<Str> = HashSet::new();
        let (mut height, mut weight) = (0, 48);
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            height = height.max(value.height);
            weight += key.weight + value.weight;
            if is_merge {
                merge(value.value, &mut merged)?;
                continue;
            }
            let (name, printed) = yaml_scalar::key(&key.value)
                .ok_or_else(|| syntax(format!("yaml: invalid map key: {}", key.value.to_json())))?;
            if !seen.insert(name.clone()) {
                self.duplicates.push(format!("line {}: key {printed} already set in map", span.start.line()));
            }
            entries.push((name, value.value));
        }
        let mut merged = merged.entries;
        merged.retain(|(name, _)| !seen.contains(name));
        // Of keys that stand twice the last stays; what is merged never replaces what is written.
        merged.append(&mut entries);
        Ok(Node { value: Value::Object(Map::from_unsorted(merged)), height: height + 1, weight })
    }
}

/// What `<<` brings into a map.
#[derive(Default)]
struct Merged {
    entries: Vec<(Str, Value)>,
    names: HashSet<Str>,
}

/// Collects what `<<` brings in; of several maps the first has precedence.
fn merge(value: Value, merged: &mut Merged) -> Result<(), Error> {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if merged.names.insert(name.clone()) {
                    merged.entries.push((name, value));
                }
            }
            Ok(())
        }
        Value::Array(maps) if maps.iter().all(|map| map.as_object().is_some()) => {
            maps.into_iter().try_for_each(|map| merge(map, merged))
        }
        _ => Err(syntax("yaml: map merge requires map or sequence of maps as the value")),
    }
}

fn at(span: Span, message: &str) -> Error {
    syntax(format!("yaml: line {}: {message}", span.start.line()))
}

fn scan_error(error: &ScanError) -> Error {
    let info = error.info();
    let words = if info.contains("tab") {
        "found character that cannot start any token"
    } else if info.contains("anchor") {
        return syntax(format!("yaml: {info}"));
    } else if info.contains("flow sequence") {
        "did not find expected ',' or ']'"
    } else if info.contains("flow mapping") {
        "did not find expected ',' or '}'"
    } else if info.contains("limit") || info.contains("nest") {
        return Error::Limit { message: format!("yaml: line {}: {info}", error.marker().line()) };
    } else {
        info.as_str()
    };
    syntax(format!("yaml: line {}: {words}", error.marker().line()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        read(text.as_bytes()).map_or_else(|e| e.to_string(), |(value, _)| value.to_json())
    }

    #[test]
    fn scalars_resolve_by_yaml_1_1() {
        let rows = [
            ("a: y", r#"{"a":true}"#),
            ("a: [yes, Off, 'no', NO, n0]", r#"{"a":[true,false,"no",false,"n0"]}"#),
            ("a: [~, null, '', ]\nb:", r#"{"a":[null,null,""],"b":null}"#),
            ("a: [12, 0x1F, 0o17, 017, 1_000, -5, +3]", r#"{"a":[12,31,15,15,1000,-5,3]}"#),
            ("a: [1.5, 1e3, .5, 1.0, 1.2.3, 1e]", r#"{"a":[1.5,"1e3",0.5,1,"1.2.3","1e"]}"#),
            ("a: 2001-01-01", r#"{"a":"2001-01-01"}"#),
            ("a: !!str 5", r#"{"a":"5"}"#),
            ("1: a\ntrue: b\nn: c\n1.5: d", r#"{"1":"a","1.5":"d","false":"c","true":"b"}"#),
            ("", "null"),
            ("# only a comment", "null"),
            ("a: 1\n---\na: 2", r#"{"a":1}"#),
            ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":3}}"#),
            ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", r#"{"a":"x\ny\n","b":"x y"}"#),
            (r#"{"a": "\u00e9"}"#, r#"{"a":"é"}"#),
        ];
        for (text, want) in rows {
            assert_eq!(json(text), want, "{text}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_named_by_its_line() {
        let (value, duplicates) = read(b"a: 1\nb:\n  k: one\n  k: two\n").unwrap();
        assert_eq!(value.to_json(), r#"{"a":1,"b":{"k":"two"}}"#);
        assert_eq!(duplicates, [r#"line 4: key "k" already set in map"#]);
    }

    #[test]
    fn aliases_that_explode_are_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let all = vec![format!("*a{}", i - 1); 10].join(", ");
            text = format!("{text}a{i}: &a{i} [{all}]\n");
        }
        assert_eq!(json(&text), "yaml: document contains excessive aliasing");
        let mut text = String::from("a0: &a0 [x]\n");
        for i in 1..500 {
            text = format!("{text}a{i}: &a{i} [*a{}]\n", i - 1);
        }
        assert_eq!(json(&text), "yaml: exceeded max depth");
        assert_eq!(json("a: &a [*a]"), "yaml: anchor contains itself");
    }

    #[test]
    fn anchors_within_anchors_are_refused_before_they_fill_the_memory() {
        let inner = vec!["x"; 100_000].join(",");
        let open: Vec<String> = (0..100).map(|i| format!("[&a{i} ")).collect();
        let (open, close) = (open.concat(), "]".repeat(100));
        assert_eq!(json(&format!("{open}[{inner}]{close}")), "yaml: document contains excessive aliasing");
        assert_eq!(json("[&a [&b [x]], *b]"), r#"[[["x"]],["x"]]"#);
    }

    #[test]
    fn a_merge_of_many_keys_takes_no_time_to_speak_of() {
        // Compared in pairs these are 2e10 comparisons: minutes.
        let keys =
            |from: usize| (from..from + 100_000).map(|i| format!("k{i}: 1")).collect::<Vec<_>>().join(", ");
        let text = format!("a: {{<<: [{{{}}}, {{{}}}], k7: 2}}", keys(0), keys(50_000));
        let (value, _) = read(text.as_bytes()).unwrap();
        let map = value.get("a").and_then(Value::as_object).unwrap();
        assert_eq!((map.len(), map.get("k7").and_then(Value::as_i64)), (150_000, Some(2)));
    }

    #[test]
    fn broken_documents_say_where() {
        for (text, want) in [
            ("a:\n\t- b", "yaml: line 2: found character that cannot start any token"),
            ("a: [", "yaml: line 1: "),
            ("a: b: c", "yaml: line 1: "),
            ("\"a", "yaml: line 1: "),
        ] {
            assert!(json(text).starts_with(want), "{text}: {}", json(text));
        }
        let deep = "[".repeat(300);
        assert!(matches!(read(deep.as_bytes()), Err(Error::Limit { .. } | Error::Syntax { .. })));
    }
}
