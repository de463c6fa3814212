//! GET of one object, and lists.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sampan_model::{Reason, Status, Value};
use sampan_store::{Entry, Error, Revision, Snapshot};

use super::filter::Filter;
use super::list_options::VersionMatch;
use super::object;
use super::{Attributes, ListOptions, Registry, store_error, too_large_version};

/// A list, decided but not yet encoded: its items are taken from an immutable snapshot as the client takes them.
#[derive(Debug)]
pub struct ListAnswer {
    /// The revision of the list.
    pub revision: Revision,
    /// The token for the next page; empty on the last.
    pub continue_token: String,
    /// How many items are left after this page, where that is known.
    pub remaining: Option<usize>,
    /// The items.
    pub items: ListCursor,
}

/// Goes through the items of a list, and can stop between any two.
#[derive(Debug, Clone)]
pub struct ListCursor(Source);

#[derive(Debug, Clone)]
enum Source {
    /// What a filter selects of a range, from a key on. Over: there is no more.
    Range { snapshot: Snapshot, prefix: String, from: Option<String>, filter: Filter, over: bool },
    /// These, from an index on.
    Page { entries: Arc<[Arc<Entry>]>, from: usize },
}

impl ListCursor {
    /// Through these.
    pub fn page(entries: Vec<Arc<Entry>>) -> Self {
        Self(Source::Page { entries: entries.into(), from: 0 })
    }

    /// Gives the next items to `take` until it says that it has enough; false when there are no more.
    pub fn advance(&mut self, mut take: impl FnMut(&Arc<Entry>) -> bool) -> bool {
        match &mut self.0 {
            Source::Page { entries, from } => {
                while let Some(entry) = entries.get(*from) {
                    *from += 1;
                    if !take(entry) {
                        return true;
                    }
                }
            }
            Source::Range { over: true, .. } => {}
            Source::Range { snapshot, prefix, from, filter, over } => {
                for entry in filter.select(snapshot.range(prefix, from.as_deref())) {
                    if !take(entry) {
                        *from = Some(format!("{}\0", entry.key));
                        return true;
                    }
                }
                *over = true;
            }
        }
        false
    }

    /// All that are left at once.
    pub fn entries(mut self) -> Vec<Arc<Entry>> {
        let mut all = Vec::new();
        self.advance(|entry| {
            all.push(Arc::clone(entry));
            true
        });
        all
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
        let (snapshot, from) = self.list_state(options, &prefix).await?;
        let revision = snapshot.revision();
        let prefix = match filter.only_name() {
            Some(name) if !a.storage.namespaced || !a.namespace.is_empty() => {
                let entry = snapshot.get(&format!("{prefix}{name}")).filter(|e| filter.matches(e));
                let items = ListCursor::page(entry.cloned().into_iter().collect());
                return Ok(ListAnswer { revision, continue_token: String::new(), remaining: None, items });
            }
            _ => prefix,
        };
        if options.limit == 0 {
            let items = ListCursor(Source::Range { snapshot, prefix, from, filter, over: false });
            return Ok(ListAnswer { revision, continue_token: String::new(), remaining: None, items });
        }
        let mut page: Vec<Arc<Entry>> = Vec::with_capacity(options.limit.min(1024));
        let mut more = false;
        for entry in filter.select(snapshot.range(&prefix, from.as_deref())) {
            if page.len() == options.limit {
                more = true;
                break;
            }
            page.push(Arc::clone(entry));
        }
        let (mut continue_token, mut remaining) = (String::new(), None);
        if let (true, Some(last)) = (more, page.last()) {
            let next = format!("{}\0", last.key);
            continue_token = encode_token(revision, &next[prefix.len()..]);
            remaining = filter.is_everything().then(|| snapshot.count_from(&prefix, Some(&next)));
        }
        Ok(ListAnswer { revision, continue_token, remaining, items: ListCursor::page(page) })
    }

    async fn list_state(
        &self,
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
