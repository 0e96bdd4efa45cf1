//! Hands arbitrary bytes to the target that LOA_FUZZ_TARGET names.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use loa::rehearsal::fuzz::{Target, find};

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        // The fuzzer's own hook ends the process at a panic that Loa catches too.
        drop(std::panic::take_hook());
        let name = std::env::var("LOA_FUZZ_TARGET").expect("LOA_FUZZ_TARGET names a target");
        find(&name).expect("LOA_FUZZ_TARGET is no target")
    });
    target(bytes);
});
