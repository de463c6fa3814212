//! Functions whose result can be far longer than what goes in: they pay for it before they make it.

#![allow(clippy::needless_pass_by_value, reason = "the interpreter says what functions look like")]

use cel::common::types::{CelInt, CelString, INT_TYPE, LIST_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};

use super::{BUDGET_TYPE, BYTES_PER_UNIT, Budget, budget};

type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

pub(super) const REPLACE: &str = "@replace";
pub(super) const JOIN: &str = "@join";
pub(super) const FORMAT: &str = "@format";
/// How many digits the precision of a format may have.
const DIGITS: usize = 3;

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    let words = |more: usize| {
        let words = (0..more).map(|_| STRING_TYPE);
        std::iter::once(BUDGET_TYPE.to_owned()).chain(words).collect::<Vec<_>>()
    };
    env.add_overload(REPLACE, "@replace_all", words(3), replace)?;
    let mut some = words(3);
    some.push(INT_TYPE);
    env.add_overload(REPLACE, "@replace_some", some, replace)?;
    env.add_overload(JOIN, "@join_plain", vec![BUDGET_TYPE.to_owned(), LIST_TYPE], join)?;
    env.add_overload(JOIN, "@join_with", vec![BUDGET_TYPE.to_owned(), LIST_TYPE, STRING_TYPE], join)?;
    env.add_overload(FORMAT, FORMAT, words(1), format)
}

fn text<'b>(args: &'b [CowVal<'_, '_>], at: usize) -> Result<&'b str, ExecutionError> {
    let text = args.get(at).and_then(|arg| arg.downcast_ref::<CelString>());
    text.map(CelString::inner).ok_or_else(|| ExecutionError::no_such_overload("", Vec::new()))
}

fn pay(budget: &Budget, bytes: usize) -> Result<(), ExecutionError> {
    budget.spend(i64::try_from(bytes / BYTES_PER_UNIT).unwrap_or(i64::MAX))
}

fn replace<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let (this, from, to) = (text(&args, 1)?, text(&args, 2)?, text(&args, 3)?);
    let at_most = args.get(4).and_then(|n| n.downcast_ref::<CelInt>()).map_or(-1, |n| *n.inner());
    let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
    let times = this.matches(from).take(at_most).count();
    pay(budget(&args[0])?, this.len().saturating_add(times.saturating_mul(to.len())))?;
    Ok(CowVal::owned(CelString::from(this.replacen(from, to, at_most))))
}

fn join<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let list = crate::cel::library::list(&args, 1)?;
    let separator = if args.len() > 2 { text(&args, 2)? } else { "" };
    let mut words = Vec::with_capacity(list.len());
    for item in list {
        let word = item.downcast_ref::<CelString>().map(CelString::inner);
        words.push(word.ok_or_else(|| ExecutionError::no_such_overload("join", Vec::new()))?);
    }
    let between = separator.len().saturating_mul(words.len());
    pay(budget(&args[0])?, words.iter().map(|word| word.len()).sum::<usize>().saturating_add(between))?;
    Ok(CowVal::owned(CelString::from(words.join(separator))))
}

/// A format that asks for no more digits than anybody reads.
fn format<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let is_too_long = text(&args, 1)?.split('%').skip(1).any(|clause| {
        let digits = clause.trim_start_matches('.').bytes().take_while(u8::is_ascii_digit).count();
        digits > DIGITS
    });
    if is_too_long {
        return Err(ExecutionError::function_error("format", "precision is too high"));
    }
    args.pop().ok_or_else(ExecutionError::missing_argument_or_target)
}
