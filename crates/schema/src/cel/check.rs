//! The types of an expression, before it runs: what is undeclared, what has no such field, what fits no function.
//!
//! Messages are cel-go's. A part whose type is only known at run time (`dyn`) fits everywhere.

use cel::ExecutionError;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::signatures::{self, Signature};
use super::types::{Bound, Type};
use super::{Value, Variable};

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Issue {
    /// The part of the expression.
    pub(super) id: u64,
    message: String,
}

impl Issue {
    /// In cel-go's form: the place, and the line with a mark below it.
    pub(super) fn told(&self, text: &str, offset: Option<(u32, u32)>) -> String {
        let offset = offset.map_or(0, |(start, _)| start as usize);
        let before: String = text.chars().take(offset).collect();
        let (line, column) =
            (before.matches('\n').count(), before.chars().rev().take_while(|c| *c != '\n').count());
        let source = text.lines().nth(line).unwrap_or_default();
        let message = &self.message;
        let dots = ".".repeat(column);
        format!("ERROR: <input>:{}:{}: {message}\n | {source}\n | {dots}^", line + 1, column + 1)
    }
}

/// The type of an expression over these variables.
pub(super) fn check(expression: &IdedExpr, variables: &[Variable]) -> Result<Type, Issue> {
    let scope = variables.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect();
    Checker { scope }.check(expression)
}

/// Types that a name can stand for as a value: `type(x) == int`.
const TYPE_NAMES: [&str; 12] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
];

struct Checker {
    /// What is declared; the last of a name counts.
    scope: Vec<(String, Type)>,
}

impl Checker {
    fn check(&mut self, expression: &IdedExpr) -> Result<Type, Issue> {
        let wrong = |message: String| Issue { id: expression.id, message };
        Ok(match &expression.expr {
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self
                .lookup(name)
                .ok_or_else(|| wrong(format!("undeclared reference to '{name}' (in container '')")))?,
            Expr::Select(select) => {
                if let Some(name) = qualified(expression)
                    && TYPE_NAMES.contains(&name.as_str())
                {
                    return Ok(Type::Type);
                }
                let operand = self.check(&select.operand)?;
                let field = field(&operand, &select.field).map_err(wrong)?;
                if select.test { Type::Bool } else { field }
            }
            Expr::Call(call) => return self.call(expression.id, call),
            Expr::List(list) => {
                let mut item = None;
                for (i, element) in list.elements.iter().enumerate() {
                    let mut of = self.check(element)?;
                    if list.optional_indices.contains(&i) {
                        of = inside(&of);
                    }
                    item = Some(alike(item, of).map_err(|m| Issue { id: element.id, message: m })?);
                }
                Type::list(item.unwrap_or(Type::Dyn))
            }
            Expr::Map(map) => {
                let (mut key, mut value) = (None, None);
                for entry in &map.entries {
                    let EntryExpr::MapEntry(e) = &entry.expr else { continue };
                    let of_key = self.check(&e.key)?;
                    key = Some(alike(key, of_key).map_err(|m| Issue { id: e.key.id, message: m })?);
                    let mut of_value = self.check(&e.value)?;
                    if e.optional {
                        of_value = inside(&of_value);
                    }
                    value = Some(alike(value, of_value).map_err(|m| Issue { id: e.value.id, message: m })?);
                }
                Type::map(key.unwrap_or(Type::Dyn), value.unwrap_or(Type::Dyn))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension)?,
            Expr::Struct(of) => {
                return Err(wrong(format!("undeclared reference to '{}' (in container '')", of.type_name)));
            }
            Expr::Unspecified => return Err(wrong("unexpected expression".into())),
        })
    }

