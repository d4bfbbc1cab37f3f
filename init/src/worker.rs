//! Processes that do what may hang: load a kernel module, look at a disk.
//!
//! Processes and not threads, because the kernel makes an exec of PID 1 wait
//! for every thread of it, and one that sits in an uninterruptible read of a
//! dead disk would hold the boot up for good. A process that hangs is left
//! behind.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{SysconfVar, read, sysconf, write};

use crate::{kmod, probe, sys};

/// A socket's message; the longest is a probe's answer.
const MAX_MESSAGE: usize = 4096;
/// Who works longer on one job counts as hanging, and others take its place.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// A disk that turns has read a few sectors by then.
const AT_ONCE: Duration = Duration::from_millis(50);
/// So many that hang are enough: no machine gets a process for each of a
/// thousand dead disks.
const MAX_WORKERS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Job {
    /// The kmod's number is for the answer's reader.
    Insert {
        kmod: u32,
        path: String,
        options: String,
    },
    Probe {
        name: String,
    },
}

#[derive(Debug)]
pub(crate) enum Answer {
    Inserted(Result<(), String>),
    Probed(probe::Probed),
}

#[derive(Debug)]
pub(crate) struct Workers {
    all: Vec<Worker>,
    processors: usize,
}

#[derive(Debug)]
struct Worker {
    socket: OwnedFd,
    busy: Option<(Job, Instant)>,
}

impl Workers {
    pub(crate) fn new() -> Self {
        let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten().and_then(|n| usize::try_from(n).ok());
        Self { all: Vec::new(), processors: processors.unwrap_or(1) }
    }

    /// An insert takes a processor and waits for nothing: with more of them at once
    /// the most urgent one would only share its processor. And a disk that answers at
    /// once may be the medium, which leaves little to be loaded.
    pub(crate) fn may_insert(&self) -> bool {
        let inserts = |worker: &&Worker| matches!(worker.busy, Some((Job::Insert { .. }, _))) && !worker.hangs();
        self.all.iter().filter(inserts).count() < self.processors && !self.all.iter().any(Worker::may_answer_at_once)
    }

    /// Gives the job back when all are busy.
    pub(crate) fn give(&mut self, job: Job) -> Result<(), Job> {
        let idle = self.all.iter().position(|worker| worker.busy.is_none());
        let Some(at) = idle.or_else(|| self.hire()) else { return Err(job) };
        let worker = &mut self.all[at];
        if write(&worker.socket, &encode(&job)).is_err() {
            // It is dead. Another one takes the job the next time round.
            self.all.remove(at);
            return Err(job);
        }
        worker.busy = Some((job, Instant::now()));
        Ok(())
    }

    fn hire(&mut self) -> Option<usize> {
        let working = self.all.iter().filter(|worker| !worker.hangs()).count();
        // One more than processors: a disk is mostly waited for.
        if working > self.processors || self.all.len() >= MAX_WORKERS {
            return None;
        }
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).ok()?;
        // Without another process the boot goes on with those it has; a
        // machine that cannot fork once says so at the deadline, by the list
        // of devices that nothing was learned of.
        sys::fork(|| {
            // Copies of ours would keep the others from seeing PID 1 leave.
            self.all.clear();
            work(&theirs);
            0
        })
        .ok()?;
        self.all.push(Worker { socket: ours, busy: None });
        Some(self.all.len() - 1)
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().map(|worker| worker.socket.as_fd())
    }

    /// The answer of the worker whose socket, by its place among
    /// [`Self::sockets`], is readable.
    pub(crate) fn take(&mut self, at: usize) -> Option<(Job, Answer)> {
        let mut buffer = [0; MAX_MESSAGE];
        let len = read(&self.all[at].socket, &mut buffer).unwrap_or(0);
        if len == 0 {
            let worker = self.all.remove(at);
            let (job, _) = worker.busy?;
            let answer = died(&job);
            return Some((job, answer));
        }
        let (job, _) = self.all[at].busy.take()?;
        let answer = match &job {
            Job::Insert { .. } if buffer[0] == 0 => Answer::Inserted(Ok(())),
            Job::Insert { .. } => Answer::Inserted(Err(String::from_utf8_lossy(&buffer[1..len]).into_owned())),
            Job::Probe { .. } => Answer::Probed(probe::Probed::decode(&buffer[..len])),
        };
        Some((job, answer))
    }

    /// None of them is killed: a driver that starts a kernel thread while its
    /// loader has a signal pending fails, and its device stays dead. Each
    /// ends when it finds its socket closed.
    pub(crate) fn dismiss(&mut self) {
        self.all.clear();
    }

    /// When the next one begins to count as hanging.
    pub(crate) fn next_to_hang(&self) -> Option<Instant> {
        let since = self.all.iter().filter(|worker| !worker.hangs()).filter_map(|worker| worker.busy.as_ref());
        since.map(|(_, since)| *since + PATIENCE).min()
    }

    /// When inserts need no longer wait for a disk.
    pub(crate) fn next_to_be_slow(&self) -> Option<Instant> {
        let quick = self.all.iter().filter(|worker| worker.may_answer_at_once());
        quick.filter_map(|worker| worker.busy.as_ref()).map(|(_, since)| *since + AT_ONCE).min()
    }

    /// What those that hang are at.
    pub(crate) fn hanging(&self) -> impl Iterator<Item = &Job> {
        self.all.iter().filter(|worker| worker.hangs()).filter_map(|worker| worker.busy.as_ref().map(|(job, _)| job))
    }
}

impl Worker {
    fn may_answer_at_once(&self) -> bool {
        matches!(&self.busy, Some((Job::Probe { .. }, since)) if since.elapsed() < AT_ONCE)
    }

    fn hangs(&self) -> bool {
        self.busy.as_ref().is_some_and(|(_, since)| since.elapsed() >= PATIENCE)
    }
}

fn died(job: &Job) -> Answer {
    match job {
        Job::Insert { .. } => Answer::Inserted(Err("the process that loaded it died".into())),
        Job::Probe { .. } => Answer::Probed(probe::Probed::died()),
    }
}

fn work(socket: &OwnedFd) {
    let mut buffer = [0; MAX_MESSAGE];
    while let Ok(len @ 1..) = read(socket, &mut buffer) {
        let answer = match decode(&buffer[..len]) {
            Some(Job::Insert { path, options, .. }) => match kmod::insert(Path::new(&path), &options) {
                Ok(()) => vec![0],
                Err(why) => [&[1], why.as_bytes()].concat(),
            },
            Some(Job::Probe { name }) => probe::probe(&name).encode(),
            None => return,
        };
        if write(socket, &answer[..answer.len().min(MAX_MESSAGE)]).is_err() {
            return;
        }
    }
}

fn encode(job: &Job) -> Vec<u8> {
    match job {
        Job::Insert { path, options, .. } => format!("i{path}\0{options}").into_bytes(),
        Job::Probe { name } => format!("p{name}").into_bytes(),
    }
}

fn decode(bytes: &[u8]) -> Option<Job> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Some(name) = text.strip_prefix('p') {
        return Some(Job::Probe { name: name.into() });
    }
    let (path, options) = text.strip_prefix('i')?.split_once('\0')?;
    Some(Job::Insert { kmod: 0, path: path.into(), options: options.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_arrives_as_it_was_given() {
        let insert = Job::Insert { kmod: 0, path: "/lib/x.ko".into(), options: "a=1 b".into() };
        let probe = Job::Probe { name: "sr0".into() };
        for job in [insert, probe] {
            assert_eq!(decode(&encode(&job)), Some(job));
        }
        assert_eq!(decode(b"?"), None);
    }
}
