use super::*;
use proptest::prelude::*;

fn labels(text: &str) -> Vec<(String, String)> {
    let mut labels: Vec<_> = text
        .split(',')
        .filter(|p| !p.is_empty())
        .map(|pair| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap())
        .collect();
    labels.sort();
    labels
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_selector_selects_what_it_says() {
    let rows = [
        ("", "", true),
        ("", "x=y", true),
        ("x=y", "x=y", true),
        ("x==y", "x=z", false),
        ("x=y,z=w", "x=y,z=w", true),
        ("x=y,z=w", "x=y", false),
        ("x!=y", "", true),
        ("x!=y", "x=y", false),
        ("x=", "x=", true),
        ("x=", "", false),
        ("x", "x=1", true),
        ("!x", "x=1", false),
        ("!x", "y=1", true),
        ("x in (a,b)", "x=b", true),
        ("x in (a,b)", "x=c", false),
        ("x in (a,b)", "", false),
        ("x notin (a,b)", "", true),
        ("x notin (a,b)", "x=a", false),
        ("x in ()", "x=", true),
        ("x in (a,b,c,d,e,f,g,h,i)", "x=i", true),
        ("x>1", "x=2", true),
        ("x>1", "x=1", false),
        ("x<1", "x=0", true),
        ("x<1", "x=a", false),
        ("x<1", "", false),
    ];
    for (selector, object, want) in rows {
        assert_eq!(
            Selector::parse(selector).unwrap().matches_sorted(&labels(object)),
            want,
            "{selector} {object}"
        );
    }
}

#[test]
fn a_selector_is_written_in_canonical_form() {
    let rows = [
        ("", ""),
        ("b=1,a=2", "a=2,b=1"),
        (" x == y ", "x==y"),
        ("x in ( b ,a,b )", "x in (a,b)"),
        ("x notin ()", "x notin ()"),
        ("x in (,)", "x in ()"),
        ("x in (a,,b)", "x in (,a,b)"),
        ("x in (,a)", "x in (,a)"),
        ("x in (a,)", "x in (,a)"),
        ("x=,y", "x=,y"),
        ("!x, y", "!x,y"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("x>1,y<2", "x>1,y<2"),
        ("a.b/c!=d", "a.b/c!=d"),
    ];
    for (text, want) in rows {
        assert_eq!(Selector::parse(text).map(|s| s.to_string()).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn what_is_no_selector_is_refused_with_upstreams_sentence() {
    let rows = [
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a(", "unable to parse requirement: found '(', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (=", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (,", "unable to parse requirement: found '', expected: ',', or identifier"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must \
             be an integer",
        ),
    ];
    for (text, want) in rows {
        assert_eq!(Selector::parse(text).unwrap_err().to_string(), want, "{text}");
    }
    let bad_key = Selector::parse("a$=b").unwrap_err().to_string();
    assert!(
        bad_key.starts_with(
            "unable to parse requirement: <nil>: Invalid value: \"a$\": name part must consist of"
        ),
        "{bad_key}"
    );
    let bad_value = Selector::parse("a=b$").unwrap_err().to_string();
    assert!(
        bad_value.starts_with(
            "unable to parse requirement: values[0][a]: Invalid value: \"b$\": a valid label must"
        ),
        "{bad_value}"
    );
}

#[test]
fn an_objects_selector_is_read() {
    let rows = [
        ("{}", ""),
        (r#"{"matchLabels":{"b":"1","a":"2"}}"#, "a=2,b=1"),
        (
            r#"{"matchLabels":{"x":"1"},"matchExpressions":[{"key":"a","operator":"NotIn","values":["c","b"]},
                {"key":"z","operator":"DoesNotExist"}]}"#,
            "a notin (b,c),x=1,!z",
        ),
    ];
    for (object, want) in rows {
        assert_eq!(Selector::from_object(Some(&json(object))).unwrap().to_string(), want);
    }
    assert!(Selector::from_object(Some(&json("{}"))).unwrap().is_everything());
    assert!(Selector::from_object(None).unwrap().is_nothing());
    assert!(!Selector::NOTHING.matches(|_| None));
    assert_eq!(
        Selector::from_object(Some(&json(r#"{"matchExpressions":[{"key":"a","operator":"Has"}]}"#)))
            .unwrap_err()
            .to_string(),
        "\"Has\" is not a valid label selector operator"
    );
    assert_eq!(format_label_selector(Some(&json("{}"))), "<none>");
}

#[test]
fn an_objects_selector_is_checked() {
    let selector = json(
        r#"{"matchLabels":{"a":"-"},"matchExpressions":[
            {"key":"a","operator":"In"},
            {"key":"a","operator":"Exists","values":["b"]},
            {"key":"a","operator":"in","values":["b"]},
            {"key":"","operator":"In","values":["b-"]}]}"#,
    );
    let path = FieldPath::field("spec");
    let path = path.child("selector");
    let want = [
        "spec.selector.matchLabels: Invalid value: \"-\": a valid label must be an empty string or consist of",
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or \
         'DoesNotExist'",
        "spec.selector.matchExpressions[2].operator: Invalid value: \"in\": not a valid selector operator",
        "spec.selector.matchExpressions[3].key: Invalid value: \"\": name part must be non-empty",
        "spec.selector.matchExpressions[3].key: Invalid value: \"\": name part must consist of alphanumeric",
        "spec.selector.matchExpressions[3].values[0]: Invalid value: \"b-\": a valid label must be an empty",
    ];
    let errors = validate_label_selector(&selector, ValidationOptions::default(), &path);
    assert_eq!(errors.len(), want.len());
    for (error, want) in errors.iter().zip(want) {
        assert!(error.to_string().starts_with(want), "{error}");
    }
    let lenient = ValidationOptions { allow_invalid_label_value: true, allow_unknown_operator: true };
    assert_eq!(validate_label_selector(&selector, lenient, &path).len(), 5);
}

#[test]
fn a_demanded_value_is_known() {
    let selector = Selector::parse("a=1,b in (2),c!=3,d in (4,5)").unwrap();
    let got: Vec<_> = ["a", "b", "c", "d", "e"].map(|k| selector.required_value(k)).into();
    assert_eq!(got, [Some("1"), Some("2"), None, None, None]);
}

fn requirement() -> impl Strategy<Value = Requirement> {
    use Operator::*;
    let values = prop::collection::vec("[a-z][a-z0-9]{0,3}", 1..4);
    let operator = prop_oneof![
        Just(In),
        Just(NotIn),
        Just(Equals),
        Just(DoubleEquals),
        Just(NotEquals),
        Just(Exists),
        Just(DoesNotExist)
    ];
    ("[a-c]", operator, values).prop_map(|(key, operator, mut values)| {
        match operator {
            In | NotIn => {
                values.sort();
                values.dedup();
            }
            Exists | DoesNotExist => values.clear(),
            _ => values.truncate(1),
        }
        Requirement::new(key, operator, values.into_iter().map(Into::into).collect()).unwrap()
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same(requirements in prop::collection::vec(requirement(), 0..5)) {
        let selector = Selector::new(requirements);
        prop_assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector);
    }

    #[test]
    fn opposite_operators_select_opposite_objects(value in proptest::option::of("[a-c]{0,2}"), a in "[a-c]", b in "[a-c]") {
        let pick = |text: String| Selector::parse(&text).unwrap().matches(|_| value.as_deref());
        prop_assert_ne!(pick(format!("k={a}")), pick(format!("k!={a}")));
        prop_assert_ne!(pick(format!("k in ({a},{b})")), pick(format!("k notin ({a},{b})")));
        prop_assert_ne!(pick("k".into()), pick("!k".into()));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z=!(),<> \u{e9}\u{0}]{0,20}") {
        let _ = Selector::parse(&text);
    }
}
