//! The options of list, watch and deletecollection (`metav1.ListOptions`), read and checked.

use sampan_model::field_selector;
use sampan_model::label_selector;
use sampan_model::{FieldError, GroupKind, Status};
use sampan_store::Revision;

use crate::http_io::query::Query;

/// How a resourceVersion is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionMatch {
    /// The newest state.
    MostRecent,
    /// Any state.
    Any,
    /// A state at least as new.
    NotOlderThan(Revision),
    /// That very state.
    Exact(Revision),
}

/// Whether a watch begins with the state (`sendInitialEvents`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialEvents {
    /// Nothing is said of it: as before there was the option, where no revision (or 0) is given.
    Legacy,
    /// It does, and a bookmark marks the end of it.
    Wanted,
    /// It does not, wherever it begins.
    Unwanted,
}

/// Options of list and watch.
#[derive(Debug, Clone)]
pub struct ListOptions {
    /// Labels.
    pub labels: label_selector::Selector,
    /// Fields.
    pub fields: field_selector::Selector,
    /// Which state to list, or, for a watch, where to begin.
    pub version: VersionMatch,
    /// How many items a page may have; 0: all.
    pub limit: usize,
    /// Where the last page ended.
    pub continue_token: String,
    /// A watch, not a list.
    pub watch: bool,
    /// Bookmarks are welcome.
    pub bookmarks: bool,
    /// Whether the watch begins with the state.
    pub initial_events: InitialEvents,
    /// After how many seconds a watch ends.
    pub timeout_seconds: Option<u64>,
}

impl ListOptions {
    /// Reads them.
    ///
    /// # Errors
    /// 400 for what cannot be read, 422 for what contradicts itself, as upstream.
    pub fn parse(query: &Query, watch: bool) -> Result<Self, Status> {
        let labels = label_selector::Selector::parse(query.get("labelSelector"))
            .map_err(|e| Status::bad_request(e.to_string()))?;
        let fields = field_selector::Selector::parse(query.get("fieldSelector"))
            .map_err(|e| Status::bad_request(e.to_string()))?;
        let limit = query.integer("limit")?.unwrap_or(0);
        let timeout = query.integer("timeoutSeconds")?;
        let send_initial_events = query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents"));
        check(query, watch, send_initial_events)?;
        let continue_token = query.get("continue").to_owned();
        Ok(Self {
            labels,
            fields,
            version: version(query, watch, limit)?,
            limit: usize::try_from(limit).unwrap_or(0),
            continue_token,
            watch,
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: match send_initial_events {
                None => InitialEvents::Legacy,
                Some(true) => InitialEvents::Wanted,
                Some(false) => InitialEvents::Unwanted,
            },
            timeout_seconds: timeout.and_then(|t| u64::try_from(t).ok()).filter(|t| *t > 0),
        })
    }

    /// Everything, as it is now.
    pub fn everything() -> Self {
        Self {
            labels: label_selector::Selector::default(),
            fields: field_selector::Selector::default(),
            version: VersionMatch::MostRecent,
            limit: 0,
            continue_token: String::new(),
            watch: false,
            bookmarks: false,
            initial_events: InitialEvents::Legacy,
            timeout_seconds: None,
        }
    }
}

/// Upstream's `ValidateListOptions`.
fn check(query: &Query, watch: bool, send_initial_events: Option<bool>) -> Result<(), Status> {
    let mut errors = Vec::new();
    let version = query.get("resourceVersion");
    let matching = query.get("resourceVersionMatch");
    if send_initial_events.is_some() {
        if !watch {
            errors
                .push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        } else if matching != "NotOlderThan" {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        // Without `allowWatchBookmarks` the end of the initial events is simply not marked.
    } else if !matching.is_empty() {
        if watch {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        } else if version.is_empty() {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        } else if !query.get("continue").is_empty() {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        } else if !matches!(matching, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported_as_listed(
                "resourceVersionMatch",
                matching,
                &["Exact", "NotOlderThan", ""],
            ));
        } else if matching == "Exact" && version == "0" {
            errors.push(FieldError::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", &errors))
    }
}

fn version(query: &Query, watch: bool, limit: i64) -> Result<VersionMatch, Status> {
    let text = query.get("resourceVersion");
    let revision = match text {
        "" => return Ok(VersionMatch::MostRecent),
        "0" => return Ok(VersionMatch::Any),
        text => parse_revision(text).map_err(|detail| {
            if watch {
                Status::unknown(detail)
            } else {
                Status::bad_request(format!("invalid resource version: {detail}"))
            }
        })?,
    };
    if !query.get("continue").is_empty() {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    Ok(match query.get("resourceVersionMatch") {
        "Exact" => VersionMatch::Exact(revision),
        // Before resourceVersionMatch, a page was always of exactly the version asked for.
        "" if !watch && limit > 0 => VersionMatch::Exact(revision),
        _ => VersionMatch::NotOlderThan(revision),
    })
}

/// A resourceVersion as a number; upstream's sentence if it is none.
pub fn parse_revision(text: &str) -> Result<Revision, String> {
    text.parse::<Revision>().map_err(|_| {
        let quoted = sampan_model::field_error::go_quote(text);
        FieldError::invalid(
            "resourceVersion",
            text,
            format!("strconv.ParseUint: parsing {quoted}: invalid syntax"),
        )
        .to_string()
    })
}
