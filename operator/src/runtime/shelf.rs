//! What is kept of many objects, found by the cluster that they belong to: a pass looks at what is its own, however many
//! others there are.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::watcher::Event;
use tokio::sync::watch;

/// It has a name that is unique among those of its kind in its namespace.
pub trait Named {
    fn name(&self) -> &str;
}

/// Where something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    pub namespace: &'a str,
    /// Empty: it says none.
    pub cluster: &'a str,
}

/// Everything of one kind. Clones are of the same.
#[derive(Debug)]
pub struct Shelf<T> {
    shelves: Arc<RwLock<Shelves<T>>>,
    /// The watch has told everything once.
    filled: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shelves<T> {
    present: Places<T>,
    /// A watch that begins anew tells everything again: what it does not tell is gone.
    arriving: Places<T>,
}

/// By namespace and cluster.
type Places<T> = HashMap<Box<str>, HashMap<Box<str>, Vec<Arc<T>>>>;

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        let shelves = Shelves {
            present: Places::new(),
            arriving: Places::new(),
        };
        Self {
            shelves: Arc::new(RwLock::new(shelves)),
            filled: watch::Sender::new(false),
        }
    }
}

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self {
            shelves: self.shelves.clone(),
            filled: self.filled.clone(),
        }
    }
}

impl<T: Named> Shelf<T> {
    /// Returns once the watch has told everything: what is not here before that may be there.
    pub async fn filled(&self) {
        // `self` keeps the sender.
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// What belongs to one cluster.
    #[must_use]
    pub fn of(&self, namespace: &str, cluster: &str) -> Vec<Arc<T>> {
        // A panic elsewhere leaves the shelves as good as before.
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        let space = shelves.present.get(namespace);
        let own = space.and_then(|space| space.get(cluster));
        own.cloned().unwrap_or_default()
    }

    /// Those that are `meant`, and where they belong.
    #[must_use]
    pub fn places_of(&self, meant: impl Fn(&T) -> bool) -> Vec<(String, String)> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        let mut places = Vec::new();
        for (namespace, space) in &shelves.present {
            let found = space
                .iter()
                .filter(|(_, own)| own.iter().any(|it| meant(it)));
            let found = found.map(|(cluster, _)| (namespace.to_string(), cluster.to_string()));
            places.extend(found);
        }
        places
    }

    /// Takes note of what a watch tells. `kept` is what is kept of an object, and where.
    pub fn note<K>(&self, event: &Event<K>, kept: impl for<'a> Fn(&'a K) -> (Place<'a>, Arc<T>)) {
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        let Shelves { present, arriving } = &mut *shelves;
        match event {
            Event::Apply(object) => put(present, kept(object)),
            Event::Delete(object) => {
                let (place, gone) = kept(object);
                if let Some(space) = present.get_mut(place.namespace) {
                    take(space, gone.name());
                }
            }
            Event::Init => *arriving = Places::new(),
            Event::InitApply(object) => put(arriving, kept(object)),
            Event::InitDone => {
                *present = std::mem::take(arriving);
                self.filled.send_replace(true);
            }
        }
    }
}

fn put<T: Named>(places: &mut Places<T>, (place, new): (Place<'_>, Arc<T>)) {
    let space = places.entry(place.namespace.into()).or_default();
    let own = space.get_mut(place.cluster);
    let mut own = own.into_iter().flatten();
    if let Some(known) = own.find(|known| known.name() == new.name()) {
        *known = new;
        return;
    }
    // It may have been of another cluster until somebody changed its label.
    take(space, new.name());
    space.entry(place.cluster.into()).or_default().push(new);
}

fn take<T: Named>(space: &mut HashMap<Box<str>, Vec<Arc<T>>>, name: &str) {
    for own in space.values_mut() {
        own.retain(|known| known.name() != name);
    }
    space.retain(|_, own| !own.is_empty());
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Namespace, cluster, name, version.
    type Object = (&'static str, &'static str, &'static str, u32);

    impl Named for Object {
        fn name(&self) -> &str {
            self.2
        }
    }

    fn shelf(events: &[Event<Object>]) -> Shelf<Object> {
        let shelf = Shelf::default();
        for event in events {
            shelf.note(event, |&object| {
                let (namespace, cluster, ..) = object;
                (Place { namespace, cluster }, Arc::new(object))
            });
        }
        shelf
    }

    fn names(shelf: &Shelf<Object>, namespace: &str, cluster: &str) -> Vec<(&'static str, u32)> {
        let found = shelf.of(namespace, cluster);
        let mut names: Vec<_> = found.iter().map(|it| (it.2, it.3)).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn each_cluster_finds_its_own() {
        let shelf = shelf(&[
            Event::Apply(("n", "a", "x", 1)),
            Event::Apply(("n", "b", "y", 1)),
            Event::Apply(("m", "a", "x", 1)),
            Event::Apply(("n", "a", "z", 1)),
            Event::Apply(("n", "a", "x", 2)),
            Event::Delete(("n", "a", "z", 1)),
        ]);
        assert_eq!(names(&shelf, "n", "a"), [("x", 2)]);
        assert_eq!(names(&shelf, "n", "b"), [("y", 1)]);
        assert_eq!(names(&shelf, "m", "a"), [("x", 1)]);
        assert_eq!(names(&shelf, "m", "b"), []);
        let places = shelf.places_of(|object| object.2 == "y");
        assert_eq!(places, [("n".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn a_changed_label_takes_it_to_another() {
        let moved = [
            Event::Apply(("n", "a", "x", 1)),
            Event::Apply(("n", "", "x", 2)),
        ];
        assert_eq!(names(&shelf(&moved), "n", "a"), []);
        let gone = [
            Event::Apply(("n", "a", "x", 1)),
            Event::Delete(("n", "b", "x", 2)),
        ];
        assert_eq!(names(&shelf(&gone), "n", "a"), []);
    }

    #[test]
    fn what_a_new_watch_does_not_tell_is_gone() {
        let begun = [
            Event::Apply(("n", "a", "x", 1)),
            Event::Apply(("n", "a", "y", 1)),
            Event::Init,
            Event::InitApply(("n", "a", "y", 2)),
        ];
        // Until it has told everything, what was known counts.
        let begun_shelf = shelf(&begun);
        assert_eq!(names(&begun_shelf, "n", "a"), [("x", 1), ("y", 1)]);
        assert!(begun_shelf.filled().now_or_never().is_none());
        let shelf = shelf(&[begun.as_slice(), &[Event::InitDone]].concat());
        assert_eq!(names(&shelf, "n", "a"), [("y", 2)]);
        assert!(shelf.filled().now_or_never().is_some());
    }
}
