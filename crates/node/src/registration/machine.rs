//! What the machine is and has, read from where the kernel says it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The UUID of the hardware; the machine's id where there is none.
    pub system_uuid: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel_version: String,
    /// The name of the distribution.
    pub os_image: String,
    /// Go's name of the architecture: `amd64`, `arm64`.
    pub architecture: String,
    /// Name of the host.
    pub hostname: String,
    /// Processors.
    pub processors: u64,
    /// Memory.
    pub memory_bytes: u64,
    /// Swap.
    pub swap_bytes: u64,
    /// Size of the file system of the data directory.
    pub disk_bytes: u64,
    /// Bytes in huge pages by size (`2Mi`).
    pub huge_pages: BTreeMap<String, u64>,
}

/// What of the machine is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Free {
    /// Memory that can be had without swapping.
    pub memory_bytes: u64,
    /// Disk, of the file system of the data directory.
    pub disk_bytes: u64,
    /// Its files.
    pub inodes: u64,
    /// How many files it can have.
    pub inodes_total: u64,
    /// Processes that may still be started.
    pub processes: u64,
    /// How many there can be.
    pub processes_total: u64,
}

impl Machine {
    /// Reads the machine; `data` is on the file system that pods use.
    pub fn read(data: &Path) -> io::Result<Self> {
        let uname = rustix::system::uname();
        let memory = fs::read_to_string("/proc/meminfo")?;
        let memory = meminfo(&memory);
        let machine_id = line("/etc/machine-id");
        let uuid = line("/sys/class/dmi/id/product_uuid");
        let disk = rustix::fs::statvfs(data)?;
        Ok(Self {
            system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
            machine_id,
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel_version: uname.release().to_string_lossy().into_owned(),
            os_image: os_image(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
            architecture: go_architecture(std::env::consts::ARCH).to_owned(),
            hostname: uname.nodename().to_string_lossy().to_lowercase(),
            processors: std::thread::available_parallelism()?.get() as u64,
            memory_bytes: memory.get("MemTotal").copied().unwrap_or_default(),
            swap_bytes: memory.get("SwapTotal").copied().unwrap_or_default(),
            disk_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            huge_pages: huge_pages(Path::new("/sys/kernel/mm/hugepages")),
        })
    }
}

impl Free {
    /// Reads what is free.
    pub fn read(data: &Path) -> io::Result<Self> {
        let memory = fs::read_to_string("/proc/meminfo")?;
        let memory = meminfo(&memory);
        let disk = rustix::fs::statvfs(data)?;
        let number = |path| line(path).parse::<u64>().unwrap_or_default();
        // `0.00 0.01 0.05 1/123 4567`: the fourth word ends with how many there are.
        let load = line("/proc/loadavg");
        let there =
            load.split(' ').nth(3).and_then(|w| w.split('/').nth(1)).and_then(|n| n.parse::<u64>().ok());
        let most = number("/proc/sys/kernel/pid_max").min(number("/proc/sys/kernel/threads-max"));
        Ok(Self {
            memory_bytes: memory.get("MemAvailable").copied().unwrap_or_default(),
            disk_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            inodes: disk.f_favail,
            inodes_total: disk.f_files,
            processes: most.saturating_sub(there.unwrap_or_default()),
            processes_total: most,
        })
    }
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// `/proc/meminfo` in bytes.
fn meminfo(text: &str) -> BTreeMap<&str, u64> {
    fn entry(line: &str) -> Option<(&str, u64)> {
        let (name, value) = line.split_once(':')?;
        let kilobytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
        Some((name, kilobytes * 1024))
    }
    text.lines().filter_map(entry).collect()
}

fn os_image(release: &str) -> String {
    let value = |key: &str| release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let name = value("PRETTY_NAME").or_else(|| value("NAME")).unwrap_or("Linux");
    name.trim_matches('"').to_owned()
}

fn go_architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// The kernel's folders are named by size: `hugepages-2048kB`.
fn huge_pages(folder: &Path) -> BTreeMap<String, u64> {
    let folders = fs::read_dir(folder).into_iter().flatten().flatten();
    folders
        .filter_map(|entry| {
            let name = entry.file_name();
            let kilobytes: u64 =
                name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let pages: u64 =
                fs::read_to_string(entry.path().join("nr_hugepages")).ok()?.trim().parse().ok()?;
            Some((page_size(kilobytes), pages * kilobytes * 1024))
        })
        .collect()
}

fn page_size(kilobytes: u64) -> String {
    const MEBI: u64 = 1024;
    match kilobytes {
        k if k >= MEBI * 1024 && k % (MEBI * 1024) == 0 => format!("{}Gi", k / MEBI / 1024),
        k if k >= MEBI && k % MEBI == 0 => format!("{}Mi", k / MEBI),
        k => format!("{k}Ki"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let memory =
            meminfo("MemTotal:       16384 kB\nHugePages_Total:       0\nMemAvailable:    8192 kB\n");
        assert_eq!(memory, BTreeMap::from([("MemTotal", 16_384 * 1024), ("MemAvailable", 8_192 * 1024)]));
        assert_eq!(
            os_image("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(os_image("NAME=Alpine\n"), "Alpine");
        for (kilobytes, size) in [(2048, "2Mi"), (1_048_576, "1Gi"), (64, "64Ki")] {
            assert_eq!(page_size(kilobytes), size);
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = Machine::read(Path::new("/")).expect("a machine");
        assert!(machine.processors > 0 && machine.memory_bytes > 0 && machine.disk_bytes > 0, "{machine:?}");
        let free = Free::read(Path::new("/")).expect("a machine");
        assert!(free.memory_bytes <= machine.memory_bytes && free.processes > 0, "{free:?}");
    }
}
