//! What changed between two forms of an object, for people who read error messages.

use sampan_model::{Map, Value};

/// Both forms as one listing: what is gone has a `-`, what is new a `+`; long parts that are alike are left out.
pub(crate) fn diff(name: &str, old: &Value, new: &Value) -> String {
    let mut out = format!("  {name}{{\n");
    fields(&mut out, 1, old, new);
    out.push_str("  }\n");
    out
}

fn fields(out: &mut String, depth: usize, old: &Value, new: &Value) {
    let empty = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    let mut keys: Vec<&str> = old.keys().chain(new.keys()).map(sampan_model::Str::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut alike = 0;
    for key in keys {
        match (old.get(key), new.get(key)) {
            (Some(a), Some(b)) if a == b => alike += 1,
            (a, b) => entry(out, depth, &format!("{key}: "), a, b),
        }
    }
    if alike > 0 {
        line(out, ' ', depth, &format!("... // {alike} identical fields"));
    }
}

fn entry(out: &mut String, depth: usize, label: &str, old: Option<&Value>, new: Option<&Value>) {
    match (old, new) {
        (Some(old @ Value::Object(_)), Some(new @ Value::Object(_))) => {
            line(out, ' ', depth, &format!("{label}{{"));
            fields(out, depth + 1, old, new);
            line(out, ' ', depth, "},");
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            line(out, ' ', depth, &format!("{label}["));
            for i in 0..old.len().max(new.len()) {
                match (old.get(i), new.get(i)) {
                    (a, b) if a == b => line(out, ' ', depth + 1, "... // 1 identical element"),
                    (a, b) => entry(out, depth + 1, "", a, b),
                }
            }
            line(out, ' ', depth, "],");
        }
        (old, new) => {
            for (sign, value) in [('-', old), ('+', new)] {
                if let Some(value) = value {
                    line(out, sign, depth, &format!("{label}{},", value.to_json()));
                }
            }
        }
    }
}

fn line(out: &mut String, sign: char, depth: usize, text: &str) {
    out.push(sign);
    out.push(' ');
    for _ in 0..depth {
        out.push('\t');
    }
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn a_diff_shows_what_changed_and_leaves_out_the_rest() {
        let old = serde_json::from_str(r#"{"a":1,"b":{"c":[1,2]},"d":"x"}"#).unwrap();
        let new = serde_json::from_str(r#"{"a":1,"b":{"c":[1,3]},"d":"x","e":true}"#).unwrap();
        let want = "  T{\n  \tb: {\n  \t\tc: [\n  \t\t\t... // 1 identical element\n- \t\t\t2,\n+ \t\t\t3,\n  \t\t],\n  \t},\n+ \te: true,\n  \t... // 2 identical fields\n  }\n";
        assert_eq!(diff("T", &old, &new), want);
    }
}
