// Pagers: this thread is the service, another one uses the pages and waits for them wherever it touches one.

#include "check.h"

#define PAGE 4096ul
#define RW (ZX_VM_PERM_READ | ZX_VM_PERM_WRITE)

static char stack[32768] __attribute__((aligned(16)));
static zx_handle_t pager, port, aux;

static void (*work)(void);
static zx_handle_t vmo, thread;
static char* mapped;
static volatile zx_status_t result;
static const char* volatile calling = "work()";
static volatile size_t count;
static volatile char seen;

static void run(uintptr_t unused, uintptr_t unused2) {
    work();
    zx_thread_exit();
}

static void begin(void (*what)(void)) {
    work = what;
    OK(zx_thread_create(zx_process_self(), "user", 4, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)&run, (zx_vaddr_t)(stack + sizeof(stack) - 8), 0, 0));
}

static void end(zx_status_t wanted) {
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, zx_deadline_after(ZX_SEC(20)), 0));
    check_status(calling, result, wanted);
    calling = "work()";
    zx_handle_close(thread);
}

// The next request, which must be this one; the thread waits for the answer.
static void request(uint16_t command, uint64_t offset, uint64_t length) {
    zx_port_packet_t packet = {0};
    OK(zx_port_wait(port, zx_deadline_after(ZX_SEC(20)), &packet));
    TRUE(packet.key == 7 && packet.type == ZX_PKT_TYPE_PAGE_REQUEST);
    NUMBER(packet.page_request.command, command);
    NUMBER(packet.page_request.offset, offset);
    NUMBER(packet.page_request.length, length);
    if (command == ZX_PAGER_VMO_COMPLETE) return;
    zx_info_thread_t info = {0};
    for (int i = 0; i < 1000 && info.state != ZX_THREAD_STATE_BLOCKED_PAGER; i++) {
        zx_nanosleep(zx_deadline_after(ZX_MSEC(1)));
        zx_object_get_info(thread, ZX_INFO_THREAD, &info, sizeof(info), 0, 0);
    }
    NUMBER(info.state, ZX_THREAD_STATE_BLOCKED_PAGER);
}

static void none_left(void) {
    zx_port_packet_t packet;
    STATUS(zx_port_wait(port, 0, &packet), ZX_ERR_TIMED_OUT);
}

// Pages that begin with these letters, at `offset`.
static void supply(uint64_t offset, const char* letters) {
    uint64_t pages = 0;
    for (; letters[pages] != 0; pages++) zx_vmo_write(aux, letters + pages, pages * PAGE, 1);
    OK(zx_pager_supply_pages(pager, vmo, offset, pages * PAGE, aux, 0));
}

static void fresh(uint32_t options, uint64_t pages) {
    zx_vaddr_t at = 0;
    OK(zx_pager_create_vmo(pager, options, port, 7, pages * PAGE, &vmo));
    OK(zx_vmar_map(zx_vmar_root_self(), RW | ZX_VM_ALLOW_FAULTS, 0, vmo, 0, pages * PAGE, &at));
    mapped = (char*)at;
}

