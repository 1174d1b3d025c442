// Streams: a VMO read and written from a position on.

#include "check.h"

int main(void) {
    zx_handle_t vmo, stream, reader, none;
    char text[16] = {0}, more[4] = {0};
    size_t n = 0;
    zx_off_t at = 0;
    const uint32_t both = ZX_STREAM_MODE_READ | ZX_STREAM_MODE_WRITE;
    OK(zx_vmo_create(0, ZX_VMO_RESIZABLE, &vmo));
    STATUS(zx_stream_create(1u << 31, vmo, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_create(both, vmo, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_create(both, NO_HANDLE, 0, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_stream_create(both, zx_process_self(), 0, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_stream_create(both, with_rights(vmo, ZX_RIGHT_READ), 0, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_stream_create(both, with_rights(vmo, ZX_RIGHT_WRITE), 0, &none), ZX_ERR_ACCESS_DENIED);
    OK(zx_stream_create(both, vmo, 0, &stream));
    OK(zx_stream_create(ZX_STREAM_MODE_READ, vmo, 3, &reader));
    TRUE((rights_of(stream) & (ZX_RIGHT_READ | ZX_RIGHT_WRITE)) == (ZX_RIGHT_READ | ZX_RIGHT_WRITE));
    TRUE((rights_of(reader) & (ZX_RIGHT_READ | ZX_RIGHT_WRITE)) == ZX_RIGHT_READ);

    // From several buffers and into several.
    zx_iovec_t write[2] = {{"hello ", 6}, {"world", 5}};
    zx_iovec_t read[2] = {{text, 4}, {more, 4}};
    OK(zx_stream_writev(stream, 0, write, 2, &n));
    NUMBER(n, 11);
    OK(zx_stream_readv(reader, 0, read, 2, &n));
    NUMBER(n, 8);
    TRUE(text[0] == 'l' && text[3] == 'w' && more[0] == 'o' && more[3] == 'd');
    OK(zx_stream_readv(reader, 0, read, 2, &n));
    NUMBER(n, 0);
    OK(zx_stream_readv_at(stream, 0, 6, read, 1, &n));
    TRUE(n == 4 && text[0] == 'w');
    OK(zx_stream_writev_at(stream, 0, 0, write + 1, 1, 0));
    OK(zx_stream_readv_at(stream, 0, 0, read, 1, 0));
    TRUE(text[0] == 'w' && text[3] == 'l');

    // Seeking; the last two writes did not move anything.
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_CURRENT, 0, &at));
    NUMBER(at, 11);
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_END, -1, &at));
    NUMBER(at, 10);
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_START, 2, 0));
    OK(zx_stream_writev(stream, ZX_STREAM_APPEND, write, 1, &n));
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_CURRENT, 0, &at));
    NUMBER(at, 17);
    STATUS(zx_stream_seek(stream, 3, 0, &at), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_START, -1, &at), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_START, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_seek(NO_HANDLE, 0, 0, &at), ZX_ERR_BAD_HANDLE);
    STATUS(zx_stream_seek(vmo, 0, 0, &at), ZX_ERR_WRONG_TYPE);
    STATUS(zx_stream_seek(with_rights(stream, ZX_RIGHT_INSPECT), 0, 0, &at), ZX_ERR_ACCESS_DENIED);

    // What is known of it; in append mode it writes at the end.
    zx_info_stream_t info = {0};
    uint8_t append = 1;
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_START, 3, 0));
    OK(zx_object_set_property(stream, ZX_PROP_STREAM_MODE_APPEND, &append, 1));
    OK(zx_stream_writev(stream, 0, write, 1, &n));
    append = 0;
    OK(zx_object_get_property(stream, ZX_PROP_STREAM_MODE_APPEND, &append, 1));
    NUMBER(append, 1);
    OK(zx_object_get_info(stream, ZX_INFO_STREAM, &info, sizeof(info), 0, 0));
    NUMBER(info.options, both | ZX_STREAM_MODE_APPEND);
    TRUE(info.seek == 23 && info.content_size == 23);
    append = 0;
    OK(zx_object_set_property(stream, ZX_PROP_STREAM_MODE_APPEND, &append, 1));
    STATUS(zx_object_set_property(stream, ZX_PROP_STREAM_MODE_APPEND, &append, 0), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_object_get_property(vmo, ZX_PROP_STREAM_MODE_APPEND, &append, 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(vmo, ZX_INFO_STREAM, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);

    // What each of the four refuses.
    zx_iovec_t bad = {BAD, 1};
    zx_handle_t weak = with_rights(stream, ZX_RIGHT_INSPECT);
    STATUS(zx_stream_readv(stream, 1, read, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_readv(stream, 0, 0, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_readv(stream, 0, BAD, 1, &n), ZX_ERR_NOT_FOUND);
    STATUS(zx_stream_readv_at(stream, 0, 0, &bad, 1, &n), ZX_ERR_NOT_FOUND);
    STATUS(zx_stream_readv_at(stream, 1, 0, read, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_readv_at(weak, 0, 0, read, 1, &n), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_stream_readv_at(NO_HANDLE, 0, 0, read, 1, &n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_stream_readv_at(vmo, 0, 0, read, 1, &n), ZX_ERR_WRONG_TYPE);
    STATUS(zx_stream_readv(weak, 0, read, 1, &n), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_stream_readv(NO_HANDLE, 0, read, 1, &n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_stream_readv(vmo, 0, read, 1, &n), ZX_ERR_WRONG_TYPE);
    STATUS(zx_stream_writev(stream, 2, write, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_writev(stream, 0, &bad, 1, &n), ZX_ERR_NOT_FOUND);
    STATUS(zx_stream_writev(reader, 0, write, 1, &n), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_stream_writev(NO_HANDLE, 0, write, 1, &n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_stream_writev(vmo, 0, write, 1, &n), ZX_ERR_WRONG_TYPE);
    STATUS(zx_stream_writev_at(stream, 1, 0, write, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_stream_writev_at(reader, 0, 0, write, 1, &n), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_stream_writev_at(NO_HANDLE, 0, 0, write, 1, &n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_stream_writev_at(vmo, 0, 0, write, 1, &n), ZX_ERR_WRONG_TYPE);

    STATUS(zx_stream_writev_at(stream, 0, 0, &bad, 1, &n), ZX_ERR_NOT_FOUND);

    // Where nothing can be read or written.
    zx_handle_t to_uncached;
    OK(zx_stream_create(both, uncached(zx_take_startup_handle(PA_HND(PA_RESOURCE, 0)), 4096), 0, &to_uncached));
    STATUS(zx_stream_readv(to_uncached, 0, read, 1, &n), ZX_ERR_BAD_STATE);
    STATUS(zx_stream_readv_at(to_uncached, 0, 0, read, 1, &n), ZX_ERR_BAD_STATE);
    STATUS(zx_stream_writev(to_uncached, 0, write, 1, &n), ZX_ERR_BAD_STATE);
    STATUS(zx_stream_writev_at(to_uncached, 0, 0, write, 1, &n), ZX_ERR_BAD_STATE);

    // A VMO that cannot grow.
    zx_handle_t fixed, writer;
    OK(zx_vmo_create(4096, 0, &fixed));
    OK(zx_stream_create(ZX_STREAM_MODE_WRITE, fixed, 4094, &writer));
    OK(zx_stream_writev(writer, 0, write, 1, &n));
    NUMBER(n, 2);
    STATUS(zx_stream_writev(writer, 0, write, 1, &n), ZX_ERR_NO_SPACE);
    STATUS(zx_stream_writev_at(writer, 0, 4096, write, 1, &n), ZX_ERR_NO_SPACE);
    OK(zx_stream_seek(stream, ZX_STREAM_SEEK_ORIGIN_START, INT64_MAX, 0));
    STATUS(zx_stream_writev(stream, 0, write, 1, &n), ZX_ERR_FILE_BIG);
    STATUS(zx_stream_writev_at(stream, 0, INT64_MAX, write, 1, &n), ZX_ERR_FILE_BIG);
    return finish();
}
