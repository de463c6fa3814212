//! What a pass over a body collects beside the tree: complaints, and the error that ended it.

use std::cell::RefCell;

use serde::de;

use super::Error;
use super::path::Path;
use crate::types::SchemaSet;

/// More complaints than this are not collected, as upstream.
const MAX_NOTES: usize = 100;

/// A complaint of a strict decoder.
#[derive(Debug)]
pub(super) enum Note {
    Duplicate(String),
    /// A field that is not known, and in which of upstream's searches it is found.
    Unknown(String, Stage),
}

/// In which search of an object without Go types a field is found to be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Metadata,
    Object,
    EmbeddedMetadata,
}

/// What is shared by all visitors of one pass.
pub(super) struct Context<'a> {
    pub(super) set: &'a SchemaSet,
    notes: RefCell<Vec<Note>>,
    error: RefCell<Option<Error>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(set: &'a SchemaSet) -> Self {
        Self { set, notes: RefCell::default(), error: RefCell::default() }
    }

    pub(super) fn duplicate(&self, path: &Path<'_>) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < MAX_NOTES {
            notes.push(Note::Duplicate(path.to_string()));
        }
    }

    pub(super) fn unknown(&self, path: &Path<'_>) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < MAX_NOTES {
            notes.push(Note::Unknown(path.to_string(), path.stage()));
        }
    }

    /// Keeps the error, and gives the reader one of its own to stop with.
    pub(super) fn fail<E: de::Error>(&self, error: Error) -> E {
        self.error.borrow_mut().get_or_insert(error);
        E::custom("refused")
    }

    pub(super) fn take_error(&self) -> Option<Error> {
        self.error.borrow_mut().take()
    }

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes.into_inner()
    }
}
