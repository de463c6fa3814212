use super::*;
use proptest::prelude::*;

fn object() -> Value {
    serde_json::from_str(
        r#"{"metadata":{"name":"x","annotations":{"a.b/c":"dotted"}},
            "spec":{"n":3,"on":true,"items":[{"name":"a","v":1},{"name":"b","v":2.5},{"name":"c"}]},
            "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Synced","status":"False"}]}}"#,
    )
    .unwrap()
}

#[test]
fn a_path_leads_to_its_values() {
    let rows = [
        (".metadata.name", r#"["x"]"#),
        ("metadata.name", r#"["x"]"#),
        ("{.metadata.name}", r#"["x"]"#),
        ("$.metadata.name", r#"["x"]"#),
        (".metadata['name']", r#"["x"]"#),
        (r#".metadata["name"]"#, r#"["x"]"#),
        (r".metadata.annotations.a\.b/c", r#"["dotted"]"#),
        (".metadata.annotations['a.b/c']", r#"["dotted"]"#),
        (".spec['n','on']", "[3,true]"),
        (".missing.name", "[]"),
        (".metadata.name.x", "[]"),
        (".spec.items[*].name", r#"["a","b","c"]"#),
        (".spec.items[0].name", r#"["a"]"#),
        (".spec.items[-1].name", r#"["c"]"#),
        (".spec.items[0,2].name", r#"["a","c"]"#),
        (".spec.items[1:].name", r#"["b","c"]"#),
        (".spec.items[:-1].name", r#"["a","b"]"#),
        (".spec.items[::2].name", r#"["a","c"]"#),
        (".spec.items[9].name", "[]"),
        (".spec.items[9:].name", "[]"),
        (".spec.items[*].v", "[1,2.5]"),
        ("..name", r#"["x","a","b","c"]"#),
        (r#".status.conditions[?(@.type=="Ready")].status"#, r#"["True"]"#),
        (".status.conditions[?( @.type != 'Ready' )].status", r#"["False"]"#),
        (".spec.items[?(@.v>1)].name", r#"["b"]"#),
        (".spec.items[?(@.v<=1)].name", r#"["a"]"#),
        (".spec.items[?(@.v)].name", r#"["a","b"]"#),
        (".spec.items[?(@.name=='z')].name", "[]"),
        (".metadata.annotations.*", r#"["dotted"]"#),
    ];
    let object = object();
    for (path, want) in rows {
        let path_compiled = JsonPath::compile(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let found: Vec<Value> = path_compiled.find(&object).into_iter().cloned().collect();
        assert_eq!(Value::from(found.clone()).to_json(), want, "{path}");
        assert_eq!(path_compiled.first(&object), found.first(), "{path}");
    }
    assert_eq!(JsonPath::compile(".").unwrap().find(&object), [&object]);
}

#[test]
fn a_text_that_is_no_path_is_refused_when_it_is_compiled() {
    let rows = [
        ("", "a field name is missing at byte 0 of \"\""),
        (".a[", "an index is missing at byte 3 of \".a[\""),
        (".a[0", "a closing bracket is missing at byte 4 of \".a[0\""),
        (".a['b", "a closing quote is missing at byte 3 of \".a['b\""),
        (".a[?(@.b==)]", "an operand is missing at byte 10 of \".a[?(@.b==)]\""),
        (".a[?(@.b=='c']", "a closing parenthesis is missing at byte 13 of \".a[?(@.b=='c']\""),
        (".a b", "unexpected character at byte 3 of \".a b\""),
        ("{.a", "a closing brace is missing at byte 3 of \"{.a\""),
        (".a[::0]", "the stride of a slice must be above 0 at byte 6 of \".a[::0]\""),
    ];
    for (path, want) in rows {
        assert_eq!(JsonPath::compile(path).unwrap_err().to_string(), want);
    }
}

#[test]
fn a_column_of_strings_shows_strings_bare() {
    let rows = [(Value::from("x"), "x"), (Value::from(3), "3"), (Value::from(vec!["a"]), "[\"a\"]")];
    for (value, want) in rows {
        assert_eq!(text(&value), want);
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_or_a_run_panic(path in r"[a-c.\[\]*?@()='0-9:,<>\\ -]{0,24}") {
        if let Ok(path) = JsonPath::compile(&path) {
            let _ = path.find(&object());
        }
    }
}
