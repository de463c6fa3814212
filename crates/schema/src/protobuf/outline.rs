//! The outline of a JSON text: where its values stand, in one flat list that is filled again for the next text.
//!
//! This is what makes messages of stored objects without a tree: nothing is allocated once the list has grown, and strings
//! are copied once, from the text into the message. The text is one that this program has written; anything else
//! is refused, or read as any reader of JSON may, but never more than read.

use std::borrow::Cow;

use super::source::{Source, View};
use crate::decode::MAX_DEPTH;

/// No token.
const NONE: u32 = u32::MAX;

/// A text that is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is not JSON at byte {0}")]
pub struct NotJson(usize);

/// Where the values of texts stand; its room is used again for the next text.
#[derive(Debug, Default)]
pub(super) struct Outline {
    tokens: Vec<Token>,
    open: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    /// Where the value stands; of a string, what is between the quotes.
    start: u32,
    end: u32,
    /// Where its key stands, if it is a member.
    key: (u32, u32),
    key_escaped: bool,
    /// The item or member before it.
    before: u32,
    /// Its last item or member.
    last: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    /// A string with backslashes.
    Escaped,
    Array,
    Object,
}

/// A text and its outline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    text: &'a str,
    tokens: &'a [Token],
}

impl Outline {
    /// Finds the values of a text. The first token is the text's value.
    pub(super) fn of<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Text<'a>, NotJson> {
        let text = std::str::from_utf8(bytes).map_err(|error| NotJson(error.valid_up_to()))?;
        if u32::try_from(text.len()).is_err() {
            return Err(NotJson(u32::MAX as usize));
        }
        self.tokens.clear();
        self.open.clear();
        let mut scanner = Scanner { bytes, at: 0, tokens: &mut self.tokens, open: &mut self.open };
        scanner.run().ok_or(NotJson(scanner.at))?;
        Ok(Text { text, tokens: &self.tokens })
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    tokens: &'a mut Vec<Token>,
    /// The arrays and objects that are not closed yet.
    open: &'a mut Vec<u32>,
}

type Key = ((u32, u32), bool);
const NO_KEY: Key = ((0, 0), false);

impl Scanner<'_> {
    fn run(&mut self) -> Option<()> {
        self.value(NO_KEY)?;
        while let Some(&parent) = self.open.last() {
            let (object, first) = {
                let token = &self.tokens[parent as usize];
                (token.kind == Kind::Object, token.last == NONE)
            };
            let close = if object { b'}' } else { b']' };
            match self.peek()? {
                byte if byte == close => {
                    self.at += 1;
                    self.tokens[parent as usize].end = place(self.at);
                    self.open.pop();
                    continue;
                }
                b',' if !first => self.at += 1,
                _ if first => {}
                _ => return None,
            }
            let key = if object { self.key()? } else { NO_KEY };
            self.value(key)?;
        }
        self.space();
        (self.at == self.bytes.len()).then_some(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    fn key(&mut self) -> Option<Key> {
        if self.peek()? != b'"' {
            return None;
        }
        let (start, end, escaped) = self.string()?;
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        Some(((start, end), escaped))
    }

    /// A string, from its first quote to behind its last.
    fn string(&mut self) -> Option<(u32, u32, bool)> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            match self.bytes.get(at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some((place(start), place(at), escaped))
    }

    /// Adds a value; what it contains comes after it.
    fn value(&mut self, (key, key_escaped): Key) -> Option<()> {
        let byte = self.peek()?;
        let start = self.at;
        let (kind, start, end) = match byte {
            b'"' => {
                let (start, end, escaped) = self.string()?;
                (if escaped { Kind::Escaped } else { Kind::String }, start, end)
            }
            b'{' | b'[' => {
                self.at += 1;
                (if byte == b'{' { Kind::Object } else { Kind::Array }, place(start), place(start))
            }
            b'n' => self.word(b"null", Kind::Null)?,
            b't' => self.word(b"true", Kind::True)?,
            b'f' => self.word(b"false", Kind::False)?,
            b'-' | b'0'..=b'9' => {
                let rest = &self.bytes[start..];
                let is_number = |b: &u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                self.at += rest.iter().position(|b| !is_number(b)).unwrap_or(rest.len());
                (Kind::Number, place(start), place(self.at))
            }
            _ => return None,
        };
        let index = place(self.tokens.len());
        let before = match self.open.last() {
            Some(parent) => std::mem::replace(&mut self.tokens[*parent as usize].last, index),
            None => NONE,
        };
        self.tokens.push(Token { kind, start, end, key, key_escaped, before, last: NONE });
        if matches!(kind, Kind::Object | Kind::Array) {
            if self.open.len() >= MAX_DEPTH {
                return None;
            }
            self.open.push(index);
        }
        Some(())
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Option<(Kind, u32, u32)> {
        let start = self.at;
        self.at += word.len();
        (self.bytes.get(start..self.at)? == word).then(|| (kind, place(start), place(self.at)))
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("texts are shorter than 4 GiB")
}

impl Text<'_> {
    fn slice(&self, start: u32, end: u32) -> &str {
        &self.text[start as usize..end as usize]
    }

    fn string(&self, start: u32, end: u32, escaped: bool) -> Cow<'_, str> {
        if !escaped {
            return Cow::Borrowed(self.slice(start, end));
        }
        // With its quotes; what is no string after all is told as it stands.
        let text = serde_json::from_str::<String>(self.slice(start - 1, end + 1));
        text.map_or_else(|_| Cow::Borrowed(self.slice(start, end)), Cow::Owned)
    }

    /// The tokens within another, the last first.
    fn within(&self, node: u32) -> impl Iterator<Item = u32> {
        let mut next = self.tokens[node as usize].last;
        std::iter::from_fn(move || {
            let this = (next != NONE).then_some(next)?;
            next = self.tokens[this as usize].before;
            Some(this)
        })
    }
}

impl Source for Text<'_> {
    type Node = u32;

    fn view(&self, node: u32) -> View<'_> {
        let token = &self.tokens[node as usize];
        match token.kind {
            Kind::Null => View::Null,
            Kind::True => View::Bool(true),
            Kind::False => View::Bool(false),
            Kind::Number => {
                let text = self.slice(token.start, token.end);
                match text.parse::<i64>() {
                    Ok(v) => View::Int(v),
                    Err(_) => text.parse::<f64>().map_or(View::Null, View::Float),
                }
            }
            kind @ (Kind::String | Kind::Escaped) => {
                View::String(self.string(token.start, token.end, kind == Kind::Escaped))
            }
            Kind::Array => View::Array,
            Kind::Object => View::Object,
        }
    }

    fn items(&self, node: u32) -> impl Iterator<Item = u32> {
        let is = self.tokens[node as usize].kind == Kind::Array;
        self.within(node).filter(move |_| is)
    }

    fn members(&self, node: u32) -> impl Iterator<Item = (Cow<'_, str>, u32)> {
        let is = self.tokens[node as usize].kind == Kind::Object;
        self.within(node).filter(move |_| is).map(|member| {
            let token = &self.tokens[member as usize];
            (self.string(token.key.0, token.key.1, token.key_escaped), member)
        })
    }

    fn json(&self, node: u32) -> Result<Cow<'_, [u8]>, String> {
        let token = &self.tokens[node as usize];
        let quotes = u32::from(matches!(token.kind, Kind::String | Kind::Escaped));
        Ok(Cow::Borrowed(self.slice(token.start - quotes, token.end + quotes).as_bytes()))
    }
}
