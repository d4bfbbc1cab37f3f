//! Bytes made by several threads and taken by one, in the order of the jobs
//! they come from: every processor decodes packages, and the tree is the one
//! that extracting them one after the other makes.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What is handed over at once.
const CHUNK: usize = 256 << 10;

/// What may wait of the job whose turn it is, whatever [`Ahead`] says: its
/// taker would wait for ever else.
const OWN: usize = 8 * CHUNK;

/// How far the makers may run ahead of the taker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    pub threads: usize,
    /// Bytes that may wait, those of all jobs together.
    pub waiting: usize,
}

/// Has `make` make the bytes of each of the `jobs`, and `take` read them, one
/// `whole` after the other: the bytes of all jobs that follow each other and are
/// of the same one. Of what has a job that failed nothing behind it can be read;
/// [`Inlet::failure`] says why. The first error of `take` ends it all.
pub fn in_turn<W: Eq, J: Sync, E: Send>(
    jobs: &[J],
    whole: impl Fn(&J) -> W,
    ahead: Ahead,
    make: impl Fn(&J, &mut Outlet<'_, E>) -> Result<(), E> + Sync,
    mut take: impl FnMut(W, &mut Inlet<'_, E>) -> Result<(), E>,
    no_thread: impl FnOnce(io::Error) -> E,
) -> Result<(), E> {
    let queues = jobs.iter().map(|_| Queue { chunks: VecDeque::new(), ended: None }).collect();
    let turns = &Turns { state: Mutex::new(State { next: 0, turn: 0, queues }), changed: Condvar::new() };
    let make = &make;
    thread::scope(|scope| {
        // However the taking ends, the makers shall not wait for it.
        let _over = Over(turns);
        for n in 0..ahead.threads.clamp(1, jobs.len().max(1)) {
            let maker = move || {
                while let Some(job) = turns.next_job() {
                    let made = make(&jobs[job], &mut Outlet { turns, job, waiting: ahead.waiting });
                    turns.change(|state| state.queues[job].ended = Some(made));
                }
            };
            match thread::Builder::new().spawn_scoped(scope, maker) {
                Ok(_) => {}
                // Those that there are do its work.
                Err(_) if n > 0 => break,
                Err(error) => return Err(no_thread(error)),
            }
        }
        let mut job = 0;
        jobs.chunk_by(|a, b| whole(a) == whole(b)).try_for_each(|of_one| {
            turns.pass_to(job);
            let last = job + of_one.len() - 1;
            let mut inlet = Inlet { turns, job, last, chunk: Vec::new(), read: 0, failure: None };
            job = last + 1;
            take(whole(&of_one[0]), &mut inlet)
        })
    })
}

#[derive(Debug)]
struct Turns<E> {
    state: Mutex<State<E>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<E> {
    /// The first job that has no maker.
    next: usize,
    /// The job that is being taken: nobody wants those before it.
    turn: usize,
    queues: Vec<Queue<E>>,
}

#[derive(Debug)]
struct Queue<E> {
    chunks: VecDeque<Vec<u8>>,
    ended: Option<Result<(), E>>,
}

impl<E> State<E> {
    fn waiting(&self, jobs: impl std::slice::SliceIndex<[Queue<E>], Output = [Queue<E>]>) -> usize {
        self.queues[jobs].iter().flat_map(|queue| &queue.chunks).map(Vec::len).sum()
    }
}

impl<E> Turns<E> {
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        // Who panicked while holding it takes the whole scope along.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State<E>) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    fn wait_until<T>(&self, mut ready: impl FnMut(&mut State<E>) -> Option<T>) -> T {
        let mut state = self.lock();
        loop {
            if let Some(found) = ready(&mut state) {
                return found;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// In order, so that the job whose turn it is has a maker.
    fn next_job(&self) -> Option<usize> {
        self.change(|state| {
            let job = state.next.max(state.turn);
            state.next = job.saturating_add(1);
            (job < state.queues.len()).then_some(job)
        })
    }

    fn pass_to(&self, turn: usize) {
        self.change(|state| {
            state.turn = turn;
            let passed = turn.min(state.queues.len());
            state.queues[..passed].iter_mut().for_each(|queue| queue.chunks.clear());
        });
    }
}

/// Passes the turn behind the last job.
struct Over<'t, E>(&'t Turns<E>);

impl<E> Drop for Over<'_, E> {
    fn drop(&mut self) {
        self.0.pass_to(usize::MAX);
    }
}

/// Where a job's bytes go.
#[derive(Debug)]
pub struct Outlet<'t, E> {
    turns: &'t Turns<E>,
    job: usize,
    waiting: usize,
}

impl<E> Outlet<'_, E> {
    /// Reads `from` to its end, or until nobody wants more of it.
    pub fn pour(&mut self, mut from: impl Read) -> io::Result<()> {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            from.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
            if chunk.is_empty() || !self.send(chunk) {
                return Ok(());
            }
        }
    }

    fn send(&self, chunk: Vec<u8>) -> bool {
        let mut chunk = Some(chunk);
        let Self { turns, job, waiting } = *self;
        let sent = turns.wait_until(|state| {
            let has_room = state.turn == job && state.waiting(job..=job) < OWN || state.waiting(..) < waiting;
            let is_wanted = state.turn <= job;
            if is_wanted && !has_room {
                return None;
            }
            state.queues[job].chunks.extend(chunk.take().filter(|_| is_wanted));
            Some(is_wanted)
        });
        turns.changed.notify_all();
        sent
    }
}

