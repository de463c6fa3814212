//! Content negotiation: which form of an answer a client asks for, and which form its body has.

use sampan_model::Status;

use super::protobuf::{self, Protobuf};

/// An encoding of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf(Protobuf),
}

impl Encoding {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf(_) => protobuf::MEDIA_TYPE,
        }
    }
}

/// What an answer shows of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The object.
    Object,
    /// `as=Table`, in this version of `meta.k8s.io`.
    Table(&'static str),
    /// `as=PartialObjectMetadata` or its list.
    PartialMetadata {
        /// The version of `meta.k8s.io`.
        version: &'static str,
        /// Whether it is the list that was asked for.
        list: bool,
    },
    /// `as=APIGroupDiscoveryList`, in this version of `apidiscovery.k8s.io`.
    GroupDiscovery(&'static str),
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// How it is encoded.
    pub encoding: Encoding,
    /// What it shows.
    pub shape: Shape,
}

impl Form {
    /// An object as JSON.
    pub const JSON: Form = Form { encoding: Encoding::Json, shape: Shape::Object };

    /// The value of `Content-Type`. Shapes other than the object are named in it for discovery only.
    pub fn content_type(self) -> String {
        match self.shape {
            Shape::GroupDiscovery(version) => {
                format!(
                    "{};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList",
                    self.encoding.content_type()
                )
            }
            _ => self.encoding.content_type().to_owned(),
        }
    }
}

/// The media types of the API, as refusals list them.
pub const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];

/// How objects are written in protobuf, if they are; asked only when a client wants it.
pub type MaybeProtobuf<'a> = &'a dyn Fn() -> Option<Protobuf>;

/// For what has no protobuf form.
pub fn no_protobuf() -> Option<Protobuf> {
    None
}

/// What a route offers besides plain objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offers {
    /// Nothing.
    Objects,
    /// Tables and partial metadata.
    Transforms,
    /// Aggregated discovery.
    Discovery,
}

/// The form that `accept` asks for first of those that are offered; 406 when there is none.
///
/// As upstream: clauses in order of their `q`, `*/*` is JSON, `application/*` is nothing. A clause for protobuf is passed over where
/// there is none, and so is one for a table in protobuf.
pub fn negotiate(accept: Option<&str>, offers: Offers, protobuf: MaybeProtobuf<'_>) -> Result<Form, Status> {
    let Some(accept) = accept.map(str::trim).filter(|a| !a.is_empty()) else { return Ok(Form::JSON) };
    if accept == "*/*" || accept == "application/json" {
        return Ok(Form::JSON);
    }
    let mut clauses: Vec<(f32, &str)> = accept
        .split(',')
        .map(|clause| {
            let q = clause
                .split(';')
                .skip(1)
                .find_map(|p| p.trim().strip_prefix("q="))
                .and_then(|q| q.trim().parse().ok());
            (q.unwrap_or(1.0), clause)
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses
        .iter()
        .find_map(|(_, clause)| form(clause, offers, protobuf))
        .ok_or_else(|| Status::not_acceptable(&accepted()))
}

fn accepted() -> Vec<&'static str> {
    MEDIA_TYPES.to_vec()
}

fn form(clause: &str, offers: Offers, protobuf: MaybeProtobuf<'_>) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "application/json" | "*/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        protobuf::MEDIA_TYPE => Encoding::Protobuf(protobuf()?),
        _ => return None,
    };
    let (mut group, mut version, mut kind) = ("", "", "");
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("g", v)) => group = v,
            Some(("v", v)) => version = v,
            Some(("as", v)) => kind = v,
            _ => {}
        }
    }
    let known = |list: &[&'static str]| list.iter().find(|v| **v == version).copied();
    let shape = match (kind, group, offers) {
        ("", ..) => Shape::Object,
        ("Table", "meta.k8s.io", Offers::Transforms) if !matches!(encoding, Encoding::Protobuf(_)) => {
            Shape::Table(known(&["v1", "v1beta1"])?)
        }
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", Offers::Transforms) => {
            Shape::PartialMetadata { version: known(&["v1", "v1beta1"])?, list: kind.ends_with("List") }
        }
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", Offers::Discovery) => {
            Shape::GroupDiscovery(known(&["v2", "v2beta1"])?)
        }
        _ => return None,
    };
    Some(Form { encoding, shape })
}

