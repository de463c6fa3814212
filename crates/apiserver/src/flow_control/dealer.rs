//! Shuffle sharding: deals a flow the few queues that it may use.
//!
//! Two flows seldom have the same hand, so a flow that floods all its queues leaves others one of theirs (KEP-1040).

use smallvec::SmallVec;

/// The queues of a flow.
pub(super) type Hand = SmallVec<[u32; 8]>;

/// Deals `size` different queues of `queues`, by a hash; every hand is as likely as any other.
pub(super) fn deal(mut hash: u64, queues: u32, size: u32) -> Hand {
    let mut hand = Hand::new();
    let mut taken = Hand::new();
    for left in (queues.saturating_sub(size) + 1..=queues).rev() {
        let mut card = u32::try_from(hash % u64::from(left)).expect("it is less than a u32");
        hash /= u64::from(left);
        // The card is one of those that are left: it goes past those that were taken.
        let mut at = 0;
        for &earlier in &taken {
            if card < earlier {
                break;
            }
            card += 1;
            at += 1;
        }
        taken.insert(at, card);
        hand.push(card);
    }
    hand
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hand_has_as_many_different_queues_as_asked_for(hash: u64, queues in 1_u32..600, size in 1_u32..12) {
            let hand = deal(hash, queues, size);
            let mut sorted = hand.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(u32::try_from(sorted.len()).unwrap(), size.min(queues));
            prop_assert!(sorted.iter().all(|card| *card < queues));
        }
    }

    #[test]
    fn every_hand_is_dealt_equally_often() {
        let mut counts = std::collections::HashMap::new();
        for hash in 0..(6 * 5 * 4 * 10) {
            *counts.entry(deal(hash, 6, 3)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6 * 5 * 4);
        assert!(counts.values().all(|count| *count == 10));
    }
}
