use super::*;
use jiff::SignedDuration;
use proptest::prelude::*;

#[test]
fn a_time_is_read_and_written() {
    let rows = [
        ("2024-02-29T01:02:03Z", "2024-02-29T01:02:03Z", "2024-02-29T01:02:03.000000Z"),
        ("2024-02-29T01:02:03.987654321Z", "2024-02-29T01:02:03Z", "2024-02-29T01:02:03.987654Z"),
        ("2024-01-01T00:30:00+01:00", "2023-12-31T23:30:00Z", "2023-12-31T23:30:00.000000Z"),
        ("1960-01-01T00:00:00.5-00:30", "1960-01-01T00:30:00Z", "1960-01-01T00:30:00.500000Z"),
        ("2024-01-01T1:02:03Z", "2024-01-01T01:02:03Z", "2024-01-01T01:02:03.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ];
    for (text, seconds, micros) in rows {
        let time = parse_time(text).unwrap();
        assert_eq!(
            (format_time(time).as_str(), format_micro_time(time).as_str()),
            (seconds, micros),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_time_is_refused_with_gos_sentence() {
    let seconds = [
        ("", "parsing time \"\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"2006\""),
        (
            "2024-01-01",
            "parsing time \"2024-01-01\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"T\"",
        ),
        (
            "2024-01-01T00:00:00",
            "parsing time \"2024-01-01T00:00:00\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"Z07:00\"",
        ),
        ("2024-13-01T00:00:00Z", "parsing time \"2024-13-01T00:00:00Z\": month out of range"),
        ("2023-02-29T00:00:00Z", "parsing time \"2023-02-29T00:00:00Z\": day out of range"),
        ("2023-02-28T24:00:00Z", "parsing time \"2023-02-28T24:00:00Z\": hour out of range"),
        ("2023-02-28T00:00:00Zx", "parsing time \"2023-02-28T00:00:00Zx\": extra text: \"x\""),
    ];
    for (text, want) in seconds {
        assert_eq!(parse_time(text).unwrap_err().to_string(), want, "{text}");
    }
    assert_eq!(
        parse_micro_time("2024-01-01T00:00:00Z").unwrap_err().to_string(),
        "parsing time \"2024-01-01T00:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \
         \".000000\""
    );
    assert!(parse_micro_time("2024-01-01T00:00:00.123456Z").is_ok());
}

#[test]
fn a_duration_is_short_for_people() {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let rows = [
        (-2, "<invalid>", "<invalid>"),
        (-1, "0s", "0s"),
        (0, "0s", "0s"),
        (119, "119s", "1m"),
        (120, "2m", "2m"),
        (121, "2m1s", "2m"),
        (10 * MINUTE + 1, "10m", "10m"),
        (179 * MINUTE, "179m", "2h"),
        (3 * HOUR, "3h", "3h"),
        (3 * HOUR + MINUTE, "3h1m", "3h"),
        (8 * HOUR + MINUTE, "8h", "8h"),
        (47 * HOUR, "47h", "1d"),
        (2 * DAY, "2d", "2d"),
        (2 * DAY + HOUR, "2d1h", "2d"),
        (8 * DAY + HOUR, "8d", "8d"),
        (729 * DAY, "729d", "1y"),
        (730 * DAY, "2y", "2y"),
        (731 * DAY, "2y1d", "2y"),
        (8 * 365 * DAY + DAY, "8y", "8y"),
    ];
    for (seconds, long, short) in rows {
        let duration = SignedDuration::from_secs(seconds);
        assert_eq!(
            (human_duration(duration).as_str(), short_human_duration(duration).as_str()),
            (long, short)
        );
    }
    let now = parse_time("2024-01-01T00:05:30Z").unwrap();
    assert_eq!(age(parse_time("2024-01-01T00:00:00Z").ok(), now), "5m30s");
    assert_eq!(age(None, now), "<unknown>");
}

#[test]
fn a_go_duration_is_read_and_written() {
    let rows = [
        ("0", "0s"),
        ("5s", "5s"),
        ("1h", "1h0m0s"),
        ("90m", "1h30m0s"),
        ("1.5s", "1.5s"),
        ("300ms", "300ms"),
        ("-1.5h", "-1h30m0s"),
        ("+2h45m0.1s", "2h45m0.1s"),
        ("1us", "1µs"),
        ("1500ns", "1.5µs"),
        (".5s", "500ms"),
        ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
    ];
    for (text, want) in rows {
        assert_eq!(parse_go_duration(text).map(format_go_duration).as_deref(), Ok(want), "{text}");
    }
    let bad = [
        ("", "time: invalid duration \"\""),
        ("x", "time: invalid duration \"x\""),
        (".s", "time: invalid duration \".s\""),
        ("1", "time: missing unit in duration \"1\""),
        ("1d", "time: unknown unit \"d\" in duration \"1d\""),
        ("9999999h", "time: invalid duration \"9999999h\""),
    ];
    for (text, want) in bad {
        assert_eq!(parse_go_duration(text).unwrap_err().to_string(), want, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same(nanos: i64, second in -60_000_000_000_i64..250_000_000_000) {
        let duration = SignedDuration::from_nanos(nanos);
        prop_assert_eq!(parse_go_duration(&format_go_duration(duration)).unwrap(), duration);
        let time = Timestamp::from_second(second).unwrap();
        prop_assert_eq!(parse_time(&format_time(time)).unwrap(), time);
        prop_assert_eq!(parse_micro_time(&format_micro_time(time)).unwrap(), time);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "[-0-9T:.+Zhmsuµ é]{0,30}") {
        let _ = (parse_time(&text), parse_micro_time(&text), parse_go_duration(&text));
    }
}
