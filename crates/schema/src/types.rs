//! The structural form of a schema.
//!
//! Types stand in one vector and refer to each other by index, so that recursive and shared types cost
//! nothing and a whole API loads in a millisecond. What Kubernetes states on a property (list type, map
//! keys, atomic) stands here on the property's type: a property that differs from the type it names has a
//! type of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use sampan_model::{Str, Value};

use crate::protobuf::Layout;

/// A type's index in its [`SchemaSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

/// Types that refer to each other.
#[derive(Debug, Default)]
pub struct SchemaSet {
    types: Vec<Type>,
    names: HashMap<Str, TypeId>,
    lenient: bool,
    /// Makes the protobuf layout, or finds the one that was made.
    protobuf: Option<fn(&SchemaSet) -> &'static Layout>,
}

/// One type.
#[derive(Debug, Clone, Default)]
pub struct Type {
    /// The name under which it is published (`io.k8s.api.core.v1.Pod`); `None` for a type without one.
    pub name: Option<Str>,
    /// What its values look like.
    pub shape: Shape,
    /// Whether null is a value of its own, kept rather than dropped (CRDs: `nullable`).
    pub nullable: bool,
    /// What its values must satisfy beyond their shape (CRDs and the published schemas).
    pub constraints: Option<Box<Constraints>>,
}

/// What the values of a type look like.
#[derive(Debug, Clone, Default)]
pub enum Shape {
    /// Known fields.
    Object(ObjectType),
    /// Keys are data.
    Map {
        /// The type of every value.
        values: TypeId,
        /// Server-side apply owns the map as a whole.
        atomic: bool,
    },
    /// A list.
    List {
        /// The type of every element.
        items: TypeId,
        /// What makes two elements the same.
        semantics: ListSemantics,
    },
    /// A string.
    String,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// Any number.
    Number,
    /// A boolean.
    Boolean,
    /// An integer or a string (`IntOrString`).
    IntOrString,
    /// A `resource.Quantity`: a string or a number on the way in, a canonical string from then on.
    Quantity,
    /// Bytes in base64.
    Bytes,
    /// A `metav1.Time`: RFC 3339 in whole seconds.
    Time,
    /// A `metav1.MicroTime`: RFC 3339 in microseconds.
    MicroTime,
    /// Anything, kept as it is (`RawExtension`, `JSON`, `x-kubernetes-preserve-unknown-fields`).
    #[default]
    Any,
}

/// An object with known fields.
#[derive(Debug, Clone, Default)]
pub struct ObjectType {
    /// The fields, sorted by name.
    pub fields: Vec<Field>,
    /// Keep fields that are not known, as they are.
    pub preserve_unknown: bool,
    /// Server-side apply owns the object as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// It has `apiVersion`, `kind` and `metadata` of its own (`x-kubernetes-embedded-resource`).
    pub embedded_resource: bool,
}

/// A field of an object.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: Str,
    /// Its type.
    pub ty: TypeId,
    /// What becomes of zero values.
    pub presence: Presence,
    /// Whether the published schema requires it.
    pub required: bool,
    /// What stands there if the client gave nothing.
    pub default: Option<Value>,
    /// How a strategic merge patch treats it.
    pub patch: PatchStrategy,
}

/// How a strategic merge patch treats a field (`x-kubernetes-patch-strategy`, `-merge-key`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists are merged rather than replaced.
    pub merge: bool,
    /// The key by which list elements are merged; `None` for lists of scalars.
    pub merge_key: Option<Str>,
    /// Fields that the patch does not name under `$retainKeys` are dropped.
    pub retain_keys: bool,
    /// Maps are replaced rather than merged.
    pub replace: bool,
}

/// What becomes of a zero value (false, 0, "", empty list or map), from the field's declaration in Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// Left out (`omitempty` of a value): sending zero is the same as sending nothing.
    #[default]
    OmitZero,
    /// Kept (`omitempty` of a pointer): zero differs from absent.
    KeepZero,
    /// Always there, null or zero if the client gave nothing (no `omitempty`, or a struct by value: `{}`).
    Always,
}

/// What makes two elements of a list the same (`x-kubernetes-list-type`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListSemantics {
    /// The list is one value.
    #[default]
    Atomic,
    /// Elements are scalars, each at most once.
    Set,
    /// Elements are objects, told apart by these fields.
    Map(Vec<Str>),
}

/// What a value must satisfy beyond its shape (OpenAPI validation).
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Constraints {
    pub format: Option<Str>,
    pub enum_values: Vec<Value>,
    pub pattern: Option<Str>,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
}

impl SchemaSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a set for objects without Go types (custom resources): values of the wrong type pass decoding
    /// and are left to validation, nulls in maps are dropped, and untyped values are owned field by field.
    #[must_use]
    pub fn with_lenient_types(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Whether values of the wrong type are left to validation.
    pub fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Says how the types are written in protobuf. The layout is asked for when the first client speaks protobuf.
    #[must_use]
    pub fn with_protobuf(mut self, layout: fn(&SchemaSet) -> &'static Layout) -> Self {
        self.protobuf = Some(layout);
        self
    }

    /// Whether the types have a protobuf form. Custom resources have none.
    pub fn has_protobuf(&self) -> bool {
        self.protobuf.is_some()
    }

    /// How the types are written in protobuf.
    pub fn protobuf(&self) -> Option<&'static Layout> {
        self.protobuf.map(|layout| layout(self))
    }

    /// Adds a type. A type with a name that was declared before takes the place kept for it.
    pub fn add(&mut self, ty: Type) -> TypeId {
        if let Some(name) = &ty.name {
            let id = self.declare(name);
            self.types[id.0 as usize] = ty;
            return id;
        }
        self.push(ty)
    }

    /// Keeps a place for a type by its name, so that others can refer to it before it is added.
    pub fn declare(&mut self, name: &str) -> TypeId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.push(Type { name: Some(name.into()), ..Type::default() });
        self.names.insert(name.into(), id);
        id
    }

    fn push(&mut self, ty: Type) -> TypeId {
        let id = TypeId(u32::try_from(self.types.len()).expect("an API has fewer than 2^32 types"));
        self.types.push(ty);
        id
    }

    /// The type of an index of this set.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// To change a type while the set is being built.
    pub fn get_mut(&mut self, id: TypeId) -> &mut Type {
        &mut self.types[id.0 as usize]
    }

    /// The index of a named type.
    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied()
    }

    /// The names of all named types, with their indices, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&str, TypeId)> {
        self.names.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// A handle on a type of this set.
    pub fn schema(self: &Arc<Self>, id: TypeId) -> Schema {
        Schema { set: Arc::clone(self), id }
    }
}

impl ObjectType {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|f| f.name.as_str().cmp(name)).ok().map(|i| &self.fields[i])
    }
}

/// A handle on one type of a set; cheap to clone.
#[derive(Clone)]
pub struct Schema {
    set: Arc<SchemaSet>,
    id: TypeId,
}

impl Schema {
    /// The set.
    pub fn set(&self) -> &Arc<SchemaSet> {
        &self.set
    }

    /// The type's index.
    pub fn id(&self) -> TypeId {
        self.id
    }

    /// The type.
    pub fn ty(&self) -> &Type {
        self.set.get(self.id)
    }

    /// The schema of a field, if this is an object that has it.
    pub fn field(&self, name: &str) -> Option<Schema> {
        match &self.ty().shape {
            Shape::Object(object) => object.field(name).map(|f| self.set.schema(f.ty)),
            _ => None,
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({:?}, {:?})", self.id, self.ty().name)
    }
}
