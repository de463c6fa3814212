//! PUT and PATCH: all of them make a new object of the existing one, and share everything else.

use std::sync::Arc;

use jiff::Timestamp;
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, Status, Str, Value};
use sampan_schema::{Schema, decode, managed};
use sampan_store::Entry;

use super::patching::patched;
use super::write::{
    ATTEMPTS, CommitError, Written, format_time, keep_managed_fields, managed_error, manager,
    metadata_errors, metadata_update_errors,
};
use super::{Attributes, Registry, object};
use crate::http_io::query::WriteOptions;
use crate::subresource::Projection;
use crate::{Behaviour, Context, Strategy, Verb};

/// The kinds of patches, apart from apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own.
    Strategic,
}

/// What is to become of an object.
#[derive(Debug, Clone)]
pub enum Change {
    /// It is replaced by this one (decoded; what it leaves out is set here).
    Replace(Value),
    /// It is patched.
    Patch(PatchType, Value),
    /// A configuration is applied to it.
    Apply(Value),
}

/// The rules by which an update is written.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) strategy: &'a dyn Strategy,
    pub(super) projection: Option<&'a dyn Projection>,
    pub(super) schema: &'a Schema,
}

impl Registry {
    /// Changes the object that `a` names, or its subresource.
    pub async fn update(
        &self,
        a: &Attributes,
        mut change: Change,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let rules = rules(a)?;
        if let Change::Replace(body) = &mut change {
            super::create::check_namespace(a, body)?;
            check_name(a, body)?;
        }
        for _ in 0..ATTEMPTS {
            let snapshot = self.store.snapshot();
            let Some(entry) = snapshot.get(&a.key()) else {
                match self.create_instead(a, &change, options).await? {
                    Some(written) => return Ok(written),
                    None => continue,
                }
            };
            match self.try_update(a, rules, entry, &snapshot, &change, options).await {
                Ok(written) => {
                    self.settle(a, &a.name, Verb::Update, options.dry_run).await;
                    return Ok(written);
                }
                Err(CommitError::Raced) => {}
                Err(CommitError::Status(status)) => return Err(status),
            }
        }
        Err(Status::modified(&a.resource.group_resource(), &a.name))
    }

    async fn try_update(
        &self,
        a: &Attributes,
        rules: Rules<'_>,
        entry: &Arc<Entry>,
        snapshot: &sampan_store::Snapshot,
        change: &Change,
        options: &WriteOptions,
    ) -> Result<Written, CommitError> {
        let fail = CommitError::Status;
        let now = self.now();
        let lookup = self.lookup(snapshot);
        let cx = Context::new(a, now, options.dry_run, &lookup);
        let stored = object::parse(entry).map_err(fail)?;
        // The same tree where the version is the stored one.
        let converted = (a.resource.group_version() != a.resource.storage_version)
            .then(|| object::from_storage(&a.resource, stored.clone()));
        let existing = converted.as_ref().unwrap_or(&stored);

        let mut new = next(a, rules, &cx, existing, change, options).map_err(fail)?;
        check_name(a, &new).map_err(fail)?;
        super::create::check_namespace(a, &mut new).map_err(fail)?;
        let replaces = matches!(change, Change::Replace(_));
        check_identity(a, rules.strategy, replaces, &new, &stored, entry).map_err(fail)?;
        if !matches!(change, Change::Apply(_)) {
            let reset = rules.strategy.reset_fields();
            keep_managed_fields(a, options, Some(existing), &mut new, now, reset).map_err(fail)?;
        }
        let mut object = object::to_storage(&a.resource, &a.storage, new);
        self.prepare_update(a, rules.strategy, &cx, &mut object, &stored).await.map_err(fail)?;
        if leaves(rules.strategy, &object) && !options.dry_run {
            return self.finish_deletion(a, &cx, entry, &stored, object).await;
        }
        let bytes = self.commit(a, &cx, Some(entry), &object, a.key()).await?;
        let bytes = match rules.projection {
            Some(projection) => project(projection, &bytes).map_err(fail)?,
            None => bytes,
        };
        Ok(Written { object: bytes, created: false, warnings: cx.take_warnings() })
    }

