// A process that has as many handles as there can be: whatever would give it another fails, and gives it none.

#include "check.h"

#define PAGE 4096ul

static char stack[16384] __attribute__((aligned(16)));

static void fault(uintptr_t address, uintptr_t unused) {
    *(volatile char*)address = 0;
    zx_thread_exit();
}

// An exception that waits for its handler.
static zx_handle_t raised(void) {
    zx_handle_t channel, thread, exception = ZX_HANDLE_INVALID;
    zx_exception_info_t info;
    OK(zx_task_create_exception_channel(zx_process_self(), 0, &channel));
    OK(zx_thread_create(zx_process_self(), "faulty", 6, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)&fault, (zx_vaddr_t)(stack + sizeof(stack) - 8), (uintptr_t)BAD, 0));
    OK(zx_object_wait_one(channel, ZX_CHANNEL_READABLE, ZX_TIME_INFINITE, 0));
    OK(zx_channel_read(channel, 0, &info, &exception, sizeof(info), 1, 0, 0));
    return exception;
}

int main(void) {
    zx_handle_t root = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0)), root_job = zx_take_startup_handle(PA_HND(PA_JOB_DEFAULT, 1));
    zx_handle_t vmar = zx_vmar_root_self(), job = zx_job_default();
    zx_handle_t vmo, port, pager, iommu, bti, ends[2], other_process, other_vmar, other_thread, event, one, two, out = ZX_HANDLE_INVALID;
    char desc = 0;
    OK(zx_vmo_create(PAGE, 0, &vmo));
    OK(zx_port_create(0, &port));
    OK(zx_pager_create(0, &pager));
    OK(zx_iommu_create(root, ZX_IOMMU_TYPE_DUMMY, &desc, 1, &iommu));
    OK(zx_bti_create(iommu, 0, 1, &bti));
    OK(zx_channel_create(0, &ends[0], &ends[1]));
    OK(zx_process_create(job, "other", 5, 0, &other_process, &other_vmar));
    OK(zx_thread_create(other_process, "thread", 6, 0, &other_thread));
    zx_koid_t own_koid = koid_of(zx_thread_self());
    zx_handle_t exception = raised();
    OK(zx_event_create(0, &event));
    OK(zx_channel_write(ends[0], 0, "x", 1, &event, 1));
    OK(zx_event_create(0, &event));
    OK(zx_channel_write(ends[0], 0, "x", 1, &event, 1));
    OK(zx_event_create(0, &event));
    TRUE(debuglog != ZX_HANDLE_INVALID);

    size_t count = 0;
    while (zx_handle_duplicate(event, ZX_RIGHT_SAME_RIGHTS, &out) == ZX_OK) count++;
    TRUE(count > 100000);
    STATUS(zx_handle_duplicate(event, ZX_RIGHT_SAME_RIGHTS, &out), ZX_ERR_NO_MEMORY);
    OK(zx_handle_replace(out, ZX_RIGHT_NONE, &out));

    zx_info_handle_count_t handles = {0};
    zx_handle_t inspected = event;
    STATUS(zx_event_create(0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_eventpair_create(0, &one, &two), ZX_ERR_NO_MEMORY);
    STATUS(zx_channel_create(0, &one, &two), ZX_ERR_NO_MEMORY);
    STATUS(zx_port_create(0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_fifo_create(8, 8, 0, &one, &two), ZX_ERR_NO_MEMORY);
    STATUS(zx_socket_create(0, &one, &two), ZX_ERR_NO_MEMORY);
    STATUS(zx_timer_create(0, ZX_CLOCK_MONOTONIC, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_clock_create(0, 0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_counter_create(0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_debuglog_create(root, 0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_vmo_create(PAGE, 0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_vmo_create_contiguous(bti, PAGE, 0, &one), ZX_ERR_NO_MEMORY);
    zx_vaddr_t at;
    STATUS(zx_vmar_allocate(vmar, ZX_VM_CAN_MAP_READ, 0, PAGE, &one, &at), ZX_ERR_NO_MEMORY);
    zx_iob_region_t region = {0};
    region.access = ZX_IOB_EP0_CAN_MAP_READ, region.size = PAGE;
    STATUS(zx_iob_create(0, &region, 1, &one, &two), ZX_ERR_NO_MEMORY);
    STATUS(zx_iob_create_shared_region(0, PAGE, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_stream_create(ZX_STREAM_MODE_READ, vmo, 0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_pager_create(0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_pager_create_vmo(pager, 0, port, 1, PAGE, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_job_create(job, 0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_process_create(job, "none", 4, 0, &one, &two), ZX_ERR_NO_MEMORY);
    STATUS(zx_thread_create(other_process, "none", 4, 0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_task_suspend(other_thread, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_task_suspend_token(other_thread, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_task_create_exception_channel(other_process, 0, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_exception_get_thread(exception, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_exception_get_process(exception, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_object_get_child(zx_process_self(), own_koid, ZX_RIGHT_SAME_RIGHTS, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_resource_create(root, ZX_RSRC_KIND_MMIO, 0, PAGE, "none", 4, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_interrupt_create(ZX_HANDLE_INVALID, 0, ZX_INTERRUPT_VIRTUAL, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_msi_allocate(root, 1, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_iommu_create(root, ZX_IOMMU_TYPE_DUMMY, &desc, 1, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_bti_create(iommu, 0, 2, &one), ZX_ERR_NO_MEMORY);
    zx_paddr_t addr;
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, vmo, 0, PAGE, &addr, 1, &one), ZX_ERR_NO_MEMORY);
    zx_profile_info_t profile = {0};
    profile.flags = ZX_PROFILE_INFO_FLAG_PRIORITY, profile.priority = ZX_PRIORITY_LOW;
    STATUS(zx_profile_create(root_job, 0, &profile, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_system_get_event(root_job, ZX_SYSTEM_EVENT_OUT_OF_MEMORY, &one), ZX_ERR_NO_MEMORY);
    STATUS(zx_system_watch_memory_stall(root, ZX_SYSTEM_MEMORY_STALL_SOME, 1, 1, &one), ZX_ERR_NO_MEMORY);
    char byte;
    zx_handle_info_t with_info;
    STATUS(zx_channel_read(ends[1], 0, &byte, &one, 1, 1, 0, 0), ZX_ERR_NO_MEMORY);
    STATUS(zx_channel_read_etc(ends[1], 0, &byte, &with_info, 1, 1, 0, 0), ZX_ERR_NO_MEMORY);

    // With one to spare, what makes a pair still fails, and has not kept the spare one.
    OK(zx_handle_close(out));
    STATUS(zx_channel_create(0, &one, &two), ZX_ERR_NO_MEMORY);
    STATUS(zx_process_create(job, "none", 4, 0, &one, &two), ZX_ERR_NO_MEMORY);
    OK(zx_event_create(0, &out));
    STATUS(zx_event_create(0, &one), ZX_ERR_NO_MEMORY);
    OK(zx_object_get_info(inspected, ZX_INFO_HANDLE_COUNT, &handles, sizeof(handles), 0, 0));
    NUMBER(handles.handle_count, count);

    // Nothing that failed has had an effect: neither is the task suspended, nor has it a handler.
    OK(zx_handle_close(out));
    OK(zx_task_create_exception_channel(other_process, 0, &out));
    OK(zx_handle_close(out));
    OK(zx_task_suspend(other_thread, &out));
    return finish();
}
