//! The outside world as a test scripts it: a gateway that takes HTTP and a relay that takes mail.
//!
//! Both keep what arrived, in its order, and tell whoever waits for more.

mod gateway;
mod relay;

use std::sync::Arc;

use tokio::sync::watch;

use crate::stage::PATIENCE;

pub(crate) use gateway::{Gateway, Reply};
pub(crate) use relay::{Manner, Relay};

/// What arrived, in its order; clones share it.
#[derive(Clone)]
pub(crate) struct Arrivals<T>(Arc<watch::Sender<Vec<T>>>);

impl<T: Clone> Arrivals<T> {
    fn none() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }

    fn put(&self, one: T) {
        self.0.send_modify(|all| all.push(one));
    }

    /// What has arrived by now.
    pub(crate) fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    /// How many have arrived by now.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Waits until at least `count` have arrived, and returns all of them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<T> {
        let mut seen = self.0.subscribe();
        let enough = tokio::time::timeout(PATIENCE, seen.wait_for(|all| all.len() >= count));
        let Ok(Ok(all)) = enough.await.map(|found| found.map(|all| all.clone())) else {
            panic!("{} of {count} arrived", self.count())
        };
        all
    }
}
