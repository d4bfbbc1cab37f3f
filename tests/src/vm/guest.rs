//! A running guest.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::builder::boot::console::quoted;
use ::builder::boot::{Console, Running};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tempfile::TempDir;

use super::{Accel, Machine};
use crate::qmp::Qmp;

/// Where the guest writes a byte to end QEMU with [`PASSED`].
pub(super) const EXIT_PORT: u16 = 0xf4;
/// The byte is 0x21 by the tests' overlays, and QEMU makes `byte << 1 | 1` of
/// it: neither a crash nor a plain power-off ends in this.
const PASSED: i32 = 0x21 << 1 | 1;
/// For what a QEMU that has ended said to be read.
const DRAINED: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Guest {
    running: Running,
    pub console: Console,
    pub qmp: Qmp,
    token: String,
    _socket: TempDir,
    /// Until it has ended.
    turn: Option<Turn>,
}

/// How QEMU ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The guest's report came to its end and said so through the exit port.
    Passed,
    /// Powered off, rebooted or crashed.
    Otherwise(i32),
}

impl Guest {
    pub(super) fn start(machine: &Machine, accel: Accel) -> Result<Self> {
        let turn = Some(Turn::take()?);
        let socket = tempfile::tempdir()?;
        let token = token()?;
        let path = socket.path().join("qmp");
        let mut qemu = machine.command(accel, &token, socket.path())?;
        qemu.arg("-qmp").arg(format!("unix:{},server=on,wait=off", path.display()));
        let running = Running::start(qemu, io::sink())?;
        let console = running.console.clone();
        let qmp = Qmp::connect(&path).with_context(|| quoted(&console.text()))?;
        Ok(Self { running, console, qmp, token, _socket: socket, turn })
    }

    /// A value of the guest's test report, which is the line `TOKEN KEY=VALUE`.
    /// The token is of this boot alone, so no text that an image or a boot
    /// loader holds can pass for a report.
    pub fn report(&self, key: &str, deadline: Duration) -> Result<String> {
        self.expect(&format!("{} {key}=", self.token), deadline)
    }

    /// All values that have been told of a key.
    pub fn reports(&self, key: &str) -> Vec<String> {
        let wanted = format!("{} {key}=", self.token);
        let value = |line: &str| Some(line.trim_end().split_once(&wanted)?.1.to_owned());
        self.said().lines().filter_map(value).collect()
    }

    /// Everything so far, without the kernel's own lines. They come when they come, also
    /// between two bytes of another line.
    pub fn said(&self) -> String {
        without_kernel(&self.console.text())
    }

    /// [`Console::wait`], in what [`Self::said`] gives first: the rest of a line that the
    /// kernel has cut is in no other.
    pub fn wait<T>(&self, wanted: &str, deadline: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        Ok(self.console.wait(wanted, deadline, |text| find(&without_kernel(text)).or_else(|| find(text)))?)
    }

