//! How many requests are served at once, and whose is next: API priority and fairness (KEP-1040).
//!
//! A request is classified, takes seats of its level or waits for them in a queue, and, if its flow is a heavy one, takes a turn on the
//! processors whenever it computes ([`turns`]). Where fairness is switched off, two simple limits stand in its place. Files, in the order in which a request meets
//! them: `config` (what there is), `classify`, `estimate` (how many seats), `level` and `dealer` (queues), `turns` and `ledger`;
//! `borrowing` and `demand` (the limits of levels), `dropped` (when refused clients come back), `metrics`, `dump`.

mod borrowing;
mod classify;
pub mod config;
mod dealer;
mod demand;
mod dropped;
mod dump;
mod estimate;
mod held_body;
mod in_flight;
mod ledger;
mod level;
mod metrics;
mod turns;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use sampan_model::Str;
use tokio::time::Instant;

use crate::User;
use crate::chain::deadline;
use crate::http_io::body::Body;
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::registry::Registry;
use crate::request_info::RequestInfo;
use borrowing::Bounds;
use classify::Classifier;
use config::{Configuration, Distinguisher, FlowSchema, Response, Source};
use in_flight::{Counted, InFlight, InFlightGauges};
use level::{Arrival, Entry, Level, Refusal, Seat};
use metrics::{Metrics, SchemaMetrics};
use turns::{Turns, Whose};

/// How requests are limited.
#[derive(Debug, Clone)]
pub enum Limits {
    /// By priority levels that share so many seats, configured by a source.
    Fair {
        /// Where the configuration comes from.
        source: Arc<dyn Source>,
        /// The seats of all levels together.
        seats: u32,
    },
    /// So many requests that read, and so many that change something. 0: as many as come.
    InFlight {
        /// Requests that read.
        reading: usize,
        /// Requests that change something.
        mutating: usize,
    },
}

/// `--max-requests-inflight`, unless configured.
pub const MAX_READING: u32 = 400;
/// `--max-mutating-requests-inflight`, unless configured.
pub const MAX_MUTATING: u32 = 200;

/// Upstream's sentence for a request that is one too many.
const TOO_MANY: &str = "Too many requests, please try again later.\n";

/// The filter.
pub(crate) struct FlowControl {
    how: How,
    in_flight: InFlightGauges,
}

enum How {
    Fair(Box<Fair>),
    Simple(InFlight),
}

/// Priority and fairness.
pub(crate) struct Fair {
    source: Arc<dyn Source>,
    seats: u32,
    metrics: Metrics,
    turns: Arc<Turns>,
    hasher: RandomState,
    /// How many there were; numbers them.
    requests: AtomicU64,
    active: ArcSwap<Active>,
    changing: Mutex<Changing>,
}

/// What changes with the configuration, and every ten seconds.
struct Changing {
    levels: HashMap<Str, Arc<Level>>,
}

/// A configuration at work.
struct Active {
    /// What it was made of.
    of: Option<Arc<Configuration>>,
    classifier: Classifier,
    schemas: Vec<ActiveSchema>,
    levels: Vec<Arc<Level>>,
    /// When levels lend each other seats again.
    adjust_at: Instant,
}

/// A schema at work.
#[derive(Debug)]
struct ActiveSchema {
    config: Arc<FlowSchema>,
    level: Arc<Level>,
    response: Response,
    bounds: Bounds,
    number: u64,
    metrics: Arc<SchemaMetrics>,
    stamp: Stamp,
}

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// The headers that say how a request was classified.
#[derive(Debug, Clone)]
struct Stamp {
    schema: HeaderValue,
    level: HeaderValue,
}

impl Stamp {
    fn put(self, answer: &mut Answer) {
        answer.headers_mut().insert(SCHEMA_UID, self.schema);
        answer.headers_mut().insert(LEVEL_UID, self.level);
    }
}

/// A request that may be served.
pub(crate) struct Admitted {
    place: Place,
    stamp: Option<Stamp>,
    counted: Option<Counted>,
}

enum Place {
    /// Not counted.
    None,
    /// Counted by the simple limits.
    Simple(#[allow(dead_code)] in_flight::Place),
    /// Exempt: it has a seat, and asks for no turn.
    Exempt(Seat),
    Fair(Seat, Arc<Turns>, Whose),
}

impl FlowControl {
    pub(crate) fn new(limits: Limits, registry: &mut prometheus_client::registry::Registry) -> Self {
        let in_flight = InFlightGauges::new(registry);
        let how = match limits {
            Limits::Fair { source, seats } => How::Fair(Box::new(Fair::new(source, seats, registry))),
            Limits::InFlight { reading, mutating } => How::Simple(InFlight::new(reading, mutating, registry)),
        };
        Self { how, in_flight }
    }

