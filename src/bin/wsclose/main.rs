//! The `wsclose` command.
fn main() {}
