//! The seats by prefix, so that an event finds those that match among any number that do not.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::task::Waker;

use crate::Event;
use crate::watcher::Part;

use super::WatcherLimits;
use super::seat::{End, Seat, Unit};

#[derive(Debug, Default)]
pub(super) struct Prefixes {
    groups: BTreeMap<Arc<str>, Group>,
    seats: usize,
    closed: bool,
}

/// How many watchers were ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ended {
    pub(super) all: u64,
    /// Those of them for which not too many events waited, but too large ones.
    pub(super) by_bytes: u64,
}

/// The watchers of one prefix.
#[derive(Debug, Default)]
struct Group {
    seats: Vec<Arc<Seat>>,
    /// What is being offered.
    events: Vec<Arc<Event>>,
}

impl Prefixes {
    pub(super) fn seats(&self) -> usize {
        self.seats
    }

    pub(super) fn join(&mut self, prefix: &str) -> Arc<Seat> {
        let prefix = self.groups.get_key_value(prefix).map_or_else(|| prefix.into(), |(p, _)| Arc::clone(p));
        let group = self.groups.entry(Arc::clone(&prefix)).or_default();
        let seat = Arc::new(Seat::new(prefix, group.seats.len()));
        group.seats.push(Arc::clone(&seat));
        self.seats += 1;
        if self.closed {
            seat.end(End::Closed);
        }
        seat
    }

    /// Does nothing when the seat has been taken away already.
    pub(super) fn leave(&mut self, seat: &Seat) {
        let Some(group) = self.groups.get_mut(&seat.prefix) else { return };
        if !group.seats.get(seat.index()).is_some_and(|there| std::ptr::eq(Arc::as_ptr(there), seat)) {
            return;
        }
        group.take(seat.index());
        self.seats -= 1;
        if group.seats.is_empty() {
            self.groups.remove(&seat.prefix);
        }
    }

    /// Gives how many watchers were ended because they are slow.
    pub(super) fn offer(
        &mut self,
        events: &[Arc<Event>],
        limits: WatcherLimits,
        wakers: &mut Vec<Waker>,
    ) -> Ended {
        let mut touched: Vec<Arc<str>> = Vec::new();
        for event in events {
            // One for all watchers, and not the history's: whatever they keep beside it goes when they have told it.
            let mut offered: Option<Arc<Event>> = None;
            each_prefix(&mut self.groups, &event.entry.key, |prefix, group| {
                if group.events.is_empty() {
                    touched.push(Arc::clone(prefix));
                }
                group.events.push(Arc::clone(offered.get_or_insert_with(|| event.offered())));
            });
        }
        let mut ended = Ended::default();
        for prefix in touched {
            let group = self.groups.get_mut(&prefix).expect("it was found a moment ago");
            let part = Part::new(group.events.drain(..));
            // From the back, since taking one away moves the last into its place.
            for i in (0..group.seats.len()).rev() {
                let (refused, waker) = group.seats[i].offer(&part, limits);
                wakers.extend(waker);
                if let Some(unit) = refused {
                    group.take(i);
                    ended.all += 1;
                    ended.by_bytes += u64::from(unit == Unit::Bytes);
                    self.seats -= 1;
                }
            }
            if group.seats.is_empty() {
                self.groups.remove(&prefix);
            }
        }
        ended
    }

    pub(super) fn close(&mut self, wakers: &mut Vec<Waker>) {
        self.closed = true;
        self.seats = 0;
        let groups = std::mem::take(&mut self.groups);
        wakers.extend(groups.values().flat_map(|g| &g.seats).filter_map(|seat| seat.end(End::Closed)));
    }
}

impl Group {
    fn take(&mut self, index: usize) {
        self.seats.swap_remove(index);
        if let Some(moved) = self.seats.get(index) {
            moved.set_index(index);
        }
    }
}

/// Visits every registered prefix of `key`: one search for each, and at most one more for each
/// place at which a neighbouring prefix branches off.
fn each_prefix<T>(map: &mut BTreeMap<Arc<str>, T>, key: &str, mut visit: impl FnMut(&Arc<str>, &mut T)) {
    // Every prefix of the key that has not been visited is at or before this one.
    let mut probe = Bound::Included(key);
    while let Some((found, group)) = map.range_mut::<str, _>((Bound::Unbounded, probe)).next_back() {
        if key.starts_with(&**found) {
            visit(found, group);
            probe = Bound::Excluded(&key[..found.len()]);
        } else {
            probe = Bound::Included(common_prefix(key, found));
        }
    }
}

fn common_prefix<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    &a[..a.floor_char_boundary(same)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_finds_exactly_the_prefixes_of_its_key() {
        let prefixes = [
            "",
            "/",
            "/registry/",
            "/registry/pods",
            "/registry/pods/",
            "/registry/pods/a/",
            "/registry/pods/a/x",
            "/registry/pods/a/xy",
            "/registry/pods/a/xz",
            "/registry/pods/ä",
            "/registry/pods/ö/",
            "/registry/nodes/",
            "/registry/podtemplates/",
            "/registry/zzz/",
        ];
        let mut map: BTreeMap<Arc<str>, usize> = prefixes.iter().map(|p| (Arc::from(*p), p.len())).collect();
        for key in [
            "/registry/pods/a/x",
            "/registry/pods/a/xy1",
            "/registry/pods/b/x",
            "/registry/pods/ö/x",
            "/registry/pods/ô",
            "/registry/services/a/x",
            "/registry/podz/a",
            "/",
            "",
            "x",
        ] {
            let mut found = Vec::new();
            each_prefix(&mut map, key, |prefix, _| found.push(prefix.to_string()));
            let mut expected: Vec<_> =
                prefixes.iter().filter(|p| key.starts_with(**p)).map(ToString::to_string).collect();
            expected.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(found, expected, "{key}");
        }
    }
}
