//! nf_tables by netlink: tables as values, what changes one into another, and the socket that makes it so in one transaction.
//!
//! Own code, since what there is was no choice: `nftables` runs the `nft` program, `nftnl` needs its C library, `rustables` is under the GPL, and
//! `netlink-bindings` lacks expressions that are needed here (`masq`, `redir`). Of nf_tables this has what `rules` uses, and no more.

mod attribute;
mod expression;
mod socket;
mod table;
mod update;

pub(crate) use expression::{Data, Expression, Field, MetaKey, Register, Verdict};
pub(crate) use socket::Socket;
pub(crate) use table::{Chain, Family, Hook, Kind, Set, Table, Value};

#[cfg(test)]
pub(crate) mod tests;