    /// Lets a request in, now or when it is its turn; refuses it with 429.
    pub(crate) async fn admit(
        &self,
        registry: &Registry,
        user: &Arc<User>,
        info: &Arc<RequestInfo>,
        query: &Query,
    ) -> Result<Admitted, Answer> {
        // Connections that last are limited by what they lead to; of a watch, the beginning counts.
        if deadline::is_long_running(info) && (info.verb != "watch" || matches!(self.how, How::Simple(_))) {
            return Ok(Admitted { place: Place::None, stamp: None, counted: None });
        }
        let mut admitted = match &self.how {
            How::Fair(fair) => fair.admit(registry, user, info, query).await?,
            How::Simple(limits) => {
                let place = Place::Simple(limits.enter(user, info).ok_or_else(|| too_many(1))?);
                Admitted { place, stamp: None, counted: None }
            }
        };
        admitted.counted = Some(self.in_flight.count(info));
        Ok(admitted)
    }

    /// A table for debugging; `None` when there is none of that name.
    pub(crate) fn dump(&self, which: &str, query: &Query) -> Option<String> {
        let How::Fair(fair) = &self.how else { return None };
        fair.refresh(Instant::now());
        dump::table(which, query, &fair.active.load().levels)
    }
}

fn too_many(retry_after: u32) -> Answer {
    let mut answer = respond::text(429, TOO_MANY);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
    answer
}

impl Admitted {
    /// Serves the request. Its seat is kept until all of the answer has been made, that of a watch until it has begun.
    pub(crate) async fn serve(mut self, work: impl Future<Output = Answer>) -> Answer {
        let mut answer = match &mut self.place {
            Place::Fair(seat, turns, whose) => {
                let (answer, ended) = turns.run(*whose, Instant::now(), work).await;
                seat.until = (!matches!(answer.body(), Body::Pieces(_))).then_some(ended);
                answer
            }
            _ => work.await,
        };
        drop(self.counted);
        if let Some(stamp) = self.stamp {
            stamp.put(&mut answer);
        }
        let body = std::mem::take(answer.body_mut());
        *answer.body_mut() = match (body, self.place) {
            (Body::Pieces(pieces), Place::Fair(seat, turns, whose)) => {
                held_body::held(pieces, seat, Some((turns, whose)))
            }
            (Body::Pieces(pieces), Place::Exempt(seat)) => held_body::held(pieces, seat, None),
            (body, _) => body,
        };
        answer
    }
}

impl Fair {
    fn new(
        source: Arc<dyn Source>,
        seats: u32,
        registry: &mut prometheus_client::registry::Registry,
    ) -> Self {
        let fair = Self {
            source,
            seats,
            metrics: Metrics::new(registry),
            turns: Turns::new(),
            hasher: RandomState::new(),
            requests: AtomicU64::new(0),
            active: ArcSwap::from_pointee(Active {
                of: None,
                classifier: Classifier::default(),
                schemas: Vec::new(),
                levels: Vec::new(),
                adjust_at: Instant::now(),
            }),
            changing: Mutex::new(Changing { levels: HashMap::new() }),
        };
        fair.refresh(Instant::now());
        fair
    }

    async fn admit(
        &self,
        registry: &Registry,
        user: &Arc<User>,
        info: &Arc<RequestInfo>,
        query: &Query,
    ) -> Result<Admitted, Answer> {
        let now = Instant::now();
        self.refresh(now);
        let (entry, stamp, whose, metrics, exempt) = {
            let active = self.active.load();
            let schema = &active.schemas[active.classifier.classify(user, info)];
            let distinguisher = match schema.config.distinguisher {
                None => "",
                Some(Distinguisher::ByUser) => user.name.as_str(),
                Some(Distinguisher::ByNamespace) => info.namespace.as_str(),
            };
            let exempt = schema.response == Response::Exempt;
            let flow =
                if exempt { 0 } else { self.hasher.hash_one((schema.config.name.as_str(), distinguisher)) };
            let seats = estimate::seats(registry, info, query, schema.response, &schema.bounds);
            schema.metrics.estimated(seats);
            let arrival = Arrival { flow, seats, metrics: Arc::clone(&schema.metrics) };
            let request = level::Request {
                by: schema.config.distinguisher,
                user: Arc::clone(user),
                info: Arc::clone(info),
            };
            let entry = schema.level.enter(arrival, request, now);
            let whose = Whose {
                level: schema.number,
                weight: schema.bounds.nominal,
                flow,
                request: self.requests.fetch_add(1, Ordering::Relaxed),
            };
            (entry, schema.stamp.clone(), whose, Arc::clone(&schema.metrics), exempt)
        };
        let seat = match entry {
            Entry::Go(seat) => {
                if !exempt {
                    metrics.waited(Duration::ZERO, true);
                }
                Ok(seat)
            }
            Entry::Wait(waiting) => waiting.seat(wait_limit(info, query)).await,
            Entry::Refused(reason) => Err(reason),
        };
        match seat {
            Ok(mut seat) => {
                seat.of_watch = info.verb == "watch";
                let place = if exempt {
                    Place::Exempt(seat)
                } else {
                    Place::Fair(seat, Arc::clone(&self.turns), whose)
                };
                Ok(Admitted { place, stamp: Some(stamp), counted: None })
            }
            Err(reason) => {
                if reason != Refusal::TimeOut {
                    metrics.waited(Duration::ZERO, false);
                }
                metrics.refused(reason.as_str());
                let active = self.active.load();
                let schema = active.schemas.iter().find(|schema| Arc::ptr_eq(&schema.metrics, &metrics));
                // Who waited for a level that is gone comes back to another.
                let retry_after = schema.map_or(1, |schema| schema.level.drop_one(Instant::now()));
                let mut answer = too_many(retry_after);
                stamp.put(&mut answer);
                Err(answer)
            }
        }
    }