/// The encoding of a body; JSON when the client does not say. 415 for one that is not known.
pub fn body_encoding(content_type: Option<&str>, protobuf: MaybeProtobuf<'_>) -> Result<Encoding, Status> {
    let known = match media_type(content_type) {
        "" | "application/json" => Some(Encoding::Json),
        "application/yaml" => Some(Encoding::Yaml),
        protobuf::MEDIA_TYPE => protobuf().map(Encoding::Protobuf),
        _ => None,
    };
    known.ok_or_else(|| Status::unsupported_media_type(&accepted()))
}

/// The media type without its parameters.
pub fn media_type(content_type: Option<&str>) -> &str {
    content_type.unwrap_or("").split(';').next().unwrap_or("").trim()
}

#[cfg(test)]
mod tests {
    use sampan_schema::SchemaSet;
    use sampan_schema::protobuf::Layout;

    use super::*;

    #[test]
    fn the_first_offered_clause_wins() {
        let json = |shape| Some(Form { encoding: Encoding::Json, shape });
        let rows = [
            ("nothing asked", "", json(Shape::Object)),
            ("anything", "*/*", json(Shape::Object)),
            ("half a wildcard", "application/*", None),
            ("yaml", "application/yaml", Some(Form { encoding: Encoding::Yaml, shape: Shape::Object })),
            ("protobuf first", "application/vnd.kubernetes.protobuf,application/json", json(Shape::Object)),
            (
                "kubectl get",
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                json(Shape::Table("v1")),
            ),
            ("a table nobody knows", "application/json;as=Table;v=v9;g=meta.k8s.io", None),
            (
                "quality",
                "application/json;q=0.5,application/yaml",
                Some(Form { encoding: Encoding::Yaml, shape: Shape::Object }),
            ),
            ("html", "text/html", None),
        ];
        for (name, accept, want) in rows {
            assert_eq!(negotiate(Some(accept), Offers::Transforms, &no_protobuf).ok(), want, "{name}");
        }
    }

    #[test]
    fn protobuf_is_given_where_there_is_one_and_passed_over_elsewhere() {
        let layout: &'static Layout = Box::leak(Box::new(Layout::new(&SchemaSet::new(), "")));
        let some = || Some(Protobuf(layout));
        let protobuf = |shape| Some(Form { encoding: Encoding::Protobuf(Protobuf(layout)), shape });
        let partial = Shape::PartialMetadata { version: "v1", list: false };
        let rows = [
            ("client-go", "application/vnd.kubernetes.protobuf,application/json", protobuf(Shape::Object)),
            ("controllers", "application/vnd.kubernetes.protobuf, */*", protobuf(Shape::Object)),
            ("nothing else", "application/vnd.kubernetes.protobuf", protobuf(Shape::Object)),
            ("a stream", "application/vnd.kubernetes.protobuf;stream=watch", protobuf(Shape::Object)),
            ("json preferred", "application/json,application/vnd.kubernetes.protobuf", Some(Form::JSON)),
            (
                "metadata",
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                protobuf(partial),
            ),
            ("a table", "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", None),
            (
                "a table, or else json",
                "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json",
                Some(Form::JSON),
            ),
        ];
        for (name, accept, want) in rows {
            assert_eq!(negotiate(Some(accept), Offers::Transforms, &some).ok(), want, "{name}");
        }
        let only = Some(protobuf::MEDIA_TYPE);
        assert_eq!(negotiate(only, Offers::Objects, &no_protobuf).unwrap_err().code(), 406);
        assert_eq!(body_encoding(only, &no_protobuf).unwrap_err().code(), 415);
        assert!(matches!(body_encoding(only, &some), Ok(Encoding::Protobuf(_))));
    }
}
