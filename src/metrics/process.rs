//! The process itself, under the names that every Prometheus client uses, and the log. Invariant: what the machine does not tell stays
//! at what it told last; asking it never fails a scrape.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tracing_appender::non_blocking::ErrorCounter;

use crate::domain::time::Time;

type Level = Gauge<u64, AtomicU64>;

/// The process and its log.
#[derive(Debug)]
pub struct Process {
    resident_memory: Level,
    open_fds: Level,
    max_fds: Level,
    cpu: Counter<f64, AtomicU64>,
    lines_lost: Counter,
    log: OnceLock<ErrorCounter>,
}

/// Registers the lines of the log that were lost.
pub(super) fn register_log(registry: &mut Registry) -> Counter {
    let lost = Counter::default();
    registry.register("log_lines_lost", "Lines that the log file could not take in time", lost.clone());
    lost
}

impl Process {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit an f64 exactly")]
    pub(super) fn register(registry: &mut Registry, lines_lost: Counter, started_at: Time) -> Process {
        let group = Process {
            resident_memory: Level::default(),
            open_fds: Level::default(),
            max_fds: Level::default(),
            cpu: Counter::default(),
            lines_lost,
            log: OnceLock::new(),
        };
        let start = Gauge::<f64, AtomicU64>::default();
        start.set(started_at.unix_ms() as f64 / 1000.0);
        registry.register_with_unit("start_time", "When the process opened its database, since 1970", Unit::Seconds, start);
        registry.register_with_unit("resident_memory", "Memory in use", Unit::Bytes, group.resident_memory.clone());
        registry.register("open_fds", "Open file descriptors", group.open_fds.clone());
        registry.register("max_fds", "File descriptors that may be open", group.max_fds.clone());
        registry.register_with_unit("cpu", "Processor time used", Unit::Seconds, group.cpu.clone());
        group
    }

    /// The log that counts its lost lines.
    pub fn set_log(&self, log: ErrorCounter) {
        // A second log would be a second process.
        drop(self.log.set(log));
    }

    /// Asks the machine about this process.
    pub fn look(&self) {
        if let Some(bytes) = resident_bytes() {
            self.resident_memory.set(bytes);
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the listing itself.
            self.open_fds.set((open.count() as u64).saturating_sub(1));
        }
        if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            self.max_fds.set(soft);
        }
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let used = seconds(usage.user_time()) + seconds(usage.system_time());
            self.cpu.inner().store(used.to_bits(), Ordering::Relaxed);
        }
        if let Some(log) = self.log.get() {
            self.lines_lost.inner().store(log.dropped_lines() as u64, Ordering::Relaxed);
        }
    }
}

/// The line `VmRSS:  1234 kB`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[allow(clippy::cast_precision_loss, reason = "the seconds of a process fit an f64 exactly")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_appender::non_blocking::NonBlockingBuilder;

    use crate::metrics::Metrics;

    /// A disk that stands still for as long as somebody holds the lock.
    struct Stuck(Arc<Mutex<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            drop(self.0.lock().unwrap_or_else(PoisonError::into_inner));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_slow_disk_could_not_take_are_counted_and_nobody_waits_for_it() {
        let disk = Arc::new(Mutex::new(()));
        let held = disk.lock().unwrap();
        let (mut log, _guard) = NonBlockingBuilder::default().buffered_lines_limit(4).finish(Stuck(Arc::clone(&disk)));
        let metrics = Metrics::new(crate::domain::time::Time::from_unix_ms(0));
        metrics.process.set_log(log.error_counter());
        for _ in 0..20 {
            log.write_all(b"a line\n").unwrap();
        }
        drop(held);
        metrics.process.look();
        let told = metrics.encode().unwrap();
        let lost = told.lines().find_map(|line| line.strip_prefix("artifortress_log_lines_lost_total ")).unwrap();
        // Four wait, and one more at most is with the thread that writes.
        assert!(matches!(lost.parse().unwrap(), 15..=16_u64), "{lost}");
    }
}
