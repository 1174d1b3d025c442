// Handles: closing, duplicating, replacing.

#include "check.h"

int main(void) {
    zx_handle_t event, copy, other;
    OK(zx_event_create(0, &event));
    NUMBER(event & ZX_HANDLE_FIXED_BITS_MASK, ZX_HANDLE_FIXED_BITS_MASK);
    OK(zx_handle_check_valid(event));
    STATUS(zx_handle_check_valid(ZX_HANDLE_INVALID), ZX_ERR_BAD_HANDLE);

    OK(zx_handle_duplicate(event, ZX_RIGHT_SAME_RIGHTS, &copy));
    TRUE(copy != event && koid_of(copy) == koid_of(event) && rights_of(copy) == rights_of(event));
    OK(zx_handle_duplicate(event, ZX_RIGHT_WAIT, &other));
    NUMBER(rights_of(other), ZX_RIGHT_WAIT);
    zx_handle_t none = 0;
    STATUS(zx_handle_duplicate(other, ZX_RIGHT_SAME_RIGHTS, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_handle_duplicate(event, ZX_RIGHT_WRITE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_handle_duplicate(event, 1u << 30, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_handle_duplicate(NO_HANDLE, ZX_RIGHT_SAME_RIGHTS, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_handle_duplicate(event, ZX_RIGHT_SAME_RIGHTS, BAD), ZX_ERR_INVALID_ARGS);
    NUMBER(none, 0);
    zx_info_handle_count_t count;
    OK(zx_object_get_info(event, ZX_INFO_HANDLE_COUNT, &count, sizeof(count), 0, 0));
    NUMBER(count.handle_count, 3);

    zx_handle_t reduced;
    OK(zx_handle_replace(copy, ZX_RIGHT_WAIT | ZX_RIGHT_TRANSFER, &reduced));
    NUMBER(rights_of(reduced), ZX_RIGHT_WAIT | ZX_RIGHT_TRANSFER);
    STATUS(zx_handle_check_valid(copy), ZX_ERR_BAD_HANDLE);
    STATUS(zx_handle_replace(copy, ZX_RIGHT_SAME_RIGHTS, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_handle_replace(reduced, ZX_RIGHT_READ, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_handle_check_valid(reduced), ZX_ERR_BAD_HANDLE);

    OK(zx_handle_close(other));
    STATUS(zx_handle_close(other), ZX_ERR_BAD_HANDLE);
    OK(zx_handle_close(ZX_HANDLE_INVALID));
    STATUS(zx_handle_close(NO_HANDLE), ZX_ERR_BAD_HANDLE);

    zx_handle_t list[4] = {ZX_HANDLE_INVALID, event, NO_HANDLE, ZX_HANDLE_INVALID};
    OK(zx_event_create(0, &list[3]));
    zx_handle_t last = list[3];
    STATUS(zx_handle_close_many(list, 4), ZX_ERR_BAD_HANDLE);
    STATUS(zx_handle_check_valid(event), ZX_ERR_BAD_HANDLE);
    STATUS(zx_handle_check_valid(last), ZX_ERR_BAD_HANDLE);
    OK(zx_handle_close_many(list, 0));
    OK(zx_handle_close_many(0, 0));
    STATUS(zx_handle_close_many(BAD, 1), ZX_ERR_INVALID_ARGS);
    return finish();
}
