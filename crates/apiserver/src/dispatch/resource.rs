//! Requests about resources: from the words of the path to typed attributes, and on to the engine.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use sampan_model::status::Details;
use sampan_model::{GroupVersion, Reason, Status, Value};
use sampan_schema::{Schema, decode};

use super::{not_allowed, protobuf, shape};
use crate::audit::Recorder;
use crate::http_io::body::Upload;
use crate::http_io::media::{Encoding, Form, Offers, Shape, body_encoding, media_type, negotiate};
use crate::http_io::protobuf::{Protobuf, not_marshalable};
use crate::http_io::query::{FieldValidation, Query, WriteOptions};
use crate::http_io::respond::{self, Answer};
use crate::registry::{Attributes, Change, DeleteOptions, Deleted, ListOptions, PatchType, Written};
use crate::request_info::RequestInfo;
use crate::server::Shared;
use crate::subresource::{Connect, VirtualRequest};
use crate::{Behaviour, Resource, User, Verb, Verbs};

/// Why a request is not answered with what it asked for.
pub(super) enum Failure {
    /// There is no such group at all: a plain page.
    Page,
    /// Everything else.
    Status(Status),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Failure::Status(status)
    }
}

/// What a request is, beyond its attributes.
struct Request<'a> {
    server: &'a Arc<Shared>,
    a: Attributes,
    info: &'a RequestInfo,
    query: &'a Query,
    parts: &'a Parts,
    form: Form,
    pretty: bool,
}

/// Answers a request about a resource.
pub(super) async fn answer(
    server: &Arc<Shared>,
    user: Arc<User>,
    info: &RequestInfo,
    query: &Query,
    parts: &Parts,
    body: Bytes,
    upload: Upload,
) -> Result<Answer, Failure> {
    let catalog = server.registry.catalog();
    if catalog.group(&info.group).is_none() {
        return Err(Failure::Page);
    }
    let resource =
        catalog.resource(&info.group, &info.version, &info.resource).ok_or_else(Status::path_not_found)?;
    let storage = catalog.by_storage(&resource.storage).unwrap_or(resource);
    let a = Attributes {
        resource: Arc::clone(resource),
        storage: Arc::clone(storage),
        subresource: info.subresource.as_str().into(),
        namespace: if resource.namespaced { info.namespace.as_str().into() } else { "".into() },
        name: info.name.as_str().into(),
        user,
        default_manager: manager(parts).into(),
        audit: parts.extensions.get::<Recorder>().cloned().unwrap_or_default(),
        patches: parts.method == http::Method::PATCH,
    };
    check_path(&a, info, parts)?;
    let form = negotiate(super::accept(parts), Offers::Transforms, &|| resource.protobuf())?;
    let pretty = query.flag("pretty");
    let request = Request { server, a, info, query, parts, form, pretty };
    let outcome = request.run(body, upload).await;
    let mut answer = outcome.unwrap_or_else(|status| {
        request.a.audit.status(&status.to_value());
        respond::status(&status, form.encoding)
    });
    if let Some(warning) = &request.a.resource.deprecation_warning {
        respond::warn(&mut answer, std::slice::from_ref(warning));
    }
    Ok(answer)
}

/// The field manager that a user agent stands for: its name up to the first slash.
fn manager(parts: &Parts) -> &str {
    let agent = parts.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let name = agent.split('/').next().unwrap_or("");
    let end = (0..=name.len().min(128)).rev().find(|i| name.is_char_boundary(*i)).unwrap_or(0);
    if name.is_empty() { "unknown" } else { &name[..end] }
}

