//! Fits the rules of a kind (plain functions, `sampan-validation`) to the engine's [`Strategy`].
//!
//! What a kind needs beyond them - other objects, operations in the same transaction - comes as [`Extra`].

use std::sync::{Arc, OnceLock};

use sampan_apiserver::strategy::Dependents;
use sampan_apiserver::{Context, Strategy, User};
use sampan_model::meta::ObjectMeta;
use sampan_model::time::format_time;
use sampan_model::{FieldError, GroupVersionKind, Map, Status, Value};
use sampan_schema::managed::FieldSet;
use sampan_validation::{KindRules, Params, PartRules};

use crate::services;

/// Changes an object that is about to be created.
type OnCreate = fn(&Context<'_>, &mut Value) -> Result<(), Status>;
/// Changes an object that is about to be updated; the old object comes last.
type OnUpdate = fn(&Context<'_>, &mut Value, &Value) -> Result<(), Status>;

/// What a kind does with other objects.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extra {
    /// Runs after the kind's own preparation of a create, if the object is valid.
    pub(crate) create: Option<OnCreate>,
    /// The same for an update.
    pub(crate) update: Option<OnUpdate>,
    /// Gives back what the object held.
    pub(crate) delete: Option<fn(&Context<'_>, &Value)>,
    /// Whether something besides finalizers keeps a deleted object.
    pub(crate) holds_deletion: Option<fn(&Value) -> bool>,
    /// What a deletion that does not remove the object at once changes in it.
    pub(crate) prepare_deletion: Option<fn(&mut Value)>,
    /// What is to be said to those who delete without saying what becomes of dependents.
    pub(crate) deletion_warning: Option<&'static str>,
}

impl Extra {
    fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Service") => services::EXTRA,
            ("apiregistration.k8s.io", "APIService") => {
                Self { create: Some(mark_local_api), ..Self::default() }
            }
            ("", "Namespace") => Self {
                holds_deletion: Some(|o| !o.array_at(&["spec", "finalizers"]).is_empty()),
                prepare_deletion: Some(|o| {
                    if let Value::Object(map) = o {
                        map.object_mut("status").insert("phase", "Terminating");
                    }
                }),
                ..Self::default()
            },
            ("batch", "Job") => Self { deletion_warning: Some(JOB_DELETION), ..Self::default() },
            _ => Self::default(),
        }
    }
}

const JOB_DELETION: &str = "child pods are preserved by default when jobs are deleted; set \
     propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// The finalizers that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// Built-in kinds accept finalizers of a domain and the standard ones only.
fn finalizer_errors(object: &Value) -> Vec<FieldError> {
    let names = object.finalizers().iter().filter_map(Value::as_str).enumerate();
    let strange = names.filter(|(_, name)| !name.contains('/') && !STANDARD_FINALIZERS.contains(name));
    strange
        .map(|(i, name)| {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            FieldError::invalid(format!("metadata.finalizers[{i}]"), name, why)
        })
        .collect()
}

/// An API that this server answers itself is available from the beginning.
#[allow(clippy::unnecessary_wraps)] // it has the form of every `OnCreate`
fn mark_local_api(cx: &Context<'_>, object: &mut Value) -> Result<(), Status> {
    if object.at(&["spec", "service"]).is_some_and(|s| !s.is_null()) {
        return Ok(());
    }
    let mut condition = Map::new();
    condition.insert("type", "Available");
    condition.insert("status", "True");
    condition.insert("lastTransitionTime", format_time(cx.now));
    condition.insert("reason", "Local");
    condition.insert("message", "Local APIServices are always available");
    if let Value::Object(map) = object {
        map.object_mut("status").insert("conditions", vec![Value::Object(condition)]);
    }
    Ok(())
}

