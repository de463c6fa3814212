//! The paths of resources and the operations on them.

use sampan_model::{GroupVersion, GroupVersionKind, Str};

use super::parameters::{self, Parameter};
use super::{PublishedResource, PublishedSubresource, names, well_known};

/// A path.
pub(super) struct Item {
    pub(super) path: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) operations: Vec<Operation>,
}

/// What can be done at a path by one method.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) description: String,
    /// `x-kubernetes-action`
    pub(super) action: Option<&'static str>,
    pub(super) kind: Option<GroupVersionKind>,
    pub(super) tag: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Body,
    pub(super) media: Media,
    /// Codes, and the types of the answers.
    pub(super) answers: Vec<(u16, Str)>,
}

/// What a request carries.
pub(super) enum Body {
    Nothing,
    /// An object of this type; whether it must be there.
    Object(Str, bool),
    /// A patch; whether it may be strategic.
    Patch(bool),
}

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// JSON, YAML, and protobuf if this is true.
    Object(bool),
    /// The same, and streams of events.
    List(bool),
    /// JSON only.
    Json,
    /// Whatever it is.
    Any,
}

/// The paths of a group and version.
pub(super) fn of(gv: &GroupVersion, resources: &[&PublishedResource]) -> Vec<Item> {
    let root = match gv.group.as_str() {
        "" => format!("/api/{}/", gv.version),
        group => format!("/apis/{group}/{}/", gv.version),
    };
    let mut items = vec![discovered(
        root.clone(),
        format!("get{}APIResources", names::stem(gv)),
        "get available resources",
        names::tag(gv),
        well_known::API_RESOURCE_LIST,
    )];
    for resource in resources {
        items.extend(Maker { gv, root: &root, resource }.items());
    }
    items.retain(|item| !item.operations.is_empty());
    items
}

fn discovered(path: String, id: String, description: &str, tag: String, answer: &str) -> Item {
    let media = if answer == well_known::VERSION_INFO { Media::Json } else { Media::Object(true) };
    let operation = Operation {
        method: "get",
        id,
        description: description.into(),
        action: None,
        kind: None,
        tag,
        parameters: Vec::new(),
        body: Body::Nothing,
        media,
        answers: vec![(200, answer.into())],
    };
    Item { path, parameters: Vec::new(), operations: vec![operation] }
}

/// The paths that list what is served.
pub(super) fn discovery(path: &str) -> Option<Item> {
    Some(match path {
        "api" => discovered(
            "/api/".into(),
            "getCoreAPIVersions".into(),
            "get available API versions",
            "core".into(),
            well_known::API_VERSIONS,
        ),
        "apis" => discovered(
            "/apis/".into(),
            "getAPIVersions".into(),
            "get available API versions",
            "apis".into(),
            well_known::API_GROUP_LIST,
        ),
        "version" => discovered(
            "/version/".into(),
            "getCodeVersion".into(),
            "get the version information for this server",
            "version".into(),
            well_known::VERSION_INFO,
        ),
        path => {
            let group =
                path.strip_prefix("apis/").filter(|group| !group.is_empty() && !group.contains('/'))?;
            let name = names::group(group);
            discovered(
                format!("/apis/{group}/"),
                format!("get{name}APIGroup"),
                "get information of a group",
                names::lower(&name),
                well_known::API_GROUP,
            )
        }
    })
}

struct Maker<'a> {
    gv: &'a GroupVersion,
    root: &'a str,
    resource: &'a PublishedResource,
}

