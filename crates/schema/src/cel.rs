//! CEL, the language of Kubernetes' expressions: compiled with upstream's libraries, checked, and evaluated within a cost.
//!
//! The interpreter is the `cel` crate. What stands here is what Kubernetes adds to the language: its libraries
//! ([`library`]), types that are known before an expression runs ([`check`]), so that a configuration with a mistake is refused
//! where it is read, and a bound of what one evaluation may cost ([`meter`]). It knows neither who evaluates what, nor when: a
//! user declares variables, compiles a text, and binds values.

mod check;
mod json;
mod library;
mod meter;
mod signatures;
mod types;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

pub use cel::Value;
use cel::common::ast::IdedExpr;
use cel::{Context, Env};

pub use self::json::value;
pub use self::meter::PER_CALL_LIMIT;
pub use self::types::{ObjectType, Type};

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no expression, or its types do not fit.
    #[error("compilation failed: {0}")]
    Compile(String),
    /// It has another type than whoever uses it needs.
    #[error("must evaluate to {want} but got {got}")]
    Result {
        /// What is needed.
        want: String,
        /// What it is.
        got: String,
    },
    /// It failed on these values.
    #[error("{0}")]
    Evaluate(String),
    /// It would take too long on these values.
    #[error("operation cancelled: actual cost limit exceeded")]
    Cost,
}

/// What a variable is called and of which type it is.
pub type Variable = (&'static str, Type);

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(library::environment()));

/// A compiled expression.
pub struct Expression {
    text: String,
    /// As written, for whoever looks at what it uses.
    written: IdedExpr,
    /// As evaluated: with its cost.
    metered: IdedExpr,
    result: Type,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expression({})", self.text)
    }
}

impl Expression {
    /// Compiles a text that may use these variables.
    pub fn compile(text: &str, variables: &[Variable]) -> Result<Self, Error> {
        let (written, source) =
            ENV.parser().parse_with_source_info(text).map_err(|e| Error::Compile(e.to_string()))?;
        let result = check::check(&written, variables)
            .map_err(|issue| Error::Compile(issue.told(text, source.offset_for(issue.id))))?;
        let metered = meter::metered(written.clone());
        Ok(Self { text: text.to_owned(), written, metered, result })
    }

    /// The same, if its type is `want`. What is only known when it runs (`dyn`) is not, as upstream has it.
    pub fn compile_as(text: &str, variables: &[Variable], want: &Type) -> Result<Self, Error> {
        let expression = Self::compile(text, variables)?;
        if expression.result == *want {
            return Ok(expression);
        }
        Err(Error::Result { want: want.to_string(), got: expression.result.to_string() })
    }

    /// The text that it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The type of its values, as far as it is known.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// Whether it selects a field of this name of a variable: `variable.field`, `variable.?field`, `variable["field"]`.
    pub fn selects(&self, variable: &str, field: &str) -> bool {
        check::selects(&self.written, variable, field)
    }

    /// Its value with what is bound, at no more than [`PER_CALL_LIMIT`].
    pub fn evaluate(&self, bound: &Bindings) -> Result<Value, Error> {
        let budget = meter::Budget::new(PER_CALL_LIMIT);
        let mut scope = bound.0.new_inner_scope();
        scope.add_variable_as_val(meter::VARIABLE, Box::new(budget.clone()));
        let value = Value::resolve(&self.metered, &scope);
        // An operator may have hidden that the cost was too high, so the budget itself is asked.
        if budget.is_exhausted() {
            return Err(Error::Cost);
        }
        value.map_err(|e| Error::Evaluate(check::runtime_words(&e)))
    }
}

/// Values of variables; several expressions can be evaluated with them.
pub struct Bindings(Context<'static, 'static>);

impl std::fmt::Debug for Bindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bindings")
    }
}

impl Bindings {
    /// One variable with a value.
    pub fn new(name: &str, value: Value) -> Self {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_from_value(name, value);
        Self(context)
    }

    /// A further variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.0.add_variable_from_value(name, value);
        self
    }
}