/// The strategy of a kind in a version. Defaults are set in that version; everything else is done to the
/// form that is stored.
pub(crate) fn of_kind(gvk: &GroupVersionKind) -> Arc<dyn Strategy> {
    let (group, kind) = (gvk.group.as_str(), gvk.kind.as_str());
    let rules = rules(gvk);
    Arc::new(KindStrategy { rules, extra: Extra::of(group, kind), reset: Reset::new(rules.reset_fields) })
}

/// The strategy of a subresource that is a part of a kind.
pub(crate) fn of_part(gvk: &GroupVersionKind, part: &str) -> Arc<dyn Strategy> {
    let (group, kind) = (gvk.group.as_str(), gvk.kind.as_str());
    let rules = rules(gvk);
    let part = match part {
        "status" => rules.status.as_ref(),
        name => rules.parts.iter().find(|(n, _)| *n == name).map(|(_, part)| part),
    };
    let reset = Reset::new(part.map_or(&[], |p| p.reset_fields));
    Arc::new(PartStrategy { kind: rules, extra: Extra::of(group, kind), part: part.copied(), reset })
}

fn rules(gvk: &GroupVersionKind) -> &'static KindRules {
    static PLAIN: KindRules = KindRules::PLAIN;
    static OLD_AUTOSCALER: OnceLock<KindRules> = OnceLock::new();
    let rules = sampan_validation::rules(&gvk.group, &gvk.kind).unwrap_or(&PLAIN);
    if gvk.group == "autoscaling" && gvk.version == "v1" {
        return OLD_AUTOSCALER.get_or_init(|| KindRules { default: Some(default_old_autoscaler), ..*rules });
    }
    rules
}

/// `autoscaling/v1` has another default for load, which its conversion sets.
fn default_old_autoscaler(object: &mut Value) {
    let Value::Object(map) = object else { return };
    let min = map.object_mut("spec").get_or_insert_with("minReplicas", || Value::Null);
    if min.is_null() {
        *min = Value::Int(1);
    }
}

fn params<'a>(cx: &Context<'a>) -> Params<'a> {
    let User { name, uid, groups, extra } = cx.user;
    Params { now: cx.now, user: name, uid, groups, extra }
}

/// Field paths, and the set they make once someone asks.
#[derive(Debug)]
struct Reset {
    paths: sampan_validation::rules::Paths,
    set: OnceLock<Option<FieldSet>>,
}

impl Reset {
    fn new(paths: sampan_validation::rules::Paths) -> Self {
        Self { paths, set: OnceLock::new() }
    }

    fn get(&self) -> Option<&FieldSet> {
        if self.paths.is_empty() {
            return None;
        }
        let make = || {
            let mut fields = Map::new();
            for path in self.paths {
                let mut at = &mut fields;
                for name in *path {
                    at = at.object_mut(&format!("f:{name}"));
                }
            }
            FieldSet::from_value(&Value::Object(fields)).ok()
        };
        self.set.get_or_init(make).as_ref()
    }
}

#[derive(Debug)]
struct KindStrategy {
    rules: &'static KindRules,
    extra: Extra,
    reset: Reset,
}

