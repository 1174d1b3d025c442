// Resources, and interrupts that a program triggers itself.

#include "check.h"

static void resources(zx_handle_t root) {
    zx_handle_t mmio, none, part;
    OK(zx_resource_create(root, ZX_RSRC_KIND_MMIO, 0x1000, 0x1000, "mmio", 4, &mmio));
    STATUS(zx_resource_create(mmio, ZX_RSRC_KIND_MMIO | ZX_RSRC_FLAG_EXCLUSIVE, 0x1100, 0x100, "part", 4, &part), ZX_ERR_NOT_FOUND);
    OK(zx_resource_create(mmio, ZX_RSRC_KIND_MMIO, 0x1100, 0x100, "part", 4, &part));
    STATUS(zx_resource_create(mmio, ZX_RSRC_KIND_MMIO, 0x1f00, 0x200, "part", 4, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_resource_create(mmio, ZX_RSRC_KIND_IRQ, 1, 1, "irq", 3, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_resource_create(root, 99, 0, 0, "?", 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_resource_create(root, ZX_RSRC_KIND_ROOT, 1, 1, "root", 4, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_resource_create(root, ZX_RSRC_KIND_MMIO, 0, 1, BAD, 4, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_resource_create(root, ZX_RSRC_KIND_MMIO, 0, 1, "x", 1, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_resource_create(NO_HANDLE, ZX_RSRC_KIND_MMIO, 0, 1, "x", 1, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_resource_create(zx_process_self(), ZX_RSRC_KIND_MMIO, 0, 1, "x", 1, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_resource_create(with_rights(root, ZX_RIGHT_INSPECT), ZX_RSRC_KIND_MMIO, 0, 1, "x", 1, &none), ZX_ERR_ACCESS_DENIED);
}

static char stack[16384] __attribute__((aligned(16)));

static void wait_for(uintptr_t interrupt, uintptr_t unused) {
    zx_interrupt_wait((zx_handle_t)interrupt, 0);
    zx_thread_exit();
}

int main(void) {
    zx_handle_t root = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0));
    resources(root);

    zx_handle_t interrupt, port, plain, none;
    zx_time_t when = 0;
    zx_port_packet_t packet;
    OK(zx_interrupt_create(ZX_HANDLE_INVALID, 0, ZX_INTERRUPT_VIRTUAL, &interrupt));
    OK(zx_port_create(ZX_PORT_BIND_TO_INTERRUPT, &port));
    OK(zx_port_create(0, &plain));
    STATUS(zx_interrupt_create(ZX_HANDLE_INVALID, 0, ZX_INTERRUPT_VIRTUAL | 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_interrupt_create(ZX_HANDLE_INVALID, 0, ZX_INTERRUPT_VIRTUAL, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_interrupt_create(NO_HANDLE, 0, ZX_INTERRUPT_MODE_DEFAULT, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_interrupt_create(port, 0, ZX_INTERRUPT_MODE_DEFAULT, &none), ZX_ERR_WRONG_TYPE);

    // Waiting for it.
    OK(zx_interrupt_trigger(interrupt, 0, 12345));
    OK(zx_interrupt_wait(interrupt, &when));
    NUMBER(when, 12345);
    STATUS(zx_interrupt_trigger(interrupt, 1, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_interrupt_trigger(with_rights(interrupt, ZX_RIGHT_WAIT), 0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_interrupt_wait(with_rights(interrupt, ZX_RIGHT_SIGNAL), &when), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_interrupt_wait(port, &when), ZX_ERR_WRONG_TYPE);
    STATUS(zx_interrupt_wait(NO_HANDLE, &when), ZX_ERR_BAD_HANDLE);
    OK(zx_interrupt_trigger(interrupt, 0, 7));
    STATUS(zx_interrupt_wait(interrupt, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_interrupt_ack(interrupt), ZX_ERR_BAD_STATE);

    STATUS(zx_interrupt_trigger(NO_HANDLE, 0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_interrupt_trigger(port, 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_interrupt_ack(NO_HANDLE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_interrupt_ack(port), ZX_ERR_WRONG_TYPE);
    STATUS(zx_interrupt_ack(with_rights(interrupt, ZX_RIGHT_SIGNAL)), ZX_ERR_ACCESS_DENIED);
    zx_handle_t lines;
    OK(zx_resource_create(root, ZX_RSRC_KIND_IRQ, 8, 8, "irq", 3, &lines));
    STATUS(zx_interrupt_create(lines, 16, ZX_INTERRUPT_MODE_DEFAULT, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_interrupt_create(lines, 8, ZX_INTERRUPT_MODE_DEFAULT, &none), ZX_ERR_NOT_SUPPORTED);

    // While a thread waits for it, nobody binds it.
    zx_handle_t thread;
    zx_info_thread_t info = {0};
    OK(zx_thread_create(zx_process_self(), "waiter", 6, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)&wait_for, (zx_vaddr_t)(stack + sizeof(stack) - 8), interrupt, 0));
    while (info.state != ZX_THREAD_STATE_BLOCKED_INTERRUPT) {
        zx_thread_legacy_yield(0);
        zx_object_get_info(thread, ZX_INFO_THREAD, &info, sizeof(info), 0, 0);
    }
    STATUS(zx_interrupt_bind(interrupt, port, 1, ZX_INTERRUPT_BIND), ZX_ERR_BAD_STATE);
    OK(zx_interrupt_trigger(interrupt, 0, 1));
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));

    // Through a port.
    STATUS(zx_interrupt_bind(interrupt, plain, 1, ZX_INTERRUPT_BIND), ZX_ERR_WRONG_TYPE);
    STATUS(zx_interrupt_bind(interrupt, port, 1, 2), ZX_ERR_INVALID_ARGS);
    STATUS(zx_interrupt_bind(interrupt, NO_HANDLE, 1, ZX_INTERRUPT_BIND), ZX_ERR_BAD_HANDLE);
    STATUS(zx_interrupt_bind(with_rights(interrupt, ZX_RIGHT_WAIT), port, 1, ZX_INTERRUPT_BIND), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_interrupt_bind(interrupt, with_rights(port, ZX_RIGHT_READ), 1, ZX_INTERRUPT_BIND), ZX_ERR_ACCESS_DENIED);
    OK(zx_interrupt_bind(interrupt, port, 77, ZX_INTERRUPT_BIND));
    STATUS(zx_interrupt_bind(interrupt, port, 77, ZX_INTERRUPT_BIND), ZX_ERR_ALREADY_BOUND);
    STATUS(zx_interrupt_wait(interrupt, &when), ZX_ERR_BAD_STATE);
    OK(zx_interrupt_ack(interrupt));
    OK(zx_interrupt_trigger(interrupt, 0, 99));
    OK(zx_port_wait(port, ZX_TIME_INFINITE, &packet));
    TRUE(packet.key == 77 && packet.type == ZX_PKT_TYPE_INTERRUPT && packet.interrupt.timestamp == 99);
    OK(zx_interrupt_ack(interrupt));
    STATUS(zx_interrupt_bind(interrupt, plain, 77, ZX_INTERRUPT_UNBIND), ZX_ERR_NOT_FOUND);
    OK(zx_interrupt_bind(interrupt, port, 77, ZX_INTERRUPT_UNBIND));

    STATUS(zx_interrupt_destroy(with_rights(interrupt, ZX_RIGHT_SIGNAL)), ZX_ERR_ACCESS_DENIED);
    OK(zx_interrupt_destroy(interrupt));
    STATUS(zx_interrupt_trigger(interrupt, 0, 0), ZX_ERR_CANCELED);
    STATUS(zx_interrupt_wait(interrupt, &when), ZX_ERR_CANCELED);
    STATUS(zx_interrupt_ack(interrupt), ZX_ERR_CANCELED);
    STATUS(zx_interrupt_bind(interrupt, port, 77, ZX_INTERRUPT_BIND), ZX_ERR_CANCELED);
    STATUS(zx_interrupt_destroy(NO_HANDLE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_interrupt_destroy(port), ZX_ERR_WRONG_TYPE);

    // One whose packet was taken and that was not acknowledged is nowhere to be removed from.
    OK(zx_interrupt_create(ZX_HANDLE_INVALID, 0, ZX_INTERRUPT_VIRTUAL, &interrupt));
    OK(zx_interrupt_bind(interrupt, port, 5, ZX_INTERRUPT_BIND));
    OK(zx_interrupt_trigger(interrupt, 0, 1));
    OK(zx_port_wait(port, ZX_TIME_INFINITE, &packet));
    STATUS(zx_interrupt_destroy(interrupt), ZX_ERR_NOT_FOUND);
    return finish();
}
