//! The machine's devices as they come and go: kernel events in, kmods and
//! probes out to the workers, and what was learned of each disk.

mod disk;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::coldplug;
use crate::contract::initramfs;
use crate::kmod::{Kmods, leads_to_disks};
use crate::log::{debug, warn};
use crate::uevent::{Received, Socket, Uevent};
use crate::worker::{Answer, Job, Workers};
pub(crate) use disk::{Disk, make_node};

/// A kmod that is not loaded by then is left to itself.
const KMOD_DEADLINE: Duration = Duration::from_secs(30);

/// An insert else waits, at its end, until all drivers have asked all their devices,
/// its own or not (kernel/module, `do_init_module`): a third of a second for SATA
/// ports with nothing on them. Linux has it since 4.2.
const ASYNC: &str = "async_probe";

#[derive(Debug)]
pub(crate) struct Devices {
    socket: Option<Socket>,
    workers: Workers,
    kmods: Kmods,
    /// A kmod's name, and options of its.
    options: Vec<(String, String)>,
    waiting: VecDeque<Job>,
    /// Whether what appears is of interest.
    searching: bool,
    pub disks: Vec<Disk>,
}

impl Devices {
    /// The socket opens before /sys is looked at: what comes in between is
    /// seen twice, and nothing is missed.
    pub(crate) fn open(kmods: Kmods, options: Vec<(String, String)>) -> Self {
        let socket = Socket::open().inspect_err(|e| warn!("no device events, only what is there already: {e}")).ok();
        Self {
            socket,
            workers: Workers::new(),
            kmods,
            options,
            waiting: VecDeque::new(),
            searching: false,
            disks: Vec::new(),
        }
    }

    /// From now on every device gets its kmods, and every disk is looked at.
    pub(crate) fn search(&mut self) {
        self.searching = true;
        let mut modaliases = coldplug::modaliases();
        modaliases.sort_by_key(|modalias| !leads_to_disks(modalias));
        for modalias in &modaliases {
            self.kmods.want_modalias(modalias);
        }
        for devpath in coldplug::block_devices() {
            self.add(&devpath);
        }
        for at in 0..self.disks.len() {
            if self.disks[at].finding.is_none() {
                self.probe(at);
            }
        }
        self.dispatch();
    }

    /// The medium is there: other devices are the distribution's to serve,
    /// and would only take the processor from what is left to do.
    pub(crate) fn rest(&mut self) {
        self.searching = false;
        self.kmods.forget();
        // An insert that waits here has left the kmods' queue, and they wait for its end.
        self.waiting.retain(|job| matches!(job, Job::Insert { .. }));
    }

    /// Begins to load; [`Self::need`] waits as well, and [`Self::load_kept`] for what
    /// has not come to it.
    pub(crate) fn want(&mut self, names: &[&str]) {
        for name in names {
            let kmods = self.kmods.want_name(name);
            self.kmods.keep(&kmods);
        }
        self.dispatch();
    }

    /// Loads by name or alias, and serves whatever else happens meanwhile.
    pub(crate) fn need(&mut self, names: &[&str]) {
        let kmods: Vec<u32> = names.iter().flat_map(|name| self.kmods.want_name(name)).collect();
        self.load(&kmods);
    }

    /// While their files are there: what was wanted by name, and what that wants behind it.
    pub(crate) fn load_kept(&mut self) {
        loop {
            let kept = self.kmods.kept();
            if kept.is_empty() || !self.load(&kept) {
                return;
            }
        }
    }

    /// False if one takes too long.
    fn load(&mut self, kmods: &[u32]) -> bool {
        self.kmods.hurry(kmods);
        let deadline = Instant::now() + KMOD_DEADLINE;
        while let Some(&kmod) = kmods.iter().find(|&&kmod| !self.kmods.is_done(kmod)) {
            if Instant::now() >= deadline {
                warn!(
                    "kmod {}: not loaded within {} s; going on without",
                    self.kmods.name(kmod),
                    KMOD_DEADLINE.as_secs()
                );
                return false;
            }
            self.serve(&[], Some(deadline));
        }
        true
    }

