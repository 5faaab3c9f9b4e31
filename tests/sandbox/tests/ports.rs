//! Spaces are told apart by their ports, so no two of one sandbox ever have the same.

use std::collections::BTreeSet;

use serde_json::json;
use svctoken_sandbox::Sandbox;

#[test]
fn no_space_has_a_port_that_an_earlier_one_had() {
    let sandbox = Sandbox::start();
    let mut seen = BTreeSet::new();
    for _ in 0..400 {
        let space = sandbox.create_space(&json!({})).expect("known settings");
        for origin in [space.http(), space.https()] {
            let port = origin.rsplit(':').next().expect("a port").to_owned();
            assert!(seen.insert(port), "{origin} had been another space's");
        }
        space.delete();
    }
}