static void errors(void) {
    zx_handle_t none, plain, other;
    uint64_t size = 0;
    STATUS(zx_pager_create(1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_create(0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_create_vmo(pager, 1u << 31, port, 7, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_create_vmo(pager, ZX_VMO_DISCARDABLE, port, 7, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_create_vmo(pager, 0, port, 7, PAGE, BAD), ZX_ERR_INVALID_ARGS);
    request(ZX_PAGER_VMO_COMPLETE, 0, 0); // of the one that nobody could be told of
    STATUS(zx_pager_create_vmo(NO_HANDLE, 0, port, 7, PAGE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_create_vmo(pager, 0, NO_HANDLE, 7, PAGE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_create_vmo(port, 0, port, 7, PAGE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_create_vmo(pager, 0, pager, 7, PAGE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_create_vmo(pager, 0, with_rights(port, ZX_RIGHT_READ), 7, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_pager_create_vmo(pager, 0, port, 7, UINT64_MAX, &none), ZX_ERR_OUT_OF_RANGE);

    OK(zx_pager_create_vmo(pager, ZX_VMO_RESIZABLE, port, 7, 5000, &vmo));
    OK(zx_vmo_get_size(vmo, &size));
    NUMBER(size, 2 * PAGE);
    TRUE((rights_of(vmo) & ZX_RIGHT_RESIZE) != 0);
    zx_info_vmo_t info = {0};
    OK(zx_object_get_info(vmo, ZX_INFO_VMO, &info, sizeof(info), 0, 0));
    TRUE((info.flags & ZX_INFO_VMO_PAGER_BACKED) != 0);
    OK(zx_vmo_create(PAGE, 0, &plain));
    OK(zx_pager_create(0, &other));

    STATUS(zx_pager_supply_pages(NO_HANDLE, vmo, 0, PAGE, aux, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_supply_pages(pager, NO_HANDLE, 0, PAGE, aux, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_supply_pages(pager, vmo, 0, PAGE, NO_HANDLE, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_supply_pages(port, vmo, 0, PAGE, aux, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_supply_pages(pager, port, 0, PAGE, aux, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_supply_pages(pager, vmo, 0, PAGE, port, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_supply_pages(other, vmo, 0, PAGE, aux, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_supply_pages(pager, plain, 0, PAGE, aux, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_supply_pages(pager, vmo, 1, PAGE, aux, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_supply_pages(pager, vmo, 0, PAGE + 1, aux, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_supply_pages(pager, vmo, 0, PAGE, aux, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_supply_pages(pager, vmo, 2 * PAGE, PAGE, aux, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_pager_supply_pages(pager, vmo, 0, PAGE, aux, 64 * PAGE), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_pager_supply_pages(pager, vmo, 0, PAGE, with_rights(aux, ZX_RIGHT_READ), 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_pager_supply_pages(pager, vmo, 0, PAGE, with_rights(aux, ZX_RIGHT_WRITE), 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_pager_supply_pages(pager, vmo, 0, PAGE, vmo, PAGE), ZX_ERR_BAD_STATE);

    const uint64_t io = (uint64_t)(int64_t)ZX_ERR_IO;
    STATUS(zx_pager_op_range(NO_HANDLE, ZX_PAGER_OP_FAIL, vmo, 0, PAGE, io), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, NO_HANDLE, 0, PAGE, io), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_op_range(port, ZX_PAGER_OP_FAIL, vmo, 0, PAGE, io), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, port, 0, PAGE, io), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, plain, 0, PAGE, io), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, 1, PAGE, io), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, 0, 1, io), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, 0, PAGE, (uint64_t)(int64_t)ZX_ERR_NO_MEMORY), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, 0, 3 * PAGE, io), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_pager_op_range(pager, 99, vmo, 0, PAGE, 0), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_pager_op_range(pager, ZX_PAGER_OP_DIRTY, vmo, 0, PAGE, 0), ZX_ERR_NOT_FOUND);

    zx_vmo_dirty_range_t range;
    size_t actual = 9, avail = 9;
    zx_pager_vmo_stats_t stats;
    OK(zx_pager_query_dirty_ranges(pager, vmo, 0, PAGE, &range, sizeof(range), &actual, &avail));
    TRUE(actual == 0 && avail == 0);
    STATUS(zx_pager_query_dirty_ranges(NO_HANDLE, vmo, 0, PAGE, &range, sizeof(range), 0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_query_dirty_ranges(pager, port, 0, PAGE, &range, sizeof(range), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_query_dirty_ranges(pager, plain, 0, PAGE, &range, sizeof(range), 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_query_dirty_ranges(pager, vmo, 0, 3 * PAGE, &range, sizeof(range), 0, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_pager_query_vmo_stats(NO_HANDLE, vmo, 0, &stats, sizeof(stats)), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_query_vmo_stats(pager, port, 0, &stats, sizeof(stats)), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_query_vmo_stats(pager, plain, 0, &stats, sizeof(stats)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_query_vmo_stats(pager, vmo, 2, &stats, sizeof(stats)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_pager_query_vmo_stats(pager, vmo, 0, BAD, sizeof(stats)), ZX_ERR_INVALID_ARGS);

    // Once it is detached nobody is asked any more.
    char byte;
    STATUS(zx_pager_detach_vmo(NO_HANDLE, vmo), ZX_ERR_BAD_HANDLE);
    STATUS(zx_pager_detach_vmo(pager, port), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_detach_vmo(port, vmo), ZX_ERR_WRONG_TYPE);
    STATUS(zx_pager_detach_vmo(other, vmo), ZX_ERR_INVALID_ARGS);
    supply(0, "a");
    OK(zx_pager_detach_vmo(pager, vmo));
    request(ZX_PAGER_VMO_COMPLETE, 0, 0);
    OK(zx_vmo_read(vmo, &byte, 0, 1));
    NUMBER(byte, 'a');
    STATUS(zx_vmo_read(vmo, &byte, PAGE, 1), ZX_ERR_BAD_STATE);
    STATUS(zx_pager_supply_pages(pager, vmo, PAGE, PAGE, aux, 0), ZX_ERR_BAD_STATE);
    OK(zx_handle_close(vmo));
    none_left();
}

// What waits: the program itself, and each kind of call.

static void touch(void) { seen = mapped[PAGE + 5], seen = mapped[PAGE], result = ZX_OK; }
static void read_vmo(void) {
    char bytes[2 * PAGE];
    calling = "zx_vmo_read(vmo, bytes, PAGE, sizeof(bytes))";
    result = zx_vmo_read(vmo, bytes, PAGE, sizeof(bytes));
    seen = bytes[PAGE];
}
static void copy_out(void) { result = zx_vmo_read(aux, mapped, 0, 2 * PAGE); }
static void copy_in(void) { result = zx_vmo_write(aux, mapped, 0, 2 * PAGE); }
static void fetch(void) {
    calling = "zx_vmo_op_range(vmo, ZX_VMO_OP_COMMIT, 0, 4 * PAGE, 0, 0)";
    result = zx_vmo_op_range(vmo, ZX_VMO_OP_COMMIT, 0, 4 * PAGE, 0, 0);
}
static void write_vmo(void) {
    calling = "zx_vmo_write(vmo, \"x\", PAGE, 1)";
    result = zx_vmo_write(vmo, "x", PAGE, 1);
}

static void pages(void) {
    fresh(0, 4);
    begin(touch);
    request(ZX_PAGER_VMO_READ, PAGE, PAGE);
    supply(PAGE, "b");
    end(ZX_OK);
    NUMBER(seen, 'b');
    begin(read_vmo);
    request(ZX_PAGER_VMO_READ, 2 * PAGE, PAGE);
    supply(2 * PAGE, "c");
    end(ZX_OK);
    NUMBER(seen, 'c');
    begin(copy_in);
    request(ZX_PAGER_VMO_READ, 0, PAGE);
    supply(0, "A");
    end(ZX_OK);
    char text[2] = {0};
    OK(zx_vmo_read(aux, text, 0, 1));
    OK(zx_vmo_read(aux, text + 1, PAGE, 1));
    TRUE(text[0] == 'A' && text[1] == 'b');
    begin(fetch);
    request(ZX_PAGER_VMO_READ, 3 * PAGE, PAGE);
    supply(3 * PAGE, "d");
    end(ZX_OK);

    // Pages that are there stay as they are.
    supply(0, "XYZW");
    TRUE(mapped[0] == 'A' && mapped[PAGE] == 'b' && mapped[2 * PAGE] == 'c' && mapped[3 * PAGE] == 'd');

    // What can not be supplied.
    fresh(0, 4);
    begin(copy_out);
    request(ZX_PAGER_VMO_READ, 0, PAGE);
    supply(0, "0");
    request(ZX_PAGER_VMO_READ, PAGE, PAGE);
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, PAGE, PAGE, (uint64_t)(int64_t)ZX_ERR_IO));
    end(ZX_ERR_INVALID_ARGS);
    begin(read_vmo);
    request(ZX_PAGER_VMO_READ, PAGE, 2 * PAGE);
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, PAGE, PAGE, (uint64_t)(int64_t)ZX_ERR_IO_DATA_INTEGRITY));
    end(ZX_ERR_IO_DATA_INTEGRITY);
    void (*const each[])(void) = {read_vmo, write_vmo, fetch};
    for (int i = 0; i < 3; i++) {
        begin(each[i]);
        zx_port_packet_t packet;
        OK(zx_port_wait(port, zx_deadline_after(ZX_SEC(20)), &packet));
        OK(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, PAGE, 3 * PAGE, (uint64_t)(int64_t)ZX_ERR_IO));
        end(ZX_ERR_IO);
    }
    none_left();
}

static zx_handle_t ends[2], moved, queue;

static void send(void) { result = zx_channel_write(ends[0], 0, mapped + PAGE - 1, 2, &moved, 1); }
static void receive(void) {
    zx_handle_t handle = 0;
    uint32_t bytes = 0, handles = 0;
    result = zx_channel_read(ends[1], 0, mapped + 2 * PAGE - 1, &handle, 2, 1, &bytes, &handles);
    count = bytes + 10 * handles;
    seen = handle == ZX_HANDLE_INVALID ? 0 : 1;
}
static void take(void) { result = zx_port_wait(queue, ZX_TIME_INFINITE, (zx_port_packet_t*)(mapped + 4 * PAGE)); }
static void new_event(void) { result = zx_event_create(0, (zx_handle_t*)(mapped + 5 * PAGE)); }
static void draw(void) { zx_cprng_draw(mapped + 6 * PAGE, PAGE), result = ZX_OK; }
static void wait_on_futex(void) { result = zx_futex_wait((zx_futex_t*)(mapped + 7 * PAGE), 0, 0, ZX_TIME_INFINITE); }
static void leave(void) {
    result = ZX_OK;
    zx_futex_wake_handle_close_thread_exit((zx_futex_t*)(mapped + 8 * PAGE), 1, 3, ZX_HANDLE_INVALID);
}

// Calls whose pointers point into such pages: each has its effect once.
static void calls(void) {
    fresh(0, 9);
    OK(zx_channel_create(0, &ends[0], &ends[1]));
    OK(zx_event_create(0, &moved));
    begin(send);
    request(ZX_PAGER_VMO_READ, 0, PAGE);
    supply(0, "0");
    request(ZX_PAGER_VMO_READ, PAGE, PAGE);
    TRUE(signals_of(ends[1]) == ZX_CHANNEL_WRITABLE);
    supply(PAGE, "1");
    end(ZX_OK);
    begin(receive);
    request(ZX_PAGER_VMO_READ, 2 * PAGE, PAGE);
    supply(2 * PAGE, "2");
    end(ZX_OK);
    TRUE(count == 12 && seen == 1 && mapped[2 * PAGE - 1] == 0 && mapped[2 * PAGE] == '1');
    TRUE((signals_of(ends[1]) & ZX_CHANNEL_READABLE) == 0);

    zx_port_packet_t packet = {.key = 77, .type = ZX_PKT_TYPE_USER};
    OK(zx_port_create(0, &queue));
    OK(zx_port_queue(queue, &packet));
    begin(take);
    request(ZX_PAGER_VMO_READ, 4 * PAGE, PAGE);
    supply(4 * PAGE, "4");
    end(ZX_OK);
    NUMBER(((zx_port_packet_t*)(mapped + 4 * PAGE))->key, 77);
    begin(new_event);
    request(ZX_PAGER_VMO_READ, 5 * PAGE, PAGE);
    supply(5 * PAGE, "5");
    end(ZX_OK);
    OK(zx_object_signal(*(zx_handle_t*)(mapped + 5 * PAGE), 0, ZX_EVENT_SIGNALED));
    begin(draw);
    request(ZX_PAGER_VMO_READ, 6 * PAGE, PAGE);
    supply(6 * PAGE, "6");
    end(ZX_OK);
    int different = 0;
    for (size_t i = 1; i < PAGE; i++) different += mapped[6 * PAGE + i] != 0;
    TRUE(different > 3000);
    begin(wait_on_futex);
    request(ZX_PAGER_VMO_READ, 7 * PAGE, PAGE);
    supply(7 * PAGE, "7");
    end(ZX_ERR_BAD_STATE);
    begin(leave);
    request(ZX_PAGER_VMO_READ, 8 * PAGE, PAGE);
    supply(8 * PAGE, "8");
    end(ZX_OK);
    NUMBER(*(int*)(mapped + 8 * PAGE), 3);

    // A call that fails because a page can not be had fails as for any bad pointer.
    fresh(0, 9);
    OK(zx_event_create(0, &moved));
    begin(send);
    request(ZX_PAGER_VMO_READ, 0, PAGE);
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, 0, PAGE, (uint64_t)(int64_t)ZX_ERR_IO));
    end(ZX_ERR_INVALID_ARGS);
    begin(new_event);
    request(ZX_PAGER_VMO_READ, 5 * PAGE, PAGE);
    OK(zx_pager_detach_vmo(pager, vmo));
    end(ZX_ERR_INVALID_ARGS);
    request(ZX_PAGER_VMO_COMPLETE, 0, 0);
    none_left();
}

static zx_handle_t stream;
static char text[3 * PAGE];

static void read_stream(void) {
    zx_iovec_t parts[2] = {{text, PAGE + 10}, {text + PAGE + 10, PAGE}};
    result = zx_stream_readv(stream, 0, parts, 2, (size_t*)&count);
}
static void write_stream(void) {
    zx_iovec_t part = {"xyz", 3};
    result = zx_stream_writev(stream, 0, &part, 1, (size_t*)&count);
}
static void write_far(void) {
    zx_iovec_t part = {"far", 3};
    result = zx_stream_writev_at(stream, 0, 3 * PAGE + 100, &part, 1, (size_t*)&count);
}
static void shorten(void) {
    uint64_t size = 100;
    result = zx_object_set_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &size, sizeof(size));
}
static void peek(void) {
    result = zx_process_read_memory(zx_process_self(), (zx_vaddr_t)mapped + PAGE, text, PAGE, (size_t*)&count);
}

static void streams(void) {
    zx_off_t at = 0;
    fresh(ZX_VMO_RESIZABLE, 4);
    OK(zx_stream_create(ZX_STREAM_MODE_READ | ZX_STREAM_MODE_WRITE, vmo, 0, &stream));
    begin(read_stream);
    request(ZX_PAGER_VMO_READ, 0, 3 * PAGE);
    supply(0, "a");
    supply(PAGE, "b");
    supply(2 * PAGE, "c");
    end(ZX_OK);
    NUMBER(count, 2 * PAGE + 10);
    TRUE(text[0] == 'a' && text[PAGE] == 'b' && text[2 * PAGE] == 'c');
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_CURRENT, 0, &at));
    NUMBER(at, 2 * PAGE + 10);
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_START, 4 * PAGE - 1, 0));
    begin(write_stream); // the page that it begins in, and one that is new
    request(ZX_PAGER_VMO_READ, 3 * PAGE, PAGE);
    supply(3 * PAGE, "d");
    end(ZX_OK);
    NUMBER(count, 3);
    TRUE(mapped[3 * PAGE] == 'd' && mapped[4 * PAGE - 1] == 'x');
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_CURRENT, 0, &at));
    NUMBER(at, 4 * PAGE + 2);

    // As far as there is something when the rest can not be supplied.
    fresh(ZX_VMO_RESIZABLE, 4);
    OK(zx_stream_create(ZX_STREAM_MODE_READ | ZX_STREAM_MODE_WRITE, vmo, 0, &stream));
    supply(0, "a");
    begin(read_stream);
    request(ZX_PAGER_VMO_READ, PAGE, 2 * PAGE);
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, PAGE, 2 * PAGE, (uint64_t)(int64_t)ZX_ERR_IO));
    end(ZX_OK);
    NUMBER(count, PAGE);
    begin(read_stream);
    request(ZX_PAGER_VMO_READ, PAGE, 3 * PAGE);
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, PAGE, PAGE, (uint64_t)(int64_t)ZX_ERR_IO));
    end(ZX_ERR_IO);

    // The content ends within a page, and what is behind it there is zeroed: the page is needed.
    begin(peek);
    request(ZX_PAGER_VMO_READ, PAGE, PAGE);
    supply(PAGE, "b");
    end(ZX_OK);
    TRUE(count == PAGE && text[0] == 'b');
    begin(shorten);
    end(ZX_OK);
    begin(write_far);
    end(ZX_OK);
    NUMBER(count, 3);
    TRUE(mapped[0] == 'a' && mapped[PAGE] == 0 && mapped[3 * PAGE] == 0 && mapped[3 * PAGE + 100] == 'f');
    fresh(ZX_VMO_RESIZABLE, 4);
    begin(shorten);
    request(ZX_PAGER_VMO_READ, 0, PAGE);
    supply(0, "a");
    end(ZX_OK);
    NUMBER(mapped[0], 'a');
    none_left();
}

static void dirty_page(void) { mapped[PAGE] = 'D', result = ZX_OK; }
static void dirty_by_call(void) { result = zx_vmo_write(vmo, "w", 2 * PAGE + 1, 1); }
static void dirty_by_result(void) { result = zx_event_create(0, (zx_handle_t*)(mapped + 3 * PAGE)); }

static void dirty(void) {
    zx_vmo_dirty_range_t ranges[3];
    zx_pager_vmo_stats_t stats = {9};
    size_t actual = 0, avail = 0;
    fresh(ZX_VMO_TRAP_DIRTY, 4);
    supply(0, "abcd");
    OK(zx_pager_query_vmo_stats(pager, vmo, 0, &stats, sizeof(stats)));
    NUMBER(stats.modified, 0);
    begin(dirty_page);
    request(ZX_PAGER_VMO_DIRTY, PAGE, PAGE);
    NUMBER(mapped[PAGE], 'b');
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_DIRTY, vmo, PAGE, PAGE, 0));
    end(ZX_OK);
    NUMBER(mapped[PAGE], 'D');
    begin(dirty_by_result);
    request(ZX_PAGER_VMO_DIRTY, 3 * PAGE, PAGE);
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_DIRTY, vmo, 3 * PAGE, PAGE, 0));
    end(ZX_OK);
    OK(zx_handle_close(*(zx_handle_t*)(mapped + 3 * PAGE)));
    begin(dirty_by_call);
    request(ZX_PAGER_VMO_DIRTY, 2 * PAGE, PAGE);
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, 2 * PAGE, PAGE, (uint64_t)(int64_t)ZX_ERR_NO_SPACE));
    end(ZX_ERR_NO_SPACE);

    OK(zx_pager_query_dirty_ranges(pager, vmo, 0, 4 * PAGE, ranges, sizeof(ranges), &actual, &avail));
    TRUE(actual == 2 && avail == 2);
    TRUE(ranges[0].offset == PAGE && ranges[0].length == PAGE && ranges[0].options == 0);
    TRUE(ranges[1].offset == 3 * PAGE && ranges[1].length == PAGE);
    OK(zx_pager_query_dirty_ranges(pager, vmo, 0, 4 * PAGE, ranges, sizeof(ranges[0]), &actual, &avail));
    TRUE(actual == 1 && avail == 2);
    OK(zx_pager_query_dirty_ranges(pager, vmo, 0, 4 * PAGE, 0, 0, 0, &avail));
    STATUS(zx_pager_query_dirty_ranges(pager, vmo, 0, 4 * PAGE, BAD, sizeof(ranges), 0, 0), ZX_ERR_INVALID_ARGS);
    OK(zx_pager_query_vmo_stats(pager, vmo, ZX_PAGER_RESET_VMO_STATS, &stats, sizeof(stats)));
    NUMBER(stats.modified, ZX_PAGER_VMO_STATS_MODIFIED);
    OK(zx_pager_query_vmo_stats(pager, vmo, 0, &stats, sizeof(stats)));
    NUMBER(stats.modified, 0);

    OK(zx_pager_op_range(pager, ZX_PAGER_OP_WRITEBACK_BEGIN, vmo, 0, 4 * PAGE, 0));
    OK(zx_pager_op_range(pager, ZX_PAGER_OP_WRITEBACK_END, vmo, 0, 4 * PAGE, 0));
    OK(zx_pager_query_dirty_ranges(pager, vmo, 0, 4 * PAGE, ranges, sizeof(ranges), &actual, &avail));
    TRUE(actual == 0 && avail == 0);
    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_ZERO, 0, PAGE, 0, 0));
    OK(zx_pager_query_dirty_ranges(pager, vmo, 0, 4 * PAGE, ranges, sizeof(ranges), &actual, &avail));
    TRUE(actual == 1 && ranges[0].offset == 0 && ranges[0].options == ZX_VMO_DIRTY_RANGE_IS_ZERO);
    none_left();
}