    fn lookup(&self, name: &str) -> Option<Type> {
        if let Some((_, of)) = self.scope.iter().rev().find(|(declared, _)| declared == name) {
            return Some(of.clone());
        }
        TYPE_NAMES.contains(&name).then_some(Type::Type)
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Result<Type, Issue> {
        // `a.?b` is a call of its own form: the field is a literal.
        if call.func_name == operators::OPT_SELECT
            && let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] =
                call.args.as_slice()
        {
            let operand = self.check(operand)?;
            let of = field(&inside(&operand), name.inner()).map_err(|message| Issue { id, message })?;
            return Ok(Type::optional(inside(&of)));
        }
        let mut args = Vec::with_capacity(call.args.len() + 1);
        let mut name = call.func_name.clone();
        let mut is_member = false;
        if let Some(target) = &call.target {
            if let Some(space) = self.namespace(target) {
                name = format!("{space}.{name}");
            } else {
                is_member = true;
                args.push(self.check(target)?);
            }
        }
        for arg in &call.args {
            args.push(self.check(arg)?);
        }
        let forms = signatures::of(&name);
        if !forms.iter().any(|form| form.is_member == is_member) {
            return Err(Issue { id, message: format!("undeclared reference to '{name}' (in container '')") });
        }
        literals(&name, call, is_member)?;
        result(forms, is_member, &args)
            .ok_or_else(|| Issue { id, message: no_overload(&name, is_member, &args) })
    }

    /// The namespace of functions that a call's target names, unless a variable of that name hides it.
    fn namespace(&self, target: &IdedExpr) -> Option<String> {
        let name = qualified(target)?;
        (signatures::is_namespace(&name) && !self.scope.iter().any(|(declared, _)| *declared == name))
            .then_some(name)
    }

    fn comprehension(&mut self, c: &ComprehensionExpr) -> Result<Type, Issue> {
        let item = match self.check(&c.iter_range)? {
            Type::List(item) => (*item).clone(),
            Type::Map(key, _) => (*key).clone(),
            Type::Dyn => Type::Dyn,
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return Err(Issue { id: c.iter_range.id, message });
            }
        };
        let init = self.check(&c.accu_init)?;
        let depth = self.scope.len();
        self.scope.push((c.accu_var.clone(), init.clone()));
        self.scope.push((c.iter_var.clone(), item));
        let condition = self.check(&c.loop_cond)?;
        if !matches!(condition, Type::Bool | Type::Dyn) {
            let message = format!("expected type 'bool' but found '{condition}'");
            return Err(Issue { id: c.loop_cond.id, message });
        }
        let mut accu = self.check(&c.loop_step)?;
        // The list that a `map` begins with has no type of its own: it has that of what is added to it.
        match appended(&c.loop_step, &c.accu_var) {
            Some(added) if matches!(&c.accu_init.expr, Expr::List(list) if list.elements.is_empty()) => {
                accu = self.check(added)?;
            }
            _ => accu = init.join(&accu).unwrap_or(init),
        }
        self.scope.truncate(depth);
        self.scope.push((c.accu_var.clone(), accu));
        let result = self.check(&c.result);
        self.scope.truncate(depth);
        result
    }
}

/// What a step adds to the list that it makes.
fn appended<'a>(step: &'a IdedExpr, accu: &str) -> Option<&'a IdedExpr> {
    let Expr::Call(call) = &step.expr else { return None };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::ADD, [left, right]) if matches!(&left.expr, Expr::Ident(name) if name == accu) => {
            Some(right)
        }
        (operators::CONDITIONAL, [_, then, _]) => appended(then, accu),
        _ => None,
    }
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::String,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

/// The type of a field of a value. A field of an optional value is optional.
fn field(of: &Type, name: &str) -> Result<Type, String> {
    match of {
        Type::Dyn => Ok(Type::Dyn),
        Type::Map(_, value) => Ok((**value).clone()),
        Type::Optional(inner) => field(inner, name).map(|of| Type::optional(inside(&of))),
        Type::Object(_) => of.field(name).cloned().ok_or_else(|| format!("undefined field '{name}'")),
        other => Err(format!("type '{other}' does not support field selection")),
    }
}

/// What is in an optional value.
fn inside(of: &Type) -> Type {
    match of {
        Type::Optional(inner) => (**inner).clone(),
        other => other.clone(),
    }
}

/// The type of a further element of a list or map, all of which must be alike.
fn alike(before: Option<Type>, of: Type) -> Result<Type, String> {
    let Some(before) = before else { return Ok(of) };
    before.join(&of).ok_or_else(|| format!("expected type '{before}' but found '{of}'"))
}

