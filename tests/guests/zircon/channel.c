// Channels: messages with bytes and handles, read and written in all four ways.

#include "check.h"

static char large[ZX_CHANNEL_MAX_MSG_BYTES + 1];

static char stack[16384] __attribute__((aligned(16)));

static void close_it(uintptr_t handle, uintptr_t unused) {
    zx_nanosleep(zx_deadline_after(ZX_MSEC(20)));
    zx_handle_close((zx_handle_t)handle);
    zx_thread_exit();
}

// Has another thread close a handle while this one waits.
static zx_handle_t close_soon(zx_handle_t handle) {
    zx_handle_t closer = ZX_HANDLE_INVALID;
    OK(zx_thread_create(zx_process_self(), "closer", 6, 0, &closer));
    OK(zx_thread_start(closer, (zx_vaddr_t)&close_it, (zx_vaddr_t)(stack + sizeof(stack) - 8), handle, 0));
    return closer;
}

static char answered[8];

// Answers the first call that comes with as many bytes as it asks for.
static void serve(uintptr_t handle, uintptr_t bytes) {
    zx_object_wait_one((zx_handle_t)handle, ZX_CHANNEL_READABLE, ZX_TIME_INFINITE, 0);
    zx_channel_read((zx_handle_t)handle, 0, answered, 0, sizeof(answered), 0, 0, 0);
    zx_channel_write((zx_handle_t)handle, 0, answered, bytes, 0, 0);
    zx_thread_exit();
}

static zx_handle_t server(zx_handle_t handle, uint32_t bytes) {
    zx_handle_t thread = ZX_HANDLE_INVALID;
    OK(zx_thread_create(zx_process_self(), "server", 6, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)&serve, (zx_vaddr_t)(stack + sizeof(stack) - 8), handle, bytes));
    return thread;
}

static void ended(zx_handle_t thread) { OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0)); }

