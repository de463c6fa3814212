//! Applies a patch to an object's tree, and says in upstream's words why it cannot be applied.

use sampan_model::{FieldError, Status, Value};
use sampan_schema::{Schema, decode, patch};

use super::update::PatchType;
use crate::Context;
use crate::http_io::query::{FieldValidation, WriteOptions};

/// What `base` becomes by a patch: decoded again, with what is unknown treated as the options say.
pub(super) fn patched(
    schema: &Schema,
    base: &Value,
    patch_type: PatchType,
    body: &Value,
    cx: &Context<'_>,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let mut target = base.clone();
    match patch_type {
        PatchType::Json => target = patch::json(target, body).map_err(patch_error)?,
        PatchType::Merge => patch::merge(&mut target, body.clone()),
        PatchType::Strategic => patch::strategic(schema, &mut target, body.clone()).map_err(patch_error)?,
    }
    let decoded = decode::value(schema, target).map_err(|error| match error {
        decode::Error::Type { message, .. } => invalid_patch(body, message),
        other => Status::bad_request(other.to_string()),
    })?;
    for field in ["kind", "apiVersion"] {
        let (given, own) = (decoded.value.str_at(&[field]), base.str_at(&[field]));
        if given != own {
            return Err(invalid_patch(body, format!("the patch changes {field} from {own:?} to {given:?}")));
        }
    }
    let strict = decoded.strict_errors();
    if !strict.is_empty() {
        match options.field_validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => strict.iter().for_each(|w| cx.warn(w.clone())),
            FieldValidation::Strict => {
                return Err(invalid_patch(body, format!("strict decoding error: {}", strict.join(", "))));
            }
        }
    }
    Ok(decoded.value)
}

/// 422 for a patch that does not fit. Upstream knows neither kind nor name at this place.
pub(crate) fn invalid_patch(patch: &Value, why: impl Into<String>) -> Status {
    let nothing = sampan_model::GroupKind::default();
    Status::invalid(&nothing, "", &[FieldError::invalid("patch", patch.to_json(), why)])
}

fn patch_error(error: patch::Error) -> Status {
    match error {
        patch::Error::Malformed(message) => Status::bad_request(message),
        patch::Error::TooLarge(message) => {
            Status::failure(413, sampan_model::Reason::RequestEntityTooLarge, message)
        }
        patch::Error::Unprocessable(message) => Status::failure(422, sampan_model::Reason::Invalid, message)
            .with_details(sampan_model::status::Details::default()),
        patch::Error::Internal(message) => Status::unknown(message),
    }
}
