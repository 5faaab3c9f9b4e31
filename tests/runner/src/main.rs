//! `svctoken-runner`: every scenario through every driver. `--help` says how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use svctoken_runner::run::{Failure, Searched, Setting, run};
use svctoken_runner::sandbox::Sandbox;
use svctoken_runner::scenario::{LANGUAGES, Scenario, read_folder};
use svctoken_runner::variables::Variables;

const HELP: &str = "\
svctoken-runner --driver LANGUAGE=COMMAND… [option…]
  --driver rust=PATH     a driver's command line, split at spaces; repeat it for each language
  --language rust        run only this language; repeatable
  --only 07              run only this scenario; repeatable
  --list                 print name, languages, promises and purpose of every scenario, and run nothing
  --jobs 4               how many scenarios run at once
  --scenarios FOLDER     default tests/scenarios
  --sandbox PATH         default svctoken-sandbox beside this program
  --variable NAME=TEXT   a variable of the scenarios, ${NAME}; repeatable
  --cache memory         the option cache of clients that are not told otherwise
  --loud                 drivers show all that a program might print, and it is searched for secrets
  --verbose              a line for every scenario, not only for those that fail
Exit code: 0 all passed, 1 something failed, 2 wrong use.";

#[derive(Debug)]
struct Arguments {
    drivers: BTreeMap<String, String>,
    languages: Vec<String>,
    only: Vec<u32>,
    list: bool,
    jobs: usize,
    scenarios: PathBuf,
    sandbox: PathBuf,
    variables: Variables,
    cache: Option<String>,
    loud: bool,
    verbose: bool,
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
    searched: Searched,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| match arguments {
        None => {
            println!("{HELP}");
            Ok(true)
        }
        Some(arguments) => all(&arguments),
    }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("svctoken-runner: {error}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Option<Arguments>, String> {
    let beside = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    let mut arguments = Arguments {
        drivers: BTreeMap::new(),
        languages: Vec::new(),
        only: Vec::new(),
        list: false,
        jobs: 4,
        scenarios: "tests/scenarios".into(),
        sandbox: beside.join("svctoken-sandbox"),
        variables: Variables::default(),
        cache: None,
        loud: false,
        verbose: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        match word.as_str() {
            "--driver" => {
                let value = value()?;
                let (language, command) = value.split_once('=').ok_or("--driver wants LANGUAGE=COMMAND")?;
                arguments.drivers.insert(known_language(language)?, command.to_owned());
            }
            "--language" => arguments.languages.push(known_language(&value()?)?),
            "--only" => arguments.only.push(value()?.parse().map_err(|_| "--only wants a number")?),
            "--list" => arguments.list = true,
            "--jobs" => arguments.jobs = value()?.parse().map_err(|_| "--jobs wants a number")?,
            "--scenarios" => arguments.scenarios = value()?.into(),
            "--sandbox" => arguments.sandbox = value()?.into(),
            "--variable" => {
                let value = value()?;
                let (name, text) = value.split_once('=').ok_or("--variable wants NAME=TEXT")?;
                arguments.variables.set(name, text);
            }
            "--cache" => arguments.cache = Some(value()?),
            "--loud" => arguments.loud = true,
            "--verbose" => arguments.verbose = true,
            "--help" => return Ok(None),
            _ => return Err(format!("unknown argument {word}; --help lists them")),
        }
    }
    Ok(Some(arguments))
}

fn known_language(language: &str) -> Result<String, String> {
    let known = LANGUAGES.contains(&language).then(|| language.to_owned());
    known.ok_or_else(|| format!("unknown language {language}; they are {}", LANGUAGES.join(", ")))
}

/// Runs what was asked for; true if nothing failed.
fn all(arguments: &Arguments) -> Result<bool, String> {
    let mut scenarios = read_folder(&arguments.scenarios)?;
    if let Some(number) =
        arguments.only.iter().find(|number| scenarios.iter().all(|scenario| scenario.number != **number))
    {
        return Err(format!("there is no scenario {number}"));
    }
    scenarios.retain(|scenario| arguments.only.is_empty() || arguments.only.contains(&scenario.number));
    if arguments.list {
        for scenario in &scenarios {
            let languages = if scenario.why.is_none() { "all".to_owned() } else { scenario.languages.join(",") };
            let promises = scenario.promises.join(" ");
            println!("{} [{languages}] [{promises}] {}", scenario.name, scenario.about);
        }
        return Ok(true);
    }
    if arguments.drivers.is_empty() {
        return Err("no --driver was given".to_owned());
    }
    if let Some(language) = arguments.languages.iter().find(|language| !arguments.drivers.contains_key(*language)) {
        return Err(format!("--language {language} has no --driver {language}=…"));
    }
    let folder = Folder::create()?;
    let ca_file = folder.0.join("ca.pem");
    let sandbox = Sandbox::start(&arguments.sandbox, &ca_file)?;
    let mut variables = arguments.variables.clone();
    variables.set("ca_file", ca_file.display().to_string());
    let setting = Setting { sandbox: &sandbox, variables, cache: arguments.cache.clone(), loud: arguments.loud };
    let mut total = Counts::default();
    for language in LANGUAGES {
        let wanted = arguments.languages.is_empty() || arguments.languages.iter().any(|one| one == language);
        let Some(command) = arguments.drivers.get(language).filter(|_| wanted) else {
            continue;
        };
        let work = |scenario: &Scenario| {
            let folder = folder.0.join(format!("{language}-{}", scenario.name));
            std::fs::create_dir(&folder).expect("the folder is new");
            run(scenario, language, command, &setting, &folder)
        };
        let counts = one_language(language, &scenarios, arguments, &work);
        println!(
            "scenarios {language}: {} passed, {} failed, {} skipped",
            counts.passed, counts.failed, counts.skipped
        );
        if arguments.loud {
            let Searched { bytes, secrets } = counts.searched;
            println!("  {bytes} bytes of output were searched for {secrets} secrets");
        }
        total.passed += counts.passed;
        total.failed += counts.failed;
        total.skipped += counts.skipped;
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    Ok(total.failed == 0)
}

/// Runs the scenarios on several threads and prints their results in order.
fn one_language(
    language: &str,
    scenarios: &[Scenario],
    arguments: &Arguments,
    work: &(dyn Fn(&Scenario) -> Result<Searched, Box<Failure>> + Sync),
) -> Counts {
    let mut counts = Counts::default();
    let next = AtomicUsize::new(0);
    let (sender, results) = channel();
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let speaks = scenario.languages.iter().any(|one| one == language);
                    let result = speaks.then(|| work(scenario));
                    sender.send((scenario.number, result)).expect("the receiver outlives this scope");
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut waiting = scenarios.iter();
        for (number, result) in results {
            early.insert(number, result);
            while let Some(scenario) = waiting.as_slice().first()
                && let Some(result) = early.remove(&scenario.number)
            {
                waiting.next();
                tell(language, scenario, result, arguments.verbose, &mut counts);
            }
        }
    });
    counts
}

