//! The C library as its users find it: its header, its exports, and programs that use it.

mod exports;
mod header;
mod programs;
mod support;
