use super::*;
use proptest::prelude::*;

fn q(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn a_quantity_is_answered_as_upstream_answers_it() {
    let rows = [
        ("0", "0"),
        ("0m", "0"),
        ("0Ki", "0"),
        ("-0", "0"),
        ("0.0000", "0"),
        ("1", "1"),
        ("100", "100"),
        ("1000", "1k"),
        ("1000m", "1"),
        ("1001m", "1001m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1."),
        ("1.5", "1500m"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("1024Mi", "1Gi"),
        ("1023Mi", "1023Mi"),
        ("1024", "1024"),
        ("512Ki", "512Ki"),
        ("0.5Ki", "512"),
        ("1.1Ki", "1126400m"),
        ("0.1Ki", "102400m"),
        ("1e3", "1e3"),
        ("1E3", "1E3"),
        ("1e1", "10"),
        ("10e3", "10e3"),
        ("1e4", "10e3"),
        ("1e0", "1e0"),
        ("1e-3", "1e-3"),
        ("100000E", "100000E"),
        ("1000E", "1000E"),
        ("1E", "1E"),
        ("1Ei", "1Ei"),
        ("8Ei", "9223372036854775807"),
        ("100Ei", "9223372036854775807"),
        ("-100Ei", "-9223372036854775807"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1.0000000001", "1000000001n"),
        ("0.0000000001Ki", "103n"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("-1", "-1"),
        ("-1.5", "-1500m"),
        ("  2  ", "2"),
        // Upstream keeps these as they are written.
        ("+1", "+1"),
        ("007", "007"),
        ("1.234", "1.234"),
        ("1.000", "1"),
    ];
    for (text, want) in rows {
        assert_eq!(canonical(text).unwrap(), want, "{text}");
    }
    assert_eq!(q("1.234").to_string(), "1234m");
    assert_eq!(q("1.").to_string(), "1");
}

#[test]
fn what_is_no_quantity_is_refused_with_upstreams_sentence() {
    let rows = [
        ("", ParseError::Format),
        ("aoeu", ParseError::Format),
        ("1.1.M", ParseError::Format),
        ("1+1.0M", ParseError::Format),
        ("0.1am", ParseError::Format),
        ("1 ", ParseError::Format),
        ("1e3k", ParseError::Format),
        ("--1", ParseError::Suffix),
        ("0.1mi", ParseError::Suffix),
        ("1i", ParseError::Suffix),
        (".5i", ParseError::Suffix),
        ("-3.01i", ParseError::Suffix),
        ("-3.01e-", ParseError::Suffix),
        ("1e", ParseError::Suffix),
        ("1K", ParseError::Suffix),
        ("1k3", ParseError::Suffix),
        ("1e99999999999", ParseError::Suffix),
    ];
    for (text, want) in rows {
        assert_eq!(text.parse::<Quantity>(), Err(want), "{text}");
    }
    assert_eq!(
        ParseError::Format.to_string(),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    );
}

#[test]
fn values_are_rounded_away_from_zero() {
    let rows = [
        ("1500m", 2, 1500),
        ("-1500m", -2, -1500),
        ("1n", 1, 1),
        ("2Gi", 2_147_483_648, 2_147_483_648_000),
        ("100E", i64::MAX, i64::MAX),
        ("-1e30", i64::MIN, i64::MIN),
        ("1e2000000000", i64::MAX, i64::MAX),
    ];
    for (text, value, milli) in rows {
        assert_eq!((q(text).value(), q(text).milli_value()), (value, milli), "{text}");
    }
    assert_eq!(q("1.5Gi").divided_by(q("1Mi"), 0), Some(1536));
    assert_eq!(q("250m").divided_by(q("1"), -3), Some(1));
    assert_eq!(q("1").divided_by(q("0"), 0), None);
    assert_eq!(q("1500m").as_i64(), None);
    assert_eq!(q("2k").as_i64(), Some(2000));
}

#[test]
fn numbers_compare_whatever_their_units() {
    let ascending =
        ["-1e40", "-1E", "-1", "-1m", "0", "1n", "1m", "999m", "1", "1k", "1Ki", "1E", "1Ei", "1e40"];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(q(a).cmp(&q(b)), i.cmp(&j), "{a} {b}");
        }
    }
    assert_eq!(q("1024Mi"), q("1Gi"));
}

#[test]
fn a_sum_keeps_the_format_of_the_first_that_is_not_zero() {
    assert_eq!(q("1Gi").add(q("1")).to_string(), "1073741825");
    assert_eq!(q("0").add(q("1Ki")).to_string(), "1Ki");
    assert_eq!(q("1").sub(q("250m")).to_string(), "750m");
    assert_eq!(q("1Ki").times(3).to_string(), "3Ki");
    assert_eq!(q("1e40").add(q("1n")).value(), i64::MAX);
}

fn any_quantity() -> impl Strategy<Value = Quantity> {
    let format = prop_oneof![Just(Format::DecimalSi), Just(Format::DecimalExponent), Just(Format::BinarySi)];
    (any::<i64>(), -9..6, format)
        .prop_map(|(m, s, f)| Quantity::new(m, s, f))
        .prop_filter("a parsed binary quantity ends at 2^63", |q| {
            q.format != Format::BinarySi || (q.value() != i64::MAX && q.value() != i64::MIN)
        })
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same_number(a in any_quantity()) {
        prop_assert_eq!(q(&a.to_string()), a);
    }

    #[test]
    fn a_canonical_text_is_a_fixed_point(a in any_quantity()) {
        let text = a.to_string();
        // 5000 bytes are written without a suffix, and then read as a decimal.
        prop_assume!(a.format != Format::BinarySi || text.ends_with('i'));
        prop_assert_eq!(canonical(&text).unwrap(), text.as_str());
        prop_assert_eq!(q(&text).to_string(), text.as_str());
    }

    #[test]
    fn addition_is_a_group(a in any_quantity(), b in any_quantity(), c in any_quantity()) {
        prop_assert_eq!(a.add(b), b.add(a));
        prop_assert_eq!(a.add(b).add(c), a.add(b.add(c)));
        prop_assert_eq!(a.add(b).sub(b), a);
        prop_assert_eq!(a.add(Quantity::ZERO), a);
        prop_assert!(a.sub(a).is_zero());
    }

    #[test]
    fn order_agrees_with_subtraction(a in any_quantity(), b in any_quantity()) {
        prop_assert_eq!(a.cmp(&b) as i8, a.sub(b).sign());
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
    }

    #[test]
    fn nothing_panics(text in "[-+]?[0-9.]{0,45}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,10}") {
        if let Ok(a) = text.parse::<Quantity>() {
            let _ = (a.to_string(), a.value(), a.milli_value(), a.add(a), a.times(i64::MAX), a.as_f64());
            let _ = canonical(&text);
        }
    }
}
