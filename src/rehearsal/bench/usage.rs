//! What this process used, as the kernel counts it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// The kernel counts processor time in hundredths of a second (`USER_HZ`, fixed on Linux).
const TICK: Duration = Duration::from_millis(10);

/// Processor time of the whole process so far, in the user's and the system's name.
pub(super) fn process_time() -> Duration {
    time_in("/proc/self/stat")
}

/// Processor time of one thread of this process so far.
pub(super) fn thread_time(thread: &str) -> Duration {
    time_in(&format!("/proc/{thread}/stat"))
}

/// Every thread of this process, as [`thread_time`] knows it: `PID/task/TID`.
pub(super) fn threads() -> BTreeSet<String> {
    let process = std::process::id();
    let all = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    all.map(|thread| format!("{process}/task/{}", thread.file_name().display())).collect()
}

/// The calling thread, as [`thread_time`] knows it: `PID/task/TID`.
pub(super) fn this_thread() -> String {
    let link = fs::read_link("/proc/thread-self").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// The most memory that was ever resident, in bytes.
pub(super) fn peak_memory() -> u64 {
    memory_of("self", "VmHWM:")
}

/// The memory that is resident now, in bytes.
pub(super) fn resident_memory() -> u64 {
    memory_of("self", "VmRSS:")
}

/// Makes the peak what is resident now (proc(5), `clear_refs`); where that is not allowed, the peak
/// stays what it was.
pub(super) fn forget_peak_memory() {
    fs::write("/proc/self/clear_refs", "5").ok();
}

/// One of the sizes in a process's `status`, in bytes.
pub(super) fn memory_of(process: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}

fn time_in(path: &str) -> Duration {
    let stat = fs::read_to_string(path).unwrap_or_default();
    parse_time(&stat).unwrap_or_default()
}

/// `utime` and `stime`: the 14th and 15th fields (proc(5)); the second may hold blanks in brackets.
fn parse_time(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_a_name_with_brackets() {
        let stat = "12 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";

        assert_eq!(parse_time(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn this_thread_and_process_are_found() {
        assert!(threads().contains(&this_thread()));
        // In this order: what is resident may grow between the two.
        let resident = resident_memory();
        assert!(resident > 0 && peak_memory() >= resident);
    }
}
