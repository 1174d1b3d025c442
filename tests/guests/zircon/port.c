// Ports: packets of users, and ending what was asked for.

#include "check.h"

int main(void) {
    zx_handle_t port, event;
    STATUS(zx_port_create(2, &port), ZX_ERR_INVALID_ARGS);
    STATUS(zx_port_create(0, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_port_create(ZX_PORT_BIND_TO_INTERRUPT, &port));
    OK(zx_port_create(0, &port));
    OK(zx_event_create(0, &event));

    zx_port_packet_t packet = {.key = 5, .type = ZX_PKT_TYPE_USER, .status = -7}, got;
    packet.user.u64[0] = 0x1122334455667788;
    packet.user.u64[3] = 9;
    OK(zx_port_queue(port, &packet));
    packet.key = 6;
    OK(zx_port_queue(port, &packet));
    OK(zx_port_wait(port, 0, &got));
    TRUE(got.key == 5 && got.type == ZX_PKT_TYPE_USER && got.status == -7);
    TRUE(got.user.u64[0] == 0x1122334455667788 && got.user.u64[3] == 9 && got.user.c8[0] == 0x88);
    STATUS(zx_port_wait(port, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_port_wait(port, zx_deadline_after(ZX_MSEC(1)), &got), ZX_ERR_TIMED_OUT);
    packet.type = ZX_PKT_TYPE_SIGNAL_ONE;
    STATUS(zx_port_queue(port, &packet), ZX_ERR_INVALID_ARGS);
    STATUS(zx_port_queue(port, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_port_queue(NO_HANDLE, &packet), ZX_ERR_BAD_HANDLE);
    STATUS(zx_port_queue(event, &packet), ZX_ERR_WRONG_TYPE);
    STATUS(zx_port_queue(with_rights(port, ZX_RIGHT_READ), &packet), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_port_wait(with_rights(port, ZX_RIGHT_WRITE), 0, &got), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_port_wait(event, 0, &got), ZX_ERR_WRONG_TYPE);
    STATUS(zx_port_wait(NO_HANDLE, 0, &got), ZX_ERR_BAD_HANDLE);

    OK(zx_object_wait_async(event, port, 1, ZX_EVENT_SIGNALED, 0));
    OK(zx_object_wait_async(event, port, 2, ZX_EVENT_SIGNALED, 0));
    OK(zx_port_cancel(port, event, 1));
    STATUS(zx_port_cancel(port, event, 1), ZX_ERR_NOT_FOUND);
    OK(zx_object_signal(event, 0, ZX_EVENT_SIGNALED));
    OK(zx_port_wait(port, 0, &got));
    NUMBER(got.key, 2);
    OK(zx_object_wait_async(event, port, 3, ZX_EVENT_SIGNALED, 0));
    OK(zx_port_cancel_key(port, 0, 3));
    STATUS(zx_port_cancel_key(port, 0, 3), ZX_ERR_NOT_FOUND);
    STATUS(zx_port_cancel_key(port, 1, 3), ZX_ERR_INVALID_ARGS);
    STATUS(zx_port_wait(port, 0, &got), ZX_ERR_TIMED_OUT);
    STATUS(zx_port_cancel(NO_HANDLE, event, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_port_cancel(port, NO_HANDLE, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_port_cancel(with_rights(port, ZX_RIGHT_READ), event, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_port_cancel(event, event, 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_port_cancel_key(NO_HANDLE, 0, 3), ZX_ERR_BAD_HANDLE);
    STATUS(zx_port_cancel_key(event, 0, 3), ZX_ERR_WRONG_TYPE);
    STATUS(zx_port_cancel_key(with_rights(port, ZX_RIGHT_READ), 0, 3), ZX_ERR_ACCESS_DENIED);

    // Closing the handle that is waited through ends the wait.
    zx_handle_t other;
    OK(zx_handle_duplicate(event, ZX_RIGHT_SAME_RIGHTS, &other));
    OK(zx_object_signal(event, ZX_EVENT_SIGNALED, 0));
    OK(zx_object_wait_async(other, port, 4, ZX_EVENT_SIGNALED, 0));
    OK(zx_handle_close(other));
    OK(zx_object_signal(event, 0, ZX_EVENT_SIGNALED));
    STATUS(zx_port_wait(port, 0, &got), ZX_ERR_TIMED_OUT);

    // It is bounded.
    packet.type = ZX_PKT_TYPE_USER;
    zx_status_t status = ZX_OK;
    int count = 0;
    while ((status = zx_port_queue(port, &packet)) == ZX_OK && count < 1000000) count++;
    NUMBER(status, ZX_ERR_SHOULD_WAIT);
    STATUS(zx_port_queue(port, &packet), ZX_ERR_SHOULD_WAIT);
    TRUE(count >= 2048);
    return finish();
}