// So many pages at once are moved as they lie in memory; no one can tell but by their contents.
static void many(void) {
    zx_info_vmo_t info = {0};
    char byte = 0;
    fresh(0, 16);
    for (size_t i = 0; i < 16; i++) OK(zx_vmo_write(aux, "0123456789abcdef" + i, i * PAGE + i, 1));
    OK(zx_pager_supply_pages(pager, vmo, 0, 16 * PAGE, aux, 0));
    int right = 0;
    for (size_t i = 0; i < 16; i++) right += mapped[i * PAGE + i] == "0123456789abcdef"[i];
    NUMBER(right, 16);
    OK(zx_object_get_info(aux, ZX_INFO_VMO, &info, sizeof(info), 0, 0));
    NUMBER(info.committed_bytes, 0);
    OK(zx_vmo_write(aux, "z", 5 * PAGE + 5, 1));
    NUMBER(mapped[5 * PAGE + 5], '5');
    mapped[5 * PAGE + 5] = 'y';
    OK(zx_vmo_read(aux, &byte, 5 * PAGE + 5, 1));
    NUMBER(byte, 'z');
    OK(zx_vmo_op_range(aux, ZX_VMO_OP_DECOMMIT, 0, 16 * PAGE, 0, 0));
}

// What the other thread's faults have taken, each of which waited for this one.
static void times(void) {
    zx_info_task_runtime_t runtime = {0};
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_TASK_RUNTIME, &runtime, sizeof(runtime), 0, 0));
    TRUE(runtime.page_fault_time > ZX_MSEC(1));
}

int main(void) {
    OK(zx_pager_create(0, &pager));
    OK(zx_port_create(0, &port));
    OK(zx_vmo_create(16 * PAGE, 0, &aux));
    errors();
    pages();
    calls();
    streams();
    dirty();
    many();
    times();
    // When the pager is gone, its VMOs are as if they were detached.
    char byte;
    fresh(0, 1);
    OK(zx_handle_close(pager));
    STATUS(zx_vmo_read(vmo, &byte, 0, 1), ZX_ERR_BAD_STATE);
    none_left();
    return finish();
}
