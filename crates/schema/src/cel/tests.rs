//! Each function of the table on a value, what the checker refuses, and what costs too much.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn variables() -> Vec<Variable> {
    let nested = Type::object("Inner", [("namespace", Type::String), ("size", Type::Int)]);
    vec![
        ("claims", Type::map(Type::String, Type::Dyn)),
        ("words", Type::list(Type::String)),
        ("request", Type::object("Request", [("user", Type::String), ("inner", nested)])),
    ]
}

fn bindings() -> Bindings {
    Bindings::new("claims", value(&json!({"a": "x", "n": 3, "list": ["p", "q"], "nested": {"b": true}})))
        .with("words", value(&json!(["b", "a"])))
        .with("request", value(&json!({"user": "jane", "inner": {"namespace": "n", "size": 2}})))
}

fn evaluate(text: &str) -> Result<Value, Error> {
    Expression::compile(text, &variables())?.evaluate(&bindings())
}

/// Expressions that are true.
const TRUE: &[&str] = &[
    // operators
    "true ? true : false",
    "true && !false",
    "false || true",
    "1 == 1 && 1 != 2 && dyn(1) == 1.0",
    "1 < 2 && 1 <= 1.0 && 2u > 1 && 'b' >= 'a'",
    "1 + 1 == 2 && 'a' + 'b' == 'ab' && [1] + [2] == [1, 2]",
    "3 - 1 == 2 && -1 == 0 - 1 && -(1.5) < 0.0",
    "2 * 3 == 6 && 7 / 2 == 3 && 7 % 2 == 1",
    "1 in [1, 2] && 'a' in {'a': 1}",
    "[1, 2][1] == 2 && {'a': 1}['a'] == 1",
    "[1][?3].orValue(0) == 0 && claims[?'a'].value() == 'x'",
    "claims.?missing.orValue('d') == 'd' && claims.?nested.b.orValue(false)",
    // macros
    "[1, 2].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 2].exists_one(x, x == 2)",
    "[1, 2].map(x, x * 2) == [2, 4] && [1, 2].filter(x, x > 1) == [2] && [1, 2].map(x, x > 1, x + 1) == [3]",
    "has(claims.a) && !has(claims.missing)",
    "optional.of(1).optMap(x, x + 1).value() == 2",
    // standard functions
    "size('ä') == 1 && 'abc'.size() == 3 && size([1]) == 1 && {'a': 1}.size() == 1 && size(b'abc') == 3",
    "type(1) == int && type('a') == string && dyn(1) == 1",
    "bool('true') && bytes('a') == b'a' && double(1) == 1.0 && int('3') == 3 && uint(3) == 3u && string(1) == '1'",
    "timestamp('2024-01-01T00:00:00Z') < timestamp('2024-01-02T00:00:00Z')",
    "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
    "timestamp('2024-01-01T00:00:00Z') + duration('1h') == timestamp('2024-01-01T01:00:00Z')",
    "duration('90m') > duration('1h') && duration('1h') + duration('30m') == duration('90m')",
    "int(timestamp('1970-01-01T00:01:00Z')) == 60 && string(duration('60s')) == '60s'",
    "timestamp('2024-02-03T04:05:06.007Z').getFullYear() == 2024 && timestamp('2024-02-03T04:05:06Z').getMonth() == 1",
    "timestamp('2024-02-03T04:05:06Z').getDayOfMonth() == 2 && timestamp('2024-02-03T04:05:06Z').getDate() == 3",
    "timestamp('2024-02-03T04:05:06Z').getDayOfWeek() == 6 && timestamp('2024-02-03T04:05:06Z').getDayOfYear() == 33",
    "timestamp('2024-02-03T04:05:06Z').getHours('+01:00') == 5 && timestamp('2024-02-03T04:05:06Z').getHours() == 4",
    "timestamp('2024-02-03T04:05:06Z').getMinutes() == 5 && timestamp('2024-02-03T04:05:06Z').getSeconds() == 6",
    "timestamp('2024-02-03T04:05:06.007Z').getMilliseconds() == 7 && duration('90s').getMinutes() == 1",
    "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo') && 'hello'.matches('^h.*o$')",
    "matches('abc', 'b')",
    // optional values
    "optional.none().hasValue() == false && optional.ofNonZeroValue('').hasValue() == false",
    "optional.none().or(optional.of(1)).value() == 1",
    // strings
    "'abc'.charAt(1) == 'b' && 'abcb'.indexOf('b') == 1 && 'abcb'.indexOf('b', 2) == 3 && 'abcb'.lastIndexOf('b') == 3",
    "'AbC'.lowerAscii() == 'abc' && 'AbC'.upperAscii() == 'ABC' && '  a '.trim() == 'a'",
    "'aba'.replace('a', 'c') == 'cbc' && 'aba'.replace('a', 'c', 1) == 'cba'",
    "'a,b'.split(',') == ['a', 'b'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && ['a', 'b'].join('-') == 'a-b'",
    "'abcd'.substring(2) == 'cd' && 'abcd'.substring(1, 3) == 'bc' && ['a', 'b'].join() == 'ab'",
    "'%s is %d'.format(['a', dyn(1)]) == 'a is 1' && strings.quote('a') == '\"a\"'",
    // lists and sets
    "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1, 2], [2, 3])",
    "[1, 2].isSorted() && !['b', 'a'].isSorted() && [1, 2].sum() == 3 && [1.5].sum() == 1.5 && [duration('1s')].sum() == duration('1s')",
    "[2, 1].min() == 1 && [2, 1].max() == 2 && ['a', 'b'].max() == 'b'",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
    // regular expressions
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
    "'1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && '1 2 3'.findAll('[0-9]', 1) == ['1']",
    // URLs
    "url('https://u@h:80/a b?k=1&k=2&l=%20#f').getHost() == 'h:80' && isURL('/path') && !isURL('path')",
    "url('https://[::1]:80/x').getHostname() == '::1' && url('https://[::1]:80/x').getPort() == '80'",
    "url('https://h/a b').getEscapedPath() == '/a%20b' && url('https://h').getScheme() == 'https'",
    "url('https://h/?k=1&k=2&l=%20').getQuery() == {'k': ['1', '2'], 'l': [' ']}",
    "!isURL('https://h:x/') && !isURL('../a') && !isURL('') && !isURL('https://h/%zz')",
    // addresses
    "ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && isIP('::1') && !isIP('10.0.0') && !isIP('::ffff:1.2.3.4')",
    "ip.isCanonical('::1') && !ip.isCanonical('0::1') && string(ip('10.0.0.1')) == '10.0.0.1'",
    "ip('0.0.0.0').isUnspecified() && ip('224.0.0.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()",
    "ip('8.8.8.8').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsIP(ip('10.1.2.3')) && isCIDR('::/0')",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
    "cidr('10.0.0.0/8').prefixLength() == 8 && string(cidr('10.0.0.0/8')) == '10.0.0.0/8' && !isCIDR('10.0.0.0/08')",
    "cidr('0.0.0.0/0').containsIP('1.2.3.4') && !cidr('0.0.0.0/0').containsIP('::1')",
    // quantities
    "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('200m').isLessThan(quantity('1'))",
    "quantity('1k') == quantity('1000') && quantity('1').compareTo(quantity('2')) == -1 && isQuantity('1.5') && !isQuantity('x')",
    "quantity('1').add(quantity('2')).asInteger() == 3 && quantity('1').add(2).sub(quantity('1')).sub(1) == quantity('1')",
    "quantity('-1').sign() == -1 && !quantity('200m').isInteger() && quantity('200m').asApproximateFloat() == 0.2",
    // versions
    "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('v1.02', true).compareTo(semver('1.2.0')) == 0",
    "semver('2.0.0').isGreaterThan(semver('2.0.0-rc.1')) && isSemver('1.0.0') && !isSemver('v1') && isSemver('v1', true)",
    // formats of names
    "!format.dns1123Label().validate('good').hasValue() && format.dns1123Label().validate('Bad').hasValue()",
    "format.named('dns1035Label').value().validate('1a').value().size() == 1 && !format.named('x').hasValue()",
    "!format.dns1123Subdomain().validate('a.b').hasValue() && !format.dns1035Label().validate('a').hasValue()",
    "!format.qualifiedName().validate('a/b').hasValue() && !format.labelValue().validate('a').hasValue()",
    "!format.dns1123LabelPrefix().validate('a-').hasValue() && !format.dns1123SubdomainPrefix().validate('a.b-').hasValue()",
    "!format.dns1035LabelPrefix().validate('a-').hasValue() && !format.uri().validate('https://h').hasValue()",
    "format.uuid().validate('x').value() == ['does not match the UUID format'] && format.byte().validate('x').hasValue()",
    "!format.date().validate('2024-02-29').hasValue() && !format.datetime().validate('2024-01-01T00:00:00Z').hasValue()",
    // variables
    "claims.a == 'x' && claims.list.exists(x, x == 'q') && words.all(w, w in ['a', 'b'])",
    "request.inner.namespace == 'n' && has(request.inner) && request.?inner.?size.orValue(0) == 2",
];

