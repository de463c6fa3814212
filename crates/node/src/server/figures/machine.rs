//! What the whole machine uses, as `/proc` and the file system tell it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Nanoseconds in one tick of `/proc/stat` (`USER_HZ` is 100 on Linux).
const TICK_NANOSECONDS: u64 = 10_000_000;

/// What the machine uses. What cannot be read is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) booted_at: Option<SystemTime>,
    pub(super) cpu_nanoseconds: u64,
    pub(super) memory_total_bytes: u64,
    pub(super) memory_available_bytes: u64,
    pub(super) memory_usage_bytes: u64,
    pub(super) file_system: Option<FileSystem>,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) capacity_bytes: u64,
    pub(super) available_bytes: u64,
    pub(super) used_bytes: u64,
    pub(super) inodes: u64,
    pub(super) inodes_free: u64,
}

impl Machine {
    /// Reads it; `directory` is on the file system that is told of.
    pub(super) fn read(directory: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let file_system = rustix::fs::statvfs(directory).ok().map(|vfs| FileSystem {
            capacity_bytes: vfs.f_blocks * vfs.f_frsize,
            available_bytes: vfs.f_bavail * vfs.f_frsize,
            used_bytes: vfs.f_blocks.saturating_sub(vfs.f_bfree) * vfs.f_frsize,
            inodes: vfs.f_files,
            inodes_free: vfs.f_ffree,
        });
        Self { file_system, ..Self::parse(&text("/proc/stat"), &text("/proc/meminfo")) }
    }

    fn parse(stat: &str, meminfo: &str) -> Self {
        let memory = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes.unwrap_or(0) * 1024
        };
        let words =
            |name: &str| stat.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_default();
        // user, nice, system, (idle, iowait,) irq, softirq, steal
        let ticks: Vec<u64> =
            words("cpu").split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect();
        let busy: u64 =
            ticks.iter().enumerate().filter(|(n, _)| !matches!(n, 3 | 4 | 8..)).map(|(_, t)| t).sum();
        let booted = words("btime").split_whitespace().nth(1).and_then(|word| word.parse().ok());
        let (total, free) = (memory("MemTotal"), memory("MemFree"));
        Self {
            booted_at: booted.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
            cpu_nanoseconds: busy * TICK_NANOSECONDS,
            memory_total_bytes: total,
            memory_available_bytes: memory("MemAvailable"),
            memory_usage_bytes: total.saturating_sub(free),
            file_system: None,
        }
    }

    /// All memory that cannot be had without taking it from somebody.
    pub(super) fn memory_working_set_bytes(&self) -> u64 {
        self.memory_total_bytes.saturating_sub(self.memory_available_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "cpu  100 10 50 9999 8888 5 5 1 7 7\ncpu0 1 1 1\nbtime 1700000000\n";
        let meminfo = "MemTotal:  1000 kB\nMemFree:   200 kB\nMemAvailable:  600 kB\n";
        let machine = Machine::parse(stat, meminfo);
        assert_eq!(machine.cpu_nanoseconds, 171 * TICK_NANOSECONDS);
        assert_eq!(machine.memory_working_set_bytes(), 400 * 1024);
        assert_eq!(machine.memory_usage_bytes, 800 * 1024);
        assert_eq!(machine.booted_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
        assert_eq!(Machine::parse("", ""), Machine::default());
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = Machine::read(Path::new("/"));
        assert!(machine.memory_total_bytes > 0 && machine.cpu_nanoseconds > 0);
        assert!(machine.file_system.unwrap().capacity_bytes > 0);
    }
}
