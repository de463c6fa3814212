//! The words that cells are made of.

use jiff::Timestamp;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};

/// What stands where there is nothing.
pub(super) const NONE: &str = "<none>";
/// What stands where nothing was set.
pub(super) const UNSET: &str = "<unset>";

/// A list of cells from what turns into values.
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$( sampan_model::Value::from($cell) ),*] };
}
pub(super) use row;

/// A length of time as people say it, two units at most (apimachinery's `HumanDuration`).
pub(crate) fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |big: i64, unit: char, small: i64, rest: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{rest}") }
    };
    match seconds {
        i64::MIN..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(hours / 24, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{}d", hours / 24),
        63_072_000..252_288_000 => two(hours / 24 / 365, 'y', hours / 24 % 365, 'd'),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// How long ago a time is; `<unknown>` if it is no time.
pub(super) fn since(time: &str, now: Timestamp) -> String {
    time.parse::<Timestamp>()
        .map_or_else(|_| "<unknown>".into(), |t| human_duration(now.as_second() - t.as_second()))
}

/// How old an object is.
pub(super) fn age(object: &Value, now: Timestamp) -> String {
    since(object.meta_str("creationTimestamp"), now)
}

/// The integer at a path; 0 when there is none.
pub(super) fn int(object: &Value, path: &[&str]) -> i64 {
    object.at(path).and_then(Value::as_i64).unwrap_or(0)
}

/// The boolean at a path, if there is one.
pub(super) fn flag(object: &Value, path: &[&str]) -> Option<bool> {
    object.at(path).and_then(Value::as_bool)
}

/// The string at a path, or what stands for its absence.
pub(super) fn text_or(object: &Value, path: &[&str], absent: &str) -> String {
    match object.str_at(path) {
        "" => absent.to_owned(),
        text => text.to_owned(),
    }
}

/// A number or a string (`IntOrString`, quantities) as text; `None` when absent.
pub(super) fn scalar(object: &Value, path: &[&str]) -> Option<String> {
    match object.at(path)? {
        Value::String(s) => Some(s.to_string()),
        Value::Null => None,
        other => Some(other.to_json()),
    }
}

/// A map of labels: `a=b,c=d`, or `<none>`.
pub(super) fn labels(map: Option<&Value>) -> String {
    let map = map.and_then(Value::as_object);
    let words: Vec<String> = map
        .into_iter()
        .flat_map(Map::iter)
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    if words.is_empty() { NONE.into() } else { words.join(",") }
}

/// A label selector as text, `<none>` when there is none or it selects everything.
pub(super) fn selector(selector: Option<&Value>) -> String {
    match selector.map(crate::subresources::label_selector) {
        Some(text) if !text.is_empty() => text,
        _ => NONE.into(),
    }
}

/// The strings of a list of objects at a field.
pub(super) fn names<'a>(list: &'a [Value], field: &str) -> Vec<&'a str> {
    list.iter().map(|item| item.str_at(&[field])).collect()
}

/// Names and images of containers, each as one cell.
pub(super) fn containers(pod_spec: Option<&Value>) -> [Value; 2] {
    let list = pod_spec.map_or(&[][..], |spec| spec.array_at(&["containers"]));
    [names(list, "name").join(",").into(), names(list, "image").join(",").into()]
}

/// `a,b,c + 2 more...`: at most `max` of the words.
pub(super) fn some_of(words: &[String], max: usize, separator: &str) -> String {
    let shown = words[..words.len().min(max)].join(separator);
    if words.len() > max { format!("{shown} + {} more...", words.len() - max) } else { shown }
}

/// The status (`True`) of a condition; empty when there is none of that type.
pub(super) fn condition<'a>(object: &'a Value, condition_type: &str) -> &'a str {
    object
        .array_at(&["status", "conditions"])
        .iter()
        .find(|c| c.str_at(&["type"]) == condition_type)
        .map_or("", |c| c.str_at(&["status"]))
}

/// An annotation; empty when there is none.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    object.annotations().map_or("", |a| a.str(key))
}

/// A pointer to a boolean: `True`, `False` or `<unset>`.
pub(super) fn bool_word(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "True",
        Some(false) => "False",
        None => UNSET,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_reads_as_kubectl_prints_it() {
        let rows = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (92_000_000, "2y334d"),
            (252_288_000, "8y"),
        ];
        for (seconds, want) in rows {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
    }
}
