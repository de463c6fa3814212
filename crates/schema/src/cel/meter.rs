//! What an evaluation may cost, so that no expression and no input keeps the server busy.
//!
//! The interpreter has no limit of its own. So an expression is rewritten before it runs: each turn of a loop pays for the
//! nodes of its body, and each value that goes into a function pays for its size, a tenth of a unit a byte (as upstream
//! counts). The purse is a variable that no expression can name. Rejected: a clock, by which the same expression would now hold
//! and now fail.

mod growing;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{
    CelBytes, CelInt, CelList, CelMap, CelOptional, CelString, DYN_TYPE, INT_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::signatures;

/// What one evaluation may cost (upstream's `PerCallLimit`).
pub const PER_CALL_LIMIT: i64 = 1_000_000;
/// How many bytes are one unit.
const BYTES_PER_UNIT: usize = 10;
/// What a regular expression costs besides: it is compiled whenever it is used.
const PATTERN: i64 = 100;

/// The variable with the purse. `@` is in no name that can be written.
pub(super) const VARIABLE: &str = "@budget";
const TURN: &str = "@turn";
const SIZED: &str = "@sized";

static BUDGET_TYPE: Type = Type::new_unspecified_type("@budget");

/// What is left to spend.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicI64>);

impl Budget {
    pub(super) fn new(limit: i64) -> Self {
        Self(Arc::new(AtomicI64::new(limit)))
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }

    fn spend(&self, units: i64) -> Result<(), ExecutionError> {
        // One evaluation is one thread's, so nothing is lost between the two.
        let left = self.0.load(Ordering::Relaxed).saturating_sub(units);
        self.0.store(left, Ordering::Relaxed);
        if left < 0 { Err(ExecutionError::function_error(VARIABLE, "cost limit exceeded")) } else { Ok(()) }
    }
}

impl Val for Budget {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &BUDGET_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Budget {}

/// The functions that pay.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(TURN, TURN, vec![BUDGET_TYPE.to_owned(), INT_TYPE, DYN_TYPE], turn)?;
    env.add_overload(SIZED, SIZED, vec![BUDGET_TYPE.to_owned(), DYN_TYPE], sized)?;
    growing::extension(env)
}

fn budget<'b>(value: &'b CowVal<'_, '_>) -> Result<&'b Budget, ExecutionError> {
    value.downcast_ref::<Budget>().ok_or_else(|| ExecutionError::undeclared_reference(VARIABLE))
}

fn turn<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let units = args[1].downcast_ref::<CelInt>().map_or(1, |units| *units.inner());
    budget(&args[0])?.spend(units)?;
    args.pop().ok_or_else(ExecutionError::missing_argument_or_target)
}

fn sized<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let units = i64::try_from(size(args[1].as_ref()) / BYTES_PER_UNIT).unwrap_or(i64::MAX);
    budget(&args[0])?.spend(units.saturating_add(1))?;
    args.pop().ok_or_else(ExecutionError::missing_argument_or_target)
}

/// About how many bytes a value has.
fn size(value: &dyn Val) -> usize {
    if let Some(text) = value.downcast_ref::<CelString>() {
        text.inner().len()
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        bytes.inner().len()
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        list.inner().iter().map(|item| size(item.as_ref()) + 1).sum()
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        map.inner().iter().map(|(key, value)| size(key.inner()) + size(value.as_ref()) + 1).sum()
    } else if let Some(optional) = value.downcast_ref::<CelOptional>() {
        optional.inner().map_or(1, size)
    } else {
        1
    }
}

/// An expression that pays for what it does.
pub(super) fn metered(expression: IdedExpr) -> IdedExpr {
    // The whole expression pays once for its own length, so that one without loops is not free.
    let units = nodes(&expression);
    turned(metered_inside(expression), units)
}

fn metered_inside(expression: IdedExpr) -> IdedExpr {
    let IdedExpr { id, expr } = expression;
    let boxed = |e: Box<IdedExpr>| Box::new(metered_inside(*e));
    let all = |list: Vec<IdedExpr>| list.into_iter().map(metered_inside).collect();
    let expr = match expr {
        Expr::Call(call) => Expr::Call(paying(call)),
        Expr::Select(mut select) => {
            select.operand = boxed(select.operand);
            Expr::Select(select)
        }
        Expr::List(mut list) => {
            list.elements = all(list.elements);
            Expr::List(list)
        }
        Expr::Map(mut map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(e) = &mut entry.expr {
                    e.key = metered_inside(std::mem::take(&mut e.key));
                    e.value = metered_inside(std::mem::take(&mut e.value));
                }
            }
            Expr::Map(map)
        }
        Expr::Comprehension(mut c) => {
            let units = nodes(&c.loop_step) + nodes(&c.loop_cond);
            c.iter_range = metered_inside(std::mem::take(&mut c.iter_range));
            c.accu_init = metered_inside(std::mem::take(&mut c.accu_init));
            c.result = metered_inside(std::mem::take(&mut c.result));
            if matches!(c.loop_cond.expr, Expr::Literal(_)) {
                c.loop_step = paying_turn(std::mem::take(&mut c.loop_step), &c.accu_var, units);
            } else {
                // What fails in a step of `all` and `exists` may yet not count, so those go on; a condition that fails ends them.
                c.loop_cond = turned(metered_inside(std::mem::take(&mut c.loop_cond)), units);
                c.loop_step = metered_inside(std::mem::take(&mut c.loop_step));
            }
            Expr::Comprehension(c)
        }
        other => other,
    };
    IdedExpr { id, expr }
}

