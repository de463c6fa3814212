//! How many seats a request takes: one, and more for lists that hold much in memory (upstream's size-based estimate).

use super::borrowing::Bounds;
use super::config::Response;
use crate::http_io::query::Query;
use crate::registry::Registry;
use crate::request_info::RequestInfo;

const BYTES_PER_SEAT: usize = 100_000;
/// A list that is read from memory is streamed: it never holds more than this.
const MOST_STREAMED: usize = 1_000_000;
/// The most seats that a list may take in a level without queues.
const MOST_SEATS: u32 = 100;
/// How many objects are looked at to know how large they are.
const SAMPLE: usize = 8;

/// What is stored of a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stored {
    count: usize,
    average_bytes: usize,
}

/// The seats of a request.
pub(super) fn seats(
    registry: &Registry,
    info: &RequestInfo,
    query: &Query,
    response: Response,
    bounds: &Bounds,
) -> u32 {
    let lists = info.verb == "list" || (info.verb == "watch" && query.flag("sendInitialEvents"));
    // One that names its object is served like a get.
    if !info.is_resource || !lists || !info.name.is_empty() {
        return 1;
    }
    let Some(stored) = stored(registry, info) else { return 1 };
    let most = match response {
        Response::Queue(queuing) => bounds.most_of_one(queuing.hand_size).min(MOST_SEATS),
        Response::Exempt | Response::Reject => MOST_SEATS,
    };
    of_list(stored, query, info.verb == "watch").clamp(1, most)
}

/// `None` for what this server does not store: others do the work.
fn stored(registry: &Registry, info: &RequestInfo) -> Option<Stored> {
    let catalog = registry.catalog();
    let prefix = catalog.resource(&info.group, &info.version, &info.resource)?.key_prefix(&info.namespace);
    let snapshot = registry.store().snapshot();
    let count = snapshot.count(&prefix);
    let looked_at = count.clamp(1, SAMPLE);
    let bytes: usize = snapshot.range(&prefix, None).take(SAMPLE).map(|entry| entry.value.len()).sum();
    Some(Stored { count, average_bytes: bytes / looked_at })
}

fn of_list(stored: Stored, query: &Query, watch: bool) -> u32 {
    let limit = query.get("limit").parse().ok().filter(|limit: &usize| *limit > 0);
    let limited = limit.map_or(stored.count, |limit| limit.min(stored.count));
    let (version, exact) = (query.get("resourceVersion"), query.get("resourceVersionMatch"));
    let old_state = exact == "Exact"
        || !query.get("continue").is_empty()
        || (exact.is_empty() && limit.is_some() && !matches!(version, "" | "0"));
    let selected = !query.get("fieldSelector").is_empty() || !query.get("labelSelector").is_empty();
    let bytes = if watch || !old_state {
        (limited * stored.average_bytes).min(MOST_STREAMED)
    } else if selected {
        limited.max(stored.count / 2) * stored.average_bytes
    } else {
        limited * stored.average_bytes
    };
    u32::try_from(bytes.div_ceil(BYTES_PER_SEAT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_a_seat_for_each_100_kb_that_they_hold() {
        let rows = [
            ("few objects", 10, "", false, 1),
            ("many objects are streamed", 10_000, "", false, 10),
            ("a page", 10_000, "limit=150", false, 2),
            ("a page of an old state", 10_000, "limit=500&continue=x", false, 5),
            ("all of an old state", 10_000, "resourceVersion=7&resourceVersionMatch=Exact", false, 100),
            (
                "a selected page of an old state",
                10_000,
                "limit=500&continue=x&labelSelector=a%3Db",
                false,
                50,
            ),
            ("a page as of a version", 10_000, "limit=500&resourceVersion=7", false, 5),
            ("any state", 10_000, "limit=500&resourceVersion=0", false, 5),
            (
                "a watch with its state",
                10_000,
                "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
                true,
                10,
            ),
            ("nothing", 0, "", false, 0),
        ];
        for (row, count, query, watch, want) in rows {
            let stored = Stored { count, average_bytes: 1000 };
            assert_eq!(of_list(stored, &Query::parse(query), watch), want, "{row}");
        }
    }
}