// Reading with what the handles are, and its errors.
static void read_etc(void) {
    zx_handle_t a, b, event;
    zx_handle_info_t infos[2];
    uint32_t bytes = 0, handles = 0;
    char text[8];
    OK(zx_channel_create(0, &a, &b));
    OK(zx_event_create(0, &event));
    STATUS(zx_channel_read_etc(NO_HANDLE, 0, text, infos, 8, 2, 0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_channel_read_etc(event, 0, text, infos, 8, 2, 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_channel_read_etc(b, 2, text, infos, 8, 2, 0, 0), ZX_ERR_INVALID_ARGS);
    OK(zx_channel_write(a, 0, "abc", 3, &event, 1));
    STATUS(zx_channel_read_etc(b, 0, text, infos, 2, 2, &bytes, &handles), ZX_ERR_BUFFER_TOO_SMALL);
    TRUE(bytes == 3 && handles == 1);
    STATUS(zx_channel_read_etc(b, 0, text, infos, 8, 0, &bytes, &handles), ZX_ERR_BUFFER_TOO_SMALL);
    OK(zx_channel_read_etc(b, 0, text, infos, 8, 2, &bytes, &handles));
    zx_handle_t weak = ZX_HANDLE_INVALID;
    OK(zx_handle_replace(b, ZX_RIGHT_WRITE, &weak));
    STATUS(zx_channel_read_etc(weak, 0, text, infos, 8, 2, 0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_channel_read(weak, 0, text, 0, 8, 0, 0, 0), ZX_ERR_ACCESS_DENIED);
    OK(zx_handle_close(weak));
    STATUS(zx_channel_read_etc(a, 0, text, infos, 8, 2, 0, 0), ZX_ERR_PEER_CLOSED);
    STATUS(zx_channel_write_etc(a, 0, text, 1, 0, 0), ZX_ERR_PEER_CLOSED);
    STATUS(zx_channel_write(infos[0].handle, 0, text, 1, 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_channel_write_etc(NO_HANDLE, 0, text, 1, 0, 0), ZX_ERR_BAD_HANDLE);
    OK(zx_channel_create(0, &a, &b));
    STATUS(zx_channel_write_etc(a, 0, large, ZX_CHANNEL_MAX_MSG_BYTES + 1, 0, 0), ZX_ERR_OUT_OF_RANGE);
    zx_handle_disposition_t line = {ZX_HANDLE_OP_DUPLICATE, infos[0].handle, 0, ZX_RIGHT_SAME_RIGHTS, ZX_OK};
    static zx_handle_disposition_t many[ZX_CHANNEL_MAX_MSG_HANDLES + 1];
    for (uint32_t i = 0; i <= ZX_CHANNEL_MAX_MSG_HANDLES; i++) many[i] = line;
    STATUS(zx_channel_write_etc(a, 0, text, 1, many, ZX_CHANNEL_MAX_MSG_HANDLES + 1), ZX_ERR_OUT_OF_RANGE);
}

// What a call can come to, in both forms.
static void calls(void) {
    zx_handle_t a, b, event, moved, thread, weak = ZX_HANDLE_INVALID;
    char request[8] = "....ask", answer[16];
    uint32_t bytes = 0, handles = 0;
    zx_channel_call_args_t args = {request, 0, answer, 0, 8, 0, 16, 0};
    zx_channel_call_etc_args_t etc = {request, 0, answer, 0, 8, 0, 16, 0};
    OK(zx_channel_create(0, &a, &b));
    OK(zx_event_create(0, &event));

    thread = server(b, 8);
    OK(zx_channel_call(a, 0, ZX_TIME_INFINITE, &args, &bytes, &handles));
    TRUE(bytes == 8 && handles == 0 && answer[4] == 'a');
    ended(thread);
    thread = server(b, 8);
    OK(zx_channel_call_etc(a, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles));
    TRUE(bytes == 8 && handles == 0 && answer[4] == 'a');
    ended(thread);
    args.rd_num_bytes = etc.rd_num_bytes = 7;
    thread = server(b, 8);
    STATUS(zx_channel_call(a, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_BUFFER_TOO_SMALL);
    NUMBER(bytes, 8);
    ended(thread);
    thread = server(b, 8);
    STATUS(zx_channel_call_etc(a, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_BUFFER_TOO_SMALL);
    ended(thread);
    args.rd_num_bytes = etc.rd_num_bytes = 16;

    STATUS(zx_channel_call(event, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_WRONG_TYPE);
    STATUS(zx_channel_call_etc(event, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_WRONG_TYPE);
    STATUS(zx_channel_call_etc(NO_HANDLE, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_BAD_HANDLE);
    STATUS(zx_channel_call_etc(a, 1, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_call_etc(a, 0, ZX_TIME_INFINITE, BAD, &bytes, &handles), ZX_ERR_INVALID_ARGS);
    args.wr_num_bytes = etc.wr_num_bytes = 3;
    STATUS(zx_channel_call_etc(a, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_INVALID_ARGS);
    args.wr_bytes = etc.wr_bytes = large;
    args.wr_num_bytes = etc.wr_num_bytes = ZX_CHANNEL_MAX_MSG_BYTES + 1;
    STATUS(zx_channel_call(a, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_channel_call_etc(a, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_OUT_OF_RANGE);
    args.wr_bytes = etc.wr_bytes = request;
    args.wr_num_bytes = etc.wr_num_bytes = 8;
    STATUS(zx_channel_call_etc(a, 0, zx_deadline_after(ZX_MSEC(1)), &etc, &bytes, &handles), ZX_ERR_TIMED_OUT);

    // Handles that may not go, and a channel that is to go through itself.
    args.wr_handles = &moved, args.wr_num_handles = 1;
    moved = with_rights(event, ZX_RIGHT_WAIT);
    STATUS(zx_channel_call(a, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_handle_close(moved), ZX_ERR_BAD_HANDLE);
    zx_handle_disposition_t line = {ZX_HANDLE_OP_MOVE, with_rights(event, ZX_RIGHT_WAIT), 0, ZX_RIGHT_SAME_RIGHTS, ZX_OK};
    etc.wr_handles = &line, etc.wr_num_handles = 1;
    STATUS(zx_channel_call_etc(a, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_ACCESS_DENIED);
    NUMBER(line.result, ZX_ERR_ACCESS_DENIED);
    zx_handle_t c, d;
    OK(zx_channel_create(0, &c, &d));
    moved = c;
    STATUS(zx_channel_call(c, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_NOT_SUPPORTED);
    OK(zx_channel_create(0, &c, &d));
    line = (zx_handle_disposition_t){ZX_HANDLE_OP_MOVE, c, 0, ZX_RIGHT_SAME_RIGHTS, ZX_OK};
    STATUS(zx_channel_call_etc(c, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_NOT_SUPPORTED);
    args.wr_num_handles = etc.wr_num_handles = 0;

    // The channel is closed at this end while it waits, or has been at the other.
    OK(zx_channel_create(0, &c, &d));
    thread = close_soon(c);
    STATUS(zx_channel_call(c, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_CANCELED);
    ended(thread);
    OK(zx_channel_create(0, &c, &d));
    thread = close_soon(c);
    STATUS(zx_channel_call_etc(c, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_CANCELED);
    ended(thread);
    OK(zx_channel_create(0, &c, &d));
    OK(zx_handle_close(d));
    STATUS(zx_channel_call_etc(c, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_PEER_CLOSED);
    OK(zx_channel_create(0, &c, &d));
    OK(zx_handle_replace(c, ZX_RIGHT_READ, &weak));
    STATUS(zx_channel_call(weak, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_channel_call_etc(weak, 0, ZX_TIME_INFINITE, &etc, &bytes, &handles), ZX_ERR_ACCESS_DENIED);
}

int main(void) {
    read_etc();
    calls();
    zx_handle_t a, b, event;
    STATUS(zx_channel_create(1, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_create(0, BAD, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_create(0, &a, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_channel_create(0, &a, &b));
    NUMBER(rights_of(a), ZX_RIGHT_TRANSFER | ZX_RIGHT_WAIT | ZX_RIGHT_INSPECT | ZX_RIGHT_READ | ZX_RIGHT_WRITE | ZX_RIGHT_SIGNAL | ZX_RIGHT_SIGNAL_PEER);
    NUMBER(signals_of(a), ZX_CHANNEL_WRITABLE);

    uint32_t bytes, handles;
    char text[16] = {0};
    zx_handle_t got[2];
    STATUS(zx_channel_read(b, 0, text, got, sizeof(text), 2, &bytes, &handles), ZX_ERR_SHOULD_WAIT);
    OK(zx_event_create(0, &event));
    zx_koid_t koid = koid_of(event);
    OK(zx_channel_write(a, 0, "abc", 3, &event, 1));
    STATUS(zx_handle_check_valid(event), ZX_ERR_BAD_HANDLE);
    NUMBER(signals_of(b), ZX_CHANNEL_READABLE | ZX_CHANNEL_WRITABLE);
    STATUS(zx_channel_read(b, 0, text, got, 2, 2, &bytes, &handles), ZX_ERR_BUFFER_TOO_SMALL);
    NUMBER(bytes, 3);
    NUMBER(handles, 1);
    STATUS(zx_channel_read(b, 0, text, got, 3, 0, &bytes, &handles), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_channel_read(b, 2, text, got, 3, 1, &bytes, &handles), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_read(event, 0, text, got, 3, 1, &bytes, &handles), ZX_ERR_BAD_HANDLE);
    OK(zx_channel_read(b, 0, text, got, sizeof(text), 2, 0, 0));
    TRUE(text[0] == 'a' && text[2] == 'c' && koid_of(got[0]) == koid);
    STATUS(zx_channel_read(got[0], 0, text, got, 3, 1, &bytes, &handles), ZX_ERR_WRONG_TYPE);

    // A message that does not fit may be dropped.
    OK(zx_channel_write(a, 0, "abc", 3, 0, 0));
    STATUS(zx_channel_read(b, ZX_CHANNEL_READ_MAY_DISCARD, text, 0, 1, 0, &bytes, &handles), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_channel_read(b, 0, text, 0, 16, 0, &bytes, &handles), ZX_ERR_SHOULD_WAIT);
    // One that cannot be copied out is lost.
    OK(zx_channel_write(a, 0, "abc", 3, 0, 0));
    STATUS(zx_channel_read(b, 0, BAD, 0, 16, 0, &bytes, &handles), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_read(b, 0, text, 0, 16, 0, &bytes, &handles), ZX_ERR_SHOULD_WAIT);

    // Writing: limits, options, handles.
    OK(zx_channel_write(a, 0, large, ZX_CHANNEL_MAX_MSG_BYTES, 0, 0));
    OK(zx_channel_read(b, 0, large, 0, sizeof(large), 0, &bytes, 0));
    NUMBER(bytes, ZX_CHANNEL_MAX_MSG_BYTES);
    STATUS(zx_channel_write(a, 0, large, ZX_CHANNEL_MAX_MSG_BYTES + 1, 0, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_channel_write(a, 4, "abc", 3, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_write(a, 0, BAD, 3, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_write(a, 0, "abc", 3, BAD, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_write(a, 0, "abc", 3, got, ZX_CHANNEL_MAX_MSG_HANDLES + 1), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_channel_write(NO_HANDLE, 0, "abc", 3, 0, 0), ZX_ERR_BAD_HANDLE);
    OK(zx_channel_write(a, 0, 0, 0, 0, 0));
    OK(zx_channel_read(b, 0, 0, 0, 0, 0, &bytes, &handles));
    NUMBER(bytes, 0);
    zx_handle_t twice[2];
    OK(zx_event_create(0, &twice[0]));
    twice[1] = twice[0];
    STATUS(zx_channel_write(a, 0, 0, 0, twice, 2), ZX_ERR_BAD_HANDLE);
    STATUS(zx_handle_check_valid(twice[0]), ZX_ERR_BAD_HANDLE);
    zx_handle_t stuck = with_rights(got[0], ZX_RIGHT_WAIT);
    STATUS(zx_channel_write(a, 0, 0, 0, &stuck, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_handle_check_valid(stuck), ZX_ERR_BAD_HANDLE);
    // Handles are gone even if the bytes cannot be read.
    OK(zx_event_create(0, &event));
    STATUS(zx_channel_write(a, 0, BAD, 3, &event, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_handle_check_valid(event), ZX_ERR_BAD_HANDLE);

    // Bytes from several places.
    zx_channel_iovec_t parts[3] = {{"ab", 2, 0}, {0, 0, 0}, {"cde", 3, 0}};
    OK(zx_channel_write(a, ZX_CHANNEL_WRITE_USE_IOVEC, parts, 3, 0, 0));
    OK(zx_channel_read(b, 0, text, 0, 16, 0, &bytes, 0));
    NUMBER(bytes, 5);
    TRUE(text[1] == 'b' && text[2] == 'c' && text[4] == 'e');
    parts[1].reserved = 1;
    STATUS(zx_channel_write(a, ZX_CHANNEL_WRITE_USE_IOVEC, parts, 3, 0, 0), ZX_ERR_INVALID_ARGS);
    parts[1] = (zx_channel_iovec_t){large, ZX_CHANNEL_MAX_MSG_BYTES - 1, 0};
    STATUS(zx_channel_write(a, ZX_CHANNEL_WRITE_USE_IOVEC, parts, 3, 0, 0), ZX_ERR_OUT_OF_RANGE);
    parts[1] = (zx_channel_iovec_t){BAD, 1, 0};
    STATUS(zx_channel_write(a, ZX_CHANNEL_WRITE_USE_IOVEC, parts, 3, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_write(a, ZX_CHANNEL_WRITE_USE_IOVEC, parts, ZX_CHANNEL_MAX_MSG_IOVECS + 1, 0, 0), ZX_ERR_OUT_OF_RANGE);

    // With dispositions.
    OK(zx_event_create(0, &event));
    zx_handle_disposition_t lines[2] = {
        {ZX_HANDLE_OP_DUPLICATE, event, ZX_OBJ_TYPE_EVENT, ZX_RIGHT_WAIT | ZX_RIGHT_TRANSFER, ZX_OK},
        {ZX_HANDLE_OP_MOVE, event, ZX_OBJ_TYPE_NONE, ZX_RIGHT_SAME_RIGHTS, ZX_OK},
    };
    OK(zx_channel_write_etc(a, 0, "x", 1, lines, 2));
    STATUS(zx_handle_check_valid(event), ZX_ERR_BAD_HANDLE);
    zx_handle_info_t infos[2];
    OK(zx_channel_read_etc(b, 0, text, infos, 16, 2, &bytes, &handles));
    NUMBER(handles, 2);
    NUMBER(infos[0].type, ZX_OBJ_TYPE_EVENT);
    NUMBER(infos[0].rights, ZX_RIGHT_WAIT | ZX_RIGHT_TRANSFER);
    TRUE(infos[1].rights == rights_of(infos[1].handle) && infos[1].unused == 0);
    lines[0].handle = infos[1].handle;
    lines[0].type = ZX_OBJ_TYPE_CHANNEL;
    lines[1].handle = NO_HANDLE;
    STATUS(zx_channel_write_etc(a, 0, "x", 1, lines, 2), ZX_ERR_WRONG_TYPE);
    NUMBER(lines[0].result, ZX_ERR_WRONG_TYPE);
    NUMBER(lines[1].result, ZX_ERR_BAD_HANDLE);
    lines[0] = (zx_handle_disposition_t){7, infos[1].handle, 0, ZX_RIGHT_SAME_RIGHTS, ZX_OK};
    STATUS(zx_channel_write_etc(a, 0, "x", 1, lines, 1), ZX_ERR_INVALID_ARGS);
    lines[0] = (zx_handle_disposition_t){ZX_HANDLE_OP_DUPLICATE, infos[0].handle, 0, ZX_RIGHT_SAME_RIGHTS, ZX_OK};
    STATUS(zx_channel_write_etc(a, 0, "x", 1, lines, 1), ZX_ERR_ACCESS_DENIED);
    lines[0] = (zx_handle_disposition_t){ZX_HANDLE_OP_MOVE, a, 0, ZX_RIGHT_SAME_RIGHTS, ZX_OK};
    zx_handle_t c, d;
    OK(zx_channel_create(0, &c, &d));
    lines[0].handle = c;
    STATUS(zx_channel_write_etc(c, 0, "x", 1, lines, 1), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_channel_write_etc(a, 0, "x", 1, BAD, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_read_etc(b, 0, text, infos, 16, 2, &bytes, &handles), ZX_ERR_SHOULD_WAIT);

    // A channel cannot be sent through itself.
    OK(zx_channel_create(0, &c, &d));
    zx_handle_t itself = c;
    STATUS(zx_channel_write(c, 0, 0, 0, &itself, 1), ZX_ERR_NOT_SUPPORTED);

    // A call that nobody answers, and one whose answer is there already.
    char request[8] = "....ask", answer[16];
    zx_channel_call_args_t args = {request, 0, answer, 0, 8, 0, 16, 0};
    OK(zx_channel_create(0, &c, &d));
    STATUS(zx_channel_call(c, 0, zx_deadline_after(ZX_MSEC(1)), &args, &bytes, &handles), ZX_ERR_TIMED_OUT);
    OK(zx_channel_read(d, 0, text, 0, 16, 0, &bytes, 0));
    TRUE(bytes == 8 && text[4] == 'a' && *(uint32_t*)text != *(uint32_t*)request);
    args.wr_num_bytes = 3;
    STATUS(zx_channel_call(c, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_INVALID_ARGS);
    args.wr_num_bytes = 8;
    STATUS(zx_channel_call(c, 1, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_call(c, 0, ZX_TIME_INFINITE, BAD, &bytes, &handles), ZX_ERR_INVALID_ARGS);
    STATUS(zx_channel_call(NO_HANDLE, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_BAD_HANDLE);
    zx_handle_close(d);
    STATUS(zx_channel_call(c, 0, ZX_TIME_INFINITE, &args, &bytes, &handles), ZX_ERR_PEER_CLOSED);

    // The other end closes: what it wrote can still be read.
    OK(zx_channel_write(a, 0, "end", 3, 0, 0));
    OK(zx_handle_close(a));
    NUMBER(signals_of(b), ZX_CHANNEL_READABLE | ZX_CHANNEL_PEER_CLOSED);
    STATUS(zx_channel_write(b, 0, "x", 1, 0, 0), ZX_ERR_PEER_CLOSED);
    OK(zx_channel_read(b, 0, text, 0, 16, 0, &bytes, 0));
    STATUS(zx_channel_read(b, 0, text, 0, 16, 0, &bytes, 0), ZX_ERR_PEER_CLOSED);
    return finish();
}
