//! The simple limits, where priority and fairness is off: so many requests that read, so many that change something. And the
//! gauges of both, which there are in either case.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::User;
use crate::request_info::RequestInfo;

type IntGauge = Gauge<i64, AtomicI64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    request_kind: &'static str,
}

/// The two limits.
#[derive(Debug)]
pub(super) struct InFlight {
    reading: Limit,
    mutating: Limit,
    dropped: Family<KindLabel, Counter>,
}

#[derive(Debug)]
struct Limit {
    now: Arc<AtomicUsize>,
    /// 0: none.
    most: usize,
}

/// A place among the requests in flight, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Option<Arc<AtomicUsize>>);

/// How many requests are served.
#[derive(Debug)]
pub(super) struct InFlightGauges {
    reading: IntGauge,
    mutating: IntGauge,
}

/// A request that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted(IntGauge);

impl InFlightGauges {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let family: Family<KindLabel, IntGauge> = Family::default();
        let of = |request_kind| family.get_or_create(&KindLabel { request_kind }).clone();
        let gauges = Self { reading: of("readOnly"), mutating: of("mutating") };
        registry.register(
            "apiserver_current_inflight_requests",
            "Number of requests being served, broken out for requests that read and requests that change something",
            family,
        );
        gauges
    }

    pub(super) fn count(&self, info: &RequestInfo) -> Counted {
        let gauge = if only_reads(info) { &self.reading } else { &self.mutating };
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Whether a request changes nothing.
pub(super) fn only_reads(info: &RequestInfo) -> bool {
    matches!(info.verb.as_str(), "get" | "list" | "watch" | "head" | "options")
}

impl InFlight {
    pub(super) fn new(reading: usize, mutating: usize, registry: &mut Registry) -> Self {
        let limit = |most| Limit { now: Arc::default(), most };
        let in_flight =
            Self { reading: limit(reading), mutating: limit(mutating), dropped: Family::default() };
        registry.register(
            "apiserver_dropped_requests",
            "Number of requests dropped with 'Try again later' response",
            in_flight.dropped.clone(),
        );
        in_flight
    }

    /// `None` when there are too many already; administrators are never too many.
    pub(super) fn enter(&self, user: &User, info: &RequestInfo) -> Option<Place> {
        let reads = only_reads(info);
        let limit = if reads { &self.reading } else { &self.mutating };
        if limit.most == 0 {
            return Some(Place(None));
        }
        let before = limit.now.fetch_add(1, Ordering::Relaxed);
        let place = Place(Some(Arc::clone(&limit.now)));
        if before < limit.most || user.in_group("system:masters") {
            return Some(place);
        }
        let request_kind = if reads { "readOnly" } else { "mutating" };
        self.dropped.get_or_create(&KindLabel { request_kind }).inc();
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(now) = &self.0 {
            now.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(verb: &str) -> RequestInfo {
        RequestInfo { verb: verb.into(), is_resource: true, ..RequestInfo::default() }
    }

    #[test]
    fn reads_and_writes_have_limits_of_their_own_that_administrators_pass() {
        let limits = InFlight::new(1, 1, &mut Registry::default());
        let user = User::anonymous();
        let admin = User { groups: vec!["system:masters".into()], ..User::default() };
        let first = limits.enter(&user, &info("get"));
        assert!(first.is_some() && limits.enter(&user, &info("list")).is_none());
        assert!(limits.enter(&user, &info("create")).is_some());
        assert!(limits.enter(&admin, &info("get")).is_some());
        drop(first);
        assert!(limits.enter(&user, &info("list")).is_some());
    }
}
