// What runs before main: a program without an interpreter relocates itself against the vDSO, reads the message in its bootstrap
// channel, and calls main with what is in it.

#include <zircon/process.h>
#include <zircon/processargs.h>
#include <zircon/syscalls.h>

#define HIDDEN __attribute__((visibility("hidden")))

typedef struct {
    int64_t tag;
    uint64_t value;
} dyn_t;

typedef struct {
    uint64_t offset;
    uint32_t type;
    uint32_t symbol;
    int64_t addend;
} rela_t;

typedef struct {
    uint32_t name;
    uint8_t info;
    uint8_t other;
    uint16_t section;
    uint64_t value;
    uint64_t size;
} sym_t;

enum { DT_PLTRELSZ = 2, DT_HASH = 4, DT_STRTAB = 5, DT_SYMTAB = 6, DT_RELA = 7, DT_RELASZ = 8, DT_JMPREL = 23, DT_COUNT = 24 };
enum { R_64 = 1, R_GLOB_DAT = 6, R_JUMP_SLOT = 7, R_RELATIVE = 8 };

extern HIDDEN const char __ehdr_start[];
extern HIDDEN const dyn_t _DYNAMIC[];

int main(int argc, char** argv, char** envp);

static void read_dynamic(const dyn_t* dynamic, uint64_t* table) {
    for (int i = 0; i < DT_COUNT; i++) table[i] = 0;
    for (; dynamic->tag != 0; dynamic++)
        if (dynamic->tag > 0 && dynamic->tag < DT_COUNT) table[dynamic->tag] = dynamic->value;
}

static int same(const char* a, const char* b) {
    while (*a != 0 && *a == *b) a++, b++;
    return *a == *b;
}

// The vDSO's function of this name, by its hash table.
static uint64_t look_up(const char* vdso, const uint64_t* table, const char* name) {
    uint32_t hash = 0;
    for (const char* c = name; *c != 0; c++) {
        hash = hash * 16 + (uint8_t)*c;
        hash ^= (hash >> 24) & 0xf0;
    }
    hash &= 0xfffffff;
    const uint32_t* words = (const uint32_t*)(vdso + table[DT_HASH]);
    const uint32_t *buckets = words + 2, *chains = buckets + words[0];
    const sym_t* symbols = (const sym_t*)(vdso + table[DT_SYMTAB]);
    for (uint32_t i = buckets[hash % words[0]]; i != 0; i = chains[i])
        if (same(vdso + table[DT_STRTAB] + symbols[i].name, name)) return (uint64_t)vdso + symbols[i].value;
    return 0;
}

static void relocate(const rela_t* rela, uint64_t size, const uint64_t* own, const char* vdso, const uint64_t* theirs) {
    const char* base = __ehdr_start;
    const sym_t* symbols = (const sym_t*)(base + own[DT_SYMTAB]);
    for (const rela_t* end = rela + size / sizeof(rela_t); rela < end; rela++) {
        uint64_t* place = (uint64_t*)(base + rela->offset);
        if (rela->type == R_RELATIVE) {
            *place = (uint64_t)base + rela->addend;
            continue;
        }
        const sym_t* symbol = &symbols[rela->symbol];
        uint64_t value = symbol->section != 0 ? (uint64_t)base + symbol->value
                                              : look_up(vdso, theirs, base + own[DT_STRTAB] + symbol->name);
        // A function that is not there is called at 0, which faults.
        *place = value + (rela->type == R_64 ? rela->addend : 0);
    }
}

static struct {
    uint32_t count;
    uint32_t info[ZX_CHANNEL_MAX_MSG_HANDLES];
    zx_handle_t handle[ZX_CHANNEL_MAX_MSG_HANDLES];
} startup;

static zx_handle_t find(uint32_t info, bool take) {
    for (uint32_t i = 0; i < startup.count; i++) {
        if (startup.info[i] != info || startup.handle[i] == ZX_HANDLE_INVALID) continue;
        zx_handle_t handle = startup.handle[i];
        if (take) startup.handle[i] = ZX_HANDLE_INVALID;
        return handle;
    }
    return ZX_HANDLE_INVALID;
}