    /// Waits for a text that stands anywhere, and gives the rest of its line.
    pub fn expect(&self, wanted: &str, deadline: Duration) -> Result<String> {
        self.wait(&format!("`{wanted}`"), deadline, |text| {
            let (line, _) = text.split_once(wanted)?.1.split_once('\n')?;
            Some(line.trim_end().to_owned())
        })
    }

    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.running.stdin().context("QEMU has no console")?;
        writeln!(stdin, "{line}")?;
        Ok(stdin.flush()?)
    }

    /// Plugs the stick of [`super::Attach::UsbLater`] in.
    pub fn plug(&mut self) -> Result<()> {
        let stick =
            json!({ "driver": "usb-storage", "id": "stick", "bus": "usb.0", "drive": "medium", "removable": true });
        self.qmp.execute("device_add", &stick).map(drop)
    }

    /// Opens the tray of the machine's disk of that number, which is a drive that was
    /// empty, and closes it with this disc in it.
    pub fn insert(&mut self, disk: usize, disc: &Path) -> Result<()> {
        let change =
            json!({ "id": format!("drive{disk}"), "filename": disc, "format": "raw", "read-only-mode": "read-only" });
        self.qmp.execute("blockdev-change-medium", &change).map(drop)
    }

    /// From now on the machine's disk of that number takes requests, and answers
    /// none in any time that matters.
    pub fn hang(&mut self, disk: usize) -> Result<()> {
        let limits = json!({
            "device": format!("disk{disk}"),
            "bps": 1, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
        });
        self.qmp.execute("block_set_io_throttle", &limits).map(drop)
    }

    /// Pulls the USB stick, and comes back when it is gone.
    pub fn pull(&mut self) -> Result<()> {
        self.qmp.execute("device_del", &json!({ "id": "stick" }))?;
        self.qmp.event("DEVICE_DELETED").map(drop)
    }

    pub fn end(&mut self, deadline: Duration) -> Result<Ended> {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.running.try_wait()? {
                self.turn = None;
                // Its last words may not have been read yet. Nothing is looked for: that
                // the console ended comes as an error.
                let _ = self.console.wait("its end", DRAINED, |_| None::<()>);
                let code = status.code().with_context(|| format!("QEMU was killed: {status}"))?;
                return Ok(if code == PASSED { Ended::Passed } else { Ended::Otherwise(code) });
            }
            if Instant::now() > end {
                bail!("the guest still runs after {deadline:?}{}", quoted(&self.console.text()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The report came to its end.
    pub fn passed(&mut self, deadline: Duration) -> Result<()> {
        let ended = self.end(deadline)?;
        ensure!(ended == Ended::Passed, "the guest ended with {ended:?}{}", quoted(&self.console.text()));
        Ok(())
    }
}

fn token() -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(format!("T{:08x}{:08x}", std::process::id(), now.subsec_nanos()))
}

/// The right to run a virtual machine. More of them at once than this only make
/// each other miss their deadlines.
#[derive(Debug)]
struct Turn;

static RUNNING: Mutex<u32> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();
const AT_ONCE: u32 = 2;

thread_local! {
    static IS_MINE: Cell<bool> = const { Cell::new(false) };
}

impl Turn {
    fn take() -> Result<Self> {
        // Tests that each have one and wait for another would wait for each other.
        ensure!(!IS_MINE.replace(true), "this test has a guest that runs: end or drop it before the next one");
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running =
            ENDED.wait_while(running, |running| *running >= AT_ONCE).unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        Ok(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
        IS_MINE.set(false);
    }
}

fn without_kernel(text: &str) -> String {
    text.split_inclusive('\n').map(|line| kernels(line).map_or(line, |at| &line[..at])).collect()
}

/// Where in the line the kernel's begins, once it is whole. /init's are in the kernel's
/// log too, and are no lines of its own.
fn kernels(line: &str) -> Option<usize> {
    let is_kernels = |at: usize| {
        let Some((stamp, rest)) = line[at + 1..].split_once("] ") else { return false };
        stamp.contains('.') && stamp.trim_start().parse::<f64>().is_ok() && !rest.starts_with("liveroot: ")
    };
    line.strip_suffix('\n')?.match_indices('[').map(|(at, _)| at).find(|&at| is_kernels(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_turn_of_a_thread_is_refused_and_not_waited_for() {
        let turn = Turn::take().unwrap();
        assert!(Turn::take().is_err());
        drop(turn);
        assert!(Turn::take().is_ok());
    }

    #[test]
    fn a_line_that_the_kernel_cut_is_put_together() {
        for (text, without) in [
            ("# echo a\n", "# echo a\n"),
            ("# ec[    7.123456] random: crng init done\nho a\n", "# echo a\n"),
            ("[   12.000001] liveroot: wrong\nliveroot> ", "[   12.000001] liveroot: wrong\nliveroot> "),
            ("liveroot> [    7.123456] half a li", "liveroot> [    7.123456] half a li"),
            ("[a] [1] [ 1.5]\n", "[a] [1] [ 1.5]\n"),
        ] {
            assert_eq!(without_kernel(text), without);
        }
    }
}
