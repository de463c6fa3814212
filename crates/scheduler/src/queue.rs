//! Whose turn it is: pods without a node, by priority, and where those wait whose turn came to nothing. Pure: the time is an argument.
//!
//! A pod is *active* (its turn comes), *backing off* (it failed a short while ago), *unschedulable* (it fits nowhere, and waits for something to change), or
//! *gated* (not to be looked at). As upstream since v1.33, a pod whose back-off lasts is taken all the same when nobody else waits; one that failed by an error is not.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::pod::{PodInfo, Uid};

/// How long pods wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) initial_backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) max_unschedulable: Duration,
}

/// A pod in its turn; it goes back into the queue if that comes to nothing.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) pod: Arc<PodInfo>,
    /// Turns that found no node.
    failures: u32,
    /// There was no node at all: whichever comes is news.
    without_nodes: bool,
    /// Turns that ended with an error, one after the other.
    errors: u32,
    /// Not before this time is its next turn, while others wait.
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active(u64),
    BackingOff { after_error: bool },
    Unschedulable(Instant),
    Gated,
}

/// How many pods wait where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) active: usize,
    pub(crate) backing_off: usize,
    pub(crate) unschedulable: usize,
    pub(crate) gated: usize,
}

/// See the module. As large as there are pods without a node.
pub(crate) struct Queue {
    times: Times,
    pods: HashMap<Uid, (Queued, Place)>,
    active: BTreeSet<(Reverse<i32>, u64, Uid)>,
    backing_off: BTreeSet<(Instant, Uid)>,
    after_error: BTreeSet<(Instant, Uid)>,
    unschedulable: BTreeSet<(Instant, Uid)>,
    gated: usize,
    next_number: u64,
}

impl Queue {
    pub(crate) fn new(times: Times) -> Self {
        Self {
            times,
            pods: HashMap::new(),
            active: BTreeSet::new(),
            backing_off: BTreeSet::new(),
            after_error: BTreeSet::new(),
            unschedulable: BTreeSet::new(),
            gated: 0,
            next_number: 0,
        }
    }

    /// A pod that came or changed.
    pub(crate) fn set(&mut self, pod: Arc<PodInfo>, now: Instant) {
        let Some((mut queued, place)) = self.take(&pod.uid) else {
            return self.start(Queued { pod, failures: 0, errors: 0, without_nodes: false, until: now }, now);
        };
        let differs = pod.differs(&queued.pod);
        queued.pod = pod;
        match place {
            Place::Unschedulable(_) | Place::Gated if differs => self.start(queued, now),
            place => self.put(queued, place),
        }
    }

    /// A pod that is gone, or is nobody's business here any more.
    pub(crate) fn remove(&mut self, uid: &str) {
        self.take(uid);
    }

    /// The pods of the queue.
    pub(crate) fn pods(&self) -> Vec<Uid> {
        self.pods.keys().cloned().collect()
    }