#[test]
fn each_function_does_what_it_says() {
    for text in TRUE {
        let expression = Expression::compile(text, &variables()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(expression.result(), &Type::Bool, "{text}");
        assert_eq!(expression.evaluate(&bindings()), Ok(Value::Bool(true)), "{text}");
    }
    let all: String = TRUE.join(" ");
    let words: BTreeSet<&str> = all
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_')
        .flat_map(|w| w.split('.'))
        .collect();
    let missing: Vec<&str> = signatures::names()
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'))
        .filter(|name| !words.contains(name.rsplit('.').next().unwrap()))
        .collect();
    assert!(missing.is_empty(), "no expression uses {missing:?}");
}

#[test]
fn mistakes_are_found_before_an_expression_runs() {
    let rows = [
        ("claims.", "ERROR: "),
        ("nobody.a", "undeclared reference to 'nobody' (in container '')"),
        ("nothing(1)", "undeclared reference to 'nothing' (in container '')"),
        ("'a'.reverse()", "undeclared reference to 'reverse' (in container '')"),
        ("request.nobody", "undefined field 'nobody'"),
        ("request.inner.size.x", "type 'int' does not support field selection"),
        ("request.user == 1", "found no matching overload for '_==_' applied to '(string, int)'"),
        ("request.user && true", "found no matching overload for '_&&_' applied to '(string, bool)'"),
        ("request.user.contains(1)", "found no matching overload for 'contains' applied to 'string.(int)'"),
        ("request.user.all(x, true)", "expression of type 'string' cannot be range of a comprehension"),
        ("1 == 1.0", "found no matching overload for '_==_' applied to '(int, double)'"),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("words.map(w, w + 1)", "found no matching overload for '_+_' applied to '(string, int)'"),
        ("request.user.matches('(')", "invalid matches argument"),
        ("duration('1 hour')", "invalid duration argument"),
        ("timestamp('today')", "invalid timestamp argument"),
        ("Pod{}", "undeclared reference to 'Pod' (in container '')"),
    ];
    for (text, want) in rows {
        let error = Expression::compile(text, &variables()).unwrap_err();
        assert!(matches!(&error, Error::Compile(message) if message.contains(want)), "{text}: {error}");
    }
    let place = Expression::compile("true &&\n  nobody", &variables()).unwrap_err().to_string();
    assert_eq!(
        place,
        "compilation failed: ERROR: <input>:2:3: undeclared reference to 'nobody' (in container '')\n |   nobody\n | ..^"
    );
}

#[test]
fn the_type_of_the_result_is_known_or_it_is_none() {
    let rows = [
        ("claims.a", "dyn"),
        ("claims.a == 1", "bool"),
        ("words", "list(string)"),
        ("words.map(w, w.size())", "list(int)"),
        ("{'a': 1}", "map(string, int)"),
        ("optional.of('a')", "optional_type(string)"),
        ("claims.?a", "optional_type(dyn)"),
        ("request.?user", "optional_type(string)"),
        ("request.inner", "Inner"),
        ("quantity('1')", "kubernetes.Quantity"),
        ("duration('1s')", "duration"),
        ("true ? claims.a : 'b'", "dyn"),
        ("claims.a + claims.n", "dyn"),
    ];
    for (text, want) in rows {
        assert_eq!(Expression::compile(text, &variables()).unwrap().result().to_string(), want, "{text}");
    }
    let error = Expression::compile_as("claims.a", &variables(), &Type::Bool).unwrap_err();
    assert_eq!(error.to_string(), "must evaluate to bool but got dyn");
}

#[test]
fn what_goes_wrong_is_told_in_cel_gos_words() {
    let rows = [
        ("claims.missing == 1", "no such key: missing"),
        ("claims.a + 1 == 2", "no such overload"),
        ("[1][int(claims.n)] == 1", "index out of bounds: 3"),
        ("1 / (claims.n - 3) == 1", "division by zero"),
        ("words.filter(w, false).min() == 'a'", "min called on empty list"),
        ("'%.100000000f'.format([1.5]) == ''", "precision is too high"),
        ("quantity('200m').asInteger() == 1", "cannot convert value to integer"),
    ];
    for (text, want) in rows {
        assert_eq!(evaluate(text), Err(Error::Evaluate(want.into())), "{text}");
    }
    // An error that does not decide is none.
    assert_eq!(evaluate("claims.missing == 1 || true"), Ok(Value::Bool(true)));
    assert_eq!(evaluate("false && claims.missing == 1"), Ok(Value::Bool(false)));
}

#[test]
fn what_would_take_too_long_is_given_up() {
    let numbers: Vec<i64> = (0..1000).collect();
    let long = "x".repeat(1 << 20);
    let bound = Bindings::new("many", value(&json!(numbers))).with("long", value(&json!(long)));
    let variables = [("many", Type::list(Type::Int)), ("long", Type::String)];
    let rows = [
        ("one loop", "many.all(a, a >= 0)", false),
        ("two loops", "many.all(a, many.exists(b, b == a + 1) || a >= 0)", true),
        ("three loops", "many.all(a, many.all(b, many.all(c, a + b + c >= 0)))", true),
        ("a map of maps", "many.map(a, many.map(b, many.map(c, a))).size() > 0", true),
        (
            "a filter in a filter",
            "many.filter(a, many.filter(b, many.filter(c, true).size() > 0).size() > 0).size() > 0",
            true,
        ),
        ("hidden by an operator", "many.all(a, many.all(b, many.all(c, true))) || true", true),
        ("a long text once", "long.contains('y') || true", false),
        ("a long text in a loop", "many.all(a, long.contains('y') || true)", true),
        ("a replacement that grows", "long.replace('x', long).size() > 0", true),
        ("a replacement of nothing that grows", "long.replace('', long).size() > 0", true),
        ("a replacement once", "long.replace('x', 'yy', 1).size() > 0", false),
        ("a separator that grows", "many.map(a, '').join(long).size() > 0", true),
        ("a short list", "['a', 'b'].join(long).size() > 0", false),
        ("texts that grow", "many.map(a, long + long).size() > 0", true),
    ];
    for (name, text, is_given_up) in rows {
        let outcome = Expression::compile(text, &variables).unwrap().evaluate(&bound);
        assert_eq!(outcome == Err(Error::Cost), is_given_up, "{name}: {outcome:?}");
    }
}

#[test]
fn what_an_expression_selects_can_be_asked() {
    let rows = [
        ("claims.email", true),
        ("claims.?email.orValue('')", true),
        ("claims['email']", true),
        ("claims[?'email'].orValue('')", true),
        ("has(claims.email)", true),
        ("claims.list.exists(x, x == claims.email)", true),
        ("claims.email_verified", false),
        ("'claims.email' == claims.a", false),
        ("claims.nested.email", false),
    ];
    for (text, want) in rows {
        assert_eq!(
            Expression::compile(text, &variables()).unwrap().selects("claims", "email"),
            want,
            "{text}"
        );
    }
}