/// Where the bytes of jobs that are of one whole come from.
#[derive(Debug)]
pub struct Inlet<'t, E> {
    turns: &'t Turns<E>,
    job: usize,
    last: usize,
    chunk: Vec<u8>,
    /// Of the chunk.
    read: usize,
    failure: Option<E>,
}

impl<E> Inlet<'_, E> {
    /// Why the bytes ended before their end.
    pub fn failure(&mut self) -> Option<E> {
        self.failure.take()
    }
}

impl<E> Read for Inlet<'_, E> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.read == self.chunk.len() && self.failure.is_none() {
            let next = self.turns.wait_until(|state| {
                let queue = &mut state.queues[self.job];
                queue.chunks.pop_front().map(Ok).or_else(|| queue.ended.take().map(Err))
            });
            match next {
                Ok(chunk) => {
                    self.turns.changed.notify_all();
                    (self.chunk, self.read) = (chunk, 0);
                }
                Err(Ok(())) if self.job < self.last => {
                    self.job += 1;
                    self.turns.pass_to(self.job);
                }
                Err(ended) => {
                    // It may be asked again.
                    self.turns.change(|state| state.queues[self.job].ended = Some(Ok(())));
                    (self.last, self.failure) = (self.job, ended.err());
                    break;
                }
            }
        }
        if self.failure.is_some() {
            return Err(io::Error::other("its making failed"));
        }
        let mut rest = &self.chunk[self.read..];
        let read = rest.read(buf)?;
        self.read += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 3 * CHUNK + 1;

    fn bytes_of(job: u8) -> Vec<u8> {
        vec![job; MANY + usize::from(job)]
    }

    #[test]
    fn every_job_is_taken_whole_and_in_order_with_any_number_of_threads() {
        let jobs: Vec<u8> = (0..9).collect();
        for threads in [0, 1, 2, 4, 16] {
            for waiting in [0, CHUNK, 100 * MANY] {
                let mut taken = Vec::new();
                let make = |job: &u8, out: &mut Outlet<'_, ()>| out.pour(&bytes_of(*job)[..]).map_err(drop);
                let take = |job: u8, from: &mut Inlet<'_, ()>| {
                    let mut bytes = Vec::new();
                    from.read_to_end(&mut bytes).unwrap();
                    assert!(bytes == bytes_of(job), "job {job}, {threads} threads, {waiting} bytes may wait");
                    taken.push(job);
                    Ok(())
                };
                in_turn(&jobs, |&job| job, Ahead { threads, waiting }, make, take, drop).unwrap();
                assert_eq!(taken, jobs);
            }
        }
    }

    #[test]
    fn jobs_of_one_whole_are_taken_as_one() {
        let jobs: Vec<u8> = (0..7).collect();
        let make = |job: &u8, out: &mut Outlet<'_, u8>| {
            out.pour(&bytes_of(*job)[..]).unwrap();
            if *job == 4 { Err(77) } else { Ok(()) }
        };
        for waiting in [0, 100 * MANY] {
            let mut taken = Vec::new();
            let take = |three: u8, from: &mut Inlet<'_, u8>| {
                let mut bytes = Vec::new();
                let read = from.read_to_end(&mut bytes).is_ok();
                let of = (three * 3)..(three * 3 + 3).min(7);
                let all: Vec<u8> = of.flat_map(bytes_of).collect();
                taken.push((three, read, bytes == all, from.failure()));
                assert_eq!(from.read(&mut [0]).unwrap(), 0, "nothing behind a hole");
                Ok(())
            };
            in_turn(&jobs, |job| job / 3, Ahead { threads: 2, waiting }, make, take, |_| 0).unwrap();
            assert_eq!(taken, [(0, true, true, None), (1, false, false, Some(77)), (2, true, true, None)]);
        }
    }

    #[test]
    fn what_nobody_reads_stops_nobody() {
        let jobs: Vec<u8> = (0..9).collect();
        let make = |job: &u8, out: &mut Outlet<'_, ()>| out.pour(&bytes_of(*job)[..]).map_err(drop);
        for waiting in [0, 100 * MANY] {
            let ahead = Ahead { threads: 2, waiting };
            let mut taken = 0;
            let take = |_, from: &mut Inlet<'_, ()>| {
                taken += 1;
                from.read_exact(&mut [0]).map_err(drop)
            };
            in_turn(&jobs, |&job| job, ahead, make, take, drop).unwrap();
            assert_eq!(taken, 9);
            // The first error ends it, with makers in the middle of theirs.
            assert_eq!(in_turn(&jobs, |&job| job, ahead, make, |_, _| Err(()), drop), Err(()));
        }
        in_turn(&[], |job: &u8| *job, Ahead { threads: 2, waiting: 0 }, make, |_, _| Err(()), drop).unwrap();
    }

    #[test]
    fn a_failed_making_is_told_where_its_bytes_end() {
        let make = |job: &u8, out: &mut Outlet<'_, u8>| {
            out.pour(&bytes_of(*job)[..]).unwrap();
            if *job == 1 { Err(77) } else { Ok(()) }
        };
        let mut told = Vec::new();
        let take = |_, from: &mut Inlet<'_, u8>| {
            let mut bytes = Vec::new();
            let read = from.read_to_end(&mut bytes).is_ok();
            told.push((bytes.len() >= MANY, read, from.failure()));
            Ok(())
        };
        in_turn(&[0, 1, 2], |&job| job, Ahead { threads: 2, waiting: MANY }, make, take, |_| 0).unwrap();
        assert_eq!(told, [(true, true, None), (true, false, Some(77)), (true, true, None)]);
    }
}
