//! `Hashing`: heavy work elsewhere, a few at a time, with a bounded queue before it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Work that blocks, to be done where that harms nobody.
pub type Job = Box<dyn FnOnce() + Send>;

/// How many work at the same time: each takes one processor and 19 MiB.
const WORKERS: usize = 2;
/// How many wait. The last of them waits about half a minute, which is longer than clients do.
const WAITING: usize = 1024;

pub(super) struct Hashing {
    run: Box<dyn Fn(Job) + Send + Sync>,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    workers: usize,
    jobs: VecDeque<Job>,
}

/// Where a result comes to be fetched.
#[derive(Default)]
struct Slot {
    result: Option<bool>,
    waker: Option<Waker>,
    /// Nobody waits for it any more.
    abandoned: bool,
}

impl Hashing {
    pub(super) fn new(run: impl Fn(Job) + Send + Sync + 'static) -> Self {
        Self { run: Box::new(run), queue: Arc::default() }
    }

    /// Does the work and gives its answer; `None` if too many wait already. Dropped in the queue, it is never done.
    pub(super) async fn run(&self, work: impl FnOnce() -> bool + Send + 'static) -> Option<bool> {
        let slot = Arc::new(Mutex::new(Slot::default()));
        let place = Arc::clone(&slot);
        let job: Job = Box::new(move || {
            if lock(&place).abandoned {
                return;
            }
            let result = work();
            let waker = {
                let mut slot = lock(&place);
                slot.result = Some(result);
                slot.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        if !self.submit(job) {
            return None;
        }
        let waiting = Waiting(slot);
        poll_fn(|cx| {
            let mut slot = lock(&waiting.0);
            if let Some(result) = slot.result {
                return Poll::Ready(Some(result));
            }
            slot.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn submit(&self, job: Job) -> bool {
        let mut queue = lock(&self.queue);
        if queue.workers < WORKERS {
            queue.workers += 1;
            drop(queue);
            let worker = Worker(Arc::clone(&self.queue));
            (self.run)(Box::new(move || worker.work(job)));
            return true;
        }
        let fits = queue.jobs.len() < WAITING;
        if fits {
            queue.jobs.push_back(job);
        }
        fits
    }
}

/// One of those at work; another may come when it is dropped, done or not.
struct Worker(Arc<Mutex<Queue>>);

impl Worker {
    fn work(self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            job();
            next = lock(&self.0).jobs.pop_front();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        lock(&self.0).workers -= 1;
    }
}

struct Waiting(Arc<Mutex<Slot>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.0).abandoned = true;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
