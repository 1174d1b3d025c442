// VMOs and VMARs.

#include "check.h"

#define PAGE 4096ul
#define RW (ZX_VM_PERM_READ | ZX_VM_PERM_WRITE)

static void vmos(void) {
    zx_handle_t vmo, child, none;
    uint64_t size = 0;
    char text[8] = {0};
    OK(zx_vmo_create(5000, 0, &vmo));
    OK(zx_vmo_get_size(vmo, &size));
    NUMBER(size, 2 * PAGE);
    NUMBER(rights_of(vmo), 0xd0ef);
    STATUS(zx_vmo_create(PAGE, 1u << 31, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create(PAGE, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create(UINT64_MAX, 0, &none), ZX_ERR_OUT_OF_RANGE);

    OK(zx_vmo_write(vmo, "hello", PAGE - 2, 5));
    OK(zx_vmo_read(vmo, text, PAGE - 2, 5));
    TRUE(text[0] == 'h' && text[4] == 'o');
    OK(zx_vmo_read(vmo, text, 2 * PAGE, 0));
    STATUS(zx_vmo_read(vmo, text, 2 * PAGE - 1, 2), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_write(vmo, text, UINT64_MAX, 2), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_read(vmo, BAD, 0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_write(vmo, BAD, 0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_read(NO_HANDLE, text, 0, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_read(zx_process_self(), text, 0, 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_read(with_rights(vmo, ZX_RIGHT_WRITE), text, 0, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_write(with_rights(vmo, ZX_RIGHT_READ), text, 0, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_get_size(vmo, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_set_size(vmo, PAGE), ZX_ERR_ACCESS_DENIED);
    uint64_t content = 0;
    OK(zx_object_get_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &content, sizeof(content)));
    NUMBER(content, 5000);
    content = 100;
    OK(zx_object_set_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &content, sizeof(content)));
    OK(zx_object_get_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &content, sizeof(content)));
    NUMBER(content, 100);
    OK(zx_vmo_read(vmo, text, PAGE - 2, 5)); // what is behind the content is zero
    TRUE(text[0] == 0 && text[4] == 0);
    STATUS(zx_object_get_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &content, 7), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_object_get_property(zx_process_self(), ZX_PROP_VMO_CONTENT_SIZE, &content, 8), ZX_ERR_WRONG_TYPE);

    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_COMMIT, 0, 2 * PAGE, 0, 0));
    OK(zx_vmo_write(vmo, "hello", PAGE - 2, 5));
    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_ZERO, PAGE, 2, 0, 0));
    OK(zx_vmo_read(vmo, text, PAGE - 2, 5));
    TRUE(text[0] == 'h' && text[1] == 'e' && text[2] == 0 && text[3] == 0 && text[4] == 'o');
    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_DECOMMIT, 0, PAGE, 0, 0));
    OK(zx_vmo_read(vmo, text, PAGE - 2, 2));
    NUMBER(text[0], 0);
    STATUS(zx_vmo_op_range(vmo, ZX_VMO_OP_COMMIT, PAGE, 2 * PAGE, 0, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_op_range(vmo, 99, 0, PAGE, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_op_range(with_rights(vmo, ZX_RIGHT_READ), ZX_VMO_OP_COMMIT, 0, PAGE, 0, 0), ZX_ERR_ACCESS_DENIED);

    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_CACHE_CLEAN, 0, PAGE, 0, 0));
    STATUS(zx_vmo_op_range(vmo, ZX_VMO_OP_CACHE_CLEAN, 0, 0, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_op_range(vmo, ZX_VMO_OP_TRY_LOCK, 0, 2 * PAGE, 0, 0), ZX_ERR_NOT_SUPPORTED);

    // One that may be discarded while it is not locked.
    zx_vmo_lock_state_t lock = {7, 7, 7, 7};
    OK(zx_vmo_create(PAGE, ZX_VMO_DISCARDABLE, &child));
    OK(zx_vmo_op_range(child, ZX_VMO_OP_TRY_LOCK, 0, PAGE, 0, 0));
    OK(zx_vmo_op_range(child, ZX_VMO_OP_LOCK, 0, PAGE, &lock, sizeof(lock)));
    TRUE(lock.offset == 0 && lock.size == PAGE && lock.discarded_offset == 0 && lock.discarded_size == 0);
    STATUS(zx_vmo_op_range(child, ZX_VMO_OP_LOCK, 0, PAGE, &lock, sizeof(lock) - 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_op_range(child, ZX_VMO_OP_LOCK, 0, PAGE, BAD, sizeof(lock)), ZX_ERR_INVALID_ARGS);
    OK(zx_vmo_op_range(child, ZX_VMO_OP_UNLOCK, 0, PAGE, 0, 0));
    OK(zx_vmo_op_range(child, ZX_VMO_OP_UNLOCK, 0, PAGE, 0, 0));
    STATUS(zx_vmo_op_range(child, ZX_VMO_OP_UNLOCK, 0, PAGE, 0, 0), ZX_ERR_BAD_STATE);

    OK(zx_vmo_create(PAGE, ZX_VMO_RESIZABLE, &child));
    TRUE((rights_of(child) & ZX_RIGHT_RESIZE) != 0);
    OK(zx_vmo_set_size(child, 3 * PAGE));
    OK(zx_vmo_get_size(child, &size));
    NUMBER(size, 3 * PAGE);
    STATUS(zx_vmo_set_size(with_rights(child, ZX_RIGHT_READ), PAGE), ZX_ERR_ACCESS_DENIED);

    // A snapshot keeps what the parent loses.
    OK(zx_vmo_write(vmo, "p", 0, 1));
    OK(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &child));
    OK(zx_vmo_write(vmo, "q", 0, 1));
    OK(zx_vmo_read(child, text, 0, 1));
    NUMBER(text[0], 'p');
    TRUE((rights_of(child) & ZX_RIGHT_EXECUTE) == 0 && (rights_of(child) & ZX_RIGHT_WRITE) != 0);
    OK(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SLICE, 0, PAGE, &child));
    OK(zx_vmo_write(child, "s", 0, 1));
    OK(zx_vmo_read(vmo, text, 0, 1));
    NUMBER(text[0], 's');
    STATUS(zx_vmo_create_child(vmo, 0, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT | ZX_VMO_CHILD_SLICE, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SLICE | ZX_VMO_CHILD_RESIZABLE, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 1, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_child(with_rights(vmo, ZX_RIGHT_READ), ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_create_child(NO_HANDLE, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &none), ZX_ERR_BAD_HANDLE);
}

static void vmars(void) {
    zx_handle_t root = zx_vmar_root_self(), vmo, child;
    zx_vaddr_t at = 0, base = 0, none;
    zx_info_vmar_t info;
    OK(zx_object_get_info(root, ZX_INFO_VMAR, &info, sizeof(info), 0, 0));
    TRUE(info.len > 1ul << 30);
    OK(zx_vmo_create(4 * PAGE, 0, &vmo));

    OK(zx_vmar_allocate(root, ZX_VM_CAN_MAP_READ | ZX_VM_CAN_MAP_WRITE | ZX_VM_CAN_MAP_SPECIFIC, 0, 16 * PAGE, &child, &base));
    OK(zx_object_get_info(child, ZX_INFO_VMAR, &info, sizeof(info), 0, 0));
    TRUE(info.base == base && info.len == 16 * PAGE);
    OK(zx_vmar_map(child, RW | ZX_VM_SPECIFIC, 4 * PAGE, vmo, 0, 4 * PAGE, &at));
    NUMBER(at, base + 4 * PAGE);
    *(int*)at = 5;
    OK(zx_vmar_map(child, RW | ZX_VM_SPECIFIC, 0, vmo, 0, PAGE, &at));
    NUMBER(*(int*)at, 5);
    OK(zx_vmar_map(child, ZX_VM_PERM_READ | ZX_VM_SPECIFIC_OVERWRITE, 5 * PAGE, vmo, 0, PAGE, &at));
    NUMBER(*(int*)at, 5);
    OK(zx_vmar_map(child, ZX_VM_PERM_READ, 0, vmo, 0, PAGE, &at));
    TRUE(at >= base && at < base + 16 * PAGE);

    STATUS(zx_vmar_map(child, RW | ZX_VM_PERM_EXECUTE, 0, vmo, 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map(child, ZX_VM_PERM_WRITE, 0, vmo, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW, PAGE, vmo, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 1, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW | ZX_VM_SPECIFIC_OVERWRITE | ZX_VM_MAP_RANGE, 0, vmo, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 0, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW, 0, vmo, UINT64_MAX - PAGE + 1, PAGE, &none), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 0, 5 * PAGE, &none), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_vmar_map(child, RW, 0, with_rights(vmo, ZX_RIGHT_MAP | ZX_RIGHT_READ), 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map(child, RW, 0, with_rights(vmo, ZX_RIGHT_READ | ZX_RIGHT_WRITE), 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map(NO_HANDLE, RW, 0, vmo, 0, PAGE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map(child, RW, 0, NO_HANDLE, 0, PAGE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map(vmo, RW, 0, vmo, 0, PAGE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_map(child, RW, 0, child, 0, PAGE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 0, PAGE, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, 1u << 20, 0, vmo, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);

    OK(zx_vmar_protect(child, ZX_VM_PERM_READ, base, PAGE));
    STATUS(zx_vmar_protect(child, ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, base, PAGE), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_protect(child, ZX_VM_SPECIFIC, base, PAGE), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_protect(child, ZX_VM_PERM_READ, base + 1, PAGE), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_protect(child, ZX_VM_PERM_READ, base, 2 * PAGE), ZX_ERR_NOT_FOUND);
    OK(zx_vmar_unmap(child, base, PAGE));
    STATUS(zx_vmar_unmap(child, base + 1, PAGE), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_unmap(child, base, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_unmap(NO_HANDLE, base, PAGE), ZX_ERR_BAD_HANDLE);

    zx_handle_t grandchild;
    OK(zx_vmar_allocate(child, ZX_VM_SPECIFIC | ZX_VM_CAN_MAP_READ, 0, PAGE, &grandchild, &at));
    NUMBER(at, base);
    STATUS(zx_vmar_map(grandchild, RW, 0, vmo, 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_allocate(child, ZX_VM_CAN_MAP_EXECUTE, 0, PAGE, &grandchild, &at), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_allocate(child, ZX_VM_PERM_READ, 0, PAGE, &grandchild, &at), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_allocate(child, 0, 0, 0, &grandchild, &at), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_allocate(NO_HANDLE, 0, 0, PAGE, &grandchild, &at), ZX_ERR_BAD_HANDLE);
    OK(zx_vmar_destroy(child));
    STATUS(zx_vmar_destroy(child), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 0, PAGE, &none), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_map(grandchild, ZX_VM_PERM_READ, 0, vmo, 0, PAGE, &none), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_destroy(NO_HANDLE), ZX_ERR_BAD_HANDLE);
}

int main(void) {
    vmos();
    vmars();
    return finish();
}