/// Whether the path and the method fit the resource: 404 and 405.
fn check_path(a: &Attributes, info: &RequestInfo, parts: &Parts) -> Result<(), Failure> {
    let resource = &a.resource;
    let own_namespace = info.resource == "namespaces" && info.group.is_empty();
    let connect = super::connect::of(a);
    let no_path = !connect.is_some_and(Connect::takes_path);
    if (!resource.namespaced && !info.namespace.is_empty() && !own_namespace)
        || (no_path && !info.rest.is_empty())
    {
        return Err(Status::path_not_found().into());
    }
    let verbs = if info.subresource.is_empty() {
        resource.verbs
    } else {
        resource.subresource(&info.subresource).ok_or_else(Status::path_not_found)?.verbs
    };
    let named = !info.name.is_empty();
    let at_cluster = resource.namespaced && info.namespace.is_empty();
    // The name of a watch or list may also be the field selector's.
    let named_in_path = named && info.path.ends_with(&format!("/{}/{}", info.resource, info.name));
    if info.verb == "proxy" || (info.verb == "watch" && at_cluster && named_in_path) {
        return Err(Status::path_not_found().into());
    }
    let allowed = match (&parts.method, info.verb.as_str()) {
        (&http::Method::HEAD, _) if no_path => false,
        (&http::Method::GET, "list" | "watch") => {
            verbs.contains(if info.verb == "list" { Verb::List } else { Verb::Watch })
        }
        (_, _) if at_cluster => false,
        // What is proxied to may be asked what it can do.
        (&http::Method::OPTIONS, _) => !no_path && named,
        (_, "create") => verbs.contains(Verb::Create) && (!named || !info.subresource.is_empty()),
        (_, "get") => verbs.contains(Verb::Get),
        (_, "update") => verbs.contains(Verb::Update) && named,
        (_, "patch") => verbs.contains(Verb::Patch) && named,
        (_, "delete") => verbs.contains(Verb::Delete) && named,
        (_, "deletecollection") => verbs.contains(Verb::DeleteCollection),
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    // A path at cluster scope that names an object of a namespaced kind is no path at all.
    if at_cluster && !info.name.is_empty() && !matches!(info.verb.as_str(), "list" | "watch") {
        return Err(Status::path_not_found().into());
    }
    if verbs == Verbs::NONE { Err(Status::path_not_found().into()) } else { Err(not_allowed().into()) }
}

impl Request<'_> {
    async fn run(&self, body: Bytes, upload: Upload) -> Result<Answer, Status> {
        if let Some(connect) = super::connect::of(&self.a) {
            return super::connect::answer(
                self.server,
                &self.a,
                self.info,
                self.query,
                self.parts,
                connect,
                upload,
            )
            .await;
        }
        match self.info.verb.as_str() {
            "get" if !self.a.subresource.is_empty() => self.get_part().await,
            "get" => self.get().await,
            "list" => self.list().await,
            "watch" => self.watch().await,
            "create" => self.create(body).await,
            "update" => self.replace(body).await,
            "patch" => self.patch(body).await,
            "delete" => self.delete(body).await,
            "deletecollection" => self.delete_collection(body).await,
            _ => Err(not_allowed()),
        }
    }

    fn content_type(&self) -> Option<&str> {
        self.parts.headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok())
    }

    /// One object in the form that the client asked for.
    fn object(&self, code: u16, object: Bytes, warnings: &[String]) -> Result<Answer, Status> {
        let mut answer = shape::one(
            &self.a,
            code,
            object,
            self.form,
            self.pretty,
            self.query,
            self.server.registry.now(),
        )?;
        respond::warn(&mut answer, warnings);
        Ok(answer)
    }

    fn written(&self, written: &Written) -> Result<Answer, Status> {
        self.object(if written.created { 201 } else { 200 }, written.object.clone(), &written.warnings)
    }

    async fn get(&self) -> Result<Answer, Status> {
        if let Some(virtual_resource) = &self.a.resource.virtual_resource {
            let found = virtual_resource.get(&self.a.name).await?;
            let found =
                found.ok_or_else(|| Status::not_found(&self.a.resource.group_resource(), &self.a.name))?;
            return self.object(200, crate::registry::object::encoded(&found), &[]);
        }
        let bytes = self.server.registry.get(&self.a, self.query.get("resourceVersion")).await?;
        self.object(200, bytes, &[])
    }

    async fn get_part(&self) -> Result<Answer, Status> {
        let bytes = self.server.registry.get_part(&self.a, self.query.get("resourceVersion")).await?;
        self.object(200, bytes, &[])
    }

    /// The options of a list or a watch. One that is about one name (in its path, or by its field selector) may not
    /// select another: it was authorized for this one.
    fn list_options(&self, watch: bool) -> Result<ListOptions, Status> {
        let options = ListOptions::parse(self.query, watch)?;
        let (name, fields) = (&self.a.name, &options.fields);
        if !name.is_empty()
            && !fields.is_everything()
            && fields.required_value("metadata.name") != Some(name.as_str())
        {
            return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
        }
        Ok(options)
    }

    async fn list(&self) -> Result<Answer, Status> {
        let options = self.list_options(false)?;
        if let Some(virtual_resource) = &self.a.resource.virtual_resource {
            let items = virtual_resource.list().await?;
            return shape::virtual_list(
                &self.a,
                &items,
                self.form,
                self.pretty,
                self.query,
                self.server.registry.now(),
            );
        }
        let list = self.server.registry.list(&self.a, &options).await?;
        shape::list(&self.a, list, self.form, self.pretty, self.query, self.server.registry.now())
    }

    async fn watch(&self) -> Result<Answer, Status> {
        let options = self.list_options(true)?;
        super::watch_body::answer(self.server, &self.a, &options, self.form, self.query).await
    }

    async fn create(&self, body: Bytes) -> Result<Answer, Status> {
        if !self.a.subresource.is_empty() {
            return self.act(body).await;
        }
        let options = WriteOptions::parse(self.query, "CreateOptions")?;
        let (object, warnings) =
            self.decode(&body, &self.a.resource.schema, &options, &self.a.resource, "")?;
        if let Some(virtual_resource) = &self.a.resource.virtual_resource {
            let registry = &self.server.registry;
            let (object, of_admission) = registry.prepare_virtual(&self.a, object, &options).await?;
            let request = VirtualRequest {
                user: &self.a.user,
                namespace: &self.a.namespace,
                body: object,
                parent: &|resource, namespace, name| {
                    registry.parent_of(&self.a, resource, namespace, name, options.dry_run)
                },
            };
            let answer = virtual_resource.create(request).await?;
            let warnings: Vec<String> = warnings.into_iter().chain(of_admission).collect();
            return self.object(201, crate::registry::object::encoded(&answer), &warnings);
        }
        let mut written = self.server.registry.create(&self.a, object, &options).await?;
        written.warnings.splice(0..0, warnings);
        self.written(&written)
    }

    /// POST to a subresource.
    async fn act(&self, body: Bytes) -> Result<Answer, Status> {
        let sub = self.a.resource.subresource(&self.a.subresource).ok_or_else(Status::path_not_found)?;
        match &sub.behaviour {
            Behaviour::Action(action) => {
                let options = WriteOptions::parse(self.query, "CreateOptions")?;
                let gv = sub.kind.group_version();
                let (mut object, mut warnings) =
                    self.decode_as(&body, &sub.schema, &options, &sub.kind.kind, &gv)?;
                let registry = &self.server.registry;
                registry.prepare_action(&self.a, sub, &mut object, &options)?;
                warnings.extend(registry.admit_action(&self.a, &mut object, options.dry_run).await?);
                let parent = registry.parent(&self.a, options.dry_run);
                let answer = action.create(&parent, object).await?;
                warnings.extend(parent.take_warnings());
                let code = if answer.str_at(&["kind"]) == "Status" && answer.get("code").is_some() {
                    answer
                        .get("code")
                        .and_then(Value::as_i64)
                        .and_then(|c| u16::try_from(c).ok())
                        .unwrap_or(201)
                } else {
                    201
                };
                self.object(code, crate::registry::object::encoded(&answer), &warnings)
            }
            Behaviour::Part(_) | Behaviour::Projection(_) | Behaviour::Connect(_) => Err(not_allowed()),
        }
    }

    async fn replace(&self, body: Bytes) -> Result<Answer, Status> {
        let options = WriteOptions::parse(self.query, "UpdateOptions")?;
        let (schema, kind, gv) = self.body_type()?;
        let (object, warnings) = self.decode_as(&body, &schema, &options, &kind, &gv)?;
        let mut written = self.server.registry.update(&self.a, Change::Replace(object), &options).await?;
        written.warnings.splice(0..0, warnings);
        self.written(&written)
    }

    async fn patch(&self, body: Bytes) -> Result<Answer, Status> {
        let content_type = media_type(self.content_type());
        let options = WriteOptions::parse(self.query, "PatchOptions")?;
        let patch_type = match content_type {
            "application/json-patch+json" => PatchType::Json,
            "application/merge-patch+json" => PatchType::Merge,
            "application/strategic-merge-patch+json" => PatchType::Strategic,
            "application/apply-patch+yaml" => return self.apply(body, &options).await,
            _ => {
                let status =
                    Status::failure(415, Reason::UnsupportedMediaType, "415: Unsupported Media Type");
                return Err(status.with_details(Details::default()));
            }
        };
        if options.force.is_some() {
            return Err(invalid_patch_options("force", "may not be specified for non-apply patch"));
        }
        let (patch, duplicates) = decode::untyped_json(&body)
            .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
        self.a.audit.request_patch(&patch);
        let mut warnings = Vec::new();
        let mut notes: Vec<String> = duplicates.iter().map(|d| format!("duplicate field \"{d}\"")).collect();
        if patch_type == PatchType::Json {
            for note in &mut notes {
                note.insert_str(0, "json patch ");
            }
            notes.extend(sampan_schema::patch::json_complaints(&patch));
        }
        if !notes.is_empty() {
            match options.field_validation {
                FieldValidation::Ignore => {}
                FieldValidation::Warn => warnings = notes,
                FieldValidation::Strict => {
                    let why = format!("strict decoding error: {}", notes.join(", "));
                    return Err(crate::registry::invalid_patch(&patch, why));
                }
            }
        }
        let mut written =
            self.server.registry.update(&self.a, Change::Patch(patch_type, patch), &options).await?;
        written.warnings.splice(0..0, warnings);
        self.written(&written)
    }

    async fn apply(&self, body: Bytes, options: &WriteOptions) -> Result<Answer, Status> {
        if options.field_manager.is_empty() {
            return Err(required_patch_option("fieldManager", "is required for apply patch"));
        }
        let (config, duplicates) = decode::untyped_yaml(&body)
            .map_err(|e| Status::bad_request(format!("error decoding YAML: {e}")))?;
        self.a.audit.request_patch(&config);
        let (_, kind, gv) = self.body_type()?;
        check_type(&config, &kind, &gv, true)?;
        // Keys that stand twice are complained of by line.
        if !duplicates.is_empty() && options.field_validation == FieldValidation::Strict {
            return Err(Status::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {}",
                duplicates.join("\n  ")
            )));
        }
        let mut written = self.server.registry.update(&self.a, Change::Apply(config), options).await?;
        if options.field_validation == FieldValidation::Warn {
            written.warnings.splice(0..0, duplicates);
        }
        self.written(&written)
    }

    async fn delete(&self, body: Bytes) -> Result<Answer, Status> {
        let options = self.delete_options(&body)?;
        match self.server.registry.delete(&self.a, &options).await? {
            Deleted::Gone(status, warnings) => {
                self.a.audit.status(&status.to_value());
                let mut answer = respond::object(
                    200,
                    &status.to_value(),
                    Form { shape: Shape::Object, ..self.form },
                    self.pretty,
                );
                respond::warn(&mut answer, &warnings);
                Ok(answer)
            }
            Deleted::Object(written) => {
                let code = if options.orphan_dependents == Some(false) && !written.object.is_empty() {
                    202
                } else {
                    200
                };
                self.object(if code == 202 { 202 } else { 200 }, written.object, &written.warnings)
            }
        }
    }

    async fn delete_collection(&self, body: Bytes) -> Result<Answer, Status> {
        let list = ListOptions::parse(self.query, false)?;
        let options = self.delete_options(&body)?;
        let answer = self.server.registry.delete_collection(&self.a, &list, &options).await?;
        shape::list(&self.a, answer, self.form, self.pretty, self.query, self.server.registry.now())
    }

    fn delete_options(&self, body: &Bytes) -> Result<DeleteOptions, Status> {
        if body.is_empty() {
            return DeleteOptions::parse(None, self.query);
        }
        let value = match self.body_encoding()? {
            Encoding::Json => decode::untyped_json(body).map_err(|e| e.to_string()),
            Encoding::Yaml => decode::untyped_yaml(body).map_err(|e| e.to_string()),
            Encoding::Protobuf(p) => {
                let id = p.document("v1", "DeleteOptions").ok_or_else(|| not_marshalable("DeleteOptions"))?;
                protobuf::open(p, body, id)
                    .and_then(|body| Ok((typed(body.value?, &body.kind, &body.api_version), Vec::new())))
                    .map_err(|e| e.to_string())
            }
        };
        let (value, _) = value.map_err(Status::bad_request)?;
        let kind = value.str_at(&["kind"]);
        if !matches!(kind, "" | "DeleteOptions") {
            return Err(Status::bad_request(format!(
                "unable to decode {:?} as DeleteOptions",
                format!("{}, Kind={kind}", value.str_at(&["apiVersion"]))
            )));
        }
        self.a.audit.request_patch(&value);
        DeleteOptions::parse(Some(&value), self.query)
    }

    /// Schema, kind and version of the bodies of this path.
    fn body_type(&self) -> Result<(Schema, String, GroupVersion), Status> {
        let resource = &self.a.resource;
        if self.a.subresource.is_empty() {
            return Ok((resource.schema.clone(), resource.kind.to_string(), resource.group_version()));
        }
        let sub = resource.subresource(&self.a.subresource).ok_or_else(Status::path_not_found)?;
        let schema = match &sub.behaviour {
            Behaviour::Part(_) => resource.schema.clone(),
            _ => sub.schema.clone(),
        };
        Ok((schema, sub.kind.kind.to_string(), sub.kind.group_version()))
    }

    fn decode(
        &self,
        body: &Bytes,
        schema: &Schema,
        options: &WriteOptions,
        resource: &Resource,
        _: &str,
    ) -> Result<(Value, Vec<String>), Status> {
        self.decode_as(body, schema, options, &resource.kind, &resource.group_version())
    }

    /// The object in a body, checked to be of that kind, and warnings of unknown fields. The audit log is told of it.
    fn decode_as(
        &self,
        body: &Bytes,
        schema: &Schema,
        options: &WriteOptions,
        kind: &str,
        gv: &GroupVersion,
    ) -> Result<(Value, Vec<String>), Status> {
        let (value, warnings) = self.decode_body(body, schema, options, kind, gv)?;
        let resource = &self.a.resource;
        self.a.audit.request_object(&value, |object| {
            sampan_schema::default(schema, object);
            if resource.kind == *kind {
                resource.strategy.default(object);
            }
            sampan_schema::complete(schema, object);
        });
        Ok((value, warnings))
    }

    fn decode_body(
        &self,
        body: &Bytes,
        schema: &Schema,
        options: &WriteOptions,
        kind: &str,
        gv: &GroupVersion,
    ) -> Result<(Value, Vec<String>), Status> {
        let decoded = match self.body_encoding()? {
            Encoding::Json => decode::json(schema, body),
            Encoding::Yaml => decode::yaml(schema, body),
            // A message has no field twice, and unknown fields are those of another version: nobody is warned.
            Encoding::Protobuf(p) => return Ok((decode_protobuf(p, body, schema, kind, gv)?, Vec::new())),
        };
        let mut decoded = decoded.map_err(|error| match error {
            decode::Error::Syntax { message } | decode::Error::Limit { message } => Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {message} ({})",
                hex_start(body)
            )),
            decode::Error::Type { message, .. } => Status::bad_request(format!(
                "{kind} in version {:?} cannot be handled as a {kind}: {message}",
                gv.version.as_str()
            )),
        })?;
        check_type(&decoded.value, kind, gv, false)?;
        let strict = decoded.strict_errors();
        let mut warnings = Vec::new();
        if !strict.is_empty() {
            match options.field_validation {
                FieldValidation::Ignore => {}
                FieldValidation::Warn => warnings = strict,
                FieldValidation::Strict => {
                    return Err(Status::bad_request(format!(
                        "{kind} in version {:?} cannot be handled as a {kind}: strict decoding error: {}",
                        gv.version.as_str(),
                        strict.join(", ")
                    )));
                }
            }
        }
        if !matches!(decoded.value, Value::Object(_)) {
            decoded.value = Value::Object(sampan_model::Map::new());
        }
        Ok((typed(decoded.value, kind, &gv.to_string()), warnings))
    }

    fn body_encoding(&self) -> Result<Encoding, Status> {
        body_encoding(self.content_type(), &|| self.a.resource.protobuf())
    }
}

