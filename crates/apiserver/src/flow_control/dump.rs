//! The tables below `/debug/api_priority_and_fairness/`, as upstream prints them.

use std::fmt::Write as _;
use std::time::SystemTime;

use tokio::time::Instant;

use super::config::Distinguisher;
use super::level::{Dump, Level, Request, RequestDump};
use crate::http_io::query::Query;

/// The cells of a request's details, and what tells its flow apart before them.
fn cells(request: &Request) -> (String, [String; 8]) {
    let info = &*request.info;
    let version =
        if info.group.is_empty() { info.version.clone() } else { format!("{}/{}", info.group, info.version) };
    let distinguisher = match request.by {
        None => String::new(),
        Some(Distinguisher::ByUser) => request.user.name.clone(),
        Some(Distinguisher::ByNamespace) => info.namespace.clone(),
    };
    let (verb, path, namespace, name) =
        (info.verb.clone(), info.path.clone(), info.namespace.clone(), info.name.clone());
    let (resource, part) = (info.resource.clone(), info.subresource.clone());
    (distinguisher, [request.user.name.clone(), verb, path, namespace, name, version, resource, part])
}

/// Rows of cells, the first with the names of the columns.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new(columns: &[&str]) -> Self {
        Self(vec![columns.iter().map(|c| (*c).to_owned()).collect()])
    }

    /// As Go's `tabwriter` aligns them: a cell is at least eight wide, with a blank between.
    fn text(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |i: usize| {
            self.0
                .iter()
                .filter_map(|row| row.get(i))
                .map(|c| c.chars().count() + 2)
                .max()
                .unwrap_or(0)
                .max(8)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.0 {
            for (i, cell) in row.iter().enumerate() {
                let _ = if i + 1 == row.len() {
                    writeln!(text, "{cell}")
                } else {
                    write!(text, "{:1$}", format!("{cell},"), widths[i])
                };
            }
        }
        text
    }
}

/// The table of that name; `None` when there is none.
pub(super) fn table(which: &str, query: &Query, levels: &[std::sync::Arc<Level>]) -> Option<String> {
    let mut levels: Vec<(&str, Dump)> =
        levels.iter().map(|level| (level.name.as_str(), level.dump())).collect();
    levels.sort_by_key(|(name, _)| *name);
    match which {
        "dump_priority_levels" => Some(priority_levels(&levels)),
        "dump_queues" => Some(queues(&levels)),
        "dump_requests" => Some(requests(&levels, !query.get("includeRequestDetails").is_empty())),
        _ => None,
    }
}

fn priority_levels(levels: &[(&str, Dump)]) -> String {
    let mut table = Table::new(&[
        "PriorityLevelName",
        "ActiveQueues",
        "IsIdle",
        "IsQuiescing",
        "WaitingRequests",
        "ExecutingRequests",
        "DispatchedRequests",
        "RejectedRequests",
        "TimedoutRequests",
        "CancelledRequests",
    ]);
    for (name, level) in levels {
        let active = level.queues.iter().filter(|queue| !queue.waiting.is_empty()).count();
        let totals = level.totals;
        table.0.push(vec![
            (*name).to_owned(),
            active.to_string(),
            (level.waiting == 0 && level.executing == 0).to_string(),
            level.quiescing.to_string(),
            level.waiting.to_string(),
            level.executing.to_string(),
            totals.dispatched.to_string(),
            totals.rejected.to_string(),
            totals.timed_out.to_string(),
            totals.cancelled.to_string(),
        ]);
    }
    table.text()
}

fn queues(levels: &[(&str, Dump)]) -> String {
    let mut table = Table::new(&[
        "PriorityLevelName",
        "Index",
        "PendingRequests",
        "ExecutingRequests",
        "SeatsInUse",
        "NextDispatchR",
        "InitialSeatsSum",
        "MaxSeatsSum",
        "TotalWorkSum",
    ]);
    for (name, level) in levels {
        for (i, queue) in level.queues.iter().enumerate() {
            table.0.push(vec![
                (*name).to_owned(),
                i.to_string(),
                queue.waiting.len().to_string(),
                queue.executing.to_string(),
                queue.seats_in_use.to_string(),
                format!("{:.8}ss", queue.next_start),
                queue.seats_waiting.to_string(),
                queue.seats_waiting.to_string(),
                format!("{:.8}ss", queue.work()),
            ]);
        }
    }
    table.text()
}

fn requests(levels: &[(&str, Dump)], details: bool) -> String {
    let mut columns = vec![
        "PriorityLevelName",
        "FlowSchemaName",
        "QueueIndex",
        "RequestIndexInQueue",
        "FlowDistingsher",
        "ArriveTime",
        "InitialSeats",
        "FinalSeats",
        "AdditionalLatency",
        "StartTime",
    ];
    if details {
        columns.extend([
            "UserName",
            "Verb",
            "APIPath",
            "Namespace",
            "Name",
            "APIVersion",
            "Resource",
            "SubResource",
        ]);
    }
    let mut table = Table::new(&columns);
    let (now, clock) = (Instant::now(), SystemTime::now());
    let time = |at: Instant| {
        let time = jiff::Timestamp::try_from(clock - now.saturating_duration_since(at));
        time.map(|time| time.to_string()).unwrap_or_default()
    };
    let mut push = |level: &str, queue: Option<usize>, place: Option<usize>, dumped: &RequestDump| {
        // As upstream: what is served has no place in its queue, and what has no queue no number of one.
        let index = |i: Option<usize>| i.map_or_else(|| "-1".to_owned(), |i| i.to_string());
        let (distinguisher, details_of) = cells(&dumped.request);
        let mut row = vec![
            level.to_owned(),
            dumped.schema.to_string(),
            index(queue),
            index(place),
            distinguisher,
            time(dumped.arrived),
            dumped.seats.to_string(),
            "0".to_owned(),
            "0s".to_owned(),
            // What has not begun has Go's zero time.
            dumped.started.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), time),
        ];
        if details {
            row.extend(details_of);
        }
        table.0.push(row);
    };
    for (name, level) in levels {
        for (i, queue) in level.queues.iter().enumerate() {
            for (j, waiting) in queue.waiting.iter().enumerate() {
                push(name, Some(i), Some(j), waiting);
            }
            for served in &queue.served {
                push(name, Some(i), None, served);
            }
        }
        for served in &level.served {
            push(name, None, None, served);
        }
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["PriorityLevelName", "Index", "Last"]);
        table.0.push(vec!["a".into(), "1".into(), "x".into()]);
        assert_eq!(table.text(), "PriorityLevelName, Index,  Last\na,                 1,      x\n");
    }
}
