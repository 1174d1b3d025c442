// A machine with little memory: what would promise more than there is fails, and what was there stays.
// options: --memory 64M

#include "check.h"

#define PAGE 4096ul
#define MUCH (1ul << 30)

// Whoever unlocks memory that can be discarded when there is too much of it waits until enough was.
static void stall(void) {
    zx_handle_t root = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0)), event, vmo, first = ZX_HANDLE_INVALID;
    zx_info_memory_stall_t before = {0}, after = {0};
    OK(zx_object_get_info(root, ZX_INFO_MEMORY_STALL, &before, sizeof(before), 0, 0));
    OK(zx_system_watch_memory_stall(root, ZX_SYSTEM_MEMORY_STALL_SOME, 1, ZX_MSEC(200), &event));
    zx_nanosleep(zx_deadline_after(ZX_MSEC(50)));
    NUMBER(signals_of(event), 0);
    for (int i = 0; i < 16; i++) {
        OK(zx_vmo_create(4 << 20, ZX_VMO_DISCARDABLE, &vmo));
        if (i == 0) first = vmo;
        zx_vmo_lock_state_t state;
        OK(zx_vmo_op_range(vmo, ZX_VMO_OP_LOCK, 0, 4 << 20, &state, sizeof(state)));
        OK(zx_vmo_op_range(vmo, ZX_VMO_OP_COMMIT, 0, 4 << 20, 0, 0));
        OK(zx_vmo_op_range(vmo, ZX_VMO_OP_UNLOCK, 0, 4 << 20, 0, 0));
    }
    STATUS(zx_vmo_op_range(first, ZX_VMO_OP_TRY_LOCK, 0, 4 << 20, 0, 0), ZX_ERR_UNAVAILABLE);
    OK(zx_object_get_info(root, ZX_INFO_MEMORY_STALL, &after, sizeof(after), 0, 0));
    TRUE(after.stalled_time_some > before.stalled_time_some && after.stalled_time_full <= after.stalled_time_some);
    OK(zx_object_wait_one(event, ZX_EVENT_SIGNALED, zx_deadline_after(ZX_SEC(20)), 0));
    // And not for ever.
    for (int i = 0; i < 2000 && (signals_of(event) & ZX_EVENT_SIGNALED) != 0; i++) zx_nanosleep(zx_deadline_after(ZX_MSEC(10)));
    NUMBER(signals_of(event), 0);
}

int main(void) {
    zx_handle_t vmo, other, child, ends[2];
    uint64_t size = 0;
    STATUS(zx_vmo_create(MUCH, 0, &other), ZX_ERR_NO_MEMORY);
    OK(zx_vmo_create(PAGE, ZX_VMO_RESIZABLE, &vmo));
    OK(zx_vmo_write(vmo, "here", 0, 4));
    STATUS(zx_vmo_set_size(vmo, MUCH), ZX_ERR_NO_MEMORY);
    OK(zx_vmo_get_size(vmo, &size));
    NUMBER(size, PAGE);
    char text[5] = {0};
    OK(zx_vmo_read(vmo, text, 0, 4));
    TRUE(text[0] == 'h' && text[3] == 'e');
    OK(zx_vmo_set_size(vmo, 2 * PAGE));

    STATUS(zx_iob_create_shared_region(0, MUCH, &other), ZX_ERR_NO_MEMORY);
    zx_iob_region_t region = {0};
    region.access = ZX_IOB_EP0_CAN_MAP_READ, region.size = MUCH;
    STATUS(zx_iob_create(0, &region, 1, &ends[0], &ends[1]), ZX_ERR_NO_MEMORY);

    // Half of it can be had once, and again when it has been given back.
    OK(zx_vmo_create(32 << 20, 0, &other));
    STATUS(zx_vmo_create(40 << 20, 0, &child), ZX_ERR_NO_MEMORY);
    OK(zx_handle_close(other));
    OK(zx_vmo_create(40 << 20, 0, &child));
    OK(zx_handle_close(child));
    stall();
    return finish();
}
