//! Carries tables into the kernel. It remembers what it put there, so that the next time only differences are said.

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::table::Table;
use super::update::{self, Command};
use crate::netlink::{Connection, Content, HEADER_LENGTH};

/// NFNL_SUBSYS_NFTABLES
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;

/// A socket to nf_tables, in one network namespace.
pub(crate) struct Socket {
    connection: Connection,
    pub(super) applied: Vec<Table>,
}

impl Socket {
    /// In the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { connection: Connection::open(NETLINK_NETFILTER)?, applied: Vec::new() })
    }

    /// Makes the tables what they should be, all in one transaction. The same tables again say nothing.
    pub(crate) fn apply(&mut self, tables: Vec<Table>) -> io::Result<()> {
        if tables == self.applied {
            return Ok(());
        }
        let known = |table: &&Table| {
            self.applied.iter().find(|old| (old.family, &old.name) == (table.family, &table.name))
        };
        let commands: Vec<_> = tables
            .iter()
            .flat_map(|table| match known(&table) {
                Some(old) => update::differences(old, table),
                None => update::replacement(table),
            })
            .collect();
        let mut outcome = self.transact(&commands);
        if outcome.is_err() && !self.applied.is_empty() {
            // Somebody else may have changed them since.
            let whole: Vec<_> = tables.iter().flat_map(update::replacement).collect();
            outcome = self.transact(&whole);
        }
        // After a failure nothing is known of them.
        self.applied = if outcome.is_ok() { tables } else { Vec::new() };
        outcome
    }

    pub(super) fn transact(&mut self, commands: &[Command]) -> io::Result<()> {
        let Some((last, before)) = commands.split_last() else { return Ok(()) };
        let begin = self.connection.next_sequence();
        let mut bytes = Vec::new();
        write(&mut bytes, BATCH_BEGIN, NLM_F_REQUEST, begin, (0, SUBSYSTEM), &[]);
        for command in before {
            let sequence = self.connection.next_sequence();
            command.write(&mut bytes, 0, sequence);
        }
        // One answer, to the last, after all were done: thousands of them would not fit into the socket's buffer.
        let end = self.connection.next_sequence();
        last.write(&mut bytes, NLM_F_ACK, end);
        let sequence = self.connection.next_sequence();
        write(&mut bytes, BATCH_END, NLM_F_REQUEST, sequence, (0, SUBSYSTEM), &[]);
        self.connection.send(&bytes)?;

        let mut failure = None;
        loop {
            for message in self.connection.receive()? {
                let Content::Outcome(code) = message.content else { continue };
                if !(begin..=end).contains(&message.sequence) {
                    // Left over from a batch that failed as a whole.
                    continue;
                }
                if code != 0 {
                    failure.get_or_insert(io::Error::from_raw_os_error(-code));
                }
                // An error of the batch itself is the only answer.
                if message.sequence == end || message.sequence == begin {
                    return failure.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// What the kernel lists: types of messages and their attributes.
    #[cfg(test)]
    pub(super) fn list(&mut self, family: u8, kind: u16, attributes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        const NLM_F_DUMP: u16 = 0x300;
        let sequence = self.connection.next_sequence();
        let mut bytes = Vec::new();
        write(
            &mut bytes,
            SUBSYSTEM << 8 | kind,
            NLM_F_REQUEST | NLM_F_DUMP,
            sequence,
            (family, 0),
            attributes,
        );
        self.connection.send(&bytes)?;
        let mut items = Vec::new();
        loop {
            for message in self.connection.receive()? {
                match message.content {
                    _ if message.sequence != sequence => {}
                    Content::Done | Content::Outcome(0) => return Ok(items),
                    Content::Outcome(code) => return Err(io::Error::from_raw_os_error(-code)),
                    Content::Item { .. } => items.push(message.bytes[HEADER_LENGTH + 4..].to_vec()),
                }
            }
        }
    }
}

impl Command {
    fn write(&self, bytes: &mut Vec<u8>, flags: u16, sequence: u32) {
        let kind = SUBSYSTEM << 8 | self.kind;
        let attributes = self.attributes.clone().into_bytes();
        write(bytes, kind, NLM_F_REQUEST | self.flags | flags, sequence, (self.family, 0), &attributes);
    }
}

/// A message: the header of netlink, that of netfilter (family, version 0, resource), attributes.
fn write(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    (family, resource): (u8, u16),
    attributes: &[u8],
) {
    let length = u32::try_from(HEADER_LENGTH + 4 + attributes.len()).expect("a message is far below 4 GiB");
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
}
