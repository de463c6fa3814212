//! What the kernel has, read back, against what was said.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use super::attribute::{self, Attributes};
use super::table::{Chain, Family, Hook, Kind, Set, Table, Value};
use super::update;
use super::{Data, Expression, Field, MetaKey, Register, Socket, Verdict};
use crate::namespace::within;

/// NFT_MSG_GET...
const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
const GET_SET: u16 = 10;
const GET_ELEMENTS: u16 = 13;

/// All that the kernel has in this namespace, without the numbers that it gives by itself.
pub(crate) fn dump() -> Vec<String> {
    let mut socket = Socket::open().unwrap();
    let mut lines = Vec::new();
    for family in [Family::Ipv4.number(), Family::Bridge.number()] {
        for chain in socket.list(family, GET_CHAIN, &[]).unwrap() {
            let (name, hook) = (text(&chain, 3), value(&chain, 4).map(<[u8]>::to_vec));
            lines.push(format!("{family} chain {name} {hook:?}"));
        }
        for rule in socket.list(family, GET_RULE, &[]).unwrap() {
            lines.push(format!("{family} rule {} {:?}", text(&rule, 2), value(&rule, 4).unwrap()));
        }
        for set in socket.list(family, GET_SET, &[]).unwrap() {
            let name = text(&set, 2);
            let numbers = [3, 5, 6, 7].map(|kind| value(&set, kind).map(<[u8]>::to_vec));
            lines.push(format!("{family} set {name} {numbers:?}"));
            let asked = Attributes::default().text(1, &text(&set, 1)).text(2, &name).into_bytes();
            let mut elements = Vec::new();
            for list in socket.list(family, GET_ELEMENTS, &asked).unwrap() {
                let list = value(&list, 3).unwrap_or_default().to_vec();
                elements.extend(
                    attribute::read(&list)
                        .into_iter()
                        .map(|(_, element)| format!("{family} {name} {element:?}")),
                );
            }
            // They come in the order of their hashes.
            elements.sort();
            lines.extend(elements);
        }
    }
    // Chains and sets come in the order in which they were made; rules keep their place in their chain.
    lines.sort_by_key(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "));
    lines
}

fn value(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attribute::read(bytes).into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
}

fn text(bytes: &[u8], kind: u16) -> String {
    let bytes = value(bytes, kind).unwrap_or_default();
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn in_a_namespace(test: impl FnOnce() + Send) {
    let space = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        std::fs::File::open("/proc/thread-self/ns/net").unwrap()
    });
    let space = space.join().unwrap();
    within(space.as_fd(), || {
        test();
        Ok(())
    })
    .unwrap();
}

/// Every expression there is, in rules that the kernel takes.
fn every_expression() -> Table {
    let register = Register;
    let lookup =
        |set: &str, to, inverted| Expression::Lookup { set: set.to_owned(), key: register(0), to, inverted };
    let chain = |kind, point, priority, rules| Chain { hook: Some(Hook { kind, point, priority }), rules };
    let nat = vec![
        Expression::DestinationType { to: register(0) },
        Expression::Compare { register: register(0), equal: true, value: vec![2, 0, 0, 0] },
        Expression::Payload { field: Field::Destination, to: register(0) },
        Expression::Mask { register: register(0), mask: vec![255, 240, 0, 0] },
        Expression::Random { below: 7, to: register(0) },
        lookup("targets", Some(register(8)), false),
        Expression::DestinationNat { address: register(8), port: register(9) },
    ];
    let masquerade = vec![
        Expression::ConnectionStatus { to: register(0) },
        Expression::Meta { key: MetaKey::TransportProtocol, to: register(0) },
        lookup("some", None, true),
        Expression::Masquerade,
    ];
    let decide = vec![
        Expression::Payload { field: Field::Source, to: register(0) },
        Expression::Decide { map: "verdicts".to_owned(), key: register(0) },
    ];
    let jump = vec![Expression::Verdict(Verdict::Jump("aside".to_owned()))];
    let set = |value, elements: Vec<(Vec<u8>, Option<Data>)>| Set {
        key_length: 4,
        value,
        elements: elements.into_iter().collect(),
    };
    Table {
        family: Family::Ipv4,
        name: "test".to_owned(),
        sets: BTreeMap::from([
            (
                "some".to_owned(),
                set(Value::None, (0..1000_u32).map(|n| (n.to_be_bytes().to_vec(), None)).collect()),
            ),
            (
                "targets".to_owned(),
                set(Value::Bytes(8), vec![(vec![0; 4], Some(Data::Bytes(vec![10, 0, 0, 1, 0, 80, 0, 0])))]),
            ),
            (
                "verdicts".to_owned(),
                set(
                    Value::Verdict,
                    vec![
                        (vec![0; 4], Some(Data::Verdict(Verdict::Goto("aside".to_owned())))),
                        (vec![1; 4], Some(Data::Verdict(Verdict::Accept))),
                    ],
                ),
            ),
        ]),
        chains: BTreeMap::from([
            ("aside".to_owned(), Chain { hook: None, rules: vec![vec![Expression::Verdict(Verdict::Drop)]] }),
            (
                "input".to_owned(),
                chain(Kind::Filter, Hook::FORWARD, 5, vec![decide, jump, vec![Expression::Reject]]),
            ),
            ("nat".to_owned(), chain(Kind::Nat, Hook::PREROUTING, -100, vec![nat])),
            ("source".to_owned(), chain(Kind::Nat, Hook::POSTROUTING, 100, vec![masquerade])),
        ]),
    }
}

