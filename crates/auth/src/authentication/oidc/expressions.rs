//! CEL expressions over the claims of a token, and over the user that was made of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Program, Value};
use sampan_apiserver::User;
use serde_json::Value as Json;

/// A compiled expression.
pub(super) struct Expression {
    program: Program,
    text: String,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({})", self.text)
    }
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

impl Expression {
    /// Compiles a text.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let program = ENV.compile(text).map_err(|e| format!("compilation failed: {e}"))?;
        Ok(Self { program, text: text.to_owned() })
    }

    /// The value, with a variable of this name.
    pub(super) fn eval(&self, name: &str, variable: &Value) -> Result<Value, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_from_value(name, variable.clone());
        self.program
            .execute(&context)
            .map_err(|e| format!("expression '{}' resulted in error: {e}", self.text))
    }

    /// A text that is there.
    pub(super) fn eval_text(&self, name: &str, variable: &Value) -> Result<Option<String>, String> {
        match self.eval(name, variable)? {
            Value::String(text) => Ok(Some(text.to_string())),
            _ => Ok(None),
        }
    }

    /// Texts: one, a list, or none for null and for empty ones.
    pub(super) fn eval_texts(&self, name: &str, variable: &Value) -> Result<Vec<String>, String> {
        let not_texts = || "expression must return a string or a list of strings".to_owned();
        match self.eval(name, variable)? {
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
    pub(super) fn holds(&self, name: &str, variable: &Value) -> Result<bool, String> {
        match self.eval(name, variable)? {
            Value::Bool(is_true) => Ok(is_true),
            _ => Err(format!("expression '{}' must return a boolean", self.text)),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// JSON as expressions see it: whole numbers are integers.
pub(super) fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => {
            n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(s) => Value::String(Arc::new(s.clone())),
        Json::Array(list) => Value::List(Arc::new(list.iter().map(value).collect())),
        Json::Object(map) => {
            let map: HashMap<String, Value> = map.iter().map(|(k, v)| (k.clone(), value(v))).collect();
            map.into()
        }
    }
}

/// A user as expressions see it.
pub(super) fn user(user: &User) -> Value {
    value(&serde_json::json!({
        "username": user.name,
        "uid": user.uid,
        "groups": user.groups,
        "extra": user.extra,
    }))
}
