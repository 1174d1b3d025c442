// status: 42
// What a program begins with, and a little of everything: channels, waiting, a mapped VMO, the debug log, an exit code.

#include "check.h"

static bool same(const char* a, const char* b) {
    while (*a != 0 && *a == *b) a++, b++;
    return *a == *b;
}

int main(int argc, char** argv, char** envp) {
    NUMBER(argc, 3);
    TRUE(same(argv[1], "one") && same(argv[2], "two words"));
    TRUE(envp[0] != 0);
    zx_info_handle_basic_t info;
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_HANDLE_BASIC, &info, sizeof(info), 0, 0));
    NUMBER(info.type, ZX_OBJ_TYPE_PROCESS);
    OK(zx_object_get_info(zx_thread_self(), ZX_INFO_HANDLE_BASIC, &info, sizeof(info), 0, 0));
    NUMBER(info.type, ZX_OBJ_TYPE_THREAD);
    OK(zx_object_get_info(zx_job_default(), ZX_INFO_HANDLE_BASIC, &info, sizeof(info), 0, 0));
    NUMBER(info.type, ZX_OBJ_TYPE_JOB);
    OK(zx_object_get_info(zx_vmar_root_self(), ZX_INFO_HANDLE_BASIC, &info, sizeof(info), 0, 0));
    NUMBER(info.type, ZX_OBJ_TYPE_VMAR);

    zx_handle_t vdso = zx_take_startup_handle(PA_HND(PA_VMO_VDSO, 0));
    char magic[4];
    OK(zx_vmo_read(vdso, magic, 0, sizeof(magic)));
    TRUE(magic[0] == 0x7f && magic[1] == 'E' && magic[2] == 'L' && magic[3] == 'F');
    STATUS(zx_vmo_write(vdso, magic, 0, sizeof(magic)), ZX_ERR_ACCESS_DENIED);
    zx_handle_t stack = zx_take_startup_handle(PA_HND(PA_VMO_STACK, 0));
    uint64_t size;
    OK(zx_vmo_get_size(stack, &size));
    NUMBER(size, 256 * 1024);
    TRUE(zx_take_startup_handle(PA_HND(PA_VMO_STACK, 0)) == ZX_HANDLE_INVALID);

    zx_handle_t near, far;
    OK(zx_channel_create(0, &near, &far));
    STATUS(zx_object_wait_one(far, ZX_CHANNEL_READABLE, 0, 0), ZX_ERR_TIMED_OUT);
    OK(zx_channel_write(near, 0, "hello", 5, 0, 0));
    zx_signals_t observed;
    OK(zx_object_wait_one(far, ZX_CHANNEL_READABLE, ZX_TIME_INFINITE, &observed));
    NUMBER(observed, ZX_CHANNEL_READABLE | ZX_CHANNEL_WRITABLE);
    char text[8];
    uint32_t bytes, handles;
    OK(zx_channel_read(far, 0, text, 0, sizeof(text), 0, &bytes, &handles));
    NUMBER(bytes, 5);
    NUMBER(handles, 0);

    zx_handle_t vmo;
    OK(zx_vmo_create(8192, 0, &vmo));
    zx_vaddr_t address;
    OK(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, 0, vmo, 0, 8192, &address));
    ((char*)address)[4096] = 'x';
    OK(zx_vmo_read(vmo, text, 4096, 1));
    NUMBER(text[0], 'x');
    OK(zx_vmo_write(vmo, "y", 0, 1));
    NUMBER(*(char*)address, 'y');
    OK(zx_vmar_unmap(zx_vmar_root_self(), address, 8192));

    zx_time_t before = zx_clock_get_monotonic();
    OK(zx_nanosleep(zx_deadline_after(ZX_MSEC(5))));
    TRUE(zx_clock_get_monotonic() - before >= ZX_MSEC(5));
    zx_ticks_t ticks = zx_ticks_get();
    TRUE(zx_ticks_get() >= ticks && zx_ticks_per_second() > 1000000);
    TRUE(zx_deadline_after(INT64_MAX) == ZX_TIME_INFINITE);
    TRUE(zx_deadline_after(INT64_MIN) < 0);
    TRUE(same(zx_status_get_string(ZX_ERR_PEER_CLOSED), "ZX_ERR_PEER_CLOSED"));
    TRUE(same(zx_status_get_string(12345), "(UNKNOWN)"));
    TRUE(same(zx_exception_get_string(ZX_EXCP_POLICY_ERROR), "ZX_EXCP_POLICY_ERROR"));
    NUMBER(zx_system_get_page_size(), 4096);
    NUMBER(zx_system_get_dcache_line_size(), 64);
    TRUE(zx_system_get_num_cpus() >= 1);
    TRUE(zx_system_get_physmem() > 0);
    zx_string_view_t version = zx_system_get_version_string();
    TRUE(version.length > 0 && version.c_str[version.length] == 0);
    uint32_t features = 0;
    OK(zx_system_get_features(ZX_FEATURE_KIND_CPU, &features));
    NUMBER(features, ZX_HAS_CPU_FEATURES);
    STATUS(zx_system_get_features(77, &features), ZX_ERR_NOT_SUPPORTED);
    OK(zx_cache_flush(text, sizeof(text), ZX_CACHE_FLUSH_DATA | ZX_CACHE_FLUSH_INVALIDATE));
    STATUS(zx_cache_flush(text, sizeof(text), ZX_CACHE_FLUSH_INVALIDATE), ZX_ERR_INVALID_ARGS);
    STATUS(zx_cache_flush(text, sizeof(text), 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_cache_flush(text, sizeof(text), 8), ZX_ERR_INVALID_ARGS);

    uint64_t random[2] = {0, 0};
    zx_cprng_draw(random, sizeof(random));
    TRUE(random[0] != 0 && random[1] != 0 && random[0] != random[1]);

    long unknown;
    __asm__ volatile("syscall" : "=a"(unknown) : "0"(9999) : "rcx", "r11", "memory");
    NUMBER((zx_status_t)unknown, ZX_ERR_BAD_SYSCALL);
    zx_handle_t guest, vmar;
    STATUS(zx_guest_create(ZX_HANDLE_INVALID, 0, &guest, &vmar), ZX_ERR_NOT_SUPPORTED);
    return finish() ? 1 : 42;
}
