//! Files of variables (`fileKeyRef`, KEP-3721): lines `NAME='value'`, the only form that every shell reads alike.

/// Why a file of variables cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A line is wrong.
    #[error("invalid environment variable format at line {line}: {reason}")]
    Line {
        /// From 1 on.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A quote is never closed.
    #[error("invalid environment variable format starting at line {line}: unclosed single quote")]
    Unclosed {
        /// Where it begins.
        line: usize,
    },
}

/// The value of `key` in the text of such a file. Lines after it are not looked at.
pub fn value(text: &str, key: &str) -> Result<Option<String>, Error> {
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let wrong = |reason| Error::Line { line: number, reason };
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once('=').ok_or_else(|| wrong("missing '='"))?;
        if name.trim_end_matches(BLANKS).is_empty() {
            return Err(wrong("empty variable name"));
        }
        if name.ends_with(BLANKS) {
            return Err(wrong("whitespace before '=' is not allowed"));
        }
        // As in a shell, a blank after the equals sign ends an empty value.
        let value = if rest.starts_with(BLANKS) {
            String::new()
        } else {
            let rest =
                rest.strip_prefix('\'').ok_or_else(|| wrong("value must be enclosed in single quotes"))?;
            quoted(rest, number, &mut lines)?
        };
        if name == key {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

const BLANKS: [char; 2] = [' ', '\t'];

/// What stands up to the next quote, which may be lines further down.
fn quoted<'a>(
    first: &'a str,
    began: usize,
    lines: &mut impl Iterator<Item = (&'a str, usize)>,
) -> Result<String, Error> {
    let mut value = String::new();
    let (mut rest, mut number) = (first, began);
    loop {
        if let Some((part, after)) = rest.split_once('\'') {
            value.push_str(part);
            let after = after.trim_start_matches(BLANKS);
            if !after.is_empty() && !after.starts_with('#') {
                return Err(Error::Line { line: number, reason: "unexpected content after closing quote" });
            }
            return Ok(value);
        }
        value.push_str(rest);
        value.push('\n');
        (rest, number) = lines.next().ok_or(Error::Unclosed { line: began })?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_as_they_stand_in_quotes() {
        for (name, text, found) in [
            ("one", "A='1'", Some("1")),
            ("among others", "B='2'\n\n # a comment\n  A='1'\nC='3'", Some("1")),
            ("nothing is expanded", r"A='$B \n `c`'", Some(r"$B \n `c`")),
            ("several lines", "A='one\ntwo\n three'\n", Some("one\ntwo\n three")),
            ("a comment after it", "A='1' # it", Some("1")),
            ("empty", "A=''", Some("")),
            ("a blank after the equals sign", "A= '1'", Some("")),
            ("not there", "B='A'", None),
            ("an empty file", "", None),
            ("what follows is not looked at", "A='1'\nnonsense", Some("1")),
        ] {
            assert_eq!(value(text, "A"), Ok(found.map(str::to_owned)), "{name}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, message) in [
            ("nonsense", "invalid environment variable format at line 1: missing '='"),
            ("\n='1'", "invalid environment variable format at line 2: empty variable name"),
            ("B ='1'", "invalid environment variable format at line 1: whitespace before '=' is not allowed"),
            ("B=1", "invalid environment variable format at line 1: value must be enclosed in single quotes"),
            (
                "B='\n' x",
                "invalid environment variable format at line 2: unexpected content after closing quote",
            ),
            ("\nB='1\n2", "invalid environment variable format starting at line 2: unclosed single quote"),
        ] {
            assert_eq!(value(text, "A").expect_err(text).to_string(), message);
        }
    }
}