    /// The next turn, if it is anybody's.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Queued> {
        self.wake(now);
        let next = self.active.first().map(|(_, _, uid)| uid);
        let uid = next.or_else(|| self.backing_off.first().map(|(_, uid)| uid)).cloned()?;
        self.take(&uid).map(|(queued, _)| queued)
    }

    /// When the next turn comes by time alone.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let after_error = self.after_error.first().map(|(until, _)| *until);
        let flush = self.unschedulable.first().map(|(since, _)| *since + self.times.max_unschedulable);
        after_error.into_iter().chain(flush).min()
    }

    /// A turn found no node, or there is none: the pod waits for something to change.
    pub(crate) fn unschedulable(&mut self, mut queued: Queued, without_nodes: bool, now: Instant) {
        queued.without_nodes = without_nodes;
        queued.failures = queued.failures.saturating_add(1);
        queued.errors = 0;
        queued.until = now + self.backoff(queued.failures);
        self.put(queued, Place::Unschedulable(now));
    }

    /// A turn ended with an error: there will be another one in a while.
    pub(crate) fn failed(&mut self, mut queued: Queued, now: Instant) {
        queued.errors = queued.errors.saturating_add(1);
        queued.until = now + self.backoff(queued.errors);
        self.put(queued, Place::BackingOff { after_error: true });
    }

    /// Something changed: the unschedulable pods whom it may help have another turn. How many those are.
    pub(crate) fn retry(&mut self, now: Instant, helps: impl Fn(&PodInfo) -> bool) -> usize {
        let helped = |(_, uid): &&(Instant, Uid)| {
            self.pods.get(uid).is_some_and(|(q, _)| q.without_nodes || helps(&q.pod))
        };
        let helped: Vec<Uid> = self.unschedulable.iter().filter(helped).map(|(_, uid)| uid.clone()).collect();
        for uid in &helped {
            if let Some((queued, _)) = self.take(uid) {
                self.start(queued, now);
            }
        }
        helped.len()
    }

    pub(crate) fn lengths(&self) -> Lengths {
        Lengths {
            active: self.active.len(),
            backing_off: self.backing_off.len() + self.after_error.len(),
            unschedulable: self.unschedulable.len(),
            gated: self.gated,
        }
    }

    /// Twice as long after each failure.
    fn backoff(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
        self.times.initial_backoff.saturating_mul(factor).min(self.times.max_backoff)
    }

    /// Puts those into line whose time has come.
    fn wake(&mut self, now: Instant) {
        for set in [&mut self.backing_off, &mut self.after_error] {
            while let Some((_, uid)) = set.first().filter(|(until, _)| *until <= now).cloned() {
                set.pop_first();
                if let Some((queued, place)) = self.pods.get_mut(&uid) {
                    *place = Place::Active(self.next_number);
                    self.active.insert((Reverse(queued.pod.priority), self.next_number, uid));
                    self.next_number += 1;
                }
            }
        }
        let max = self.times.max_unschedulable;
        while let Some((_, uid)) =
            self.unschedulable.first().filter(|(since, _)| *since + max <= now).cloned()
        {
            if let Some((queued, _)) = self.take(&uid) {
                self.start(queued, now);
            }
        }
    }

    fn start(&mut self, queued: Queued, now: Instant) {
        let place = if queued.pod.gated {
            Place::Gated
        } else if queued.until > now {
            Place::BackingOff { after_error: false }
        } else {
            self.next_number += 1;
            Place::Active(self.next_number - 1)
        };
        self.put(queued, place);
    }

    fn put(&mut self, queued: Queued, place: Place) {
        let uid = Arc::clone(&queued.pod.uid);
        match place {
            Place::Active(number) => {
                self.active.insert((Reverse(queued.pod.priority), number, uid.clone()));
            }
            Place::BackingOff { after_error } => {
                let set = if after_error { &mut self.after_error } else { &mut self.backing_off };
                set.insert((queued.until, uid.clone()));
            }
            Place::Unschedulable(since) => {
                self.unschedulable.insert((since, uid.clone()));
            }
            Place::Gated => self.gated += 1,
        }
        self.pods.insert(uid, (queued, place));
    }

    fn take(&mut self, uid: &str) -> Option<(Queued, Place)> {
        let (queued, place) = self.pods.remove(uid)?;
        let uid = Arc::clone(&queued.pod.uid);
        match place {
            Place::Active(number) => {
                self.active.remove(&(Reverse(queued.pod.priority), number, uid));
            }
            Place::BackingOff { after_error } => {
                let set = if after_error { &mut self.after_error } else { &mut self.backing_off };
                set.remove(&(queued.until, uid));
            }
            Place::Unschedulable(since) => {
                self.unschedulable.remove(&(since, uid));
            }
            Place::Gated => self.gated -= 1,
        }
        Some((queued, place))
    }
}

#[cfg(test)]
mod tests;