    /// One round: waits for an event, an answer, `others` or `until`, and
    /// deals with all that is there. Gives which of `others` are readable.
    pub(crate) fn serve(&mut self, others: &[BorrowedFd<'_>], until: Option<Instant>) -> Vec<bool> {
        self.dispatch();
        let until = [until, self.workers.next_to_hang(), self.workers.next_to_be_slow()].into_iter().flatten().min();
        let mut fds: Vec<_> = self.workers.sockets().collect();
        let workers = fds.len();
        fds.extend(others);
        fds.extend(self.socket.as_ref().map(AsFd::as_fd));
        let mut ready = wait(&fds, until);

        // From the last: a worker that died leaves its place.
        for at in (0..workers).rev().filter(|&at| ready[at]) {
            if let Some((job, answer)) = self.workers.take(at) {
                self.learn(job, answer);
            }
        }
        self.hear();
        self.dispatch();
        ready.drain(workers..workers + others.len()).collect()
    }

    /// Why this one is not the medium.
    pub(crate) fn refuse(&mut self, name: &str, why: &str) {
        if let Some(disk) = self.disks.iter_mut().find(|disk| disk.name == name) {
            disk.bad = Some(why.into());
        }
    }

    /// Of the disk that it is, or is a partition of, the path below /sys.
    pub(crate) fn whole_of(&self, name: &str) -> Option<&str> {
        let disk = self.disks.iter().find(|disk| disk.name == name)?;
        Some(if disk.whole.is_some() { disk.devpath.rsplit_once('/')?.0 } else { &disk.devpath })
    }

    /// As if nothing was known of any disk yet.
    pub(crate) fn probe_all(&mut self) {
        for at in 0..self.disks.len() {
            self.probe(at);
        }
    }

    pub(crate) fn stop(&mut self) {
        for what in self.hanging() {
            warn!("left behind: {what}");
        }
        self.workers.dismiss();
        self.socket = None;
    }

    /// Sentences, for the log and the rescue prompt.
    pub(crate) fn hanging(&self) -> Vec<String> {
        let sentence = |job: &Job| match job {
            Job::Insert { kmod, .. } => {
                format!("kmod {} does not finish: a device of its does not answer", self.kmods.name(*kmod))
            }
            Job::Probe { name } => format!("/dev/{name} does not answer"),
        };
        self.workers.hanging().map(sentence).collect()
    }

    /// Disks that the kernel has, and has told nobody of: it does once it has read
    /// their partition tables (block/genhd.c, `device_add_disk`).
    pub(crate) fn unannounced(&self) -> Vec<String> {
        let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let disks = entries.filter_map(|entry| Disk::new(&format!("/block/{}", entry.file_name().to_str()?)));
        let unknown = disks.filter(|disk| self.disks.iter().all(|known| known.name != disk.name));
        unknown.map(|disk| format!("/dev/{} does not answer", disk.name)).collect()
    }

    pub(crate) fn kmods(&self) -> &Kmods {
        &self.kmods
    }

    fn dispatch(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            if let Err(job) = self.workers.give(job) {
                return self.waiting.push_front(job);
            }
        }
        while self.workers.may_insert()
            && let Some(kmod) = self.kmods.next()
        {
            let path = format!("{}/{}/{}", initramfs::MODULES, self.kmods.release(), self.kmods.path(kmod));
            let name = self.kmods.name(kmod);
            let own = self.options.iter().filter(|(owner, _)| owner == name).map(|(_, option)| option.as_str());
            // In front: the command line may say `ahci.async_probe=0`.
            let options = self.kmods.may_ask_beside(kmod).then_some(ASYNC).into_iter().chain(own);
            let job = Job::Insert { kmod, path, options: options.collect::<Vec<_>>().join(" ") };
            if let Err(job) = self.workers.give(job) {
                return self.waiting.push_back(job);
            }
        }
    }

    fn hear(&mut self) {
        while let Some(socket) = &self.socket {
            match socket.receive() {
                Received::Event(event) => self.handle(&event),
                Received::Foreign => {}
                Received::Nothing => return,
                Received::Lost => {
                    warn!("device events were lost: looking at /sys again");
                    self.search();
                }
            }
        }
    }

