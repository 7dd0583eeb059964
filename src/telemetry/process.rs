//! What the process takes of the machine, as Linux tells it. Read when somebody asks.

use std::time::Duration;

/// The scheduler's ticks in a second as `/proc` counts them: 100 on every architecture that this runs on.
const TICKS_PER_SECOND: u64 = 100;

/// Bytes of memory that are in use; nothing where the system doesn't tell.
pub fn resident_bytes() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Time of processors used so far, in the kernel and outside; nothing where the system doesn't tell.
pub fn cpu_time() -> Option<Duration> {
    cpu_in(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// File descriptors that are open now; the one that this looks by is not counted.
pub fn open_descriptors() -> Option<u64> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(open.saturating_sub(1)).ok()
}

/// File descriptors that may be open; nothing where there is no limit, or the system doesn't tell.
pub fn descriptors_max() -> Option<u64> {
    descriptors_in(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn descriptors_in(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Bytes of memory that the system lets the process have: the least of its control groups' limits, else what the machine
/// has. Nothing where the system doesn't tell.
pub fn memory_limit() -> Option<u64> {
    let machine = total_in(&std::fs::read_to_string("/proc/meminfo").ok()?);
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    // A group's limit holds for those inside it.
    let folders = std::path::Path::new("/sys/fs/cgroup").join(own);
    let limits =
        folders.ancestors().filter(|folder| folder.starts_with("/sys/fs/cgroup")).filter_map(|folder| {
            std::fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse::<u64>().ok()
        });
    limits.chain(machine).min()
}

fn total_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn cpu_in(stat: &str) -> Option<Duration> {
    // After the program's name, which may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_is_read_right() {
        assert_eq!(resident_in("Name:\tfreshet\nVmRSS:\t   1234 kB\nRssAnon: 1 kB\n"), Some(1234 * 1024));
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 900 0 0 0 150 25 0 0 20 0 5 0 99";
        assert_eq!(cpu_in(stat), Some(Duration::from_millis(1750)));
        assert_eq!((resident_in(""), cpu_in("7 (a"), descriptors_in("")), (None, None, None));
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 4096    files\n";
        assert_eq!(descriptors_in(limits), Some(1024));
        assert_eq!(descriptors_in("Max open files  unlimited  unlimited  files"), None);
        assert_eq!(total_in("MemTotal:       24 kB\nMemFree: 1 kB\n"), Some(24 * 1024));
        #[cfg(target_os = "linux")]
        assert!(resident_bytes().unwrap() > 1 << 20 && cpu_time().is_some() && open_descriptors() >= Some(3));
        #[cfg(target_os = "linux")]
        assert!(memory_limit().unwrap() > resident_bytes().unwrap());
    }
}
