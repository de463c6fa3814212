//! Priority levels.

use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::apps::{prepare_create, prepare_status, prepare_update};
use crate::look::{Errors, Look, Put, not_supported, spec_mut};
use crate::{KindRules, PartRules};

/// The rules of priority levels.
pub(crate) const RULES: KindRules = KindRules {
    default: Some(default_priority_level),
    prepare_create: Some(prepare_create),
    prepare_update: Some(prepare_update),
    validate: Some(validate_priority_level),
    validate_update: Some(|new, _| validate_priority_level(new)),
    status: Some(PartRules {
        prepare_update: prepare_status,
        validate_update: None,
        reset_fields: crate::rules::SPEC,
    }),
    reset_fields: crate::rules::STATUS,
    ..KindRules::PLAIN
};

const SHARES: i64 = 30;
const QUEUES: i64 = 64;
const HAND: i64 = 8;
const QUEUE_LENGTH: i64 = 50;
const MOST_QUEUES: i64 = 10_000_000;

/// Sets a level's defaults.
pub fn default_priority_level(level: &mut Value) {
    let spec = spec_mut(level);
    if spec.s("type") == "Exempt" {
        spec.default_ptr("exempt", Map::new());
    }
    if let Some(exempt) = spec.get_mut("exempt").and_then(Value::as_object_mut) {
        exempt.default_ptr("nominalConcurrencyShares", 0);
        exempt.default_ptr("lendablePercent", 0);
    }
    let Some(limited) = spec.get_mut("limited").and_then(Value::as_object_mut) else { return };
    limited.default_ptr("nominalConcurrencyShares", SHARES);
    limited.default_ptr("lendablePercent", 0);
    let queuing = limited.get_mut("limitResponse").and_then(Value::as_object_mut);
    let queuing = queuing.and_then(|response| response.get_mut("queuing")?.as_object_mut());
    if let Some(queuing) = queuing {
        queuing.default_to("handSize", HAND);
        queuing.default_to("queues", QUEUES);
        queuing.default_to("queueLengthLimit", QUEUE_LENGTH);
    }
}

/// What is wrong with a level.
pub fn validate_priority_level(level: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let e = &mut errors;
    let (spec, p) = (level.sub("spec"), FieldPath::field("spec"));
    let (kind, name) = (spec.s("type"), level.sub("metadata").s("name"));
    if (name == "exempt") != (kind == "Exempt") {
        let detail = "type must be 'Exempt' if and only if `name` is 'exempt'";
        e.push(FieldError::invalid(p.child("type"), kind, detail));
    }
    match kind {
        "Exempt" => {
            if spec.has("limited") {
                let detail = "must be nil if the type is not Limited";
                e.push(FieldError::forbidden(p.child("limited"), detail));
            }
            if let Some(exempt) = spec.opt("exempt") {
                shares(e, p.child("exempt"), exempt);
            }
        }
        "Limited" => {
            if spec.has("exempt") {
                let detail = "must be nil if the type is Limited";
                e.push(FieldError::forbidden(p.child("exempt"), detail));
            }
            match spec.opt("limited") {
                None => {
                    let detail = "must not be empty when type is Limited";
                    e.push(FieldError::required(p.child("limited"), detail));
                }
                Some(limited) => limited_level(e, p.child("limited"), limited),
            }
        }
        other => e.push(not_supported(p.child("type"), other, &["Exempt", "Limited"])),
    }
    super::flow_schema::conditions(e, level);
    errors
}

fn shares(e: &mut Errors, p: FieldPath<'_>, of: &Value) {
    let count = of.num("nominalConcurrencyShares");
    if count < 0 {
        let detail = "must be a non-negative integer";
        e.push(FieldError::invalid(p.child("nominalConcurrencyShares"), count, detail));
    }
    let percent = of.num("lendablePercent");
    if !(0..=100).contains(&percent) {
        let detail = "must be between 0 and 100, inclusive";
        e.push(FieldError::invalid(p.child("lendablePercent"), percent, detail));
    }
}

fn limited_level(e: &mut Errors, p: FieldPath<'_>, limited: &Value) {
    shares(e, p, limited);
    if let Some(percent) = limited.opt_num("borrowingLimitPercent")
        && percent < 0
    {
        let detail = "if specified, must be a non-negative integer";
        e.push(FieldError::invalid(p.child("borrowingLimitPercent"), percent, detail));
    }
    let p = p.child("limitResponse");
    let response = limited.sub("limitResponse");
    let (queuing, at) = (response.opt("queuing"), p.child("queuing"));
    match (response.s("type"), queuing) {
        ("Reject", None) => {}
        ("Reject", Some(_)) => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            e.push(FieldError::forbidden(at, detail));
        }
        ("Queue", None) => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            e.push(FieldError::required(at, detail));
        }
        ("Queue", Some(queuing)) => queues(e, at, queuing),
        (other, _) => e.push(not_supported(p.child("type"), other, &["Queue", "Reject"])),
    }
}

fn queues(e: &mut Errors, p: FieldPath<'_>, queuing: &Value) {
    let (length, queues, hand) =
        (queuing.num("queueLengthLimit"), queuing.num("queues"), queuing.num("handSize"));
    if length <= 0 {
        e.push(FieldError::invalid(p.child("queueLengthLimit"), length, "must be positive"));
    }
    let at = p.child("queues");
    if queues <= 0 {
        e.push(FieldError::invalid(at, queues, "must be positive"));
    } else if queues > MOST_QUEUES {
        e.push(FieldError::invalid(at, queues, format!("must not be greater than {MOST_QUEUES}")));
    }
    let at = p.child("handSize");
    if hand <= 0 {
        e.push(FieldError::invalid(at, hand, "must be positive"));
    } else if hand > queues {
        e.push(FieldError::invalid(at, hand, format!("should not be greater than queues ({queues})")));
    } else if !deals(queues, hand) {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than 60"
        );
        e.push(FieldError::invalid(at, hand, detail));
    }
}

/// Whether 60 random bits are enough to deal a hand.
fn deals(queues: i64, hand: i64) -> bool {
    const BITS: u32 = 60;
    let mut product: u128 = 1;
    for left in (queues - hand + 1)..=queues {
        product = product.saturating_mul(u128::try_from(left).unwrap_or(1));
        if product > 1 << BITS {
            return false;
        }
    }
    true
}
