//! The README's quick starts: taken out of it as they stand, built, and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program must have built or ended by then.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Where a build has put things.
#[derive(Debug)]
pub struct Build {
    /// The folder of `libsvctoken.so`, `libsvctoken.rlib` and `deps`.
    pub libraries: PathBuf,
    /// A Python that has the package.
    pub python: PathBuf,
    /// The npm package.
    pub node_package: PathBuf,
    /// A folder for what is built here.
    pub folder: PathBuf,
}

/// A quick start that is ready to run.
#[derive(Debug)]
pub struct Program {
    /// As the README names it in its comment: `python`.
    pub language: &'static str,
    command: PathBuf,
    arguments: Vec<PathBuf>,
}

/// What a program did.
#[derive(Debug)]
pub struct Run {
    /// Standard output.
    pub output: String,
    /// From start to end of the process.
    pub took: Duration,
}

/// In the order of the table.
const LANGUAGES: [(&str, &str); 5] =
    [("python", "quick.py"), ("node", "quick.mjs"), ("c", "quick.c"), ("cpp", "quick.cpp"), ("rust", "quick.rs")];

impl Build {
    /// Takes every quick start out of the README and builds those that need it.
    pub fn programs(&self, readme: &Path) -> Result<Vec<Program>, String> {
        let readme = fs::read_to_string(readme).map_err(|error| format!("{}: {error}", readme.display()))?;
        LANGUAGES.iter().map(|(language, file)| self.program(language, file, &extract(&readme, language)?)).collect()
    }

    fn program(&self, language: &'static str, file: &str, text: &str) -> Result<Program, String> {
        let source = self.folder.join(file);
        fs::write(&source, text).map_err(|error| format!("{}: {error}", source.display()))?;
        let binary = self.folder.join(format!("quick-{language}"));
        match language {
            "python" => return Ok(Program { language, command: self.python.clone(), arguments: vec![source] }),
            "node" => {
                self.link_node_package()?;
                return Ok(Program { language, command: "node".into(), arguments: vec![source] });
            }
            "c" => self.compile("cc", &["-std=c11"], &source, &binary)?,
            "cpp" => self.compile("c++", &["-std=c++17"], &source, &binary)?,
            _ => self.compile_rust(&source, &binary)?,
        }
        Ok(Program { language, command: binary, arguments: Vec::new() })
    }

    /// As the C library's README says, with every warning an error.
    fn compile(&self, compiler: &str, standard: &[&str], source: &Path, binary: &Path) -> Result<(), String> {
        let libraries = self.libraries.display();
        let mut command = Command::new(compiler);
        command.args(standard).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Iinclude", "-o"]);
        command.arg(binary).arg(source).arg(format!("-L{libraries}")).arg("-lsvctoken");
        run(command.arg(format!("-Wl,-rpath,{libraries}"))).map(|_| ())
    }

    fn compile_rust(&self, source: &Path, binary: &Path) -> Result<(), String> {
        let mut command = Command::new("rustc");
        command.args(["--edition", "2024", "--extern"]);
        command.arg(format!("svctoken={}", self.libraries.join("libsvctoken.rlib").display()));
        command.arg("-L").arg(format!("dependency={}", self.libraries.join("deps").display()));
        run(command.arg("-o").arg(binary).arg(source)).map(|_| ())
    }

    /// Node looks for packages beside the program.
    fn link_node_package(&self) -> Result<(), String> {
        let modules = self.folder.join("node_modules");
        let package = fs::canonicalize(&self.node_package)
            .map_err(|error| format!("{}: {error}", self.node_package.display()))?;
        fs::create_dir_all(&modules).map_err(|error| error.to_string())?;
        std::os::unix::fs::symlink(package, modules.join("svctoken")).map_err(|error| error.to_string())
    }
}

impl Program {
    /// Runs it as a user would, steered by the environment alone. `caches` is the user's folder of caches; `cache` is
    /// that option, if it is given.
    pub fn run(
        &self,
        base_url: &str,
        client_id: &str,
        client_secret: &str,
        caches: &Path,
        cache: Option<&str>,
    ) -> Result<Run, String> {
        let began = Instant::now();
        let mut command = Command::new(&self.command);
        command.args(&self.arguments);
        command.env("MONGODB_ATLAS_BASE_URL", base_url);
        command.env("MONGODB_ATLAS_CLIENT_ID", client_id).env("MONGODB_ATLAS_CLIENT_SECRET", client_secret);
        command.env("XDG_CACHE_HOME", caches).env_remove("SVCTOKEN_CACHE");
        command.envs(cache.map(|cache| ("SVCTOKEN_CACHE", cache)));
        let output = run(&mut command)?;
        Ok(Run { output, took: began.elapsed() })
    }
}

/// The code block behind the comment `<!-- quick start: LANGUAGE -->`.
fn extract(readme: &str, language: &str) -> Result<String, String> {
    let missing = || format!("the README has no quick start for {language}");
    let (_, rest) = readme.split_once(&format!("<!-- quick start: {language} -->\n```")).ok_or_else(missing)?;
    let (_, code) = rest.split_once('\n').ok_or_else(missing)?;
    code.split_once("\n```").map(|(code, _)| format!("{code}\n")).ok_or_else(missing)
}

/// Runs a command to its end, killed at the time limit; its standard output, or an error with both outputs.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let folder = std::env::temp_dir();
    let unique = format!("svctoken-{}-{:?}", std::process::id(), Instant::now());
    let unique: String = unique.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let (out, err) = (folder.join(format!("{unique}.out")), folder.join(format!("{unique}.err")));
    let create = |path: &Path| fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()));
    command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?);
    let mut child = command.spawn().map_err(|error| format!("{program} does not start: {error}"))?;
    let deadline = Instant::now() + TIME_LIMIT;
    // std cannot wait for a process with a limit, so this looks again and again.
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break Some(status),
            None if Instant::now() >= deadline => {
                child.kill().map_err(|error| error.to_string())?;
                child.wait().map_err(|error| error.to_string())?;
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let (output, errors) = (read(&out), read(&err));
    for path in [&out, &err] {
        fs::remove_file(path).map_err(|error| error.to_string())?;
    }
    match status {
        Some(status) if status.success() => Ok(output),
        Some(status) => Err(format!("{program} ended with {status}\n{output}{errors}")),
        None => Err(format!("{program} did not end within {TIME_LIMIT:?}\n{output}{errors}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_start_is_the_block_behind_its_comment() {
        let readme = "x\n<!-- quick start: c -->\n```c\nint main;\n\n}\n```\n```c\nother\n```\n";
        assert_eq!(extract(readme, "c").expect("there"), "int main;\n\n}\n");
        assert!(extract(readme, "rust").is_err());
    }

    #[test]
    fn a_program_that_fails_is_told_with_its_output() {
        let error = run(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"])).expect_err("exit 3");
        assert!(error.contains("one") && error.contains("two") && error.contains('3'), "{error}");
    }
}
