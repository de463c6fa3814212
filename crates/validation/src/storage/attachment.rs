//! Volume attachments.

use sampan_model::name::name_is_dns_subdomain;
use sampan_model::{FieldError, FieldPath, Value};

use crate::core::pod::volume_source::csi_driver_name;
use crate::core::volume::volume_spec;
use crate::look::{Errors, Look, Put, complain, immutable, top};
use crate::strategy::{keep_spec, keep_status, reset_status};
use crate::{KindRules, PartRules};

/// The rules of volume attachments.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(|attachment| {
        top(attachment).object_mut("status").default_ptr("attached", false);
    }),
    prepare_create: Some(|attachment, params| {
        reset_status(attachment, params);
        top(attachment).object_mut("status").insert("attached", false);
    }),
    prepare_update: Some(keep_status),
    validate: Some(validate_attachment),
    validate_update: Some(|new, old| {
        let mut e = validate_attachment(new);
        immutable(&mut e, FieldPath::field("spec"), new.sub("spec"), old.sub("spec"));
        e
    }),
    status: Some(PartRules {
        prepare_update: keep_spec,
        validate_update: Some(|new, _| status(new)),
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    delete_returns_object: true,
    ..KindRules::PLAIN
};

/// What is wrong with an attachment.
pub fn validate_attachment(attachment: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let (spec, p) = (attachment.sub("spec"), FieldPath::field("spec"));
    csi_driver_name(&mut e, p.child("attacher"), spec.s("attacher"));
    let (source, at) = (spec.sub("source"), p.child("source"));
    match (source.opt_s("persistentVolumeName"), source.opt("inlineVolumeSpec")) {
        (None, None) => {
            let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            e.push(FieldError::required(at, detail));
        }
        (Some(_), Some(_)) => {
            let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            e.push(FieldError::forbidden(at, detail));
        }
        (Some(""), None) => {
            let detail = "must specify non empty persistentVolumeName";
            e.push(FieldError::required(at.child("persistentVolumeName"), detail));
        }
        (Some(_), None) => {}
        (None, Some(inline)) => volume_spec(&mut e, at.child("inlineVolumeSpec"), inline, "", true),
    }
    let node = spec.s("nodeName");
    complain(&mut e, p.child("nodeName"), node, name_is_dns_subdomain(node, false));
    e.append(&mut status(attachment));
    e
}

fn status(attachment: &Value) -> Errors {
    const MOST_BYTES: usize = 256 * 1024;
    const LONGEST: usize = 1024;
    let mut e = Errors::new();
    let (status, p) = (attachment.sub("status"), FieldPath::field("status"));
    let p_meta = p.child("attachmentMetadata");
    let mut bytes = 0;
    for (key, value) in status.entries("attachmentMetadata") {
        if key.is_empty() {
            e.push(FieldError::invalid(p_meta, key, "must not be empty"));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > MOST_BYTES {
        e.push(FieldError::too_long(p_meta, MOST_BYTES));
    }
    for field in ["attachError", "detachError"] {
        if status.sub(field).s("message").len() > LONGEST {
            e.push(FieldError::too_long(p.child(field).child("message"), LONGEST));
        }
    }
    e
}
