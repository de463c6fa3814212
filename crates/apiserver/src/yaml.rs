//! Writes YAML as Go's `sigs.k8s.io/yaml` does, which is what clients have seen so far: sorted keys, lists
//! at their key's indentation, and quotes exactly where that emitter puts them.
//!
//! Serializers of the registry quote other strings (`f:data` among them), and people compare such files.

use std::fmt::Write as _;

use sampan_model::{Map, Value};

/// A tree as a YAML document.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0),
        other => {
            write_scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// The entries of a map. `inline`: the first stands behind the dash of a list's item.
fn write_map(out: &mut String, map: &Map, depth: usize, inline: bool) {
    for (i, (key, value)) in map.iter().enumerate() {
        if i > 0 || !inline {
            indent(out, depth);
        }
        write_string(out, key, depth, true);
        out.push(':');
        write_value(out, value, depth);
    }
}

/// A value behind its key.
fn write_value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            write_map(out, map, depth + 1, false);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            write_list(out, items, depth);
        }
        other => {
            out.push(' ');
            write_scalar(out, other, depth + 1);
            out.push('\n');
        }
    }
}

fn write_list(out: &mut String, items: &[Value], depth: usize) {
    for item in items {
        indent(out, depth);
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => write_map(out, map, depth + 1, true),
            Value::Array(inner) if !inner.is_empty() => {
                let mut nested = String::new();
                write_list(&mut nested, inner, depth + 1);
                out.push_str(nested.trim_start_matches(' '));
            }
            other => {
                write_scalar(out, other, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn write_scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(text) => write_string(out, text, depth, false),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        other => out.push_str(&other.to_json()),
    }
}

fn write_string(out: &mut String, text: &str, depth: usize, is_key: bool) {
    let special = text
        .chars()
        .any(|c| (c.is_control() && c != '\n') || c == '\u{feff}' || c == '\u{2028}' || c == '\u{2029}');
    if text.contains('\n') && !is_key && !special && !text.starts_with([' ', '\n']) {
        return write_literal(out, text, depth);
    }
    if special || text.contains('\n') || resolves_to_another_type(text) {
        return write_double_quoted(out, text);
    }
    if is_plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

/// Several lines as they are, behind `|`.
fn write_literal(out: &mut String, text: &str, depth: usize) {
    let body = text.trim_end_matches('\n');
    let ends = text.len() - body.len();
    out.push('|');
    match ends {
        0 => out.push('-'),
        1 => {}
        _ => out.push('+'),
    }
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth);
            out.push_str(line);
        }
    }
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

fn write_double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if (c as u32) < 0x100 && c.is_control() => {
                let _ = write!(out, "\\x{:02X}", c as u32);
            }
            '\u{feff}' => out.push_str("\\uFEFF"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether a reader of YAML 1.1 would take the bare text for something other than a string.
fn resolves_to_another_type(text: &str) -> bool {
    let words = ["null", "true", "false", "yes", "no", "on", "off"];
    let cased = |word: &str| {
        text == word || text == word.to_ascii_uppercase() || {
            let mut chars = word.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            first.is_some_and(|f| text.starts_with(f) && &text[1..] == chars.as_str())
        }
    };
    matches!(text, "" | "~" | "y" | "Y" | "n" | "N" | "<<" | ".") && text != "."
        || words.iter().any(|word| cased(word))
        || is_number(text)
        || is_timestamp(text)
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return unsigned != ".Nan" && unsigned != ".iNF";
    }
    let plain = unsigned.replace('_', "");
    let digits = |prefix: &str, radix: u32| {
        plain.strip_prefix(prefix).is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(radix)))
    };
    if digits("0x", 16) || digits("0b", 2) || digits("0o", 8) {
        return true;
    }
    if !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !plain.contains(|c: char| c.is_ascii_digit())
    {
        return false;
    }
    // Numbers of base 60: 12:30:45.
    if plain.contains(':') {
        return plain.split(':').all(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit() || c == '.'));
    }
    plain.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && plain.parse::<f64>().is_ok()
}

fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && (text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::Date>().is_ok())
}

/// Whether text can stand without quotes.
fn is_plain(text: &str) -> bool {
    let first = text.chars().next().unwrap_or(' ');
    let second_is_space = text.chars().nth(1).is_none_or(|c| c == ' ');
    let bad_start = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
            true
        }
        '-' | '?' | ':' => second_is_space,
        _ => false,
    };
    !(bad_start
        || text.starts_with([' ', '\t'])
        || text.ends_with([' ', '\t'])
        || text.starts_with("---")
        || text.starts_with("...")
        || text.contains(": ")
        || text.ends_with(':')
        || text.contains(" #"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_look_as_gos_emitter_writes_them() {
        let rows = [
            (
                r#"{"b":{"x":[{"k":1,"l":"m"},["a","b"],[]]},"a":"s"}"#,
                "a: s\nb:\n  x:\n  - k: 1\n    l: m\n  - - a\n    - b\n  - []\n",
            ),
            (r#"{"f:data":{".":{},"f:k":{}}}"#, "f:data:\n  .: {}\n  f:k: {}\n"),
            (
                r#"{"a":"yes","b":"y","c":"1.5","d":"2026-11-23T09:17:20Z","e":"v1","f":"","g":"007","h":"1e3"}"#,
                "a: \"yes\"\nb: \"y\"\nc: \"1.5\"\nd: \"2026-11-23T09:17:20Z\"\ne: v1\nf: \"\"\ng: \"007\"\nh: \"1e3\"\n",
            ),
            (
                r#"{"a":"x: y","b":"*x","c":"it's","d":"a:","e":"- x","f":"-x","g":"k:{\"name\":\"m\"}"}"#,
                "a: 'x: y'\nb: '*x'\nc: it's\nd: 'a:'\ne: '- x'\nf: -x\ng: k:{\"name\":\"m\"}\n",
            ),
            (
                r#"{"m":"x\ny\n","n":"x\n\ny","o":"x\n\n"}"#,
                "m: |\n  x\n  y\n\"n\": |-\n  x\n\n  y\no: |+\n  x\n\n",
            ),
            (r#"{"t":"a\tb","u":true,"v":null,"w":-3}"#, "t: \"a\\tb\"\nu: true\nv: null\nw: -3\n"),
        ];
        for (json, want) in rows {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(to_string(&value), want);
        }
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        for text in [
            "null", "~", "0x1F", "12:30", " lead", "trail ", "#c", "a #b", "é", "\u{85}x", "\n", "a\n b\n",
            "@x", "---", "=", "0o7", ".5", "+1", "1_000", "NaN", ".nan",
        ] {
            let value: Value = [("k", text)].into_iter().collect::<Map>().into();
            let yaml = to_string(&value);
            let back: Value = serde_saphyr::from_str(&yaml).unwrap_or_else(|e| panic!("{yaml:?}: {e}"));
            assert_eq!(back, value, "{yaml:?}");
        }
    }
}
