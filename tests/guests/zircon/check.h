// What the programs here share: each check prints what was called and what came of it, and what it should have been if that differs.
// The expected values are those of Zircon's documentation.

#pragma once

#include <zircon/process.h>
#include <zircon/processargs.h>
#include <zircon/syscalls.h>

static int failures;
static zx_handle_t debuglog;

// A line that is put together piece by piece and written in one.
static char line[ZX_LOG_RECORD_DATA_MAX];
static size_t line_length;

static void put(const char* text) {
    while (*text != 0 && line_length < sizeof(line)) line[line_length++] = *text++;
}

static void put_number(int64_t number) {
    char digits[24];
    int n = 0;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do digits[n++] = '0' + rest % 10;
    while ((rest /= 10) != 0);
    if (number < 0) put("-");
    while (n-- > 0) {
        char text[2] = {digits[n], 0};
        put(text);
    }
}

static void end_line(void) {
    if (debuglog == ZX_HANDLE_INVALID)
        debuglog = zx_take_startup_handle(PA_HND(PA_FD, FDIO_FLAG_USE_FOR_STDIO));
    if (debuglog != ZX_HANDLE_INVALID)
        zx_debuglog_write(debuglog, 0, line, line_length);
    else
        zx_debug_write(line, line_length), zx_debug_write("\n", 1);
    line_length = 0;
}

static inline void say(const char* text) {
    put(text);
    end_line();
}

static inline bool check_status(const char* what, zx_status_t got, zx_status_t wanted) {
    put(what);
    put(" = ");
    put(zx_status_get_string(got));
    if (got != wanted) {
        put(", NOT ");
        put(zx_status_get_string(wanted));
        failures++;
    }
    end_line();
    return got == wanted;
}

static inline bool check_number(const char* what, int64_t got, int64_t wanted) {
    put(what);
    put(" = ");
    put_number(got);
    if (got != wanted) {
        put(", NOT ");
        put_number(wanted);
        failures++;
    }
    end_line();
    return got == wanted;
}

static inline bool check_true(const char* what, bool holds) {
    put(holds ? "yes: " : "NO: ");
    put(what);
    end_line();
    failures += !holds;
    return holds;
}

// The call's status is this.
#define STATUS(call, wanted) check_status(#call, call, wanted)
// The call succeeds.
#define OK(call) STATUS(call, ZX_OK)
// The number is this.
#define NUMBER(expression, wanted) check_number(#expression, (int64_t)(expression), (int64_t)(wanted))
// This holds.
#define TRUE(expression) check_true(#expression, expression)

// An address that nothing is ever mapped at.
#define BAD ((void*)8)
// A handle value that was never handed out.
#define NO_HANDLE ((zx_handle_t)0x7fffffff)

static inline zx_koid_t koid_of(zx_handle_t handle) {
    zx_info_handle_basic_t info = {0};
    zx_object_get_info(handle, ZX_INFO_HANDLE_BASIC, &info, sizeof(info), 0, 0);
    return info.koid;
}

static inline zx_rights_t rights_of(zx_handle_t handle) {
    zx_info_handle_basic_t info = {0};
    zx_object_get_info(handle, ZX_INFO_HANDLE_BASIC, &info, sizeof(info), 0, 0);
    return info.rights;
}

static inline zx_signals_t signals_of(zx_handle_t handle) {
    zx_signals_t observed = 0;
    zx_object_wait_one(handle, 0, 0, &observed);
    return observed;
}

// A second handle with these rights only.
static inline zx_handle_t with_rights(zx_handle_t handle, zx_rights_t rights) {
    zx_handle_t reduced = ZX_HANDLE_INVALID;
    zx_handle_duplicate(handle, rights, &reduced);
    return reduced;
}

// Memory that is not cached: only of memory in one piece can that be said. The root resource is the caller's.
static inline zx_handle_t uncached(zx_handle_t root, size_t size) {
    zx_handle_t iommu = ZX_HANDLE_INVALID, bti = ZX_HANDLE_INVALID, vmo = ZX_HANDLE_INVALID;
    char desc = 0;
    zx_iommu_create(root, ZX_IOMMU_TYPE_DUMMY, &desc, 1, &iommu);
    zx_bti_create(iommu, 0, 1, &bti);
    zx_vmo_create_contiguous(bti, size, 0, &vmo);
    zx_vmo_set_cache_policy(vmo, ZX_CACHE_POLICY_UNCACHED);
    return vmo;
}

static inline int finish(void) {
    if (failures != 0) {
        put_number(failures);
        say(" checks FAILED");
    }
    return failures != 0;
}
