//! Below how much of what a node is short of something: the kubelet's `--eviction-hard`. Pure.

use std::fmt;
use std::str::FromStr;

use sampan_model::quantity::Quantity;

use super::State;
use crate::registration::machine::{Free, Machine};

/// What is looked at, in the order in which it is mended: the kubelet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// `memory.available`.
    Memory,
    /// `nodefs.available`.
    Disk,
    /// `nodefs.inodesFree`.
    Inodes,
    /// `imagefs.available`: the same file system here.
    ImageDisk,
    /// `pid.available`.
    Processes,
}

impl Signal {
    const NAMES: [(&str, Self); 5] = [
        ("memory.available", Self::Memory),
        ("nodefs.available", Self::Disk),
        ("nodefs.inodesFree", Self::Inodes),
        ("imagefs.available", Self::ImageDisk),
        ("pid.available", Self::Processes),
    ];

    /// The resource that is short, as messages name it.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk | Self::ImageDisk => "ephemeral-storage",
            Self::Inodes => "inodes",
            Self::Processes => "pids",
        }
    }

    /// Whether removing images and dead containers may mend it.
    pub fn is_disk(self) -> bool {
        matches!(self, Self::Disk | Self::Inodes | Self::ImageDisk)
    }
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    /// Bytes or pieces.
    Absolute(u64),
    /// Percent of all there is.
    Percent(f64),
}

/// Below how much of something pods are evicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    signal: Signal,
    amount: Amount,
}

/// The thresholds of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds(Vec<Threshold>);

/// Something of which there is less than there is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// What.
    pub signal: Signal,
    /// How much there is to be.
    pub wanted: u64,
    /// How much there is.
    pub available: u64,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |amount: u64| -> Quantity {
            let amount = i64::try_from(amount).unwrap_or(i64::MAX);
            match self.signal {
                Signal::Inodes | Signal::Processes => Quantity::from_int(amount),
                _ => Quantity::from_bytes(amount),
            }
        };
        write!(
            f,
            "The node was low on resource: {}. Threshold quantity: {}, available: {}. ",
            self.signal.resource(),
            text(self.wanted),
            text(self.available)
        )
    }
}

impl Default for Thresholds {
    /// The kubelet's on Linux.
    fn default() -> Self {
        "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%"
            .parse()
            .expect("the default can be read")
    }
}

impl FromStr for Thresholds {
    type Err = String;

    /// `SIGNAL<AMOUNT,...`, an amount being a quantity or a percentage. Empty: never is anything short.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut list: Vec<Threshold> = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, amount) =
                part.split_once('<').ok_or("write a threshold such as memory.available<100Mi")?;
            let signal = Signal::NAMES.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal);
            let signal = signal.ok_or_else(|| format!("unsupported eviction signal {name}"))?;
            if list.iter().any(|known| known.signal == signal) {
                return Err(format!("found duplicate eviction threshold for signal {name}"));
            }
            list.push(Threshold { signal, amount: parse(amount)? });
        }
        list.sort_by_key(|threshold| threshold.signal);
        Ok(Self(list))
    }
}

fn parse(text: &str) -> Result<Amount, String> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().map_err(|_| format!("{text} is no percentage"))?;
        let fits = (0.0..=100.0).contains(&percent);
        return if fits { Ok(Amount::Percent(percent)) } else { Err(format!("{text} is no percentage")) };
    }
    let quantity: Quantity = text.parse().map_err(|_| format!("{text} is no quantity"))?;
    u64::try_from(quantity.value()).map(Amount::Absolute).map_err(|_| format!("{text} must be positive"))
}

impl Amount {
    /// In bytes or pieces, of so many.
    fn of(self, all: u64) -> u64 {
        match self {
            Self::Absolute(amount) => amount,
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share of a positive number, which need not be exact"
            )]
            Self::Percent(percent) => (all as f64 * percent / 100.0) as u64,
        }
    }
}

impl Thresholds {
    /// How much of something there is to be, of so much; 0 if nothing is said of it.
    pub fn of(&self, signal: Signal, all: u64) -> u64 {
        let of = self.0.iter().find(|threshold| threshold.signal == signal);
        of.map_or(0, |threshold| threshold.amount.of(all))
    }

    /// What is short, in the order in which it is to be mended.
    pub fn short(&self, machine: &Machine, free: &Free) -> Vec<Short> {
        let look = |threshold: &Threshold| {
            let (available, all) = match threshold.signal {
                Signal::Memory => (free.memory_bytes, machine.memory_bytes),
                Signal::Disk | Signal::ImageDisk => (free.disk_bytes, machine.disk_bytes),
                Signal::Inodes => (free.inodes, free.inodes_total),
                Signal::Processes => (free.processes, free.processes_total),
            };
            let wanted = threshold.amount.of(all);
            (available < wanted).then_some(Short { signal: threshold.signal, wanted, available })
        };
        self.0.iter().filter_map(look).collect()
    }
}

impl State {
    /// What this shortage means.
    pub fn of(short: &[Short]) -> Self {
        let is = |which: fn(Signal) -> bool| short.iter().any(|short| which(short.signal));
        Self {
            memory: is(|signal| signal == Signal::Memory),
            disk: is(Signal::is_disk),
            processes: is(|signal| signal == Signal::Processes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: u64 = 1000 << 20;

    fn free(change: impl FnOnce(&mut Free)) -> Free {
        let mut free = Free {
            memory_bytes: MACHINE,
            disk_bytes: MACHINE,
            inodes: 1000,
            inodes_total: 1000,
            processes: 1000,
            processes_total: 1000,
        };
        change(&mut free);
        free
    }

    #[test]
    fn what_is_below_its_threshold_is_short() {
        let machine = Machine { memory_bytes: MACHINE, disk_bytes: MACHINE, ..Machine::default() };
        let rows: [(&str, Free, &[Signal]); 6] = [
            ("plenty", free(|_| {}), &[]),
            ("little memory", free(|f| f.memory_bytes = 99 << 20), &[Signal::Memory]),
            ("just enough", free(|f| f.memory_bytes = 100 << 20), &[]),
            ("little disk for images", free(|f| f.disk_bytes = MACHINE / 8), &[Signal::ImageDisk]),
            ("little disk", free(|f| f.disk_bytes = MACHINE / 20), &[Signal::Disk, Signal::ImageDisk]),
            ("few inodes", free(|f| f.inodes = 49), &[Signal::Inodes]),
        ];
        for (name, free, want) in rows {
            let short = Thresholds::default().short(&machine, &free);
            assert_eq!(short.iter().map(|short| short.signal).collect::<Vec<_>>(), want, "{name}");
        }
    }

    #[test]
    fn a_shortage_is_told_in_the_kubelets_words() {
        let short = Short { signal: Signal::Memory, wanted: 100 << 20, available: 87_416 << 10 };
        assert_eq!(
            short.to_string(),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 87416Ki. "
        );
        assert_eq!(State::of(&[short]), State { memory: true, ..State::default() });
    }

    #[test]
    fn thresholds_that_make_no_sense_are_refused() {
        for text in [
            "memory.available",
            "much<1",
            "memory.available<x",
            "nodefs.available<101%",
            "pid.available<1,pid.available<2",
        ] {
            assert!(text.parse::<Thresholds>().is_err(), "{text}");
        }
        assert_eq!("".parse(), Ok(Thresholds(vec![])));
    }
}
