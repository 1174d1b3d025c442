// The debug log.

#include "check.h"

int main(void) {
    zx_handle_t resource = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0)), writer, reader;
    OK(zx_debuglog_create(resource, 0, &writer));
    OK(zx_debuglog_create(resource, ZX_LOG_FLAG_READABLE, &reader));
    STATUS(zx_debuglog_create(resource, 1, &reader), ZX_ERR_INVALID_ARGS);
    STATUS(zx_debuglog_create(NO_HANDLE, 0, &writer), ZX_ERR_BAD_HANDLE);
    STATUS(zx_debuglog_create(zx_process_self(), 0, &writer), ZX_ERR_WRONG_TYPE);
    STATUS(zx_debuglog_create(resource, 0, BAD), ZX_ERR_INVALID_ARGS);

    char record[ZX_LOG_RECORD_MAX];
    STATUS(zx_debuglog_read(NO_HANDLE, 0, record, sizeof(record)), ZX_ERR_BAD_HANDLE);
    STATUS(zx_debuglog_read(zx_process_self(), 0, record, sizeof(record)), ZX_ERR_WRONG_TYPE);
    zx_status_t size;
    while (zx_debuglog_read(reader, 0, record, sizeof(record)) > 0) {}
    say("something to read");
    NUMBER(signals_of(reader) & ZX_LOG_READABLE, ZX_LOG_READABLE);
    while (zx_debuglog_read(reader, 0, record, sizeof(record)) > 0) {}
    STATUS(zx_debuglog_read(reader, 0, record, sizeof(record)), ZX_ERR_SHOULD_WAIT);
    // What checks print is in the log too, so between these two lines nothing is checked.
    while (zx_debuglog_read(reader, 0, record, sizeof(record)) > 0) {}
    zx_debuglog_write(writer, 0, "to the log", 10);
    size = zx_debuglog_read(reader, 0, record, sizeof(record));
    NUMBER(size, 40 + 10);
    TRUE(record[40] == 't' && record[49] == 'g');
    STATUS(zx_debuglog_read(reader, 1, record, sizeof(record)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_debuglog_read(reader, 0, BAD, sizeof(record)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_debuglog_read(writer, 0, record, sizeof(record)), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_debuglog_write(writer, 1, "x", 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_debuglog_write(writer, 0, BAD, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_debuglog_write(NO_HANDLE, 0, "x", 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_debuglog_write(resource, 0, "x", 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_debuglog_write(with_rights(writer, ZX_RIGHT_WAIT), 0, "x", 1), ZX_ERR_ACCESS_DENIED);
    OK(zx_debug_write("plain\n", 6));
    STATUS(zx_debug_write(BAD, 6), ZX_ERR_INVALID_ARGS);
    return finish();
}