    fn handle(&mut self, event: &Uevent) {
        match (event.action.as_str(), event.subsystem.as_str()) {
            ("remove", "block") => self.disks.retain(|disk| disk.devpath != event.devpath),
            ("add", "firmware") => refuse_firmware(event),
            _ if !self.searching => {}
            ("add", "block") => self.add(&event.devpath),
            ("change", "block") if event.media_change => self.probe_again(&event.devpath),
            ("add", _) if !event.modalias.is_empty() => {
                let found = self.kmods.want_modalias(&event.modalias);
                // What a driver has just found is nearer to the medium than what
                // has no driver yet.
                if leads_to_disks(&event.modalias) {
                    self.kmods.hurry(&found);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, devpath: &str) {
        if self.disks.iter().any(|disk| disk.devpath == devpath) {
            return;
        }
        let Some(disk) = Disk::new(devpath) else { return };
        make_node(&disk.name);
        debug!("{}: appeared", disk.name);
        let whole = disk.whole.is_none();
        self.disks.push(disk);
        self.probe(self.disks.len() - 1);
        if whole {
            for partition in coldplug::partitions(devpath) {
                self.add(&partition);
            }
        }
    }

    fn probe_again(&mut self, devpath: &str) {
        if let Some(at) = self.disks.iter().position(|disk| disk.devpath == devpath) {
            self.probe(at);
        }
    }

    fn probe(&mut self, at: usize) {
        let disk = &mut self.disks[at];
        let job = Job::Probe { name: disk.name.clone() };
        // One that hangs has a worker that waits for it already; one whose probe
        // was dropped by `rest` only looks as if it did.
        let hangs = disk.hangs() && self.workers.hanging().any(|hanging| *hanging == job);
        if !hangs && !self.waiting.contains(&job) {
            (disk.finding, disk.bad, disk.since) = (None, None, Instant::now());
            // In front: a probe is what the boot waits for.
            self.waiting.push_front(job);
        }
    }

    fn learn(&mut self, job: Job, answer: Answer) {
        match (job, answer) {
            (Job::Insert { kmod, .. }, Answer::Inserted(result)) => {
                self.kmods.done(kmod, result.is_ok());
                match result {
                    Ok(()) => debug!("kmod {}: loaded", self.kmods.name(kmod)),
                    Err(why) => warn!("kmod {}: {why}", self.kmods.name(kmod)),
                }
            }
            (Job::Probe { name }, Answer::Probed(probed)) => {
                // One that was removed meanwhile is gone from the list.
                if let Some(disk) = self.disks.iter_mut().find(|disk| disk.name == name) {
                    debug!("{name}: {probed:?}");
                    (disk.finding, disk.partition) = (Some(probed.finding), probed.partition);
                }
            }
            // An answer is of its job's kind: worker.rs makes it from the job.
            (Job::Insert { .. } | Job::Probe { .. }, _) => {}
        }
    }
}

/// Which of them are readable, or gone; all are not when `until` has come.
pub(crate) fn wait(fds: &[BorrowedFd<'_>], until: Option<Instant>) -> Vec<bool> {
    let mut fds: Vec<_> = fds.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    match poll(&mut fds, timeout(until)) {
        Ok(_) => fds.iter().map(|fd| fd.any().unwrap_or(true)).collect(),
        // EINTR is a round in which nothing happened.
        Err(_) => vec![false; fds.len()],
    }
}

fn timeout(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else { return PollTimeout::NONE };
    // Rounded up: a deadline that is half a millisecond away is not spun at.
    let ms = until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
    PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
}

/// The kernel has looked for the file itself, in all of its folders, and asks because it
/// is set up to: without an answer the driver waits for a minute
/// (drivers/base/firmware_loader/fallback.c).
fn refuse_firmware(event: &Uevent) {
    warn!("firmware {} is not in this image", event.firmware);
    if let Err(e) = fs::write(format!("/sys{}/loading", event.devpath), "-1") {
        debug!("{}: {e}", event.devpath);
    }
}

/// Optical drives and card readers tell of a new medium only when the kernel
/// asks them; udev sets the same interval.
pub(crate) fn watch_media() -> io::Result<()> {
    std::fs::write("/sys/module/block/parameters/events_dfl_poll_msecs", "2000")
}
