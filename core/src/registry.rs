//! Process-wide maps that a forked child goes on with: what it finds is whole, as every change puts a new map in the
//! old one's place, and the lock of those who make changes is the process's own.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use crate::fork::PerProcess;

/// A change copies one part of the map, so that thousands of clients do not each copy all those before them.
const PARTS: usize = 64;

/// Shared values by key.
pub(crate) struct Registry<K, V> {
    parts: [ArcSwapOption<HashMap<K, Arc<V>>>; PARTS],
    changing: PerProcess<Mutex<()>>,
}

impl<K: Clone + Eq + Hash, V> Registry<K, V> {
    pub(crate) const fn new() -> Registry<K, V> {
        Registry { parts: [const { ArcSwapOption::const_empty() }; PARTS], changing: PerProcess::new() }
    }

    /// The value of `key`, made if there is none. Values that nobody else holds may be dropped unless `keep` says so.
    pub(crate) fn get(&self, key: K, make: impl FnOnce() -> V, keep: impl Fn(&V) -> bool) -> Arc<V> {
        let part = &self.parts[part_of(&key)];
        let changing = self.changing.get(Mutex::default);
        // Held by those who only look as well: a value must not be counted as nobody's while it is handed out.
        let _changing = changing.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = part.load();
        let entries = entries.as_deref();
        if let Some(value) = entries.and_then(|entries| entries.get(&key)) {
            return value.clone();
        }
        let mut next: HashMap<K, Arc<V>> = entries
            .into_iter()
            .flatten()
            .filter(|(_, value)| Arc::strong_count(value) > 1 || keep(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let made = Arc::new(make());
        next.insert(key, made.clone());
        part.store(Some(Arc::new(next)));
        made
    }
}

fn part_of(key: &impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % PARTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    /// Keys of one part, so that a new one drops the others.
    fn neighbours() -> impl Iterator<Item = u32> {
        (0..).filter(|key| part_of(key) == 0)
    }

    #[test]
    fn p14_a_value_that_is_handed_out_is_not_dropped_meanwhile() {
        static REGISTRY: Registry<u32, ()> = Registry::new();
        let mut keys = neighbours();
        let (key, next) = (keys.next().expect("endless"), keys.next().expect("endless"));
        drop(REGISTRY.get(key, || (), |_| true));
        let (dropping, is_dropping) = channel();
        let (asked, was_asked) = channel();
        thread::scope(|scope| {
            let one = scope.spawn(move || {
                is_dropping.recv().expect("the other thread lives");
                let value = REGISTRY.get(key, || (), |_| true);
                // Nobody waits for it where the lock kept this thread out.
                let _ = asked.send(());
                value
            });
            REGISTRY.get(
                next,
                || (),
                |_| {
                    dropping.send(()).expect("the other thread lives");
                    // Right before the value is dropped; the time is over where the lock keeps the other out.
                    let _ = was_asked.recv_timeout(Duration::from_millis(100));
                    false
                },
            );
            let one = one.join().expect("no panic");
            assert!(Arc::ptr_eq(&one, &REGISTRY.get(key, || (), |_| true)), "one key has two values");
        });
    }

    #[test]
    fn a_value_is_dropped_when_nobody_holds_it_and_it_is_not_to_be_kept() {
        static REGISTRY: Registry<u32, bool> = Registry::new();
        let mut keys = neighbours();
        let mut add = |keep: bool| REGISTRY.get(keys.next().expect("endless"), || keep, |keep| *keep);
        let held = add(false);
        let (kept, left) = (Arc::downgrade(&add(true)), Arc::downgrade(&add(false)));
        add(false);
        assert!(kept.upgrade().is_some() && left.upgrade().is_none() && Arc::strong_count(&held) == 2);
    }
}
