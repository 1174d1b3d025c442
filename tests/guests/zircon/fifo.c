// FIFOs: elements of one size between two ends.

#include "check.h"

int main(void) {
    zx_handle_t a, b;
    uint32_t in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {0};
    size_t count = 0;

    STATUS(zx_fifo_create(4, 4, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_fifo_create(4, 4, 0, BAD, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_fifo_create(4, 4, 0, &a, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_fifo_create(0, 4, 0, &a, &b), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_fifo_create(4, 0, 0, &a, &b), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_fifo_create(1025, 4, 0, &a, &b), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_fifo_create((size_t)1 << 62, 4, 0, &a, &b), ZX_ERR_OUT_OF_RANGE);
    OK(zx_fifo_create(1024, 4, 0, &a, &b));
    OK(zx_handle_close(a));
    OK(zx_handle_close(b));
    OK(zx_fifo_create(4, 4, 0, &a, &b));
    NUMBER(signals_of(a), ZX_FIFO_WRITABLE);

    // Errors that move nothing.
    STATUS(zx_fifo_read(b, 4, out, 8, &count), ZX_ERR_SHOULD_WAIT);
    STATUS(zx_fifo_write(a, 4, in, 0, &count), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_fifo_write(a, 8, in, 1, &count), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_fifo_write(a, 0, in, 1, &count), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_fifo_write(a, 4, BAD, 1, &count), ZX_ERR_INVALID_ARGS);
    STATUS(zx_fifo_write(NO_HANDLE, 4, in, 1, &count), ZX_ERR_BAD_HANDLE);
    STATUS(zx_fifo_write(zx_process_self(), 4, in, 1, &count), ZX_ERR_WRONG_TYPE);
    zx_handle_t reader = with_rights(a, ZX_RIGHT_READ);
    STATUS(zx_fifo_write(reader, 4, in, 1, &count), ZX_ERR_ACCESS_DENIED);
    OK(zx_handle_close(reader));
    STATUS(zx_fifo_read(b, 4, out, 1, &count), ZX_ERR_SHOULD_WAIT);

    // Fewer than asked for, when there is no room for more.
    OK(zx_fifo_write(a, 4, in, 8, &count));
    NUMBER(count, 4);
    NUMBER(signals_of(a), 0);
    NUMBER(signals_of(b), ZX_FIFO_READABLE | ZX_FIFO_WRITABLE);
    STATUS(zx_fifo_write(a, 4, in, 1, &count), ZX_ERR_SHOULD_WAIT);
    OK(zx_fifo_read(b, 4, out, 1, 0));
    NUMBER(out[0], 1);
    OK(zx_fifo_write(a, 4, in + 4, 1, 0));
    STATUS(zx_fifo_read(b, 4, out, 0, &count), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_fifo_read(b, 1, out, 1, &count), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_fifo_read(NO_HANDLE, 4, out, 1, &count), ZX_ERR_BAD_HANDLE);
    STATUS(zx_fifo_read(zx_process_self(), 4, out, 1, &count), ZX_ERR_WRONG_TYPE);
    STATUS(zx_fifo_read(with_rights(b, ZX_RIGHT_WRITE), 4, out, 1, &count), ZX_ERR_ACCESS_DENIED);
    OK(zx_fifo_read(b, 4, out, SIZE_MAX, &count));
    NUMBER(count, 4);
    TRUE(out[0] == 2 && out[1] == 3 && out[2] == 4 && out[3] == 5);
    OK(zx_fifo_write(a, 4, in, 2, 0));
    STATUS(zx_fifo_read(b, 4, BAD, 1, &count), ZX_ERR_INVALID_ARGS);
    STATUS(zx_fifo_read(b, 4, out, 1, BAD), ZX_ERR_INVALID_ARGS);

    // What was written before an end was closed can still be read.
    OK(zx_fifo_write(a, 4, in, 1, 0));
    OK(zx_handle_close(a));
    NUMBER(signals_of(b), ZX_FIFO_READABLE | ZX_FIFO_PEER_CLOSED);
    STATUS(zx_fifo_write(b, 4, in, 1, &count), ZX_ERR_PEER_CLOSED);
    OK(zx_fifo_read(b, 4, out, 8, &count));
    STATUS(zx_fifo_read(b, 4, out, 8, &count), ZX_ERR_PEER_CLOSED);
    return finish();
}