    /// Admission, strategy, validation: everything between the new object and the commit.
    async fn prepare_update(
        &self,
        a: &Attributes,
        strategy: &dyn Strategy,
        cx: &Context<'_>,
        object: &mut Value,
        old: &Value,
    ) -> Result<(), Status> {
        self.admission.admit(cx, Verb::Update, object, Some(old)).await?;
        keep_system_fields(object, old);
        strategy.prepare_for_update(cx, object, old)?;
        sampan_schema::normalise(&a.storage.schema, object);
        sampan_schema::complete(&a.storage.schema, object);
        let mut errors = metadata_update_errors(object, old);
        // The engine's check and the kind's own are both reported, as upstream reports them.
        errors.extend(errors.clone());
        errors.extend(metadata_errors(cx, strategy, object));
        errors.extend(strategy.validate_update(cx, object, old));
        if !errors.is_empty() {
            return Err(Status::invalid(&a.storage.group_kind(), object.name(), &errors));
        }
        for warning in strategy.warnings(object, Some(old)) {
            cx.warn(warning);
        }
        self.admission.validate(cx, Verb::Update, object, Some(old)).await?;
        Ok(())
    }
}

/// The object as the client wants it, in the version of the request: decoded and defaulted.
fn next(
    a: &Attributes,
    rules: Rules<'_>,
    cx: &Context<'_>,
    existing: &Value,
    change: &Change,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let projected = rules.projection.map(|p| p.read(existing)).transpose()?;
    let base = projected.as_ref().unwrap_or(existing);
    let mut new = match change {
        Change::Replace(body) => body.clone(),
        Change::Patch(patch_type, body) => patched(rules.schema, base, *patch_type, body, cx, options)?,
        Change::Apply(config) => return applied(a, rules, Some(existing), config, options, cx.now),
    };
    match rules.projection {
        None => {
            default(a, &mut new);
            Ok(new)
        }
        Some(projection) => {
            check_projected(a, projection, &new)?;
            let mut object = existing.clone();
            projection.write(&mut object, &new)?;
            object.set_meta("resourceVersion", new.resource_version().to_owned());
            if !new.uid().is_empty() {
                object.set_meta("uid", new.uid().to_owned());
            }
            Ok(object)
        }
    }
}

fn check_projected(a: &Attributes, projection: &dyn Projection, projected: &Value) -> Result<(), Status> {
    let errors = projection.validate(projected);
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(&a.storage.group_kind(), &a.name, &errors)) }
}

/// What an apply makes of an object, or of nothing: in the version of the request, defaulted.
pub(super) fn applied(
    a: &Attributes,
    rules: Rules<'_>,
    existing: Option<&Value>,
    config: &Value,
    options: &WriteOptions,
    now: Timestamp,
) -> Result<Value, Status> {
    let mut config = config.clone();
    let given = config.resource_version().to_owned();
    if let Some(projection) = rules.projection {
        check_projected(a, projection, &config)?;
        let mut object = Value::Object(sampan_model::Map::new());
        object::set_type(&a.resource, &mut object);
        object.set_meta("name", a.name.clone());
        object.set_meta("namespace", a.namespace.clone());
        projection.write(&mut object, &config)?;
        config = object;
    } else if let Some(meta) =
        config.as_object_mut().and_then(|o| o.get_mut("metadata")).and_then(Value::as_object_mut)
    {
        meta.remove("resourceVersion");
    }
    let gv = a.resource.group_version().to_string();
    let manager = manager(a, options, &gv);
    let (now, force) = (format_time(now), options.force == Some(true));
    let (schema, reset) = (&a.resource.schema, rules.strategy.reset_fields());
    let merged =
        managed::apply(schema, existing, config, &manager, force, &now, reset).map_err(managed_error)?;
    let mut new = decode::value(schema, merged).map_err(|e| Status::bad_request(e.to_string()))?.value;
    if let Some(existing) = existing {
        let version = if given.is_empty() { existing.resource_version().to_owned() } else { given };
        new.set_meta("resourceVersion", version);
    }
    default(a, &mut new);
    Ok(new)
}