fn tell(
    language: &str,
    scenario: &Scenario,
    result: Option<Result<Searched, Box<Failure>>>,
    verbose: bool,
    counts: &mut Counts,
) {
    match result {
        None => {
            counts.skipped += 1;
            println!("skipped {language} {}: {}", scenario.name, scenario.why.as_deref().unwrap_or_default());
        }
        Some(Ok(searched)) => {
            counts.passed += 1;
            counts.searched.bytes += searched.bytes;
            counts.searched.secrets += searched.secrets;
            if verbose {
                println!("passed  {language} {}", scenario.name);
            }
        }
        Some(Err(failure)) => {
            counts.failed += 1;
            println!("FAILED  {language} {}: {}", scenario.name, scenario.about);
            if let Some((number, step)) = &failure.step {
                println!("  step {number}: {step}");
            }
            println!("  {}", failure.what);
            if !failure.stderr.is_empty() {
                println!("  driver's standard error:\n    {}", end_of(&failure.stderr).replace('\n', "\n    "));
            }
            if !failure.report.is_empty() {
                println!("  sandbox: {}", failure.report);
            }
        }
    }
}

/// The last lines, of which a loud driver may have very many.
fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(100)..].join("\n")
}

/// A folder for this run, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("svctoken-runner-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} was not removed: {error}", self.0.display());
        }
    }
}
