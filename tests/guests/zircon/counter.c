// Counters: numbers that can be waited for.

#include "check.h"

int main(void) {
    zx_handle_t counter;
    int64_t value = -1;
    STATUS(zx_counter_create(1, &counter), ZX_ERR_INVALID_ARGS);
    STATUS(zx_counter_create(0, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_counter_create(0, &counter));
    OK(zx_counter_read(counter, &value));
    NUMBER(value, 0);
    NUMBER(signals_of(counter), ZX_COUNTER_NON_POSITIVE);

    OK(zx_counter_add(counter, 5));
    NUMBER(signals_of(counter), ZX_COUNTER_POSITIVE);
    OK(zx_counter_add(counter, -7));
    OK(zx_counter_read(counter, &value));
    NUMBER(value, -2);
    OK(zx_counter_write(counter, INT64_MAX));
    STATUS(zx_counter_add(counter, 1), ZX_ERR_OUT_OF_RANGE);
    OK(zx_counter_read(counter, &value));
    NUMBER(value, INT64_MAX);

    zx_handle_t reader = with_rights(counter, ZX_RIGHT_READ), writer = with_rights(counter, ZX_RIGHT_WRITE);
    STATUS(zx_counter_read(writer, &value), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_counter_write(reader, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_counter_add(reader, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_counter_add(writer, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_counter_read(counter, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_counter_read(NO_HANDLE, &value), ZX_ERR_BAD_HANDLE);
    STATUS(zx_counter_write(NO_HANDLE, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_counter_add(NO_HANDLE, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_counter_read(zx_process_self(), &value), ZX_ERR_WRONG_TYPE);
    STATUS(zx_counter_write(zx_process_self(), 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_counter_add(zx_process_self(), 1), ZX_ERR_WRONG_TYPE);
    return finish();
}
