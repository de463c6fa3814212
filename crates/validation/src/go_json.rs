//! What Go's JSON decoder says of a text that should be an object.

/// The complaint about `text`, if it is no JSON object (or null).
pub(crate) fn object_complaint(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { text, at: 0 };
    if let Err(complaint) = scanner.document() {
        return Some(complaint);
    }
    let kind = match text.iter().find(|b| !b.is_ascii_whitespace())? {
        b'{' | b'n' => return None,
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        _ => "number",
    };
    Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

type Step = Result<(), String>;

impl Scanner<'_> {
    fn space(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// The sentence about the byte here, or about the end.
    fn wrong(&self, context: &str) -> String {
        match self.text.get(self.at) {
            None => "unexpected end of JSON input".to_owned(),
            Some(b'\'') => format!("invalid character '\\'' {context}"),
            Some(b'"') => format!("invalid character '\"' {context}"),
            Some(b) => format!("invalid character '{}' {context}", char::from(*b).escape_default()),
        }
    }

    fn document(&mut self) -> Step {
        self.value()?;
        match self.space() {
            None => Ok(()),
            Some(_) => Err(self.wrong("after top-level value")),
        }
    }

    fn value(&mut self) -> Step {
        match self.space() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.wrong("looking for beginning of value")),
        }
    }

    fn object(&mut self) -> Step {
        self.at += 1;
        if self.space() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.space() != Some(b'"') {
                return Err(self.wrong("looking for beginning of object key string"));
            }
            self.string()?;
            if self.space() != Some(b':') {
                return Err(self.wrong("after object key"));
            }
            self.at += 1;
            self.value()?;
            match self.space() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Step {
        self.at += 1;
        if self.space() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            match self.space() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("after array element")),
            }
        }
    }

    fn string(&mut self) -> Step {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.text.get(self.at) {
                        Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
                        Some(b'u') => {
                            for _ in 0..4 {
                                self.at += 1;
                                if !self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                                    return Err(self.wrong("in \\u hexadecimal character escape"));
                                }
                            }
                            self.at += 1;
                        }
                        _ => return Err(self.wrong("in string escape code")),
                    }
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(self.wrong("in string literal")),
            }
        }
    }

    fn literal(&mut self, word: &str) -> Step {
        for expected in word.chars() {
            if self.text.get(self.at).map(|b| char::from(*b)) != Some(expected) {
                return Err(self.wrong(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn digits(&mut self, context: &str) -> Step {
        if !self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            return Err(self.wrong(context));
        }
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Step {
        if self.text[self.at] == b'-' {
            self.at += 1;
        }
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::object_complaint;

    #[test]
    fn complaints_are_gos() {
        for (text, want) in [
            ("{}", None),
            (" null ", None),
            (r#"{"a":[1,-2.5e3,"x\u00e9",true,null]}"#, None),
            ("{nope", Some("invalid character 'n' looking for beginning of object key string")),
            ("", Some("unexpected end of JSON input")),
            ("{\"a\" 1}", Some("invalid character '1' after object key")),
            ("{\"a\":1 \"b\"}", Some("invalid character '\"' after object key:value pair")),
            ("{\"a\":tru}", Some("invalid character '}' in literal true (expecting 'e')")),
            ("[1]", Some("json: cannot unmarshal array into Go value of type map[string]interface {}")),
            ("{} x", Some("invalid character 'x' after top-level value")),
            ("{\"a\":01}", Some("invalid character '1' after object key:value pair")),
        ] {
            assert_eq!(object_complaint(text.as_bytes()).as_deref(), want, "{text}");
        }
    }
}
