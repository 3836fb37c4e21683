//! Says early, and by its name, which system library is missing. Without this the linker would say it at the very end,
//! as `cannot find -lpcap`.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["LIBPCAP_LIBDIR", "LIBRARY_PATH", "PKG_CONFIG_PATH", "CC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if is_set("CARGO_FEATURE_LIVE") && can_tell() && !has_libpcap() {
        println!(
            "cargo::error=libpcap's development files are missing. Install them (Debian, Ubuntu: apt-get install \
             libpcap-dev; Fedora: dnf install libpcap-devel; Arch: pacman -S libpcap; Alpine: apk add libpcap-dev), \
             or build with --no-default-features: without live capture, files are analysed all the same."
        );
    }
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Is this an ordinary build on Linux? A cross build, a library path given by hand and docs.rs look elsewhere; there the
/// linker has the last word.
fn can_tell() -> bool {
    env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux")
        && env::var("HOST").ok() == env::var("TARGET").ok()
        && !["LIBPCAP_LIBDIR", "DOCS_RS"].into_iter().any(is_set)
        && !env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("-L"))
}

fn has_libpcap() -> bool {
    pkg_config_knows() || ["libpcap.so", "libpcap.a"].into_iter().any(linker_finds)
}

fn pkg_config_knows() -> bool {
    let mut command = Command::new("pkg-config");
    command.args(["--exists", "libpcap"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Asks the C compiler, which is the linker rustc calls, where it would take `library` from. It answers with a path, or
/// with the bare name if it finds none. Without a compiler there is nothing to ask: rustc will say that it is missing.
fn linker_finds(library: &str) -> bool {
    let compiler = env::var("CC").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "cc".to_owned());
    match Command::new(compiler).arg(format!("-print-file-name={library}")).output() {
        Ok(output) => Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute(),
        Err(_) => true,
    }
}
