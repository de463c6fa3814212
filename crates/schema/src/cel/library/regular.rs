//! What regular expressions find in a text.

use cel::common::types::{CelInt, CelList, CelString};
use cel::common::value::Val;
use cel::{DeclarationError, Env, ExecutionError};
use regex::Regex;

use super::failed;

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    cel::add_member_overload!(env, fn find: (CelString, CelString) -> Result<CelString>)?;
    cel::add_member_overload!(env, fn find_all: (CelString, CelString) -> Result<CelList>)?;
    cel::add_member_overload!(env, fn find_some: (CelString, CelString, CelInt) -> Result<CelList>, name = "findAll")
}

fn pattern(text: &CelString<'_>) -> Result<Regex, ExecutionError> {
    let regex = Regex::new(text.inner());
    regex.map_err(|_| failed("find", format!("Illegal regex: error parsing regexp: `{}`", text.inner())))
}

fn find(this: &CelString<'_>, by: &CelString<'_>) -> Result<CelString<'static>, ExecutionError> {
    let found = pattern(by)?.find(this.inner()).map_or(String::new(), |m| m.as_str().to_owned());
    Ok(found.into())
}

fn all(this: &CelString<'_>, by: &CelString<'_>, at_most: usize) -> Result<CelList<'static>, ExecutionError> {
    let found: Vec<Box<dyn Val>> = pattern(by)?
        .find_iter(this.inner())
        .take(at_most)
        .map(|m| Box::new(CelString::from(m.as_str().to_owned())) as Box<dyn Val>)
        .collect();
    Ok(found.into())
}

fn find_all(this: &CelString<'_>, by: &CelString<'_>) -> Result<CelList<'static>, ExecutionError> {
    all(this, by, usize::MAX)
}

/// At most so many; all for a negative number.
fn find_some(
    this: &CelString<'_>,
    by: &CelString<'_>,
    at_most: &CelInt,
) -> Result<CelList<'static>, ExecutionError> {
    all(this, by, usize::try_from(*at_most.inner()).unwrap_or(usize::MAX))
}
