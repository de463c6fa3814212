use super::*;
use proptest::prelude::*;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const NAME_PART: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

#[test]
fn complaints_are_upstreams_sentences() {
    type Check = fn(&str) -> Complaints;
    let too_long = "a".repeat(64);
    let rows: &[(Check, &str, &[&str])] = &[
        (is_dns1123_label, "a", &[]),
        (is_dns1123_label, "0-a", &[]),
        (is_dns1123_label, "a.b", &["must not contain dots"]),
        (is_dns1123_label, "a-", &[LABEL]),
        (is_dns1123_label, "", &[LABEL]),
        (is_dns1123_label, &too_long, &["must be no more than 63 characters"]),
        (is_dns1123_subdomain, "a.b-c.0", &[]),
        (is_dns1123_subdomain, "a..b", &[SUBDOMAIN]),
        (is_dns1123_subdomain, "A", &[SUBDOMAIN]),
        (is_dns1123_subdomain_caseless, "A.b", &[]),
        (is_dns1123_subdomain_with_underscore, "_a.b_c", &[]),
        (is_dns1035_label, "a0", &[]),
        (is_wildcard_dns1123_subdomain, "*.a.b", &[]),
        (is_qualified_name, "a/B_c.d", &[]),
        (is_qualified_name, &too_long, &["name part must be no more than 63 bytes"]),
        (is_valid_label_value, "", &[]),
        (is_valid_label_value, "A.b_c-1", &[]),
        (is_valid_label_value, &too_long, &["must be no more than 63 bytes"]),
        (is_config_map_key, "..", &["must not be '..'"]),
        (is_config_map_key, "..a", &["must not start with '..'"]),
        (is_env_var_name, "A-b.c_1", &[]),
        (is_relaxed_env_var_name, "1 a!", &[]),
        (is_relaxed_env_var_name, "", &["environment variable name must be non-empty"]),
        (
            is_relaxed_env_var_name,
            "a=b",
            &[
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            ],
        ),
        (is_http_header_name, "X-Y", &[]),
        (is_c_identifier, "_a1", &[]),
        (is_condition_reason, "A,b:c_", &[]),
        (is_valid_port_name, "http-1", &[]),
        (is_valid_port_name, "1-1", &["must contain at least one letter (a-z)"]),
        (
            is_valid_port_name,
            "a--b-",
            &["must not contain consecutive hyphens", "must not begin or end with a hyphen"],
        ),
        (
            is_valid_port_name,
            "",
            &[
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "must contain at least one letter (a-z)",
            ],
        ),
        (is_valid_percent, "10%", &[]),
        (is_path_segment_name, "..", &["may not be '..'"]),
        (is_path_segment_name, "a/%", &["may not contain '/'", "may not contain '%'"]),
    ];
    for (check, value, want) in rows {
        assert_eq!(check(value), *want, "{value}");
    }
    let bad: &[(Check, &str)] = &[
        (is_dns1035_label, "0a"),
        (is_wildcard_dns1123_subdomain, "*a.b"),
        (is_wildcard_dns1123_subdomain, "*"),
        (is_config_map_key, "a b"),
        (is_config_map_key, ""),
        (is_env_var_name, "1a"),
        (is_http_header_name, "a:"),
        (is_c_identifier, "1a"),
        (is_condition_reason, "a:"),
        (is_valid_percent, "%"),
        (is_valid_percent, "1"),
        (is_valid_label_value, "a-"),
    ];
    for (check, value) in bad {
        assert_eq!(check(value).len(), 1, "{value}");
    }
}

