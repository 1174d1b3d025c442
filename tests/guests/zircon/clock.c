// Clocks that their users maintain.

#include "check.h"

#define VERSION(n) ((uint64_t)(n) << ZX_CLOCK_ARGS_VERSION_SHIFT)

int main(void) {
    zx_handle_t clock, steady, none;
    zx_clock_create_args_v1_t made = {1000};
    zx_clock_update_args_v1_t one = {0};
    zx_clock_update_args_v2_t two = {0};
    zx_time_t now = 0, later = 0;
    const uint64_t value = ZX_CLOCK_UPDATE_OPTION_SYNTHETIC_VALUE_VALID, rate = ZX_CLOCK_UPDATE_OPTION_RATE_ADJUST_VALID;
    STATUS(zx_clock_create(1ul << 40, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_create(ZX_CLOCK_OPT_CONTINUOUS, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_create(VERSION(2), &made, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_create(0, &made, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_create(VERSION(1), BAD, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_create(0, 0, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_clock_create(VERSION(1), &made, &clock));
    OK(zx_clock_create(ZX_CLOCK_OPT_MONOTONIC | ZX_CLOCK_OPT_CONTINUOUS | ZX_CLOCK_OPT_AUTO_START, 0, &steady));
    TRUE((rights_of(clock) & (ZX_RIGHT_READ | ZX_RIGHT_WRITE)) == (ZX_RIGHT_READ | ZX_RIGHT_WRITE));

    // Stopped at its backstop until it is given a value.
    OK(zx_clock_read(clock, &now));
    NUMBER(now, 1000);
    NUMBER(signals_of(clock), 0);
    one.value = 5000, one.rate_adjust = 100;
    STATUS(zx_clock_update(clock, VERSION(1) | rate, &one), ZX_ERR_BAD_STATE);
    STATUS(zx_clock_update(clock, value, &one), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_update(clock, VERSION(3) | value, &one), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_update(clock, VERSION(1) | 1ul << 4 | value, &one), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_update(clock, VERSION(1) | value, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_clock_update(clock, VERSION(1) | value, &one));
    TRUE(signals_of(clock) & ZX_CLOCK_STARTED);
    OK(zx_clock_read(clock, &now));
    OK(zx_clock_read(clock, &later));
    TRUE(now >= 5000 && later >= now);
    two.synthetic_value = 1ul << 50, two.reference_value = zx_clock_get_monotonic();
    OK(zx_clock_update(clock, VERSION(2) | value | ZX_CLOCK_UPDATE_OPTION_REFERENCE_VALUE_VALID, &two));
    OK(zx_clock_read(clock, &now));
    TRUE(now >= 1l << 50);
    two.rate_adjust = 1001;
    STATUS(zx_clock_update(clock, VERSION(2) | rate, &two), ZX_ERR_INVALID_ARGS);
    two.synthetic_value = 999;
    STATUS(zx_clock_update(clock, VERSION(2) | value, &two), ZX_ERR_INVALID_ARGS);

    // One that never jumps shows what its reference shows.
    zx_time_t before = zx_clock_get_monotonic();
    OK(zx_clock_read(steady, &now));
    TRUE(now >= before && now <= zx_clock_get_monotonic());
    STATUS(zx_clock_update(steady, VERSION(2) | value, &two), ZX_ERR_INVALID_ARGS);

    STATUS(zx_clock_read(clock, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_read(NO_HANDLE, &now), ZX_ERR_BAD_HANDLE);
    STATUS(zx_clock_read(zx_process_self(), &now), ZX_ERR_WRONG_TYPE);
    STATUS(zx_clock_read(with_rights(clock, ZX_RIGHT_WRITE), &now), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_clock_update(NO_HANDLE, VERSION(1) | value, &one), ZX_ERR_BAD_HANDLE);
    STATUS(zx_clock_update(zx_process_self(), VERSION(1) | value, &one), ZX_ERR_WRONG_TYPE);
    STATUS(zx_clock_update(with_rights(clock, ZX_RIGHT_READ), VERSION(1) | value, &one), ZX_ERR_ACCESS_DENIED);
    return finish();
}
