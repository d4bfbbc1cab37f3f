//! One task per file over every core.

use std::num::NonZero;
use std::thread;

/// Gives results in the order of `items`, whatever the number of threads.
pub(super) fn try_map<T: Sync, R: Send, E: Send>(
    items: &[T],
    task: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(8);
    let part_len = items.len().div_ceil(threads).max(1);
    let run = |part: &[T]| part.iter().map(&task).collect::<Result<Vec<R>, E>>();
    let parts: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = items.chunks(part_len).map(|part| scope.spawn(|| run(part))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a task does not panic")).collect()
    });
    let mut all = Vec::with_capacity(items.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}
