//! The metrics of flow control, under upstream's names.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sampan_model::Str;

use super::borrowing::{Bounds, Target};
use super::level::Wanted;

type IntGauge = Gauge<i64, AtomicI64>;
type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabel {
    priority_level: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SchemaLabel {
    priority_level: String,
    flow_schema: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabel {
    priority_level: String,
    flow_schema: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitedLabel {
    priority_level: String,
    flow_schema: String,
    execute: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabel {
    priority_level: String,
    flow_schema: String,
    r#type: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

fn durations() -> Histogram {
    Histogram::new([0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0])
}

fn lengths() -> Histogram {
    Histogram::new([0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0])
}

fn widths() -> Histogram {
    Histogram::new([1.0, 2.0, 4.0, 10.0])
}

/// All of them.
#[derive(Debug)]
pub(super) struct Metrics {
    rejected: Family<RefusedLabel, Counter>,
    dispatched: Family<SchemaLabel, Counter>,
    in_queue: Family<SchemaLabel, IntGauge>,
    executing: Family<SchemaLabel, IntGauge>,
    seats: Family<SchemaLabel, IntGauge>,
    waited: Histograms<WaitedLabel>,
    took: Histograms<EndedLabel>,
    queue_length: Histograms<SchemaLabel>,
    estimated: Histograms<SchemaLabel>,
    nominal: Family<LevelLabel, IntGauge>,
    lower: Family<LevelLabel, IntGauge>,
    upper: Family<LevelLabel, IntGauge>,
    current: Family<LevelLabel, IntGauge>,
    seats_in_queue: Family<SchemaLabel, IntGauge>,
    wanted_most: Family<LevelLabel, FloatGauge>,
    wanted_average: Family<LevelLabel, FloatGauge>,
    wanted_deviation: Family<LevelLabel, FloatGauge>,
    wanted_smoothed: Family<LevelLabel, FloatGauge>,
    target: Family<LevelLabel, FloatGauge>,
    fair_fraction: FloatGauge,
}

impl Metrics {
    /// Makes and registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            rejected: Family::default(),
            dispatched: Family::default(),
            in_queue: Family::default(),
            executing: Family::default(),
            seats: Family::default(),
            waited: Family::new_with_constructor(durations),
            took: Family::new_with_constructor(durations),
            queue_length: Family::new_with_constructor(lengths),
            estimated: Family::new_with_constructor(widths),
            nominal: Family::default(),
            lower: Family::default(),
            upper: Family::default(),
            current: Family::default(),
            seats_in_queue: Family::default(),
            wanted_most: Family::default(),
            wanted_average: Family::default(),
            wanted_deviation: Family::default(),
            wanted_smoothed: Family::default(),
            target: Family::default(),
            fair_fraction: FloatGauge::default(),
        };
        let of = registry.sub_registry_with_prefix("apiserver_flowcontrol");
        of.register(
            "rejected_requests",
            "Number of requests rejected by API Priority and Fairness subsystem",
            metrics.rejected.clone(),
        );
        of.register(
            "dispatched_requests",
            "Number of requests executed by API Priority and Fairness subsystem",
            metrics.dispatched.clone(),
        );
        of.register(
            "current_inqueue_requests",
            "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
            metrics.in_queue.clone(),
        );
        of.register("current_executing_requests", "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem", metrics.executing.clone());
        of.register("current_executing_seats", "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem", metrics.seats.clone());
        of.register(
            "request_wait_duration_seconds",
            "Length of time a request spent waiting in its queue",
            metrics.waited.clone(),
        );
        of.register("request_execution_seconds", "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem", metrics.took.clone());
        of.register("request_queue_length_after_enqueue", "Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is enqueued", metrics.queue_length.clone());
        of.register("work_estimated_seats", "Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and Fairness", metrics.estimated.clone());
        of.register(
            "nominal_limit_seats",
            "Nominal number of execution seats configured for each priority level",
            metrics.nominal.clone(),
        );
        of.register(
            "lower_limit_seats",
            "Configured lower bound on number of execution seats available to each priority level",
            metrics.lower.clone(),
        );
        of.register(
            "upper_limit_seats",
            "Configured upper bound on number of execution seats available to each priority level",
            metrics.upper.clone(),
        );
        of.register(
            "current_limit_seats",
            "current derived number of execution seats available to each priority level",
            metrics.current.clone(),
        );
        of.register(
            "current_inqueue_seats",
            "Number of seats currently pending in queues of the API Priority and Fairness subsystem",
            metrics.seats_in_queue.clone(),
        );
        of.register(
            "demand_seats_high_watermark",
            "High watermark, over last adjustment period, of demand_seats",
            metrics.wanted_most.clone(),
        );
        of.register(
            "demand_seats_average",
            "Time-weighted average, over last adjustment period, of demand_seats",
            metrics.wanted_average.clone(),
        );
        of.register(
            "demand_seats_stdev",
            "Time-weighted standard deviation, over last adjustment period, of demand_seats",
            metrics.wanted_deviation.clone(),
        );
        of.register("demand_seats_smoothed", "Smoothed seat demands", metrics.wanted_smoothed.clone());
        of.register("target_seats", "Seat allocation targets", metrics.target.clone());
        of.register(
            "seat_fair_frac",
            "Fair fraction of server's concurrency to allocate to each priority level that can use it",
            metrics.fair_fraction.clone(),
        );
        metrics
    }

    /// What was asked of a level in the last period, and what it should have by that.
    pub(super) fn demand(&self, level: &str, wanted: &Wanted, target: &Target) {
        let label = LevelLabel { priority_level: level.to_owned() };
        for (gauge, value) in [
            (&self.wanted_most, wanted.seen.most),
            (&self.wanted_average, wanted.seen.average),
            (&self.wanted_deviation, wanted.seen.deviation),
            (&self.wanted_smoothed, wanted.smoothed),
            (&self.target, target.wanted),
        ] {
            gauge.get_or_create(&label).set(value);
        }
    }

    /// The part of its target that each level gets.
    pub(super) fn fair_fraction(&self, fraction: f64) {
        self.fair_fraction.set(fraction);
    }

    /// The limits of a level.
    pub(super) fn limits(&self, level: &str, bounds: &Bounds, current: u32) {
        let label = LevelLabel { priority_level: level.to_owned() };
        self.nominal.get_or_create(&label).set(bounds.nominal.into());
        self.lower.get_or_create(&label).set(bounds.lower.into());
        self.upper.get_or_create(&label).set(bounds.upper.into());
        self.current.get_or_create(&label).set(current.into());
    }

    /// The metrics of the requests of a schema, looked up once.
    pub(super) fn of_schema(&self, schema: &Str, level: &Str) -> Arc<SchemaMetrics> {
        let (priority_level, flow_schema) = (level.to_string(), schema.to_string());
        let label = SchemaLabel { priority_level: priority_level.clone(), flow_schema: flow_schema.clone() };
        let waited = |execute| {
            let label = WaitedLabel {
                priority_level: priority_level.clone(),
                flow_schema: flow_schema.clone(),
                execute,
            };
            self.waited.get_or_create(&label).clone()
        };
        let took = |kind| {
            let label = EndedLabel {
                priority_level: priority_level.clone(),
                flow_schema: flow_schema.clone(),
                r#type: kind,
            };
            self.took.get_or_create(&label).clone()
        };
        Arc::new(SchemaMetrics {
            schema: schema.clone(),
            in_queue: self.in_queue.get_or_create(&label).clone(),
            seats_in_queue: self.seats_in_queue.get_or_create(&label).clone(),
            executing: self.executing.get_or_create(&label).clone(),
            seats: self.seats.get_or_create(&label).clone(),
            dispatched: self.dispatched.get_or_create(&label).clone(),
            queue_length: self.queue_length.get_or_create(&label).clone(),
            estimated: self.estimated.get_or_create(&label).clone(),
            waited_and_went: waited("true"),
            waited_in_vain: waited("false"),
            took: took("regular"),
            took_to_start: took("watch"),
            rejected: self.rejected.clone(),
            label,
        })
    }
}

/// The metrics of the requests of one schema.
#[derive(Debug)]
pub(super) struct SchemaMetrics {
    pub(super) schema: Str,
    in_queue: IntGauge,
    seats_in_queue: IntGauge,
    executing: IntGauge,
    seats: IntGauge,
    dispatched: Counter,
    pub(super) queue_length: Histogram,
    estimated: Histogram,
    waited_and_went: Histogram,
    waited_in_vain: Histogram,
    took: Histogram,
    took_to_start: Histogram,
    rejected: Family<RefusedLabel, Counter>,
    label: SchemaLabel,
}

impl SchemaMetrics {
    pub(super) fn estimated(&self, seats: u32) {
        self.estimated.observe(seats.into());
    }

    /// A request waits in a queue.
    pub(super) fn queued(&self, seats: u32) {
        self.in_queue.inc();
        self.seats_in_queue.inc_by(seats.into());
    }

    /// It waits no more.
    pub(super) fn left_queue(&self, seats: u32) {
        self.in_queue.dec();
        self.seats_in_queue.dec_by(seats.into());
    }

    pub(super) fn begun(&self, seats: u32) {
        self.dispatched.inc();
        self.executing.inc();
        self.seats.inc_by(seats.into());
    }

    pub(super) fn ended(&self, seats: u32, took: Duration, of_watch: bool) {
        self.executing.dec();
        self.seats.dec_by(seats.into());
        let histogram = if of_watch { &self.took_to_start } else { &self.took };
        histogram.observe(took.as_secs_f64());
    }

    pub(super) fn waited(&self, took: Duration, went: bool) {
        let histogram = if went { &self.waited_and_went } else { &self.waited_in_vain };
        histogram.observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self, reason: &'static str) {
        let label = RefusedLabel {
            priority_level: self.label.priority_level.clone(),
            flow_schema: self.label.flow_schema.clone(),
            reason,
        };
        self.rejected.get_or_create(&label).inc();
    }
}
