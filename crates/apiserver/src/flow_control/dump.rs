//! The tables below `/debug/api_priority_and_fairness/`, as upstream prints them.

use std::fmt::Write as _;
use std::time::SystemTime;

use tokio::time::Instant;

use super::level::{Dump, Level, Shown};
use crate::User;
use crate::http_io::query::Query;
use crate::request_info::RequestInfo;

/// What is shown of a request that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) distinguisher: String,
    pub(super) user: String,
    pub(super) info: RequestInfo,
}

impl Request {
    pub(super) fn new(distinguisher: &str, user: &User, info: &RequestInfo) -> Self {
        Self { distinguisher: distinguisher.to_owned(), user: user.name.clone(), info: info.clone() }
    }
}

impl Shown for Request {
    fn cells(&self) -> (String, [String; 8]) {
        let info = &self.info;
        let version = if info.group.is_empty() {
            info.version.clone()
        } else {
            format!("{}/{}", info.group, info.version)
        };
        let (verb, path, namespace, name) =
            (info.verb.clone(), info.path.clone(), info.namespace.clone(), info.name.clone());
        let (resource, part) = (info.resource.clone(), info.subresource.clone());
        (
            self.distinguisher.clone(),
            [self.user.clone(), verb, path, namespace, name, version, resource, part],
        )
    }
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
    for (name, level) in levels {
        for (i, queue) in level.queues.iter().enumerate() {
            for (j, (schema, seats, since, (distinguisher, cells))) in queue.waiting.iter().enumerate() {
                let arrived = jiff::Timestamp::try_from(clock - now.saturating_duration_since(*since));
                let mut row = vec![
                    (*name).to_owned(),
                    schema.to_string(),
                    i.to_string(),
                    j.to_string(),
                    distinguisher.clone(),
                    arrived.map(|time| time.to_string()).unwrap_or_default(),
                    seats.to_string(),
                    "0".to_owned(),
                    "0s".to_owned(),
                    // It has not begun: Go's zero time.
                    "0001-01-01T00:00:00Z".to_owned(),
                ];
                if details {
                    row.extend(cells.iter().cloned());
                }
                table.0.push(row);
            }
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
