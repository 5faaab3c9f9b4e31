//! Process-wide maps without a lock, so that a forked child can go on with its parent's.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// Shared values by key. A change copies the map: it is read often and changed when a client is made.
pub(crate) struct Registry<K, V> {
    entries: ArcSwapOption<HashMap<K, Arc<V>>>,
}

impl<K: Clone + Eq + Hash, V> Registry<K, V> {
    pub(crate) const fn new() -> Registry<K, V> {
        Registry { entries: ArcSwapOption::const_empty() }
    }

    /// The value of `key`, made if there is none. Values that nobody else holds are dropped unless `keep` says so.
    pub(crate) fn get(&self, key: K, make: impl FnOnce() -> V, keep: impl Fn(&V) -> bool) -> Arc<V> {
        let known = |entries: &Option<Arc<HashMap<K, Arc<V>>>>| entries.as_ref()?.get(&key).cloned();
        if let Some(value) = known(&self.entries.load()) {
            return value;
        }
        let made = Arc::new(make());
        let mut chosen = made.clone();
        self.entries.rcu(|entries| {
            if let Some(value) = known(entries) {
                chosen = value;
                return entries.clone();
            }
            chosen = made.clone();
            let mut next: HashMap<K, Arc<V>> = entries
                .iter()
                .flat_map(|entries| entries.iter())
                .filter(|(_, value)| Arc::strong_count(value) > 1 || keep(value))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            next.insert(key.clone(), made.clone());
            Some(Arc::new(next))
        });
        chosen
    }
}
