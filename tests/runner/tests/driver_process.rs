//! Drivers that hang, die or talk nonsense, played by small shell scripts: each must end as a failure, in time.

use std::path::Path;
use std::time::{Duration, Instant};
use svctoken_runner::driver::Driver;

fn driver(name: &str, script: &str) -> Driver {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{name}.sh"));
    std::fs::write(&file, script).expect("the test's folder can be written");
    Driver::start(&format!("sh {}", file.display()), folder, false).expect("sh starts")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn ask(driver: &mut Driver, deadline: Instant) -> String {
    driver.ask(&["wait".to_owned(), "t.1".to_owned()], deadline).expect_err("the driver does not answer")
}

#[test]
fn silence_ends_with_the_time_limit() {
    let mut driver = driver("silence", "echo noise >&2; exec sleep 60");
    let error = ask(&mut driver, soon());
    assert!(error.contains("time limit") && error.contains("wait\\tt.1"), "{error}");
    let start = Instant::now();
    assert_eq!(driver.stderr(), "noise\n");
    assert!(start.elapsed() < Duration::from_secs(10), "the driver was not killed");
}

#[test]
fn a_dead_driver_is_told_with_its_exit_code() {
    let error = ask(&mut driver("dead", "read line; exit 3"), later());
    assert!(error.contains("exit status: 3"), "{error}");
}

#[test]
fn nonsense_is_not_an_answer() {
    let error = ask(&mut driver("nonsense", "read line; echo Traceback; exec sleep 60"), later());
    assert!(error.contains("Traceback"), "{error}");
}

#[test]
fn a_driver_that_stays_after_quit_fails() {
    let error = driver("stays", "read line; echo ok; exec sleep 60").quit(soon()).expect_err("it stays");
    assert!(error.contains("end after quit"), "{error}");
}

#[test]
fn a_driver_that_ends_badly_fails() {
    let error = driver("badly", "read line; echo ok; exit 1").quit(later()).expect_err("it ends badly");
    assert!(error.contains("exit status: 1"), "{error}");
    driver("well", "read line; echo ok").quit(later()).expect("it ends well");
}

#[test]
fn a_child_left_behind_by_a_driver_is_not_waited_for() {
    let mut driver = driver("child", "sleep 15 & read line; echo ok");
    driver.quit(later()).expect("the driver itself ends");
    let start = Instant::now();
    driver.stderr();
    assert!(start.elapsed() < Duration::from_secs(10), "it was waited for");
}
