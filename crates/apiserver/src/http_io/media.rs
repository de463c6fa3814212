//! Content negotiation: which form of an answer a client asks for, and which form its body has.

use sampan_model::Status;

/// An encoding of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

impl Encoding {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
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

/// The media types of the API, as refusals list them. (Protobuf is not spoken yet; clients that ask for it first also name JSON.)
pub const MEDIA_TYPES: [&str; 3] =
    ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

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
/// As upstream: clauses in order of their `q`, `*/*` is JSON, `application/*` is nothing.
pub fn negotiate(accept: Option<&str>, offers: Offers) -> Result<Form, Status> {
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
        .find_map(|(_, clause)| form(clause, offers))
        .ok_or_else(|| Status::not_acceptable(&accepted()))
}

fn accepted() -> Vec<&'static str> {
    MEDIA_TYPES.to_vec()
}

fn form(clause: &str, offers: Offers) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "application/json" | "*/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
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
        ("Table", "meta.k8s.io", Offers::Transforms) => Shape::Table(known(&["v1", "v1beta1"])?),
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
pub fn body_encoding(content_type: Option<&str>) -> Result<Encoding, Status> {
    match media_type(content_type) {
        "" | "application/json" => Ok(Encoding::Json),
        "application/yaml" => Ok(Encoding::Yaml),
        _ => Err(Status::unsupported_media_type(&accepted())),
    }
}

/// The media type without its parameters.
pub fn media_type(content_type: Option<&str>) -> &str {
    content_type.unwrap_or("").split(';').next().unwrap_or("").trim()
}

#[cfg(test)]
mod tests {
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
            assert_eq!(negotiate(Some(accept), Offers::Transforms).ok(), want, "{name}");
        }
    }
}
