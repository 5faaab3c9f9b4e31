//! The scenario runner: reads the scenarios, starts a driver and a sandbox space for each, and judges every answer.
//!
//! Drivers judge nothing, so that a scenario means the same in every language.

pub mod driver;
pub mod expectation;
mod files;
pub mod leak;
pub mod line;
pub mod quick_start;
pub mod run;
pub mod sandbox;
pub mod scenario;
pub mod variables;
