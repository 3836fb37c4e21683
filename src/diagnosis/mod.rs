//! Why connections ended, and what their software made of it.

pub mod stack;
mod stack_table;
