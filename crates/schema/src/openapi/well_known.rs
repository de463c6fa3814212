//! Types that every API has, for sets that do not hold them.

/// The prefix of the machinery's own types.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

pub(super) const API_GROUP: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup";
pub(super) const API_GROUP_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList";
pub(super) const API_RESOURCE_LIST: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";
pub(super) const API_VERSIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const FIELDS_V1: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
pub(super) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";

/// Scalars that are types of their own.
pub(super) const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
pub(super) const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
pub(super) const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
pub(super) const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
pub(super) const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// What `kind` and `apiVersion` mean wherever they stand.
pub(super) const KIND: &str =
    "The kind of the object, in CamelCase. It may be left out where the path says it, and cannot be changed.";
pub(super) const API_VERSION: &str = "The version of the schema in which the object is written: a group and a version, or a version of the core group.";
pub(super) const METADATA: &str =
    "Standard metadata: the name, the namespace, labels, annotations and what the server keeps.";

/// Fields as `name type`; `*` marks a required one.
const TYPES: [(&str, &str); 15] = [
    (
        "APIGroup",
        "apiVersion string; kind string; name string*; versions [GroupVersionForDiscovery]*; preferredVersion GroupVersionForDiscovery; serverAddressByClientCIDRs [ServerAddressByClientCIDR]",
    ),
    ("APIGroupList", "apiVersion string; kind string; groups [APIGroup]*"),
    (
        "APIResource",
        "name string*; singularName string*; namespaced bool*; kind string*; verbs [string]*; group string; version string; shortNames [string]; categories [string]; storageVersionHash string",
    ),
    ("APIResourceList", "apiVersion string; kind string; groupVersion string*; resources [APIResource]*"),
    (
        "APIVersions",
        "apiVersion string; kind string; versions [string]*; serverAddressByClientCIDRs [ServerAddressByClientCIDR]*",
    ),
    (
        "DeleteOptions",
        "apiVersion string; kind string; dryRun [string]; gracePeriodSeconds int64; ignoreStoreReadErrorWithClusterBreakingPotential bool; orphanDependents bool; preconditions Preconditions; propagationPolicy string",
    ),
    ("GroupVersionForDiscovery", "groupVersion string*; version string*"),
    ("ListMeta", "continue string; remainingItemCount int64; resourceVersion string; selfLink string"),
    ("Patch", ""),
    ("Preconditions", "resourceVersion string; uid string"),
    ("ServerAddressByClientCIDR", "clientCIDR string*; serverAddress string*"),
    (
        "Status",
        "apiVersion string; kind string; code int32; details StatusDetails; message string; metadata ListMeta; reason string; status string",
    ),
    ("StatusCause", "field string; message string; reason string"),
    (
        "StatusDetails",
        "causes [StatusCause]; group string; kind string; name string; retryAfterSeconds int32; uid string",
    ),
    ("WatchEvent", "object any*; type string*"),
];

const VERSION_FIELDS: &str = "major string*; minor string*; gitVersion string*; gitCommit string*; gitTreeState string*; buildDate string*; goVersion string*; compiler string*; platform string*; emulationMajor string; emulationMinor string; minCompatibilityMajor string; minCompatibilityMinor string";

/// A field of a well-known type.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) ty: Type,
    pub(super) required: bool,
}

/// The type of such a field.
pub(super) enum Type {
    Scalar(&'static str),
    Any,
    Reference(String),
    List(Box<Type>),
}

/// The fields of a well-known type.
pub(super) fn fields(name: &str) -> Option<Vec<Field>> {
    let text = if name == VERSION_INFO {
        VERSION_FIELDS
    } else {
        let short = name.strip_prefix(META)?;
        TYPES.iter().find(|(name, _)| *name == short)?.1
    };
    let fields = text.split(';').map(str::trim).filter(|field| !field.is_empty());
    Some(
        fields
            .map(|field| {
                let (name, ty) = field.split_once(' ').unwrap_or((field, "string"));
                let (ty, required) = ty.strip_suffix('*').map_or((ty, false), |ty| (ty, true));
                Field { name, ty: parse(ty), required }
            })
            .collect(),
    )
}

fn parse(ty: &'static str) -> Type {
    if let Some(items) = ty.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')) {
        return Type::List(Box::new(parse(items)));
    }
    match ty {
        "any" => Type::Any,
        "string" | "bool" | "int32" | "int64" => Type::Scalar(ty),
        name => Type::Reference(format!("{META}{name}")),
    }
}
