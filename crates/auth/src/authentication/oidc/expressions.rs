//! CEL expressions over the claims of a token, and over the user that was made of them.

use sampan_apiserver::User;
use sampan_schema::cel::{self, Bindings, Error, Type, Value, Variable};
use serde_json::Value as Json;

/// What an expression is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// `claims`, of types that are not known.
    Claims,
    /// `user`.
    User,
}

impl About {
    fn variable(self) -> Variable {
        let words = || Type::list(Type::String);
        match self {
            Self::Claims => ("claims", Type::map(Type::String, Type::Dyn)),
            Self::User => {
                let fields = [
                    ("username", Type::String),
                    ("uid", Type::String),
                    ("groups", words()),
                    ("extra", Type::map(Type::String, words())),
                ];
                ("user", Type::object("kubernetes.UserInfo", fields))
            }
        }
    }

    /// The variable with its value.
    pub(super) fn bound(self, json: &Json) -> Bindings {
        Bindings::new(self.variable().0, cel::value(json))
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression(cel::Expression);

impl Expression {
    /// Compiles a text that makes something.
    pub(super) fn mapping(text: &str) -> Result<Self, String> {
        cel::Expression::compile(text, &[About::Claims.variable()]).map(Self).map_err(|e| e.to_string())
    }

    /// Compiles a text that is true or false.
    pub(super) fn rule(text: &str, about: About) -> Result<Self, String> {
        cel::Expression::compile_as(text, &[about.variable()], &Type::Bool).map(Self).map_err(|e| match e {
            Error::Result { want, .. } => format!("must evaluate to {want}"),
            other => other.to_string(),
        })
    }

    /// Whether it reads that claim.
    pub(super) fn uses(&self, claim: &str) -> bool {
        self.0.selects("claims", claim)
    }

    /// The value.
    fn eval(&self, bound: &Bindings) -> Result<Value, String> {
        self.0.evaluate(bound).map_err(|e| format!("expression '{}' resulted in error: {e}", self.0.text()))
    }

    /// A text that is there.
    pub(super) fn eval_text(&self, bound: &Bindings) -> Result<Option<String>, String> {
        match self.eval(bound)? {
            Value::String(text) => Ok(Some(text.to_string())),
            _ => Ok(None),
        }
    }

    /// Texts: one, a list, or none for null and for empty ones.
    pub(super) fn eval_texts(&self, bound: &Bindings) -> Result<Vec<String>, String> {
        let not_texts = || "expression must return a string or a list of strings".to_owned();
        match self.eval(bound)? {
            Value::Null => Ok(Vec::new()),
            Value::String(text) if text.is_empty() => Ok(Vec::new()),
            Value::String(text) => Ok(vec![text.to_string()]),
            Value::List(list) => list
                .iter()
                .filter_map(|value| match value {
                    Value::String(text) if text.is_empty() => None,
                    Value::String(text) => Some(Ok(text.to_string())),
                    _ => Some(Err(not_texts())),
                })
                .collect(),
            _ => Err(not_texts()),
        }
    }

    /// Whether it is true.
    pub(super) fn holds(&self, bound: &Bindings) -> Result<bool, String> {
        match self.eval(bound)? {
            Value::Bool(is_true) => Ok(is_true),
            _ => Err(format!("expression '{}' must return a boolean", self.0.text())),
        }
    }

    pub(super) fn text(&self) -> &str {
        self.0.text()
    }
}

/// A user as expressions see it.
pub(super) fn user(user: &User) -> Json {
    serde_json::json!({
        "username": user.name,
        "uid": user.uid,
        "groups": user.groups,
        "extra": user.extra,
    })
}
