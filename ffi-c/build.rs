//! What the shared library says about itself to linkers and loaders.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let number = |name: &str| var(format!("CARGO_PKG_VERSION_{name}")).expect("cargo sets it");
    // Before 1.0 a minor version may change the ABI, so it belongs to the name a program is bound to.
    let abi = format!("{}.{}", number("MAJOR"), number("MINOR"));
    match var("CARGO_CFG_TARGET_OS").expect("cargo sets it").as_str() {
        "macos" => link_arg(&format!("-Wl,-install_name,@rpath/libsvctoken.{abi}.dylib")),
        "windows" => {}
        _ => {
            link_arg(&format!("-Wl,-soname,libsvctoken.so.{abi}"));
            // A thread may still be requesting a token when a plugin host unloads what it loaded: its code must stay.
            link_arg("-Wl,-z,nodelete");
        }
    }
}

fn link_arg(arg: &str) {
    println!("cargo::rustc-cdylib-link-arg={arg}");
}
