//! Which tasks are seen again soon after they have woken another.
//!
//! The one idea: to wake a thread of the host that sleeps on another CPU takes as long as ten system calls, and two tasks with little to do
//! between two messages would wake each other's CPU for each. So a task whose CPU sleeps is held where it was woken for about that long: if the waker waits
//! by then, it is run there, behind it, and has all that the waker has sent meanwhile; if not, its CPU is woken. But only as often as the waker
//! comes by the kernel can that be seen to, and one that computes for long should have the other beside it at once. What it did the last
//! times is a good guess. (Linux has the wakers say whether they are about to wait, `WF_SYNC`.)

use std::cell::Cell;

/// Of how many tasks the habits are known; of two that share a place, those of the last.
const TASKS: usize = 64;
/// A task that is seen again within so many cycles is so soon: some 10 µs, half of what it takes to wake a CPU.
const SOON: u64 = 30_000;

/// What is known of one task, by its address, which may be another's later: it is a guess in any case.
#[derive(Clone, Copy, Debug, Default)]
struct Habit {
    task: usize,
    /// For how many cycles it was not seen; the older the less it counts.
    away: u64,
}

/// The habits of the tasks that ran on one CPU.
#[derive(Debug)]
pub(super) struct Habits([Cell<Habit>; TASKS]);

impl Habits {
    pub(super) fn new() -> Self {
        Self([const { Cell::new(Habit { task: 0, away: 0 }) }; TASKS])
    }

    fn place(&self, task: usize) -> &Cell<Habit> {
        // The lowest bits are the allocator's.
        let mixed = (task >> 4) ^ (task >> 12);
        &self.0[mixed % TASKS]
    }

    /// Whether `task` mostly waits or makes a call soon after it has woken another.
    pub(super) fn returns_soon(&self, task: usize) -> bool {
        let habit = self.place(task).get();
        habit.task == task && habit.away < SOON
    }

    /// `task` was seen again after so many cycles.
    pub(super) fn note(&self, task: usize, cycles: u64) {
        let place = self.place(task);
        let habit = place.get();
        let away = match habit.task == task {
            true => habit.away - habit.away / 4 + cycles / 4,
            false => cycles,
        };
        place.set(Habit { task, away });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_returns_soon_when_it_was_so_mostly() {
        let habits = Habits::new();
        let (task, other) = (0x7000_1000, 0x7000_2000);
        assert!(!habits.returns_soon(task), "nothing is known of it");
        habits.note(task, 1000);
        assert!(habits.returns_soon(task));
        assert!(!habits.returns_soon(other));
        habits.note(task, 10 * SOON);
        assert!(!habits.returns_soon(task), "it takes some time to forget");
        for _ in 0..10 {
            habits.note(task, 1000);
        }
        assert!(habits.returns_soon(task));
        habits.note(task, u64::MAX);
        habits.note(task, u64::MAX);
        assert!(!habits.returns_soon(task));
    }

    #[test]
    fn of_two_tasks_in_one_place_the_last_counts() {
        let habits = Habits::new();
        let task = 0x7000_1000;
        let same = (1..)
            .map(|n| task + n * 16)
            .find(|&other| std::ptr::eq(habits.place(task), habits.place(other)));
        habits.note(task, 0);
        habits.note(same.unwrap(), 0);
        assert!(!habits.returns_soon(task));
        assert!(habits.returns_soon(same.unwrap()));
    }
}
