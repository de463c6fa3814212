//! Which events are written, and how: counted, combined, or left out. Pure but for its memory, which is bounded.
//!
//! As client-go does it: an event that was seen is counted; ten that differ by their message only, within ten minutes of each other, become one; and of one object
//! no more than 25 at once and one in five minutes are written.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use quick_cache::unsync::Cache;

/// Of each kind of memory.
const MAX_ENTRIES: usize = 4096;
/// So many messages are one from then on.
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_mins(10);
/// Of one object.
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

/// An event to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sighting {
    pub(super) event: Event,
    /// Whether it was written before: then its count changes.
    pub(super) is_known: bool,
}

struct Similar {
    messages: BTreeSet<String>,
    last: SystemTime,
}

struct Known {
    name: Option<String>,
    count: i32,
    first: Option<Time>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: SystemTime,
}

/// See the module.
pub(super) struct Correlator {
    similar: Cache<String, Similar>,
    known: Cache<String, Known>,
    buckets: Cache<String, Bucket>,
}

impl Default for Correlator {
    fn default() -> Self {
        let (similar, known, buckets) =
            (Cache::new(MAX_ENTRIES), Cache::new(MAX_ENTRIES), Cache::new(MAX_ENTRIES));
        Self { similar, known, buckets }
    }
}

impl Correlator {
    /// Takes an event; `None` leaves it out.
    pub(super) fn see(&mut self, event: Event, now: SystemTime) -> Option<Sighting> {
        let object = object_key(&event);
        let (mut event, key) = self.combine(event, &object, now);
        let known = self.known.get(&key).map(|k| (k.name.clone(), k.count, k.first.clone()));
        let is_known = known.is_some();
        if let Some((name, count, first)) = known {
            event.metadata.name = name;
            event.count = Some(count.saturating_add(1));
            event.first_timestamp = first;
        }
        let name = event.metadata.name.clone();
        let (count, first) = (event.count.unwrap_or(1), event.first_timestamp.clone());
        self.known.insert(key, Known { name, count, first });
        self.may(object, now).then_some(Sighting { event, is_known })
    }

    /// Many that differ by their message only become one.
    fn combine(&mut self, mut event: Event, object: &str, now: SystemTime) -> (Event, String) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (kind, reason, message) = (text(&event.type_), text(&event.reason), text(&event.message));
        let group = format!("{object}\n{kind}\n{reason}");
        let similar = self
            .similar
            .get(&group)
            .filter(|known| now.duration_since(known.last).is_ok_and(|passed| passed <= SIMILAR_WITHIN));
        let mut messages = similar.map(|known| known.messages.clone()).unwrap_or_default();
        messages.insert(message.clone());
        let combined = messages.len() >= SIMILAR;
        if combined {
            messages.pop_first();
        }
        self.similar.insert(group.clone(), Similar { messages, last: now });
        if combined {
            event.message = Some(format!("(combined from similar events): {message}"));
            return (event, group);
        }
        let place = text(&event.involved_object.field_path);
        (event, format!("{group}\n{place}\n{message}"))
    }

    /// Whether one more of this object may be written.
    fn may(&mut self, object: String, now: SystemTime) -> bool {
        let mut bucket = self.buckets.get(&object).copied().unwrap_or(Bucket { tokens: BURST, at: now });
        let passed = now.duration_since(bucket.at).unwrap_or_default().as_secs_f64();
        bucket.tokens = (bucket.tokens + passed / REFILL_SECONDS).min(BURST);
        bucket.at = now;
        let may = bucket.tokens >= 1.0;
        if may {
            bucket.tokens -= 1.0;
        }
        self.buckets.insert(object, bucket);
        may
    }
}

fn object_key(event: &Event) -> String {
    let object = &event.involved_object;
    let parts = [&object.kind, &object.namespace, &object.name, &object.uid, &object.api_version];
    parts.map(|part| part.as_deref().unwrap_or_default()).join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn event(name: &str, pod: &str, message: &str) -> Event {
        serde_json::from_value(json!({"metadata": {"name": name}, "involvedObject": {"name": pod},
            "reason": "R", "type": "Normal", "message": message, "count": 1}))
        .expect("an event")
    }

    #[test]
    fn an_event_that_was_seen_is_counted_under_its_first_name() {
        let mut correlator = Correlator::default();
        let first = correlator.see(event("a", "p", "m"), at(0)).expect("written");
        let second = correlator.see(event("b", "p", "m"), at(1)).expect("written");
        let other = correlator.see(event("c", "q", "m"), at(1)).expect("written");
        let seen =
            |s: &Sighting| (s.event.metadata.name.clone().unwrap_or_default(), s.event.count, s.is_known);
        assert_eq!(seen(&first), ("a".into(), Some(1), false));
        assert_eq!(seen(&second), ("a".into(), Some(2), true));
        assert_eq!(seen(&other), ("c".into(), Some(1), false));
    }

    #[test]
    fn the_tenth_message_within_ten_minutes_is_combined_with_those_that_follow() {
        let mut correlator = Correlator::default();
        for number in 0..9 {
            let seen = correlator.see(event("e", "p", &number.to_string()), at(number)).expect("written");
            assert_eq!(seen.event.message, Some(number.to_string()));
        }
        let tenth = correlator.see(event("t", "p", "ten"), at(10)).expect("written");
        assert_eq!(tenth.event.message.as_deref(), Some("(combined from similar events): ten"));
        let next = correlator.see(event("n", "p", "eleven"), at(11)).expect("written");
        assert_eq!((next.event.metadata.name.as_deref(), next.event.count), (Some("t"), Some(2)));
        let later = correlator.see(event("l", "p", "later"), at(700)).expect("written");
        assert_eq!(later.event.message.as_deref(), Some("later"), "ten minutes of silence end it");
    }

    #[test]
    fn an_object_may_have_25_events_at_once_and_one_in_five_minutes() {
        let mut correlator = Correlator::default();
        let written = |correlator: &mut Correlator, pod: &str, seconds| {
            correlator.see(event("e", pod, "m"), at(seconds)).map(|s| s.event.count)
        };
        let at_once = (0..40).filter(|_| written(&mut correlator, "p", 0).is_some()).count();
        assert_eq!(at_once, 25);
        assert!(written(&mut correlator, "q", 0).is_some(), "another object has its own");
        assert!(written(&mut correlator, "p", 299).is_none());
        assert_eq!(written(&mut correlator, "p", 301), Some(Some(42)), "what was left out was counted");
        assert!(written(&mut correlator, "p", 302).is_none());
    }
}
