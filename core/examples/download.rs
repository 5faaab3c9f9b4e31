//! Downloads from Atlas with a progress bar: `cargo run --example download -- PATH FILE [ACCEPT]`.
//!
//! Reads `MONGODB_ATLAS_CLIENT_ID` and `MONGODB_ATLAS_CLIENT_SECRET`.

use std::error::Error;
use std::io::{Write, stderr};
use std::ops::ControlFlow;

fn bar(received: u64, total: Option<u64>) -> ControlFlow<()> {
    let share =
        total.filter(|total| *total > 0).map(|total| format!("{:.1} %", received as f64 / total as f64 * 100.0));
    // Nobody is there to see it where that fails.
    let _ = write!(stderr(), "\r{:>7} {:>10.1} MB", share.unwrap_or_default(), received as f64 / 1e6);
    ControlFlow::Continue(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, file, accept @ ..] = &arguments[..] else { return Err("usage: download PATH FILE [ACCEPT]".into()) };
    let client = svctoken::Client::atlas()?;
    let request = client.request("GET", path.as_str()).on_progress(bar);
    let request = accept.iter().fold(request, |request, accept| request.accept(accept.as_str()));
    let response = request.download(file)?;
    eprintln!();
    response.error_for_status()?;
    Ok(())
}
