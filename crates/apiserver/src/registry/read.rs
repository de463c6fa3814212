//! GET of one object, and lists.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sampan_model::field_selector;
use sampan_model::label_selector::Selector;
use sampan_model::{Reason, Status, Value};
use sampan_store::{Entry, Error, Revision, Snapshot};

use super::list_options::VersionMatch;
use super::object::{self, View};
use super::{Attributes, ListOptions, Registry, store_error, too_large_version};
use crate::Resource;

/// Which objects are selected; compiled once for a list or a watch.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    labels: Selector,
    fields: field_selector::Selector,
    storage: Arc<Resource>,
}

impl Filter {
    /// 400 when a field selector names a field that the kind does not offer.
    pub(super) fn new(a: &Attributes, options: &ListOptions) -> Result<Self, Status> {
        let known = |field: &str| {
            field == "metadata.name"
                || (field == "metadata.namespace" && a.resource.namespaced)
                || a.resource.selectable_fields.iter().any(|f| f.name == field)
        };
        if let Some(unknown) =
            options.fields.requirements().iter().map(|r| r.field.as_str()).find(|f| !known(f))
        {
            let gv = a.resource.group_version();
            return Err(Status::bad_request(format!(
                "Unable to find {:?} that match label selector {:?}, field selector {:?}: field label not supported: {unknown}",
                format!("{}, Resource={}", gv_text(&gv.group, &gv.version), a.resource.gvr.resource),
                options.labels.to_string(),
                options.fields.to_string(),
            )));
        }
        let mut fields = options.fields.clone();
        if !a.name.is_empty() {
            // Whoever was let in was let in to this one name.
            fields = fields.and_equal("metadata.name", a.name.clone());
        }
        Ok(Self { labels: options.labels.clone(), fields, storage: Arc::clone(&a.storage) })
    }

    /// Whether it selects everything.
    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub(super) fn matches(&self, entry: &Entry) -> bool {
        if self.is_everything() {
            return true;
        }
        let Some(view) = View::of(&self.storage, entry) else { return false };
        self.labels.matches_sorted(view.labels())
            && (self.fields.is_everything() || {
                let (namespace, name) = object::names(&self.storage, &entry.key);
                self.fields.matches(|field| match field {
                    "metadata.name" => name.into(),
                    "metadata.namespace" => namespace.into(),
                    other => view.field(&self.storage.selectable_fields, other).unwrap_or("").into(),
                })
            })
    }

    /// The one name that can match, if the selector demands one.
    fn only_name(&self) -> Option<&str> {
        self.fields.required_value("metadata.name")
    }
}

fn gv_text(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/{version}") } else { format!("{group}/{version}") }
}

/// A list, decided but not yet encoded: its items are read from the snapshot as the client takes them.
#[derive(Debug)]
pub struct ListAnswer {
    /// The revision of the list.
    pub revision: Revision,
    /// The token for the next page; empty on the last.
    pub continue_token: String,
    /// How many items are left after this page, where that is known.
    pub remaining: Option<usize>,
    /// The items.
    pub items: ListItems,
}

/// The items of a list.
#[derive(Debug)]
pub enum ListItems {
    /// A page.
    Page(Vec<Arc<Entry>>),
    /// Everything that the filter selects, in pieces.
    Stream(ListCursor),
}

/// Reads a range of a snapshot piece by piece. It owns no reference into the snapshot's map, only the
/// key at which it goes on.
#[derive(Debug, Clone)]
pub struct ListCursor {
    snapshot: Snapshot,
    prefix: String,
    from: Option<String>,
    filter: Filter,
    done: bool,
}

impl ListCursor {
    /// Calls `take` with the next entries, in order, until it answers false or there is none. False at the end.
    pub fn advance(&mut self, mut take: impl FnMut(&Arc<Entry>) -> bool) -> bool {
        if self.done {
            return false;
        }
        for entry in self.snapshot.range(&self.prefix, self.from.as_deref()) {
            if self.filter.matches(entry) && !take(entry) {
                self.from = Some(format!("{}\0", entry.key));
                return true;
            }
        }
        self.done = true;
        true
    }
}

impl ListAnswer {
    /// All items at once.
    pub fn entries(self) -> Vec<Arc<Entry>> {
        match self.items {
            ListItems::Page(page) => page,
            ListItems::Stream(mut cursor) => {
                let mut all = Vec::new();
                cursor.advance(|entry| {
                    all.push(Arc::clone(entry));
                    true
                });
                all
            }
        }
    }
}

impl Registry {
    /// One object, at least as new as `resource_version` says.
    pub async fn get(&self, a: &Attributes, resource_version: &str) -> Result<Bytes, Status> {
        let snapshot = match resource_version {
            "" => self.store.fresh_snapshot().await.map_err(|e| store_error(&e))?,
            "0" => self.store.snapshot(),
            text => {
                let wanted = super::list_options::parse_revision(text).map_err(Status::unknown)?;
                self.not_older_than(wanted).await?
            }
        };
        let entry = snapshot.get(&a.key()).ok_or_else(|| a.not_found())?;
        object::bytes(&a.resource, entry)
    }

    /// One object as a tree in the version of the request.
    pub async fn get_value(&self, a: &Attributes) -> Result<Value, Status> {
        let bytes = self.get(a, "").await?;
        serde_json::from_slice(&bytes).map_err(Status::internal)
    }