/// uid and resourceVersion that the client gave must be the object's. (In a patch the uid is a field like any other,
/// which may not change.)
fn check_identity(
    a: &Attributes,
    strategy: &dyn Strategy,
    replaces: bool,
    new: &Value,
    stored: &Value,
    entry: &Entry,
) -> Result<(), Status> {
    let resource = a.resource.group_resource();
    if replaces && !new.uid().is_empty() && new.uid() != stored.uid() {
        return Err(Status::conflict(
            &resource,
            &a.name,
            precondition_failed(&entry.key, "UID", new.uid(), stored.uid()),
        ));
    }
    match new.resource_version() {
        "" | "0" if strategy.allow_unconditional_update() => Ok(()),
        "" | "0" => Err(Status::invalid(
            // Upstream names the resource here, not the kind.
            &sampan_model::GroupKind::new(resource.group.clone(), resource.resource.clone()),
            &a.name,
            &[FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update")],
        )),
        text => match text.parse::<u64>() {
            Ok(revision) if revision == entry.revision => Ok(()),
            Ok(_) => Err(Status::modified(&resource, &a.name)),
            Err(_) => Err(Status::invalid(
                &a.resource.group_kind(),
                &a.name,
                &[FieldError::invalid(
                    "metadata.resourceVersion",
                    text,
                    format!("strconv.ParseUint: parsing {text:?}: invalid syntax"),
                )],
            )),
        },
    }
}

/// The rules of the resource, or of the subresource that `a` names.
pub(super) fn rules(a: &Attributes) -> Result<Rules<'_>, Status> {
    if a.subresource.is_empty() {
        return Ok(Rules { strategy: &*a.resource.strategy, projection: None, schema: &a.resource.schema });
    }
    let sub = a.storage.subresource(&a.subresource).ok_or_else(Status::path_not_found)?;
    match &sub.behaviour {
        Behaviour::Part(strategy) => {
            Ok(Rules { strategy: &**strategy, projection: None, schema: &a.resource.schema })
        }
        Behaviour::Projection(projection) => Ok(Rules {
            strategy: &*a.resource.strategy,
            projection: Some(&**projection),
            schema: &sub.schema,
        }),
        Behaviour::Action(_) | Behaviour::Connect(_) => Err(Status::failure(
            405,
            sampan_model::Reason::MethodNotAllowed,
            "the server does not allow this method on the requested resource",
        )),
    }
}

/// The stored object of an answer, shown as another kind.
pub(super) fn project(projection: &dyn Projection, bytes: &[u8]) -> Result<bytes::Bytes, Status> {
    let object: Value = serde_json::from_slice(bytes).map_err(Status::internal)?;
    Ok(object::encoded(&projection.read(&object)?))
}

/// Why a precondition of a write failed, as upstream's storage says it.
pub(super) fn precondition_failed(key: &str, what: &str, wanted: &str, found: &str) -> String {
    format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         {what} in precondition: {wanted}, {what} in object meta: {found}"
    )
}

/// Sets the defaults of the schema and of the kind.
pub(super) fn default(a: &Attributes, object: &mut Value) {
    sampan_schema::default(&a.resource.schema, object);
    a.resource.strategy.default(object);
    sampan_schema::complete(&a.resource.schema, object);
}

/// Whether nothing keeps an object any more whose deletion was asked for.
fn leaves(strategy: &dyn Strategy, object: &Value) -> bool {
    object.is_deleting()
        && object.finalizers().is_empty()
        && !strategy.holds_deletion(object)
        && object
            .meta()
            .and_then(|m| m.get("deletionGracePeriodSeconds"))
            .and_then(Value::as_i64)
            .unwrap_or(0)
            == 0
}

/// The name of an object must be there, and that of the path (upstream's `checkName`).
pub(super) fn check_name(a: &Attributes, object: &Value) -> Result<(), Status> {
    match object.name() {
        name if name == a.name => Ok(()),
        "" => Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            a.name
        ))),
        name => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            a.name
        ))),
    }
}

/// Restores from `old` what only the server writes.
fn keep_system_fields(object: &mut Value, old: &Value) {
    let empty = sampan_model::Map::new();
    let old = old.meta().unwrap_or(&empty);
    let meta = object.meta_mut();
    meta.remove("selfLink");
    for field in
        ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        if !meta.contains_key(field)
            && let Some(value) = old.get(field)
        {
            meta.insert(Str::from(field), value.clone());
        }
    }
    match old.get("generation") {
        Some(generation) => meta.insert("generation", generation.clone()),
        None => meta.remove("generation"),
    };
}