impl Maker<'_> {
    fn has(&self, verb: &str) -> bool {
        self.resource.verbs.iter().any(|v| v == verb)
    }

    fn list_type(&self) -> Str {
        let resource = self.resource;
        resource.list_type_name.clone().unwrap_or_else(|| format!("{}List", resource.type_name).into())
    }

    /// `{verb}{Stem}{infix}[Namespaced]{Kind}{suffix}`
    fn id(&self, verb: &str, infix: &str, suffix: &str) -> String {
        let scope = if self.resource.namespaced { "Namespaced" } else { "" };
        format!("{verb}{}{infix}{scope}{}{suffix}", names::stem(self.gv), self.resource.kind)
    }

    fn operation(&self, method: &'static str, id: String, description: String) -> Operation {
        let resource = self.resource;
        Operation {
            method,
            id,
            description,
            action: None,
            kind: Some(GroupVersionKind::new(
                resource.group.clone(),
                resource.version.clone(),
                resource.kind.clone(),
            )),
            tag: names::tag(self.gv),
            parameters: Vec::new(),
            body: Body::Nothing,
            media: Media::Object(resource.protobuf),
            answers: vec![(200, resource.type_name.clone())],
        }
    }

    fn namespace(&self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        if self.resource.namespaced {
            parameters.push(Parameter::path(
                "namespace",
                "object name and auth scope, such as for teams and projects",
            ));
        }
        parameters
    }

    fn named(&self) -> Vec<Parameter> {
        let mut parameters = vec![Parameter::path("name", &format!("name of the {}", self.resource.kind))];
        parameters.extend(self.namespace());
        parameters.push(parameters::pretty());
        parameters
    }

    fn items(&self) -> Vec<Item> {
        let plural = &self.resource.plural;
        let scope = if self.resource.namespaced { "namespaces/{namespace}/" } else { "" };
        let collection = format!("{}{scope}{plural}", self.root);
        let mut items =
            vec![self.collection(collection.clone()), self.object(format!("{collection}/{{name}}"))];
        for sub in &self.resource.subresources {
            let path = format!("{collection}/{{name}}/{}", sub.name);
            if sub.connect.is_empty() {
                items.push(self.subresource(sub, path));
            } else {
                items.push(self.connect(sub, path.clone(), false));
                if sub.with_path {
                    items.push(self.connect(sub, format!("{path}/{{path}}"), true));
                }
            }
        }
        if self.resource.namespaced && self.has("list") {
            items.push(self.everywhere());
        }
        if self.has("watch") {
            items.extend(self.watches(scope));
        }
        items
    }

    fn list(&self, id: String) -> Operation {
        let mut operation =
            self.operation("get", id, format!("list or watch objects of kind {}", self.resource.kind));
        operation.action = Some("list");
        operation.media = Media::List(self.resource.protobuf);
        operation.answers = vec![(200, self.list_type())];
        operation
    }

    fn collection(&self, path: String) -> Item {
        let (resource, kind) = (self.resource, &self.resource.kind);
        let mut operations = Vec::new();
        if self.has("list") {
            let mut list = self.list(self.id("list", "", ""));
            list.parameters = parameters::list();
            operations.push(list);
        }
        if self.has("create") {
            let article = if kind.starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" };
            let mut create =
                self.operation("post", self.id("create", "", ""), format!("create {article} {kind}"));
            create.action = Some("post");
            create.parameters = parameters::write(false);
            create.body = Body::Object(resource.type_name.clone(), true);
            create.answers = [200, 201, 202].map(|code| (code, resource.type_name.clone())).to_vec();
            operations.push(create);
        }
        if self.has("deletecollection") {
            let id = self.id("delete", "Collection", "");
            let mut delete = self.operation("delete", id, format!("delete collection of {kind}"));
            delete.action = Some("deletecollection");
            delete.parameters = parameters::delete();
            delete.parameters.extend(
                parameters::list().into_iter().filter(|p| !p.is("watch") && !p.is("allowWatchBookmarks")),
            );
            delete.body = Body::Object(well_known::DELETE_OPTIONS.into(), false);
            delete.answers = vec![(200, well_known::STATUS.into())];
            operations.push(delete);
        }
        let mut parameters = self.namespace();
        parameters.push(parameters::pretty());
        Item { path, parameters, operations }
    }

    fn object(&self, path: String) -> Item {
        let operations = self.on_object(&self.resource.verbs, "", &self.resource.type_name, None);
        Item { path, parameters: self.named(), operations }
    }

    /// What is done with one object or with a subresource of it.
    fn on_object(
        &self,
        verbs: &[Str],
        suffix: &str,
        type_name: &Str,
        kind: Option<&GroupVersionKind>,
    ) -> Vec<Operation> {
        let resource = self.resource;
        let of = match suffix {
            "" => String::new(),
            suffix => format!("{} of ", names::lower(suffix)),
        };
        let mut operations = Vec::new();
        for verb in verbs {
            let (method, verb, action, text): (_, _, _, &str) = match verb.as_str() {
                "get" => ("get", "read", "get", "read"),
                "update" => ("put", "replace", "put", "replace"),
                "patch" => ("patch", "patch", "patch", "partially update"),
                "delete" => ("delete", "delete", "delete", "delete"),
                "create" if !suffix.is_empty() => ("post", "create", "post", "create"),
                _ => continue,
            };
            let description = match (method, suffix) {
                ("delete" | "post", "") => format!("{text} a {}", resource.kind),
                _ => format!("{text} {of}the specified {}", resource.kind),
            };
            let mut operation = self.operation(method, self.id(verb, "", suffix), description);
            operation.action = Some(action);
            if let Some(kind) = kind {
                operation.kind = Some(kind.clone());
            }
            let answer = |code| (code, type_name.clone());
            match method {
                "get" => operation.answers = vec![answer(200)],
                "put" => {
                    operation.parameters = parameters::write(false);
                    operation.body = Body::Object(type_name.clone(), true);
                    operation.answers = vec![answer(200), answer(201)];
                }
                "patch" => {
                    operation.parameters = parameters::write(true);
                    operation.body = Body::Patch(resource.strategic_merge);
                    operation.answers = vec![answer(200), answer(201)];
                }
                "post" => {
                    operation.parameters = parameters::write(false);
                    operation.body = Body::Object(type_name.clone(), true);
                    operation.answers = vec![answer(200), answer(201), answer(202)];
                }
                _ => {
                    let answer = if resource.delete_returns_object {
                        resource.type_name.clone()
                    } else {
                        well_known::STATUS.into()
                    };
                    operation.parameters = parameters::delete();
                    operation.body = Body::Object(well_known::DELETE_OPTIONS.into(), false);
                    operation.answers = vec![(200, answer.clone()), (202, answer)];
                }
            }
            if type_name.is_empty() && method == "get" {
                operation.media = Media::Any;
            }
            operations.push(operation);
        }
        operations
    }

    fn subresource(&self, sub: &PublishedSubresource, path: String) -> Item {
        let operations =
            self.on_object(&sub.verbs, &names::camel(&sub.name), &sub.type_name, Some(&sub.kind));
        let mut parameters = self.named();
        parameters.extend(sub.parameters.iter().map(Parameter::from));
        Item { path, parameters, operations }
    }

    fn connect(&self, sub: &PublishedSubresource, path: String, with_path: bool) -> Item {
        let suffix = format!("{}{}", names::camel(&sub.name), if with_path { "WithPath" } else { "" });
        let methods = ["get", "put", "post", "delete", "options", "head", "patch"];
        let mut operations = Vec::new();
        for method in methods {
            if !sub.connect.iter().any(|m| m.eq_ignore_ascii_case(method)) {
                continue;
            }
            let id = self.id("connect", &names::capital(method), &suffix);
            let description = format!(
                "connect {} requests to {} of {}",
                method.to_uppercase(),
                sub.name,
                self.resource.kind
            );
            let mut operation = self.operation(method, id, description);
            operation.action = Some("connect");
            operation.kind = Some(sub.kind.clone());
            operation.media = Media::Any;
            operation.answers = vec![(200, Str::default())];
            operations.push(operation);
        }
        let mut parameters = self.named();
        parameters.pop();
        if with_path {
            parameters.push(Parameter::path("path", "path to the resource"));
        }
        parameters.extend(sub.parameters.iter().map(Parameter::from));
        Item { path, parameters, operations }
    }

    /// Lists of all namespaces.
    fn everywhere(&self) -> Item {
        let id = format!("list{}{}ForAllNamespaces", names::stem(self.gv), self.resource.kind);
        let mut parameters = parameters::list();
        parameters.push(parameters::pretty());
        Item {
            path: format!("{}{}", self.root, self.resource.plural),
            parameters,
            operations: vec![self.list(id)],
        }
    }

    /// The deprecated paths of watches.
    fn watches(&self, scope: &str) -> Vec<Item> {
        let (root, plural, kind) = (self.root, &self.resource.plural, &self.resource.kind);
        let mut rows = vec![
            (
                format!("{root}watch/{scope}{plural}"),
                self.id("watch", "", "List"),
                "watchlist",
                self.namespace(),
            ),
            (
                format!("{root}watch/{scope}{plural}/{{name}}"),
                self.id("watch", "", ""),
                "watch",
                self.named(),
            ),
        ];
        if self.resource.namespaced {
            let id = format!("watch{}{kind}ListForAllNamespaces", names::stem(self.gv));
            rows.push((format!("{root}watch/{plural}"), id, "watchlist", Vec::new()));
        }
        rows.into_iter()
            .map(|(path, id, action, mut parameters)| {
                let what = if action == "watch" {
                    format!("watch changes to an object of kind {kind}")
                } else {
                    format!("watch individual changes to a list of {kind}")
                };
                let description =
                    format!("{what}. deprecated: use the 'watch' parameter with a list operation instead");
                let mut operation = self.operation("get", id, description);
                operation.action = Some(action);
                operation.media = Media::List(self.resource.protobuf);
                operation.answers = vec![(200, well_known::WATCH_EVENT.into())];
                parameters.extend(parameters::list());
                Item { path, parameters, operations: vec![operation] }
            })
            .collect()
    }
}
