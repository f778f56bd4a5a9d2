//! Whose turn it is, for venues that want the requests of one key in the order of their numbers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::brokers::bucket::Urgency;

/// A door that lets one in at a time; those that are pressing go first.
#[derive(Debug, Default)]
pub struct Door(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    is_taken: bool,
    pressing: VecDeque<oneshot::Sender<Turn>>,
    normal: VecDeque<oneshot::Sender<Turn>>,
}

/// Whose turn it is has this; dropped, it is the next one's.
#[derive(Debug)]
pub struct Turn(Option<Arc<Mutex<Queue>>>);

impl Door {
    /// Waits until it is the caller's turn.
    pub async fn enter(&self, urgency: Urgency) -> Turn {
        let waiting = {
            let mut queue = lock(&self.0);
            if !queue.is_taken {
                queue.is_taken = true;
                return Turn(Some(Arc::clone(&self.0)));
            }
            let (given, waiting) = oneshot::channel();
            match urgency {
                Urgency::Pressing => queue.pressing.push_back(given),
                Urgency::Normal => queue.normal.push_back(given),
            }
            waiting
        };
        match waiting.await {
            Ok(turn) => turn,
            // Nobody drops a waiting line: it goes with the door, which is borrowed here.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(door) = self.0.take() else { return };
        loop {
            let next = {
                let mut queue = lock(&door);
                let next = queue.pressing.pop_front().or_else(|| queue.normal.pop_front());
                queue.is_taken = next.is_some();
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(Arc::clone(&door)))) {
                Ok(()) => return,
                // It gave up waiting; the turn that it was given must not pass on by itself.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // Nothing is left half done under this lock.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_those_that_press_go_first() {
        let door = Door::default();
        let first = door.enter(Urgency::Normal).await;
        let mut normal = pin!(door.enter(Urgency::Normal));
        let mut gone = Box::pin(door.enter(Urgency::Pressing));
        let mut pressing = pin!(door.enter(Urgency::Pressing));
        assert!(poll!(&mut normal).is_pending() && poll!(&mut gone).is_pending());
        assert!(poll!(&mut pressing).is_pending());
        drop(gone);
        drop(first);
        assert!(poll!(&mut normal).is_pending());
        let turn = pressing.await;
        assert!(poll!(&mut normal).is_pending());
        drop(turn);
        drop(normal.await);
        // It is free again.
        drop(door.enter(Urgency::Normal).await);
    }
}
