//! Names a place in an object, as validation messages write it: `spec.containers[0].image`.
//!
//! A path is a list that lives on the stack of whoever walks the object: no path is built unless an
//! error is reported.

use std::fmt;

/// A place in an object; see the module's text.
#[derive(Clone, Copy)]
pub struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    element: Element<'a>,
}

#[derive(Clone, Copy)]
enum Element<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> FieldPath<'a> {
    /// The object itself.
    pub const ROOT: FieldPath<'static> = FieldPath { parent: None, element: Element::Root };

    /// A field of the object itself.
    pub const fn field(name: &'a str) -> Self {
        FieldPath { parent: None, element: Element::Field(name) }
    }

    /// A field of the map at this place.
    #[must_use]
    pub const fn child(&'a self, name: &'a str) -> FieldPath<'a> {
        FieldPath { parent: Some(self), element: Element::Field(name) }
    }

    /// An element of the list at this place.
    #[must_use]
    pub const fn index(&'a self, index: usize) -> FieldPath<'a> {
        FieldPath { parent: Some(self), element: Element::Index(index) }
    }

    /// An entry of the map at this place whose keys are data, not field names.
    #[must_use]
    pub const fn key(&'a self, key: &'a str) -> FieldPath<'a> {
        FieldPath { parent: Some(self), element: Element::Key(key) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at_start = true;
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            at_start = matches!(parent.element, Element::Root) && parent.parent.is_none();
        }
        match self.element {
            Element::Root => Ok(()),
            Element::Field(name) if at_start => f.write_str(name),
            Element::Field(name) => write!(f, ".{name}"),
            Element::Index(i) => write!(f, "[{i}]"),
            Element::Key(key) => write!(f, "[{key}]"),
        }
    }
}

impl fmt::Debug for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::FieldPath;

    #[test]
    fn a_path_reads_as_upstream_writes_it() {
        let spec = FieldPath::field("spec");
        let containers = spec.child("containers");
        assert_eq!(containers.index(2).child("image").to_string(), "spec.containers[2].image");
        assert_eq!(FieldPath::ROOT.child("data").key("a.b").to_string(), "data[a.b]");
        assert_eq!(FieldPath::ROOT.to_string(), "");
    }
}