/// The type of a call's result: of the one form that fits; of no type, when several do and differ.
fn result(forms: &[Signature], is_member: bool, args: &[Type]) -> Option<Type> {
    let mut found: Option<Type> = None;
    for form in forms.iter().filter(|f| f.is_member == is_member && f.args.len() == args.len()) {
        let mut bound = Bound::default();
        if !form.args.iter().zip(args).all(|(want, got)| want.accepts(got, &mut bound)) {
            continue;
        }
        let of = form.result.resolved(&bound);
        found = Some(match found {
            None => of,
            Some(before) if before == of => of,
            Some(_) => Type::Dyn,
        });
    }
    found
}

fn no_overload(name: &str, is_member: bool, args: &[Type]) -> String {
    let list = |types: &[Type]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let applied = match args.split_first() {
        Some((target, rest)) if is_member => format!("{target}.({})", list(rest)),
        _ => format!("({})", list(args)),
    };
    format!("found no matching overload for '{name}' applied to '{applied}'")
}

/// Literals that can be seen to be wrong (cel-go's `ValidateRegexLiterals`, `...DurationLiterals`, `...TimestampLiterals`).
fn literals(name: &str, call: &CallExpr, is_member: bool) -> Result<(), Issue> {
    let at = match name {
        "matches" | "find" | "findAll" => usize::from(!is_member),
        "duration" | "timestamp" => 0,
        _ => return Ok(()),
    };
    let Some(IdedExpr { id, expr: Expr::Literal(LiteralValue::String(text)) }) = call.args.get(at) else {
        return Ok(());
    };
    let is_good = match name {
        "duration" => sampan_model::time::parse_go_duration(text.inner()).is_ok(),
        "timestamp" => crate::decode::time::is_rfc3339(text.inner()),
        _ => regex::Regex::new(text.inner()).is_ok(),
    };
    let message = format!("invalid {name} argument");
    if is_good { Ok(()) } else { Err(Issue { id: *id, message }) }
}

/// The name that identifiers and selections spell.
fn qualified(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified(&select.operand)?, select.field))
        }
        _ => None,
    }
}

/// Whether some part of an expression selects that field of that variable.
pub(super) fn selects(expression: &IdedExpr, variable: &str, field: &str) -> bool {
    let is_variable = |e: &IdedExpr| matches!(&e.expr, Expr::Ident(name) if name == variable);
    let is_field =
        |e: &IdedExpr| matches!(&e.expr, Expr::Literal(LiteralValue::String(text)) if text.inner() == field);
    match &expression.expr {
        Expr::Select(select) => {
            (select.field == field && is_variable(&select.operand))
                || selects(&select.operand, variable, field)
        }
        Expr::Call(call) => {
            let by_name = [operators::OPT_SELECT, operators::INDEX, operators::OPT_INDEX];
            let here = by_name.contains(&call.func_name.as_str())
                && matches!(call.args.as_slice(), [of, name] if is_variable(of) && is_field(name));
            here || call.target.iter().any(|target| selects(target, variable, field))
                || call.args.iter().any(|arg| selects(arg, variable, field))
        }
        Expr::List(list) => list.elements.iter().any(|e| selects(e, variable, field)),
        Expr::Map(map) => map.entries.iter().any(|entry| match &entry.expr {
            EntryExpr::MapEntry(e) => selects(&e.key, variable, field) || selects(&e.value, variable, field),
            EntryExpr::StructField(e) => selects(&e.value, variable, field),
        }),
        Expr::Comprehension(c) => [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
            .into_iter()
            .any(|part| selects(part, variable, field)),
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => false,
    }
}

/// What went wrong at run time, in cel-go's words where they are known.
pub(super) fn runtime_words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnexpectedType { .. } => "no such overload".into(),
        ExecutionError::DivisionByZero(_) => "division by zero".into(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".into(),
        ExecutionError::Overflow(..) => "integer overflow".into(),
        ExecutionError::IndexOutOfBounds(Value::Int(index)) => format!("index out of bounds: {index}"),
        other => other.to_string(),
    }
}
