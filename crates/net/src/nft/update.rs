//! What has to be said to the kernel so that one table becomes another: a pure function, whose result is applied whole or not at all.
//!
//! Only differences are said, so that a change of one endpoint among thousands of services costs a change of one element.

use std::collections::BTreeMap;

use super::attribute::Attributes;
use super::expression::{Data, Expression};
use super::table::{Chain, Set, Table, Value};

/// Elements of one message: an attribute holds 64 KiB, an element of ours at most some 120 bytes.
const ELEMENTS_PER_MESSAGE: usize = 400;

/// NFT_MSG_...
pub(super) const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;

/// NFTA_LIST_ELEM
const LIST_ELEMENT: u16 = 1;

const NLM_F_APPEND: u16 = 0x800;
const NLM_F_CREATE: u16 = 0x400;

/// One message of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) family: u8,
    pub(super) attributes: Attributes,
}

/// Takes whatever there is by the name of a table away, and puts the table there.
pub(super) fn replacement(table: &Table) -> Vec<Command> {
    let writer = Writer { table };
    let named = Attributes::default().text(1, &table.name);
    let mut commands = vec![
        // One that is not there cannot be deleted.
        writer.command(NEW_TABLE, NLM_F_CREATE, named.clone()),
        writer.command(DELETE_TABLE, 0, named.clone()),
        writer.command(NEW_TABLE, NLM_F_CREATE, named),
    ];
    let empty = Table { sets: BTreeMap::new(), chains: BTreeMap::new(), ..table.clone() };
    commands.extend(differences(&empty, table));
    commands
}

/// What changes `old`, as it is in the kernel, into `new`.
pub(super) fn differences(old: &Table, new: &Table) -> Vec<Command> {
    let writer = Writer { table: new };
    // What has another form is another thing.
    let reshaped = |name: &String, set: &Set| {
        old.sets.get(name).is_some_and(|old| (old.key_length, old.value) != (set.key_length, set.value))
    };
    let rehooked =
        |name: &String, chain: &Chain| old.chains.get(name).is_some_and(|old| old.hook != chain.hook);
    if new.sets.iter().any(|(name, set)| reshaped(name, set))
        || new.chains.iter().any(|(name, chain)| rehooked(name, chain))
    {
        return replacement(new);
    }

    let mut commands = Vec::new();
    for (index, (name, set)) in (1..).zip(&new.sets) {
        if !old.sets.contains_key(name) {
            commands.push(writer.new_set(name, set, index));
        }
    }
    for (name, chain) in &new.chains {
        if !old.chains.contains_key(name) {
            commands.push(writer.new_chain(name, chain));
        }
    }
    // Rules before elements: the kernel goes through all elements of a map for each new chain that uses it.
    for (name, chain) in &new.chains {
        let before = old.chains.get(name).map(|chain| chain.rules.as_slice()).unwrap_or_default();
        if before == chain.rules {
            continue;
        }
        if !before.is_empty() {
            commands.push(writer.flush(name));
        }
        commands.extend(chain.rules.iter().map(|rule| writer.new_rule(name, rule)));
    }
    let empty = BTreeMap::new();
    for (name, set) in &new.sets {
        let before = old.sets.get(name).map_or(&empty, |set| &set.elements);
        let gone = before.iter().filter(|(key, value)| set.elements.get(*key) != Some(*value));
        commands.extend(writer.elements(DELETE_ELEMENTS, name, gone));
        let come = set.elements.iter().filter(|(key, value)| before.get(*key) != Some(*value));
        commands.extend(writer.elements(NEW_ELEMENTS, name, come));
    }
    // Chains after elements, which may have named them.
    let gone: Vec<_> = old.chains.keys().filter(|name| !new.chains.contains_key(*name)).collect();
    // Their rules first: they may name each other, and sets. Then sets, which may name chains.
    commands.extend(gone.iter().map(|name| writer.flush(name)));
    for name in old.sets.keys().filter(|name| !new.sets.contains_key(*name)) {
        let named = Attributes::default().text(1, &new.name).text(2, name);
        commands.push(writer.command(DELETE_SET, 0, named));
    }
    commands.extend(gone.iter().map(|name| {
        let named = Attributes::default().text(1, &new.name).text(3, name);
        writer.command(DELETE_CHAIN, 0, named)
    }));
    commands
}

struct Writer<'a> {
    table: &'a Table,
}

impl Writer<'_> {
    fn command(&self, kind: u16, flags: u16, attributes: Attributes) -> Command {
        Command { kind, flags, family: self.table.family.number(), attributes }
    }

    /// `index` tells new sets of one transaction apart; the kernel insists on it.
    fn new_set(&self, name: &str, set: &Set, index: u32) -> Command {
        // NFT_SET_MAP
        let flags = if set.value == Value::None { 0 } else { 8 };
        let mut attributes = Attributes::default()
            .text(1, &self.table.name)
            .text(2, name)
            .number(3, flags)
            // The kernel does not look at the type of a key.
            .number(4, 0)
            .number(5, set.key_length)
            .number(10, index);
        match set.value {
            Value::None => {}
            Value::Bytes(length) => attributes = attributes.number(6, 0).number(7, length),
            // NFT_DATA_VERDICT
            Value::Verdict => attributes = attributes.number(6, 0xffff_ff00),
        }
        self.command(NEW_SET, NLM_F_CREATE, attributes)
    }

    fn new_chain(&self, name: &str, chain: &Chain) -> Command {
        let mut attributes = Attributes::default().text(1, &self.table.name).text(3, name);
        if let Some(hook) = chain.hook {
            let place = Attributes::default().number(1, hook.point).number(2, hook.priority.cast_unsigned());
            // NF_ACCEPT where no rule decides.
            attributes = attributes.nested(4, &place).number(5, 1).text(7, hook.kind.name());
        }
        self.command(NEW_CHAIN, NLM_F_CREATE, attributes)
    }

    fn new_rule(&self, chain: &str, rule: &[Expression]) -> Command {
        let list = rule.iter().fold(Attributes::default(), |list, expression| {
            list.nested(LIST_ELEMENT, &expression.attributes())
        });
        let attributes = Attributes::default().text(1, &self.table.name).text(2, chain).nested(4, &list);
        self.command(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, attributes)
    }

    /// Takes all rules of a chain away.
    fn flush(&self, chain: &str) -> Command {
        self.command(DELETE_RULE, 0, Attributes::default().text(1, &self.table.name).text(2, chain))
    }

    fn elements<'e>(
        &self,
        kind: u16,
        set: &str,
        elements: impl Iterator<Item = (&'e Vec<u8>, &'e Option<Data>)>,
    ) -> Vec<Command> {
        let encoded: Vec<_> = elements
            .map(|(key, value)| {
                let key = Data::Bytes(key.clone()).attributes();
                let element = Attributes::default().nested(1, &key);
                match value {
                    Some(value) => element.nested(2, &value.attributes()),
                    None => element,
                }
            })
            .collect();
        let message = |some: &[Attributes]| {
            let list =
                some.iter().fold(Attributes::default(), |list, element| list.nested(LIST_ELEMENT, element));
            let attributes = Attributes::default().text(1, &self.table.name).text(2, set).nested(3, &list);
            self.command(kind, if kind == NEW_ELEMENTS { NLM_F_CREATE } else { 0 }, attributes)
        };
        encoded.chunks(ELEMENTS_PER_MESSAGE).map(message).collect()
    }
}
