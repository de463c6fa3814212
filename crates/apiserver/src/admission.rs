//! What may change or refuse a write after it was authorized: the places of admission in the chain.
//!
//! Plug-ins run in the order of their list: all that change before the strategy, all that check after it.

use sampan_model::{Status, Value};

use crate::{Context, Verb};

/// One admission plug-in.
pub trait Admission: Send + Sync + std::fmt::Debug {
    /// Its name, as `--enable-admission-plugins` knows it.
    fn name(&self) -> &'static str;

    /// May change `object`. `old` is there on updates.
    fn admit(
        &self,
        _cx: &Context<'_>,
        _verb: Verb,
        _object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// May refuse `object`; on deletions it is the object that goes.
    fn validate(
        &self,
        _cx: &Context<'_>,
        _verb: Verb,
        _object: &Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }
}
