//! A cache of bounded size that forgets what was used least recently.

use std::collections::HashMap;
use std::hash::Hash;

/// Index of an entry in the arena.
type Slot = usize;

struct Entry<K, V> {
    key: K,
    value: V,
    newer: Option<Slot>,
    older: Option<Slot>,
}

/// Counts of how often the cache could answer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
}

impl Stats {
    /// Share of lookups that were answered, between 0 and 1.
    pub fn hit_rate(&self) -> f64 {
        let lookups = self.hits + self.misses;
        if lookups == 0 {
            0.0
        } else {
            self.hits as f64 / lookups as f64
        }
    }
}

/// A map that holds at most `capacity` entries.
pub struct LruCache<K, V> {
    slots: HashMap<K, Slot>,
    entries: Vec<Entry<K, V>>,
    newest: Option<Slot>,
    oldest: Option<Slot>,
    capacity: usize,
    stats: Stats,
}

impl<K: Hash + Eq + Clone, V> LruCache<K, V> {
    /// Creates an empty cache.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is zero.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a cache needs room for one entry");
        Self {
            slots: HashMap::with_capacity(capacity),
            entries: Vec::with_capacity(capacity),
            newest: None,
            oldest: None,
            capacity,
            stats: Stats::default(),
        }
    }

    /// Number of entries held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Looks up a key and makes its entry the newest.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        match self.slots.get(key).copied() {
            Some(slot) => {
                self.stats.hits += 1;
                self.detach(slot);
                self.attach_newest(slot);
                Some(&self.entries[slot].value)
            }
            None => {
                self.stats.misses += 1;
                None
            }
        }
    }

    /// Looks up a key without changing the order or the counts.
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.slots.get(key).map(|&slot| &self.entries[slot].value)
    }

    /// Stores a value; returns the one that it replaces.
    pub fn put(&mut self, key: K, value: V) -> Option<V> {
        if let Some(&slot) = self.slots.get(&key) {
            let previous = std::mem::replace(&mut self.entries[slot].value, value);
            self.detach(slot);
            self.attach_newest(slot);
            return Some(previous);
        }
        let slot = if self.entries.len() < self.capacity {
            self.entries.push(Entry {
                key: key.clone(),
                value,
                newer: None,
                older: None,
            });
            self.entries.len() - 1
        } else {
            self.reuse_oldest(key.clone(), value)
        };
        self.slots.insert(key, slot);
        self.attach_newest(slot);
        None
    }

    fn reuse_oldest(&mut self, key: K, value: V) -> Slot {
        let slot = self.oldest.expect("a full cache has an oldest entry");
        self.detach(slot);
        let entry = &mut self.entries[slot];
        self.slots.remove(&entry.key);
        entry.key = key;
        entry.value = value;
        self.stats.evictions += 1;
        slot
    }

    fn detach(&mut self, slot: Slot) {
        let (newer, older) = (self.entries[slot].newer, self.entries[slot].older);
        match newer {
            Some(other) => self.entries[other].older = older,
            None => self.newest = older,
        }
        match older {
            Some(other) => self.entries[other].newer = newer,
            None => self.oldest = newer,
        }
        self.entries[slot].newer = None;
        self.entries[slot].older = None;
    }

    fn attach_newest(&mut self, slot: Slot) {
        self.entries[slot].older = self.newest;
        if let Some(other) = self.newest {
            self.entries[other].newer = Some(slot);
        }
        self.newest = Some(slot);
        if self.oldest.is_none() {
            self.oldest = Some(slot);
        }
    }
}
