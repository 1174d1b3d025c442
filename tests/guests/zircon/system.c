// The system: its random numbers, what is known of its memory, its serial line and its switch.
// stdin: typed text

#include "check.h"

// A resource for a part of the system.
static zx_handle_t part_of_system(zx_handle_t resource, uint32_t base) {
    zx_handle_t part = ZX_HANDLE_INVALID;
    zx_resource_create(resource, ZX_RSRC_KIND_SYSTEM, base, 1, "part", 4, &part);
    return part;
}

static void performance(zx_handle_t resource) {
    zx_handle_t cpu = part_of_system(resource, ZX_RSRC_SYSTEM_CPU_BASE), info, mmio;
    info = part_of_system(resource, ZX_RSRC_SYSTEM_INFO_BASE);
    OK(zx_resource_create(resource, ZX_RSRC_KIND_MMIO, 0, 4096, "mmio", 4, &mmio));
    static zx_cpu_performance_info_t scales[1024];
    size_t n = zx_system_get_num_cpus(), actual = 0;
    OK(zx_system_get_performance_info(cpu, ZX_CPU_PERF_SCALE, n, scales, &actual));
    TRUE(actual == n && scales[n - 1].logical_cpu_number == n - 1);
    TRUE(scales[0].performance_scale.integral_part == 1 && scales[0].performance_scale.fractional_part == 0);
    scales[0].performance_scale = (zx_cpu_performance_scale_t){0, 1u << 31};
    OK(zx_system_set_performance_info(cpu, ZX_CPU_PERF_SCALE, scales, 1));
    scales[0].performance_scale.fractional_part = 7;
    OK(zx_system_get_performance_info(resource, ZX_CPU_PERF_SCALE, n, scales, &actual));
    TRUE(scales[0].performance_scale.integral_part == 0 && scales[0].performance_scale.fractional_part == 1u << 31);
    OK(zx_system_get_performance_info(cpu, ZX_CPU_DEFAULT_PERF_SCALE, n, scales, &actual));
    TRUE(scales[0].performance_scale.integral_part == 1 && scales[0].performance_scale.fractional_part == 0);

    STATUS(zx_system_get_performance_info(NO_HANDLE, ZX_CPU_PERF_SCALE, n, scales, &actual), ZX_ERR_BAD_HANDLE);
    STATUS(zx_system_get_performance_info(zx_vmar_root_self(), ZX_CPU_PERF_SCALE, n, scales, &actual), ZX_ERR_WRONG_TYPE);
    STATUS(zx_system_get_performance_info(mmio, ZX_CPU_PERF_SCALE, n, scales, &actual), ZX_ERR_WRONG_TYPE);
    STATUS(zx_system_get_performance_info(info, ZX_CPU_PERF_SCALE, n, scales, &actual), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_system_get_performance_info(cpu, 0, n, scales, &actual), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_get_performance_info(cpu, ZX_CPU_PERF_SCALE, n, BAD, &actual), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_get_performance_info(cpu, ZX_CPU_PERF_SCALE, n, scales, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_get_performance_info(cpu, ZX_CPU_PERF_SCALE, n + 1, scales, &actual), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_system_get_performance_info(cpu, ZX_CPU_PERF_SCALE, 0, scales, &actual), ZX_ERR_OUT_OF_RANGE);

    STATUS(zx_system_set_performance_info(NO_HANDLE, ZX_CPU_PERF_SCALE, scales, n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_system_set_performance_info(zx_vmar_root_self(), ZX_CPU_PERF_SCALE, scales, n), ZX_ERR_WRONG_TYPE);
    STATUS(zx_system_set_performance_info(mmio, ZX_CPU_PERF_SCALE, scales, n), ZX_ERR_WRONG_TYPE);
    STATUS(zx_system_set_performance_info(info, ZX_CPU_PERF_SCALE, scales, n), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_system_set_performance_info(cpu, ZX_CPU_DEFAULT_PERF_SCALE, scales, n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_set_performance_info(cpu, ZX_CPU_PERF_SCALE, BAD, n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_set_performance_info(cpu, ZX_CPU_PERF_SCALE, scales, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_system_set_performance_info(cpu, ZX_CPU_PERF_SCALE, scales, n + 1), ZX_ERR_OUT_OF_RANGE);
    scales[0].logical_cpu_number = n;
    STATUS(zx_system_set_performance_info(cpu, ZX_CPU_PERF_SCALE, scales, 1), ZX_ERR_OUT_OF_RANGE);
    scales[0] = (zx_cpu_performance_info_t){0, {0, 0}};
    STATUS(zx_system_set_performance_info(cpu, ZX_CPU_PERF_SCALE, scales, 1), ZX_ERR_OUT_OF_RANGE);
    if (n > 1) {
        scales[0] = (zx_cpu_performance_info_t){1, {1, 0}}, scales[1] = (zx_cpu_performance_info_t){0, {1, 0}};
        STATUS(zx_system_set_performance_info(cpu, ZX_CPU_PERF_SCALE, scales, 2), ZX_ERR_INVALID_ARGS);
    }
}

static void stalls(zx_handle_t resource) {
    zx_handle_t stall = part_of_system(resource, ZX_RSRC_SYSTEM_STALL_BASE), event, vmo;
    zx_handle_t other = part_of_system(resource, ZX_RSRC_SYSTEM_INFO_BASE);
    uint32_t some = ZX_SYSTEM_MEMORY_STALL_SOME;
    zx_info_memory_stall_t info = {9, 9};
    OK(zx_object_get_info(stall, ZX_INFO_MEMORY_STALL, &info, sizeof(info), 0, 0));
    TRUE(info.stalled_time_full <= info.stalled_time_some);
    STATUS(zx_object_get_info(other, ZX_INFO_MEMORY_STALL, &info, sizeof(info), 0, 0), ZX_ERR_ACCESS_DENIED);
    OK(zx_system_watch_memory_stall(stall, ZX_SYSTEM_MEMORY_STALL_FULL, ZX_SEC(10), ZX_SEC(10), &event));
    NUMBER(rights_of(event), ZX_RIGHTS_BASIC);
    NUMBER(signals_of(event), 0);
    STATUS(zx_system_watch_memory_stall(stall, 2, 1, 1, &event), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_watch_memory_stall(stall, some, 0, 1, &event), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_watch_memory_stall(stall, some, -1, 1, &event), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_watch_memory_stall(stall, some, 2, 1, &event), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_watch_memory_stall(stall, some, 1, ZX_SEC(10) + 1, &event), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_watch_memory_stall(stall, some, 1, 1, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_watch_memory_stall(NO_HANDLE, some, 1, 1, &event), ZX_ERR_BAD_HANDLE);
    OK(zx_vmo_create(4096, 0, &vmo));
    STATUS(zx_system_watch_memory_stall(vmo, some, 1, 1, &event), ZX_ERR_WRONG_TYPE);
    OK(zx_resource_create(resource, ZX_RSRC_KIND_MMIO, 0, 4096, "mmio", 4, &event));
    STATUS(zx_system_watch_memory_stall(event, some, 1, 1, &event), ZX_ERR_WRONG_TYPE);
    STATUS(zx_system_watch_memory_stall(other, some, 1, 1, &event), ZX_ERR_OUT_OF_RANGE);
}

static void powerctl(zx_handle_t resource) {
    zx_handle_t power = part_of_system(resource, ZX_RSRC_SYSTEM_POWER_BASE);
    STATUS(zx_system_powerctl(power, ZX_SYSTEM_POWERCTL_REBOOT, 0), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_system_powerctl(resource, ZX_SYSTEM_POWERCTL_ENABLE_ALL_CPUS, 0), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_system_powerctl(power, ZX_SYSTEM_POWERCTL_ACK_KERNEL_INITIATED_REBOOT, 0), ZX_ERR_BAD_STATE);
    STATUS(zx_system_powerctl(power, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_powerctl(power, 10, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_system_powerctl(part_of_system(resource, ZX_RSRC_SYSTEM_CPU_BASE), ZX_SYSTEM_POWERCTL_SHUTDOWN, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_system_powerctl(NO_HANDLE, ZX_SYSTEM_POWERCTL_SHUTDOWN, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_system_powerctl(zx_vmar_root_self(), ZX_SYSTEM_POWERCTL_SHUTDOWN, 0), ZX_ERR_WRONG_TYPE);
}

// What comes in by the serial line: the text that the head of this file says.
static void serial_line(zx_handle_t resource) {
    char text[16] = {0};
    size_t actual = 9;
    STATUS(zx_debug_read(NO_HANDLE, text, sizeof(text), &actual), ZX_ERR_BAD_HANDLE);
    STATUS(zx_debug_read(zx_vmar_root_self(), text, sizeof(text), &actual), ZX_ERR_WRONG_TYPE);
    STATUS(zx_debug_read(part_of_system(resource, ZX_RSRC_SYSTEM_INFO_BASE), text, sizeof(text), &actual), ZX_ERR_ACCESS_DENIED);
    OK(zx_debug_read(part_of_system(resource, ZX_RSRC_SYSTEM_DEBUG_BASE), text, 4, &actual));
    TRUE(actual == 4 && text[0] == 't' && text[3] == 'e' && text[4] == 0);
    STATUS(zx_debug_read(resource, BAD, 1, &actual), ZX_ERR_INVALID_ARGS);
    STATUS(zx_debug_read(resource, text, 0, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_debug_read(resource, text, sizeof(text), &actual));
    TRUE(actual == 5 && text[0] == ' ' && text[4] == 't');
    OK(zx_debug_read(resource, text, sizeof(text), &actual));
    NUMBER(actual, 0);
}

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

    performance(resource);
    stalls(resource);
    powerctl(resource);
    serial_line(resource);

    // Without kernel.enable-debugging-syscalls=true.
    size_t length;
    STATUS(zx_debug_send_command(resource, "help", 4), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_ktrace_control(resource, 1, 0, 0), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_ktrace_read(resource, 0, 0, 0, &length), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_ktrace_write(resource, 1, 2, 3), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_mtrace_control(resource, 0, 0, 0, 0, 0), ZX_ERR_NOT_SUPPORTED);
    if (finish() != 0) return 1;
    // Whatever status the program would have ended with, the machine is off.
    zx_system_powerctl(resource, ZX_SYSTEM_POWERCTL_SHUTDOWN, 0);
    zx_nanosleep(ZX_TIME_INFINITE);
    return 2;
}
