//! The types of expressions, as they are known before an expression runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Type {
    /// Known only when the expression runs.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    /// The type of types.
    Type,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Optional(Arc<Type>),
    /// A type of a library, by its name.
    Opaque(&'static str),
    /// Values with fields.
    Object(Arc<ObjectType>),
    /// Any type, the same wherever the letter stands; in declarations of functions only.
    Param(char),
}

/// Fields that a value may have.
#[derive(Debug, PartialEq, Eq)]
pub struct ObjectType {
    name: &'static str,
    fields: BTreeMap<String, Type>,
}

impl Type {
    /// A list of these.
    pub fn list(item: Type) -> Self {
        Self::List(Arc::new(item))
    }

    /// A map.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    /// Perhaps one of these.
    pub fn optional(value: Type) -> Self {
        Self::Optional(Arc::new(value))
    }

    /// Values with these fields.
    pub fn object<'a>(name: &'static str, fields: impl IntoIterator<Item = (&'a str, Type)>) -> Self {
        let fields = fields.into_iter().map(|(field, of)| (field.to_owned(), of)).collect();
        Self::Object(Arc::new(ObjectType { name, fields }))
    }

    fn may_be_null(&self) -> bool {
        matches!(
            self,
            Self::Null
                | Self::Dyn
                | Self::Optional(_)
                | Self::Opaque(_)
                | Self::Object(_)
                | Self::Timestamp
                | Self::Duration
        )
    }

    /// Whether a value of type `other` can stand where `self` is expected; binds the parameters of `self`.
    pub(super) fn accepts(&self, other: &Type, bound: &mut Bound) -> bool {
        match (self, other) {
            (Self::Param(letter), _) => bound.bind(*letter, other),
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::Null, _) => other.may_be_null(),
            (_, Self::Null) => self.may_be_null(),
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.accepts(b, bound),
            (Self::Map(a, b), Self::Map(c, d)) => a.accepts(c, bound) && b.accepts(d, bound),
            _ => self == other,
        }
    }

    /// The type without parameters.
    pub(super) fn resolved(&self, bound: &Bound) -> Type {
        match self {
            Self::Param(letter) => bound.0.get(letter).cloned().unwrap_or(Self::Dyn),
            Self::List(item) => Self::list(item.resolved(bound)),
            Self::Optional(value) => Self::optional(value.resolved(bound)),
            Self::Map(key, value) => Self::map(key.resolved(bound), value.resolved(bound)),
            other => other.clone(),
        }
    }

    /// The type that both are; `None` if they have nothing in common.
    pub(super) fn join(&self, other: &Type) -> Option<Type> {
        if self == other {
            return Some(self.clone());
        }
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => Some(Self::Dyn),
            (Self::Null, t) | (t, Self::Null) if t.may_be_null() => Some(t.clone()),
            (Self::List(a), Self::List(b)) => a.join(b).map(Self::list),
            (Self::Optional(a), Self::Optional(b)) => a.join(b).map(Self::optional),
            (Self::Map(a, b), Self::Map(c, d)) => Some(Self::map(a.join(c)?, b.join(d)?)),
            _ => None,
        }
    }

    /// The type of a field; `None` if there is none of that name.
    pub(super) fn field(&self, name: &str) -> Option<&Type> {
        match self {
            Self::Object(object) => object.fields.get(name),
            _ => None,
        }
    }

    /// The type that a word of a declaration names, and what follows it.
    pub(super) fn parse(word: &str) -> Option<Type> {
        if let Some((name, inner)) = word.strip_suffix(')').and_then(|w| w.split_once('(')) {
            return Some(match name {
                "list" => Self::list(Self::parse(inner)?),
                "optional" => Self::optional(Self::parse(inner)?),
                "map" => {
                    let (key, value) = inner.split_once(',')?;
                    Self::map(Self::parse(key)?, Self::parse(value)?)
                }
                _ => return None,
            });
        }
        Some(match word {
            "dyn" => Self::Dyn,
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "timestamp" => Self::Timestamp,
            "duration" => Self::Duration,
            "type" => Self::Type,
            "URL" => Self::Opaque("kubernetes.URL"),
            "IP" => Self::Opaque("net.IP"),
            "CIDR" => Self::Opaque("net.CIDR"),
            "Quantity" => Self::Opaque("kubernetes.Quantity"),
            "Semver" => Self::Opaque("kubernetes.Semver"),
            "Format" => Self::Opaque("kubernetes.NamedFormat"),
            "A" => Self::Param('A'),
            "B" => Self::Param('B'),
            _ => return None,
        })
    }
}

/// What the parameters of a declaration stand for.
#[derive(Debug, Default)]
pub(super) struct Bound(BTreeMap<char, Type>);

impl Bound {
    fn bind(&mut self, letter: char, to: &Type) -> bool {
        let Some(before) = self.0.get(&letter) else {
            self.0.insert(letter, to.clone());
            return true;
        };
        match before.join(to) {
            Some(joined) => {
                self.0.insert(letter, joined);
                true
            }
            None => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::Type => f.write_str("type"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(value) => write!(f, "optional_type({value})"),
            Self::Opaque(name) => f.write_str(name),
            Self::Object(object) => f.write_str(object.name),
            Self::Param(letter) => write!(f, "{letter}"),
        }
    }
}
