//! Compiling a path.

use super::filter::{Comparison, Filter, Operand};
use super::{Error, JsonPath, Step};
use crate::{Str, Value};

/// Filters may hold paths with filters, but not without end.
const DEPTH_MAX: usize = 8;

pub(super) struct Parser<'a> {
    path: &'a str,
    at: usize,
    depth: usize,
}

/// Where a name that is not in quotes ends.
fn ends_name(c: char) -> bool {
    c.is_whitespace() || ".[](){}=!<>,:*?@$|&'\"".contains(c)
}

impl<'a> Parser<'a> {
    pub(super) fn new(path: &'a str) -> Self {
        Self { path, at: 0, depth: 0 }
    }

    fn error<T>(&self, message: &'static str) -> Result<T, Error> {
        Err(Error { message, at: self.at, path: self.path.to_owned() })
    }

    fn rest(&self) -> &'a str {
        &self.path[self.at..]
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// The whole text.
    pub(super) fn path(mut self) -> Result<Vec<Step>, Error> {
        let braces = self.eat("{");
        self.skip_spaces();
        let root = self.eat("$") || self.eat("@");
        let steps = self.steps(!root)?;
        self.skip_spaces();
        if braces && !self.eat("}") {
            return self.error("a closing brace is missing");
        }
        if !self.rest().is_empty() {
            return self.error("unexpected character");
        }
        Ok(steps)
    }

    /// Steps until something that is none. A bare name may begin the path of a column.
    fn steps(&mut self, may_begin_bare: bool) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        if may_begin_bare && !self.rest().starts_with(['.', '[']) {
            steps.push(self.name()?);
        }
        loop {
            if self.eat("..") {
                steps.push(Step::Descend);
                if !self.rest().starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.eat(".") {
                // `.` alone is the object itself, and `.[0]` the same as `[0]`.
                if !(self.rest().is_empty() || self.rest().starts_with(['[', '}'])) {
                    steps.push(self.name()?);
                }
            } else if self.eat("[") {
                steps.push(self.bracket()?);
            } else {
                return Ok(steps);
            }
        }
    }

    /// A field name with `\` before characters that would end it, or `*`.
    fn name(&mut self) -> Result<Step, Error> {
        if self.eat("*") {
            return Ok(Step::All);
        }
        let mut name = Str::default();
        let mut chars = self.rest().chars();
        while let Some(c) = chars.next() {
            if c == '\\' {
                let Some(next) = chars.next() else { return self.error("a character is missing after \\") };
                name.push(next);
            } else if ends_name(c) {
                break;
            } else {
                name.push(c);
            }
            self.at = self.path.len() - chars.as_str().len();
        }
        if name.is_empty() {
            return self.error("a field name is missing");
        }
        Ok(Step::Fields(vec![name]))
    }

    /// What stands between brackets, and the closing one.
    fn bracket(&mut self) -> Result<Step, Error> {
        self.skip_spaces();
        let step = if self.eat("*") {
            Step::All
        } else if self.eat("?(") {
            Step::Filter(self.filter()?)
        } else if self.rest().starts_with(['\'', '"']) {
            let mut names = vec![self.quoted()?];
            while self.comma() {
                names.push(self.quoted()?);
            }
            Step::Fields(names)
        } else {
            self.indices()?
        };
        self.skip_spaces();
        if self.eat("]") { Ok(step) } else { self.error("a closing bracket is missing") }
    }

    fn comma(&mut self) -> bool {
        self.skip_spaces();
        let found = self.eat(",");
        self.skip_spaces();
        found
    }

    fn indices(&mut self) -> Result<Step, Error> {
        let start = self.integer()?;
        if self.eat(":") {
            let end = self.integer()?;
            let stride = if self.eat(":") { self.integer()?.unwrap_or(1) } else { 1 };
            return match usize::try_from(stride) {
                Ok(stride @ 1..) => Ok(Step::Slice { start, end, stride }),
                _ => self.error("the stride of a slice must be above 0"),
            };
        }
        let mut indices = Vec::new();
        let mut next = start;
        loop {
            let Some(index) = next else { return self.error("an index is missing") };
            indices.push(index);
            if !self.comma() {
                return Ok(Step::Indices(indices));
            }
            next = self.integer()?;
        }
    }

    fn integer(&mut self) -> Result<Option<i64>, Error> {
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return Ok(None);
        }
        let text = &rest[..rest.len() - digits.len() + count];
        let Ok(number) = text.parse() else { return self.error("a number is too large") };
        self.at += text.len();
        Ok(Some(number))
    }

    fn quoted(&mut self) -> Result<Str, Error> {
        let mut chars = self.rest().chars();
        let Some(quote @ ('\'' | '"')) = chars.next() else { return self.error("a quote is missing") };
        let mut text = Str::default();
        loop {
            match chars.next() {
                Some(c) if c == quote => break,
                Some('\\') => match chars.next() {
                    Some(c) => text.push(c),
                    None => return self.error("a closing quote is missing"),
                },
                Some(c) => text.push(c),
                None => return self.error("a closing quote is missing"),
            }
        }
        self.at = self.path.len() - chars.as_str().len();
        Ok(text)
    }

    /// What stands after `?(`, and the closing parenthesis.
    fn filter(&mut self) -> Result<Filter, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.error("filters stand too deep in each other");
        }
        let left = self.operand()?;
        self.skip_spaces();
        let comparison = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ]
        .into_iter()
        .find_map(|(token, comparison)| self.eat(token).then_some(comparison));
        let filter = match (left, comparison) {
            (left, Some(comparison)) => Filter::Compares(left, comparison, self.operand()?),
            (Operand::Path(path), None) => Filter::Exists(path),
            (Operand::Literal(_), None) => return self.error("a comparison is missing"),
        };
        self.skip_spaces();
        if !self.eat(")") {
            return self.error("a closing parenthesis is missing");
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn operand(&mut self) -> Result<Operand, Error> {
        self.skip_spaces();
        if self.eat("@") {
            return Ok(Operand::Path(JsonPath { steps: self.steps(false)? }));
        }
        if self.rest().starts_with(['\'', '"']) {
            return Ok(Operand::Literal(Value::String(self.quoted()?)));
        }
        let end = self.rest().find(|c: char| !(c.is_ascii_alphanumeric() || ".+-_".contains(c)));
        let text = &self.rest()[..end.unwrap_or(self.rest().len())];
        let value = match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(integer), _) => Value::Int(integer),
                (_, Ok(float)) => Value::Float(float),
                _ => return self.error("an operand is missing"),
            },
        };
        self.at += text.len();
        Ok(Operand::Literal(value))
    }
}
