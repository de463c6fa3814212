//! The options of connections: objects that are sent as a query, and that admission sees.
//!
//! Field by field as upstream's conversions from `url.Values` read them; what is zero is left away, as in their JSON.

use sampan_model::field_error::go_quote;
use sampan_model::{Map, Status, Value};

/// How a field is read.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Absent, `0` and `false` are false; everything else, even nothing, is true.
    Flag,
    /// The first value.
    Text,
    /// All values; told even when there are none.
    Texts,
    /// All values, each a list with commas.
    Ports,
    /// The first value, a number of 64 bits.
    Number,
    /// The first value, a time.
    Time,
    /// What stands in the path behind the subresource; a query cannot say it.
    Path,
}

const LOG: [(&str, Form); 10] = [
    ("container", Form::Text),
    ("follow", Form::Flag),
    ("previous", Form::Flag),
    ("sinceSeconds", Form::Number),
    ("sinceTime", Form::Time),
    ("timestamps", Form::Flag),
    ("tailLines", Form::Number),
    ("limitBytes", Form::Number),
    ("insecureSkipTLSVerifyBackend", Form::Flag),
    ("stream", Form::Text),
];

const STREAMS: [(&str, Form); 5] = [
    ("stdin", Form::Flag),
    ("stdout", Form::Flag),
    ("stderr", Form::Flag),
    ("tty", Form::Flag),
    ("container", Form::Text),
];

fn fields(kind: &str) -> Vec<(&'static str, Form)> {
    let mut fields = match kind {
        "PodExecOptions" | "PodAttachOptions" => STREAMS.to_vec(),
        "PodPortForwardOptions" => vec![("ports", Form::Ports)],
        "PodLogOptions" => LOG.to_vec(),
        _ => vec![("path", Form::Path)],
    };
    if kind == "PodExecOptions" {
        fields.push(("command", Form::Texts));
    }
    fields
}

/// The object of that kind that a query and a path say.
pub(super) fn read(kind: &str, query: &str, path: Option<&str>) -> Result<Value, Status> {
    let mut object = Map::new();
    object.insert("apiVersion", "v1");
    object.insert("kind", kind);
    for (name, form) in fields(kind) {
        let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        let values: Vec<_> = pairs.map(|(_, value)| value).collect();
        let first = values.first().map(|value| &**value);
        match (form, first) {
            (Form::Flag, Some(text)) if text != "0" && !text.eq_ignore_ascii_case("false") => {
                object.insert(name, true);
            }
            (Form::Text, Some(text)) if !text.is_empty() => {
                object.insert(name, text);
            }
            (Form::Texts, first) => {
                let list = || Value::Array(values.iter().map(|value| Value::from(&**value)).collect());
                object.insert(name, first.map_or(Value::Null, |_| list()));
            }
            (Form::Ports, Some(_)) => {
                let ports = values.iter().flat_map(|value| value.split(',')).map(port);
                object.insert(name, Value::Array(ports.collect::<Result<_, _>>()?));
            }
            (Form::Number, Some(text)) => {
                object.insert(name, number(text)?);
            }
            (Form::Time, Some(text)) if !text.is_empty() => {
                let time = text.parse::<jiff::Timestamp>().map_err(|_| no_time(text))?;
                object.insert(name, sampan_model::time::format_time(time));
            }
            (Form::Path, _) => {
                if let Some(path) = path.filter(|path| !path.is_empty()) {
                    object.insert(name, path);
                }
            }
            _ => {}
        }
    }
    Ok(Value::Object(object))
}

fn number(text: &str) -> Result<Value, Status> {
    text.parse::<i64>().map(Value::from).map_err(|error| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let out = matches!(error.kind(), PosOverflow | NegOverflow);
        let why = if out { "value out of range" } else { "invalid syntax" };
        Status::bad_request(format!("strconv.ParseInt: parsing {}: {why}", go_quote(text)))
    })
}

fn no_time(text: &str) -> Status {
    let (text, layout) = (go_quote(text), "2006-01-02T15:04:05Z07:00");
    Status::bad_request(format!("parsing time {text} as \"{layout}\": cannot parse {text} as \"2006\""))
}

fn port(text: &str) -> Result<Value, Status> {
    if let Ok(port) = text.parse::<u16>()
        && text.bytes().all(|b| b.is_ascii_digit())
    {
        return Ok(i64::from(port).into());
    }
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    Err(Status::bad_request(format!(
        "cannot convert to []int32: strconv.ParseUint: parsing {}: {why}",
        go_quote(text)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_what_the_query_says() {
        let rows = [
            (
                "PodExecOptions",
                "command=sh&command=-c&command=a+b&stdin=true&stdout=&tty=0&stderr=FALSE&container=c",
                r#"{"stdin":true,"stdout":true,"container":"c","command":["sh","-c","a b"]}"#,
            ),
            ("PodExecOptions", "", r#"{"command":null}"#),
            ("PodAttachOptions", "stdout=1&container=a&container=b", r#"{"stdout":true,"container":"a"}"#),
            ("PodPortForwardOptions", "ports=80,443&ports=1", r#"{"ports":[80,443,1]}"#),
            ("PodPortForwardOptions", "", "{}"),
            (
                "PodLogOptions",
                "follow=true&previous=false&tailLines=-1&sinceTime=2026-01-01T01:00:00%2B01:00&stream=Stderr",
                r#"{"follow":true,"sinceTime":"2026-01-01T00:00:00Z","tailLines":-1,"stream":"Stderr"}"#,
            ),
            ("ServiceProxyOptions", "path=/elsewhere&a=b", r#"{"path":"/x/"}"#),
        ];
        for (kind, query, want) in rows {
            let mut want: Value = serde_json::from_str(want).unwrap();
            let map = want.as_object_mut().unwrap();
            map.insert("kind", kind);
            map.insert("apiVersion", "v1");
            assert_eq!(read(kind, query, Some("/x/")), Ok(want), "{kind} {query}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_in_gos_words() {
        for (text, why) in [("x", "invalid syntax"), ("9223372036854775808", "value out of range")] {
            let error = read("PodLogOptions", &format!("tailLines={text}"), None).unwrap_err();
            assert_eq!(error.message(), format!("strconv.ParseInt: parsing \"{text}\": {why}"));
        }
        assert_eq!(read("PodLogOptions", "sinceTime=x", None).unwrap_err().code(), 400);
    }

    #[test]
    fn what_is_no_port_is_refused_in_gos_words() {
        for (text, why) in
            [("http", "invalid syntax"), ("70000", "value out of range"), ("", "invalid syntax")]
        {
            let error = read("PodPortForwardOptions", &format!("ports={text}"), None).unwrap_err();
            let want = format!("cannot convert to []int32: strconv.ParseUint: parsing \"{text}\": {why}");
            assert_eq!(error.message(), want);
        }
    }
}