impl Strategy for KindStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(default) = self.rules.default {
            default(object);
        }
    }

    fn prepare_for_create(&self, cx: &Context<'_>, object: &mut Value) -> Result<(), Status> {
        if let Some(prepare) = self.rules.prepare_create {
            prepare(object, &params(cx));
        }
        match self.extra.create {
            // An invalid object is refused after this: nothing is allocated for it.
            Some(create) if self.validate(cx, object).is_empty() => create(cx, object),
            _ => Ok(()),
        }
    }

    fn prepare_for_update(&self, cx: &Context<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        if let Some(prepare) = self.rules.prepare_update {
            prepare(object, old, &params(cx));
        }
        match self.extra.update {
            Some(update) if self.validate_update(cx, object, old).is_empty() => update(cx, object, old),
            _ => Ok(()),
        }
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        match self.rules.validate_name {
            Some(validate) => validate(name, prefix),
            None => sampan_model::name::name_is_dns_subdomain(name, prefix),
        }
    }

    fn validate(&self, _cx: &Context<'_>, object: &Value) -> Vec<FieldError> {
        let mut errors = finalizer_errors(object);
        errors.extend(self.rules.validate.map_or_else(Vec::new, |validate| validate(object)));
        errors
    }

    fn validate_update(&self, _cx: &Context<'_>, object: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = finalizer_errors(object);
        errors.extend(self.rules.validate_update.map_or_else(Vec::new, |validate| validate(object, old)));
        errors
    }

    fn deletion_warnings(&self, _object: &Value) -> Vec<String> {
        self.extra.deletion_warning.map(str::to_owned).into_iter().collect()
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        self.rules.warnings.map_or_else(Vec::new, |warnings| warnings(object, old))
    }

    fn on_delete(&self, cx: &Context<'_>, object: &Value) {
        if let Some(delete) = self.extra.delete {
            delete(cx, object);
        }
    }

    fn reset_fields(&self) -> Option<&FieldSet> {
        self.reset.get()
    }

    fn allow_create_on_update(&self) -> bool {
        self.rules.create_on_update
    }

    fn allow_unconditional_update(&self) -> bool {
        self.rules.unconditional_update
    }

    fn grace_period_seconds(&self, object: &Value, requested: Option<i64>) -> Option<i64> {
        self.rules.grace_period.map(|grace| grace(object, requested))
    }

    fn holds_deletion(&self, object: &Value) -> bool {
        self.extra.holds_deletion.is_some_and(|holds| holds(object))
    }

    fn prepare_for_deletion(&self, object: &mut Value) {
        if let Some(prepare) = self.extra.prepare_deletion {
            prepare(object);
        }
    }

    fn default_dependents(&self) -> Dependents {
        if self.rules.orphan_dependents { Dependents::Orphan } else { Dependents::Background }
    }

    fn delete_returns_object(&self) -> bool {
        self.rules.delete_returns_object
    }
}

/// How a part of an object is written. A part without rules of its own takes everything but what the
/// main endpoint owns: it keeps the old object and takes the field of its name.
#[derive(Debug)]
struct PartStrategy {
    kind: &'static KindRules,
    extra: Extra,
    part: Option<PartRules>,
    reset: Reset,
}

impl Strategy for PartStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(default) = self.kind.default {
            default(object);
        }
    }

    fn prepare_for_update(&self, cx: &Context<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        match &self.part {
            Some(part) => (part.prepare_update)(object, old, &params(cx)),
            None => keep_all_but_status(object, old),
        }
        Ok(())
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        match self.kind.validate_name {
            Some(validate) => validate(name, prefix),
            None => sampan_model::name::name_is_dns_subdomain(name, prefix),
        }
    }

    fn validate_update(&self, _cx: &Context<'_>, object: &Value, old: &Value) -> Vec<FieldError> {
        let validate = self.part.as_ref().and_then(|p| p.validate_update);
        validate.map_or_else(Vec::new, |validate| validate(object, old))
    }

    fn reset_fields(&self) -> Option<&FieldSet> {
        self.reset.get()
    }

    fn allow_unconditional_update(&self) -> bool {
        self.kind.unconditional_update
    }

    fn holds_deletion(&self, object: &Value) -> bool {
        self.extra.holds_deletion.is_some_and(|holds| holds(object))
    }
}

/// What a status endpoint does to most kinds: only status and metadata come from the client.
fn keep_all_but_status(object: &mut Value, old: &Value) {
    let (Value::Object(new), Value::Object(old)) = (object, old) else { return };
    let keeps = |field: &str| matches!(field, "status" | "metadata" | "kind" | "apiVersion");
    new.retain(|field, _| keeps(field));
    for (field, value) in old.iter().filter(|(field, _)| !keeps(field)) {
        new.insert(field.clone(), value.clone());
    }
}
