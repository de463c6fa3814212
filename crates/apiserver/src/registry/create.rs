//! POST to a collection.

use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::update::default;
use super::write::{ATTEMPTS, CommitError, Written, format_time, keep_managed_fields, metadata_errors};
use super::{Attributes, Registry, object};
use crate::http_io::query::WriteOptions;
use crate::{Context, Verb};

/// How a new object comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// By a POST.
    Post,
    /// By a PUT where there was nothing: whoever may update must also be allowed to create.
    Put,
    /// By an apply where there was nothing: likewise, and who owns which field is written down already.
    Apply,
}

/// How often a generated name is made anew when it is taken (as upstream).
const NAME_ATTEMPTS: usize = 8;
/// The random letters at the end of a generated name; no vowels, so no words.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// The longest name that is generated.
const NAME_MAX: usize = 63;

impl Registry {
    /// Creates `body` (decoded, in the version of the request; what it leaves out is set here). `a.name` is empty; the
    /// name is the body's.
    pub async fn create(
        &self,
        a: &Attributes,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let mut body = body;
        default(a, &mut body);
        check_namespace(a, &mut body)?;
        let generate = body.name().is_empty() && !body.meta_str("generateName").is_empty();
        let mut names_tried = 0;
        for _ in 0..ATTEMPTS {
            let mut candidate = body.clone();
            if generate {
                let name = generate_name(body.meta_str("generateName"));
                candidate.set_meta("name", name);
            }
            let name = candidate.name().to_owned();
            match self.try_create(a, candidate, options, Origin::Post).await {
                Ok(written) => {
                    self.settle(a, &name, Verb::Create, options.dry_run).await;
                    return Ok(written);
                }
                Err(CommitError::Status(status)) => return Err(status),
                Err(CommitError::Raced) => {
                    if self.store.snapshot().get(&a.storage.key(&a.namespace, &name)).is_none() {
                        continue;
                    }
                    names_tried += 1;
                    if !generate || names_tried >= NAME_ATTEMPTS {
                        return Err(name_taken(a, &name, generate));
                    }
                }
            }
        }
        Err(Status::internal("the object could not be written: what it depends on kept changing"))
    }

    /// What a POST to a resource that is not stored makes of its body before it is asked: its namespace, and who sent
    /// which field (upstream writes that down for reviews too). Admission sees it as it sees what is stored. With it come
    /// the warnings that admission gives.
    pub(crate) async fn prepare_virtual(
        &self,
        a: &Attributes,
        mut body: Value,
        options: &WriteOptions,
    ) -> Result<(Value, Vec<String>), Status> {
        check_namespace(a, &mut body)?;
        let snapshot = self.store.snapshot();
        let lookup = self.lookup(&snapshot);
        let cx = Context::new(a, self.now(), options.dry_run, &lookup);
        self.admission.admit(&cx, Verb::Create, &mut body, None).await?;
        keep_managed_fields(a, options, None, &mut body, self.now(), None)?;
        self.admission.validate(&cx, Verb::Create, &body, None).await?;
        Ok((body, cx.take_warnings()))
    }

    /// One attempt to create `new` (decoded and defaulted, with its name and namespace).
    pub(super) async fn try_create(
        &self,
        a: &Attributes,
        mut new: Value,
        options: &WriteOptions,
        origin: Origin,
    ) -> Result<Written, CommitError> {
        let snapshot = self.store.snapshot();
        let now = self.now();
        let lookup = self.lookup(&snapshot);
        let strategy = &*a.resource.strategy;
        let cx = Context::new(a, now, options.dry_run, &lookup);
        let given_revision = new.resource_version().to_owned();

        fill_system_fields(&mut new, &format_time(now));
        if origin != Origin::Apply {
            keep_managed_fields(a, options, None, &mut new, now, strategy.reset_fields())
                .map_err(CommitError::Status)?;
        }
        let mut object = object::to_storage(&a.resource, &a.storage, new);
        let key = self.prepare_create(a, &cx, &mut object, origin).await.map_err(CommitError::Status)?;
        if origin == Origin::Post && !given_revision.is_empty() && given_revision != "0" {
            return Err(CommitError::Status(Status::unknown(
                "resourceVersion should not be set on objects to be created",
            )));
        }
        if snapshot.get(&key).is_some() {
            // The name is known to be taken: the same answer as a lost race gives.
            return Err(CommitError::Raced);
        }
        let bytes = self.commit(a, &cx, None, &object, key).await?;
        Ok(Written { object: bytes, created: true, warnings: cx.take_warnings() })
    }

    /// Admission, strategy, validation: everything between decoding and the commit. Answers the key.
    async fn prepare_create(
        &self,
        a: &Attributes,
        cx: &Context<'_>,
        object: &mut Value,
        origin: Origin,
    ) -> Result<String, Status> {
        let strategy = &*a.resource.strategy;
        self.admission.admit(cx, Verb::Create, object, None).await?;
        strategy.prepare_for_create(cx, object)?;
        sampan_schema::normalise(&a.storage.schema, object);
        sampan_schema::complete(&a.storage.schema, object);
        let mut errors = metadata_errors(cx, strategy, object);
        errors.extend(strategy.validate(cx, object));
        if !errors.is_empty() {
            return Err(Status::invalid(&a.storage.group_kind(), object.name(), &errors));
        }
        for warning in strategy.warnings(object, None) {
            cx.warn(warning);
        }
        if origin != Origin::Post {
            self.authorize_create(a).await?;
        }
        self.admission.validate(cx, Verb::Create, object, None).await?;
        Ok(a.storage.key(&a.namespace, object.name()))
    }
}

/// The namespace of the path is the object's; another one in the body is an error.
pub(super) fn check_namespace(a: &Attributes, body: &mut Value) -> Result<(), Status> {
    if !a.resource.namespaced {
        if !body.namespace().is_empty() {
            body.set_meta("namespace", "");
        }
        return Ok(());
    }
    match body.namespace() {
        "" => body.set_meta("namespace", a.namespace.clone()),
        namespace if namespace == a.namespace => {}
        _ => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    Ok(())
}

/// Sets what only the server sets, whatever the client sent.
fn fill_system_fields(object: &mut Value, now: &str) {
    let meta = object.meta_mut();
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        meta.remove(field);
    }
    meta.insert("uid", uuid::Uuid::new_v4().to_string());
    meta.insert("creationTimestamp", now);
}

fn generate_name(prefix: &str) -> String {
    const RANDOM: usize = 5;
    let end =
        (0..=prefix.len().min(NAME_MAX - RANDOM)).rev().find(|i| prefix.is_char_boundary(*i)).unwrap_or(0);
    format!("{}{}", &prefix[..end], random_name_letters(RANDOM))
}

/// So many letters as generated names end with.
pub fn random_name_letters(count: usize) -> String {
    (0..count).map(|_| NAME_LETTERS[rand::random_range(0..NAME_LETTERS.len())] as char).collect()
}

fn name_taken(a: &Attributes, name: &str, generated: bool) -> Status {
    let mut status = Status::already_exists(&a.resource.group_resource(), name);
    if generated {
        status = Status::failure(
            409,
            sampan_model::Reason::AlreadyExists,
            format!("{status}, the server was not able to generate a unique name for the object"),
        )
        .with_details(status.details().cloned().unwrap_or_default());
    }
    status
}
