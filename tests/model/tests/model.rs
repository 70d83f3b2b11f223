//! The small worlds are searched whole, and without a rule the nearest history that breaks its promise is found.

use nsq_model::rules::Rule;
use nsq_model::search::{End, search};
use nsq_model::tell;
use nsq_model::world::{SMALL, World};

#[test]
fn small_worlds_keep_every_promise() {
    for world in SMALL {
        let found = search(world, None, &mut |_| ());
        if let End::Broken(broken, steps) = &found.end {
            panic!(
                "{}: {}\n{}",
                world.name,
                broken.how,
                tell::table(world, steps)
            );
        }
        assert!(
            matches!(found.end, End::Clean),
            "{}: {:?}",
            world.name,
            found.end
        );
    }
}

/// The rules whose loss shows within the small worlds; `model rules` drops all of them.
const QUICK: &[&str] = &["R1", "R2", "R12", "R13", "R15", "R17", "R18", "L4", "E1"];

#[test]
fn a_dropped_rule_is_noticed() {
    for name in QUICK {
        let about = Rule::named(name).expect("a rule");
        let noticed = about.worlds.iter().any(|world| {
            let world = World::named(world).expect("a world").without(about.rule);
            let found = search(&world, Some(about.promise), &mut |_| ());
            let End::Broken(broken, steps) = found.end else {
                return false;
            };
            assert_eq!(broken.promise, about.promise);
            tell::table(&world, &steps).lines().count() > steps.len()
        });
        assert!(noticed, "{name}");
    }
}
