//! Which objects a list or a watch is about.

use std::sync::Arc;

use sampan_model::label_selector::Selector;
use sampan_model::{Status, field_selector};
use sampan_store::Entry;
use sampan_store::state::Range;
use smallvec::SmallVec;

use super::object::{self, View};
use super::{Attributes, ListOptions};
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
        View::of(&self.storage, entry).is_some_and(|view| self.matches_view(entry, view))
    }

    fn matches_view(&self, entry: &Entry, view: &View) -> bool {
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

    /// Those of the entries that it selects, in order.
    pub(super) fn select<'a>(&'a self, entries: Range<'a>) -> Selected<'a> {
        Selected {
            filter: (!self.is_everything()).then_some(self),
            entries,
            group: SmallVec::new().into_iter(),
        }
    }

    /// The one name that can match, if the selector demands one.
    pub(super) fn only_name(&self) -> Option<&str> {
        self.fields.required_value("metadata.name")
    }
}

/// How many entries are looked at together.
const GROUP: usize = 16;

/// The entries that a filter selects.
///
/// Looking at one entry is mostly waiting for memory: for the entry, then for its labels. So a group of them is gone
/// through in steps, each of which asks for the memory of the whole group at once.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    /// `None`: everything is selected.
    filter: Option<&'a Filter>,
    entries: Range<'a>,
    group: smallvec::IntoIter<[&'a Arc<Entry>; GROUP]>,
}

impl<'a> Selected<'a> {
    /// The selected ones of the next entries; `None` at the end.
    fn next_group(&mut self, filter: &Filter) -> Option<SmallVec<[&'a Arc<Entry>; GROUP]>> {
        let entries: SmallVec<[_; GROUP]> = self.entries.by_ref().take(GROUP).collect();
        if entries.is_empty() {
            return None;
        }
        let views: SmallVec<[_; GROUP]> = entries.iter().map(|e| View::of(&filter.storage, e)).collect();
        // Nothing comes of it but that the labels are on their way.
        std::hint::black_box(views.iter().flatten().map(|view| view.touch()).sum::<usize>());
        let pairs = entries.into_iter().zip(views);
        Some(pairs.filter(|(e, v)| v.is_some_and(|v| filter.matches_view(e, v))).map(|(e, _)| e).collect())
    }
}

impl<'a> Iterator for Selected<'a> {
    type Item = &'a Arc<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(filter) = self.filter else { return self.entries.next() };
        loop {
            if let Some(entry) = self.group.next() {
                return Some(entry);
            }
            self.group = self.next_group(filter)?.into_iter();
        }
    }
}

fn gv_text(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/{version}") } else { format!("{group}/{version}") }
}
