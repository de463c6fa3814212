//! Text in double quotes, as Go's `%q` writes it: what labels and annotations look like in a downward API volume.

use std::fmt::Write as _;

/// `text` in double quotes, with everything escaped that cannot be printed.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push(&mut quoted, c);
    }
    quoted.push('"');
    quoted
}

fn push(quoted: &mut String, c: char) {
    let named = match c {
        '"' | '\\' => c,
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{b}' => 'v',
        _ if is_printable(c) => return quoted.push(c),
        _ => {
            let code = u32::from(c);
            let written = match code {
                0..0x80 => write!(quoted, "\\x{code:02x}"),
                0x80..0x1_0000 => write!(quoted, "\\u{code:04x}"),
                _ => write!(quoted, "\\U{code:08x}"),
            };
            return written.expect("a string can be written to");
        }
    };
    quoted.push('\\');
    quoted.push(named);
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space: `unicode.IsPrint` of Go. The standard library knows them too, but tells only by
/// how it escapes; it takes marks for printable where they do not come first.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    let mut buffer = [0; 5];
    buffer[0] = b'a';
    let length = c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..=length]).expect("a letter and a character are text");
    text.escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_go_quotes_it() {
        for (name, text, quoted) in [
            ("plain", "bar", r#""bar""#),
            ("nothing", "", r#""""#),
            ("lines", "multi\nline\nvalue\n", r#""multi\nline\nvalue\n""#),
            ("quotes and backslashes", r#"a"b\c"#, r#""a\"b\\c""#),
            ("single quotes stay", "it's", r#""it's""#),
            ("named controls", "\u{7}\u{8}\u{c}\r\t\u{b}", r#""\a\b\f\r\t\v""#),
            ("other controls", "\0\u{1b}\u{7f}", r#""\x00\x1b\x7f""#),
            ("letters of all scripts", "舢板 é", r#""舢板 é""#),
            ("a mark", "e\u{301}", "\"e\u{301}\""),
            ("a mark alone", "\u{301}", "\"\u{301}\""),
            ("spaces other than the usual", "\u{a0}\u{2028}", r#""\u00a0\u2028""#),
            ("what no one sees", "\u{200b}\u{feff}", r#""\u200b\ufeff""#),
            ("private use beyond 16 bits", "\u{f0000}", r#""\U000f0000""#),
            ("an emoji", "⛵🚣", r#""⛵🚣""#),
        ] {
            assert_eq!(quote(text), quoted, "{name}");
        }
    }
}