    async fn not_older_than(&self, revision: Revision) -> Result<Snapshot, Status> {
        let snapshot = self.store.snapshot();
        if snapshot.revision() >= revision {
            return Ok(snapshot);
        }
        let snapshot = self.store.fresh_snapshot().await.map_err(|e| store_error(&e))?;
        if snapshot.revision() < revision {
            return Err(too_large_version(revision, snapshot.revision()));
        }
        Ok(snapshot)
    }

    /// A list of the collection that `a` names.
    pub async fn list(&self, a: &Attributes, options: &ListOptions) -> Result<ListAnswer, Status> {
        let filter = Filter::new(a, options)?;
        let prefix = a.prefix();
        let (snapshot, from) = self.list_state(a, options, &prefix).await?;
        let revision = snapshot.revision();
        let prefix = match filter.only_name() {
            Some(name) if !a.storage.namespaced || !a.namespace.is_empty() => {
                let entry = snapshot.get(&format!("{prefix}{name}")).filter(|e| filter.matches(e));
                let items = ListItems::Page(entry.cloned().into_iter().collect());
                return Ok(ListAnswer { revision, continue_token: String::new(), remaining: None, items });
            }
            _ => prefix,
        };
        if options.limit == 0 {
            let cursor = ListCursor { snapshot, prefix, from, filter, done: false };
            let items = ListItems::Stream(cursor);
            return Ok(ListAnswer { revision, continue_token: String::new(), remaining: None, items });
        }
        let mut page: Vec<Arc<Entry>> = Vec::with_capacity(options.limit.min(1024));
        let mut more = false;
        for entry in snapshot.range(&prefix, from.as_deref()) {
            if !filter.matches(entry) {
                continue;
            }
            if page.len() == options.limit {
                more = true;
                break;
            }
            page.push(Arc::clone(entry));
        }
        let mut answer = ListAnswer {
            revision,
            continue_token: String::new(),
            remaining: None,
            items: ListItems::Page(Vec::new()),
        };
        if let (true, Some(last)) = (more, page.last()) {
            let next = format!("{}\0", last.key);
            answer.continue_token = encode_token(revision, &next[prefix.len()..]);
            if filter.is_everything() {
                answer.remaining = Some(snapshot.count_from(&prefix, Some(&next)));
            }
        }
        answer.items = ListItems::Page(page);
        Ok(answer)
    }

    async fn list_state(
        &self,
        a: &Attributes,
        options: &ListOptions,
        prefix: &str,
    ) -> Result<(Snapshot, Option<String>), Status> {
        if !options.continue_token.is_empty() {
            let (revision, start) = decode_token(&options.continue_token)?;
            let from = Some(format!("{prefix}{start}"));
            let Some(revision) = revision else {
                return Ok((self.store.fresh_snapshot().await.map_err(|e| store_error(&e))?, from));
            };
            return match self.store.snapshot_at(revision) {
                Ok(snapshot) => Ok((snapshot, from)),
                Err(Error::Compacted { .. }) => Err(expired_token(&start)),
                Err(error) => Err(store_error(&error)),
            };
        }
        let _ = a;
        let snapshot = match options.version {
            VersionMatch::MostRecent => self.store.fresh_snapshot().await.map_err(|e| store_error(&e))?,
            VersionMatch::Any => self.store.snapshot(),
            VersionMatch::NotOlderThan(revision) => self.not_older_than(revision).await?,
            VersionMatch::Exact(revision) => match self.store.snapshot_at(revision) {
                Ok(snapshot) => snapshot,
                Err(Error::Compacted { requested, oldest }) => {
                    return Err(Status::expired(format!(
                        "The resourceVersion for the provided list is too old. ({requested} < {oldest})"
                    )));
                }
                Err(error) => return Err(store_error(&error)),
            },
        };
        Ok((snapshot, None))
    }
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

fn encode_token(revision: Revision, start: &str) -> String {
    let token = serde_json::json!({"v": TOKEN_VERSION, "rv": revision, "start": start});
    URL_SAFE_NO_PAD.encode(token.to_string())
}

/// Revision (none: inconsistent, from the newest state) and start.
fn decode_token(token: &str) -> Result<(Option<Revision>, String), Status> {
    let bad = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|e| bad(&e.to_string()))?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|e| bad(&e.to_string()))?;
    if token.str_at(&["v"]) != TOKEN_VERSION {
        return Err(bad(&format!(
            "server does not recognize this encoded version {:?}",
            token.str_at(&["v"])
        )));
    }
    let start = token.str_at(&["start"]);
    if start.is_empty() {
        return Err(bad("encoded start is empty (version meta.k8s.io/v1)"));
    }
    if start.starts_with('/') || start.split('/').any(|part| part == "..") {
        return Err(bad(start));
    }
    let revision = match token.get("rv").and_then(Value::as_i64) {
        Some(-1) => None,
        Some(revision) if revision > 0 => u64::try_from(revision).ok(),
        _ => return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")),
    };
    Ok((revision, start.to_owned()))
}

/// 410 for a page whose state is gone, with a token that goes on from the newest one.
fn expired_token(start: &str) -> Status {
    let token = serde_json::json!({"v": TOKEN_VERSION, "rv": -1, "start": start});
    Status::failure(
        410,
        Reason::Expired,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .with_continue(URL_SAFE_NO_PAD.encode(token.to_string()))
}
