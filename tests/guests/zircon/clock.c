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

    // All about it: in nanoseconds of the reference and in ticks of the processor.
    zx_clock_details_v1_t details;
    const zx_ticks_t tick = zx_ticks_get();
    OK(zx_clock_get_details(clock, VERSION(1), &details));
    TRUE(details.options == 0 && details.backstop_time == 1000 && details.error_bound == ZX_CLOCK_UNKNOWN_ERROR);
    TRUE(details.reference_to_synthetic.synthetic_offset == 1l << 50 && details.generation_counter > 0);
    TRUE(details.reference_to_synthetic.reference_offset == two.reference_value);
    TRUE(details.query_ticks >= tick && details.query_ticks <= zx_ticks_get());
    TRUE(details.last_value_update_ticks > 0 && details.last_value_update_ticks <= tick);
    TRUE(details.last_rate_adjust_update_ticks > 0 && details.last_rate_adjust_update_ticks <= tick);
    NUMBER(details.last_error_bounds_update_ticks, 0);
    // Both lines lead to about the same time.
    const zx_clock_transformation_t* line = &details.reference_ticks_to_synthetic;
    const long double passed = (long double)(details.query_ticks - line->reference_offset) * line->rate.synthetic_ticks;
    OK(zx_clock_read(clock, &later));
    const int64_t differs = later - (line->synthetic_offset + (int64_t)(passed / line->rate.reference_ticks));
    TRUE(differs > -ZX_MSEC(1) && differs < ZX_MSEC(500));
    STATUS(zx_clock_get_details(clock, 0, &details), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_get_details(clock, VERSION(2), &details), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_get_details(clock, VERSION(1) | 1, &details), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_get_details(clock, VERSION(1), BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_get_details(NO_HANDLE, VERSION(1), &details), ZX_ERR_BAD_HANDLE);
    STATUS(zx_clock_get_details(zx_process_self(), VERSION(1), &details), ZX_ERR_WRONG_TYPE);
    STATUS(zx_clock_get_details(with_rights(clock, ZX_RIGHT_WRITE), VERSION(1), &details), ZX_ERR_ACCESS_DENIED);

    STATUS(zx_clock_read(clock, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_read(NO_HANDLE, &now), ZX_ERR_BAD_HANDLE);
    STATUS(zx_clock_read(zx_process_self(), &now), ZX_ERR_WRONG_TYPE);
    STATUS(zx_clock_read(with_rights(clock, ZX_RIGHT_WRITE), &now), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_clock_update(NO_HANDLE, VERSION(1) | value, &one), ZX_ERR_BAD_HANDLE);
    STATUS(zx_clock_update(zx_process_self(), VERSION(1) | value, &one), ZX_ERR_WRONG_TYPE);
    STATUS(zx_clock_update(with_rights(clock, ZX_RIGHT_READ), VERSION(1) | value, &one), ZX_ERR_ACCESS_DENIED);

    // A clock in memory is read without its handle, and outlives it.
    zx_handle_t mappable, root = zx_vmar_root_self();
    zx_clock_details_v1_t seen;
    uint64_t size = 0;
    zx_vaddr_t at = 0, bad;
    OK(zx_clock_create(VERSION(1) | ZX_CLOCK_OPT_MAPPABLE, &made, &mappable));
    TRUE((rights_of(mappable) & ZX_RIGHT_MAP) != 0 && (rights_of(clock) & ZX_RIGHT_MAP) == 0);
    OK(zx_object_get_info(mappable, ZX_INFO_CLOCK_MAPPED_SIZE, &size, sizeof(size), 0, 0));
    STATUS(zx_object_get_info(clock, ZX_INFO_CLOCK_MAPPED_SIZE, &size, sizeof(size), 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_get_info(root, ZX_INFO_CLOCK_MAPPED_SIZE, &size, sizeof(size), 0, 0), ZX_ERR_WRONG_TYPE);
    OK(zx_vmar_map_clock(root, ZX_VM_PERM_READ | ZX_VM_MAP_RANGE, 0, mappable, size, &at));
    OK(zx_clock_read_mapped((const void*)at, &now));
    NUMBER(now, 1000);
    one.value = 5000;
    OK(zx_clock_update(mappable, VERSION(1) | value, &one));
    OK(zx_clock_read(mappable, &before));
    OK(zx_clock_read_mapped((const void*)at, &now));
    OK(zx_clock_read(mappable, &later));
    TRUE(before <= now && now <= later);
    OK(zx_clock_get_details(mappable, VERSION(1), &details));
    OK(zx_clock_get_details_mapped((const void*)at, VERSION(1), &seen));
    TRUE(seen.options == ZX_CLOCK_OPT_MAPPABLE && seen.backstop_time == 1000 && seen.generation_counter == details.generation_counter);
    TRUE(seen.reference_to_synthetic.synthetic_offset == 5000 && seen.error_bound == ZX_CLOCK_UNKNOWN_ERROR);
    TRUE(seen.reference_to_synthetic.reference_offset == details.reference_to_synthetic.reference_offset);
    STATUS(zx_vmar_protect(root, ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, at, size), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_clock_get_details_mapped((const void*)at, 0, &seen), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, 0, mappable, size, &bad), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, 0, mappable, size, &bad), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ | ZX_VM_PERM_READ_IF_XOM_UNSUPPORTED, 0, mappable, size, &bad), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ, 0, mappable, size + 1, &bad), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ, 0, mappable, 2 * size, &bad), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ, 0, clock, size, &bad), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ, 0, with_rights(mappable, ZX_RIGHT_READ), size, &bad), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ, 0, NO_HANDLE, size, &bad), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map_clock(root, ZX_VM_PERM_READ, 0, root, size, &bad), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_map_clock(mappable, ZX_VM_PERM_READ, 0, mappable, size, &bad), ZX_ERR_WRONG_TYPE);
    STATUS(zx_clock_read_mapped(BAD, &later), ZX_ERR_INVALID_ARGS);
    STATUS(zx_clock_read_mapped((const void*)at, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_handle_close(mappable));
    OK(zx_clock_read_mapped((const void*)at, &later));
    TRUE(later >= now);
    return finish();
}
