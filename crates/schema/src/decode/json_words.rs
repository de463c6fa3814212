//! Go's words for a body that is no JSON.

use serde_json::error::Category;

use super::Error;

/// For an object: upstream looks for its version and kind first, and fails there.
pub(super) fn interpret(text: &str, error: &serde_json::Error) -> Error {
    match syntax(text, error) {
        Error::Syntax { message } => {
            Error::Syntax { message: format!("couldn't get version/kind; json parse error: {message}") }
        }
        other => other,
    }
}

/// For anything else.
pub(super) fn syntax(text: &str, error: &serde_json::Error) -> Error {
    if error.classify() == Category::Eof {
        return Error::Syntax { message: "unexpected end of JSON input".into() };
    }
    let words = error.to_string();
    if words.contains("recursion limit") {
        return Error::Limit { message: "exceeded max depth".into() };
    }
    let place = [
        ("expected value", "looking for beginning of value"),
        ("trailing characters", "after top-level value"),
        ("key must be a string", "looking for beginning of object key string"),
        ("trailing comma", "looking for beginning of value"),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("invalid escape", "in string escape code"),
        ("control character", "in string literal"),
        ("invalid number", "in numeric literal"),
        ("expected ident", "in literal"),
    ];
    let place =
        place.iter().find(|(ours, _)| words.contains(ours)).map_or("looking for beginning of value", |p| p.1);
    let message = match character(text, error.line(), error.column()) {
        Some(c) => format!("invalid character {} {place}", quote(c)),
        None => "unexpected end of JSON input".into(),
    };
    Error::Syntax { message }
}

/// The character the reader stopped at. Columns count bytes from one.
fn character(text: &str, line: usize, column: usize) -> Option<char> {
    let line = text.split('\n').nth(line.checked_sub(1)?)?;
    let mut at = column.saturating_sub(1).min(line.len());
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    line[at..].chars().next()
}

/// As Go quotes a character in these sentences.
fn quote(c: char) -> String {
    match c {
        '\'' => r"'\''".into(),
        '"' => r#"'"'"#.into(),
        '\n' => r"'\n'".into(),
        '\t' => r"'\t'".into(),
        '\r' => r"'\r'".into(),
        c if u32::from(c) < 0x20 => format!("'\\x{:02x}'", u32::from(c)),
        c => format!("'{c}'"),
    }
}
