//! The loop: takes what the watches tell, gives each pod its turn, and carries out what came of it. Bindings and conditions are written by tasks of their own, of which
//! there are only so many: then no further turns are taken until one has ended.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::binding;
use crate::events::{Happening, Recorder};
use crate::pod::PodInfo;
use crate::source;
use crate::state::{State, Turn, Update};

/// Updates that may wait: a watch that is faster waits itself.
const UPDATES: usize = 1024;
/// Bindings, and conditions, that are written at one time.
const MAX_WRITES: usize = 128;
/// Turns between two looks at what the watches told.
const TURNS: usize = 32;

/// Runs until `stop`. Whatever fails is tried again, so it ends only then.
pub async fn run(client: kube::Client, settings: Settings, stop: CancellationToken) {
    let (sender, updates) = mpsc::channel(UPDATES);
    let (recorder, writer) = Recorder::new(client.clone(), &settings);
    // Dropped with this function: then they end.
    let mut tasks = JoinSet::new();
    tasks.spawn(source::nodes(client.clone(), sender.clone()));
    tasks.spawn(source::pods(client.clone(), sender));
    tasks.spawn(writer.run());
    let scheduler = Scheduler {
        state: State::new(&settings),
        client,
        settings,
        recorder,
        updates,
        bindings: JoinSet::new(),
        conditions: JoinSet::new(),
    };
    tokio::select! {
        () = scheduler.run() => {}
        () = stop.cancelled() => {}
    }
}

/// What came of a binding.
struct Bound {
    pod: Arc<PodInfo>,
    node: Arc<str>,
    result: Result<(), kube::Error>,
}

struct Scheduler {
    client: kube::Client,
    settings: Settings,
    state: State,
    recorder: Recorder,
    updates: mpsc::Receiver<Update>,
    bindings: JoinSet<Bound>,
    conditions: JoinSet<()>,
}

impl Scheduler {
    /// Ends when both watches have.
    async fn run(mut self) {
        loop {
            while let Ok(update) = self.updates.try_recv() {
                self.state.apply(update, Instant::now());
            }
            let more = self.turns();
            self.settings.metrics.waiting(self.state.lengths());
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            let wake = self.state.next_wake();
            let wait = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                update = self.updates.recv() => match update {
                    Some(update) => self.state.apply(update, Instant::now()),
                    None => return,
                },
                Some(bound) = self.bindings.join_next() => self.bound(bound),
                Some(_) = self.conditions.join_next() => {}
                () = wait, if self.has_room() => {}
            }
        }
    }

    fn has_room(&self) -> bool {
        self.bindings.len() < MAX_WRITES && self.conditions.len() < MAX_WRITES
    }

    /// Some turns. Whether there may be more of them at once.
    fn turns(&mut self) -> bool {
        for _ in 0..TURNS {
            while let Some(bound) = self.bindings.try_join_next() {
                self.bound(bound);
            }
            while self.conditions.try_join_next().is_some() {}
            if !self.has_room() {
                return false;
            }
            let begun = Instant::now();
            let Some(turn) = self.state.next(begun, &mut |n| rand::random_range(0..n)) else { return false };
            self.settings.metrics.decided(begun.elapsed().as_secs_f64());
            self.carry_out(turn);
        }
        true
    }

    fn carry_out(&mut self, Turn { pod, outcome }: Turn) {
        match outcome {
            Ok(node) => {
                let client = self.client.clone();
                self.bindings.spawn(async move {
                    let result = binding::bind(&client, &pod, &node).await;
                    Bound { pod, node, result }
                });
            }
            Err(unfit) => self.unscheduled(&pod, "unschedulable", "Unschedulable", unfit.to_string()),
        }
    }

    fn bound(&mut self, bound: Result<Bound, tokio::task::JoinError>) {
        let Bound { pod, node, result } = match bound {
            Ok(bound) => bound,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let Err(error) = result else {
            self.settings.metrics.attempt(&self.settings.scheduler_name, "scheduled");
            let note = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
            let happening = Happening { pod, kind: "Normal", reason: "Scheduled", action: "Binding", note };
            return self.recorder.record(happening);
        };
        let (namespace, name) = (&pod.namespace, &pod.name);
        tracing::warn!(namespace, name, error = &error as &dyn std::error::Error, "a pod could not be bound");
        // Of a pod that is gone, or bound all the same, nothing is told.
        let is_gone = matches!(&error, kube::Error::Api(status) if status.code == 404);
        if self.state.unbound(&pod.uid, Instant::now()) && !is_gone {
            let why = match &error {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            };
            let message = format!("binding rejected: running Bind plugin \"DefaultBinder\": {why}");
            self.unscheduled(&pod, "error", "SchedulerError", message);
        }
    }

    fn unscheduled(
        &mut self,
        pod: &Arc<PodInfo>,
        result: &'static str,
        reason: &'static str,
        message: String,
    ) {
        self.settings.metrics.attempt(&self.settings.scheduler_name, result);
        self.recorder.record(Happening {
            pod: Arc::clone(pod),
            kind: "Warning",
            reason: "FailedScheduling",
            action: "Scheduling",
            note: message.clone(),
        });
        let (client, pod) = (self.client.clone(), Arc::clone(pod));
        self.conditions.spawn(async move { binding::unscheduled(client, pod, reason, &message).await });
    }
}
