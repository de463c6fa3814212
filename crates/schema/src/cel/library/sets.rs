//! Lists as sets (cel-go's `ext.Sets`).

use cel::common::types::{CelBool, LIST_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::list;

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    let two = || vec![LIST_TYPE, LIST_TYPE];
    env.add_overload("sets.contains", "list_sets_contains_list", two(), contains)?;
    env.add_overload("sets.equivalent", "list_sets_equivalent_list", two(), equivalent)?;
    env.add_overload("sets.intersects", "list_sets_intersects_list", two(), intersects)
}

fn holds(set: &[&dyn Val], item: &dyn Val) -> bool {
    set.iter().any(|other| other.equals(item))
}

fn both<'b, 'v>(
    args: &[CowVal<'b, 'v>],
    decide: impl Fn(&[&dyn Val], &[&dyn Val]) -> bool,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    Ok(CowVal::owned(CelBool::from(decide(&list(args, 0)?, &list(args, 1)?))))
}

fn contains<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    both(&args, |a, b| b.iter().all(|item| holds(a, *item)))
}

fn equivalent<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    both(&args, |a, b| b.iter().all(|item| holds(a, *item)) && a.iter().all(|item| holds(b, *item)))
}

fn intersects<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    both(&args, |a, b| b.iter().any(|item| holds(a, *item)))
}
