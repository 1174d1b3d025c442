// Objects of any type: waiting for one, for many, through a port; signals; names; what a handle is.

#include "check.h"

static char stack[16384] __attribute__((aligned(16)));
static zx_handle_t closer;

static void close_it(uintptr_t handle, uintptr_t unused) {
    zx_nanosleep(zx_deadline_after(ZX_MSEC(20)));
    zx_handle_close((zx_handle_t)handle);
    zx_thread_exit();
}

// Has another thread close a handle, most likely when this one waits.
static void close_soon(zx_handle_t handle) {
    if (closer != ZX_HANDLE_INVALID) OK(zx_object_wait_one(closer, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    OK(zx_thread_create(zx_process_self(), "closer", 6, 0, &closer));
    OK(zx_thread_start(closer, (zx_vaddr_t)&close_it, (zx_vaddr_t)(stack + sizeof(stack) - 8), handle, 0));
}

int main(void) {
    zx_handle_t event, pair[2], port, child = 0;
    zx_signals_t seen = 0;
    OK(zx_event_create(0, &event));
    STATUS(zx_event_create(1, &event), ZX_ERR_INVALID_ARGS);
    STATUS(zx_event_create(0, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_eventpair_create(0, &pair[0], &pair[1]));
    STATUS(zx_eventpair_create(1, &pair[0], &pair[1]), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_eventpair_create(0, BAD, &pair[1]), ZX_ERR_INVALID_ARGS);
    STATUS(zx_eventpair_create(0, &child, BAD), ZX_ERR_INVALID_ARGS);

    // Signals.
    OK(zx_object_signal(event, 0, ZX_EVENT_SIGNALED | ZX_USER_SIGNAL_3));
    NUMBER(signals_of(event), ZX_EVENT_SIGNALED | ZX_USER_SIGNAL_3);
    OK(zx_object_signal(event, ZX_EVENT_SIGNALED, ZX_USER_SIGNAL_0));
    NUMBER(signals_of(event), ZX_USER_SIGNAL_0 | ZX_USER_SIGNAL_3);
    STATUS(zx_object_signal(event, 0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_signal(NO_HANDLE, 0, ZX_USER_SIGNAL_0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_object_signal(with_rights(event, ZX_RIGHT_WAIT), 0, ZX_USER_SIGNAL_0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_signal_peer(event, 0, ZX_USER_SIGNAL_0), ZX_ERR_ACCESS_DENIED);
    OK(zx_object_signal_peer(pair[0], 0, ZX_EVENTPAIR_SIGNALED));
    NUMBER(signals_of(pair[1]), ZX_EVENTPAIR_SIGNALED);
    NUMBER(signals_of(pair[0]), 0);
    STATUS(zx_object_signal_peer(pair[0], 0, ZX_EVENTPAIR_PEER_CLOSED), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_signal_peer(NO_HANDLE, 0, ZX_USER_SIGNAL_0), ZX_ERR_BAD_HANDLE);

    // Waiting for one.
    OK(zx_object_wait_one(event, ZX_USER_SIGNAL_0, ZX_TIME_INFINITE, &seen));
    NUMBER(seen, ZX_USER_SIGNAL_0 | ZX_USER_SIGNAL_3);
    STATUS(zx_object_wait_one(event, ZX_EVENT_SIGNALED, zx_deadline_after(ZX_MSEC(1)), &seen), ZX_ERR_TIMED_OUT);
    NUMBER(seen, ZX_USER_SIGNAL_0 | ZX_USER_SIGNAL_3);
    STATUS(zx_object_wait_one(event, ZX_EVENT_SIGNALED, INT64_MIN, 0), ZX_ERR_TIMED_OUT);
    OK(zx_object_wait_one(event, ZX_USER_SIGNAL_0, 0, 0));
    STATUS(zx_object_wait_one(event, ZX_USER_SIGNAL_0, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_wait_one(NO_HANDLE, ZX_USER_SIGNAL_0, 0, &seen), ZX_ERR_BAD_HANDLE);
    STATUS(zx_object_wait_one(with_rights(event, ZX_RIGHT_SIGNAL), ZX_USER_SIGNAL_0, 0, &seen), ZX_ERR_ACCESS_DENIED);

    // Waiting for many.
    zx_wait_item_t items[3] = {{event, ZX_EVENT_SIGNALED, 0}, {pair[1], ZX_EVENTPAIR_SIGNALED, 0}, {pair[0], ZX_EVENTPAIR_SIGNALED, 0}};
    OK(zx_object_wait_many(items, 3, ZX_TIME_INFINITE));
    NUMBER(items[0].pending, ZX_USER_SIGNAL_0 | ZX_USER_SIGNAL_3);
    NUMBER(items[1].pending, ZX_EVENTPAIR_SIGNALED);
    NUMBER(items[2].pending, 0);
    items[1].waitfor = ZX_EVENTPAIR_PEER_CLOSED;
    items[1].pending = 0;
    STATUS(zx_object_wait_many(items, 3, zx_deadline_after(ZX_MSEC(1))), ZX_ERR_TIMED_OUT);
    NUMBER(items[1].pending, ZX_EVENTPAIR_SIGNALED);
    STATUS(zx_object_wait_many(items, ZX_WAIT_MANY_MAX_ITEMS + 1, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_object_wait_many(BAD, 1, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_wait_many(0, 0, zx_deadline_after(ZX_MSEC(1))), ZX_ERR_TIMED_OUT);
    items[2].handle = NO_HANDLE;
    STATUS(zx_object_wait_many(items, 3, 0), ZX_ERR_BAD_HANDLE);
    items[2].handle = with_rights(event, ZX_RIGHT_SIGNAL);
    STATUS(zx_object_wait_many(items, 3, 0), ZX_ERR_ACCESS_DENIED);

    // Waiting through a port.
    zx_port_packet_t packet;
    OK(zx_port_create(0, &port));
    STATUS(zx_object_wait_one(port, ZX_USER_SIGNAL_0, 0, 0), ZX_ERR_ACCESS_DENIED);
    OK(zx_object_wait_async(event, port, 7, ZX_USER_SIGNAL_0, ZX_WAIT_ASYNC_TIMESTAMP));
    OK(zx_port_wait(port, ZX_TIME_INFINITE, &packet));
    NUMBER(packet.key, 7);
    NUMBER(packet.type, ZX_PKT_TYPE_SIGNAL_ONE);
    NUMBER(packet.status, ZX_OK);
    NUMBER(packet.signal.trigger, ZX_USER_SIGNAL_0);
    NUMBER(packet.signal.observed, ZX_USER_SIGNAL_0 | ZX_USER_SIGNAL_3);
    NUMBER(packet.signal.count, 1);
    TRUE(packet.signal.timestamp > 0 && packet.signal.timestamp <= (uint64_t)zx_clock_get_monotonic());
    OK(zx_object_wait_async(event, port, 8, ZX_USER_SIGNAL_0, ZX_WAIT_ASYNC_EDGE));
    STATUS(zx_port_wait(port, 0, &packet), ZX_ERR_TIMED_OUT);
    OK(zx_object_signal(event, ZX_USER_SIGNAL_0, 0));
    OK(zx_object_signal(event, 0, ZX_USER_SIGNAL_0));
    OK(zx_port_wait(port, 0, &packet));
    NUMBER(packet.key, 8);
    NUMBER(packet.signal.timestamp, 0);
    STATUS(zx_object_wait_async(event, port, 9, ZX_USER_SIGNAL_0, 8), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_wait_async(event, port, 9, ZX_USER_SIGNAL_0, ZX_WAIT_ASYNC_TIMESTAMP | ZX_WAIT_ASYNC_BOOT_TIMESTAMP), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_wait_async(NO_HANDLE, port, 9, ZX_USER_SIGNAL_0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_object_wait_async(event, event, 9, ZX_USER_SIGNAL_0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_wait_async(with_rights(event, ZX_RIGHT_SIGNAL), port, 9, ZX_USER_SIGNAL_0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_wait_async(event, with_rights(port, ZX_RIGHT_READ), 9, ZX_USER_SIGNAL_0, 0), ZX_ERR_ACCESS_DENIED);

    // Names.
    char name[ZX_MAX_NAME_LEN];
    OK(zx_object_get_property(zx_thread_self(), ZX_PROP_NAME, name, sizeof(name)));
    TRUE(name[0] == 'i' && name[13] == 'd' && name[14] == 0);
    OK(zx_object_set_property(zx_thread_self(), ZX_PROP_NAME, "first", 5));
    OK(zx_object_get_property(zx_thread_self(), ZX_PROP_NAME, name, sizeof(name)));
    TRUE(name[0] == 'f' && name[4] == 't' && name[5] == 0);
    STATUS(zx_object_get_property(zx_thread_self(), ZX_PROP_NAME, name, sizeof(name) - 1), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_object_get_property(zx_thread_self(), ZX_PROP_NAME, BAD, sizeof(name)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_set_property(zx_thread_self(), ZX_PROP_NAME, BAD, 5), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_get_property(zx_thread_self(), 9999, name, sizeof(name)), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_object_set_property(zx_thread_self(), 9999, name, sizeof(name)), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_object_get_property(NO_HANDLE, ZX_PROP_NAME, name, sizeof(name)), ZX_ERR_BAD_HANDLE);
    STATUS(zx_object_get_property(event, ZX_PROP_NAME, name, sizeof(name)), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_set_property(event, ZX_PROP_NAME, name, sizeof(name)), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_set_property(NO_HANDLE, ZX_PROP_NAME, name, sizeof(name)), ZX_ERR_BAD_HANDLE);

    // What a handle is.
    zx_info_handle_basic_t basic;
    size_t actual, avail;
    OK(zx_object_get_info(event, ZX_INFO_HANDLE_VALID, 0, 0, 0, 0));
    STATUS(zx_object_get_info(NO_HANDLE, ZX_INFO_HANDLE_VALID, 0, 0, 0, 0), ZX_ERR_BAD_HANDLE);
    OK(zx_object_get_info(pair[0], ZX_INFO_HANDLE_BASIC, &basic, sizeof(basic), &actual, &avail));
    NUMBER(actual, 1);
    NUMBER(avail, 1);
    NUMBER(basic.type, ZX_OBJ_TYPE_EVENTPAIR);
    TRUE(basic.koid >= ZX_KOID_FIRST && basic.related_koid == koid_of(pair[1]));
    NUMBER(basic.props, ZX_OBJ_PROP_WAITABLE);
    OK(zx_object_get_info(port, ZX_INFO_HANDLE_BASIC, &basic, sizeof(basic), 0, 0));
    NUMBER(basic.props, 0);
    NUMBER(basic.related_koid, 0);
    STATUS(zx_object_get_info(pair[0], ZX_INFO_HANDLE_BASIC, &basic, sizeof(basic) - 1, &actual, &avail), ZX_ERR_BUFFER_TOO_SMALL);
    NUMBER(actual, 0);
    NUMBER(avail, 1);
    STATUS(zx_object_get_info(pair[0], ZX_INFO_HANDLE_BASIC, BAD, sizeof(basic), 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_get_info(pair[0], ZX_INFO_HANDLE_BASIC, &basic, sizeof(basic), BAD, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_get_info(pair[0], ZX_INFO_HANDLE_BASIC, &basic, sizeof(basic), 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_get_info(pair[0], 9999, &basic, sizeof(basic), 0, 0), ZX_ERR_NOT_SUPPORTED);
    zx_info_handle_count_t count;
    STATUS(zx_object_get_info(with_rights(event, ZX_RIGHT_WAIT), ZX_INFO_HANDLE_COUNT, &count, sizeof(count), 0, 0), ZX_ERR_ACCESS_DENIED);

    // All handles of a process, and its threads.
    static zx_info_handle_extended_t table[64];
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_HANDLE_TABLE, table, sizeof(table), &actual, &avail));
    TRUE(actual == avail && actual > 8);
    bool found = false;
    for (size_t i = 0; i < actual; i++)
        found |= table[i].handle_value == event && table[i].koid == koid_of(event) && table[i].type == ZX_OBJ_TYPE_EVENT && table[i].props == ZX_OBJ_PROP_WAITABLE;
    TRUE(found);
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_HANDLE_TABLE, table, sizeof(table[0]) * 2, &actual, &avail));
    TRUE(actual == 2 && avail > 8);
    STATUS(zx_object_get_info(with_rights(zx_process_self(), ZX_RIGHT_INSPECT), ZX_INFO_HANDLE_TABLE, table, sizeof(table), 0, 0), ZX_ERR_ACCESS_DENIED);
    zx_info_process_handle_stats_t stats;
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_PROCESS_HANDLE_STATS, &stats, sizeof(stats), 0, 0));
    NUMBER(stats.handle_count[ZX_OBJ_TYPE_EVENTPAIR], 2);
    STATUS(zx_object_get_info(event, ZX_INFO_PROCESS_HANDLE_STATS, &stats, sizeof(stats), 0, 0), ZX_ERR_WRONG_TYPE);
    zx_info_resource_t resource;
    zx_handle_t root = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0));
    OK(zx_object_get_info(root, ZX_INFO_RESOURCE, &resource, sizeof(resource), 0, 0));
    TRUE(resource.kind == ZX_RSRC_KIND_ROOT && resource.flags == 0 && resource.size == 0);
    OK(zx_object_get_child(zx_process_self(), koid_of(zx_thread_self()), ZX_RIGHT_INSPECT, &child));
    TRUE(koid_of(child) == koid_of(zx_thread_self()) && rights_of(child) == ZX_RIGHT_INSPECT);
    STATUS(zx_object_get_child(zx_process_self(), 1, ZX_RIGHT_SAME_RIGHTS, &child), ZX_ERR_NOT_FOUND);
    STATUS(zx_object_get_child(event, 1, ZX_RIGHT_SAME_RIGHTS, &child), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_child(NO_HANDLE, 1, ZX_RIGHT_SAME_RIGHTS, &child), ZX_ERR_BAD_HANDLE);
    STATUS(zx_object_get_child(zx_process_self(), koid_of(zx_thread_self()), ZX_RIGHT_INSPECT, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_object_get_child(with_rights(zx_process_self(), ZX_RIGHT_INSPECT), 1, ZX_RIGHT_INSPECT, &child), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_get_child(zx_process_self(), koid_of(zx_thread_self()), ZX_RIGHT_MAP, &child), ZX_ERR_ACCESS_DENIED);

    // The handle that is waited for is closed meanwhile.
    zx_handle_t closed;
    OK(zx_handle_duplicate(event, ZX_RIGHT_SAME_RIGHTS, &closed));
    close_soon(closed);
    STATUS(zx_object_wait_one(closed, ZX_USER_SIGNAL_7, ZX_TIME_INFINITE, &seen), ZX_ERR_CANCELED);
    TRUE((seen & ZX_SIGNAL_HANDLE_CLOSED) != 0);
    OK(zx_handle_duplicate(event, ZX_RIGHT_SAME_RIGHTS, &closed));
    close_soon(closed);
    zx_wait_item_t two[2] = {{event, ZX_USER_SIGNAL_7, 0}, {closed, ZX_USER_SIGNAL_7, 0}};
    STATUS(zx_object_wait_many(two, 2, ZX_TIME_INFINITE), ZX_ERR_CANCELED);
    TRUE((two[1].pending & ZX_SIGNAL_HANDLE_CLOSED) != 0 && (two[0].pending & ZX_SIGNAL_HANDLE_CLOSED) == 0);

    // The peer goes.
    OK(zx_handle_close(pair[0]));
    NUMBER(signals_of(pair[1]), ZX_EVENTPAIR_SIGNALED | ZX_EVENTPAIR_PEER_CLOSED);
    STATUS(zx_object_signal_peer(pair[1], 0, ZX_EVENTPAIR_SIGNALED), ZX_ERR_PEER_CLOSED);
    return finish();
}
