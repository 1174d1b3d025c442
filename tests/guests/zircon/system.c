// The system: its random numbers, and what is known of its memory.

#include "check.h"

int main(void) {
    char text[256] = "anything", other[256] = {0};
    OK(zx_cprng_add_entropy(text, sizeof(text)));
    OK(zx_cprng_add_entropy(text, 0));
    STATUS(zx_cprng_add_entropy(text, ZX_CPRNG_ADD_ENTROPY_MAX_LEN + 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_cprng_add_entropy(BAD, 1), ZX_ERR_INVALID_ARGS);
    zx_cprng_draw(text, sizeof(text));
    zx_cprng_draw(other, sizeof(other));
    size_t same = 0;
    for (size_t i = 0; i < sizeof(text); i++) same += text[i] == other[i];
    TRUE(same < 32);

    zx_handle_t resource = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0)), info, vmo;
    zx_info_kmem_stats_t before = {0}, after = {0};
    OK(zx_vmo_create(64 << 20, 0, &vmo));
    OK(zx_object_get_info(resource, ZX_INFO_KMEM_STATS, &before, sizeof(before), 0, 0));
    TRUE(before.total_bytes > before.free_bytes && before.free_bytes > 0);
    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_COMMIT, 0, 64 << 20, 0, 0));
    OK(zx_object_get_info(resource, ZX_INFO_KMEM_STATS, &after, sizeof(after), 0, 0));
    TRUE(after.vmo_bytes >= before.vmo_bytes + (60 << 20) && after.free_bytes + (60 << 20) <= before.free_bytes);
    OK(zx_resource_create(resource, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_INFO_BASE, 1, "info", 4, &info));
    OK(zx_object_get_info(info, ZX_INFO_KMEM_STATS, &after, sizeof(after), 0, 0));
    STATUS(zx_object_get_info(info, ZX_INFO_KMEM_STATS, &after, sizeof(after) - 1, 0, 0), ZX_ERR_BUFFER_TOO_SMALL);
    OK(zx_resource_create(resource, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_VMEX_BASE, 1, "vmex", 4, &info));
    STATUS(zx_object_get_info(info, ZX_INFO_KMEM_STATS, &after, sizeof(after), 0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_get_info(vmo, ZX_INFO_KMEM_STATS, &after, sizeof(after), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(NO_HANDLE, ZX_INFO_KMEM_STATS, &after, sizeof(after), 0, 0), ZX_ERR_BAD_HANDLE);

    zx_handle_t interrupt;
    zx_info_interrupt_t what = {0};
    OK(zx_interrupt_create(ZX_HANDLE_INVALID, 0, ZX_INTERRUPT_VIRTUAL, &interrupt));
    OK(zx_object_get_info(interrupt, ZX_INFO_INTERRUPT, &what, sizeof(what), 0, 0));
    NUMBER(what.options, ZX_INTERRUPT_VIRTUAL);
    STATUS(zx_object_get_info(vmo, ZX_INFO_INTERRUPT, &what, sizeof(what), 0, 0), ZX_ERR_WRONG_TYPE);

    // How scarce memory is: exactly one of the events is signalled.
    zx_handle_t root = zx_take_startup_handle(PA_HND(PA_JOB_DEFAULT, 1)), event, events[6];
    size_t signalled = 0;
    for (uint32_t kind = 1; kind <= 5; kind++) {
        OK(zx_system_get_event(root, kind, &events[kind]));
        signalled += (signals_of(events[kind]) & ZX_EVENT_SIGNALED) != 0;
    }
    NUMBER(signalled, 1);
    NUMBER(signals_of(events[ZX_SYSTEM_EVENT_MEMORY_PRESSURE_NORMAL]), ZX_EVENT_SIGNALED);
    STATUS(zx_object_signal(events[1], 0, ZX_EVENT_SIGNALED), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_system_get_event(root, 0, &event), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_get_event(root, 6, &event), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_get_event(root, 1, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_get_event(zx_job_default(), 1, &event), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_system_get_event(with_rights(root, ZX_RIGHT_WAIT), 1, &event), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_system_get_event(NO_HANDLE, 1, &event), ZX_ERR_BAD_HANDLE);
    STATUS(zx_system_get_event(vmo, 1, &event), ZX_ERR_WRONG_TYPE);

    // What the machine has not.
    STATUS(zx_system_powerctl(resource, 5, 0), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_debug_send_command(resource, "help", 4), ZX_ERR_NOT_SUPPORTED);
    return finish();
}
