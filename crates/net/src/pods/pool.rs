//! The addresses of a range that are taken, and which is the next: pure. It knows no pods.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The pool of a range. The range's own address, the first (the bridge's) and the last (broadcast) are never given away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    range: Ipv4Net,
    taken: BTreeSet<u32>,
    /// Where the next search begins: an address that was given back is not used again before all others were.
    next: u32,
}

impl Pool {
    /// `None` if the range is too small for a single pod.
    pub(super) fn new(range: Ipv4Net) -> Option<Self> {
        let range = range.trunc();
        (range.prefix_len() <= 30).then(|| Self { range, taken: BTreeSet::new(), next: first(range) })
    }

    pub(super) fn range(&self) -> Ipv4Net {
        self.range
    }

    /// The bridge's address.
    pub(super) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(first(self.range) - 1)
    }

    /// Takes an address.
    pub(super) fn take(&mut self) -> Option<Ipv4Addr> {
        let (first, last) = (first(self.range), last(self.range));
        let free =
            (self.next..=last).chain(first..self.next).find(|address| !self.taken.contains(address))?;
        self.occupy(free);
        Some(Ipv4Addr::from(free))
    }

    /// Takes this address, which was a pod's before a restart. `false` if it cannot be one's, or is one's already.
    pub(super) fn take_again(&mut self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        let own = (first(self.range)..=last(self.range)).contains(&address) && !self.taken.contains(&address);
        if own {
            // What was given out before the restart may have been the highest.
            let next = self.next;
            self.occupy(address);
            self.next = self.next.max(next);
        }
        own
    }

    pub(super) fn give_back(&mut self, address: Ipv4Addr) {
        self.taken.remove(&u32::from(address));
    }

    fn occupy(&mut self, address: u32) {
        self.taken.insert(address);
        self.next = address + 1;
    }
}

fn first(range: Ipv4Net) -> u32 {
    u32::from(range.network()) + 2
}

fn last(range: Ipv4Net) -> u32 {
    u32::from(range.broadcast()) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(range: &str) -> Pool {
        Pool::new(range.parse().unwrap()).unwrap()
    }

    fn take(pool: &mut Pool) -> String {
        pool.take().map_or_else(|| "none".to_owned(), |address| address.to_string())
    }

    #[test]
    fn addresses_are_given_in_order_and_not_again_before_all_others_were() {
        let mut pool = pool("10.244.0.0/29");
        assert_eq!(pool.gateway().to_string(), "10.244.0.1");
        assert_eq!([take(&mut pool), take(&mut pool)], ["10.244.0.2", "10.244.0.3"]);
        pool.give_back([10, 244, 0, 2].into());
        assert_eq!(
            [take(&mut pool), take(&mut pool), take(&mut pool)],
            ["10.244.0.4", "10.244.0.5", "10.244.0.6"]
        );
        assert_eq!([take(&mut pool), take(&mut pool)], ["10.244.0.2", "none"]);
        pool.give_back([10, 244, 0, 5].into());
        assert_eq!([take(&mut pool), take(&mut pool)], ["10.244.0.5", "none"]);
    }

    #[test]
    fn a_restart_goes_on_behind_the_highest_address() {
        let mut pool = pool("10.244.0.0/29");
        for (address, expected) in [
            ([10, 244, 0, 4], true),
            ([10, 244, 0, 3], true),
            ([10, 244, 0, 3], false),
            ([10, 244, 0, 1], false),
            ([10, 244, 0, 7], false),
            ([10, 244, 1, 2], false),
        ] {
            assert_eq!(pool.take_again(address.into()), expected, "{address:?}");
        }
        assert_eq!(take(&mut pool), "10.244.0.5");
    }

    #[test]
    fn ranges_have_room_for_a_pod_or_are_none() {
        for (range, pods) in [("10.0.0.0/30", 1), ("10.0.0.9/29", 5), ("10.0.0.0/24", 253)] {
            let mut pool = pool(range);
            let all = std::iter::from_fn(|| pool.take()).count();
            assert_eq!(all, pods, "{range}");
        }
        assert_eq!(Pool::new("10.0.0.0/31".parse().unwrap()), None);
        assert_eq!(Pool::new("10.0.0.1/32".parse().unwrap()), None);
    }

    proptest! {
        #[test]
        fn no_address_is_two_pods(steps in proptest::collection::vec(any::<Option<prop::sample::Index>>(), 0..200)) {
            let mut pool = pool("10.244.0.0/27");
            let mut held = Vec::new();
            for step in steps {
                match step {
                    Some(which) if !held.is_empty() => {
                        let address = held.swap_remove(which.index(held.len()));
                        pool.give_back(address);
                    }
                    _ => {
                        let address = pool.take();
                        prop_assert_eq!(address.is_none(), held.len() == 29);
                        prop_assert!(!address.is_some_and(|address| held.contains(&address)));
                        held.extend(address);
                    }
                }
            }
        }
    }
}
