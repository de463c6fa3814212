//! Buffers events and sends them in batches, so that requests do not wait for it.
//!
//! The buffer is bounded, and so is the number of batches under way: when a backend hangs, events are dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backend::{self, Backend};
use super::event::Event;
use super::metrics::Metrics;

/// Batches under way at once.
const MAX_UNDER_WAY: u32 = 8;

/// How events are batched.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchOptions {
    /// How many events wait at most.
    pub buffer_size: usize,
    /// How many events a batch has at most.
    pub max_size: usize,
    /// How long a batch waits to become full.
    pub max_wait: Duration,
    /// How many batches are begun a second on average, and how many at once after a quiet time; `None`: as they come.
    pub throttle: Option<(f64, u32)>,
}

/// The buffer before a backend, and the task that empties it.
#[derive(Debug)]
pub(super) struct Batch {
    sender: mpsc::Sender<Arc<Event>>,
    metrics: Metrics,
    stop: CancellationToken,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Batch {
    /// Begins to send.
    pub(super) fn start(backend: Arc<dyn Backend>, options: BatchOptions, metrics: Metrics) -> Self {
        let (sender, events) = mpsc::channel(options.buffer_size.max(1));
        let stop = CancellationToken::new();
        let worker = Worker { events, backend, options, metrics: metrics.clone(), stop: stop.clone() };
        let worker = Mutex::new(Some(tokio::spawn(worker.run())));
        Self { sender, metrics, stop, worker }
    }

    /// Adds events to the buffer; those that do not fit are dropped.
    pub(super) fn add(&self, events: Vec<Arc<Event>>) {
        let mut dropped = 0;
        for event in events {
            dropped += usize::from(self.sender.try_send(event).is_err());
        }
        if dropped > 0 {
            tracing::debug!(dropped, "the audit buffer is full, or the server ends");
            self.metrics.errors("buffered", dropped);
        }
    }

    /// Sends what is buffered, and ends.
    pub(super) async fn shut_down(&self) {
        self.stop.cancel();
        if let Some(worker) = self.worker.lock().await.take() {
            let _ = worker.await;
        }
    }
}

struct Worker {
    events: mpsc::Receiver<Arc<Event>>,
    backend: Arc<dyn Backend>,
    options: BatchOptions,
    metrics: Metrics,
    stop: CancellationToken,
}

impl Worker {
    async fn run(mut self) {
        let under_way = Arc::new(Semaphore::new(MAX_UNDER_WAY as usize));
        let mut throttle = self.options.throttle.map(|(rate, burst)| Throttle::new(rate, burst));
        while let Some(batch) = self.collect().await {
            if let Some(throttle) = &mut throttle
                && !self.stop.is_cancelled()
            {
                throttle.wait().await;
            }
            let Ok(seat) = Arc::clone(&under_way).acquire_owned().await else { return };
            let (backend, metrics) = (Arc::clone(&self.backend), self.metrics.clone());
            tokio::spawn(async move {
                let _seat = seat;
                if let Err(failure) = backend.process(&batch).await {
                    backend::failed(&*backend, &batch, &failure, &metrics);
                }
            });
        }
        // All seats are free when no batch is under way.
        let _ = under_way.acquire_many(MAX_UNDER_WAY).await;
    }

    /// The next batch; `None` when there will be none.
    async fn collect(&mut self) -> Option<Vec<Arc<Event>>> {
        let mut batch = vec![self.next().await?];
        let full_at = Instant::now() + self.options.max_wait;
        while batch.len() < self.options.max_size {
            match tokio::time::timeout_at(full_at, self.next()).await {
                Ok(Some(event)) => batch.push(event),
                Ok(None) | Err(_) => break,
            }
        }
        Some(batch)
    }

    /// The next event; after the stop only those that are there already.
    async fn next(&mut self) -> Option<Arc<Event>> {
        tokio::select! {
            event = self.events.recv() => event,
            () = self.stop.cancelled() => {
                self.events.close();
                self.events.recv().await
            }
        }
    }
}

/// A token bucket: so many a second on average, so many at once.
struct Throttle {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Throttle {
    fn new(rate: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { rate: rate.max(0.001), burst, tokens: burst, at: Instant::now() }
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.rate).min(self.burst) - 1.0;
        self.at = now;
        if self.tokens < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.tokens / self.rate)).await;
        }
    }
}
