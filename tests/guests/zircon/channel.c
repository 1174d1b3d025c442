// Channels: messages with bytes and handles, read and written in all four ways.

#include "check.h"

static char large[ZX_CHANNEL_MAX_MSG_BYTES + 1];

int main(void) {
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
