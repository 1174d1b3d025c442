// Timers: set, fired, set again, cancelled.

#include "check.h"

int main(void) {
    zx_handle_t timer, boot;
    STATUS(zx_timer_create(3, ZX_CLOCK_MONOTONIC, &timer), ZX_ERR_INVALID_ARGS);
    STATUS(zx_timer_create(0, 99, &timer), ZX_ERR_INVALID_ARGS);
    STATUS(zx_timer_create(0, ZX_CLOCK_MONOTONIC, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_timer_create(ZX_TIMER_SLACK_EARLY, ZX_CLOCK_MONOTONIC, &timer));
    OK(zx_timer_create(ZX_TIMER_SLACK_LATE, ZX_CLOCK_BOOT, &boot));
    NUMBER(rights_of(timer), ZX_RIGHT_DUPLICATE | ZX_RIGHT_TRANSFER | ZX_RIGHT_WRITE | ZX_RIGHT_SIGNAL | ZX_RIGHT_WAIT | ZX_RIGHT_INSPECT);

    // One that fires in time, and one that is due at once.
    zx_time_t due = zx_clock_get_monotonic() + ZX_MSEC(5);
    OK(zx_timer_set(timer, due, 0));
    NUMBER(signals_of(timer), 0);
    OK(zx_object_wait_one(timer, ZX_TIMER_SIGNALED, ZX_TIME_INFINITE, 0));
    TRUE(zx_clock_get_monotonic() >= due);
    OK(zx_timer_set(timer, ZX_TIME_INFINITE, 0));
    NUMBER(signals_of(timer), 0);
    OK(zx_timer_set(timer, -5, 0));
    NUMBER(signals_of(timer), ZX_TIMER_SIGNALED);
    OK(zx_timer_cancel(timer));
    NUMBER(signals_of(timer), 0);
    OK(zx_timer_set(boot, 0, ZX_SEC(1)));
    OK(zx_object_wait_one(boot, ZX_TIMER_SIGNALED, ZX_TIME_INFINITE, 0));

    // One that was cancelled does not fire.
    OK(zx_timer_set(timer, zx_clock_get_monotonic() + ZX_MSEC(2), 0));
    OK(zx_timer_cancel(timer));
    STATUS(zx_object_wait_one(timer, ZX_TIMER_SIGNALED, zx_clock_get_monotonic() + ZX_MSEC(6), 0), ZX_ERR_TIMED_OUT);

    // What is known of one that is set, and of one that is not.
    zx_info_timer_t info = {0};
    OK(zx_timer_set(timer, ZX_TIME_INFINITE - 1, 7));
    OK(zx_object_get_info(timer, ZX_INFO_TIMER, &info, sizeof(info), 0, 0));
    TRUE(info.options == ZX_TIMER_SLACK_EARLY && info.clock_id == ZX_CLOCK_MONOTONIC);
    TRUE(info.deadline == ZX_TIME_INFINITE - 1 && info.slack == 7);
    OK(zx_timer_cancel(timer));
    OK(zx_object_get_info(timer, ZX_INFO_TIMER, &info, sizeof(info), 0, 0));
    TRUE(info.deadline == 0 && info.slack == 0);
    STATUS(zx_object_get_info(zx_process_self(), ZX_INFO_TIMER, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(with_rights(timer, ZX_RIGHT_WRITE), ZX_INFO_TIMER, &info, sizeof(info), 0, 0), ZX_ERR_ACCESS_DENIED);

    zx_handle_t reader = with_rights(timer, ZX_RIGHT_INSPECT);
    STATUS(zx_timer_set(timer, 0, -1), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_timer_set(reader, 0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_timer_cancel(reader), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_timer_set(NO_HANDLE, 0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_timer_cancel(NO_HANDLE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_timer_set(zx_process_self(), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_timer_cancel(zx_process_self()), ZX_ERR_WRONG_TYPE);
    return finish();
}