#[test]
fn a_label_key_says_which_part_is_wrong() {
    let three = format!(
        "a valid label key {NAME_PART} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    );
    let rows = [
        ("/a", vec!["prefix part must be non-empty".to_owned()]),
        ("A/a", vec![format!("prefix part {SUBDOMAIN}")]),
        ("a b", vec![format!("name part {NAME_PART}")]),
        ("a/", vec!["name part must be non-empty".to_owned(), format!("name part {NAME_PART}")]),
        ("a/b/c", vec![three]),
    ];
    for (key, want) in rows {
        assert_eq!(is_qualified_name(key), want, "{key}");
    }
}

#[test]
fn numbers_are_checked_against_their_range() {
    assert_eq!(is_valid_port_num(0), ["must be between 1 and 65535, inclusive"]);
    assert!(is_valid_port_num(65535).is_empty());
    assert_eq!(is_valid_user_id(-1), ["must be between 0 and 4294967295, inclusive"]);
    assert_eq!(is_non_negative(-1), ["must be greater than or equal to 0"]);
}

#[test]
fn domains_are_checked_with_their_path() {
    type Check = fn(&FieldPath, &str) -> Vec<FieldError>;
    let path = FieldPath::field("f");
    let rows: &[(Check, &str, &str)] = &[
        (is_fully_qualified_name, "a.b.c", ""),
        (is_fully_qualified_name, "", "f: Required value"),
        (
            is_fully_qualified_name,
            "a.b",
            "f: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
        ),
        (is_fully_qualified_domain_name, "a.b.", ""),
        (
            is_fully_qualified_domain_name,
            "a",
            "f: Invalid value: \"a\": should be a domain with at least two segments separated by dots",
        ),
        (is_domain_prefixed_path, "a.b/c/d", ""),
        (
            is_domain_prefixed_path,
            "a.b/",
            "f: Invalid value: \"a.b/\": must be a domain-prefixed path (such as \"acme.io/foo\")",
        ),
        (
            is_domain_prefixed_path,
            "a.b/ ",
            r#"f: Invalid value: " ": Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"#,
        ),
        (
            is_domain_prefixed_key,
            "a",
            "f: Invalid value: \"a\": must be a domain-prefixed key (such as \"acme.io/foo\")",
        ),
    ];
    for (check, value, want) in rows {
        let got: Vec<String> = check(&path, value).iter().map(ToString::to_string).collect();
        assert_eq!(got.join("|"), *want, "{value}");
    }
}

#[test]
fn addresses_are_strict_in_new_fields_and_sloppy_in_old_ones() {
    let path = FieldPath::field("ip");
    let text =
        |errors: Vec<FieldError>| errors.iter().map(|e| e.detail.clone()).collect::<Vec<_>>().join("|");
    let rows = [
        ("10.0.0.1", "", "", ""),
        ("2001:db8::1", "", "", ""),
        ("2001:DB8:0::1", "", "", "must be in canonical form (\"2001:db8::1\")"),
        ("010.0.0.1", "", "must not have leading 0s", "must not have leading 0s"),
        (
            "::ffff:1.2.3.4",
            "",
            "must not be an IPv4-mapped IPv6 address",
            "must not be an IPv4-mapped IPv6 address",
        ),
        ("10.0.0", NOT_IP, NOT_IP, NOT_IP),
        ("10.0.0.256", NOT_IP, NOT_IP, NOT_IP),
        ("fe80::1%eth0", NOT_IP, NOT_IP, NOT_IP),
    ];
    for (value, sloppy, strict, canonical) in rows {
        assert_eq!(text(is_valid_ip_for_legacy_field(&path, value, false, &[])), sloppy, "{value}");
        assert_eq!(text(is_valid_ip_for_legacy_field(&path, value, true, &[])), strict, "{value}");
        assert!(is_valid_ip_for_legacy_field(&path, value, true, &[value]).is_empty());
        assert_eq!(text(is_valid_ip(&path, value)), canonical, "{value}");
    }
    assert_eq!(
        ip_warnings(&path, "010.0.0.1"),
        [
            "ip: non-standard IP address \"010.0.0.1\" will be considered invalid in a future Kubernetes release: \
          use \"10.0.0.1\""
        ]
    );
}

const NOT_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

#[test]
fn ranges_are_strict_in_new_fields_and_sloppy_in_old_ones() {
    let path = FieldPath::field("cidr");
    let bad = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let zeros = "must not have leading 0s in IP or prefix length";
    let text =
        |errors: Vec<FieldError>| errors.iter().map(|e| e.detail.clone()).collect::<Vec<_>>().join("|");
    let rows = [
        ("10.0.0.0/8", "", ""),
        ("2001:db8::/64", "", ""),
        ("0.0.0.0/0", "", ""),
        ("::/0", "", ""),
        ("10.0.0.1/8", "", "must not have bits set beyond the prefix length"),
        ("010.0.0.0/8", "", zeros),
        ("10.0.0.0/08", "", zeros),
        ("::ffff:10.0.0.0/104", "", "must not have an IPv4-mapped IPv6 address"),
        ("2001:DB8::/64", "", "must be in canonical form (\"2001:db8::/64\")"),
        ("10.0.0.0/33", bad, bad),
        ("10.0.0.0", bad, bad),
        ("10.0.0.0/+8", bad, bad),
    ];
    for (value, sloppy, canonical) in rows {
        assert_eq!(text(is_cidr_for_legacy_field(&path, value, false, &[])), sloppy, "{value}");
        assert_eq!(text(is_cidr(&path, value)), canonical, "{value}");
    }
    assert_eq!(
        cidr_warnings(&path, "10.0.0.1/8"),
        ["cidr: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \
          \"10.0.0.1/32\"?)"]
    );
}

#[test]
fn a_generate_name_may_end_with_a_dash() {
    assert!(name_is_dns_subdomain("a-", true).is_empty());
    assert!(!name_is_dns_label("-", true).is_empty());
    assert!(!name_is_dns_label("é-", false).is_empty());
    assert!(name_is_path_segment("..", true).is_empty());
    assert!(!name_is_dns1035_label("a-", false).is_empty());
}

proptest! {
    #[test]
    fn no_check_panics(s in ".{0,80}") {
        is_qualified_name(&s);
        is_dns1123_subdomain(&s);
        name_is_dns_label(&s, true);
        ip_warnings(&FieldPath::ROOT, &s);
        cidr_warnings(&FieldPath::ROOT, &s);
        is_cidr(&FieldPath::ROOT, &s);
    }
}