    /// Takes over another configuration, and lets levels lend each other seats when it is time.
    fn refresh(&self, now: Instant) {
        let wanted = self.source.current();
        let active = self.active.load();
        let same = active.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &wanted));
        if same && now < active.adjust_at {
            return;
        }
        drop(active);
        let mut changing = self.changing.lock();
        let active = self.active.load();
        let same = active.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &wanted));
        if same && now < active.adjust_at {
            return;
        }
        self.active.store(Arc::new(self.activate(&wanted, &mut changing, now)));
    }

    fn activate(&self, wanted: &Arc<Configuration>, changing: &mut Changing, now: Instant) -> Active {
        let completed = wanted.completed();
        let desired = |name: &Str| completed.levels.iter().any(|level| level.name == *name);
        // A level that nobody wants is kept, with its shares gone, until its last request has ended.
        changing.levels.retain(|name, level| desired(name) || level.quiesce());
        let all_shares: f64 = completed.levels.iter().map(|level| f64::from(level.shares)).sum();
        let mut bounds_of = HashMap::new();
        for config in &completed.levels {
            let bounds = Bounds::of(config, self.seats, all_shares);
            bounds_of.insert(config.name.clone(), (bounds, config));
            match changing.levels.get(&config.name) {
                Some(level) => level.configure(config.response, bounds),
                None => {
                    changing.levels.insert(config.name.clone(), Level::new(config, bounds, now));
                }
            }
        }
        let levels: Vec<_> =
            completed.levels.iter().map(|config| Arc::clone(&changing.levels[&config.name])).collect();
        self.lend(&levels, now);
        let numbers: HashMap<&Str, u64> = completed.levels.iter().map(|l| &l.name).zip(0..).collect();
        let schemas = completed.schemas.iter().map(|schema| {
            let (bounds, level) = bounds_of[&schema.level];
            ActiveSchema {
                config: Arc::clone(schema),
                level: Arc::clone(&changing.levels[&schema.level]),
                response: level.response,
                bounds,
                number: numbers[&schema.level],
                metrics: self.metrics.of_schema(&schema.name, &schema.level),
                stamp: Stamp { schema: header(&schema.uid), level: header(&level.uid) },
            }
        });
        Active {
            of: Some(Arc::clone(wanted)),
            schemas: schemas.collect(),
            levels: changing.levels.values().cloned().collect(),
            classifier: Classifier::new(completed.schemas),
            adjust_at: now + borrowing::PERIOD,
        }
    }

    /// Divides the seats among levels by what is asked of them.
    fn lend(&self, levels: &[Arc<Level>], now: Instant) {
        let seen: Vec<_> = levels.iter().map(|level| level.target(now)).collect();
        let targets: Vec<_> = seen.iter().map(|(_, target)| *target).collect();
        let nominal = levels.iter().map(|level| level.limits().0.nominal).sum();
        let division = borrowing::divide(nominal, &targets);
        if let Some((fraction, _)) = &division {
            self.metrics.fair_fraction(*fraction);
        }
        for (i, level) in levels.iter().enumerate() {
            if let Some((_, parts)) = &division {
                level.set_limit(borrowing::rounded(parts[i]), now);
            }
            let (bounds, current) = level.limits();
            self.metrics.limits(&level.name, &bounds, current);
            self.metrics.demand(&level.name, &seen[i].0, &seen[i].1);
        }
    }
}

/// How long a request may wait: a quarter of what it may take in all.
fn wait_limit(info: &RequestInfo, query: &Query) -> Duration {
    deadline::limit(info, query).ok().flatten().unwrap_or(deadline::REQUEST_TIMEOUT) / 4
}

fn header(uid: &str) -> HeaderValue {
    HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
