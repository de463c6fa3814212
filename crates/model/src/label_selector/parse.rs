//! The text form of a label selector:
//!
//! ```text
//! selector    = requirement *( "," requirement )
//! requirement = ["!"] key / key ("=" / "==" / "!=" / ">" / "<") value / key ("in" / "notin") "(" values ")"
//! ```

use super::{Error, Operator, Requirement};
use crate::name::is_qualified_name;
use crate::{FieldError, Str};

const BINARY_OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    End,
    Open,
    Close,
    Comma,
    Not,
    Symbol(Operator),
    Word,
}

struct Parser<'a> {
    text: &'a str,
    token: Token,
    literal: &'a str,
}

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, Error> {
    // A NUL ends the text, as upstream's scanner has it.
    let text = text.split('\0').next().unwrap_or("");
    let mut parser = Parser { text, token: Token::End, literal: "" };
    parser.advance();
    let mut requirements = Vec::new();
    if parser.token == Token::End {
        return Ok(requirements);
    }
    if !parser.at_requirement() {
        return Err(parser.found(", expected: !, identifier, or 'end of string'"));
    }
    loop {
        let requirement =
            parser.requirement().map_err(|e| Error(format!("unable to parse requirement: {e}")))?;
        requirements.push(requirement);
        match parser.token {
            Token::End => return Ok(requirements),
            Token::Comma => parser.advance(),
            _ => return Err(parser.found(", expected: ',' or 'end of string'")),
        }
        if !parser.at_requirement() {
            return Err(parser.found(", expected: identifier after ','"));
        }
    }
}

impl<'a> Parser<'a> {
    /// Steps to the next token.
    fn advance(&mut self) {
        let text = self.text.trim_start_matches([' ', '\t', '\r', '\n']);
        let is_symbol = |c: char| "=!(),><".contains(c);
        let ends_word = |c: char| is_symbol(c) || matches!(c, ' ' | '\t' | '\r' | '\n');
        let (token, length) = match text.as_bytes() {
            [] => (Token::End, 0),
            [b'=', b'=', ..] => (Token::Symbol(Operator::DoubleEquals), 2),
            [b'!', b'=', ..] => (Token::Symbol(Operator::NotEquals), 2),
            [b'=', ..] => (Token::Symbol(Operator::Equals), 1),
            [b'>', ..] => (Token::Symbol(Operator::GreaterThan), 1),
            [b'<', ..] => (Token::Symbol(Operator::LessThan), 1),
            [b'!', ..] => (Token::Not, 1),
            [b'(', ..] => (Token::Open, 1),
            [b')', ..] => (Token::Close, 1),
            [b',', ..] => (Token::Comma, 1),
            _ => (Token::Word, text.find(ends_word).unwrap_or(text.len())),
        };
        self.token = token;
        (self.literal, self.text) = text.split_at(length);
    }

    fn take(&mut self) -> &'a str {
        let literal = self.literal;
        self.advance();
        literal
    }

    fn at_requirement(&self) -> bool {
        matches!(self.token, Token::Word | Token::Not)
    }

    fn found(&self, rest: &str) -> Error {
        Error(format!("found '{}'{rest}", self.literal))
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let negated = self.token == Token::Not;
        if negated {
            self.advance();
        }
        if self.token != Token::Word {
            return Err(self.found(", expected: identifier"));
        }
        let key = self.take();
        let complaints = is_qualified_name(key);
        if !complaints.is_empty() {
            // Upstream prints the path that it does not have here.
            return Err(super::aggregate(&[FieldError::invalid("<nil>", key, complaints.join("; "))]));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.token, Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = match (self.token, self.literal) {
            (Token::Symbol(operator), _) => operator,
            (Token::Word, "in") => Operator::In,
            (Token::Word, "notin") => Operator::NotIn,
            _ => return Err(self.found(&format!(", expected: {BINARY_OPERATORS}"))),
        };
        self.advance();
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn exact_value(&mut self) -> Result<Str, Error> {
        match self.token {
            Token::End | Token::Comma => Ok(Str::default()),
            Token::Word => Ok(self.take().into()),
            _ => Err(self.found(", expected: identifier")),
        }
    }

    /// `(a,b)`; between two commas, and in `()`, stands the empty value.
    fn values(&mut self) -> Result<Vec<Str>, Error> {
        if self.token != Token::Open {
            return Err(self.found(" expected: '('"));
        }
        self.advance();
        if !matches!(self.token, Token::Word | Token::Comma | Token::Close) {
            return Err(self.found(", expected: ',', ')' or identifier"));
        }
        let mut values: Vec<Str> = Vec::new();
        loop {
            match self.token {
                Token::Word => {
                    values.push(self.take().into());
                    if !matches!(self.token, Token::Comma | Token::Close) {
                        return Err(self.found(", expected: ',' or ')'"));
                    }
                }
                Token::Comma | Token::Close => values.push(Str::default()),
                _ => return Err(self.found(", expected: ',', or identifier")),
            }
            let at_end = self.token == Token::Close;
            self.advance();
            if at_end {
                break;
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }
}
