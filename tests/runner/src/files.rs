//! The files of a scenario's folder, as an expectation compares them.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::driver::sha256;

/// `names`, sorted, and of each file its length, its SHA-256 and its mode.
pub(crate) fn report(folder: &Path) -> Result<Value, String> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let (mut names, mut report) = (Vec::new(), Map::new());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        if !metadata.is_file() {
            continue;
        }
        let content = fs::read(entry.path()).map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let mode = format!("{:o}", metadata.permissions().mode() & 0o777);
        report.insert(name.clone(), json!({"length": content.len(), "sha256": sha256(&content), "mode": mode}));
        names.push(name);
    }
    names.sort();
    report.insert("names".to_owned(), json!(names));
    Ok(Value::Object(report))
}