/// The step of a loop without a condition, paying at each turn. Its outer form stays as it is, since the interpreter has a short
/// way for lists that it makes (`@result + [x]`).
fn paying_turn(step: IdedExpr, accu: &str, units: i64) -> IdedExpr {
    let is_accu = |e: &IdedExpr| matches!(&e.expr, Expr::Ident(name) if name == accu);
    let IdedExpr { id, expr } = step;
    let Expr::Call(mut call) = expr else { return turned(metered_inside(IdedExpr { id, expr }), units) };
    let pay = |slot: &mut IdedExpr| *slot = turned(metered_inside(std::mem::take(slot)), units);
    match (call.func_name.as_str(), call.args.as_mut_slice()) {
        (operators::CONDITIONAL, [guard, then, _]) => {
            pay(guard);
            *then = paying_append(std::mem::take(then), accu, 0);
        }
        (operators::ADD, [left, _]) if is_accu(left) => {
            return paying_append(IdedExpr { id, expr: Expr::Call(call) }, accu, units);
        }
        _ => return turned(metered_inside(IdedExpr { id, expr: Expr::Call(call) }), units),
    }
    IdedExpr { id, expr: Expr::Call(call) }
}

/// `@result + [x]`, paying within the brackets.
fn paying_append(step: IdedExpr, accu: &str, units: i64) -> IdedExpr {
    let is_accu = |e: &IdedExpr| matches!(&e.expr, Expr::Ident(name) if name == accu);
    let IdedExpr { id, expr } = step;
    let Expr::Call(mut call) = expr else { return metered_inside(IdedExpr { id, expr }) };
    if call.func_name == operators::ADD
        && let [left, right] = call.args.as_mut_slice()
        && is_accu(left)
    {
        if let Expr::List(list) = &mut right.expr {
            for element in &mut list.elements {
                *element = turned(metered_inside(std::mem::take(element)), units);
            }
        } else {
            *right = turned(metered_inside(std::mem::take(right)), units);
        }
        return IdedExpr { id, expr: Expr::Call(call) };
    }
    metered_inside(IdedExpr { id, expr: Expr::Call(call) })
}

/// A call whose arguments pay for their size, if what it does depends on that.
fn paying(mut call: CallExpr) -> CallExpr {
    let is_free = matches!(
        call.func_name.as_str(),
        operators::CONDITIONAL
            | operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE
            | operators::INDEX
            | operators::OPT_INDEX
            | operators::OPT_SELECT
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE
            | "hasValue"
            | "value"
            | "orValue"
            | "size"
    );
    let pay = |e: IdedExpr| {
        let e = metered_inside(e);
        if is_free || matches!(e.expr, Expr::Literal(_)) { e } else { wrapped(SIZED, vec![e]) }
    };
    call.args = call.args.into_iter().map(pay).collect();
    // The first part of a function's name is no value.
    let is_name =
        |target: &IdedExpr| matches!(&target.expr, Expr::Ident(name) if signatures::is_namespace(name));
    match call.target.take() {
        Some(target) if !is_name(&target) => {
            let target = pay(*target);
            let growing = match call.func_name.as_str() {
                "replace" => growing::REPLACE,
                "join" => growing::JOIN,
                "format" => {
                    call.target = Some(Box::new(wrapped(growing::FORMAT, vec![target])));
                    return call;
                }
                _ => {
                    call.target = Some(Box::new(target));
                    return call;
                }
            };
            let purse = IdedExpr { id: 0, expr: Expr::Ident(VARIABLE.into()) };
            call.func_name = growing.into();
            call.args.splice(0..0, [purse, target]);
        }
        target => call.target = target,
    }
    call
}

fn turned(expression: IdedExpr, units: i64) -> IdedExpr {
    let units = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(CelInt::from(units))) };
    wrapped(TURN, vec![units, expression])
}

fn wrapped(function: &str, rest: Vec<IdedExpr>) -> IdedExpr {
    let purse = IdedExpr { id: 0, expr: Expr::Ident(VARIABLE.into()) };
    let args = std::iter::once(purse).chain(rest).collect();
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: function.into(), target: None, args }) }
}

/// What one evaluation of an expression costs, its loops and the sizes of its values aside.
fn nodes(expression: &IdedExpr) -> i64 {
    let all = |list: &[IdedExpr]| list.iter().map(nodes).sum::<i64>();
    1 + match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => {
            i64::try_from(text.inner().len() / BYTES_PER_UNIT).unwrap_or(i64::MAX)
        }
        Expr::Call(call) => {
            let pattern = matches!(call.func_name.as_str(), "matches" | "find" | "findAll");
            let own = if pattern { PATTERN } else { 0 };
            own + all(&call.args) + call.target.as_deref().map_or(0, nodes)
        }
        Expr::Select(select) => nodes(&select.operand),
        Expr::List(list) => all(&list.elements),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::MapEntry(e) => nodes(&e.key) + nodes(&e.value),
                EntryExpr::StructField(e) => nodes(&e.value),
            })
            .sum(),
        // A loop in a loop pays for its own turns.
        Expr::Comprehension(c) => nodes(&c.iter_range) + nodes(&c.accu_init) + nodes(&c.result),
        Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => 0,
    }
}