zx_handle_t zx_take_startup_handle(uint32_t hnd_info) { return find(hnd_info, true); }
zx_handle_t zx_process_self(void) { return find(PA_HND(PA_PROC_SELF, 0), false); }
zx_handle_t zx_thread_self(void) { return find(PA_HND(PA_THREAD_SELF, 0), false); }
zx_handle_t zx_vmar_root_self(void) { return find(PA_HND(PA_VMAR_ROOT, 0), false); }
zx_handle_t zx_job_default(void) { return find(PA_HND(PA_JOB_DEFAULT, 0), false); }

// How many strings fit; the rest of a longer list is left out.
enum { MAX_STRINGS = 1024 };

static char message[ZX_CHANNEL_MAX_MSG_BYTES];
static char *arguments[MAX_STRINGS + 1], *environment[MAX_STRINGS + 1];

static int split(char* text, const char* end, uint32_t count, char** into) {
    int n = 0;
    for (; n < (int)count && n < MAX_STRINGS && text < end; n++) {
        into[n] = text;
        while (text < end && *text++ != 0) {}
    }
    into[n] = 0;
    return n;
}

static void run(zx_handle_t bootstrap) {
    uint32_t size = 0;
    zx_status_t status = zx_channel_read(bootstrap, 0, message, startup.handle, sizeof(message),
                                         ZX_CHANNEL_MAX_MSG_HANDLES, &size, &startup.count);
    const zx_proc_args_t* header = (const zx_proc_args_t*)message;
    if (status != ZX_OK || size < sizeof(*header) || header->protocol != ZX_PROCARGS_PROTOCOL) {
        // Started without a message: a thread of a program that knows what it does.
        startup.count = 0;
        zx_process_exit(main(0, arguments, environment));
    }
    const uint32_t* info = (const uint32_t*)(message + header->handle_info_off);
    for (uint32_t i = 0; i < startup.count; i++) startup.info[i] = info[i];
    zx_handle_close(bootstrap);
    char* end = message + size;
    int count = split(message + header->args_off, end, header->args_num, arguments);
    split(message + header->environ_off, end, header->environ_num, environment);
    zx_process_exit(main(count, arguments, environment));
}

__attribute__((noreturn)) void _start(zx_handle_t bootstrap, const char* vdso) {
    uint64_t own[DT_COUNT], theirs[DT_COUNT];
    read_dynamic(_DYNAMIC, own);
    // The vDSO's dynamic section is what its third program header says.
    const uint64_t* headers = (const uint64_t*)(vdso + *(const uint64_t*)(vdso + 32));
    const dyn_t* dynamic = 0;
    for (uint16_t i = 0; i < *(const uint16_t*)(vdso + 56); i++, headers += 7)
        if ((uint32_t)headers[0] == 2) dynamic = (const dyn_t*)(vdso + headers[2]);
    read_dynamic(dynamic, theirs);
    relocate((const rela_t*)(__ehdr_start + own[DT_RELA]), own[DT_RELASZ], own, vdso, theirs);
    relocate((const rela_t*)(__ehdr_start + own[DT_JMPREL]), own[DT_PLTRELSZ], own, vdso, theirs);
    run(bootstrap);
    __builtin_trap();
}

// What a compiler may call without being asked to.
#define PLAIN_LOOPS __attribute__((optimize("no-tree-loop-distribute-patterns"), weak))

PLAIN_LOOPS void* memcpy(void* to, const void* from, size_t n) {
    for (size_t i = 0; i < n; i++) ((char*)to)[i] = ((const char*)from)[i];
    return to;
}

PLAIN_LOOPS void* memmove(void* to, const void* from, size_t n) {
    if ((uintptr_t)to <= (uintptr_t)from) return memcpy(to, from, n);
    for (size_t i = n; i-- > 0;) ((char*)to)[i] = ((const char*)from)[i];
    return to;
}

PLAIN_LOOPS void* memset(void* to, int value, size_t n) {
    for (size_t i = 0; i < n; i++) ((char*)to)[i] = (char)value;
    return to;
}

PLAIN_LOOPS int memcmp(const void* a, const void* b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int difference = ((const unsigned char*)a)[i] - ((const unsigned char*)b)[i];
        if (difference != 0) return difference;
    }
    return 0;
}

PLAIN_LOOPS size_t strlen(const char* text) {
    size_t n = 0;
    while (text[n] != 0) n++;
    return n;
}
