//! Paths of files in volumes.

use sampan_model::{FieldError, FieldPath};

use crate::look::Errors;

/// A path without `..` in it.
pub(crate) fn no_backsteps(e: &mut Errors, p: FieldPath<'_>, path: &str) {
    if has_backsteps(path) {
        e.push(FieldError::invalid(p, path, "must not contain '..'"));
    }
}

/// Whether some step of a path leads up.
pub(crate) fn has_backsteps(path: &str) -> bool {
    path.split('/').any(|step| step == "..")
}

/// A relative path that stays below where it begins.
pub(crate) fn local_descending_path(e: &mut Errors, p: FieldPath<'_>, path: &str) {
    if path.starts_with('/') {
        e.push(FieldError::invalid(p, path, "must be a relative path"));
    }
    no_backsteps(e, p, path);
}

/// The same, and its name is none of those that the node's own files have (they begin with `..`).
pub(crate) fn local_non_reserved_path(e: &mut Errors, p: FieldPath<'_>, path: &str) {
    local_descending_path(e, p, path);
    if path.starts_with("..") && !path.starts_with("../") && !has_backsteps(path) {
        e.push(FieldError::invalid(p, path, "must not start with '..'"));
    }
}

/// A path as Go's `path.Clean` writes it.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|s| *s != "..") => {
                steps.pop();
            }
            ".." if rooted => {}
            step => steps.push(step),
        }
    }
    match (rooted, steps.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}
