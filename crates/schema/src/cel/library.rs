//! Kubernetes' libraries of CEL (`k8s.io/apiserver/pkg/cel/library`), and the environment that has them all.
//!
//! What the interpreter brings along (strings, optional values) is registered here too. Which of it expressions may use is
//! said by the table of signatures.

#![allow(
    clippy::needless_pass_by_value,
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "the interpreter says what functions look like"
)]

mod addresses;
mod lists;
mod named_format;
mod quantity;
mod regular;
mod semantic_version;
mod sets;
mod url;

use std::any::Any;
use std::fmt::Debug;

use cel::common::traits::Iterable;
use cel::common::types::Type;
use cel::common::value::{CowVal, FromVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

pub(super) use self::url::is_request_uri;

/// The environment of all expressions.
pub(super) fn environment() -> Env {
    let mut env = Env::stdlib();
    extend(&mut env).expect("no two libraries declare the same function");
    env
}

fn extend(env: &mut Env) -> Result<(), DeclarationError> {
    cel::extensions::strings(env)?;
    super::meter::extension(env)?;
    addresses::extension(env)?;
    lists::extension(env)?;
    named_format::extension(env)?;
    quantity::extension(env)?;
    regular::extension(env)?;
    semantic_version::extension(env)?;
    sets::extension(env)?;
    url::extension(env)
}

/// What a type of a library must say of itself.
trait Own: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// The type, as expressions know it.
    fn kind() -> &'static Type;
}

/// A value of a library's type.
#[derive(Debug, Clone, PartialEq)]
struct Of<T>(T);

impl<T: Own> Val for Of<T> {
    fn get_type(&self) -> &Type {
        T::kind()
    }

    fn cel_type() -> &'static Type {
        T::kind()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| self == other)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl<T: Own> StaticVal for Of<T> {}

/// An argument of the type that its overload was declared with.
fn arg<'b, 'v, T: FromVal<'b, 'v>>(args: &'b [CowVal<'_, 'v>], at: usize) -> Result<&'b T, ExecutionError> {
    let value: &'b (dyn Val + 'v) =
        args.get(at).ok_or_else(ExecutionError::missing_argument_or_target)?.as_ref();
    T::from_val(value).ok_or_else(|| no_overload(value))
}

/// An argument that is a list.
pub(super) fn list<'b, 'v>(
    args: &'b [CowVal<'_, 'v>],
    at: usize,
) -> Result<Vec<&'b (dyn Val + 'v)>, ExecutionError> {
    let value = args.get(at).ok_or_else(ExecutionError::missing_argument_or_target)?.as_ref();
    items(value)
}

fn items<'b, 'v>(value: &'b (dyn Val + 'v)) -> Result<Vec<&'b (dyn Val + 'v)>, ExecutionError> {
    let iterable: &'b (dyn Iterable + 'v) = value.as_iterable().ok_or_else(|| no_overload(value))?;
    let (mut found, mut rest) = (Vec::new(), iterable.iter());
    while let Some(item) = rest.next() {
        found.push(item);
    }
    Ok(found)
}

fn no_overload(value: &dyn Val) -> ExecutionError {
    ExecutionError::no_such_overload("", vec![value.get_type().name().to_owned()])
}

fn failed(function: &str, message: impl std::fmt::Display) -> ExecutionError {
    ExecutionError::function_error(function, message)
}
