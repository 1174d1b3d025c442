// Futexes: threads that wait at a word.

#include "check.h"

static zx_futex_t word, other;
static volatile zx_status_t waited[2];
static char stacks[2][16384] __attribute__((aligned(16)));

// Waits at `word`, which is 1, and says how that ended.
static void waiter(uintptr_t index, uintptr_t unused) {
    waited[index] = zx_futex_wait(&word, 1, ZX_HANDLE_INVALID, ZX_TIME_INFINITE);
    zx_thread_exit();
}

static void leaver(uintptr_t handle, uintptr_t unused) {
    zx_futex_wake_handle_close_thread_exit(&word, 1, 7, (zx_handle_t)handle);
}

static zx_handle_t start(int index, void (*entry)(uintptr_t, uintptr_t), uintptr_t argument) {
    zx_handle_t thread = ZX_HANDLE_INVALID;
    OK(zx_thread_create(zx_process_self(), "waiter", 6, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)entry, (zx_vaddr_t)(stacks[index] + sizeof(stacks[index]) - 8), argument, 0));
    return thread;
}

// Until it waits there, which nothing else could say.
static void until_waiting(zx_handle_t thread) {
    zx_nanosleep(zx_clock_get_monotonic() + ZX_MSEC(20));
    TRUE(signals_of(thread) & ZX_THREAD_RUNNING);
}

static void ended(zx_handle_t thread) {
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
}

int main(void) {
    zx_handle_t self = zx_take_startup_handle(PA_HND(PA_THREAD_SELF, 0)), event, fresh;
    zx_koid_t koid = 1;
    const zx_time_t soon = zx_clock_get_monotonic() + ZX_MSEC(1);
    word = 1;
    OK(zx_event_create(0, &event));
    OK(zx_thread_create(zx_process_self(), "new", 3, 0, &fresh));
    STATUS(zx_futex_wait(&word, 0, ZX_HANDLE_INVALID, ZX_TIME_INFINITE), ZX_ERR_BAD_STATE);
    STATUS(zx_futex_wait(&word, 1, ZX_HANDLE_INVALID, soon), ZX_ERR_TIMED_OUT);
    STATUS(zx_futex_wait(0, 1, ZX_HANDLE_INVALID, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_wait(BAD, 1, ZX_HANDLE_INVALID, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_wait((zx_futex_t*)((char*)&word + 1), 1, ZX_HANDLE_INVALID, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_wait(&word, 1, NO_HANDLE, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_futex_wait(&word, 1, event, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_futex_wait(&word, 1, self, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_wait(&word, 1, fresh, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_wake((zx_futex_t*)((char*)&word + 2), 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_wake(0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_wake_single_owner((zx_futex_t*)((char*)&word + 2)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_get_owner((zx_futex_t*)((char*)&word + 2), &koid), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_get_owner(&word, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_futex_get_owner(&word, &koid));
    NUMBER(koid, ZX_KOID_INVALID);
    OK(zx_futex_wake(&word, 5));

    // Two wait; one is woken and owns it, the other is moved and then woken where it is.
    zx_handle_t a, b;
    waited[0] = waited[1] = ZX_ERR_INTERNAL;
    a = start(0, waiter, 0);
    until_waiting(a);
    b = start(1, waiter, 1);
    until_waiting(b);
    STATUS(zx_futex_requeue(&word, 1, 0, &other, 1, ZX_HANDLE_INVALID), ZX_ERR_BAD_STATE);
    STATUS(zx_futex_requeue(&word, 1, 1, &word, 1, ZX_HANDLE_INVALID), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_requeue(&word, 1, 1, (zx_futex_t*)((char*)&other + 1), 1, ZX_HANDLE_INVALID), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_requeue(BAD, 1, 1, &other, 1, ZX_HANDLE_INVALID), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_requeue(&word, 1, 1, &other, 1, NO_HANDLE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_futex_requeue(&word, 1, 1, &other, 1, event), ZX_ERR_WRONG_TYPE);
    STATUS(zx_futex_requeue(&word, 1, 1, &other, 1, b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_requeue_single_owner(&word, 0, &other, 1, ZX_HANDLE_INVALID), ZX_ERR_BAD_STATE);
    STATUS(zx_futex_requeue_single_owner(&word, 1, &word, 1, ZX_HANDLE_INVALID), ZX_ERR_INVALID_ARGS);
    STATUS(zx_futex_requeue_single_owner(&word, 1, &other, 1, NO_HANDLE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_futex_requeue_single_owner(&word, 1, &other, 1, event), ZX_ERR_WRONG_TYPE);
    OK(zx_futex_requeue(&word, 1, 1, &other, 1, self));
    ended(a);
    NUMBER(waited[0], ZX_OK);
    OK(zx_futex_get_owner(&other, &koid));
    NUMBER(koid, koid_of(self));
    OK(zx_futex_wake(&word, 1));
    TRUE(signals_of(b) & ZX_THREAD_RUNNING);
    OK(zx_futex_wake_single_owner(&other));
    ended(b);
    NUMBER(waited[1], ZX_OK);

    // One that leaves: it stores, wakes and closes on its way.
    zx_handle_t copy = with_rights(event, ZX_RIGHT_WAIT);
    a = start(0, waiter, 0);
    until_waiting(a);
    b = start(1, leaver, copy);
    ended(b);
    ended(a);
    NUMBER(word, 7);
    STATUS(zx_handle_close(copy), ZX_ERR_BAD_HANDLE);
    return finish();
}