/// A tree that says what it is.
fn typed(mut value: Value, kind: &str, api_version: &str) -> Value {
    if let Value::Object(map) = &mut value {
        map.insert("kind", kind);
        map.insert("apiVersion", api_version);
    }
    value
}

/// The object in a protobuf body, checked to be of that kind.
fn decode_protobuf(
    p: Protobuf,
    body: &[u8],
    schema: &Schema,
    kind: &str,
    gv: &GroupVersion,
) -> Result<Value, Status> {
    let opened = protobuf::open(p, body, protobuf::message_of(p, schema)?).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {error} ({})",
            hex_start(body)
        ))
    })?;
    let given = typed(Value::Object(sampan_model::Map::new()), &opened.kind, &opened.api_version);
    check_type(&given, kind, gv, false)?;
    let value = opened.value.map_err(|error| {
        Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {error}",
            gv.version.as_str()
        ))
    })?;
    Ok(typed(value, kind, &gv.to_string()))
}

fn invalid_patch_options(field: &str, detail: &str) -> Status {
    let kind = sampan_model::GroupKind::new("meta.k8s.io", "PatchOptions");
    Status::invalid(&kind, "", &[sampan_model::FieldError::forbidden(field, detail)])
}

fn required_patch_option(field: &str, detail: &str) -> Status {
    let kind = sampan_model::GroupKind::new("meta.k8s.io", "PatchOptions");
    Status::invalid(&kind, "", &[sampan_model::FieldError::required(field, detail)])
}

/// The beginning of a body in hexadecimal, as upstream's decoder shows it.
fn hex_start(body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in body.iter().take(32) {
        let _ = write!(text, "{byte:02x}");
    }
    if body.len() > 32 {
        text.push_str(" ...");
    }
    text
}

/// `kind` and `apiVersion` of a body must be those of the path, where they are given (`demanded`: they must be).
fn check_type(object: &Value, kind: &str, gv: &GroupVersion, demanded: bool) -> Result<(), Status> {
    let given_kind = object.str_at(&["kind"]);
    let given_version = object.str_at(&["apiVersion"]);
    if demanded && (given_kind.is_empty() || given_version.is_empty()) {
        let what = if given_kind.is_empty() { "Kind" } else { "apiVersion" };
        return Err(Status::bad_request(format!("Object '{what}' is missing in '{}'", object.to_json())));
    }
    let wanted = gv.to_string();
    if !given_version.is_empty() && given_version != wanted {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({wanted})"
        )));
    }
    if !given_kind.is_empty() && given_kind != kind {
        return Err(Status::bad_request(format!(
            "{given_kind} in version {:?} cannot be handled as a {kind}: no kind {given_kind:?} is registered for version {wanted:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            gv.version.as_str(),
        )));
    }
    Ok(())
}
