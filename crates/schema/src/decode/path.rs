//! Where a pass stands in the body. A path lives on the stack; it is printed only when there is a complaint.

use std::fmt;

use super::notes::Stage;

/// A step from a value into one of its parts.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// The whole.
    Root,
    /// A field of an object with this published name; whether that object is an embedded resource.
    Field { name: &'a str, owner: Option<&'a str>, embedded: bool },
    /// A key of a map.
    Key(&'a str),
    /// An element of a list.
    Index(usize),
}

/// A list of steps, innermost first.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) parent: Option<&'a Path<'a>>,
    pub(super) step: Step<'a>,
    pub(super) depth: usize,
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Path<'static> = Path { parent: None, step: Step::Root, depth: 0 };

    pub(super) fn join(&'a self, step: Step<'a>) -> Path<'a> {
        Path { parent: Some(self), step, depth: self.depth + 1 }
    }

    /// The steps, outermost first.
    pub(super) fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = Vec::with_capacity(self.depth);
        let mut at = Some(self);
        while let Some(path) = at {
            steps.push(path.step);
            at = path.parent;
        }
        steps.reverse();
        steps
    }

    /// Which of upstream's searches comes by here.
    pub(super) fn stage(&self) -> Stage {
        let mut stage = Stage::Object;
        for (depth, step) in self.steps().into_iter().enumerate() {
            match step {
                Step::Field { name: "metadata", .. } if depth == 1 => stage = Stage::Metadata,
                Step::Field { name: "metadata", embedded: true, .. } => stage = Stage::EmbeddedMetadata,
                _ => {}
            }
        }
        stage
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for step in self.steps() {
            match step {
                Step::Root => continue,
                Step::Field { name, .. } | Step::Key(name) => {
                    let dot = if first { "" } else { "." };
                    write!(f, "{dot}{name}")?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
            first = false;
        }
        Ok(())
    }
}
