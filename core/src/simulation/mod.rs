//! A world for tests: a clock of its own, threads that take turns, chance from a seed, and servers that are played.
//!
//! A thread in a world asks that world for what it would ask the machine for: time, chance, threads, waits and the
//! network. One thread runs at a time, the seed draws which, and time passes only when all of them wait. So a day takes
//! a moment, a seed replays it exactly, and threads that wait for ever are a panic.

mod discovery;
mod figures;
mod model;
mod properties;
mod retries;
mod revocation;
mod servers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::http::{Answer, Outgoing};
use crate::wait::Wait;

thread_local! {
    /// The world this thread is in, and its number there.
    static HERE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

#[derive(Clone)]
struct Place {
    world: Arc<World>,
    task: usize,
}

fn here() -> Option<Place> {
    HERE.with_borrow(Clone::clone)
}

/// What answers every request of a world; it may wait, as a network does, and fail like one.
pub(crate) type Server = Box<dyn Fn(&Outgoing<'_>, &Wait) -> Result<Answer> + Send + Sync>;

pub(crate) struct World {
    began: Instant,
    server: Server,
    state: Mutex<State>,
}

struct State {
    random: Random,
    /// As the machine's monotonic clock counts, which stops in suspend.
    awake: Duration,
    asleep: Duration,
    turn: usize,
    tasks: BTreeMap<usize, Task>,
    tasks_ever: usize,
    panicked: bool,
}

/// A thread of a world.
struct Task {
    /// It looked whether it can go on and could not, and nothing has happened since.
    idle: bool,
    /// When it can go on whatever happens.
    until: Option<Duration>,
    turn: Arc<Condvar>,
}

impl World {
    /// Runs `life` as the first thread of a world, and then the world until its other threads have ended.
    pub(crate) fn run<T>(seed: u64, server: Server, life: impl FnOnce(&Arc<World>) -> T) -> T {
        let state = State {
            random: Random::new(seed),
            // Small, so that nothing another test keeps in this process has ended by this world's clock.
            awake: Duration::from_secs(1),
            asleep: Duration::ZERO,
            turn: 0,
            tasks: BTreeMap::new(),
            tasks_ever: 0,
            panicked: false,
        };
        let world = Arc::new(World { began: Instant::now(), server, state: Mutex::new(state) });
        let task = world.add_task();
        let _leaving = Leaving { before: HERE.replace(Some(Place { world: world.clone(), task })) };
        let result = life(&world);
        world.settle(true);
        result
    }

    /// Starts a thread of this world.
    pub(crate) fn spawn(self: &Arc<World>, work: impl FnOnce() + Send + 'static) {
        thread::spawn(inherited(work));
    }

    /// How long the world has been awake.
    pub(crate) fn awake(&self) -> Duration {
        self.state().awake
    }

    /// The machine sleeps: the boot clock goes on, timeouts do not.
    pub(crate) fn suspend(&self, length: Duration) {
        self.settle(false);
        self.state().asleep += length;
    }

    /// Lets the other threads run until all of them wait, or have ended.
    fn settle(&self, ended: bool) {
        let me = here().expect("in a world").task;
        loop {
            let state = self.state();
            let done = state.tasks.iter().all(|(task, other)| *task == me || (!ended && other.idle));
            if done {
                return;
            }
            if ended {
                self.idle(state, me, None);
            } else {
                self.hand_on(state, me, |task, _| task != me);
            }
        }
    }

    fn add_task(&self) -> usize {
        let mut state = self.state();
        let task = state.tasks_ever;
        state.tasks_ever += 1;
        state.tasks.insert(task, Task { idle: false, until: None, turn: Arc::default() });
        task
    }

    /// Thread `me` cannot go on before `until` or before something happens: others' turn.
    fn idle(&self, mut state: MutexGuard<'_, State>, me: usize, until: Option<Duration>) {
        let task = state.tasks.get_mut(&me).expect("in this world");
        (task.idle, task.until) = (true, until);
        self.hand_on(state, me, |_, _| true);
    }

    /// Gives the turn to a thread that can go on and is one of `those`, and comes back with the next turn.
    fn hand_on(&self, mut state: MutexGuard<'_, State>, me: usize, those: impl Fn(usize, &Task) -> bool) {
        state.choose(those);
        let mine = state.tasks.get(&me).map(|task| task.turn.clone());
        while let Some(mine) = mine.as_ref().filter(|_| state.turn != me) {
            state = mine.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let panicked = state.panicked && mine.is_some();
        drop(state);
        assert!(!panicked, "another thread of this world panicked");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Draws whose turn it is among `those` that can go on; while nobody can, time passes.
    fn choose(&mut self, those: impl Fn(usize, &Task) -> bool) {
        let can =
            |tasks: &BTreeMap<usize, Task>| tasks.iter().filter(|(id, task)| !task.idle && those(**id, task)).count();
        let mut able = can(&self.tasks);
        if able == 0 && !self.tasks.is_empty() {
            let next = self.tasks.values().filter_map(|task| task.until).min();
            self.awake = self.awake.max(next.expect("every thread of this world waits for ever"));
            for task in self.tasks.values_mut() {
                task.idle &= task.until.is_none_or(|until| until > self.awake);
            }
            able = can(&self.tasks);
        }
        if able > 0 {
            let nth = self.random.below(able as u64) as usize;
            let mut ready = self.tasks.iter().filter(|(id, task)| !task.idle && those(**id, task));
            let (chosen, task) = ready.nth(nth).expect("counted above");
            self.turn = *chosen;
            task.turn.notify_one();
        }
    }

    fn something_happened(&mut self) {
        for task in self.tasks.values_mut() {
            task.idle = false;
        }
    }
}

/// Takes a thread out of its world, when it ends or panics.
struct Leaving {
    before: Option<Place>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Some(Place { world, task }) = HERE.replace(self.before.take()) else { return };
        let mut state = world.state();
        state.tasks.remove(&task);
        state.panicked |= thread::panicking();
        state.something_happened();
        world.hand_on(state, task, |_, _| true);
    }
}

/// `work` as a thread of the world that this thread is in.
pub(crate) fn inherited<W: FnOnce() + Send>(work: W) -> impl FnOnce() + Send {
    let place = here().map(|Place { world, .. }| Place { task: world.add_task(), world });
    move || {
        if let Some(Place { world, task }) = &place {
            let mut state = world.state();
            let mine = state.tasks[task].turn.clone();
            while state.turn != *task {
                state = mine.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let _leaving = Leaving { before: HERE.replace(place) };
        work();
    }
}

/// What the boot clock shows.
pub(crate) fn boot_time() -> Option<Duration> {
    here().map(|place| {
        let state = place.world.state();
        state.awake + state.asleep
    })
}

/// What the monotonic clock shows.
pub(crate) fn instant() -> Option<Instant> {
    here().map(|place| place.world.began + place.world.awake())
}

/// A random number in 0.0 ≤ x < 1.0.
pub(crate) fn fraction() -> Option<f64> {
    here().map(|place| place.world.state().random.fraction())
}

/// The answer to a request.
pub(crate) fn exchange(outgoing: &Outgoing<'_>, wait: &Wait) -> Option<Result<Answer>> {
    here().map(|place| (place.world.server)(outgoing, wait))
}

/// Waits as a poll of so long a time would, but exactly.
pub(crate) fn wait(time: Duration) -> Option<()> {
    let Place { world, task } = here()?;
    let state = world.state();
    let until = state.awake.saturating_add(time);
    world.idle(state, task, Some(until));
    Some(())
}

/// Something was set for which another thread may wait.
pub(crate) fn something_happened() {
    if let Some(place) = here() {
        place.world.state().something_happened();
    }
}

/// Where another thread may run first, as on a real machine it may anywhere. Not with a lock in hand.
pub(crate) fn preempt() {
    let Some(Place { world, task }) = here() else { return };
    let mut state = world.state();
    if state.random.below(4) == 0 {
        world.hand_on(state, task, |_, _| true);
    }
}

/// Chance from a seed (splitmix64).
pub(crate) struct Random {
    state: u64,
    grid: Duration,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed, grid: Duration::ZERO }
    }

    /// Times are multiples of `grid`, so that things happen in the same moment.
    pub(crate) fn on_grid(self, grid: Duration) -> Random {
        Random { grid, ..self }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Up to `limit`, short times as likely as long ones.
    pub(crate) fn time(&mut self, limit: Duration) -> Duration {
        let limit = limit.as_secs_f64().max(0.002);
        let time = Duration::from_secs_f64(0.001 * (limit / 0.001).powf(self.fraction()));
        match self.grid {
            Duration::ZERO => time,
            grid => grid * time.div_duration_f64(grid).ceil() as u32,
        }
    }
}

/// Runs a test for `cases` seeds that differ from run to run, but under CI=true, where a change is judged by what others
/// passed too; SVCTOKEN_SEED names the first, and SVCTOKEN_CASES how many. Returns how many they were.
pub(crate) fn for_seeds(cases: u64, mut test: impl FnMut(u64)) -> u64 {
    let given = |name| std::env::var(name).ok().map(|number| number.parse::<u64>().expect("a number"));
    let first = given("SVCTOKEN_SEED");
    let cases = given("SVCTOKEN_CASES").unwrap_or(if first.is_some() { 1 } else { cases });
    let always_the_same = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let drawn = || if always_the_same { 1 } else { (crate::crypto::random_fraction() * 1e15) as u64 };
    let first = first.unwrap_or_else(drawn);
    for seed in first..first + cases {
        let said = SaidOnPanic(seed);
        test(seed);
        drop(said);
    }
    cases
}

struct SaidOnPanic(u64);

impl Drop for SaidOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("SVCTOKEN_SEED={} shows it again", self.0);
        }
    }
}
