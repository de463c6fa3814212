//! The table between pods and the bridge: a pod sends from its own addresses only, and nothing but IPv4 and ARP.

use super::{
    NAME, State, chain, compare, interface, is_in, is_not_in, key, meta, named, payload, set, verdict,
};
use crate::nft::{Expression, Family, Field, Hook, Kind, MetaKey, Table, Verdict};

/// NF_BR_PRI_NAT_DST_BRIDGED: before `br_netfilter` shows the frame to the tables of IP.
const PRIORITY: i32 = -300;

const ETHER_IPV4: [u8; 2] = [0x08, 0x00];
const ETHER_ARP: [u8; 2] = [0x08, 0x06];

pub(super) fn table(state: &State) -> Table {
    let senders = state.pods.iter().map(|pod| key(&[&interface(&pod.link), &pod.mac, &pod.address.octets()]));
    let links = state.pods.iter().map(|pod| interface(&pod.link));
    let from = |protocol: [u8; 2], address: Field| -> Vec<Expression> {
        vec![
            meta(MetaKey::Protocol, 0),
            compare(0, true, &protocol),
            meta(MetaKey::InputName, 0),
            payload(Field::EtherSource, 4),
            payload(address, 6),
            is_in("senders", 0),
            verdict(Verdict::Accept),
        ]
    };
    let rules = vec![
        // Other bridges of the machine are not ours to watch.
        vec![meta(MetaKey::InputName, 0), is_not_in("links", 0), verdict(Verdict::Accept)],
        from(ETHER_IPV4, Field::Source),
        from(ETHER_ARP, Field::ArpSender),
        vec![verdict(Verdict::Drop)],
    ];
    let hook = Hook { kind: Kind::Filter, point: Hook::PREROUTING, priority: PRIORITY };
    Table {
        family: Family::Bridge,
        name: NAME.to_owned(),
        sets: named([("links", set(16, links)), ("senders", set(28, senders))]),
        chains: named([("prerouting", chain(hook, rules))]),
    }
}
