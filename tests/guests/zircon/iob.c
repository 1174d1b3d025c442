// IOBuffers: memory that two ends share, each with rights of its own.

#include "check.h"

#define PAGE 4096ul
#define RW (ZX_VM_PERM_READ | ZX_VM_PERM_WRITE)

static const uint32_t all = ZX_IOB_EP0_CAN_MAP_READ | ZX_IOB_EP0_CAN_MAP_WRITE | ZX_IOB_EP1_CAN_MAP_READ | ZX_IOB_EP1_CAN_MAP_WRITE;
static const uint32_t first = ZX_IOB_EP0_CAN_MAP_READ | ZX_IOB_EP0_CAN_MAP_WRITE;

static zx_iob_region_t region(uint32_t access, uint64_t size) {
    zx_iob_region_t region = {0};
    region.type = ZX_IOB_REGION_TYPE_PRIVATE, region.access = access, region.size = size;
    return region;
}

static void create(void) {
    zx_handle_t a, b;
    zx_iob_region_t one = region(all, PAGE);
    OK(zx_iob_create(0, &one, 1, &a, &b));
    NUMBER(rights_of(a), 0xf0ef);
    OK(zx_handle_close(a));
    NUMBER(signals_of(b), ZX_IOB_PEER_CLOSED);
    OK(zx_handle_close(b));
    STATUS(zx_iob_create(1, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, &one, 0, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, &one, ZX_IOB_MAX_REGIONS + 1, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, BAD, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, &one, 1, BAD, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, &one, 1, &a, BAD), ZX_ERR_INVALID_ARGS);
    one.access = 0;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one.access = 1u << 8;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = region(all, PAGE), one.type = 9;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = region(all, PAGE), one.discipline.type = 9;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = region(all, PAGE), one.private_region.options = 0xfff;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = region(all, UINT64_MAX);
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_OUT_OF_RANGE);
}

static void info(void) {
    zx_handle_t a, b;
    zx_iob_region_t regions[3] = {region(all, PAGE), region(all, PAGE + 1), region(first, 3 * PAGE)};
    zx_info_iob_t info = {9, 9, {0}};
    zx_iob_region_info_t mine[3], theirs[3];
    size_t actual = 9, avail = 9;
    OK(zx_iob_create(0, regions, 3, &a, &b));
    OK(zx_object_get_info(a, ZX_INFO_IOB, &info, sizeof(info), 0, 0));
    TRUE(info.options == 0 && info.region_count == 3);
    OK(zx_object_get_info(a, ZX_INFO_IOB_REGIONS, mine, sizeof(mine), &actual, &avail));
    TRUE(actual == 3 && avail == 3);
    OK(zx_object_get_info(b, ZX_INFO_IOB_REGIONS, theirs, sizeof(theirs), 0, 0));
    TRUE(mine[0].region.size == PAGE && mine[1].region.size == 2 * PAGE && mine[2].region.size == 3 * PAGE);
    TRUE(mine[2].koid == theirs[2].koid && mine[1].koid != mine[2].koid);
    NUMBER(mine[2].region.access, first);
    NUMBER(theirs[2].region.access, ZX_IOB_EP1_CAN_MAP_READ | ZX_IOB_EP1_CAN_MAP_WRITE);
    OK(zx_object_get_info(a, ZX_INFO_IOB_REGIONS, mine, sizeof(mine[0]), &actual, &avail));
    TRUE(actual == 1 && avail == 3);
    STATUS(zx_object_get_info(zx_process_self(), ZX_INFO_IOB, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(zx_process_self(), ZX_INFO_IOB_REGIONS, mine, sizeof(mine), 0, 0), ZX_ERR_WRONG_TYPE);
    zx_info_handle_basic_t basic;
    OK(zx_object_get_info(a, ZX_INFO_HANDLE_BASIC, &basic, sizeof(basic), 0, 0));
    TRUE(basic.type == ZX_OBJ_TYPE_IOB && basic.related_koid == koid_of(b));
}

static void map(void) {
    zx_handle_t a, b, root = zx_vmar_root_self();
    zx_vaddr_t at = 0, other = 0;
    zx_iob_region_t regions[4] = {region(all, 2 * PAGE), region(first, PAGE), region(ZX_IOB_EP0_CAN_MEDIATED_READ, PAGE),
                                  region(ZX_IOB_EP0_CAN_MAP_READ | ZX_IOB_EP1_CAN_MAP_READ, PAGE)};
    OK(zx_iob_create(0, regions, 4, &a, &b));
    OK(zx_vmar_map_iob(root, RW, 0, a, 0, 0, 2 * PAGE, &at));
    OK(zx_vmar_map_iob(root, RW, 0, b, 0, PAGE, PAGE, &other));
    *(int*)(at + PAGE) = 5;
    NUMBER(*(int*)other, 5);
    OK(zx_vmar_map_iob(root, RW, 0, a, 1, 0, PAGE, &other));
    STATUS(zx_vmar_map_iob(root, RW, 0, b, 1, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 2, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 3, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    OK(zx_vmar_map_iob(root, ZX_VM_PERM_READ, 0, b, 3, 0, PAGE, &other));
    STATUS(zx_vmar_protect(root, RW, other, PAGE), ZX_ERR_ACCESS_DENIED);
    zx_handle_t reader = with_rights(a, ZX_RIGHT_READ | ZX_RIGHT_MAP);
    STATUS(zx_vmar_map_iob(root, RW, 0, reader, 0, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    OK(zx_handle_close(reader));
    zx_handle_t unmappable = with_rights(a, ZX_RIGHT_READ | ZX_RIGHT_WRITE);
    STATUS(zx_vmar_map_iob(root, RW, 0, unmappable, 0, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    OK(zx_handle_close(unmappable));
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 4, 0, PAGE, &other), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, UINT64_MAX - PAGE + 1, PAGE, &other), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, 0, 3 * PAGE, &other), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, 0, 0, &other), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, 1, PAGE, &other), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(root, RW, PAGE, a, 0, 0, PAGE, &other), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(root, RW | ZX_VM_SPECIFIC_OVERWRITE | ZX_VM_MAP_RANGE, 0, a, 0, 0, PAGE, &other), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, 0, PAGE, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(NO_HANDLE, RW, 0, a, 0, 0, PAGE, &other), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map_iob(root, RW, 0, NO_HANDLE, 0, 0, PAGE, &other), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map_iob(a, RW, 0, a, 0, 0, PAGE, &other), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_map_iob(root, RW, 0, root, 0, 0, PAGE, &other), ZX_ERR_WRONG_TYPE);

    // An end is closed when nothing is mapped through it any more, either.
    OK(zx_iob_create(0, regions, 1, &a, &b));
    OK(zx_vmar_map_iob(root, RW, 0, a, 0, 0, PAGE, &at));
    OK(zx_vmar_map_iob(root, RW, 0, a, 0, 0, PAGE, &other));
    OK(zx_handle_close(a));
    NUMBER(signals_of(b), 0);
    OK(zx_vmar_unmap(root, at, PAGE));
    NUMBER(signals_of(b), 0);
    OK(zx_vmar_unmap(root, other, PAGE));
    NUMBER(signals_of(b), ZX_IOB_PEER_CLOSED);
}

int main(void) {
    create();
    info();
    map();
    return finish();
}