/// Whether all that was said is there; the kernel adds what it takes for granted.
fn says(kernel: &[u8], said: &[u8]) -> bool {
    let (kernel, said) = (attribute::read(kernel), attribute::read(said));
    said.iter().all(|(kind, value)| {
        kernel.iter().any(|(found, there)| {
            found == kind
                && (there == value
                    || (!value.is_empty() && says(there, value) && !attribute::read(value).is_empty()))
        })
    })
}

#[test]
fn rules_are_in_the_kernel_as_they_were_said_as_root() {
    in_a_namespace(|| {
        let table = every_expression();
        let mut socket = Socket::open().unwrap();
        socket.apply(vec![table.clone()]).unwrap();
        let listed = socket.list(Family::Ipv4.number(), GET_RULE, &[]).unwrap();
        let count: usize = table.chains.values().map(|chain| chain.rules.len()).sum();
        assert_eq!(listed.len(), count);
        for (name, chain) in &table.chains {
            let rules = listed.iter().filter(|rule| text(rule, 2) == *name);
            for (rule, said) in rules.zip(&chain.rules) {
                let there = attribute::read(value(rule, 4).unwrap());
                assert_eq!(there.len(), said.len(), "{name}");
                for ((_, there), said) in there.iter().zip(said) {
                    assert!(says(there, &said.attributes().into_bytes()), "{name}: {said}: {there:?}");
                }
            }
        }
        let elements = dump().iter().filter(|line| line.starts_with("2 some ")).count();
        assert_eq!(elements, 1000);
    });
}

#[test]
fn a_difference_leads_where_the_whole_would_as_root() {
    let whole = every_expression();
    let mut less = whole.clone();
    less.sets.remove("verdicts");
    less.chains.get_mut("input").unwrap().rules.remove(0);
    less.sets.get_mut("some").unwrap().elements.retain(|key, _| key[3] > 100);
    less.chains.remove("source");
    let mut other = whole.clone();
    let target = Some(Data::Bytes(vec![10, 0, 0, 2, 0, 81, 0, 0]));
    other.sets.get_mut("targets").unwrap().elements.insert(vec![0; 4], target);
    let renamed = other.chains.remove("aside").unwrap();
    other.chains.insert("elsewhere".to_owned(), renamed);
    other.chains.get_mut("input").unwrap().rules[1] =
        vec![Expression::Verdict(Verdict::Jump("elsewhere".to_owned()))];
    let to = Some(Data::Verdict(Verdict::Goto("elsewhere".to_owned())));
    other.sets.get_mut("verdicts").unwrap().elements.insert(vec![0; 4], to);
    let mut reshaped = whole.clone();
    reshaped.chains.get_mut("input").unwrap().hook.as_mut().unwrap().priority = 6;
    let empty = Table { sets: BTreeMap::new(), chains: BTreeMap::new(), ..whole.clone() };

    let fresh = |table: &Table| {
        let mut lines = Vec::new();
        in_a_namespace(|| {
            Socket::open().unwrap().apply(vec![table.clone()]).unwrap();
            lines = dump();
        });
        lines
    };
    in_a_namespace(|| {
        let mut socket = Socket::open().unwrap();
        for (name, table) in [
            ("whole", &whole),
            ("less", &less),
            ("whole again", &whole),
            ("other", &other),
            ("reshaped", &reshaped),
            ("empty", &empty),
            ("other after empty", &other),
        ] {
            // A failure of a difference would be repaired, and not be seen.
            if let Some(old) = socket.applied.first() {
                let commands = update::differences(old, table);
                socket.transact(&commands).unwrap_or_else(|error| panic!("{name}: {error}"));
                socket.applied = vec![table.clone()];
            }
            socket.apply(vec![table.clone()]).unwrap();
            let (there, expected) = (dump(), fresh(table));
            let more: Vec<_> = there.iter().filter(|line| !expected.contains(line)).collect();
            let missing: Vec<_> = expected.iter().filter(|line| !there.contains(line)).collect();
            assert!(more.is_empty() && missing.is_empty(), "{name}: {more:#?} for {missing:#?}");
            assert_eq!(there, expected, "{name}: another order");
        }
    });
}

#[test]
fn what_somebody_else_took_away_is_put_back_as_root() {
    in_a_namespace(|| {
        let (mut ours, mut theirs) = (Socket::open().unwrap(), Socket::open().unwrap());
        let table = every_expression();
        ours.apply(vec![table.clone()]).unwrap();
        let empty = Table { sets: BTreeMap::new(), chains: BTreeMap::new(), ..table.clone() };
        theirs.apply(vec![empty]).unwrap();
        let mut changed = table;
        changed.sets.get_mut("some").unwrap().elements.insert(vec![9; 4], None);
        ours.apply(vec![changed]).unwrap();
        assert!(dump().len() > 1000);
    });
}

#[test]
fn a_change_is_said_by_what_changed() {
    let whole = every_expression();
    let mut other = whole.clone();
    other.sets.get_mut("some").unwrap().elements.insert(vec![9; 4], None);
    assert_eq!(update::differences(&whole, &other).len(), 1);
    assert_eq!(update::differences(&whole, &whole).len(), 0);
}
